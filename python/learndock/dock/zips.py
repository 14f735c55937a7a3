"""Zips of a dock on their way out: what is handed on is what was submitted."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from learndock._durable import replaced_file
from learndock.errors import DamagedLearnware, InvalidArgument, LearndockError

__all__ = ["copy_verified", "sha256_of", "verified"]

_BLOCK = 1 << 20


def sha256_of(path: Path) -> str:
    """The sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def verified(path: Path, sha256: str, *, id: str) -> Iterator[Path]:
    """Verify a zip, give its path to the block, and see that nobody has touched it when the block is done.

    Raises
    ------
    DamagedLearnware
        It is not what was submitted, or it is missing.
    """
    with _opened(path, id) as file:
        before = _stamp(os.fstat(file.fileno()))
        found = hashlib.file_digest(file, "sha256").hexdigest()
    _require(found, sha256, path, id)
    try:
        yield path
    except (LearndockError, OSError) as error:
        if _stamp_of(path) == before:
            raise
        raise DamagedLearnware(f"id: {id!r}: {path} was changed or deleted while it was read") from error
    # Nothing of ours writes into a zip: an update brings another file and deletes this one.
    if _stamp_of(path) not in (None, before):
        raise DamagedLearnware(f"id: {id!r}: {path} was changed while it was read")


def copy_verified(path: Path, sha256: str, target: Path, *, id: str) -> None:
    """Copy a zip to `target`, over what is there: whole if it is what was submitted, else not at all.

    Raises
    ------
    DamagedLearnware
        It is not what was submitted, or it is missing.
    InvalidArgument
        If the target can't be written.
    """
    with _opened(path, id) as file:
        try:
            with replaced_file(target) as copy:
                _require(_copied(file, copy), sha256, path, id)
        except OSError as error:
            raise InvalidArgument(f"target: can't write {target} ({error.strerror or error})") from error


def _opened(path: Path, id: str) -> BufferedReader:
    try:
        return path.open("rb")
    except OSError as error:
        raise DamagedLearnware(f"id: {id!r}: {path} can't be read ({error.strerror or error})") from None


def _copied(source: BinaryIO, target: BinaryIO) -> str:
    digest = hashlib.sha256()
    while block := source.read(_BLOCK):
        digest.update(block)
        target.write(block)
    return digest.hexdigest()


def _require(found: str, sha256: str, path: Path, id: str) -> None:
    if found != sha256:
        raise DamagedLearnware(f"id: {id!r}: {path}: expected the sha256 {sha256}, as it was submitted, got {found}")


def _stamp_of(path: Path) -> tuple[int, int, int, int] | None:
    try:
        return _stamp(path.stat())
    except FileNotFoundError:
        return None


def _stamp(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
