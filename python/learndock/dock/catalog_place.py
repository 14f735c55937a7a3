"""Which catalog a dock has: the file in its folder, or a schema of a PostgreSQL server that the folder records.

catalog.json is written before the schema is made, so that after a creation that was cut off the next one goes on with
it. No password is ever written: it comes with each `catalog=`, or from where PostgreSQL's clients look for it
(PGPASSWORD, ~/.pgpass, a service file).
"""

from __future__ import annotations

import json
import re
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from learndock._durable import replaced_file
from learndock.dock._lock import locked_file
from learndock.errors import DockError, DockFormatError, InvalidArgument

if TYPE_CHECKING:
    from learndock.dock.layout import Layout

__all__ = [
    "PostgreSQLPlace",
    "checked_url",
    "new_place",
    "parted",
    "place_of",
    "record_place",
    "require_server",
    "without_secrets",
]

_DRIVER = "postgresql+psycopg"
_DRIVERS = ("postgresql", _DRIVER)
_EXAMPLE = "a URL such as postgresql+psycopg://user@host/database"
_SECRET = re.compile("password", re.IGNORECASE)
_SCHEMA = re.compile("learndock_[0-9a-f]{32}")
_LOCK_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class PostgreSQLPlace:
    """A schema of a database.

    Attributes
    ----------
    url : URL
        With a password, if one was given.
    schema : str
    """

    url: sa.URL = field(repr=False)
    schema: str


def checked_url(catalog: object) -> sa.URL:
    """The URL of a database of PostgreSQL, if it is one; no message says what it holds."""
    if not isinstance(catalog, str | sa.URL):
        raise InvalidArgument(f"catalog: expected {_EXAMPLE}, got {type(catalog).__name__}")
    try:
        url = sa.make_url(catalog)
    except (sa.exc.ArgumentError, ValueError):
        raise InvalidArgument(f"catalog: expected {_EXAMPLE}, got a text that is no URL") from None
    if url.drivername not in _DRIVERS:
        raise InvalidArgument(f"catalog: expected {_EXAMPLE}, got one of {url.drivername!r}")
    return url.set(drivername=_DRIVER)


def parted(url: sa.URL) -> tuple[sa.URL, dict[str, Any]]:
    """The URL as it may be shown and kept, and what that lacks: arguments of a connection."""
    secrets: dict[str, Any] = {key: value for key, value in url.query.items() if _SECRET.search(key)}
    shown = sa.URL.create(
        url.drivername,
        username=url.username,
        host=url.host,
        port=url.port,
        database=url.database,
        query={key: value for key, value in url.query.items() if key not in secrets},
    )
    if url.password is not None:
        secrets["password"] = str(url.password)
    return shown, secrets


def without_secrets(url: sa.URL) -> str:
    """The URL as it may be shown and kept."""
    return parted(url)[0].render_as_string()


def place_of(layout: Layout, url: sa.URL | None, *, fresh: bool) -> PostgreSQLPlace | None:
    """Where the catalog of a dock is; None where it is the file in its folder.

    Parameters
    ----------
    layout : Layout
    url : URL, optional
        What the dock was opened with: for a new one where its catalog goes, else how to reach it.
    fresh : bool
        Whether the dock is made now.
    """
    if fresh and url is not None:
        with locked_file(layout.lock, time.monotonic() + _LOCK_SECONDS):
            if not layout.exists():  # nor made by another, meanwhile
                begun = recorded_place(layout)
                if begun is None or without_secrets(begun.url) != without_secrets(url):
                    record_place(layout, new_place(url))
    recorded = recorded_place(layout)
    if recorded is None:
        if url is not None:
            raise DockError(
                f"catalog: {layout.root} has its catalog in its folder, got {without_secrets(url)}; "
                "`backup(path, catalog=...)` makes a copy whose catalog is there"
            )
        return None
    return recorded if url is None else PostgreSQLPlace(url, recorded.schema)


def new_place(url: sa.URL) -> PostgreSQLPlace:
    """A schema for a new catalog."""
    return PostgreSQLPlace(url, f"learndock_{uuid.uuid4().hex}")


def require_server(url: sa.URL) -> None:
    """See that a new catalog can be made there, before anything is.

    Raises
    ------
    DockError
        If the server can't be reached, or does not let us in, or the database is not in UTF8.
    MissingDependency
    """
    from learndock.dock.postgresql_catalog import require_database

    require_database(url)


def record_place(layout: Layout, place: PostgreSQLPlace) -> None:
    """Write catalog.json."""
    with replaced_file(layout.catalog_record) as file:
        file.write(json.dumps({"url": without_secrets(place.url), "schema": place.schema}).encode())


def recorded_place(layout: Layout) -> PostgreSQLPlace | None:
    """What catalog.json says, if it is there."""
    try:
        content = layout.catalog_record.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DockError(f"{layout.catalog_record}: can't be read ({error.strerror})") from None
    try:
        held = json.loads(content)
        url, schema = held["url"], held["schema"]
        if not isinstance(schema, str) or not _SCHEMA.fullmatch(schema):
            raise ValueError("schema: expected learndock_ and 32 hexadecimal digits")
        return PostgreSQLPlace(checked_url(url), schema)
    except (ValueError, KeyError, TypeError) as error:
        raise DockFormatError(f"{layout.catalog_record}: expected the place of a catalog ({error})") from None
