"""`learndock import-market`: a market of the reference package, brought into a dock."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    within,
)
from learndock.cli.output import cell, print_json, print_line, print_table, progress_bar
from learndock.cli.reports import ANSWER_IS_NO

if TYPE_CHECKING:
    from learndock.market import MarketReport

__all__ = ["import_market"]


def import_market(
    dock: DockFolder,
    market: Annotated[
        Path,
        typer.Argument(
            metavar="MARKET",
            help="The market's folder, or the reference's own, such as ~/.learnware.",
            show_default=False,
        ),
    ],
    market_id: Annotated[
        str | None, typer.Option("--market-id", help="Which, where the folder has several markets.")
    ] = None,
    isolation: IsolationOption = IsolationOfModel.auto,
    environment: EnvironmentOption = EnvironmentOfModel.current,
    catalog: CatalogOption = None,
    seconds: SecondsOption = None,
    as_json: AsJson = False,
) -> None:
    """Submit every learnware of a market of the package `learnware` to the dock, which is made if it is absent.

    It can be run again: what the dock has already is left out. Exit code 3: some were not added; the report says why.
    """
    from learndock.dock import Dock
    from learndock.market import ImportStatus
    from learndock.market import import_market as brought
    from learndock.market.folder import MarketFolder

    MarketFolder.find(market, market_id)  # before the dock is made
    with progress_bar() as move, Dock(dock, catalog=catalog) as shelf:
        report = brought(
            market,
            shelf,
            market_id=market_id,
            limits=within(seconds),
            isolation=isolation.value,
            environment=environment.value,
            on_progress=move,
        )
    if as_json:
        print_json({"market_id": report.market_id, "counts": report.counts, "entries": report.entries})
    else:
        _print(report)
    if report.counts.keys() & {ImportStatus.INVALID, ImportStatus.REFUSED}:
        raise typer.Exit(ANSWER_IS_NO)


def _print(report: MarketReport) -> None:
    print_table(_table(report))
    counts = ", ".join(f"{count} {status}" for status, count in report.counts.items())
    print_line(f"{report.market_id}: {counts or 'no learnwares'}")


def _table(report: MarketReport) -> Any:
    from rich.table import Table

    table = Table()
    for name in ("in the market", "in the dock", "status"):
        table.add_column(name, no_wrap=True)
    table.add_column("message", overflow="fold")
    for entry in report.entries:
        table.add_row(cell(entry.old_id), entry.new_id or "", entry.status.value, cell(entry.message))
    return table
