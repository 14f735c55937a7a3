"""Zips of strangers, whose list of contents is bounded before it is read."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["ListTooLong", "bounded_zip"]

# One entry of the list of contents, with a long name and the usual extra fields; and what zipfile reads at the end
# of every file to find the list.
_ENTRY_BYTES = 512
_LEAST_BYTES = 128 * 1024


class ListTooLong(Exception):
    """The list of contents takes more bytes than its entries may."""


@contextmanager
def bounded_zip(path: Path, *, entries: int) -> Iterator[zipfile.ZipFile]:
    """Open a zip of at most so many entries for reading.

    Raises
    ------
    ListTooLong
        Before the list is read: zipfile makes an object of every entry, however many there are.
    """
    with _BoundedReads(path, max(_LEAST_BYTES, _ENTRY_BYTES * entries)) as file, zipfile.ZipFile(file) as archive:
        yield archive


class _BoundedReads(io.BufferedReader):
    """A file that refuses to be read in one piece larger than `most` bytes, as zipfile reads the list of contents."""

    def __init__(self, path: Path, most: int) -> None:
        super().__init__(io.FileIO(path))
        self._size = path.stat().st_size
        self._most = most

    def read(self, size: int | None = -1, /) -> bytes:
        left = max(0, self._size - self.tell())
        wanted = left if size is None or size < 0 else min(size, left)
        if wanted > self._most:
            raise ListTooLong(f"the zip's list of contents takes {wanted} bytes, at most {self._most} are allowed")
        return super().read(wanted)
