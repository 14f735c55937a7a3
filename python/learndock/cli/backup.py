"""`learndock backup`: a copy of a dock, in one state, while it is in use."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from learndock.cli.arguments import AsJson, CatalogOption, DockFolder, dock_to_read
from learndock.cli.output import print_json, print_line, progress_bar

__all__ = ["backup"]


def backup(
    dock: DockFolder,
    target: Annotated[
        Path, typer.Argument(metavar="TARGET", help="An empty folder, or none: it is made.", show_default=False)
    ],
    copy: Annotated[
        bool, typer.Option("--copy", help="Copy every byte, though hard links would do on this file system.")
    ] = False,
    catalog: CatalogOption = None,
    as_json: AsJson = False,
) -> None:
    """Copy the dock to a folder, in one state, though searches and changes go on."""
    with progress_bar() as move, dock_to_read(dock) as shelf:
        path = shelf.backup(target, catalog=catalog, link=not copy, on_progress=move)
        number = len(shelf)
    if as_json:
        print_json({"path": str(path), "learnwares": number})
    else:
        print_line(f"{path}: {number:,} learnwares")
