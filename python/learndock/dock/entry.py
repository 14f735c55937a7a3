"""One line of a dock's list, and the list."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from learndock.dock.ids import learnware_name
from learndock.dock.presentation import frame, html_table

if TYPE_CHECKING:
    import pandas as pd
    import sqlalchemy as sa

    from learndock.checker import Status
    from learndock.dock.space import Space

__all__ = ["Entries", "Entry", "entries_frame", "entry_of"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a dock's list.

    Attributes
    ----------
    id : str
    status : Status
    name, description : str or None
        None where only a specification was ingested.
    semantic : dict or None
        The reference's dict.
    specification_type : str
    input_shape : tuple of int
    gamma : float
    num_points : int or None
        Rows behind the specification.
    zip_bytes : int or None
    zip_sha256 : str or None
    submitted_at : str
        ISO 8601, UTC.
    updated_at : str or None
        The same, of the last update.
    """

    id: str
    status: Status
    name: str | None
    description: str | None
    semantic: Mapping[str, Any] | None
    specification_type: str
    input_shape: tuple[int, ...]
    gamma: float
    num_points: int | None
    zip_bytes: int | None
    zip_sha256: str | None
    submitted_at: str
    updated_at: str | None

    def _repr_html_(self) -> str:
        return html_table("Learnware", _SHOWN, [_cells(self)])


class Entries(Iterator[Entry]):
    """Entries, read from the dock as they are asked for: those of millions do not have to fit in memory.

    An iterator: it is gone through once.
    """

    def __init__(self, source: Iterator[Entry]) -> None:
        self._source = source

    def __next__(self) -> Entry:
        return next(self._source)

    def to_frame(self) -> pd.DataFrame:
        """The entries that were not read yet, a row each, as a DataFrame with the attributes of `Entry`.

        Raises
        ------
        MissingDependency
            If pandas is not installed.
        """
        return entries_frame(list(self))

    def __repr__(self) -> str:
        return "Entries(an iterator over a dock's list; to_frame() or list() reads it)"


def entry_of(row: sa.Row[Any], space: Space) -> Entry:
    """The entry of a row of `whole_rows_of`."""
    from learndock.checker import Status

    return Entry(
        id=learnware_name(row.id),
        status=Status(row.status),
        name=row.name,
        description=row.description,
        semantic=row.semantic,
        specification_type=space.type,
        input_shape=space.input_shape,
        gamma=space.gamma,
        num_points=row.num_points,
        zip_bytes=row.zip_bytes,
        zip_sha256=row.zip_sha256,
        submitted_at=row.submitted_at,
        updated_at=row.updated_at,
    )


def entries_frame(entries: Sequence[Entry]) -> pd.DataFrame:
    """Entries as a DataFrame; statuses by name."""
    columns = {field.name: [getattr(entry, field.name) for entry in entries] for field in fields(Entry)}
    return frame({**columns, "status": [entry.status.name for entry in entries]})


_SHOWN = ("id", "name", "status", "type", "input shape", "gamma", "bytes", "sha256")


def _cells(entry: Entry) -> tuple[object, ...]:
    return (
        entry.id,
        entry.name,
        entry.status.name,
        entry.specification_type,
        entry.input_shape,
        entry.gamma,
        entry.zip_bytes,
        entry.zip_sha256,
    )
