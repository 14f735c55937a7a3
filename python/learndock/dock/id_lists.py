"""Many ids in and out of the database at once: as one text, for a row each takes several times as long."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import sqlalchemy as sa

if TYPE_CHECKING:
    import numpy.typing as npt

    IndexArray = npt.NDArray[np.int64]

__all__ = ["listed_ids", "read_ids"]


def read_ids(connection: sa.Connection, query: sa.Select[Any]) -> IndexArray:
    """The ids, ascending, that a query of one column finds."""
    (column,) = query.subquery().c
    text = connection.execute(sa.select(sa.func.group_concat(column))).scalar()
    return np.sort(np.fromstring(text or "", dtype=np.int64, sep=","))


def listed_ids(ids: IndexArray) -> sa.Select[Any]:
    """A query of one column that finds the given ids: for conditions with `in_`."""
    each = sa.func.json_each(json.dumps(ids.tolist())).table_valued("value")
    return sa.select(each.c.value)
