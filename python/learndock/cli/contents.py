"""`learndock get`, `rm` and `ls`: what lies in a dock."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from learndock.cli.arguments import AsJson, DockFolder, dock_to_read, existing_dock, output_file
from learndock.cli.output import print_json, print_json_list, print_line, print_table

__all__ = ["get", "ls", "rm"]

# A table's row must fit a terminal; --json has everything.
_LONGEST_NAME = 60


def get(
    dock: DockFolder,
    identifier: Annotated[str, typer.Argument(metavar="ID", help="Of the learnware.", show_default=False)],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to write the zip.  [default: ID.zip]")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Copy a learnware's zip out of the dock."""
    with dock_to_read(dock) as shelf:
        source = shelf.zip_path(identifier)
        target = output_file(output or Path(f"{identifier}.zip"), overwrite=overwrite)
        shutil.copyfile(source, target)
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


def ls(dock: DockFolder, as_json: AsJson = False) -> None:
    """List the learnwares of the dock."""
    with dock_to_read(dock) as shelf:
        if as_json:
            print_json_list(shelf.list())
        else:
            print_table(_table(shelf.list()))


def _table(entries: Any) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table()
    table.add_column("id", no_wrap=True)
    table.add_column("name")
    for name in ("task", "status"):
        table.add_column(name, no_wrap=True)
    for name in ("columns", "bytes"):
        table.add_column(name, justify="right", no_wrap=True)
    for entry in entries:
        semantic = entry.semantic or {}
        table.add_row(
            entry.id,
            # Text, since a name in square brackets would be taken for a colour.
            Text((entry.name or "")[:_LONGEST_NAME]),
            ", ".join(semantic.get("Task", {}).get("Values", [])),
            entry.status.name,
            " x ".join(str(size) for size in entry.input_shape),
            "" if entry.zip_bytes is None else f"{entry.zip_bytes:,}",
        )
    return table
