"""Search in names and descriptions: the text as it is, else what is similar to it; the reference's rule.

Both sides are in lower case. On SQLite an FTS5 index of trigrams names the few rows that may hold a text, and `instr`
says which of them do: 2 ms for a million names and descriptions of 25 words, where reading all of them takes 300 ms.
Texts of less than three characters, and a SQLite without that index, are served by reading all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import sqlalchemy as sa

from learndock import _core
from learndock.config import resolve_threads
from learndock.dock.tables import learnwares, texts

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]
    IndexArray = npt.NDArray[np.int64]

__all__ = ["TextMatches", "create_texts", "forget_texts", "holds", "insert_texts", "matching_texts"]

# The reference's.
_LEAST_RATIO = 75.0
_ALL = 100.0

_TRIGRAM = 3
# Any of a text's trigrams narrow the rows down, and `instr` decides: a few dozen are enough for the longest text.
_MOST_TRIGRAMS = 32
_SIMILAR_AT_A_TIME = 20_000

_INDEXED = (
    "CREATE VIRTUAL TABLE texts USING fts5(name, description, tokenize = 'trigram case_sensitive 1', detail = 'none')"
)
_PLAIN = "CREATE TABLE texts (rowid INTEGER PRIMARY KEY, name TEXT, description TEXT)"


@dataclass(frozen=True, slots=True, eq=False)
class TextMatches:
    """Learnwares that hold the texts, best first, ties by id.

    Attributes
    ----------
    ids : ndarray of int64
    scores : ndarray of float64
        0 to 100: the least ratio of the texts asked for.
    kind : {"exact", "similar"}
    """

    ids: IndexArray
    scores: FloatArray
    kind: Literal["exact", "similar"]


def create_texts(connection: sa.Connection) -> None:
    """Make the table, where it is not there; a SQLite that is built without trigrams gets one without an index."""
    if _definition(connection) is not None:
        return
    try:
        with connection.begin_nested():
            connection.exec_driver_sql(_INDEXED)
    except sa.exc.OperationalError:
        connection.exec_driver_sql(_PLAIN)


def _definition(connection: sa.Connection) -> str | None:
    found = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE name = 'texts'").scalar()
    return None if found is None else str(found)


def insert_texts(connection: sa.Connection, learnware_id: int, name: str, description: str) -> None:
    """Make a learnware's texts findable."""
    connection.execute(texts.insert().values(rowid=learnware_id, name=name.lower(), description=description.lower()))


def forget_texts(connection: sa.Connection, learnware_ids: Sequence[int]) -> None:
    """Remove the texts of a few thousand learnwares at most; those that have none are passed over."""
    connection.execute(texts.delete().where(texts.c.rowid.in_(learnware_ids)))


def holds(
    connection: sa.Connection, text: str, columns: Iterable[sa.ColumnElement[str]] = (texts.c.name, texts.c.description)
) -> sa.ColumnElement[bool]:
    """A condition on `texts`: one of the columns holds the text, whatever its case."""
    wanted = text.lower()
    condition = sa.or_(*(sa.func.instr(column, wanted) > 0 for column in columns))
    if len(wanted) < _TRIGRAM or "fts5" not in (_definition(connection) or ""):
        return condition
    starts = np.unique(np.linspace(0, len(wanted) - _TRIGRAM, _MOST_TRIGRAMS, dtype=int)).tolist()
    trigrams = {wanted[start : start + _TRIGRAM].replace('"', '""') for start in starts}
    match = " AND ".join(f'"{trigram}"' for trigram in sorted(trigrams))
    return sa.and_(sa.literal_column("texts").op("MATCH")(match), condition)


def matching_texts(
    connection: sa.Connection, wanted: Sequence[str], conditions: Sequence[sa.ColumnElement[bool]]
) -> TextMatches:
    """Learnwares that hold all texts; where there are none, those that hold something similar to each.

    The reference's rule: similar is a `rapidfuzz.fuzz.partial_ratio` of 75 or more with the name or the description.

    Parameters
    ----------
    connection : Connection
    wanted : sequence of str
        One or more.
    conditions : sequence of ColumnElement
        On `learnwares`: what those in question fulfil.
    """
    # Asked of each row that holds the text, so that the index of texts leads and not the larger side.
    among: sa.ColumnElement[bool] = sa.true()
    if conditions:
        among = sa.exists().where(learnwares.c.id == texts.c.rowid, *conditions)
    exact = sa.select(texts.c.rowid).where(*(holds(connection, text) for text in wanted), among)
    ids = np.sort(np.fromiter(connection.execute(exact).scalars(), dtype=np.int64))
    if ids.size:
        return TextMatches(ids, np.full(len(ids), _ALL), "exact")
    rows = connection.execute(sa.select(texts.c.rowid, texts.c.name, texts.c.description).where(among))
    found, ratios = [ids], [np.empty(0)]
    for part in rows.partitions(_SIMILAR_AT_A_TIME):
        numbers, names, descriptions = zip(*part, strict=True)
        score = _ratios([text.lower() for text in wanted], names, descriptions)
        near = score >= _LEAST_RATIO
        found.append(np.array(numbers, dtype=np.int64)[near])
        ratios.append(score[near])
    ids, scores = np.concatenate(found), np.concatenate(ratios)
    order = np.lexsort((ids, -scores))
    return TextMatches(ids[order], scores[order], "similar")


def _ratios(wanted: Sequence[str], names: Sequence[str], descriptions: Sequence[str]) -> FloatArray:
    """The least, over the texts, of the best ratio with name and description; 0 where that is below what counts."""
    from rapidfuzz import fuzz, process

    ratios = [
        process.cdist(
            wanted,
            held,
            scorer=fuzz.partial_ratio,
            score_cutoff=_LEAST_RATIO,
            dtype=np.float64,
            workers=resolve_threads(None) or _core.default_threads(),
        )
        for held in (names, descriptions)
    ]
    least: FloatArray = np.maximum(*ratios).min(axis=0)
    return least
