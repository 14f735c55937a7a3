"""What a tree of processes uses, compared with its limits while it runs."""

from __future__ import annotations

import errno
import os
import resource
import stat
import time
from collections.abc import Collection

from .headroom import Headroom
from .processes import Process, cpu_seconds, descendants

__all__ = ["Watch"]

# A look at /proc takes about 20 us a process. Looking takes a twentieth of one core at most, however full the machine.
_WATCH_SECONDS = 0.1
_FOLDER_SECONDS = 0.5
_WATCH_SHARE = 20
_SMALLEST_ENTRY = 4096
# Threads and processes, those included that have ended and that nobody has waited for. As many as in a process
# namespace (see launch.py): without one, no limit of the kernel's holds for root.
_MOST_TASKS = 4096


class Watch:
    """Compares what a tree of processes uses with its limits, often enough and not too often.

    Parameters
    ----------
    root : int
        The tree is all below this process.
    folder : str
        The temporary folder.
    limits : dict
        processes, memory_bytes, file_bytes and seconds.
    """

    def __init__(self, root: int, folder: str, limits: dict[str, float]) -> None:
        self._root, self._folder, self._limits = root, folder, limits
        self._own: Collection[int] = ()
        self._next_look = self._next_folder = 0.0
        self._processors = len(os.sched_getaffinity(0))
        self._cpu_granted = limits["seconds"] * self._processors
        self._headroom = Headroom(folder, memory_bytes=limits["memory_bytes"], file_bytes=limits["file_bytes"])

    def leave_out(self, pids: Collection[int]) -> None:
        """Take these for ours, not the model's."""
        self._own = pids

    def grant_call(self) -> None:
        """Give the tree the processor time of one more call."""
        self._cpu_granted = self._cpu(_alive(self._tree())) + self._limits["seconds"] * self._processors

    def seconds(self) -> float:
        """Time until the next look is due."""
        return max(0.0, self._next_look - time.monotonic())

    def passed(self) -> str | None:
        """Which limit is passed, in words, or None; looks only where a look is due."""
        start = time.monotonic()
        if start < self._next_look:
            return None
        reason = self._processes() or self._headroom.passed()
        if reason is None and start >= self._next_folder:
            reason = self._files()
            now = time.monotonic()
            self._next_folder = now + max(_FOLDER_SECONDS, _WATCH_SHARE * (now - start))
        now = time.monotonic()
        self._next_look = now + max(_WATCH_SECONDS, _WATCH_SHARE * (now - start))
        return reason

    def _tree(self) -> dict[int, Process]:
        return {pid: process for pid, process in descendants(self._root).items() if pid not in self._own}

    def _cpu(self, alive: list[int]) -> float:
        # Orphans that have ended count as children of those of ours who have reaped them.
        return sum(map(cpu_seconds, alive)) + sum(cpu_seconds(pid, own=False) for pid in (self._root, *self._own))

    def _processes(self) -> str | None:
        tree = self._tree()
        alive = _alive(tree)
        if len(alive) > self._limits["processes"]:
            return f"it had more than {self._limits['processes']} processes"
        if sum(process.threads for process in tree.values()) > _MOST_TASKS:
            return f"it had more than {_MOST_TASKS} threads"
        if self._cpu(alive) > self._cpu_granted:
            return f"it used more than {self._limits['seconds']:g} s of every processor"
        most = self._limits["memory_bytes"]
        folders = [_living_task(pid, tree[pid]) for pid in alive]
        held = _Held()
        for folder in folders:
            held.add(folder)
        if held.file_bytes > self._limits["file_bytes"]:
            return f"it held more than {self._limits['file_bytes']} bytes in files without a name"
        # Pages that processes share are counted once only where it matters: that count is a slow one.
        if held.memory_bytes + sum(map(_resident_bytes, folders)) > most and (
            held.memory_bytes + sum(map(_proportional_bytes, folders)) > most
        ):
            return f"its processes had more than {most} bytes of memory"
        return None

    def _files(self) -> str | None:
        most = self._limits["file_bytes"]
        total, waiting = 0, [self._folder]
        while waiting:
            try:
                with os.scandir(waiting.pop()) as entries:
                    for entry in entries:
                        # An empty file takes room too; counting it bounds the number of entries as well.
                        total += max(_SMALLEST_ENTRY, entry.stat(follow_symlinks=False).st_blocks * 512)
                        if total > most:
                            return f"its temporary folder held more than {most} bytes"
                        if entry.is_dir(follow_symlinks=False):
                            waiting.append(entry.path)
            except PermissionError:
                return "its temporary folder held one that can't be looked into"
            except OSError as error:
                if error.errno == errno.ENAMETOOLONG:
                    return "its temporary folder was nested deeper than a path can lead"
        return None


class _Held:
    """Files that processes hold open though no folder has them: memory files, and files that were unlinked."""

    def __init__(self) -> None:
        self.memory_bytes = self.file_bytes = 0
        self._seen: set[tuple[int, int]] = set()

    def add(self, process: str) -> None:
        """Add those of a process, given by its folder in /proc."""
        try:
            names = os.listdir(f"{process}/fd")
        except OSError:
            return
        for name in names:
            try:
                # Not a stat of every link: that of a file in a file system of the model's own making could wait for it.
                link = os.readlink(f"{process}/fd/{name}")
                if not link.endswith(" (deleted)"):
                    continue
                found = os.stat(f"{process}/fd/{name}")
            except OSError:
                continue
            if not stat.S_ISREG(found.st_mode) or (found.st_dev, found.st_ino) in self._seen:
                continue
            self._seen.add((found.st_dev, found.st_ino))
            if link.startswith("/memfd:"):
                self.memory_bytes += found.st_blocks * 512
            else:
                self.file_bytes += found.st_blocks * 512


def _alive(tree: dict[int, Process]) -> list[int]:
    return [pid for pid, process in tree.items() if process.alive]


def _living_task(pid: int, process: Process) -> str:
    """Where /proc tells of a process's memory and descriptors: with its first thread, while that lives."""
    folder = f"/proc/{pid}"
    if process.state != "Z":
        return folder
    try:
        return max((f"{folder}/task/{task}" for task in os.listdir(f"{folder}/task")), key=_resident_bytes)
    except (OSError, ValueError):
        return folder


def _resident_bytes(process: str) -> int:
    try:
        with open(f"{process}/statm", "rb") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except (OSError, IndexError):
        return 0


def _proportional_bytes(process: str) -> int:
    """Memory of a process without its files, where the kernel tells; a page that n processes share counts one nth."""
    sizes: dict[bytes, int] = {}
    try:
        with open(f"{process}/smaps_rollup", "rb") as file:
            for line in file:
                name, _, size = line.partition(b":")
                if name in (b"Pss", b"Pss_Anon", b"Pss_Shmem"):
                    sizes[name] = int(size.split()[0]) * 1024
    except OSError:
        # A process can close this file to all but root, but not the other; of a thread there is only the other.
        return _resident_bytes(process)
    if b"Pss_Anon" in sizes:
        return sizes[b"Pss_Anon"] + sizes.get(b"Pss_Shmem", 0)
    return sizes.get(b"Pss", 0)
