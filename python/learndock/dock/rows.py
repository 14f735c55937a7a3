"""What is read from the catalog and written to it: functions on a connection."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import sqlalchemy as sa

from learndock.dock.id_lists import listed_ids, read_ids
from learndock.dock.space import Space
from learndock.dock.tables import (
    learnwares,
    not_usable,
    pending,
    search_gammas,
    segments,
    semantics,
    sketch_models,
    spaces,
    state,
    tags,
    tombstones,
)
from learndock.dock.text_search import forget_texts, insert_texts

if TYPE_CHECKING:
    import numpy.typing as npt

    from learndock.specification import SemanticSpecification

_MOST_PARAMETERS = 10_000


@dataclass(frozen=True, slots=True)
class PendingSpec:
    """A specification in the catalog: float32 bytes."""

    learnware_id: int
    points: bytes
    weights: bytes
    self_inner: float


def generation(connection: sa.Connection) -> int:
    """How many changes the catalog has seen."""
    # In plain words: every search asks, and the way through SQLAlchemy's expressions takes as long as the rest of it.
    return int(connection.exec_driver_sql("SELECT generation FROM state").scalar_one())


def raise_generation(connection: sa.Connection) -> None:
    """Part of every change: tells readers."""
    connection.execute(state.update().values(generation=state.c.generation + 1))


def take_ids(connection: sa.Connection, count: int) -> range:
    """Fresh ids, never used before."""
    first = int(connection.execute(sa.select(state.c.next_id)).scalar_one())
    connection.execute(state.update().values(next_id=first + count))
    return range(first, first + count)


# Spaces and what lies in them


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


def search_gamma_by_id(connection: sa.Connection) -> dict[int, float]:
    """Search gammas, by space, of those that have one; none in a catalog older than them."""
    if not sa.inspect(connection).has_table(search_gammas.name):
        return {}
    return {row.space_id: row.gamma for row in connection.execute(sa.select(search_gammas))}


def searched_spaces_by_id(connection: sa.Connection) -> dict[int, Space]:
    """All spaces as they are searched: with their search gamma where they have one."""
    found = search_gamma_by_id(connection)
    return {id: replace(space, gamma=found.get(id, space.gamma)) for id, space in spaces_by_id(connection).items()}


def set_search_gamma(connection: sa.Connection, space: int, gamma: float | None) -> None:
    """Give a space another search gamma, or none; sketches of the one before serve no more."""
    search_gammas.create(connection, checkfirst=True)
    connection.execute(search_gammas.delete().filter_by(space_id=space))
    if gamma is not None:
        connection.execute(search_gammas.insert().values(space_id=space, gamma=gamma))
    if sa.inspect(connection).has_table(sketch_models.name):
        connection.execute(sketch_models.delete().filter_by(space_id=space))


def segment_names(connection: sa.Connection, space: int) -> list[str]:
    """Names of the segments of a space."""
    query = sa.select(segments.c.name).filter_by(space_id=space).order_by(segments.c.first_id)
    return list(connection.execute(query).scalars())


def all_segments(connection: sa.Connection) -> dict[str, sa.Row[Any]]:
    """The segments of all spaces, by name."""
    return {row.name: row for row in connection.execute(sa.select(segments).order_by(segments.c.name))}


def sketch_model_names(connection: sa.Connection) -> dict[int, str]:
    """Names of the models of the spaces' sketches, by space; none in a catalog older than sketches."""
    if not sa.inspect(connection).has_table(sketch_models.name):
        return {}
    return {row.space_id: row.name for row in connection.execute(sa.select(sketch_models))}


def set_sketch_model(connection: sa.Connection, space: int, name: str) -> None:
    """Name the model of a space's sketches."""
    sketch_models.create(connection, checkfirst=True)
    connection.execute(sketch_models.delete().filter_by(space_id=space))
    connection.execute(sketch_models.insert().values(space_id=space, name=name))


def pending_specs(connection: sa.Connection, space: int) -> list[PendingSpec]:
    """Specifications of a space that no segment holds yet, by id."""
    rows = connection.execute(sa.select(pending).filter_by(space_id=space).order_by(pending.c.learnware_id))
    return [PendingSpec(row.learnware_id, row.points, row.weights, row.self_inner) for row in rows]


def pending_count(connection: sa.Connection, space: int) -> int:
    """Number of specifications of a space that no segment holds yet."""
    query = sa.select(sa.func.count()).select_from(pending).filter_by(space_id=space)
    return int(connection.execute(query).scalar_one())


