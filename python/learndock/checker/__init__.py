"""Checks of a learnware before a dock takes it."""

from __future__ import annotations

from learndock.checker.environment import EnvironmentChecker
from learndock.checker.report import CheckReport, check_learnware
from learndock.checker.requirements import RequirementsChecker
from learndock.checker.result import CheckResult, Status
from learndock.checker.semantic import SemanticChecker
from learndock.checker.statistical import StatisticalChecker

__all__ = [
    "CheckReport",
    "CheckResult",
    "EnvironmentChecker",
    "RequirementsChecker",
    "SemanticChecker",
    "StatisticalChecker",
    "Status",
    "check_learnware",
]
