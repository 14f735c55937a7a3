"""Private temporary folders, and their removal whatever a model has left in them."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

__all__ = ["private_folder", "remove_folder"]


def private_folder(prefix: str) -> Path:
    """Make an empty folder that only this user can enter."""
    return Path(tempfile.mkdtemp(prefix=prefix)).resolve()


def remove_folder(folder: Path) -> None:
    """Remove a folder and all in it; no link is followed, and what can't be removed is left.

    Nothing may run in the folder any more: a model could put a link where a directory was.
    """
    # rmtree works relative to open directories, so that a link is removed and never entered.
    shutil.rmtree(folder, ignore_errors=True)
    if folder.is_symlink():
        # Put there by a model, in place of the folder.
        folder.unlink()
    if not folder.exists():
        return
    # A directory without permissions stops whoever is not root.
    folder.chmod(0o700)
    for parent, directories, _ in os.walk(folder):
        for name in directories:
            directory = Path(parent, name)
            if not directory.is_symlink():
                directory.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
