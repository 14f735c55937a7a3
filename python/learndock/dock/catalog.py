"""The catalog: which learnwares there are, what they are for, and where their specifications lie.

SQLAlchemy Core. Every change is one transaction, and raises the catalog's generation by one: a reader that has seen a
generation knows by one number whether anything changed.
"""

from __future__ import annotations

import json
import os
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import sqlalchemy as sa

from learndock.dock.space import Space
from learndock.errors import DockError

if TYPE_CHECKING:
    import sqlite3

    from learndock.specification import SemanticQuery

_MOST_PARAMETERS = 10_000

metadata = sa.MetaData()

state = sa.Table(
    "state",
    metadata,
    sa.Column("one", sa.Integer, primary_key=True),
    sa.Column("generation", sa.BigInteger, nullable=False),
    sa.Column("next_id", sa.BigInteger, nullable=False),
)

spaces = sa.Table(
    "spaces",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("input_shape", sa.Text, nullable=False),
    sa.Column("gamma", sa.Double, nullable=False),
    sa.UniqueConstraint("type", "input_shape", "gamma"),
)

segments = sa.Table(
    "segments",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("space_id", sa.ForeignKey("spaces.id"), nullable=False),
    sa.Column("first_id", sa.BigInteger, nullable=False),
    sa.Column("specs", sa.BigInteger, nullable=False),
)

learnwares = sa.Table(
    "learnwares",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False),
    sa.Column("space_id", sa.ForeignKey("spaces.id"), nullable=False),
    sa.Column("status", sa.SmallInteger, nullable=False),
    sa.Column("name", sa.Text),
    sa.Column("description", sa.Text),
    sa.Column("semantic", sa.JSON),
    sa.Column("zip_sha256", sa.Text),
    sa.Column("zip_bytes", sa.BigInteger),
    sa.Column("num_points", sa.BigInteger),
    sa.Column("fit_mmd2", sa.Double),
    sa.Column("submitted_at", sa.Text, nullable=False),
)

# Class and tag keys of the semantic part: what a filter asks for.
tags = sa.Table(
    "tags",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, primary_key=True),
    sa.Column("learnware_id", sa.ForeignKey("learnwares.id", ondelete="CASCADE"), primary_key=True),
    sa.Index("tags_of_learnware", "learnware_id"),
    sqlite_with_rowid=False,
)

