"""What all verbs of a dock share: its parts, opened."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from learndock._validation import as_path
from learndock.dock import audit, rows, scaling_rows
from learndock.dock.catalog import Catalog
from learndock.dock.catalog_place import checked_url, place_of, require_server
from learndock.dock.ids import learnware_name, learnware_number
from learndock.dock.layout import Layout
from learndock.dock.peer_reviewing import PeerReviewing
from learndock.dock.semantic_index import SemanticIndex
from learndock.dock.store import SpecStore
from learndock.dock.submission import Submissions
from learndock.dock.writer import Writer
from learndock.errors import DockError, InvalidArgument, ReadOnlyDock, UnknownLearnware
from learndock.specification import RKMETableSpecification

if TYPE_CHECKING:
    from types import TracebackType

    import sqlalchemy as sa

__all__ = ["OpenedDock", "checked_id", "checked_ids"]


class OpenedDock:
    """The parts of a dock."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        catalog: str | sa.URL | None = None,
        readonly: bool = False,
        actor: str | None = None,
    ) -> None:
        actor = audit.actor_name(actor)
        url = None if catalog is None else checked_url(catalog)
        self._layout = Layout(as_path(path, "path"))
        self._readonly = readonly
        self._actor = actor
        fresh = not self._layout.exists()
        if fresh:
            if url is not None and not readonly:
                require_server(url)  # before a folder is made
            self._layout.create(readonly=readonly)
        elif not readonly and not os.access(self._layout.root, os.W_OK | os.X_OK):
            # SQLite would say that it can't open a file.
            raise ReadOnlyDock(f"path: {self._layout.root} can't be written to; readonly=True opens it for reading")
        place = place_of(self._layout, url, fresh=fresh)
        self._catalog = Catalog.at(self._layout, place, readonly=readonly, actor=actor)
        if not fresh:
            self._catalog.require()
        self._store = SpecStore(self._layout, self._catalog)
        self._semantic_index = SemanticIndex()
        self._writer = Writer(self._layout, self._catalog, self._store, actor=actor)
        self._reviewing = PeerReviewing(self._catalog, self._store, self._writer, self._specification)
        self._submissions = Submissions(self._layout, self._catalog, self._writer, self._reviewing)
        if fresh:
            self._writer.create()

    @property
    def catalog(self) -> str:
        """Where its catalog is: a file in its folder, or the URL and schema of a database, without a password."""
        return self._catalog.name

    @property
    def path(self) -> Path:
        """The dock's folder."""
        return self._layout.root

    @property
    def readonly(self) -> bool:
        """Whether changes are refused."""
        return self._readonly

    def __len__(self) -> int:
        """Number of learnwares and ingested specifications."""
        with self._catalog.reading() as connection:
            return rows.count(connection)

    def __contains__(self, id: object) -> bool:
        """Whether a learnware of this id is in the dock."""
        if not isinstance(id, str):
            return False
        number = learnware_number(id)
        with self._catalog.reading() as connection:
            return number is not None and bool(rows.existing_ids(connection, [number]))

    def close(self) -> None:
        """Let go of all files. The dock can be opened again; this object can't be used any more."""
        self._catalog.close()
        self._store.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r}{', readonly=True' if self._readonly else ''})"

    def _require_writable(self) -> None:
        if self._readonly:
            raise ReadOnlyDock(f"{self.path}: opened with readonly=True")

    def _specification(self, number: int) -> RKMETableSpecification:
        """The specification of a learnware as the dock holds it."""
        with self._catalog.reading() as connection:
            row = self._rows(connection, [learnware_name(number)])[0]
            space = rows.spaces_by_id(connection)[row.space_id]
            moments, scaled = scaling_rows.fitted_of(connection, row.id)
            scaling = scaling_rows.kept_scaling(connection, row.space_id) if scaled else None
        place = self._store.view(space).place(row.id)
        if place is None:
            raise DockError(
                f"{self.path}: the specification of {learnware_name(number)} is missing; the dock is damaged"
            )
        segment, at = place
        points, weights = segment.packed.embedding(at)
        return RKMETableSpecification(
            points,
            weights,
            gamma=space.gamma,
            num_points=row.num_points,
            fit_mmd2=row.fit_mmd2,
            scaling=scaling,
            moments=moments,
        )

    def _numbers(self, connection: sa.Connection, names: Sequence[str]) -> list[int]:
        numbers = [learnware_number(name) for name in names]
        existing = rows.existing_ids(connection, [number for number in numbers if number is not None])
        for name, number in zip(names, numbers, strict=True):
            if number is None or number not in existing:
                raise UnknownLearnware(f"id: no learnware {name!r} in {self.path}")
        return [number for number in numbers if number is not None]

    def _rows(self, connection: sa.Connection, names: Sequence[str]) -> list[sa.Row[Any]]:
        """The rows of learnwares, with their semantic parts."""
        numbers = self._numbers(connection, names)
        found = rows.whole_rows_of(connection, numbers)
        return [found[number] for number in numbers]


def checked_id(id: object) -> str:
    """An id, or what looks like one."""
    if not isinstance(id, str):
        raise InvalidArgument(f"id: expected the id of a learnware, got {id!r}")
    return str(id)


def checked_ids(ids: object, argument: str = "ids") -> list[str]:
    """One id or several, or what looks like them; `argument` is what an error calls them."""
    names = [ids] if isinstance(ids, str) else ids
    if not isinstance(names, Sequence | np.ndarray) or not all(isinstance(name, str) for name in names):
        raise InvalidArgument(f"{argument}: expected an id or a sequence of them, got {ids!r}")
    return [str(name) for name in names]
