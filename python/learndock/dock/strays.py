"""Zips in a dock's folder that its catalog does not name: what a writer left that died."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import sqlalchemy as sa

from learndock.dock.id_lists import listed_ids
from learndock.dock.ids import learnware_number
from learndock.dock.layout import names_in
from learndock.dock.tables import learnwares

if TYPE_CHECKING:
    from pathlib import Path

    from learndock.dock.layout import Layout

__all__ = ["stray_zips"]

# Files that are looked up in the catalog at a time: a million of them need not be held.
_TOGETHER = 1000


def stray_zips(layout: Layout, connection: sa.Connection) -> Iterator[Path]:
    """Zips of which no row has id and zip_sha256; strays where no writer is at work."""
    found = (name for name in names_in(layout.zips) if name.endswith(".zip"))
    while names := list(islice(found, _TOGETHER)):
        numbers = {number for name in names if (number := learnware_number(name.partition(".")[0])) is not None}
        rows = connection.execute(
            sa.select(learnwares.c.id, learnwares.c.zip_sha256).where(
                learnwares.c.id.in_(listed_ids(np.array(sorted(numbers), dtype=np.int64))),
                learnwares.c.zip_sha256.is_not(None),
            )
        )
        named = {layout.zip(row.id, row.zip_sha256).name for row in rows}
        yield from (layout.zips / name for name in names if name not in named)