# Specifications that no segment holds yet: points and weights as float32.
pending = sa.Table(
    "pending",
    metadata,
    sa.Column("learnware_id", sa.ForeignKey("learnwares.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("space_id", sa.ForeignKey("spaces.id"), nullable=False),
    sa.Column("points", sa.LargeBinary, nullable=False),
    sa.Column("weights", sa.LargeBinary, nullable=False),
    sa.Column("self_inner", sa.Double, nullable=False),
)

# Deleted learnwares that a segment still holds.
tombstones = sa.Table(
    "tombstones",
    metadata,
    sa.Column(
        "learnware_id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False
    ),
    sa.Column("space_id", sa.ForeignKey("spaces.id"), nullable=False),
)


@dataclass(frozen=True, slots=True)
class PendingSpec:
    """A specification in the catalog: float32 bytes."""

    learnware_id: int
    points: bytes
    weights: bytes
    self_inner: float


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


def generation(connection: sa.Connection) -> int:
    """How many changes the catalog has seen."""
    return int(connection.execute(sa.select(state.c.generation)).scalar_one())


def raise_generation(connection: sa.Connection) -> None:
    """Part of every change: tells readers."""
    connection.execute(state.update().values(generation=state.c.generation + 1))


def take_ids(connection: sa.Connection, count: int) -> range:
    """Fresh ids, never used before."""
    first = int(connection.execute(sa.select(state.c.next_id)).scalar_one())
    connection.execute(state.update().values(next_id=first + count))
    return range(first, first + count)


def space_id(connection: sa.Connection, space: Space) -> int:
    """The space's row, made where absent."""
    values = {"type": space.type, "input_shape": space.shape_text, "gamma": space.gamma}
    query = sa.select(spaces.c.id).filter_by(**values)
    if connection.execute(query).first() is None:
        connection.execute(spaces.insert().values(**values))
    return int(connection.execute(query).scalar_one())


def spaces_by_id(connection: sa.Connection) -> dict[int, Space]:
    """All spaces."""
    rows = connection.execute(sa.select(spaces))
    return {row.id: Space(row.type, tuple(json.loads(row.input_shape)), row.gamma) for row in rows}


def segment_names(connection: sa.Connection, space: int) -> list[str]:
    """Names of the segments of a space."""
    query = sa.select(segments.c.name).filter_by(space_id=space).order_by(segments.c.first_id)
    return list(connection.execute(query).scalars())


def all_segment_names(connection: sa.Connection) -> set[str]:
    """Names of all segments."""
    return set(connection.execute(sa.select(segments.c.name)).scalars())


def pending_specs(connection: sa.Connection, space: int) -> list[PendingSpec]:
    """Specifications of a space that no segment holds yet, by id."""
    rows = connection.execute(sa.select(pending).filter_by(space_id=space).order_by(pending.c.learnware_id))
    return [PendingSpec(row.learnware_id, row.points, row.weights, row.self_inner) for row in rows]


def deleted_ids(connection: sa.Connection, space: int) -> list[int]:
    """Learnwares that a segment of the space still holds though they were deleted."""
    return list(connection.execute(sa.select(tombstones.c.learnware_id).filter_by(space_id=space)).scalars())


def unusable_ids(connection: sa.Connection, space: int, usable: int) -> list[int]:
    """Learnwares of the space whose status is not the usable one."""
    query = sa.select(learnwares.c.id).where(learnwares.c.space_id == space, learnwares.c.status != usable)
    return list(connection.execute(query).scalars())


def usable_counts(connection: sa.Connection, usable: int) -> dict[Space, int]:
    """How many usable learnwares each space has."""
    query = sa.select(learnwares.c.space_id, sa.func.count()).filter_by(status=usable).group_by(learnwares.c.space_id)
    known = spaces_by_id(connection)
    return {known[id]: count for id, count in connection.execute(query)}


def insert_tags(connection: sa.Connection, learnware_id: int, values: Mapping[str, Sequence[str]]) -> None:
    """Class and tag keys of one learnware."""
    rows = [{"learnware_id": learnware_id, "key": key, "value": value} for key in values for value in set(values[key])]
    if rows:
        connection.execute(tags.insert(), rows)


def matching_ids(connection: sa.Connection, query: SemanticQuery) -> list[int] | None:
    """Ids of the learnwares that a semantic query lets through, ascending; None where it asks for nothing.

    A class key matches where the learnware's value is among the asked ones, a tag key where the two share a value (the
    reference's rule).
    """
    wanted = {**query.classes, **query.tags}
    if not wanted:
        return None
    statement = sa.select(learnwares.c.id).order_by(learnwares.c.id)
    for key, values in wanted.items():
        having = sa.select(tags.c.learnware_id).where(tags.c.key == key, tags.c.value.in_(list(values)))
        statement = statement.where(learnwares.c.id.in_(having))
    return list(connection.execute(statement).scalars())


def existing_ids(connection: sa.Connection, ids: Iterable[int]) -> set[int]:
    """Which of the ids are in the catalog."""
    found: set[int] = set()
    for some in _batches(list(ids)):
        found.update(connection.execute(sa.select(learnwares.c.id).where(learnwares.c.id.in_(some))).scalars())
    return found


def _batches(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    """A few thousand ids at a time: databases limit the parameters of a statement."""
    for start in range(0, len(ids), _MOST_PARAMETERS):
        yield ids[start : start + _MOST_PARAMETERS]


def rows_in_order(connection: sa.Connection, after: int, limit: int) -> Sequence[sa.Row[Any]]:
    """A page of the learnwares, by id, and their spaces."""
    query = sa.select(learnwares).where(learnwares.c.id > after).order_by(learnwares.c.id).limit(limit)
    return connection.execute(query).all()


def rows_of(connection: sa.Connection, ids: Sequence[int]) -> dict[int, sa.Row[Any]]:
    """The learnwares of the given ids."""
    found: dict[int, sa.Row[Any]] = {}
    for some in _batches(ids):
        rows = connection.execute(sa.select(learnwares).where(learnwares.c.id.in_(some)))
        found.update((row.id, row) for row in rows)
    return found


def count(connection: sa.Connection) -> int:
    """Number of learnwares."""
    return int(connection.execute(sa.select(sa.func.count()).select_from(learnwares)).scalar_one())


def pending_count(connection: sa.Connection, space: int) -> int:
    """Number of specifications of a space that no segment holds yet."""
    query = sa.select(sa.func.count()).select_from(pending).filter_by(space_id=space)
    return int(connection.execute(query).scalar_one())


def remove(connection: sa.Connection, ids: Sequence[int]) -> None:
    """Delete learnwares. Those that a segment holds are marked, so that searches pass over them."""
    for some in _batches(ids):
        held = sa.select(learnwares.c.id, learnwares.c.space_id).where(
            learnwares.c.id.in_(some), learnwares.c.id.not_in(sa.select(pending.c.learnware_id))
        )
        connection.execute(tombstones.insert().from_select(["learnware_id", "space_id"], held))
        connection.execute(tags.delete().where(tags.c.learnware_id.in_(some)))
        connection.execute(pending.delete().where(pending.c.learnware_id.in_(some)))
        connection.execute(learnwares.delete().where(learnwares.c.id.in_(some)))


def remove_tombstones(connection: sa.Connection, ids: Sequence[int]) -> None:
    """Forget deleted learnwares that no segment holds any more."""
    for some in _batches(ids):
        connection.execute(tombstones.delete().where(tombstones.c.learnware_id.in_(some)))
