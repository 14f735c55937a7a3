"""Arguments that several verbs share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from learndock.dock import Dock

__all__ = ["AsJson", "DockFolder", "dock_to_read", "existing_dock", "output_file"]

AsJson = Annotated[bool, typer.Option("--json", help="Print pure JSON on stdout instead of a table.")]
DockFolder = Annotated[Path, typer.Argument(metavar="DOCK", help="Folder of the dock.", show_default=False)]


def existing_dock(folder: Path) -> Path:
    """Refuse a folder without a dock.

    `Dock(path)` makes one where none is; a mistyped path of a search must not.
    """
    from learndock.errors import DockError

    if not (folder / "dock.json").is_file():
        raise DockError(f"{folder} holds no dock")
    return folder


def dock_to_read(folder: Path) -> Dock:
    """Open a dock for a verb that changes nothing in it.

    Where this user may write, it is opened as for writing, and what a living writer adds is seen, whole. A dock opened
    with ``readonly=True`` takes no part in the locks and may be seen as it was: that is for folders that can't be
    written to.
    """
    from learndock.dock import Dock

    return Dock(existing_dock(folder), readonly=not os.access(folder, os.W_OK | os.X_OK))


def output_file(path: Path, *, overwrite: bool) -> Path:
    """Refuse, before any work is done, a path that no file can be written to, or that there is one at already."""
    from learndock.errors import InvalidArgument

    if path.is_dir():
        raise InvalidArgument(f"output: {path} is a folder, expected a file")
    if not path.parent.is_dir():
        raise InvalidArgument(f"output: the folder {path.parent} does not exist")
    if path.exists() and not overwrite:
        raise InvalidArgument(f"output: {path} exists already; --overwrite replaces it")
    return path
