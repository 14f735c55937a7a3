"""What in the catalog follows from the semantic parts: the keys that filters ask for, and the texts that are searched.

`rows.insert_semantic` writes them; here they are compared with what they follow from, and made again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import sqlalchemy as sa

from learndock.dock import rows
from learndock.dock.id_lists import listed_ids, read_ids
from learndock.dock.tables import semantics, tags, texts
from learndock.errors import LearndockError
from learndock.specification import SemanticSpecification

if TYPE_CHECKING:
    import numpy.typing as npt

    IndexArray = npt.NDArray[np.int64]

__all__ = ["derive_again", "strayed"]

_PAGE = 1000


def strayed(connection: sa.Connection) -> dict[str, list[int]]:
    """Learnwares whose keys or texts are not those of their semantic part, by what is wrong."""
    found: dict[str, list[int]] = {}
    for id, row, keys, text in _held(connection):
        semantic = _understood(row.semantic)
        if semantic is None:
            found.setdefault("its semantic part can't be understood", []).append(id)
            continue
        if keys != rows.tags_of(semantic):
            found.setdefault("filters know it by other keys than those of its semantic part", []).append(id)
        if text is not None and text != (semantic.name.lower(), semantic.description.lower()):
            found.setdefault("searches for texts know it by other words than those of its semantic part", []).append(id)
    return found


def derive_again(connection: sa.Connection) -> list[int]:
    """Make keys and texts again where they are not those of the semantic part. Returns whose, ascending."""
    wrong: dict[int, SemanticSpecification | None] = {}
    for id, row, keys, text in _held(connection):
        semantic = _understood(row.semantic)
        if semantic is not None and (
            keys != rows.tags_of(semantic) or text != (semantic.name.lower(), semantic.description.lower())
        ):
            wrong[id] = semantic
    nobodys = read_ids(
        connection, sa.select(texts.c.rowid).where(texts.c.rowid.not_in(sa.select(semantics.c.learnware_id)))
    )
    wrong.update(dict.fromkeys(nobodys.tolist()))
    rows.remove_derived(connection, sorted(wrong))
    for id, semantic in wrong.items():
        if semantic is not None:
            rows.insert_derived(connection, id, semantic)
    return sorted(wrong)


def _held(connection: sa.Connection) -> Iterator[tuple[int, sa.Row[Any], set[tuple[str, str]], tuple[str, str] | None]]:
    """Each semantic part, with the keys and the texts that searches have of it."""
    every = read_ids(connection, sa.select(semantics.c.learnware_id).order_by(semantics.c.learnware_id))
    # As text: what is no JSON is a finding, and no exception.
    semantic = sa.type_coerce(semantics.c.semantic, sa.Text).label("semantic")
    for start in range(0, len(every), _PAGE):
        listed = listed_ids(every[start : start + _PAGE])
        keys: dict[int, set[tuple[str, str]]] = {}
        for tag in connection.execute(sa.select(tags).where(tags.c.learnware_id.in_(listed))):
            keys.setdefault(tag.learnware_id, set()).add((tag.key, tag.value))
        said = {
            row.rowid: (row.name, row.description)
            for row in connection.execute(sa.select(texts).where(texts.c.rowid.in_(listed)))
        }
        page = sa.select(semantics.c.learnware_id, semantic).where(semantics.c.learnware_id.in_(listed))
        for row in connection.execute(page):
            yield row.learnware_id, row, keys.get(row.learnware_id, set()), said.get(row.learnware_id)


def _understood(semantic: Any) -> SemanticSpecification | None:
    try:
        return SemanticSpecification.from_dict(json.loads(semantic) if isinstance(semantic, str) else semantic)
    except (LearndockError, ValueError, TypeError, RecursionError):
        return None
