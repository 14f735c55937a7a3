"""What the catalog holds of peer reviews: functions on a connection. Older catalogs hold nothing of the kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import sqlalchemy as sa

from learndock.dock.id_lists import listed_ids, read_ids
from learndock.dock.rows import batches
from learndock.dock.tables import USABLE, audit, learnwares, own_outputs, peer_losses, semantics

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]
    IndexArray = npt.NDArray[np.int64]

__all__ = [
    "OutputFacts",
    "OwnOutputs",
    "PeerLosses",
    "Runnable",
    "create_reviews",
    "facts_of",
    "failures",
    "forget_reviews",
    "has_reviews",
    "ids_by_meaning",
    "insert_losses",
    "insert_outputs",
    "known_outputs",
    "known_pairs",
    "losses_of_models",
    "matrices",
    "outputs_of",
    "pairs_among",
    "reviewed_ids",
    "runnables",
    "submitters",
]

_NUMBER_BYTES = np.dtype(np.float32).itemsize
# Of one model, so many of the nearest sketches that it was tried on travel with it.
_MOST_LOSSES = 100


@dataclass(frozen=True, slots=True)
class Runnable:
    """A learnware whose model can be tried.

    Attributes
    ----------
    id : int
    space_id : int
    version : int
    semantic : mapping
    """

    id: int
    space_id: int
    version: int
    semantic: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class OwnOutputs:
    """What counts as the truth at the points of a specification: its own model's outputs.

    Where the learnware ships mean labels of its points (see `Learnware.pack`), these in their place.

    Attributes
    ----------
    id : int
    meaning : str
    outputs : ndarray of shape (K, columns), or None
        None where it failed, for the reason in `failure`.
    variance : float or None
        Of the outputs under the specification's weights, in the unit of losses: what a model loses there that says the
        mean everywhere.
    validation_loss : float or None
    failure : str or None
    columns : int
    """

    id: int
    meaning: str
    columns: int
    outputs: FloatArray | None
    variance: float | None = None
    validation_loss: float | None = None
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class OutputFacts:
    """What is to be known of own outputs without reading them; see `OwnOutputs`.

    Attributes
    ----------
    meaning : str
    points : int
        0 where the model failed.
    variance, validation_loss : float or None
    """

    meaning: str
    points: int
    variance: float | None
    validation_loss: float | None


@dataclass(frozen=True, slots=True, eq=False)
class PeerLosses:
    """What a model loses on the sketch of another."""

    model: int
    sketch: int
    mean: float
    variance: float
    mmd2: float
    losses: FloatArray


def has_reviews(connection: sa.Connection) -> bool:
    """Whether there are the tables."""
    return sa.inspect(connection).has_table(peer_losses.name)


def create_reviews(connection: sa.Connection) -> None:
    """Make the tables where they are not there."""
    own_outputs.create(connection, checkfirst=True)
    peer_losses.create(connection, checkfirst=True)


def runnables(connection: sa.Connection, ids: Sequence[int] | None = None) -> list[Runnable]:
    """Usable learnwares with a zip and a semantic part, by id; all, or those of the given ids."""
    columns = (learnwares.c.id, learnwares.c.space_id, learnwares.c.version, semantics.c.semantic)
    query = (
        sa.select(*columns)
        .join(semantics, semantics.c.learnware_id == learnwares.c.id)
        .where(learnwares.c.status == USABLE, learnwares.c.zip_sha256.is_not(None))
        .order_by(learnwares.c.id)
    )
    queries = [query] if ids is None else [query.where(learnwares.c.id.in_(some)) for some in batches(sorted(ids))]
    return [Runnable(*row) for some in queries for row in connection.execute(some)]


def reviewed_ids(connection: sa.Connection, meaning: str) -> IndexArray:
    """Learnwares of one meaning of their outputs whose own outputs are known, ascending."""
    known = own_outputs.c.outputs.is_not(None)
    return read_ids(connection, sa.select(own_outputs.c.learnware_id).where(own_outputs.c.meaning == meaning, known))


def outputs_of(connection: sa.Connection, ids: Iterable[int]) -> dict[int, OwnOutputs]:
    """Own outputs of the learnwares that have some, or failed."""
    found = {}
    for some in batches(list(ids)):
        for row in connection.execute(sa.select(own_outputs).where(own_outputs.c.learnware_id.in_(some))):
            values = None if row.outputs is None else _floats(row.outputs).reshape(-1, row.columns)
            found[row.learnware_id] = OwnOutputs(
                row.learnware_id, row.meaning, row.columns, values, row.variance, row.validation_loss, row.failure
            )
    return found


def facts_of(connection: sa.Connection, ids: Sequence[int]) -> dict[int, OutputFacts]:
    """What is known of the own outputs of those learnwares that have some, or failed."""
    size = sa.func.length(own_outputs.c.outputs)
    columns = (own_outputs.c.learnware_id, own_outputs.c.meaning, own_outputs.c.columns, size)
    query = sa.select(*columns, own_outputs.c.variance, own_outputs.c.validation_loss)
    found = {}
    for id, meaning, width, held, *losses in connection.execute(
        query.where(own_outputs.c.learnware_id.in_(listed_ids(np.array(ids, np.int64))))
    ):
        found[id] = OutputFacts(meaning, (held or 0) // (_NUMBER_BYTES * width), *losses)
    return found


def failures(connection: sa.Connection) -> dict[int, str]:
    """Why models could not be tried, by learnware, ascending."""
    query = sa.select(own_outputs.c.learnware_id, own_outputs.c.failure).where(own_outputs.c.failure.is_not(None))
    return {row.learnware_id: row.failure for row in connection.execute(query.order_by(own_outputs.c.learnware_id))}


def ids_by_meaning(connection: sa.Connection) -> dict[str, list[int]]:
    """Learnwares whose own outputs are known, ascending, by the meaning of these."""
    query = sa.select(own_outputs.c.meaning, own_outputs.c.learnware_id).where(own_outputs.c.outputs.is_not(None))
    groups: dict[str, list[int]] = {}
    for meaning, id in connection.execute(query.order_by(own_outputs.c.learnware_id)):
        groups.setdefault(meaning, []).append(id)
    return groups


def known_outputs(connection: sa.Connection) -> set[int]:
    """Learnwares whose own outputs are known, or failed."""
    return set(read_ids(connection, sa.select(own_outputs.c.learnware_id)).tolist())


def known_pairs(connection: sa.Connection, models: Sequence[int]) -> set[tuple[int, int]]:
    """Pairs (model, sketch) that have been tried."""
    pairs: set[tuple[int, int]] = set()
    for some in batches(models):
        query = sa.select(peer_losses.c.model_id, peer_losses.c.sketch_id).where(peer_losses.c.model_id.in_(some))
        pairs.update((model, sketch) for model, sketch in connection.execute(query))
    return pairs


def insert_outputs(connection: sa.Connection, own: OwnOutputs) -> None:
    """Keep a model's own outputs in the place of what was there."""
    connection.execute(own_outputs.delete().filter_by(learnware_id=own.id))
    connection.execute(
        own_outputs.insert().values(
            learnware_id=own.id,
            meaning=own.meaning,
            columns=own.columns,
            outputs=None if own.outputs is None else _bytes(own.outputs),
            variance=own.variance,
            validation_loss=own.validation_loss,
            failure=own.failure,
        )
    )


