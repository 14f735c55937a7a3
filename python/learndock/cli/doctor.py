"""`learndock doctor`: looks at all that is in a dock, and says what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from learndock.cli.arguments import AsJson, DockFolder, dock_to_read
from learndock.cli.output import cell, print_json, print_line, print_table, progress_bar
from learndock.cli.reports import ANSWER_IS_NO

if TYPE_CHECKING:
    from learndock.dock.doctor import VerifyReport

__all__ = ["doctor"]


def doctor(dock: DockFolder, as_json: AsJson = False) -> None:
    """Verify the checksum of every zip and segment, and that the catalog fits them. Nothing is changed.

    Exit code 3: something is wrong.
    """
    with progress_bar() as move, dock_to_read(dock) as shelf:
        report = shelf.verify(on_progress=move)
    if as_json:
        print_json({"ok": report.ok, **_facts(report)})
    else:
        _print(report)
    if not report.ok:
        raise typer.Exit(ANSWER_IS_NO)


def _facts(report: VerifyReport) -> dict[str, Any]:
    return {
        "problems": report.problems,
        "orphans": report.orphans,
        "learnwares": report.learnwares,
        "zips": report.zips,
        "segments": report.segments,
        "bytes": report.bytes,
    }


def _print(report: VerifyReport) -> None:
    from rich.table import Table

    if report.problems:
        table = Table()
        for name in ("part", "which"):
            table.add_column(name, no_wrap=True)
        table.add_column("what is wrong", overflow="fold")
        for problem in report.problems:
            table.add_row(problem.part, cell(problem.subject), cell(problem.message))
        print_table(table)
    for path in report.orphans or ():
        print_line(f"orphan: {path}")
    if report.orphans:
        print_line("orphans do no harm; `learndock optimize` deletes them")
    if report.orphans is None:
        print_line("another writer is at work: orphans were not looked for")
    looked = f"{report.learnwares:,} learnwares, {report.zips:,} zips, {report.segments:,} segments"
    verdict = "nothing is wrong" if report.ok else f"{len(report.problems)} problems"
    print_line(f"{verdict}: {looked}, {report.bytes:,} bytes read")
