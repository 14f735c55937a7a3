"""What the verbs print: tables or JSON on stdout; errors and progress on stderr."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from learndock._printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.text import Text

__all__ = [
    "cell",
    "error_line",
    "message_line",
    "name_cell",
    "print_facts",
    "print_json",
    "print_json_list",
    "print_line",
    "print_table",
    "progress_bar",
    "spinner",
]

_LONGEST_NAME = 60


def print_json(value: object) -> None:
    """Print a value as JSON: one document, nothing else, no NaN or Infinity (they become null)."""
    sys.stdout.write(_json(value) + "\n")


def print_json_list(values: Iterable[object]) -> None:
    """Print a JSON list as `print_json` would, one value at a time: it does not have to fit in memory."""
    opening = "["
    for value in values:
        # Line breaks between the lines alone: those in a text are escaped.
        sys.stdout.write(f"{opening}\n  " + _json(value).replace("\n", "\n  "))
        opening = ","
    sys.stdout.write("[]\n" if opening == "[" else "\n]\n")


def print_line(text: str) -> None:
    """Print a line of plain text."""
    sys.stdout.write(_harmless(text) + "\n")


def cell(text: str) -> Text:
    """What a stranger has written, for a table: neither markup in square brackets nor codes of terminals count."""
    from rich.text import Text

    return Text(_harmless(text))


def name_cell(name: str | None) -> Text:
    """A learnware's name for a table, whose row must fit a terminal; --json has all of it."""
    return cell((name or "")[:_LONGEST_NAME])


def print_table(table: Any) -> None:
    """Print a rich table; its colours go where stdout is a terminal."""
    from rich.console import Console

    Console(file=sys.stdout).print(table)


def print_facts(facts: Mapping[str, object]) -> None:
    """Print names and values, a line each."""
    for key, value in facts.items():
        print_line(f"{key.replace('_', ' ')}: {_in_words(value)}")


def message_line(text: str) -> None:
    """Print a remark on stderr, where it disturbs no JSON."""
    sys.stdout.flush()  # on a terminal the two appear in the order in which they were printed
    sys.stderr.write(_harmless(text) + "\n")


def error_line(error: BaseException) -> None:
    """Print an error as one line on stderr, though its message may have several."""
    lines = (line.strip() for line in str(error).splitlines())
    sys.stderr.write(f"error: {_harmless('; '.join(line for line in lines if line))}\n")


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """Give a function (what, done, total) that moves a bar on stderr, or does nothing where that is no terminal."""
    if not sys.stderr.isatty():
        yield lambda what, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bars: dict[str, Any] = {}

        def move(what: str, done: int, total: int) -> None:
            if what not in bars:
                bars[what] = progress.add_task(what, total=total)
            progress.update(bars[what], completed=done, total=total)

        yield move


@contextmanager
def spinner(what: str) -> Iterator[None]:
    """Show on stderr, where that is a terminal, that something of unknown length goes on."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(what):
        yield


def _harmless(text: str) -> str:
    return printable(text, longest=len(text))


def _json(value: object) -> str:
    plain = _plain(value)
    text = json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # a name of a file that is no UTF-8, or a terminal that knows few letters
        return json.dumps(plain, indent=2, allow_nan=False)
    return text


def _in_words(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{str(key).replace('_', ' ')} {_in_words(inner)}" for key, inner in value.items()) or "none"
    if isinstance(value, list | tuple):
        separator = "; " if any(isinstance(inner, Mapping) for inner in value) else ", "
        return separator.join(_in_words(inner) for inner in value) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _plain(value: Any) -> Any:
    """Rewrite the value in what JSON knows: dataclasses as dicts, enums by name, arrays as lists."""
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    return value if value is None or isinstance(value, str | bool | int) else str(value)
