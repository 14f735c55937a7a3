"""One writer at a time, across threads and processes."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from learndock.errors import DockError

__all__ = ["WriteLock", "busy", "locked_file"]

_POLL_SECONDS = 0.02


class WriteLock:
    """Excludes other threads, and what `exclusive` excludes; re-entrant within a thread.

    Parameters
    ----------
    exclusive : callable
        Takes a deadline on the monotonic clock; a context in which no other process writes.
    seconds : float
        How long to wait.
    root : Path
        The dock's folder, for messages.
    """

    def __init__(
        self, exclusive: Callable[[float], AbstractContextManager[None]], *, seconds: float, root: Path
    ) -> None:
        self._exclusive = exclusive
        self._seconds = seconds
        self._root = root
        self._thread = threading.RLock()
        self._depth = 0

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock; DockError where another writer keeps it for longer than the timeout."""
        deadline = time.monotonic() + self._seconds
        if not self._thread.acquire(timeout=self._seconds):
            raise DockError(busy(self._root, self._seconds))
        try:
            with nullcontext() if self._depth else self._exclusive(deadline):
                self._depth += 1
                try:
                    yield
                finally:
                    self._depth -= 1
        finally:
            self._thread.release()


def busy(root: Path, seconds: float, holder: str | None = None) -> str:
    """What to say of a lock that could not be had."""
    another = "another writer" if holder is None else f"another writer ({holder})"
    return f"{root}: {another} has held the dock for more than {max(seconds, 0):.3g} s"


@contextmanager
def locked_file(path: Path, deadline: float) -> Iterator[None]:
    """Hold an advisory lock on a file, made where there is none.

    The kernel drops it when the process dies, so a killed writer never blocks the next.
    """
    started = time.monotonic()
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise DockError(f"{path}: can't be locked for writing ({error.strerror})") from None
    try:
        while not _locked(descriptor):
            if time.monotonic() > deadline:
                raise DockError(busy(path.parent, deadline - started))
            time.sleep(_POLL_SECONDS)
        try:
            yield
        finally:
            # Unlocked, not only closed: a child forked meanwhile has the descriptor too.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
