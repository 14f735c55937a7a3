"""Which specifications are gathered into larger segments, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from learndock import _core, kernels
from learndock.dock.segments import Segment

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from learndock.dock.store import SpaceView

    Float32Array = npt.NDArray[np.float32]

__all__ = ["groups_to_fold", "merged"]

# A batch of this many specifications is written as a segment; fewer wait in the catalog until they are this many.
SEGMENT_SPECS = 4096
# A larger batch becomes several segments, so that packing it takes bounded memory.
LARGEST_SEGMENT_BYTES = 512 * 2**20
# Segments of a space, above which they are merged: each costs descriptors, and a call of the kernel.
MOST_SEGMENTS = 32
# A segment with more dead copies than this share is compacted.
_DEAD_SHARE = 0.1
# Points unpacked at a time, as float64, on their way into another segment.
_POINTS_AT_A_TIME = 1 << 16


def groups_to_fold(view: SpaceView) -> list[list[str]]:
    """Names of the segments to merge, group by group; a group's points fit in the bounded memory of a merge.

    What waits in the catalog goes with the last group, which may have no segment.
    """
    dead_in = {name: len(view.dead.get(name, ())) for name in view.named}
    many = len(view.named) >= MOST_SEGMENTS
    due = [
        name
        for name, segment in view.named.items()
        if ((many or len(segment) < SEGMENT_SPECS) and segment.packed.tiles.nbytes < LARGEST_SEGMENT_BYTES // 2)
        or dead_in[name] > _DEAD_SHARE * len(segment)
    ]
    groups: list[list[str]] = [[]]
    size = 0
    for name in sorted(due, key=lambda name: len(view.named[name])):
        bytes_of = view.named[name].packed.tiles.nbytes
        if groups[-1] and size + bytes_of > LARGEST_SEGMENT_BYTES:
            groups.append([])
            size = 0
        groups[-1].append(name)
        size += bytes_of
    # One segment alone is merged with nothing: worth it only to drop what is dead.
    kept = [group for group in groups if len(group) > 1 or any(dead_in[name] for name in group)]
    if view.waiting is not None and (not kept or kept[-1] is not groups[-1]):
        kept.append(groups[-1])
    return kept


def merged(
    named: Mapping[str, Segment], waiting: Segment | None, dead: Mapping[str, npt.NDArray[np.int64]]
) -> Segment | None:
    """One segment of all that counts in several and of what waits, by id; None where nothing is left."""
    kept = [
        (segment, np.flatnonzero(np.isin(segment.ids, dead[name], invert=True)) if name in dead else _all(segment))
        for name, segment in named.items()
    ]
    if waiting is not None:
        kept.append((waiting, _all(waiting)))
    if not sum(len(at) for _, at in kept):
        return None
    ids = np.concatenate([segment.ids[at] for segment, at in kept])
    counts = np.concatenate([np.diff(segment.packed.offsets)[at] for segment, at in kept])
    starts = np.concatenate([[0], np.cumsum(counts)])
    # Where in the new order the points of each specification go.
    order = np.argsort(ids)
    new_starts = np.empty_like(counts)
    new_starts[order] = np.concatenate([[0], np.cumsum(counts[order])[:-1]])
    points = np.empty((starts[-1], kept[0][0].packed.dim), dtype=np.float32)
    weights = np.empty(starts[-1], dtype=np.float32)
    done = 0
    for segment, at in kept:
        _move(segment, at, new_starts[done : done + len(at)], points, weights)
        done += len(at)
    offsets = np.concatenate([[0], np.cumsum(counts[order])])
    packed = kernels.pack(points, weights, offsets=offsets)
    self_inner = np.concatenate([segment.self_inner[at] for segment, at in kept])
    return Segment(ids[order], packed, self_inner[order])


def _all(segment: Segment) -> npt.NDArray[np.int64]:
    return np.arange(len(segment), dtype=np.int64)


def _move(
    segment: Segment,
    at: npt.NDArray[np.int64],
    new_starts: npt.NDArray[np.int64],
    points: Float32Array,
    weights: Float32Array,
) -> None:
    """Copy the specifications at ascending places of a segment to where they begin in `points` and `weights`."""
    offsets = segment.packed.offsets
    begins, ends = offsets[at], offsets[at + 1]
    # The new place of each point that is kept, and -1 for the others, in the order of the segment.
    target = np.full(int(offsets[-1]), -1, dtype=np.int64)
    lengths = ends - begins
    within = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    target[np.repeat(begins, lengths) + within] = np.repeat(new_starts, lengths) + within
    for start in range(0, len(target), _POINTS_AT_A_TIME):
        end = min(start + _POINTS_AT_A_TIME, len(target))
        here = target[start:end]
        keep = here >= 0
        if keep.any():
            points[here[keep]] = _core.unpack_points(segment.packed.tiles, start, end)[keep]
    keep = target >= 0
    weights[target[keep]] = segment.packed.weights[keep]
