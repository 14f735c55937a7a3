"""Many ids in and out of the database at once: as one text, for a row each takes several times as long."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

if TYPE_CHECKING:
    import numpy.typing as npt

    IndexArray = npt.NDArray[np.int64]

__all__ = ["listed_ids", "read_ids"]


class _Joined(FunctionElement[str]):
    """The ids of a column, with commas between them."""

    name = "joined_ids"
    type = sa.Text()
    inherit_cache = True


class _Each(FunctionElement[int]):
    """A row for each id in a JSON array."""

    name = "each_id"
    type = sa.BigInteger()
    inherit_cache = True


@compiles(_Joined, "sqlite")
def _joined_on_sqlite(element: _Joined, compiler: Any, **options: Any) -> str:
    return f"group_concat({compiler.process(element.clauses, **options)})"


@compiles(_Joined, "postgresql")
def _joined_on_postgresql(element: _Joined, compiler: Any, **options: Any) -> str:
    return f"string_agg(CAST({compiler.process(element.clauses, **options)} AS TEXT), ',')"


@compiles(_Each, "sqlite")
def _each_on_sqlite(element: _Each, compiler: Any, **options: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **options)})"


@compiles(_Each, "postgresql")
def _each_on_postgresql(element: _Each, compiler: Any, **options: Any) -> str:
    # An array of PostgreSQL has other brackets than one of JSON.
    array = f"CAST(translate({compiler.process(element.clauses, **options)}, '[]', '{{}}') AS BIGINT[])"
    return f"(SELECT unnest({array}) AS value)"  # the name that the column has in SQLite


def read_ids(connection: sa.Connection, query: sa.Select[Any]) -> IndexArray:
    """The ids, ascending, that a query of one column finds."""
    (column,) = query.subquery().c
    text = connection.execute(sa.select(_Joined(column))).scalar()
    return np.sort(np.fromstring(text or "", dtype=np.int64, sep=","))


def listed_ids(ids: IndexArray) -> sa.Select[Any]:
    """A query of one column that finds the given ids: for conditions with `in_`."""
    each = _Each(sa.literal(json.dumps(ids.tolist()), sa.Text())).table_valued("value")
    return sa.select(each.c.value)
