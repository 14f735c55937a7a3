"""Tests of docks over both kinds of catalog."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest

from postgres_server import PASSWORD


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def either_catalog(request, monkeypatch):
    """Every dock that the test makes has its catalog there. What is marked `sqlite` is left out over PostgreSQL."""
    if request.param == "sqlite":
        return request.param
    # Here, for the tests of the kernels alone run where a dock's requirements are not installed.
    import sqlalchemy as sa

    from learndock.dock import opened

    url = sa.make_url(request.getfixturevalue("postgres_server").url())
    place_of = opened.place_of

    def there(layout, asked, *, fresh):
        return place_of(layout, url if fresh and asked is None else asked, fresh=fresh)

    monkeypatch.setattr(opened, "place_of", there)
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    return request.param


def catalog_rows(dock, query):
    """Rows of a dock's catalog as they are."""
    with dock._catalog._engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(query)]


def change_catalog(dock, *statements):
    """Change the catalog as nothing of ours would, without any check."""
    if dock._catalog._engine.dialect.name == "sqlite":
        with contextlib.closing(sqlite3.connect(dock.path / "catalog.sqlite")) as catalog, catalog:
            catalog.execute("PRAGMA foreign_keys = OFF")
            for statement in statements:
                catalog.execute(statement)
        return
    with dock._catalog._engine.begin() as connection:
        for statement in ("SET LOCAL session_replication_role = replica", *statements):
            connection.exec_driver_sql(statement)
