"""The catalog's database: opened, read and changed in transactions.

SQLAlchemy Core. Every change is one transaction, and raises the catalog's generation by one: a reader that has seen a
generation knows by one number whether anything changed.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import sqlalchemy as sa

from learndock.dock.tables import metadata, state
from learndock.dock.text_search import create_texts
from learndock.errors import DockError

if TYPE_CHECKING:
    import sqlite3

__all__ = ["Catalog"]


class Catalog:
    """The catalog of one dock. Thread-safe: each call takes a connection of its own."""

    def __init__(self, path: Path, *, readonly: bool) -> None:
        self._path = path
        self._closed = False
        self._engine = sa.create_engine(_url(path, readonly=readonly), poolclass=sa.pool.QueuePool, pool_size=8)
        sa.event.listen(self._engine, "connect", _configure_reader if readonly else _configure)
        sa.event.listen(self._engine, "begin", _begin)
        _open_catalogs.add(self)
        weakref.finalize(self, self._engine.dispose)  # for a dock that is forgotten rather than closed

    def create(self) -> None:
        """Make the tables of a new dock; those that are there stay."""
        with self.writing() as connection:
            metadata.create_all(connection)
            create_texts(connection)
            if connection.execute(sa.select(state.c.one)).first() is None:
                connection.execute(state.insert().values(one=1, generation=0, next_id=0))

    def close(self) -> None:
        """Close all connections; the last one folds SQLite's log into its file."""
        self._closed = True
        self._engine.dispose()

    def rest(self) -> None:
        """Close the connections that nobody uses; the next call opens new ones."""
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A read transaction: one state of the catalog, whatever writers do meanwhile."""
        with self._errors(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A write transaction: all of it, or, after an exception, nothing."""
        with (
            self._errors(),
            self._engine.connect().execution_options(learndock_write=True) as connection,
            connection.begin(),
        ):
            yield connection

    @contextmanager
    def _errors(self) -> Iterator[None]:
        if self._closed:
            raise DockError(f"{self._path.parent}: the dock was closed")
        try:
            yield
        except sa.exc.DBAPIError as error:
            raise DockError(f"{self._path}: {error.orig}") from error
        except sa.exc.TimeoutError as error:
            raise DockError(f"{self._path}: too many calls at a time ({error})") from error


_open_catalogs: weakref.WeakSet[Catalog] = weakref.WeakSet()


def _rest_before_fork() -> None:
    """Leave no SQLite connection to a child: closing one there, or using it, undoes the parent's locks and log."""
    for catalog in list(_open_catalogs):
        catalog.rest()


os.register_at_fork(before=_rest_before_fork)


def _url(path: Path, *, readonly: bool) -> sa.URL:
    if not readonly:
        return sa.URL.create("sqlite", database=str(path.resolve()))
    # immutable: no lock is taken and nothing is written, as a read-only or network file system demands. A log that a
    # living writer has not folded in would be overlooked, so then the file is merely opened for reading.
    log = path.with_name(f"{path.name}-wal")
    options = {"mode": "ro", "uri": "true"}
    if not (log.exists() and log.stat().st_size):
        options["immutable"] = "1"
    return sa.URL.create("sqlite", database=f"file:{quote(str(path.resolve()))}", query=options)


def _configure(connection: sqlite3.Connection, _: object) -> None:
    _execute_pragmas(
        connection, "journal_mode = WAL", "synchronous = FULL", "busy_timeout = 30000", "foreign_keys = ON"
    )


def _configure_reader(connection: sqlite3.Connection, _: object) -> None:
    _execute_pragmas(connection, "busy_timeout = 30000")


def _execute_pragmas(connection: sqlite3.Connection, *pragmas: str) -> None:
    connection.isolation_level = None  # transactions begin where _begin says so, not where the driver guesses
    try:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()  # the pool does not know it yet
        raise


def _begin(connection: sa.Connection) -> None:
    # A write transaction takes its lock at once: one that starts as a reader and then writes can fail half-way.
    write = connection.get_execution_options().get("learndock_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
