"""Private temporary folders, and their removal whatever a model has left in them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from learndock.runtime.guard.removal import remove_tree

__all__ = ["private_folder", "remove_folder"]


def private_folder(prefix: str) -> Path:
    """Make an empty folder that only this user can enter."""
    return Path(tempfile.mkdtemp(prefix=prefix)).resolve()


def remove_folder(folder: Path) -> None:
    """Remove a folder and all in it, however deep; no link is followed, and what can't be removed is left.

    Nothing may run in the folder any more: a model could put a link where a directory was.
    """
    remove_tree(os.fspath(folder))
