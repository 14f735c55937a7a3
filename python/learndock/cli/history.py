"""`learndock history`: who changed what in a dock, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from learndock.cli.arguments import AsJson, DockFolder, dock_to_read
from learndock.cli.output import cell, print_json_list, print_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from learndock.dock.audit import AuditRecord

__all__ = ["history"]

_MOST_SHOWN = 50


def history(
    dock: DockFolder,
    identifier: Annotated[
        str | None, typer.Argument(metavar="ID", help="Of one learnware; without it, all is shown.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Most changes to show.")] = _MOST_SHOWN,
    as_json: AsJson = False,
) -> None:
    """Show submissions, updates, deletions, ingests, search gammas and scalings, newest first, refused ones too."""
    with dock_to_read(dock) as shelf:
        records = shelf.history(identifier, limit=limit)
    if as_json:
        print_json_list(records)
    else:
        print_table(_table(records))


def _table(records: Iterable[AuditRecord]) -> Any:
    from rich.table import Table

    table = Table()
    for name in ("time", "actor", "action", "id", "status"):
        table.add_column(name, no_wrap=True)
    table.add_column("message", overflow="fold")
    for record in records:
        several = "" if record.count == 1 else f" and {record.count - 1:,} more"
        identifier = "" if record.id is None else record.id + several
        table.add_row(
            record.time,
            cell(record.actor),
            record.action,
            identifier,
            record.status.name,
            cell(record.message or ""),
        )
    return table
