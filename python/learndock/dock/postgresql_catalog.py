"""A catalog in PostgreSQL: a schema of its own, so that docks may share a database.

One writer at a time, on whatever host: the write lock is an advisory lock of the server. It belongs to the very session
that then writes. If that session ends, by a crash, a cut network or an administrator, lock and transaction are gone
together, so nobody writes who has lost the lock without knowing.
"""

from __future__ import annotations

import hashlib
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from learndock.dock._lock import busy
from learndock.dock.catalog_backend import as_dock_errors
from learndock.dock.catalog_place import PostgreSQLPlace, parted, without_secrets
from learndock.dock.tables import metadata, state, texts
from learndock.errors import DockError, MissingDependency

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["PostgreSQLBackend", "require_database"]

_log = logging.getLogger("learndock")

_CONNECT_SECONDS = 10
# For who does not hold the lock yet, or has lost it: then it is free when the server has given up the old session.
_LOCK_SECONDS = 60.0
_LONGEST_NAME = 63
_ISOLATION = "REPEATABLE READ"
_LOCK_NOT_AVAILABLE = "55P03"
# A writer whose host vanishes would hold its lock for two hours by the usual settings; now for a minute and a half.
_SETTINGS = {
    "tcp_keepalives_idle": "60",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    "jit": "off",  # no query here is long enough to be worth compiling
}
# What is acknowledged is durable, whatever the server's default is.
_DURABLE = "set_config('synchronous_commit', replace(current_setting('synchronous_commit'), 'off', 'on'), false)"
_HOLDER = """
    SELECT a.application_name, a.pid FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.database = a.datid
    AND CAST(l.classid AS bigint) = :high AND CAST(l.objid AS bigint) = :low
"""
_INVALID_INDEXES = """
    SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    WHERE c.relnamespace = to_regnamespace(current_schema()) AND NOT (i.indisvalid AND i.indisready)
"""


@dataclass(frozen=True, slots=True)
class _Session:
    """A connection that holds the write lock."""

    connection: sa.Connection
    driver: Any

    @property
    def lost(self) -> bool:
        """Whether it has ended: SQLAlchemy would quietly connect again, without the lock."""
        return self.connection.invalidated or self.connection.connection.dbapi_connection is not self.driver


def require_database(url: sa.URL) -> None:
    """See `learndock.dock.catalog_place.require_server`."""
    engine = _engine(url)
    try:
        with as_dock_errors(f"catalog: {without_secrets(url)}"), engine.connect() as connection:
            encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
    finally:
        engine.dispose()
    if encoding != "UTF8":
        raise DockError(f"catalog: {without_secrets(url)}: expected a database in UTF8, got one in {encoding}")


def _engine(url: sa.URL) -> sa.Engine:
    shown, secrets = parted(url)
    arguments = {"client_encoding": "utf8", **secrets}
    if "connect_timeout" not in url.query:
        arguments["connect_timeout"] = str(_CONNECT_SECONDS)
    try:
        return sa.create_engine(
            shown,  # an engine may be shown
            isolation_level=_ISOLATION,
            pool_size=8,
            pool_pre_ping=True,  # a server that was started again is found out before a transaction begins
            connect_args=arguments,
        )
    except ImportError as error:
        raise MissingDependency("a catalog in PostgreSQL needs psycopg: pip install 'learndock[postgres]'") from error


