"""What became of a submission."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from learndock.checker import CheckResult, Status

__all__ = ["SubmitReport"]


@dataclass(frozen=True, slots=True)
class SubmitReport:
    """What became of a submission.

    Attributes
    ----------
    status : Status
        INVALID (-1): not added. NONUSABLE (0): added, but its requirements are not here. USABLE (1).
    id : str or None
        None where it was not added.
    checks : tuple of CheckResult
    """

    status: Status
    id: str | None
    checks: tuple[CheckResult, ...]

    def __repr__(self) -> str:
        lines = [f"SubmitReport({self.status.name}, id {self.id!r})"]
        return "\n".join(lines + [f"  {check.name}: {check.status.name}: {check.message}" for check in self.checks])
