"""Batches of specifications as callers pass them, cut into pieces that are packed at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from typing import TYPE_CHECKING, Any

import numpy as np

from learndock import kernels
from learndock.dock.segments import Segment
from learndock.errors import InvalidArgument

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["chunks", "packed_segment"]


def chunks(points: Any, weights: Any, *, most_bytes: int) -> Iterator[slice]:
    """Slices of a batch whose points take at most so many bytes, or one specification where that is larger.

    Raises
    ------
    InvalidArgument
        If points or weights are no sequences, or not of one length above 0.
    """
    for name, value in (("points", points), ("weights", weights)):
        if isinstance(value, str | bytes | Mapping | Set) or not hasattr(value, "__getitem__"):
            raise InvalidArgument(f"{name}: expected an array or a list of arrays, got {type(value).__name__}")
    count, other = len(points), len(weights)
    if not count or count != other:
        raise InvalidArgument(f"points, weights: expected one length above 0, got {count} and {other}")
    if hasattr(points, "shape"):
        each = max(1, 4 * int(np.prod(points.shape[1:])))
        step = max(1, most_bytes // each)
        yield from (slice(start, min(start + step, count)) for start in range(0, count, step))
        return
    start = size = 0
    for i in range(count):
        try:
            bytes_of = 4 * int(np.prod(np.shape(points[i])))
        except (ValueError, KeyError, TypeError):
            raise InvalidArgument(f"points[{i}]: expected an array of shape (K, d)") from None
        if i > start and size + bytes_of > most_bytes:
            yield slice(start, i)
            start, size = i, 0
        size += bytes_of
    yield slice(start, count)


def packed_segment(points: Any, weights: Any, gamma: float, ids: npt.NDArray[np.int64]) -> Segment:
    """A segment of the specifications of one slice."""
    packed = kernels.pack(points, weights)
    return Segment(ids, packed, packed.self_inner(gamma=gamma))
