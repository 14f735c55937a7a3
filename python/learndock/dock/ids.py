"""Ids of learnwares: a number inside, a text outside."""

from __future__ import annotations

__all__ = ["learnware_name", "learnware_number"]


def learnware_name(number: int) -> str:
    """The public id of a learnware: eight digits or more, so that text and number sort alike."""
    return f"{number:08d}"


def learnware_number(name: str) -> int | None:
    """The number behind a public id, None where it can't be one."""
    if not (name.isascii() and name.isdigit() and len(name) < 19):
        return None
    number = int(name)
    return number if learnware_name(number) == name else None
