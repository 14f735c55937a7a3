"""What can be mended in a damaged dock, and what has to be given up.

Mended is what follows from something whole: keys and texts from the semantic part, sketches from their segment. What a
killed writer left is deleted. What a disk has changed in a zip or a segment is nowhere else, but that a learnware's zip
holds its specification too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import sqlalchemy as sa

from learndock.dock import rows
from learndock.dock.doctor import examine, shown_ids, zip_fault
from learndock.dock.id_lists import read_ids
from learndock.dock.ids import learnware_name, learnware_number
from learndock.dock.segments import open_segment
from learndock.dock.space import Space
from learndock.dock.tables import learnwares, pending
from learndock.errors import LearndockError

if TYPE_CHECKING:
    import numpy.typing as npt

    from learndock.dock.catalog import Catalog
    from learndock.dock.layout import Layout
    from learndock.dock.progress import Progress
    from learndock.dock.verify_report import VerifyReport
    from learndock.dock.writer import Writer
    from learndock.specification import RKMETableSpecification

    IndexArray = npt.NDArray[np.int64]

__all__ = ["RepairReport", "repair"]


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What was wrong with a dock, what was done about it, and what is wrong still.

    Attributes
    ----------
    done : tuple of str
        A sentence for each kind of repair.
    dropped : tuple of str
        Ids of learnwares that were given up.
    before, after : VerifyReport
    """

    done: tuple[str, ...]
    dropped: tuple[str, ...]
    before: VerifyReport
    after: VerifyReport

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong any more."""
        return self.after.ok


def repair(
    layout: Layout, catalog: Catalog, writer: Writer, *, drop_damaged: bool, on_progress: Progress
) -> RepairReport:
    """See `Dock.repair`."""
    before = examine(layout, catalog, readonly=False, on_progress=on_progress)
    if before.orphans is None and any(problem.subject == layout.catalog.name for problem in before.problems):
        return RepairReport((), (), before, before)  # there is no catalog to go by
    done: list[str] = []
    dropped: list[int] = []
    if derived := writer.derive_again():
        done.append(f"keys and texts that searches know were made again of {_shown(derived)}")
    writer.clear_leftovers()
    damaged = [problem.subject for problem in before.problems if problem.part == "segment"]
    if drop_damaged:
        zips = [learnware_number(problem.subject) for problem in before.problems if problem.part == "zip"]
        with writer.alone():
            saved, dropped = _give_up(
                layout, catalog, writer, damaged, [number for number in zips if number is not None]
            )
        if damaged:
            done.append(f"{len(damaged)} damaged segments were given up")
        if saved:
            done.append(f"specifications were read from their zips again of {_shown(saved)}")
        if dropped:
            done.append(f"learnwares were dropped: {_shown(dropped)}")
    if drop_damaged or not damaged:
        writer.optimize(on_progress=on_progress)
    after = examine(layout, catalog, readonly=False, on_progress=on_progress)
    gone = set(before.orphans or ()) - set(after.orphans or ())
    if gone:
        done.append(f"{len(gone)} files and folders that a killed writer had left were deleted")
    sketches = {problem.subject for problem in before.problems if problem.part == "sketch"}
    if sketches - {problem.subject for problem in after.problems}:
        done.append(f"{len(sketches)} damaged sketches were made again")
    return RepairReport(tuple(done), tuple(learnware_name(number) for number in dropped), before, after)


def _give_up(
    layout: Layout, catalog: Catalog, writer: Writer, damaged: Sequence[str], zips: Sequence[int]
) -> tuple[list[int], list[int]]:
    """Drop damaged segments, and learnwares whose zip or only specification is damaged.

    Returns whose specification was read from the zip, and who was dropped.
    """
    saved: dict[int, tuple[int, RKMETableSpecification]] = {}
    lost: list[int] = []
    with catalog.reading() as connection:
        homeless = _without_specification(layout, connection, damaged) if damaged else np.empty(0, np.int64)
        held = rows.whole_rows_of(connection, homeless.tolist())
        spaces = rows.spaces_by_id(connection)
        bad = [
            number
            for number, row in rows.rows_of(connection, zips).items()
            if zip_fault(layout.zip(number, row.zip_sha256), row)[0]
        ]
    for number, row in held.items():
        spec = None
        if row.zip_sha256 is not None and number not in bad:
            spec = _specification_in(layout, number, row, spaces[row.space_id])
        if spec is None:
            lost.append(number)
        else:
            saved[number] = row.space_id, spec
    if damaged:
        writer.give_up(damaged, lost, saved)
    left = sorted(set(bad) - set(lost))
    writer.delete(left)
    return sorted(saved), sorted([*lost, *left])


def _without_specification(layout: Layout, connection: sa.Connection, damaged: Sequence[str]) -> IndexArray:
    """Learnwares whose specification lies in none but damaged segments."""
    held = [read_ids(connection, sa.select(pending.c.learnware_id))]
    dead: dict[str, IndexArray] = {}
    for space in rows.spaces_by_id(connection):
        dead |= rows.dead_copies(connection, space)
    for name in rows.all_segments(connection):
        if name not in damaged:
            ids = open_segment(layout.segment(name)).ids
            held.append(np.setdiff1d(ids, dead.get(name, np.empty(0, np.int64))))
    return np.setdiff1d(read_ids(connection, sa.select(learnwares.c.id)), np.concatenate(held))


def _specification_in(
    layout: Layout, number: int, row: sa.Row[tuple[object, ...]], space: Space
) -> RKMETableSpecification | None:
    """The specification in a learnware's zip, if it is of the space that the catalog says."""
    from learndock.learnware import Learnware
    from learndock.specification import SemanticSpecification

    try:
        semantic = SemanticSpecification.from_dict(row.semantic)
        with Learnware.open(layout.zip(number, row.zip_sha256), semantic=semantic) as learnware:
            spec = learnware.specification
    except LearndockError:
        return None
    return spec if spec is not None and Space.of(spec) == space else None


def _shown(numbers: Sequence[int]) -> str:
    return shown_ids(np.array(sorted(numbers), dtype=np.int64))
