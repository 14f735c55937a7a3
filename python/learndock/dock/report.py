"""What became of a submission or an update."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from learndock.dock.presentation import html_table

if TYPE_CHECKING:
    from learndock.checker import CheckResult, Status
    from learndock.runtime import Isolation

__all__ = ["SubmitReport"]


@dataclass(frozen=True, slots=True)
class SubmitReport:
    """What became of a submission or an update.

    Attributes
    ----------
    status : Status
        INVALID (-1): not added, or, of an update, all is as it was before. NONUSABLE (0): added, but its requirements
        are not here. USABLE (1).
    id : str or None
        None where it was not added.
    checks : tuple of CheckResult
        In the order in which they were made.
    isolation : Isolation or None
        How well the model was contained while it was tried; None where it was not started.
    """

    status: Status
    id: str | None
    checks: tuple[CheckResult, ...]
    isolation: Isolation | None = None

    def _repr_html_(self) -> str:
        rows = [(check.name, check.status.name, check.message) for check in self.checks]
        return html_table(f"{self.status.name}, id {self.id}", ("check", "status", "message"), rows)

    def __repr__(self) -> str:
        lines = [f"SubmitReport({self.status.name}, id {self.id!r})"]
        return "\n".join(lines + [f"  {check.name}: {check.status.name}: {check.message}" for check in self.checks])
