"""The table of names and descriptions, and the index of their trigrams that names the few rows that may hold a text.

On SQLite FTS5 has it, on PostgreSQL pg_trgm; where it is not to be had the table is there without. All texts are in
lower case.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from learndock.dock.tables import texts

__all__ = ["TRIGRAM", "TextIndex", "contains", "text_index", "trigrams"]

TRIGRAM = 3
# Any of a text's trigrams narrow the rows down, and `contains` decides: a few dozen are enough for the longest text.
_MOST_TRIGRAMS = 32

_FTS5 = (
    "CREATE VIRTUAL TABLE texts USING fts5(name, description, tokenize = 'trigram case_sensitive 1', detail = 'none')"
)
_PLAIN = "CREATE TABLE texts (rowid INTEGER PRIMARY KEY, name TEXT, description TEXT)"
_PG_TRGM_SCHEMA = (
    "SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_trgm'"
)


class TextIndex(Protocol):
    """How a database keeps trigrams. Functions on a connection.

    Attributes
    ----------
    most_rows, most_counted : int
        Rows of trigrams that are read, and counted for each of them, before something similar is looked for.
    """

    most_rows: int
    most_counted: int

    def create(self, connection: sa.Connection) -> None:
        """Make the table, where it is not there, with its index, where that can be had."""

    def exists(self, connection: sa.Connection) -> bool:
        """Whether there is an index."""

    def narrowed(self, folded: Sequence[str]) -> sa.ColumnElement[bool]:
        """A condition on `texts` that the index decides, true of all rows that hold all the texts.

        Each has three characters or more. Of a trigram it is true of the rows that hold it, and of no other.
        """


class _Contains(FunctionElement[bool]):
    name = "contains_text"
    type = sa.Boolean()
    inherit_cache = True


@compiles(_Contains, "sqlite")
def _contains_on_sqlite(element: _Contains, compiler: Any, **options: Any) -> str:
    return f"instr({compiler.process(element.clauses, **options)}) > 0"


@compiles(_Contains, "postgresql")
def _contains_on_postgresql(element: _Contains, compiler: Any, **options: Any) -> str:
    return f"strpos({compiler.process(element.clauses, **options)}) > 0"


def contains(column: sa.ColumnElement[str], text: str) -> sa.ColumnElement[bool]:
    """A condition: the column holds the text, sign for sign."""
    return _Contains(column, sa.literal(text, sa.Text()))


def text_index(connection: sa.Connection) -> TextIndex:
    """The one of the connection's database."""
    return _INDEXES[connection.dialect.name]


def trigrams(text: str) -> set[str]:
    """Trigrams of a text, evenly taken where there are many."""
    if len(text) < TRIGRAM:
        return set()
    starts = np.unique(np.linspace(0, len(text) - TRIGRAM, _MOST_TRIGRAMS, dtype=int)).tolist()
    return {text[start : start + TRIGRAM] for start in starts}


class _Fts5:
    """A virtual table of trigrams; a SQLite that is built without them gets a plain one."""

    most_rows, most_counted = 100_000, 20_000  # 25 ns a row, from the index alone

    def create(self, connection: sa.Connection) -> None:
        if self._definition(connection) is not None:
            return
        try:
            with connection.begin_nested():
                connection.exec_driver_sql(_FTS5)
        except sa.exc.OperationalError:
            connection.exec_driver_sql(_PLAIN)

    def exists(self, connection: sa.Connection) -> bool:
        return "fts5" in (self._definition(connection) or "")

    def narrowed(self, folded: Sequence[str]) -> sa.ColumnElement[bool]:
        asked = sorted({trigram for text in folded for trigram in trigrams(text)})
        quoted = (trigram.replace('"', '""') for trigram in asked)
        return sa.literal_column("texts").op("MATCH")(" AND ".join(f'"{trigram}"' for trigram in quoted))

    def _definition(self, connection: sa.Connection) -> str | None:
        found = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE name = 'texts'").scalar()
        return None if found is None else str(found)


class _PgTrgm:
    """A GIN index, if the database has the extension; it decides `LIKE`."""

    most_rows, most_counted = 20_000, 2_000  # 4 us a row: the server looks into each that the index names

    def create(self, connection: sa.Connection) -> None:
        texts.create(connection, checkfirst=True)
        schema = self._schema(connection)
        if schema is None or self.exists(connection):
            return
        operators = f"{connection.dialect.identifier_preparer.quote_schema(schema)}.gin_trgm_ops"
        connection.exec_driver_sql(
            f"CREATE INDEX texts_trigrams ON texts USING gin (name {operators}, description {operators})"
        )

    def exists(self, connection: sa.Connection) -> bool:
        return bool(connection.exec_driver_sql("SELECT to_regclass('texts_trigrams') IS NOT NULL").scalar())

    def narrowed(self, folded: Sequence[str]) -> sa.ColumnElement[bool]:
        columns = (texts.c.name, texts.c.description)
        return sa.and_(*(sa.or_(*(column.contains(text, autoescape=True) for column in columns)) for text in folded))

    def _schema(self, connection: sa.Connection) -> str | None:
        """The schema of the extension; None where there is none."""
        found = connection.exec_driver_sql(_PG_TRGM_SCHEMA).scalar()
        return None if found is None else str(found)


_INDEXES: dict[str, TextIndex] = {"sqlite": _Fts5(), "postgresql": _PgTrgm()}
