"""A zip on its way into a dock: the copy that is checked."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from learndock._durable import new_file
from learndock.dock.layout import names_in
from learndock.errors import DockError

_PREFIX = ".incoming-"
_BLOCK = 1 << 20
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Incoming:
    """The copy.

    Attributes
    ----------
    zip : Path
        In a folder of its own, under the name that its owner gave it.
    size : int
    sha256 : str
    """

    zip: Path
    size: int
    sha256: str


@contextmanager
def incoming_copy(source: Path, zips: Path) -> Iterator[Incoming]:
    """Copy a zip into the dock's folder, synced; the folder goes at the end, with the copy unless it was renamed.

    The copy is checked, not the original, which could change between the check and the copying. The folder is locked
    while its maker lives.
    """
    try:
        folder, descriptor = _owned_folder(zips)
    except OSError as error:
        raise DockError(f"{zips}: nothing can be copied into the dock ({error.strerror or error})") from error
    try:
        digest = hashlib.sha256()
        try:
            with source.open("rb") as original, new_file(folder / source.name) as copy:
                while block := original.read(_BLOCK):
                    digest.update(block)
                    copy.write(block)
                size = copy.tell()
        except OSError as error:
            raise DockError(f"{source}: can't be copied into the dock ({error.strerror or error})") from error
        yield Incoming(folder / source.name, size, digest.hexdigest())
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def abandoned(zips: Path) -> list[Path]:
    """Copies whose maker was killed: nobody holds the lock of their folder."""
    found = []
    for folder in _folders(zips):
        with _taken(folder) as taken:
            if taken:
                found.append(folder)
    return found


def remove_abandoned(zips: Path) -> None:
    """Delete copies whose maker was killed."""
    for folder in _folders(zips):
        with _taken(folder) as taken:
            if taken:
                shutil.rmtree(folder, ignore_errors=True)


def _folders(zips: Path) -> list[Path]:
    """The copies among a million of zips; `glob` would hold them all."""
    return [zips / name for name in names_in(zips) if name.startswith(_PREFIX)]


def _owned_folder(zips: Path) -> tuple[Path, int]:
    """A new folder, and the descriptor that holds its lock."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=zips))
        # Until it is locked, whoever removes what is abandoned may take it.
        with suppress(FileNotFoundError):
            descriptor = os.open(folder, _FOLDER)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if os.path.samestat(os.fstat(descriptor), folder.stat()):
                    return folder, descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)


@contextmanager
def _taken(folder: Path) -> Iterator[bool]:
    """Hold the lock of a folder, unless its maker lives or it is gone."""
    try:
        descriptor = os.open(folder, _FOLDER)
    except OSError:
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
