"""Which learnwares are meant: by status, name, and what their semantic part says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import sqlalchemy as sa

from learndock.dock.id_lists import read_ids
from learndock.dock.tables import USABLE, learnwares, not_usable, tags, texts
from learndock.dock.text_search import TextMatches, holds, matching_texts
from learndock.errors import InvalidArgument
from learndock.specification.semantic_vocabulary import is_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from learndock.checker import Status
    from learndock.specification import SemanticQuery, SemanticSpecification

    Asked = SemanticQuery | SemanticSpecification | Mapping[str, Any]

__all__ = ["Filter", "StatusName", "matches", "selected", "unusable", "wanted_status"]

StatusName = Literal["usable", "nonusable", "any"]

_STATUS_OF_NAME = {"usable": USABLE, "nonusable": 0, "any": None}


@dataclass(frozen=True, slots=True)
class Filter:
    """What is asked of a learnware.

    Attributes
    ----------
    status : int or None
        None for any.
    name : str
        A part of its name; the empty one is part of all.
    query : SemanticQuery or None
    """

    status: int | None = None
    name: str = ""
    query: SemanticQuery | None = None

    @classmethod
    def of(
        cls, *, status: Status | StatusName | None = None, name: str | None = None, semantic: Asked | None
    ) -> Filter:
        """Check and take what a caller of the dock has passed."""
        if name is not None and not is_text(name):
            raise InvalidArgument(f"name: expected a text in UTF-8 and without NUL, got {name!r:.80}")
        query = None
        if semantic is not None:
            from learndock.specification import SemanticQuery

            query = SemanticQuery.of(semantic)
        return cls(wanted_status(status), name or "", query)

    @property
    def texts(self) -> tuple[str, ...]:
        """What is looked for in names and descriptions."""
        return () if self.query is None else self.query.texts


def wanted_status(status: Status | StatusName | None) -> int | None:
    """The number of a status, None for any."""
    if status is None:
        return None
    if isinstance(status, str) and status in _STATUS_OF_NAME:
        return _STATUS_OF_NAME[status]
    from learndock.checker import Status

    if isinstance(status, Status) and status != Status.INVALID:
        return int(status)
    raise InvalidArgument(f'status: expected "usable", "nonusable", "any" or that Status, got {status!r}')


def selected(connection: sa.Connection, wanted: Filter) -> list[sa.ColumnElement[bool]]:
    """Conditions on `learnwares` for all that is asked but the texts of the query.

    A class key matches where the learnware's value is among the asked ones, a tag key where the two share a value (the
    reference's rule).
    """
    conditions: list[sa.ColumnElement[bool]] = []
    if wanted.status is not None:
        conditions.append(learnwares.c.status == wanted.status)
    if wanted.name:
        named = sa.select(texts.c.rowid).where(holds(connection, wanted.name, [texts.c.name]))
        conditions.append(learnwares.c.id.in_(named))
    asked = {} if wanted.query is None else {**wanted.query.classes, **wanted.query.tags}
    for key, values in asked.items():
        having = sa.select(tags.c.learnware_id).where(tags.c.key == key, tags.c.value.in_(list(values)))
        conditions.append(learnwares.c.id.in_(having))
    return conditions


def matches(connection: sa.Connection, wanted: Filter) -> TextMatches | None:
    """Learnwares that fulfil all that is asked, by how well they hold the texts; None where no text is asked for."""
    if not wanted.texts:
        return None
    but = unusable(connection) if wanted.status == USABLE else np.empty(0, np.int64)
    conditions = selected(connection, replace(wanted, status=None) if wanted.status == USABLE else wanted)
    among = read_ids(connection, sa.select(learnwares.c.id).where(*conditions)) if conditions else None
    return matching_texts(connection, wanted.texts, among=among, but=but)


def unusable(connection: sa.Connection) -> npt.NDArray[np.int64]:
    """Learnwares that are not usable, ascending: in most docks few, and an index has them."""
    return read_ids(connection, sa.select(learnwares.c.id).where(not_usable))
