"""Search in names and descriptions: the text as it is, else what is similar to it; the reference's rule.

Both sides are in lower case. An index of trigrams names the few rows that may hold a text, and the database says which
of them do: on SQLite 2 ms for a million names and descriptions of 25 words, where reading all of them takes 300 ms.
What is similar to a text shares trigrams with it, so the index names what is worth comparing, too. Texts of less than
three characters, and a database without that index, are served by reading all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import sqlalchemy as sa

from learndock import _core
from learndock.config import resolve_threads
from learndock.dock.id_lists import listed_ids, read_ids
from learndock.dock.tables import semantics, texts
from learndock.dock.text_index import TRIGRAM, contains, text_index, trigrams

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]
    IndexArray = npt.NDArray[np.int64]

__all__ = ["TextMatches", "forget_texts", "holds", "insert_texts", "matching_texts"]

# The reference's.
_LEAST_RATIO = 75.0
_ALL = 100.0

# Texts that are read outright, and those worth comparing that the index names: 3 us each to read, 2 us to compare.
_FEW = _MOST_COMPARED = 4_000
_AT_A_TIME = 20_000
# Microseconds for a row that the index names, for one that is asked for, and for each where all are read in order.
_LOOKED_UP, _ASKED, _READ = 0.85, 2.0, 0.35
# Trigrams that are read however many rows they have: one that all texts hold tells nothing.
_LEAST_LISTS = 3


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


def insert_texts(connection: sa.Connection, learnware_id: int, name: str, description: str) -> None:
    """Make a learnware's texts findable."""
    connection.execute(texts.insert().values(rowid=learnware_id, name=name.lower(), description=description.lower()))


def forget_texts(connection: sa.Connection, learnware_ids: Sequence[int]) -> None:
    """Remove the texts of learnwares; those that have none are passed over."""
    listed = listed_ids(np.array(learnware_ids, dtype=np.int64))
    connection.execute(texts.delete().where(texts.c.rowid.in_(listed)))


def holds(
    connection: sa.Connection, text: str, columns: Iterable[sa.ColumnElement[str]] = (texts.c.name, texts.c.description)
) -> sa.ColumnElement[bool]:
    """A condition on `texts`: one of the columns holds the text, whatever its case."""
    wanted = text.lower()
    condition = sa.or_(*(contains(column, wanted) for column in columns))
    match = _match(connection, [wanted])
    return condition if match is None else sa.and_(match, condition)


def _match(connection: sa.Connection, folded: Sequence[str]) -> sa.ColumnElement[bool] | None:
    """A condition that the index decides; None where it can't tell anything."""
    asked = [text for text in folded if len(text) >= TRIGRAM]
    index = text_index(connection)
    return index.narrowed(asked) if asked and index.exists(connection) else None


def matching_texts(
    connection: sa.Connection, wanted: Sequence[str], *, among: IndexArray | None = None, but: IndexArray
) -> TextMatches:
    """Learnwares that hold all texts; where there are none, those that hold something similar to each.

    The reference's rule: similar is a `rapidfuzz.fuzz.partial_ratio` of 75 or more with the name or the description.
    Where more than 4,000 learnwares are in question, it is asked of the 4,000 that share most of the texts' rarer
    trigrams, if there is an index.

    Parameters
    ----------
    connection : Connection
    wanted : sequence of str
        One or more.
    among : ndarray of int64, optional
        Learnwares in question, ascending; by default all.
    but : ndarray of int64
        Learnwares that are not in question, ascending.
    """
    folded = [text.lower() for text in wanted]
    if among is not None:
        among = np.setdiff1d(among, but, assume_unique=True)
    if _few(connection) if among is None else len(among) <= _FEW:
        rows = [row for part in _texts(connection, among) for row in part]
        rows = [row for row, kept in zip(rows, _in_question([row[0] for row in rows], among, but), strict=True) if kept]
        held = [row[0] for row in rows if all(text in row[1] or text in row[2] for text in folded)]
        return _exact(np.array(held, dtype=np.int64)) if held else _similar(folded, [rows], among, but)
    held_ids = read_ids(connection, _holding(connection, folded, among))
    held_ids = held_ids[_in_question(held_ids, among, but)]
    if held_ids.size:
        return _exact(held_ids)
    indexed = [text for text in folded if len(text) >= TRIGRAM] if text_index(connection).exists(connection) else []
    near = _nearest_by_trigrams(connection, indexed, among, but) if indexed else among
    return _similar(folded, _texts(connection, near), among, but)


