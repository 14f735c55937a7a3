"""Private temporary folders, and their removal whatever a model has left in them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import time
from pathlib import Path

from learndock.runtime.guard.removal import remove_tree

__all__ = ["private_folder", "remove_folder"]

_PREFIX = "learndock-private-"
# Between the making of a folder and its locking it looks abandoned.
_YOUNGEST_ABANDONED = 60.0

# The descriptors whose locks say that a folder's maker lives.
_locks: dict[str, int] = {}
_swept: set[str] = set()


def private_folder(what: str) -> Path:
    """Make an empty folder that only this user can enter; those that killed processes have left are removed.

    Parameters
    ----------
    what : str
        Part of its name.
    """
    temporary = tempfile.gettempdir()
    if temporary not in _swept:
        _swept.add(temporary)
        _remove_abandoned(Path(temporary))
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{what}-")).resolve()
    lock = _open(folder)
    if lock is not None:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _locks[os.fspath(folder)] = lock
    return folder


def remove_folder(folder: Path) -> None:
    """Remove a folder and all in it, however deep; no link is followed, and what can't be removed is left.

    Nothing may run in the folder any more: a model could put a link where a directory was.
    """
    remove_tree(os.fspath(folder))
    lock = _locks.pop(os.fspath(folder), None)
    if lock is not None:
        os.close(lock)


def _remove_abandoned(temporary: Path) -> None:
    """Remove the folders whose makers were killed: nobody holds their locks."""
    newest = time.time() - _YOUNGEST_ABANDONED
    for folder in temporary.glob(f"{_PREFIX}*"):
        lock = _open(folder)
        if lock is None:
            continue
        try:
            status = os.fstat(lock)
            if status.st_uid == os.getuid() and status.st_mtime < newest:
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    remove_tree(os.fspath(folder))
        finally:
            os.close(lock)


def _open(folder: Path) -> int | None:
    try:
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
