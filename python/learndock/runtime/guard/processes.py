"""Processes of a tree: found by their parents in /proc, signalled, ended."""

from __future__ import annotations

import os
import signal
import time
from typing import NamedTuple

__all__ = [
    "Process",
    "cpu_seconds",
    "descendants",
    "end_descendants",
    "is_stopped",
    "processes_naming",
    "reap",
    "send_signal",
    "task_count",
]

_TICKS = os.sysconf("SC_CLK_TCK")


class Process(NamedTuple):
    """What /proc says of a process.

    Attributes
    ----------
    state : str
        That of its first thread: "R", "Z", ...
    threads : int
        The first one included, even if it has ended.
    """

    state: str
    threads: int

    @property
    def alive(self) -> bool:
        """Whether one of its threads runs: the first one may end before the others, and is a zombie then."""
        return self.state != "Z" or self.threads > 1


def descendants(root: int) -> dict[int, Process]:
    """Every process below `root`, by id."""
    children: dict[int, list[tuple[int, Process]]] = {}
    for pid in _process_ids():
        fields = _stat_fields(pid)
        if fields:
            children.setdefault(int(fields[1]), []).append((pid, Process(fields[0], int(fields[17]))))
    found: dict[int, Process] = {}
    waiting = [root]
    while waiting:
        for pid, process in children.get(waiting.pop(), []):
            if pid not in found:
                found[pid] = process
                waiting.append(pid)
    return found


def end_descendants(root: int, *, seconds: float) -> bool:
    """Kill every process below `root`; whether none is left.

    All are stopped first, again until no new one turns up, so that none forks while others are killed.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        stopped: set[int] = set()
        for _ in range(20):
            new = set(descendants(root)) - stopped
            if not new:
                break
            send_signal(new, signal.SIGSTOP)
            stopped |= new
        send_signal(stopped, signal.SIGKILL)
        # The caller's own children stay in the list until they are reaped; others' go to a subreaper or init.
        reap()
        if not stopped:
            return True
        time.sleep(0.001)
    return False


def processes_naming(folder: str) -> set[int]:
    """Find processes of this user whose environment has `folder` as HOME."""
    mark = b"HOME=" + os.fsencode(folder)
    found = set()
    for pid in _process_ids():
        try:
            with open(f"/proc/{pid}/environ", "rb") as environment:
                if mark in environment.read().split(b"\0"):
                    found.add(pid)
        except OSError:
            continue
    return found


def send_signal(pids: set[int], number: signal.Signals) -> None:
    """Signal all of them; those that are gone don't matter."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except OSError:
            continue


def reap() -> dict[int, int]:
    """Wait status of every child that has ended."""
    ended: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended[pid] = status


def is_stopped(pid: int) -> bool:
    """Whether somebody has stopped a process, so that it does nothing until it is continued."""
    return _stat_fields(pid)[:1] in (["T"], ["t"])


def cpu_seconds(pid: int, *, own: bool = True) -> float:
    """Processor time of a process's children that have ended, and its own where `own` is set; 0 where it is gone."""
    return sum(map(int, _stat_fields(pid)[11 if own else 13 : 15])) / _TICKS


def task_count() -> int:
    """Threads of this user's processes."""
    count = 0
    for pid in _process_ids():
        try:
            if os.stat(f"/proc/{pid}").st_uid != os.getuid():
                continue
        except OSError:
            continue
        fields = _stat_fields(pid)
        count += int(fields[17]) if fields else 0
    return count


def _process_ids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _stat_fields(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the state on; empty where the process is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name before stands in parentheses and may hold anything.
            return file.read().rpartition(b")")[2].decode("ascii").split()
    except (OSError, ValueError):
        return []
