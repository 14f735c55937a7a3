"""The list of a dock: filtered, in the order asked for, page by page.

The order is found once, as ids of 8 bytes each, so that no index has to be kept for each way to sort (by id there is
one); what is in the list is read as it is asked for, a page at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import sqlalchemy as sa

from learndock.dock import rows
from learndock.dock.entry import Entry, entry_of
from learndock.dock.filters import Filter, matches, selected
from learndock.dock.results import SemanticHit, SemanticResult
from learndock.dock.tables import learnwares, texts
from learndock.errors import InvalidArgument

if TYPE_CHECKING:
    import numpy.typing as npt

    from learndock.dock.catalog import Catalog

__all__ = ["SortKey", "checked_sort", "counted", "listed", "ranked"]

SortKey = Literal["id", "name", "status", "submitted_at", "updated_at", "num_points", "zip_bytes"]

_PAGE = 1000


def checked_sort(sort: str) -> SortKey:
    """The key, if it is one."""
    for key in get_args(SortKey):
        if key == sort:
            return key  # type: ignore[no-any-return]
    raise InvalidArgument(f"sort: expected one of {', '.join(get_args(SortKey))}, got {sort!r}")


def listed(catalog: Catalog, wanted: Filter, *, sort: SortKey, descending: bool, limit: int | None) -> Iterator[Entry]:
    """Entries in order, ties by id; what has no value of the key comes last.

    They are those that are there when the first is read, but for a list of all by id, which goes on to what is added;
    what is deleted meanwhile is passed over.
    """
    for ids in _pages(catalog, wanted, sort, descending=descending, limit=limit):
        with catalog.reading() as connection:
            page = _entries(connection, ids)
        yield from page


def _pages(
    catalog: Catalog, wanted: Filter, sort: SortKey, *, descending: bool, limit: int | None
) -> Iterator[list[int]]:
    if sort != "id" or wanted.name or wanted.query is not None:
        with catalog.reading() as connection:
            ids = _ordered(connection, wanted, sort, descending=descending, limit=limit)
        yield from (ids[start : start + _PAGE].tolist() for start in range(0, len(ids), _PAGE))
        return
    # The whole dock by id: each page begins where the one before has ended.
    after: sa.ColumnElement[bool] = sa.true()
    left, page = limit, [0]
    while page:
        most = _PAGE if left is None else min(_PAGE, left)
        with catalog.reading() as connection:
            query = sa.select(learnwares.c.id).where(after, *selected(connection, wanted))
            query = query.order_by(learnwares.c.id.desc() if descending else learnwares.c.id).limit(most)
            page = list(connection.execute(query).scalars())
        if page:
            yield page
            after = learnwares.c.id < page[-1] if descending else learnwares.c.id > page[-1]
            left = None if left is None else left - len(page)


def _entries(connection: sa.Connection, ids: list[int]) -> list[Entry]:
    """Entries of the given ids, in their order; those that are gone are passed over."""
    known = rows.spaces_by_id(connection)
    found = rows.whole_rows_of(connection, ids)
    return [entry_of(found[id], known[found[id].space_id]) for id in ids if id in found]


def _ordered(
    connection: sa.Connection, wanted: Filter, sort: SortKey, *, descending: bool, limit: int | None
) -> npt.NDArray[np.int64]:
    found = matches(connection, wanted)
    query = sa.select(learnwares.c.id).where(*selected(connection, wanted))
    key: sa.ColumnElement[Any] = texts.c.name if sort == "name" else learnwares.c[sort]
    if sort == "name":
        query = query.outerjoin(texts, texts.c.rowid == learnwares.c.id)
    by_id = learnwares.c.id.desc() if descending else learnwares.c.id
    if sort != "id":
        query = query.order_by(key.is_(None), key.desc() if descending else key)
    query = query.order_by(by_id)
    if found is None:
        query = query.limit(limit)
    ids = np.fromiter(connection.execute(query).scalars(), dtype=np.int64)
    return ids if found is None else ids[np.isin(ids, found.ids)][:limit]


def ranked(connection: sa.Connection, wanted: Filter, k: int) -> SemanticResult:
    """The k learnwares that fulfil what is asked best, ties by id."""
    found = matches(connection, wanted)
    if found is None:
        ids = _ordered(connection, wanted, "id", descending=False, limit=k).tolist()
        hits = tuple(SemanticHit(entry, None) for entry in _entries(connection, ids))
        return SemanticResult(hits, rows.count(connection, selected(connection, wanted)), "all")
    entries = _entries(connection, found.ids[:k].tolist())
    hits = tuple(SemanticHit(entry, float(score)) for entry, score in zip(entries, found.scores[:k], strict=True))
    return SemanticResult(hits, len(found.ids), found.kind)


def counted(connection: sa.Connection, wanted: Filter) -> int:
    """How many learnwares fulfil what is asked."""
    found = matches(connection, wanted)
    return rows.count(connection, selected(connection, wanted)) if found is None else len(found.ids)
