"""`learndock submit`: have a zip checked, and added where it is fine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from learndock.cli.arguments import AsJson, DockFolder
from learndock.cli.output import print_json, print_line, print_table, spinner

__all__ = ["submit"]

# Beside 1 (an error) and 2 (wrong usage), so that a script can tell them apart.
_REFUSED = 3


def submit(
    dock: DockFolder,
    archive: Annotated[Path, typer.Argument(metavar="ZIP", help="The learnware's zip.")],
    semantic: Annotated[
        Path | None, typer.Option("--semantic", help="Semantic specification (JSON), if not the one in the zip.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check a learnware and add it to the dock, which is made if it is absent.

    Exit code 3: the learnware is invalid and was not added; the report says why.
    """
    from learndock.checker import Status
    from learndock.dock import Dock
    from learndock.errors import InvalidArgument
    from learndock.specification import SemanticSpecification

    # Before the dock is opened: a mistyped name of the zip must not leave an empty one.
    if not archive.is_file():
        raise InvalidArgument(f"zip: {archive} is a folder" if archive.is_dir() else f"zip: no such file: {archive}")
    specification = None if semantic is None else SemanticSpecification.load(semantic)
    with spinner("Checking the learnware"), Dock(dock) as shelf:
        report = shelf.submit(archive, specification)
    if as_json:
        print_json(
            {
                "id": report.id,
                "status": report.status,
                "checks": [
                    {"name": check.name, "status": check.status, "message": check.message, "details": check.details}
                    for check in report.checks
                ],
            }
        )
    else:
        print_table(_table(report.checks))
        print_line(f"{report.status.name}: " + (f"added as {report.id}" if report.id else "not added"))
    if report.status == Status.INVALID:
        raise typer.Exit(_REFUSED)


def _table(checks: Any) -> Any:
    from rich.table import Table

    table = Table()
    table.add_column("check", no_wrap=True)
    table.add_column("status", no_wrap=True)
    # A model's stderr may be in it; markup in square brackets must stay text.
    table.add_column("message", overflow="fold")
    for check in checks:
        table.add_row(check.name, check.status.name, _text(check.message))
    return table


def _text(message: str) -> Any:
    from rich.text import Text

    return Text(message)
