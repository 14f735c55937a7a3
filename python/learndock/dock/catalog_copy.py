"""One state of a catalog, in another one."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import sqlalchemy as sa

from learndock.dock.catalog import Catalog
from learndock.dock.tables import metadata, state, texts

if TYPE_CHECKING:
    from pathlib import Path

    from learndock.dock.catalog_place import PostgreSQLPlace
    from learndock.dock.layout import Layout

__all__ = ["copy_catalog"]

# Rows at a time: a specification that waits may be 100 kB long.
_ROWS = 500


def copy_catalog(catalog: Catalog, layout: Layout, place: PostgreSQLPlace | None, *, actor: str) -> None:
    """Make a catalog of the same content: the file in a dock's folder, or what lies at a place.

    It takes the place of what is there.
    """
    target = Catalog.at(layout, place, readonly=False, actor=actor)
    try:
        target.drop()
        with catalog.reading() as connection:
            original = connection.connection.driver_connection
            if place is None and isinstance(original, sqlite3.Connection):
                _copy_pages(original, layout.catalog)
            else:
                target.create()
                _copy_rows(connection, target)
    finally:
        target.close()
    if place is None:
        _make_durable(layout.catalog)


def _copy_pages(original: sqlite3.Connection, target: Path) -> None:
    with closing(sqlite3.connect(target)) as copy:
        original.backup(copy)


def _make_durable(file: Path) -> None:
    with closing(sqlite3.connect(file)) as copy:
        # One file: nothing of it may be left in a log beside it.
        copy.execute("PRAGMA journal_mode = DELETE")
    with file.open("rb") as written:
        os.fsync(written.fileno())


def _copy_rows(source: sa.Connection, target: Catalog) -> None:
    """All rows of all tables that the source has: one made by an older version may lack some."""
    held = set(sa.inspect(source).get_table_names())
    with target.writing() as connection:
        connection.execute(state.delete())
        for table in (*metadata.sorted_tables, texts):
            if table.name not in held:
                continue
            rows = source.execute(sa.select(table), execution_options={"yield_per": _ROWS})
            for some in rows.mappings().partitions():
                connection.execute(table.insert(), [dict(row) for row in some])
        target.adopt(connection)
