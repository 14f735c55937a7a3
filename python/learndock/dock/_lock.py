"""One writer at a time, across threads and processes."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from learndock.errors import DockError

_POLL_SECONDS = 0.02


class WriteLock:
    """An advisory lock on a file of the dock; re-entrant within a thread.

    The kernel drops it when the process dies, so a killed writer never blocks the next.
    """

    def __init__(self, path: Path, *, seconds: float) -> None:
        self._path = path
        self._seconds = seconds
        self._thread = threading.RLock()
        self._depth = 0
        self._descriptor = -1

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock; DockError where another writer keeps it for longer than the timeout."""
        deadline = time.monotonic() + self._seconds
        if not self._thread.acquire(timeout=self._seconds):
            raise DockError(self._busy())
        try:
            if self._depth == 0:
                self._descriptor = self._take(deadline)
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if self._depth == 0:
                    # Unlocked, not only closed: a child forked meanwhile has the descriptor too.
                    fcntl.flock(self._descriptor, fcntl.LOCK_UN)
                    os.close(self._descriptor)
        finally:
            self._thread.release()

    def _take(self, deadline: float) -> int:
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise DockError(f"{self._path}: can't be locked for writing ({error.strerror})") from None
        try:
            while not _locked(descriptor):
                if time.monotonic() > deadline:
                    raise DockError(self._busy())
                time.sleep(_POLL_SECONDS)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _busy(self) -> str:
        return f"{self._path.parent}: another writer has held the dock for more than {self._seconds:g} s"


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
