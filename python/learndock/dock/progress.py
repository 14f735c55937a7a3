"""Telling a caller how far long work has come."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Progress", "unheard"]

# Called as on_progress(what, done, total): what is counted in a word or two, how many of it are done, of how many.
# What it raises ends the work, which leaves the dock as a failure would.
Progress = Callable[[str, int, int], None]


def unheard(what: str, done: int, total: int) -> None:
    """Stands in where nobody wants to know."""