def dead_copies(connection: sa.Connection, space: int) -> dict[str, npt.NDArray[np.int64]]:
    """Ids, ascending, whose copy in a segment of the space counts no more, by segment."""
    query = (
        sa.select(segments.c.name)
        .where(segments.c.space_id == space, sa.exists().where(tombstones.c.segment == segments.c.name))
        .order_by(segments.c.name)
    )
    dead = sa.select(tombstones.c.learnware_id)
    return {
        name: read_ids(connection, dead.where(tombstones.c.segment == name))
        for name in connection.execute(query).scalars()
    }


def bury(connection: sa.Connection, copies: Mapping[str, Sequence[int]]) -> None:
    """Mark copies in segments, so that searches pass over them."""
    values = [{"segment": name, "learnware_id": number} for name, numbers in copies.items() for number in numbers]
    if values:
        connection.execute(tombstones.insert(), values)


def unusable_ids(connection: sa.Connection, space: int) -> npt.NDArray[np.int64]:
    """Learnwares of the space that are not usable, ascending."""
    return read_ids(connection, sa.select(learnwares.c.id).where(learnwares.c.space_id == space, not_usable))


def knows_data(connection: sa.Connection, space: int) -> bool:
    """Whether it is known of any learnware of the space how far its specification is from its data."""
    query = sa.select(learnwares.c.id).where(learnwares.c.space_id == space, learnwares.c.fit_mmd2.is_not(None))
    return connection.execute(query.limit(1)).first() is not None


def space_counts(connection: sa.Connection) -> dict[Space, tuple[int, int]]:
    """How many learnwares each space has: all, and those that are usable.

    From what lies where, since each has one specification: to count the learnwares takes 0.2 s for a million.
    """
    number = sa.func.count()
    in_segments = sa.select(segments.c.space_id, sa.func.sum(segments.c.specs)).group_by(segments.c.space_id)
    waiting = sa.select(pending.c.space_id, number).group_by(pending.c.space_id)
    dead = (
        sa.select(segments.c.space_id, number)
        .join(tombstones, tombstones.c.segment == segments.c.name)
        .group_by(segments.c.space_id)
    )
    hidden = sa.select(learnwares.c.space_id, number).where(not_usable).group_by(learnwares.c.space_id)
    each = [
        {space: int(count) for space, count in connection.execute(query)}
        for query in (in_segments, waiting, dead, hidden)
    ]
    found = {}
    for id, space in spaces_by_id(connection).items():
        held, waits, gone, unusable = (counts.get(id, 0) for counts in each)
        found[space] = (held + waits - gone, held + waits - gone - unusable)
    return {space: counts for space, counts in found.items() if counts[0]}


# Learnwares


def insert_ingested(connection: sa.Connection, ids: range, space: int, *, status: int, now: str) -> None:
    """Rows of specifications alone; the database counts, which takes a third of the time of passing each row."""
    number = sa.select(sa.literal(ids.start, sa.BigInteger).label("id")).cte("numbers", recursive=True)
    number = number.union_all(sa.select(number.c.id + 1).where(number.c.id < ids.stop - 1))
    columns = ["id", "space_id", "status", "submitted_at"]
    each = sa.select(number.c.id, sa.literal(space), sa.literal(status), sa.literal(now))
    connection.execute(learnwares.insert().from_select(columns, each))


def insert_semantic(connection: sa.Connection, learnware_id: int, semantic: SemanticSpecification) -> None:
    """The semantic part of one learnware, and what finds it: its class and tag keys and its texts."""
    connection.execute(
        semantics.insert().values(
            learnware_id=learnware_id,
            name=semantic.name,
            description=semantic.description,
            semantic=semantic.to_dict(),
        )
    )
    insert_derived(connection, learnware_id, semantic)


def insert_derived(connection: sa.Connection, learnware_id: int, semantic: SemanticSpecification) -> None:
    """What finds a semantic part."""
    rows = [{"learnware_id": learnware_id, "key": key, "value": value} for key, value in tags_of(semantic)]
    if rows:
        connection.execute(tags.insert(), rows)
    insert_texts(connection, learnware_id, semantic.name, semantic.description)


def tags_of(semantic: SemanticSpecification) -> set[tuple[str, str]]:
    """Its class and tag keys, each with its values."""
    return {(key, value) for key, values in {**semantic.classes, **semantic.tags}.items() for value in values}


