"""`learndock doctor`: looks at all that is in a dock, says what is wrong, and mends what it can."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from learndock.cli.arguments import AsJson, DockFolder, dock_to_read, existing_dock
from learndock.cli.output import cell, print_json, print_line, print_table, progress_bar
from learndock.cli.reports import ANSWER_IS_NO
from learndock.errors import InvalidArgument

if TYPE_CHECKING:
    from learndock.dock.doctor import VerifyReport

__all__ = ["doctor"]


def doctor(
    dock: DockFolder,
    repair: Annotated[
        bool, typer.Option("--repair", help="Make again what can be, delete what a killed writer has left.")
    ] = False,
    drop_damaged: Annotated[
        bool,
        typer.Option("--drop-damaged", help="With --repair: drop learnwares whose zip or specification is damaged."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Verify the checksum of every zip and segment, and that the catalog fits them. Only --repair changes anything.

    Exit code 3: something is wrong, or still is.
    """
    if drop_damaged and not repair:
        raise InvalidArgument("--drop-damaged: goes with --repair")
    if repair:
        report, mended = _repaired(dock, drop_damaged=drop_damaged)
    else:
        with progress_bar() as move, dock_to_read(dock) as shelf:
            report, mended = shelf.verify(on_progress=move), {}
    if as_json:
        print_json({"ok": report.ok, **_facts(report), **mended})
    else:
        for sentence in mended.get("done", ()):
            print_line(sentence)
        _print(report)
    if not report.ok:
        raise typer.Exit(ANSWER_IS_NO)


def _repaired(folder: Path, *, drop_damaged: bool) -> tuple[VerifyReport, dict[str, Any]]:
    from learndock.dock import Dock

    with progress_bar() as move, Dock(existing_dock(folder)) as shelf:
        found = shelf.repair(drop_damaged=drop_damaged, on_progress=move)
    return found.after, {"done": found.done, "dropped": found.dropped, "found": found.before.problems}


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
        print_line("orphans do no harm; `learndock doctor --repair` and `learndock optimize` delete them")
    if report.orphans is None:
        print_line("another writer is at work: orphans were not looked for")
    looked = f"{report.learnwares:,} learnwares, {report.zips:,} zips, {report.segments:,} segments"
    verdict = "nothing is wrong" if report.ok else f"{len(report.problems)} problems"
    print_line(f"{verdict}: {looked}, {report.bytes:,} bytes read")
