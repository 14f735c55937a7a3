"""`learndock review`: models are tried on each other's sketches, and what that tells of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from learndock.cli.arguments import (
    AsJson,
    DockFolder,
    EnvironmentOfModel,
    EnvironmentOption,
    IsolationOfModel,
    IsolationOption,
    SecondsOption,
    existing_dock,
    within,
)
from learndock.cli.output import cell, print_json, print_line, print_table, progress_bar

if TYPE_CHECKING:
    from learndock.dock.peer_report import PeerReport

__all__ = ["review"]


def review(
    dock: DockFolder,
    ids: Annotated[
        list[str] | None,
        typer.Option("--id", help="Review this learnware with its peers, though it failed before; may be repeated."),
    ] = None,
    isolation: IsolationOption = IsolationOfModel.auto,
    environment: EnvironmentOption = EnvironmentOfModel.current,
    seconds: SecondsOption = None,
    as_json: AsJson = False,
) -> None:
    """Try models on each other's sketches, as far as that has not been done, and report on all that have been.

    Searches then tell what each model is predicted to lose. What was found is kept: after Ctrl-C it goes on from there.
    """
    from learndock.dock import Dock

    with progress_bar() as move, Dock(existing_dock(dock)) as shelf:
        report = shelf.peer_review(
            ids or None,
            limits=within(seconds),
            isolation=isolation.value,
            environment=environment.value,
            on_progress=move,
        )
    if as_json:
        print_json(_facts(report))
    else:
        _print(report)


def _facts(report: PeerReport) -> dict[str, Any]:
    return {
        "ids": list(report.ids),
        "pairs": report.pairs,
        "good_at": {id: list(others) for id, others in report.good_at.items()},
        "twins": [list(pair) for pair in report.twins],
        "covered_by": dict(report.covered_by),
        "doubtful": [
            {"id": claim.id, "disagreement": claim.disagreement, "peers": claim.peers} for claim in report.doubtful
        ],
        "failures": dict(report.failures),
    }


def _print(report: PeerReport) -> None:
    from rich.table import Table

    table = Table()
    table.add_column("id", no_wrap=True)
    table.add_column("what was found", overflow="fold")
    for one, other in report.twins:
        table.add_row(one, f"says nearly the same as {other}")
    for id, other in report.covered_by.items():
        table.add_row(id, f"{other} may stand for it")
    for claim in report.doubtful:
        table.add_row(
            claim.id,
            f"doubtful: its own model is {claim.disagreement:.3g} times as far from {claim.peers} peers as they are "
            "from each other",
        )
    for id, why in report.failures.items():
        table.add_row(id, cell(f"could not be tried: {why}"))
    if table.row_count:
        print_table(table)
    print_line(f"{len(report.ids):,} models tried, {report.pairs:,} pairs known, {len(report.failures):,} failed")