def remove_semantics(connection: sa.Connection, ids: Sequence[int]) -> None:
    """Delete the semantic part of learnwares, and what finds it."""
    listed = listed_ids(np.array(ids, dtype=np.int64))
    connection.execute(semantics.delete().where(semantics.c.learnware_id.in_(listed)))
    remove_derived(connection, ids)


def remove_derived(connection: sa.Connection, ids: Sequence[int]) -> None:
    """Delete what finds semantic parts."""
    connection.execute(tags.delete().where(tags.c.learnware_id.in_(listed_ids(np.array(ids, dtype=np.int64)))))
    forget_texts(connection, ids)


def insert_pending(connection: sa.Connection, specs: Iterable[PendingSpec], space: int) -> None:
    """Specifications that no segment holds yet."""
    values = [
        {
            "learnware_id": spec.learnware_id,
            "space_id": space,
            "points": spec.points,
            "weights": spec.weights,
            "self_inner": spec.self_inner,
        }
        for spec in specs
    ]
    connection.execute(pending.insert(), values)


def remove_pending(connection: sa.Connection, ids: Sequence[int]) -> None:
    """Delete specifications that no segment holds; ids without one are passed over."""
    connection.execute(pending.delete().where(pending.c.learnware_id.in_(listed_ids(np.array(ids, dtype=np.int64)))))


def remove_learnwares(connection: sa.Connection, ids: Sequence[int]) -> None:
    """Delete learnwares with all rows that are theirs; copies in segments are for `bury`."""
    remove_semantics(connection, ids)
    remove_pending(connection, ids)
    connection.execute(learnwares.delete().where(learnwares.c.id.in_(listed_ids(np.array(ids, dtype=np.int64)))))


def existing_ids(connection: sa.Connection, ids: Iterable[int]) -> set[int]:
    """Which of the ids are in the catalog."""
    listed = listed_ids(np.fromiter(ids, dtype=np.int64))
    return set(read_ids(connection, sa.select(learnwares.c.id).where(learnwares.c.id.in_(listed))).tolist())


def rows_of(connection: sa.Connection, ids: Sequence[int]) -> dict[int, sa.Row[Any]]:
    """The learnwares of the given ids, without their semantic part."""
    listed = listed_ids(np.array(ids, dtype=np.int64))
    return {row.id: row for row in connection.execute(sa.select(learnwares).where(learnwares.c.id.in_(listed)))}


def whole_rows_of(connection: sa.Connection, ids: Sequence[int]) -> dict[int, sa.Row[Any]]:
    """The learnwares of the given ids with name, description and semantic part, None where they have none."""
    columns = (semantics.c.name, semantics.c.description, semantics.c.semantic)
    joined = sa.select(learnwares, *columns).outerjoin(semantics, semantics.c.learnware_id == learnwares.c.id)
    found: dict[int, sa.Row[Any]] = {}
    for some in batches(ids):
        found.update((row.id, row) for row in connection.execute(joined.where(learnwares.c.id.in_(some))))
    return found


def zip_rows(connection: sa.Connection) -> dict[int, sa.Row[Any]]:
    """Id, zip_sha256 and zip_bytes of the learnwares that have a zip, by id."""
    query = sa.select(learnwares.c.id, learnwares.c.zip_sha256, learnwares.c.zip_bytes)
    found: Iterable[sa.Row[Any]] = connection.execute(
        query.where(learnwares.c.zip_sha256.is_not(None)).order_by(learnwares.c.id)
    )
    return {row.id: row for row in found}


def ids_of_zip(connection: sa.Connection, sha256: str) -> list[int]:
    """Learnwares whose zip has this sha256, ascending."""
    query = sa.select(learnwares.c.id).where(learnwares.c.zip_sha256 == sha256).order_by(learnwares.c.id)
    return list(connection.execute(query).scalars())


def count(connection: sa.Connection, conditions: Sequence[sa.ColumnElement[bool]] = ()) -> int:
    """Number of learnwares that fulfil the conditions."""
    query = sa.select(sa.func.count()).select_from(learnwares).where(*conditions)
    return int(connection.execute(query).scalar_one())


def batches(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    """A few thousand ids at a time: databases limit the parameters of a statement."""
    for start in range(0, len(ids), _MOST_PARAMETERS):
        yield ids[start : start + _MOST_PARAMETERS]