def insert_losses(connection: sa.Connection, found: Sequence[PeerLosses]) -> None:
    """Keep losses in the place of what was there."""
    for one in found:
        connection.execute(peer_losses.delete().filter_by(sketch_id=one.sketch, model_id=one.model))
    values = [
        {
            "sketch_id": one.sketch,
            "model_id": one.model,
            "mean": one.mean,
            "variance": one.variance,
            "mmd2": one.mmd2,
            "losses": _bytes(one.losses),
        }
        for one in found
    ]
    if values:
        connection.execute(peer_losses.insert(), values)


def forget_reviews(connection: sa.Connection, learnware_id: int, *, unless_meaning: str | None) -> None:
    """What was found of a model or a sketch that is another now; one that is deleted takes it along.

    Nothing where its own outputs were kept under `unless_meaning`.
    """
    if not has_reviews(connection):
        return
    own = sa.select(own_outputs.c.meaning).filter_by(learnware_id=learnware_id)
    if unless_meaning is not None and connection.execute(own).scalar() == unless_meaning:
        return
    connection.execute(own_outputs.delete().filter_by(learnware_id=learnware_id))
    either = (peer_losses.c.model_id == learnware_id) | (peer_losses.c.sketch_id == learnware_id)
    connection.execute(peer_losses.delete().where(either))


