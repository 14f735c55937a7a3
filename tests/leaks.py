"""What a test must not leave behind: descriptors, processes, temporary folders."""

from __future__ import annotations

import contextlib
import gc
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from learndock.runtime.supervisor import descendants


def census() -> dict[str, set[str]]:
    """Descriptors of this process with what they lead to, processes below it, and our temporary folders."""
    links = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            links.add(f"{descriptor.name} -> {descriptor.readlink()}")
    # The listing itself is open while it is read.
    descriptors = {link for link in links if f"/proc/{os.getpid()}/fd" not in link}
    folders = {item.name for item in Path(tempfile.gettempdir()).iterdir() if item.name.startswith("learndock-")}
    return {"descriptors": descriptors, "processes": {str(pid) for pid in descendants(os.getpid())}, "folders": folders}


@contextlib.contextmanager
def nothing_left() -> Iterator[None]:
    """Assert that the block leaves nothing behind."""
    gc.collect()
    before = census()
    yield
    gc.collect()
    after = census()
    left = {kind: after[kind] - before[kind] for kind in before}
    assert not any(left.values()), f"left behind: {left}"


def wait_until_dead(pid: int, *, seconds: float = 5.0) -> bool:
    """Whether a process has ended within some seconds; a zombie has."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False
