"""`learndock get`, `rm` and `ls`: what lies in a dock."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Any

import typer

from learndock.cli.arguments import AsJson, DockFolder, Name, dock_to_read, existing_dock, output_file
from learndock.cli.output import name_cell, print_json, print_json_list, print_line, print_table
from learndock.cli.wanted import DataOption, LibraryOption, LicenseOption, ScenarioOption, TaskOption, wanted

__all__ = ["get", "ls", "rm"]

# A table's row must fit a terminal; --json has everything.
_SHOWN_OF_SHA256 = 12
# Rows of one table: its columns are as wide as the longest entry, so that nothing is printed before all are read.
_ROWS = 1000


class Sort(StrEnum):
    """What a list is ordered by."""

    id = "id"
    name = "name"
    status = "status"
    submitted_at = "submitted_at"
    updated_at = "updated_at"
    num_points = "num_points"
    zip_bytes = "zip_bytes"


class ListedStatus(StrEnum):
    """Which learnwares a list shows."""

    usable = "usable"
    nonusable = "nonusable"
    any = "any"


def get(
    dock: DockFolder,
    identifier: Annotated[str, typer.Argument(metavar="ID", help="Of the learnware.", show_default=False)],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to write the zip.  [default: ID.zip]")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Copy a learnware's zip out of the dock, after its sha256 was verified."""
    target = output_file(output or Path(f"{identifier}.zip"), overwrite=overwrite)
    with dock_to_read(dock) as shelf:
        shelf.copy_zip(identifier, target, overwrite=overwrite)
    size = target.stat().st_size
    if as_json:
        print_json({"id": identifier, "path": str(target), "bytes": size})
    else:
        print_line(f"{target}: {size:,} bytes")


def rm(
    dock: DockFolder,
    identifiers: Annotated[list[str], typer.Argument(metavar="ID...", help="What to remove.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Remove learnwares from the dock: all of those named, or, where one is unknown, none."""
    from learndock.dock import Dock

    with Dock(existing_dock(dock)) as shelf:
        shelf.delete(identifiers)
    if as_json:
        print_json({"removed": identifiers})
    else:
        print_line(f"removed {', '.join(identifiers)}")


def ls(
    dock: DockFolder,
    status: Annotated[ListedStatus, typer.Option("--status", help="Which to show.")] = ListedStatus.any,
    name: Name = None,
    data: DataOption = None,
    task: TaskOption = None,
    library: LibraryOption = None,
    scenario: ScenarioOption = None,
    license: LicenseOption = None,
    sort: Annotated[Sort, typer.Option("--sort", help="What to order by.")] = Sort.id,
    descending: Annotated[bool, typer.Option("--descending", help="Largest or latest first.")] = False,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Most learnwares to show.")] = None,
    count: Annotated[bool, typer.Option("--count", help="Only say how many there are.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the learnwares of the dock. Options that filter may be repeated: any of their values will do."""
    query = wanted(None, data=data, task=task, library=library, scenario=scenario, license=license)
    filters: dict[str, Any] = {"status": status.value, "name": name, "semantic": query}
    with dock_to_read(dock) as shelf:
        if count:
            number = shelf.count(**filters)
            if as_json:
                print_json({"count": number})
            else:
                print_line(str(number))
            return
        entries = shelf.list(**filters, sort=sort.value, descending=descending, limit=limit)
        if as_json:
            print_json_list(entries)
        else:
            for page in _pages(entries):
                print_table(_table(page))


def _pages(entries: Iterator[Any]) -> Iterator[Iterable[Any]]:
    """So many entries at a time; one page without any, where there are none."""
    yield islice(entries, _ROWS)
    for first in entries:
        yield chain([first], islice(entries, _ROWS - 1))


def _table(entries: Iterable[Any]) -> Any:
    from rich.table import Table

    table = Table()
    table.add_column("id", no_wrap=True)
    table.add_column("name")
    for name in ("task", "status"):
        table.add_column(name, no_wrap=True)
    for name in ("columns", "bytes"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("sha256", no_wrap=True)
    for entry in entries:
        semantic = entry.semantic or {}
        table.add_row(
            entry.id,
            name_cell(entry.name),
            ", ".join(semantic.get("Task", {}).get("Values", [])),
            entry.status.name,
            " x ".join(str(size) for size in entry.input_shape),
            "" if entry.zip_bytes is None else f"{entry.zip_bytes:,}",
            (entry.zip_sha256 or "")[:_SHOWN_OF_SHA256],
        )
    return table
