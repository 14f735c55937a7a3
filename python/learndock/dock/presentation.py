"""Results as tables: of pandas, and in HTML for notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from learndock.errors import MissingDependency

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["frame", "html_table", "number"]


def frame(columns: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
    """A DataFrame of named columns.

    Raises
    ------
    MissingDependency
        If pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingDependency("to_frame() needs pandas: pip install pandas") from error
    return pd.DataFrame(columns)


def html_table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in HTML. Whatever is in it is text: names come from strangers."""
    parts = [f"<table><caption>{escape(caption)}</caption><thead><tr>"]
    parts += [f"<th>{escape(head)}</th>" for head in heads]
    parts.append("</tr></thead><tbody>")
    for row in rows:
        cells = "".join(f"<td>{escape('' if value is None else str(value))}</td>" for value in row)
        parts.append(f"<tr>{cells}</tr>")
    parts.append("</tbody></table>")
    return "".join(parts)


def number(value: float | None, digits: int = 4) -> str:
    """A number as a table shows it."""
    return "" if value is None else f"{value:.{digits}g}"
