"""One builder of an environment at a time, across threads and processes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from learndock.errors import EnvironmentBuildError

__all__ = ["held"]

_POLL_SECONDS = 0.05


@contextlib.contextmanager
def held(path: Path, *, seconds: float) -> Iterator[int]:
    """Hold a lock file, and give its descriptor; EnvironmentBuildError where another has it for longer than `seconds`.

    The kernel gives the lock back when the last process that has the descriptor ends. The file is removed at the end.
    """
    deadline = time.monotonic() + seconds
    descriptor = _try(path)
    while descriptor is None:
        if time.monotonic() > deadline:
            raise EnvironmentBuildError(
                f"no environment can be made: another process has been making the same one for {seconds:.0f} s ({path})"
            )
        time.sleep(_POLL_SECONDS)
        descriptor = _try(path)
    try:
        yield descriptor
    finally:
        path.unlink(missing_ok=True)
        # Unlocked, not only closed: a process forked meanwhile has the descriptor, too.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _try(path: Path) -> int | None:
    """A descriptor of the locked file, or None where another has the lock."""
    # A descriptor of its own for each call: threads wait for one another, too.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever had it may have removed it in between: then this is nobody's lock any more.
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None
