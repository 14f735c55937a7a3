"""Arguments that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["AsJson", "DockFolder", "existing_dock"]

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
