"""`learndock submit` and `update`: a zip is checked, and added or put in another's place where it is fine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from learndock.cli.arguments import (
    AsJson,
    CatalogOption,
    DockFolder,
    EnvironmentOfModel,
    EnvironmentOption,
    IsolationOfModel,
    IsolationOption,
    SecondsOption,
    SemanticOption,
    existing_dock,
    existing_zip,
    semantic_in,
    within,
)
from learndock.cli.output import spinner
from learndock.cli.reports import print_report

__all__ = ["submit", "update"]


def submit(
    dock: DockFolder,
    archive: Annotated[Path, typer.Argument(metavar="ZIP", help="The learnware's zip.", show_default=False)],
    semantic: SemanticOption = None,
    isolation: IsolationOption = IsolationOfModel.auto,
    environment: EnvironmentOption = EnvironmentOfModel.current,
    catalog: CatalogOption = None,
    seconds: SecondsOption = None,
    as_json: AsJson = False,
) -> None:
    """Check a learnware and add it to the dock, which is made if it is absent.

    Exit code 3: the learnware is invalid and was not added; the report says why.
    """
    from learndock.dock import Dock

    existing_zip(archive)
    specification = semantic_in(semantic)
    with spinner("Checking the learnware"), Dock(dock, catalog=catalog) as shelf:
        report = shelf.submit(
            archive,
            specification,
            limits=within(seconds),
            isolation=isolation.value,
            environment=environment.value,
        )
    done = f"added as {report.id}" if report.id else "not added"
    print_report(report, facts={"id": report.id}, summary=done, as_json=as_json)


def update(
    dock: DockFolder,
    identifier: Annotated[str, typer.Argument(metavar="ID", help="Of the learnware.", show_default=False)],
    archive: Annotated[Path | None, typer.Option("--zip", help="The zip to take the place of the present one.")] = None,
    semantic: Annotated[
        Path | None, typer.Option("--semantic", help="The semantic specification (JSON) to take the place.")
    ] = None,
    isolation: IsolationOption = IsolationOfModel.auto,
    environment: EnvironmentOption = EnvironmentOfModel.current,
    seconds: SecondsOption = None,
    as_json: AsJson = False,
) -> None:
    """Put another zip, semantic specification, or both in the place of a learnware's; what is not given stays.

    With neither it is only checked again, for what it requires may be here by now.

    Exit code 3: the new learnware is invalid, and the old one stays as it is; the report says why.
    """
    from learndock.checker import Status
    from learndock.dock import Dock

    if archive is not None:
        existing_zip(archive)
    specification = semantic_in(semantic)
    with spinner("Checking the learnware"), Dock(existing_dock(dock)) as shelf:
        report = shelf.update(
            identifier,
            path=archive,
            semantic=specification,
            limits=within(seconds),
            isolation=isolation.value,
            environment=environment.value,
        )
    done = f"{identifier} not updated" if report.status == Status.INVALID else f"{identifier} updated"
    print_report(report, facts={"id": identifier}, summary=done, as_json=as_json)