def matrices(
    connection: sa.Connection, models: Sequence[int], sketches: Sequence[int]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Means, variances and squared MMDs of the pairs, shape (models, sketches); NaN where not known."""
    found = np.full((3, len(models), len(sketches)), np.nan)
    row_of, column_of = ({id: i for i, id in enumerate(ids)} for ids in (models, sketches))
    columns = (peer_losses.c.model_id, peer_losses.c.sketch_id, peer_losses.c.mean, peer_losses.c.variance)
    query = sa.select(*columns, peer_losses.c.mmd2).where(
        peer_losses.c.sketch_id.in_(listed_ids(np.array(sketches, np.int64))),
        peer_losses.c.model_id.in_(listed_ids(np.array(models, np.int64))),
    )
    pairs = connection.execute(query).all()
    if pairs:
        at = [row_of[pair.model_id] for pair in pairs], [column_of[pair.sketch_id] for pair in pairs]
        found[:, at[0], at[1]] = np.array([pair[2:] for pair in pairs]).T
    return found[0], found[1], found[2]


def pairs_among(connection: sa.Connection, ids: IndexArray) -> tuple[IndexArray, IndexArray, FloatArray, FloatArray]:
    """What is known of pairs among some learnwares: models, sketches, mean losses and squared MMDs, by sketch."""
    query = (
        sa.select(peer_losses.c.model_id, peer_losses.c.sketch_id, peer_losses.c.mean, peer_losses.c.mmd2)
        .where(peer_losses.c.sketch_id.in_(listed_ids(ids)), peer_losses.c.model_id.in_(listed_ids(ids)))
        .order_by(peer_losses.c.sketch_id, peer_losses.c.model_id)
    )
    pairs = np.dtype([("model", np.int64), ("sketch", np.int64), ("mean", np.float64), ("mmd2", np.float64)])
    found = np.fromiter((tuple(row) for row in connection.execute(query)), dtype=pairs)
    return found["model"], found["sketch"], found["mean"], found["mmd2"]


def losses_of_models(connection: sa.Connection, models: Iterable[int]) -> dict[int, dict[int, FloatArray]]:
    """What models lose at each point of the nearest of the sketches that they were tried on, by model and sketch."""
    found: dict[int, dict[int, FloatArray]] = {}
    for model in models:
        query = sa.select(peer_losses.c.sketch_id, peer_losses.c.losses).where(peer_losses.c.model_id == model)
        rows = connection.execute(query.order_by(peer_losses.c.mmd2, peer_losses.c.sketch_id).limit(_MOST_LOSSES))
        found[model] = {row.sketch_id: _floats(row.losses) for row in rows}
    return found


def submitters(connection: sa.Connection, ids: Sequence[int]) -> dict[int, str]:
    """Who submitted learnwares, as the audit log says."""
    found: dict[int, str] = {}
    for some in batches(ids):
        query = sa.select(audit.c.learnware_id, audit.c.actor).where(
            audit.c.learnware_id.in_(some), audit.c.action == "submit", audit.c.status >= 0
        )
        found.update((id, actor) for id, actor in connection.execute(query))
    return found


def _bytes(values: FloatArray) -> bytes:
    return values.astype(np.float32).tobytes()


def _floats(held: bytes) -> FloatArray:
    return np.frombuffer(held, np.float32).astype(np.float64)
