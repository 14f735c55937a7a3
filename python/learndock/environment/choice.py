"""Which interpreter a learnware's model runs in."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from learndock.errors import InvalidArgument

__all__ = ["EnvironmentChoice", "checked_environment"]

EnvironmentChoice: TypeAlias = Literal["current", "build"]
"""``"current"``: this interpreter. ``"build"``: one that is made from what the learnware requires."""


def checked_environment(environment: str) -> EnvironmentChoice:
    """Give the argument back.

    Raises
    ------
    InvalidArgument
        It is none of the choices.
    """
    for choice in get_args(EnvironmentChoice):
        if environment == choice:
            found: EnvironmentChoice = choice
            return found
    expected = " or ".join(map(repr, get_args(EnvironmentChoice)))
    raise InvalidArgument(f"environment: expected {expected}, got {environment!r}")
