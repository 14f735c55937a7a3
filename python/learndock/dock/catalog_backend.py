"""What a catalog needs of the database that it lies in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

import sqlalchemy as sa

from learndock.errors import DockError

__all__ = ["CatalogBackend", "as_dock_errors"]


class CatalogBackend(Protocol):
    """A database: SQLite or PostgreSQL.

    Attributes
    ----------
    engine : Engine
        Its connections begin transactions that see one state.
    root : Path
        The dock's folder.
    name : str
        How reports name the catalog: no password is in it.
    """

    engine: sa.Engine
    root: Path
    name: str

    def require(self) -> None:
        """See that the catalog is there, before it is used."""

    def prepare(self) -> None:
        """Make what must be there before the tables."""

    def exclusive(self, deadline: float) -> AbstractContextManager[None]:
        """No other process writes meanwhile; the deadline is on the monotonic clock."""

    def writing(self) -> AbstractContextManager[sa.Connection]:
        """A write transaction."""

    def settled(self) -> AbstractContextManager[sa.Connection]:
        """A read transaction, begun when it is decided whether the last write of this thread is there or not."""

    def faults(self, connection: sa.Connection) -> Iterator[tuple[str, str]]:
        """What is wrong with the database as such: where, and what."""

    def adopt(self, connection: sa.Connection) -> None:
        """Go on counting after rows that came with their numbers."""

    def drop(self) -> None:
        """Delete the catalog, if it is there."""


@contextmanager
def as_dock_errors(place: object) -> Iterator[None]:
    """What a database says, as a DockError."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        raise DockError(f"{place}: {' '.join(str(error.orig).split())}") from error
    except sa.exc.TimeoutError as error:
        raise DockError(f"{place}: too many calls at a time ({error})") from error
