"""What a check says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType

__all__ = ["CheckResult", "Status"]


class Status(IntEnum):
    """What a learnware is good for, from worst to best; the numbers are the reference's."""

    INVALID = -1
    """Something is wrong with it; no dock takes it."""
    NONUSABLE = 0
    """Nothing is wrong, but its model was never started: what it needs is not here."""
    USABLE = 1
    """Its model was started, and passed every check."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one checker says of a learnware.

    Attributes
    ----------
    name : str
        Which checker.
    status : Status
        The worst that it found.
    message : str
        Every failed check, in words; what was checked, where none failed.
    details : mapping of str to object
        An entry for each failed or passed check: what was found.
    """

    name: str
    status: Status
    message: str
    details: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "details", MappingProxyType(dict(self.details)))
