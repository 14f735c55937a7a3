"""What a test must not leave behind: descriptors, processes, temporary files."""

from __future__ import annotations

import contextlib
import gc
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from learndock.runtime.guard.processes import descendants


def _descriptors() -> set[str]:
    """Descriptors of this process with what they lead to."""
    links = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            links.add(f"{descriptor.name} -> {descriptor.readlink()}")
    # The listing itself is open while it is read.
    return {link for link in links if f"/proc/{os.getpid()}/fd" not in link}


@contextlib.contextmanager
def nothing_left() -> Iterator[Path]:
    """Give the block a folder for temporary files of its own, and assert that it leaves nothing behind."""
    with tempfile.TemporaryDirectory(prefix="test-") as folder:
        old_folder, old_variable = tempfile.tempdir, os.environ.get("TMPDIR")
        tempfile.tempdir = os.environ["TMPDIR"] = folder
        descriptors, processes = _descriptors(), set(descendants(os.getpid()))
        try:
            yield Path(folder)
        finally:
            tempfile.tempdir = old_folder
            if old_variable is None:
                del os.environ["TMPDIR"]
            else:
                os.environ["TMPDIR"] = old_variable

        def left() -> list[object]:
            new_descriptors, new_processes = _descriptors() - descriptors, set(descendants(os.getpid())) - processes
            return [*new_descriptors, *new_processes, *Path(folder).iterdir()]

        if left():
            # What is forgotten in a cycle is given back when that is found.
            gc.collect()
        found = left()
        assert not found, f"left behind: {found}"


def wait_until(condition, *, seconds: float = 5.0) -> bool:
    """Whether something becomes true within some seconds."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return bool(condition())


def is_dead(pid: int) -> bool:
    """Whether a process has ended; a zombie has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def alive_with(mark: str) -> set[int]:
    """Processes with a text in their command line; the numbers that a model has for them may hold for it alone."""
    found = set()
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if folder.name.isdigit() and mark.encode() in (folder / "cmdline").read_bytes():
                found.add(int(folder.name))
    return {pid for pid in found if not is_dead(pid)}
