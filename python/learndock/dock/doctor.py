"""Whether a dock is whole: every file is what the catalog says, and every learnware has one specification.

Nothing is repaired, and writers may go on: what they change meanwhile is seen as it was or as it is, and is no problem.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import sqlalchemy as sa

from learndock import kernels
from learndock.dock import rows
from learndock.dock.derived import strayed
from learndock.dock.ids import learnware_name, shown_ids
from learndock.dock.incoming import abandoned
from learndock.dock.segments import Segment, open_segment, orphans, segment_checksum_faults
from learndock.dock.sketching import damaged_sketches, unnamed_sketches
from learndock.dock.store import segment_of
from learndock.dock.strays import stray_zips
from learndock.dock.tables import learnwares, pending
from learndock.dock.verify_report import Problem, VerifyReport
from learndock.dock.zips import sha256_of
from learndock.errors import DockError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from learndock.dock.catalog import Catalog
    from learndock.dock.layout import Layout
    from learndock.dock.progress import Progress
    from learndock.dock.space import Space

    IndexArray = npt.NDArray[np.int64]

__all__ = ["VerifyReport", "examine", "shown_ids", "zip_fault"]

# <P, P> is recomputed for so many specifications of a segment; the checksums cover the others.
_RECOMPUTED = 256
# Both are sums in float64, by kernels of perhaps another instruction set: so many of their units, (sum |beta|)^2.
_TOLERANCE = 1e-12
_POINTS_AT_A_TIME = 1 << 16
# What must not be, by what to say of it: each question's answers are ids.
_CATALOG_FAULTS = {
    "its status is none": "SELECT id FROM learnwares WHERE status NOT IN (0, 1)",
    "its id could be given out again": (
        "SELECT id FROM learnwares WHERE id >= coalesce((SELECT next_id FROM state), 0)"
    ),
    "it has a zip and no semantic part": (
        "SELECT id FROM learnwares WHERE zip_sha256 IS NOT NULL AND id NOT IN (SELECT learnware_id FROM semantics)"
    ),
    "searches for texts do not know it": (
        "SELECT learnware_id FROM semantics WHERE learnware_id NOT IN (SELECT rowid FROM texts)"
    ),
    "searches for texts find it, but there is no such semantic part": (
        "SELECT rowid FROM texts WHERE rowid NOT IN (SELECT learnware_id FROM semantics)"
    ),
}


@dataclass(frozen=True, slots=True)
class _State:
    """One state of the catalog, as far as files are concerned."""

    spaces: Mapping[int, Space]
    segments: Mapping[str, Any]
    zips: Mapping[int, Any]
    space_of: tuple[IndexArray, IndexArray]  # ids, ascending, and the space of each
    waiting: tuple[IndexArray, IndexArray]  # the same, of specifications in the catalog
    dead: Mapping[str, IndexArray]


def examine(layout: Layout, catalog: Catalog, *, readonly: bool, on_progress: Progress) -> VerifyReport:
    """See `Dock.verify`."""
    try:
        problems = list(_catalog_problems(catalog))
        state = _read(catalog)
    except (DockError, ValueError, TypeError) as error:  # or values that can't be what they are
        return VerifyReport((Problem("catalog", catalog.name, str(error)),), None, 0, 0, 0, 0)
    total = len(state.zips) + len(state.segments)
    seen = done = 0
    on_progress("verify", done, total)
    for number, row in state.zips.items():
        path = layout.zip(number, row.zip_sha256)
        fault, size = zip_fault(path, row)
        seen += size
        if fault is not None and _still_named(catalog, number, row.zip_sha256):
            problems.append(Problem("zip", learnware_name(number), f"{path.name}: {fault}"))
        done += 1
        on_progress("verify", done, total)
    held: dict[str, IndexArray] = {}
    gone: set[str] = set()
    for name, row in state.segments.items():
        folder = layout.segment(name)
        found = [Problem("segment", name, fault) for fault in _segment_faults(folder, row, state, held)]
        if found and not _segment_still_named(catalog, name):
            gone.add(name)
        else:
            problems += found
        seen += _bytes_of(folder)
        done += 1
        on_progress("verify", done, total)
    problems += _sketch_problems(layout, catalog)
    seen += sum(_bytes_of(folder) for folder in layout.sketches.glob("*"))
    problems += _pending_problems(catalog, state)
    if not gone:  # else the specifications of what was folded away meanwhile lie elsewhere
        problems += _specification_problems(state, held)
    return VerifyReport(
        tuple(problems),
        _orphans(layout, catalog, readonly=readonly),
        len(state.space_of[0]),
        len(state.zips),
        len(state.segments),
        seen,
    )


def _catalog_problems(catalog: Catalog) -> Iterator[Problem]:
    with catalog.reading() as connection:
        for subject, message in catalog.faults(connection):
            yield Problem("catalog", subject, message)
        for message, query in _CATALOG_FAULTS.items():
            ids = np.fromiter(connection.exec_driver_sql(query).scalars(), dtype=np.int64)
            if ids.size:
                yield Problem("catalog", shown_ids(ids), message)
        for message, numbers in strayed(connection).items():
            yield Problem("catalog", shown_ids(np.array(numbers, dtype=np.int64)), message)


def _read(catalog: Catalog) -> _State:
    with catalog.reading() as connection:
        spaces = rows.spaces_by_id(connection)
        dead: dict[str, IndexArray] = {}
        for space in spaces:
            dead |= rows.dead_copies(connection, space)
        return _State(
            spaces,
            rows.all_segments(connection),
            rows.zip_rows(connection),
            _pairs(connection, sa.select(learnwares.c.id, learnwares.c.space_id).order_by(learnwares.c.id)),
            _pairs(
                connection,
                sa.select(pending.c.learnware_id, pending.c.space_id).order_by(pending.c.learnware_id),
            ),
            dead,
        )


def _pairs(connection: sa.Connection, query: sa.Select[Any]) -> tuple[IndexArray, IndexArray]:
    table = np.fromiter((tuple(row) for row in connection.execute(query)), dtype=np.dtype((np.int64, 2)))
    return np.ascontiguousarray(table[:, 0]), np.ascontiguousarray(table[:, 1])


def zip_fault(path: Path, row: Any) -> tuple[str | None, int]:
    """What is wrong with the zip of a row of the catalog, or None, and its size."""
    try:
        size = path.stat().st_size
        found = sha256_of(path)
    except OSError as error:
        return f"can't be read ({error.strerror or error})", 0
    if size != row.zip_bytes:
        return f"has {size} bytes, expected {row.zip_bytes}", size
    if found != row.zip_sha256:
        return f"has the sha256 {found}, expected {row.zip_sha256}", size
    return None, size


def _still_named(catalog: Catalog, number: int, sha256: str) -> bool:
    with catalog.reading() as connection:
        row = rows.rows_of(connection, [number]).get(number)
    return row is not None and row.zip_sha256 == sha256


def _bytes_of(folder: Path) -> int:
    try:
        return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    except OSError:  # gone, which was said, or was folded away
        return 0


def _segment_still_named(catalog: Catalog, name: str) -> bool:
    with catalog.reading() as connection:
        return name in rows.all_segments(connection)


def _segment_faults(folder: Path, row: Any, state: _State, held: dict[str, IndexArray]) -> Iterator[str]:
    """What is wrong with a segment; the ids that it holds go to `held`."""
    try:
        yield from segment_checksum_faults(folder, row.sha256)
        segment = open_segment(folder)
    except (OSError, DockError) as error:
        yield f"can't be read ({error})"
        return
    held[row.name] = np.array(segment.ids)
    if len(segment) != row.specs:
        yield f"holds {len(segment)} specifications, the catalog says {row.specs}"
    if not len(segment):
        return
    if (np.diff(segment.ids) <= 0).any():
        yield "its ids do not ascend"
    if segment.ids[0] != row.first_id:
        yield f"begins with id {segment.ids[0]}, the catalog says {row.first_id}"
    space = state.spaces.get(row.space_id)
    if space is None:
        yield f"is of space {row.space_id}, which the catalog does not have"
        return
    if segment.packed.dim != int(np.prod(space.input_shape)):
        yield f"has points of {segment.packed.dim} coordinates, its space has the input shape {space.input_shape}"
    yield from _number_faults(segment, space.gamma)
    strange = np.setdiff1d(state.dead.get(row.name, np.empty(0, np.int64)), segment.ids)
    if strange.size:
        yield f"the catalog marks copies as dead that it does not hold: {shown_ids(strange)}"


def _number_faults(segment: Segment, gamma: float) -> Iterator[str]:
    """Numbers that make no sense; of <P, P>, those of an evenly spread sample are computed again."""
    packed = segment.packed
    if len(packed.offsets) == 0 or packed.offsets[0] != 0 or (np.diff(packed.offsets) < 1).any():
        yield "its offsets do not increase from 0"
        return
    finite = {"weights": np.isfinite(packed.weights).all(), "self_inner": np.isfinite(segment.self_inner).all()}
    step = max(1, _POINTS_AT_A_TIME // packed.tiles.shape[2])
    blocks = range(0, len(packed.tiles), step)
    finite["tiles"] = all(np.isfinite(packed.tiles[start : start + step]).all() for start in blocks)
    for label, good in finite.items():
        if not good:
            yield f"{label}.npy holds NaN or infinity"
    if not all(finite.values()):
        return
    wrong = _wrong_self_inner(segment, np.unique(np.linspace(0, len(segment) - 1, _RECOMPUTED, dtype=np.int64)), gamma)
    if wrong.size:
        yield f"<P, P> is not that of the points for {shown_ids(wrong)}"


def _wrong_self_inner(segment: Segment, at: IndexArray, gamma: float) -> IndexArray:
    """Ids of those at the given places whose <P, P> is another than that of their points."""
    pairs = [segment.packed.embedding(int(place)) for place in at]
    again = kernels.pack([z for z, _ in pairs], [beta for _, beta in pairs]).self_inner(gamma=gamma)
    units = np.array([np.abs(beta).sum() ** 2 for _, beta in pairs])
    wrong: IndexArray = segment.ids[at[np.abs(again - segment.self_inner[at]) > _TOLERANCE * units]]
    return wrong


def _sketch_problems(layout: Layout, catalog: Catalog) -> Iterator[Problem]:
    """Damaged sketches, but for those that a writer has replaced or folded away meanwhile."""
    with catalog.reading() as connection:
        found = list(damaged_sketches(layout, connection))
    for folder, fault in found:
        if not folder.exists():
            continue
        yield Problem("sketch", str(folder.relative_to(layout.root)), f"{fault}; `learndock optimize` makes another")


def _pending_problems(catalog: Catalog, state: _State) -> Iterator[Problem]:
    for space_id, space in state.spaces.items():
        with catalog.reading() as connection:
            waiting = rows.pending_specs(connection, space_id)
        if not waiting:
            continue
        try:
            segment = segment_of(waiting, dim=int(np.prod(space.input_shape)))
            wrong = _wrong_self_inner(segment, np.arange(len(segment)), space.gamma)
        except (ValueError, TypeError) as error:  # of lengths or of numbers, or no numbers at all
            yield Problem("specification", f"waiting in space {space_id}", f"can't be read ({error})")
            continue
        yield from _about(wrong, "<P, P> is not that of the points")


def _specification_problems(state: _State, held: Mapping[str, IndexArray]) -> Iterator[Problem]:
    """Learnwares without a specification or with several, and specifications without a learnware."""
    ids, spaces = [state.waiting[0]], [state.waiting[1]]
    for name, found in held.items():
        alive = np.setdiff1d(found, state.dead.get(name, np.empty(0, np.int64)))
        ids.append(alive)
        spaces.append(np.full(len(alive), state.segments[name].space_id, dtype=np.int64))
    all_ids, all_spaces = np.concatenate(ids), np.concatenate(spaces)
    order = np.argsort(all_ids, kind="stable")
    all_ids, all_spaces = all_ids[order], all_spaces[order]
    single, counts = np.unique(all_ids, return_counts=True)
    known, space_of = state.space_of
    yield from _about(np.setdiff1d(single, known), "its specification is there, but no learnware")
    yield from _about(single[counts > 1], "it has more than one specification")
    # What lies in a segment that can't be read is missing for that reason.
    if held.keys() == state.segments.keys():
        yield from _about(np.setdiff1d(known, single), "it has no specification")
    common, at_known, at_held = np.intersect1d(known, single[counts == 1], return_indices=True)
    places = np.searchsorted(all_ids, single[counts == 1][at_held])
    elsewhere = space_of[at_known] != all_spaces[places]
    yield from _about(common[elsewhere], "its specification lies in another space than the catalog says")


def _about(ids: IndexArray, message: str) -> Iterator[Problem]:
    if ids.size:
        yield Problem("specification", shown_ids(ids), message)


def _orphans(layout: Layout, catalog: Catalog, *, readonly: bool) -> tuple[Path, ...] | None:
    if readonly:
        return _unnamed(layout, catalog)
    try:
        with catalog.write_lock(seconds=0).held():
            return _unnamed(layout, catalog)
    except DockError:
        return None


def _unnamed(layout: Layout, catalog: Catalog) -> tuple[Path, ...]:
    with catalog.reading() as connection:
        stray = [
            *orphans(layout.specs, rows.all_segments(connection)),
            *stray_zips(layout, connection),
            *unnamed_sketches(layout, connection),
        ]
    return tuple(sorted([*stray, *abandoned(layout.zips)]))
