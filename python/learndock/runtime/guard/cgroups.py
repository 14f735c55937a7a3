"""Control groups: memory, however it is hidden, and tasks of a tree, bounded by the kernel where this user may do so.

Root may, as a rule, and so may users to whom systemd has delegated a part. Both versions of the interface are known:
one hierarchy for all controllers (2), or one for each (1).
"""

from __future__ import annotations

import contextlib
import os
import time

__all__ = ["ControlGroups"]

_PREFIX = "learndock-"
_CONTROLLERS = ("memory", "pids")
# What the kernel needs for the tree, and for the processes of ours in it, beside the memory that the model may have.
# An allocation that is too large must fail in the model, with a message, before the kernel ends it.
_KERNEL_BYTES = 2**28
_REMOVAL_SECONDS = 0.5


class ControlGroups:
    """Groups of one tree, one for all controllers or one for each; none where this user may not make any.

    Parameters
    ----------
    memory_bytes : int
        What the model may have.
    tasks : int
        Processes and threads.
    """

    def __init__(self, *, memory_bytes: int, tasks: int) -> None:
        self._folders: list[str] = []
        self.controllers: list[str] = []
        limits = {"memory": memory_bytes + _KERNEL_BYTES, "pids": tasks}
        for parent, controllers, version in _places():
            folder = f"{parent}/{_PREFIX}{os.getpid()}"
            _remove_abandoned(parent)
            try:
                os.mkdir(folder)
            except OSError:
                continue
            self._folders.append(folder)
            for controller in controllers:
                try:
                    _write(f"{folder}/{_limit_file(controller, version)}", limits[controller])
                except OSError:
                    continue
                self.controllers.append(controller)
            if version == 2:
                # Else what is over the limit goes to swap, where there is some.
                with contextlib.suppress(OSError):
                    _write(f"{folder}/memory.swap.max", 0)

    def join(self) -> None:
        """Put this process into the groups; what it starts is in them, too."""
        for folder in self._folders:
            # A group without processes is no worse than none.
            with contextlib.suppress(OSError):
                _write(f"{folder}/cgroup.procs", 0)

    def ran_out_of_memory(self) -> bool:
        """Whether the kernel has ended a process of the groups for the memory limit."""
        return any(_kills(f"{folder}/{name}") for folder in self._folders for name in _KILL_FILES)

    def remove(self) -> None:
        """Remove the groups; nothing may run in them any more."""
        deadline = time.monotonic() + _REMOVAL_SECONDS
        while self._folders and time.monotonic() < deadline:
            self._folders = [folder for folder in self._folders if not _removed(folder)]
            if self._folders:
                # A process that was killed leaves its group a moment after it is reaped.
                time.sleep(0.002)


# Version 2's, and version 1's.
_KILL_FILES = ("memory.events", "memory.oom_control")


def _places() -> list[tuple[str, list[str], int]]:
    """Where groups can be made: the folder, the controllers there, and the version."""
    mounts = _mounts()
    found = []
    for line in _lines("/proc/self/cgroup"):
        number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if number == "0" and "" in mounts:
            own = _inside(*mounts[""], path)
            # A group with processes in it can't have groups with controllers, but the one above it can.
            for parent in (os.path.dirname(own), own):
                enabled = " ".join(_lines(f"{parent}/cgroup.subtree_control")).split()
                controllers = [name for name in _CONTROLLERS if name in enabled]
                if controllers and os.access(f"{parent}/cgroup.procs", os.W_OK):
                    found.append((parent, controllers, 2))
                    break
        for name in names.split(","):
            if name in _CONTROLLERS and name in mounts:
                found.append((_inside(*mounts[name], path), [name], 1))
    return found


def _mounts() -> dict[str, tuple[str, str]]:
    """By controller, or "" for version 2's: the group at the root of the mount, and where it is mounted."""
    found: dict[str, tuple[str, str]] = {}
    for line in _lines("/proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        fields, about = before.split(), after.split()
        if len(fields) < 5 or len(about) < 3:
            continue
        if about[0] == "cgroup2":
            found[""] = (fields[3], fields[4])
        elif about[0] == "cgroup":
            found.update({name: (fields[3], fields[4]) for name in about[2].split(",") if name in _CONTROLLERS})
    return found


def _inside(root: str, mounted: str, path: str) -> str:
    """The folder of a group; where its mount shows another part of the tree, as in some containers, that part's."""
    below = os.path.relpath(path, root)
    return mounted if below == "." or below.startswith("..") else f"{mounted}/{below}"


def _limit_file(controller: str, version: int) -> str:
    return "memory.limit_in_bytes" if (controller, version) == ("memory", 1) else f"{controller}.max"


def _remove_abandoned(parent: str) -> None:
    """Remove the groups of supervisors that were killed."""
    with contextlib.suppress(OSError):
        for name in os.listdir(parent):
            pid = name.removeprefix(_PREFIX)
            if pid != name and pid.isdigit() and not os.path.exists(f"/proc/{pid}"):
                _removed(f"{parent}/{name}")


def _removed(folder: str) -> bool:
    try:
        os.rmdir(folder)
    except OSError:
        return not os.path.exists(folder)
    return True


def _kills(file: str) -> int:
    counts = (line.split() for line in _lines(file))
    return sum(int(fields[1]) for fields in counts if len(fields) == 2 and fields[0] == "oom_kill")


def _lines(file: str) -> list[str]:
    try:
        with open(file) as stream:
            return stream.read().splitlines()
    except OSError:
        return []


def _write(file: str, value: int) -> None:
    with open(file, "w") as stream:
        stream.write(str(value))
