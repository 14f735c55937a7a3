"""The database of a market, which a stranger may have made.

It is opened so that nothing can be written, and no view, trigger or virtual table in it is run.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from learndock.errors import InvalidArgument, LearnwareError

__all__ = ["MarketDatabase", "MarketRow"]

_TABLE = "tb_learnware"
_COLUMNS = ("id", "semantic_spec", "zip_path", "folder_path", "use_flag")
_MOST_LEARNWARES = 1_000_000
_LONGEST_VALUE = 32 * 2**20
_LONGEST_ID = 100
_QUERY_SECONDS = 30.0
_STEPS_BETWEEN_LOOKS = 100_000
# What a query of one table does; everything else, PRAGMA, ATTACH and writing included, is refused by SQLite itself.
_ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ}
_ALLOWED_FUNCTIONS = {"substr", "count"}


@dataclass(frozen=True, slots=True)
class MarketRow:
    """What the database says of one learnware.

    Attributes
    ----------
    semantic : bytes
        JSON.
    zip_path : str
        Where the market kept the zip.
    """

    semantic: bytes
    zip_path: str


class MarketDatabase:
    """A market's database, open for reading; made by `opened`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._deadline = 0.0

    @classmethod
    @contextmanager
    def opened(cls, path: Path) -> Iterator[MarketDatabase]:
        """Open the file as it is; it is not locked, and nothing is written beside it.

        Raises
        ------
        InvalidArgument
            It is no SQLite file with the table of a market.
        """
        try:
            connection = sqlite3.connect(f"file:{quote(os.fsencode(path))}?mode=ro&immutable=1", uri=True)
        except sqlite3.Error as error:
            raise InvalidArgument(f"path: {path} can't be opened ({error})") from None
        try:
            database = cls(connection)
            try:
                database._restrict()
            except sqlite3.Error as error:
                raise InvalidArgument(f"path: {path} is no database of a market ({error!s:.200})") from None
            yield database
        finally:
            connection.close()

    def ids(self) -> list[str]:
        """The ids of all learnwares, in order; one that is there twice comes twice.

        Raises
        ------
        InvalidArgument
            The file is damaged, or holds more than a million.
        """
        try:
            found = self._query(f"SELECT substr(id, 1, {_LONGEST_ID}) FROM {_TABLE} LIMIT {_MOST_LEARNWARES + 1}")
        except sqlite3.Error as error:
            raise InvalidArgument(f"path: the market's database can't be read ({error!s:.200})") from None
        if len(found) > _MOST_LEARNWARES:
            raise InvalidArgument(f"path: the market has more than {_MOST_LEARNWARES} learnwares")
        return sorted(_text(value).strip() for (value,) in found)

    def row(self, learnware_id: str) -> MarketRow:
        """What is said of one learnware.

        Raises
        ------
        LearnwareError
            The row can't be read, or is none of a learnware.
        """
        query = f"SELECT semantic_spec, zip_path FROM {_TABLE} WHERE id = ?"
        try:
            found = self._query(query, (learnware_id,))
        except sqlite3.Error as error:
            raise LearnwareError(f"its row can't be read ({error!s:.200})") from None
        if len(found) != 1:
            raise LearnwareError(f"expected one row of this id, got {len(found)}")
        semantic, zip_path = found[0]
        if not isinstance(semantic, bytes) or not isinstance(zip_path, bytes):
            raise LearnwareError("its row holds no text")
        return MarketRow(semantic, _text(zip_path))

    def _restrict(self) -> None:
        connection = self._connection
        # Bytes: text in the file may be anything.
        connection.text_factory = bytes
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)
        for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "query_only = ON", "mmap_size = 0"):
            connection.execute(f"PRAGMA {pragma}")
        connection.set_progress_handler(self._is_late, _STEPS_BETWEEN_LOOKS)
        # The name could be that of a view, or of a virtual table, which has no root page.
        kinds = self._query("SELECT type, rootpage FROM sqlite_master WHERE name = ?", (_TABLE,))
        if len(kinds) != 1 or kinds[0][0] != b"table" or not kinds[0][1]:
            raise sqlite3.DatabaseError(f"expected a table {_TABLE}")
        # The last field tells columns that are computed.
        columns = {row[1] for row in self._query(f"PRAGMA table_xinfo({_TABLE})") if row[-1] == 0}
        missing = [name for name in _COLUMNS if name.encode() not in columns]
        if missing:
            raise sqlite3.DatabaseError(f"expected columns {', '.join(_COLUMNS)} in {_TABLE}, got no {missing[0]}")
        connection.set_authorizer(_authorize)

    def _query(self, query: str, parameters: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
        self._deadline = time.monotonic() + _QUERY_SECONDS
        return self._connection.execute(query, parameters).fetchall()

    def _is_late(self) -> bool:
        return time.monotonic() > self._deadline


def _authorize(action: int, first: str | None, second: str | None, schema: str | None, source: str | None) -> int:
    if action in _ALLOWED or (action == sqlite3.SQLITE_FUNCTION and second in _ALLOWED_FUNCTIONS):
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