def _exact(ids: IndexArray) -> TextMatches:
    return TextMatches(np.sort(ids), np.full(len(ids), _ALL), "exact")


def _in_question(ids: npt.ArrayLike, among: IndexArray | None, but: IndexArray) -> npt.NDArray[np.bool_]:
    kept = np.isin(ids, but, invert=True)
    return kept if among is None else kept & np.isin(ids, among)


def _few(connection: sa.Connection) -> bool:
    """Whether the whole dock has so few texts that all of them are read."""
    some = sa.select(semantics.c.learnware_id).limit(_FEW + 1).subquery()
    return int(connection.execute(sa.select(sa.func.count()).select_from(some)).scalar_one()) <= _FEW


def _texts(connection: sa.Connection, ids: IndexArray | None) -> Iterator[Sequence[tuple[int, str, str]]]:
    """Id, name and description of learnwares, some at a time; None for all."""
    query = sa.select(texts.c.rowid, texts.c.name, texts.c.description)
    if ids is None:
        yield from connection.execute(query).partitions(_AT_A_TIME)
        return
    for start in range(0, len(ids), _AT_A_TIME):
        some = listed_ids(ids[start : start + _AT_A_TIME])
        yield connection.execute(query.where(texts.c.rowid.in_(some))).all()


def _holding(connection: sa.Connection, folded: Sequence[str], among: IndexArray | None) -> sa.Select[Any]:
    """A query of the learnwares that hold all texts, found in the fastest way; some may not be among those asked."""
    held = [sa.or_(*(contains(column, text) for column in (texts.c.name, texts.c.description))) for text in folded]
    query = sa.select(texts.c.rowid).where(*held)
    largest = int(connection.execute(sa.select(sa.func.max(semantics.c.learnware_id))).scalar() or 0)
    microseconds, fastest = _READ * largest, query
    if among is not None and _ASKED * len(among) < microseconds:
        microseconds, fastest = _ASKED * len(among), query.where(texts.c.rowid.in_(listed_ids(among)))
    match = _match(connection, folded)
    most = int(microseconds / _LOOKED_UP)
    return fastest if match is None or _count(connection, match, most + 1) > most else query.where(match)


def _count(connection: sa.Connection, match: sa.ColumnElement[bool], most: int) -> int:
    """How many rows the index finds; counted no further than `most`."""
    some = sa.select(texts.c.rowid).where(match).limit(most).subquery()
    return int(connection.execute(sa.select(sa.func.count()).select_from(some)).scalar_one())


def _nearest_by_trigrams(
    connection: sa.Connection, folded: Sequence[str], among: IndexArray | None, but: IndexArray
) -> IndexArray:
    """Those that share most trigrams with each of the texts, at most 4,000, ascending."""
    nearest, least = np.empty(0, np.int64), np.empty(0)
    for i, text in enumerate(folded):
        ids, share = _sharing_trigrams(connection, text)
        if i == 0:
            kept = _in_question(ids, among, but)
            nearest, least = ids[kept], share[kept]
        else:
            nearest, here, there = np.intersect1d(nearest, ids, assume_unique=True, return_indices=True)
            least = np.minimum(least[here], share[there])
    best = np.argsort(-least, kind="stable")[:_MOST_COMPARED]
    return np.sort(nearest[best])


def _sharing_trigrams(connection: sa.Connection, text: str) -> tuple[IndexArray, FloatArray]:
    """Ids, ascending, of what holds trigrams of the text, and the share of those looked at that each holds.

    The rarest trigrams are looked at, since they tell most, until so many rows were found that more would take too
    long.
    """
    index = text_index(connection)
    found = [(_count(connection, index.narrowed([one]), index.most_counted), one) for one in trigrams(text)]
    lists: list[IndexArray] = []
    for count, trigram in sorted(found):
        if len(lists) >= _LEAST_LISTS and sum(len(ids) for ids in lists) + count > index.most_rows:
            break
        lists.append(read_ids(connection, sa.select(texts.c.rowid).where(index.narrowed([trigram]))))
    ids, shared = np.unique(np.concatenate(lists), return_counts=True)
    return ids, shared / len(lists)


def _similar(
    folded: Sequence[str],
    parts: Iterable[Sequence[tuple[int, str, str]]],
    among: IndexArray | None,
    but: IndexArray,
) -> TextMatches:
    found, ratios = [np.empty(0, np.int64)], [np.empty(0)]
    for part in parts:
        if not part:
            continue
        numbers, names, descriptions = zip(*part, strict=True)
        score = _ratios(folded, names, descriptions)
        near = (score >= _LEAST_RATIO) & _in_question(numbers, among, but)
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
