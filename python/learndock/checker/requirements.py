"""Whether what a model needs is here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from learndock.checker.result import CheckResult, Status
from learndock.environment.requirements import missing_requirements

if TYPE_CHECKING:
    from learndock.learnware import Learnware

__all__ = ["RequirementsChecker"]

_NAMED = 10


class RequirementsChecker:
    """Compares what a learnware requires with what is installed; it starts nothing."""

    def check(self, learnware: Learnware) -> CheckResult:
        """Check one learnware.

        Parameters
        ----------
        learnware : Learnware

        Returns
        -------
        CheckResult
            NONUSABLE where something is missing.
        """
        missing = missing_requirements(learnware.requirements)
        details = {"requirements": learnware.requirements, "missing": missing}
        if missing:
            message = f"not here: {', '.join(missing[:_NAMED])}"
            if len(missing) > _NAMED:
                message += f" and {len(missing) - _NAMED} more"
            return CheckResult("requirements", Status.NONUSABLE, message, details)
        return CheckResult("requirements", Status.USABLE, "all requirements are installed", details)
