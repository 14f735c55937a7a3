"""Whether an environment for the model can be made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from learndock.checker.result import CheckResult, Status
from learndock.errors import EnvironmentBuildError

if TYPE_CHECKING:
    from learndock.learnware import Learnware

__all__ = ["EnvironmentChecker"]


class EnvironmentChecker:
    """Makes an environment with what a learnware requires, or finds it where it was made before; it starts nothing."""

    def check(self, learnware: Learnware) -> CheckResult:
        """Check one learnware.

        Parameters
        ----------
        learnware : Learnware

        Returns
        -------
        CheckResult
            NONUSABLE where no environment can be made: the message ends with the installer's own words. The learnware
            may be fine, so it is not INVALID. Else its details have the environment's interpreter as ``python``.
        """
        from learndock.environment import build_environment

        details: dict[str, object] = {"requirements": learnware.requirements}
        try:
            environment = build_environment(learnware.folder)
        except EnvironmentBuildError as error:
            return CheckResult("environment", Status.NONUSABLE, str(error), details | {"error": type(error).__name__})
        message = "; ".join(["an environment with all requirements was made", *environment.notes])
        found: dict[str, object] = {"python": str(environment.python), "notes": environment.notes}
        return CheckResult("environment", Status.USABLE, message, details | found)