class PostgreSQLBackend:
    """See `CatalogBackend`.

    Parameters
    ----------
    place : PostgreSQLPlace
    root : Path
        The dock's folder.
    readonly : bool
    actor : str
        Whom others see that wait for the lock.
    """

    def __init__(self, place: PostgreSQLPlace, root: Path, *, readonly: bool, actor: str) -> None:
        self.root = root
        self.name = f"{without_secrets(place.url)}, schema {place.schema}"
        self._schema = place.schema
        self._readonly = readonly
        self._actor = actor
        digest = hashlib.sha256(place.schema.encode()).digest()
        self._key = int.from_bytes(digest[:8], signed=True)
        self._key_halves = {"high": int.from_bytes(digest[:4]), "low": int.from_bytes(digest[4:8])}
        self._held = threading.local()
        self.engine = _engine(place.url)
        sa.event.listen(self.engine, "connect", self._configure)

    def __str__(self) -> str:
        return self.name

    def _configure(self, connection: Any, _: object) -> None:
        about = f"learndock {self._actor} on {socket.gethostname()}, process {os.getpid()}"
        settings = {
            "application_name": about.encode("ascii", "replace")[:_LONGEST_NAME].decode(),
            "search_path": self._quoted,
            "default_transaction_read_only": "on" if self._readonly else "off",
            **_SETTINGS,
        }
        each = ", ".join("set_config(%s, %s, false)" for _ in settings)
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {each}, {_DURABLE}", [text for pair in settings.items() for text in pair])
        connection.commit()

    @property
    def _quoted(self) -> str:
        return '"' + self._schema.replace('"', '""') + '"'

    def require(self) -> None:
        """See that the schema is there, and is the catalog of a dock."""
        with as_dock_errors(self), self.engine.connect() as connection:
            if not sa.inspect(connection).has_table(state.name):
                raise DockError(
                    f"{self.root}: its catalog is the schema {self._schema}, and there is none at {self.name}"
                )

    def prepare(self) -> None:
        """Make the schema, and the extension that all docks of the database share."""
        alone = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        with as_dock_errors(self), alone.connect() as connection:
            connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {self._quoted}")
            try:
                connection.exec_driver_sql("CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public")
            except sa.exc.DBAPIError as error:  # not installed, not allowed, or made by another dock at this moment
                _log.info("%s: pg_trgm was not made (%s)", self.name, error.orig)

    @contextmanager
    def exclusive(self, deadline: float) -> Iterator[None]:
        """Hold the advisory lock of the dock, in the session that `writing` then uses."""
        with as_dock_errors(self):
            connection = self.engine.connect()
        with connection:
            try:
                with as_dock_errors(self):
                    self._lock(connection, deadline)
                    session = _Session(connection, connection.connection.dbapi_connection)
            except BaseException:
                # A signal may have come when it had the lock, which it would keep in the pool.
                connection.invalidate()
                raise
            self._held.session = session
            try:
                yield
            finally:
                self._held.session = None
                self._unlock(session)

    def _lock(self, connection: sa.Connection, deadline: float) -> None:
        seconds = deadline - time.monotonic()
        taken = self._outside(connection, sa.func.pg_try_advisory_lock(self._key))
        if not taken and seconds > 0:
            taken = self._waited(connection, seconds)
        if not taken:
            holder = connection.execute(sa.text(_HOLDER), self._key_halves).first()
            connection.rollback()
            told = None if holder is None else f"{holder.application_name}; process {holder.pid} of the server"
            raise DockError(busy(self.root, seconds, told))

    def _outside(self, connection: sa.Connection, call: sa.Function[Any]) -> Any:
        """Call a function without a transaction around it, which would take two more messages."""
        connection.execution_options(isolation_level="AUTOCOMMIT")
        result = connection.execute(sa.select(call)).scalar_one()
        connection.rollback()
        connection.execution_options(isolation_level=_ISOLATION)
        return result

    def _waited(self, connection: sa.Connection, seconds: float) -> bool:
        """Wait in the server's queue: first come, first served."""
        try:
            limit = f"{max(1, round(seconds * 1000))}ms"
            connection.execute(sa.select(sa.func.set_config("lock_timeout", limit, True)))
            connection.execute(sa.select(sa.func.pg_advisory_lock(self._key)))
            connection.rollback()  # of the timeout; the lock is the session's
        except sa.exc.DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
                raise
            connection.rollback()
            return False
        return True

    def _unlock(self, session: _Session) -> None:
        """Give the lock back, or end the session, which does the same."""
        connection = session.connection
        if session.lost:
            return
        try:
            self._outside(connection, sa.func.pg_advisory_unlock(self._key))
        except sa.exc.DBAPIError:
            connection.invalidate()
        except BaseException:
            connection.invalidate()
            raise

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Write in the session that holds the lock; one is taken where there is none."""
        session: _Session | None = getattr(self._held, "session", None)
        if session is None:
            with self.exclusive(time.monotonic() + _LOCK_SECONDS), self.writing() as connection:
                yield connection
            return
        if session.lost:
            raise DockError(f"{self.root}: the connection to {self.name} was lost, and the write lock with it")
        with session.connection.begin():
            yield session.connection

    @contextmanager
    def settled(self) -> Iterator[sa.Connection]:
        """Where the connection was lost during a commit, the server may still be at it: as long as the lock is held."""
        session: _Session | None = getattr(self._held, "session", None)
        if session is None or not session.lost:
            with self.engine.connect() as connection:
                yield connection
            return
        try:
            with self.exclusive(time.monotonic() + _LOCK_SECONDS), self.engine.connect() as connection:
                yield connection
        finally:
            self._held.session = session

    def faults(self, connection: sa.Connection) -> Iterator[tuple[str, str]]:
        """What the server finds when it reads all rows, indexes that are not whole, and keys without their row."""
        for table in (*metadata.sorted_tables, texts):
            if not sa.inspect(connection).has_table(table.name):
                continue
            # Every value, those that are stored out of line too; the server verifies checksums as it reads.
            connection.exec_driver_sql(f"SELECT count(hashtext(CAST(t AS text))) FROM {table.name} t")
            yield from _orphans(connection, table)
        for (name,) in connection.exec_driver_sql(_INVALID_INDEXES):
            yield str(name), "the index is not whole"

    def adopt(self, connection: sa.Connection) -> None:
        """Set each sequence to the largest number that is there."""
        for table in metadata.sorted_tables:
            column = table.autoincrement_column
            if column is not None:
                sequence = sa.func.pg_get_serial_sequence(table.name, column.name)
                connection.execute(sa.select(sa.func.setval(sequence, sa.func.max(column))))

    def drop(self) -> None:
        """Drop the schema with all that is in it."""
        with as_dock_errors(self), self.engine.begin() as connection:
            connection.exec_driver_sql(f"DROP SCHEMA IF EXISTS {self._quoted} CASCADE")


def _orphans(connection: sa.Connection, table: sa.Table) -> Iterator[tuple[str, str]]:
    """Rows that name a row that is not there: whoever may switch the server's own checks off can make them."""
    for key in table.foreign_keys:
        own, parent = key.parent, key.column
        lacking = sa.select(own).where(own.not_in(sa.select(parent))).distinct().order_by(own).limit(1)
        found = connection.execute(lacking).scalar()
        if found is not None:
            yield table.name, f"a row names {parent.table.name} {found!r}, which is not there"
