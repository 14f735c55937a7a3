"""`learndock check`: what the checkers say of a learnware, without a dock."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from learndock.cli.arguments import (
    AsJson,
    EnvironmentOfModel,
    EnvironmentOption,
    IsolationOfModel,
    IsolationOption,
    SecondsOption,
    SemanticOption,
    semantic_in,
    within,
)
from learndock.cli.output import spinner
from learndock.cli.reports import print_report

__all__ = ["check"]


def check(
    learnware: Annotated[
        Path, typer.Argument(metavar="ZIP", help="The learnware: a zip or a folder.", show_default=False)
    ],
    semantic: SemanticOption = None,
    isolation: IsolationOption = IsolationOfModel.auto,
    environment: EnvironmentOption = EnvironmentOfModel.current,
    seconds: SecondsOption = None,
    as_json: AsJson = False,
) -> None:
    """Check a learnware as `submit` would, and add it nowhere.

    Exit code 3: it is invalid; the report says why.
    """
    from learndock.checker import check_learnware

    with spinner("Checking the learnware"):
        report = check_learnware(
            learnware,
            semantic_in(semantic),
            limits=within(seconds),
            isolation=isolation.value,
            environment=environment.value,
        )
    if report.learnware is not None:
        report.learnware.close()
    print_report(report, facts={"path": str(learnware)}, summary=str(learnware), as_json=as_json)
