"""A catalog in SQLite: a file in the dock's folder, with its log beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np
import sqlalchemy as sa

from learndock.dock._lock import locked_file
from learndock.dock.ids import shown_ids

if TYPE_CHECKING:
    import sqlite3

    from learndock.dock.layout import Layout

__all__ = ["SQLiteBackend"]

_NO_JSON = "SELECT learnware_id FROM semantics WHERE NOT json_valid(semantic)"


class SQLiteBackend:
    """See `CatalogBackend`."""

    def __init__(self, layout: Layout, *, readonly: bool) -> None:
        self.root = layout.root
        self.name = layout.catalog.name
        self._file = layout.catalog
        self._lock = layout.lock
        url = _url(layout.catalog, readonly=readonly)
        self.engine = sa.create_engine(url, poolclass=sa.pool.QueuePool, pool_size=8)
        sa.event.listen(self.engine, "connect", _configure_reader if readonly else _configure)
        sa.event.listen(self.engine, "begin", _begin)

    def __str__(self) -> str:
        return str(self._file)

    def require(self) -> None:
        """SQLite says so by itself."""

    def prepare(self) -> None:
        """Nothing: the file is made by the first connection."""

    def exclusive(self, deadline: float) -> AbstractContextManager[None]:
        """Hold the lock of the dock's folder."""
        return locked_file(self._lock, deadline)

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Begin by taking SQLite's own lock."""
        with self.engine.connect().execution_options(learndock_write=True) as connection, connection.begin():
            yield connection

    def settled(self) -> AbstractContextManager[sa.Connection]:
        """Read: what SQLite has answered is decided."""
        return self.engine.connect()

    def faults(self, connection: sa.Connection) -> Iterator[tuple[str, str]]:
        """What SQLite's own checks find, and texts that are no JSON."""
        for (message,) in connection.exec_driver_sql("PRAGMA integrity_check"):
            if message != "ok":
                yield "integrity", str(message)
        for table, row, parent, _ in connection.exec_driver_sql("PRAGMA foreign_key_check"):
            yield str(table), f"row {row} names a row of {parent} that is not there"
        ids = np.fromiter(connection.exec_driver_sql(_NO_JSON).scalars(), dtype=np.int64)
        if ids.size:
            yield shown_ids(ids), "its semantic part is no JSON"

    def adopt(self, connection: sa.Connection) -> None:
        """SQLite goes on after the largest number that is there."""

    def drop(self) -> None:
        """Delete the file."""
        self.engine.dispose()
        for end in ("", "-wal", "-shm", "-journal"):
            self._file.with_name(self._file.name + end).unlink(missing_ok=True)


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
