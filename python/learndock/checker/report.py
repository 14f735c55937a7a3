"""All checks of a learnware, from its zip on."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from learndock._validation import as_path
from learndock.checker.environment import EnvironmentChecker
from learndock.checker.requirements import RequirementsChecker
from learndock.checker.result import CheckResult, Status
from learndock.checker.semantic import SemanticChecker
from learndock.checker.statistical import StatisticalChecker
from learndock.environment.choice import checked_environment
from learndock.errors import InvalidArgument, LearndockError
from learndock.learnware.learnware import Learnware
from learndock.runtime.isolation import Isolation, least_isolation

if TYPE_CHECKING:
    from os import PathLike

    from learndock.environment.choice import EnvironmentChoice
    from learndock.learnware import ArchiveLimits
    from learndock.runtime import IsolationRequest, ModelLimits
    from learndock.specification import SemanticSpecification

__all__ = ["CheckReport", "check_learnware"]

# An error may quote what a stranger has written.
_LONGEST_MESSAGE = 4000


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What all checkers say of a learnware.

    Attributes
    ----------
    status : Status
        The worst of all.
    checks : tuple of CheckResult
        In the order in which they were made.
    learnware : Learnware or None
        Opened, for the caller to close; None where it is INVALID.
    isolation : Isolation or None
        How well the model was contained; None where it was not started.
    """

    status: Status
    checks: tuple[CheckResult, ...]
    learnware: Learnware | None = field(default=None, compare=False, repr=False)
    isolation: Isolation | None = None


def check_learnware(
    path: str | PathLike[str],
    semantic: SemanticSpecification | Mapping[str, Any] | None = None,
    *,
    limits: ModelLimits | None = None,
    archive_limits: ArchiveLimits | None = None,
    isolation: IsolationRequest = "auto",
    environment: EnvironmentChoice = "current",
) -> CheckReport:
    """Open a learnware and check it; one that is merely bad is no exception.

    Parameters
    ----------
    path : path
        A zip or folder.
    semantic : SemanticSpecification or mapping, optional
        The semantic part, by default the one in the zip.
    limits : ModelLimits, optional
        What the model's process may use.
    archive_limits : ArchiveLimits, optional
        How large the zip's contents may be.
    isolation : {"auto", "require", "landlock", "namespace"}
        How well the model must be contained, see `ModelProcess`.
    environment : {"current", "build"}
        The interpreter to run the model with: this one, or one that is made from what the learnware requires, see
        `learndock.environment`. The learnware in the report is opened for the same.

    Returns
    -------
    CheckReport
        Where the model's requirements are not here, or no environment with them can be made, it is not started, and
        the status is NONUSABLE at best.

    Raises
    ------
    InvalidArgument
        There is no such file, or no semantic part, neither given nor in the zip; SemanticError, which is one, where
        the one given breaks a rule. Or `isolation` or `environment` is none of the choices.
    IsolationUnavailable
        The model can't be contained here as well as it must be. That is no fault of the learnware, so it is no report.
    """
    from learndock.specification import SemanticSpecification

    least_isolation(isolation)
    environment = checked_environment(environment)
    path = as_path(path, "path")
    if not path.exists():
        raise InvalidArgument(f"path: expected a zip or a folder, got {path}, which does not exist")
    if semantic is not None and not isinstance(semantic, SemanticSpecification):
        semantic = SemanticSpecification.from_dict(semantic)
    try:
        learnware = Learnware.open(
            path,
            semantic=semantic,
            limits=limits,
            archive_limits=archive_limits,
            isolation=isolation,
            environment=environment,
        )
    except LearndockError as error:
        message = f"{error!s:.{_LONGEST_MESSAGE}}"
        result = CheckResult("archive", Status.INVALID, message, {"error": type(error).__name__})
        return CheckReport(Status.INVALID, (result,))
    try:
        if learnware.semantic is None:
            raise InvalidArgument("semantic: expected a semantic specification, as an argument or in the zip; got none")
        checks = _check(learnware, limits, isolation, environment)
    except BaseException:
        learnware.close()
        raise
    status = min(check.status for check in checks)
    level = _isolation(checks)
    if status == Status.INVALID:
        learnware.close()
        return CheckReport(status, checks, isolation=level)
    return CheckReport(status, checks, learnware, level)


def _check(
    learnware: Learnware, limits: ModelLimits | None, isolation: IsolationRequest, environment: EnvironmentChoice
) -> tuple[CheckResult, ...]:
    opened = CheckResult("archive", Status.USABLE, "the zip can be opened, and its description and files fit")
    semantic = SemanticChecker().check(learnware)
    checker = RequirementsChecker() if environment == "current" else EnvironmentChecker()
    requirements = checker.check(learnware)
    statistical = StatisticalChecker(
        limits=limits,
        start=requirements.status == Status.USABLE,
        isolation=isolation,
        python=str(requirements.details.get("python", sys.executable)),
    ).check(learnware)
    return opened, semantic, requirements, statistical


def _isolation(checks: tuple[CheckResult, ...]) -> Isolation | None:
    levels = (check.details["isolation"] for check in checks if "isolation" in check.details)
    return next((Isolation[str(level).upper()] for level in levels), None)
