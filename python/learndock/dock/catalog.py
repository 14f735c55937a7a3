"""The catalog's database: opened, read and changed in transactions.

SQLAlchemy Core. Every change is one transaction, and raises the catalog's generation by one: a reader that has seen a
generation knows by one number whether anything changed.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import sqlalchemy as sa

from learndock.dock._lock import WriteLock
from learndock.dock.catalog_backend import CatalogBackend, as_dock_errors
from learndock.dock.sqlite_catalog import SQLiteBackend
from learndock.dock.tables import metadata, state
from learndock.dock.text_index import text_index
from learndock.errors import DockError

if TYPE_CHECKING:
    from learndock.dock.catalog_place import PostgreSQLPlace
    from learndock.dock.layout import Layout

__all__ = ["Catalog"]


class Catalog:
    """The catalog of one dock. Thread-safe: each call takes a connection of its own."""

    def __init__(self, backend: CatalogBackend) -> None:
        self._backend = backend
        self._closed = False
        self._engine = backend.engine
        _open_catalogs.add(self)
        weakref.finalize(self, self._engine.dispose)  # for a dock that is forgotten rather than closed

    @classmethod
    def at(cls, layout: Layout, place: PostgreSQLPlace | None, *, readonly: bool, actor: str) -> Catalog:
        """Open the catalog of a dock: the file in its folder, or what lies at a place."""
        if place is None:
            return cls(SQLiteBackend(layout, readonly=readonly))
        from learndock.dock.postgresql_catalog import PostgreSQLBackend

        return cls(PostgreSQLBackend(place, layout.root, readonly=readonly, actor=actor))

    @property
    def name(self) -> str:
        """How reports name it; no password is in it."""
        return self._backend.name

    def require(self) -> None:
        """See that it is there.

        Raises
        ------
        DockError
        """
        self._backend.require()

    def create(self) -> None:
        """Make the tables of a new dock; those that are there stay."""
        self._backend.prepare()
        with self.writing() as connection:
            metadata.create_all(connection)
            text_index(connection).create(connection)
            if connection.execute(sa.select(state.c.one)).first() is None:
                connection.execute(state.insert().values(one=1, generation=0, next_id=0))

    def close(self) -> None:
        """Close all connections; the last one folds SQLite's log into its file."""
        self._closed = True
        self._engine.dispose()

    def rest(self) -> None:
        """Close the connections that nobody uses; the next call opens new ones."""
        self._engine.dispose()

    def write_lock(self, *, seconds: float) -> WriteLock:
        """What its writers hold, one at a time."""
        return WriteLock(self._backend.exclusive, seconds=seconds, root=self._backend.root)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A read transaction: one state of the catalog, whatever writers do meanwhile."""
        with self._errors(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A write transaction: all of it, or, after an exception, nothing. For those who hold the write lock."""
        with self._errors(), self._backend.writing() as connection:
            yield connection

    @contextmanager
    def settled(self) -> Iterator[sa.Connection]:
        """A read transaction that sees what this thread has written last, or that it is not there and never will be."""
        with self._errors(), self._backend.settled() as connection:
            yield connection

    def faults(self, connection: sa.Connection) -> Iterator[tuple[str, str]]:
        """What is wrong with the database as such: where, and what."""
        return self._backend.faults(connection)

    def adopt(self, connection: sa.Connection) -> None:
        """Go on counting after rows that came with their numbers."""
        self._backend.adopt(connection)

    def drop(self) -> None:
        """Delete it, if it is there."""
        self._backend.drop()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        if self._closed:
            raise DockError(f"{self._backend.root}: the dock was closed")
        with as_dock_errors(self._backend):
            yield


_open_catalogs: weakref.WeakSet[Catalog] = weakref.WeakSet()


def _rest_before_fork() -> None:
    """Leave no connection to a child: closing one there, or using it, undoes what the parent does with it."""
    for catalog in list(_open_catalogs):
        catalog.rest()


os.register_at_fork(before=_rest_before_fork)
