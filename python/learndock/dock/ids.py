"""Ids of learnwares: a number inside, a text outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["learnware_name", "learnware_number", "shown_ids"]

# Ids named in one message.
_MOST_SHOWN = 10


def learnware_name(number: int) -> str:
    """The public id of a learnware: eight digits or more, so that text and number sort alike."""
    return f"{number:08d}"


def learnware_number(name: str) -> int | None:
    """The number behind a public id, None where it can't be one."""
    if not (name.isascii() and name.isdigit() and len(name) < 19):
        return None
    number = int(name)
    return number if learnware_name(number) == name else None


def shown_ids(numbers: npt.NDArray[np.int64]) -> str:
    """How a message names them: the first ten."""
    shown = ", ".join(learnware_name(int(number)) for number in numbers[:_MOST_SHOWN])
    return shown if len(numbers) <= _MOST_SHOWN else f"{shown} and {len(numbers) - _MOST_SHOWN} more"
