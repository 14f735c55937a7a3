"""Files that survive a power cut: written beside their name, synced, renamed, the folder synced."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


def sync_folder(folder: Path) -> None:
    """Make renames and deletions in the folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folders(folder: Path) -> None:
    """Make a folder, and those above it that are missing, durable as what is written into it will be."""
    missing = [above for above in (folder, *folder.parents) if not above.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    # What was there may have been made a moment ago, by a process that has died before this line.
    for made in missing or [folder]:
        with suppress(PermissionError):  # who may write into a folder may not always read it
            sync_folder(made.parent)


def create_file(path: Path) -> BinaryIO:
    """A new file to write; as readable as the umask lets any new file be."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666), "wb")


def sync_file(file: BinaryIO) -> None:
    """Make durable what was written."""
    file.flush()
    os.fsync(file.fileno())


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Write a new file and sync it."""
    with create_file(path) as file:
        yield file
        sync_file(file)


@contextmanager
def replaced_file(path: Path) -> Iterator[BinaryIO]:
    """Write a file under a temporary name and rename it: afterwards it is there whole, or as it was before.

    Links are followed, as where a file is opened; a device or pipe is an OSError, since the file would take its place.
    """
    path = path.resolve()
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "no regular file", str(path))
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with new_file(temporary) as file:
            yield file
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
