"""How the verbs that check a learnware print what was found, and how they end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from learndock.cli.output import cell, print_json, print_line, print_table

if TYPE_CHECKING:
    from learndock.checker import CheckReport, CheckResult
    from learndock.dock import SubmitReport

__all__ = ["ANSWER_IS_NO", "print_report"]

# Exit code of a verb that did its work and found something wrong: beside 1 (an error) and 2 (wrong usage), so that a
# script can tell them apart.
ANSWER_IS_NO = 3


def print_report(report: CheckReport | SubmitReport, *, facts: dict[str, Any], summary: str, as_json: bool) -> None:
    """Print a report, and end with exit code 3 where the learnware is invalid.

    Parameters
    ----------
    report : CheckReport or SubmitReport
    facts : dict
        What its JSON says before the checks.
    summary : str
        The last line of the text, after the status.
    as_json : bool
    """
    from learndock.checker import Status

    if as_json:
        checks = [
            {"name": check.name, "status": check.status, "message": check.message, "details": check.details}
            for check in report.checks
        ]
        level = None if report.isolation is None else report.isolation.name.lower()
        print_json({**facts, "status": report.status, "isolation": level, "checks": checks})
    else:
        print_table(_table(report.checks))
        contained = "" if report.isolation is None else f" (model contained by: {report.isolation.name.lower()})"
        print_line(f"{report.status.name}: {summary}{contained}")
    if report.status == Status.INVALID:
        raise typer.Exit(ANSWER_IS_NO)


def _table(checks: Sequence[CheckResult]) -> Any:
    from rich.table import Table

    table = Table()
    table.add_column("check", no_wrap=True)
    table.add_column("status", no_wrap=True)
    table.add_column("message", overflow="fold")
    for check in checks:
        table.add_row(check.name, check.status.name, cell(check.message))
    return table
