"""What every target asks of a parser, and where it puts files."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from learndock.errors import LearndockError

__all__ = ["read_or_refused", "scratch"]

_T = TypeVar("_T")
# A semantic specification lists all its faults.
_LONGEST_MESSAGE = 5000


def read_or_refused(read: Callable[[], _T], *errors: type[LearndockError]) -> _T | None:
    """What was read, None where it was refused, by one of these errors and in words that do nothing to a terminal."""
    try:
        return read()
    except errors as error:
        message = str(error)
        assert len(message) < _LONGEST_MESSAGE, f"a message of {len(message)} characters"
        assert message.replace("\n", "").replace("\t", "").isprintable(), (
            f"a message that is not printable: {message!r}"
        )
        return None


def scratch(name: str) -> Path:
    """A folder in memory where there is room for files in memory, removed when the process ends."""
    memory = Path("/dev/shm")
    parent = memory if os.access(memory, os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix=f"learndock-fuzz-{name}-", dir=parent))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
