"""Removing a folder whatever a model has left in it."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import Any

__all__ = ["remove_tree"]


def remove_tree(folder: str) -> None:
    """Remove a folder and all in it, however deep; no link is followed, and what can't be removed is left.

    Nothing may run in the folder any more. It steps from directory to directory, down and up, with two of
    them open at most: neither Python's stack nor the length of a path nor the number of descriptors limits the depth.
    """
    # Of each directory on the way down to the open one: its name, its identity, and its directories not yet entered.
    way: list[tuple[str, tuple[int, int], list[str]]] = []
    name, here = folder, None
    try:
        while True:
            below = _open_directory(name, here)
            if below is not None:
                if here is not None:
                    os.close(here)
                here = below
                way.append((name, _identity(here), _remove_files(here)))
            # Down where there is another directory, else up to the first that has one.
            while way and not way[-1][2]:
                emptied = way.pop()[0]
                above = None if not way or here is None else _open_parent(here, way[-1][1])
                if here is not None:
                    os.close(here)
                here = above
                if way and here is None:
                    return
                _quietly(os.rmdir, emptied, here)
            if not way:
                return
            name = way[-1][2].pop()
    finally:
        if here is not None:
            os.close(here)


def _open_directory(name: str, parent: int | None) -> int | None:
    """Open a directory that may be emptied then; None where it is no directory (it is unlinked) or can't be opened."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        try:
            opened = os.open(name, flags, dir_fd=parent)
        except PermissionError:
            # A directory without permissions stops whoever is not root.
            os.chmod(name, 0o700, dir_fd=parent)
            opened = os.open(name, flags, dir_fd=parent)
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            _quietly(os.unlink, name, parent)
        return None
    with contextlib.suppress(OSError):
        os.fchmod(opened, 0o700)
    return opened


def _open_parent(directory: int, identity: tuple[int, int]) -> int | None:
    """Open the directory above, None where it isn't the one that this one was entered from."""
    try:
        parent = os.open("..", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    except OSError:
        return None
    if _identity(parent) == identity:
        return parent
    os.close(parent)
    return None


def _remove_files(directory: int) -> list[str]:
    """Unlink all but the directories, whose names come back."""
    try:
        with os.scandir(directory) as entries:
            is_directory = {entry.name: entry.is_dir(follow_symlinks=False) for entry in entries}
    except OSError:
        return []
    for name, known in is_directory.items():
        if not known:
            _quietly(os.unlink, name, directory)
    return [name for name, known in is_directory.items() if known]


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


def _quietly(remove: Any, name: str, parent: int | None) -> None:
    with contextlib.suppress(OSError):
        remove(name, dir_fd=parent)
