"""What the machine has left, for what a tree of processes uses out of sight.

Memory can be hidden from those who look at processes: in memory files of which only a page is mapped, in descriptors
under way in a socket, in the kernel's own tables. So can disk space, by moving files away from where the next look
goes. What the machine has left tells all the same, though not who took it.
"""

from __future__ import annotations

import os

__all__ = ["Headroom"]

# The tree is blamed only where less than this share is left: the machine is about to fail then, whoever's doing it is.
_SMALLEST_SHARE = 1 / 16


class Headroom:
    """Compares what the machine has left with what it had at first.

    Parameters
    ----------
    folder : str
        On the file system that is looked at.
    memory_bytes, file_bytes : float
        What the tree may use up.
    """

    def __init__(self, folder: str, *, memory_bytes: float, file_bytes: float) -> None:
        self._folder, self._memory_bytes, self._file_bytes = folder, memory_bytes, file_bytes
        self._first_memory = memory_left()[0]
        self._first_disk = disk_left(folder)[0]

    def passed(self) -> str | None:
        """Say what runs out, in words, where more of it is gone than the tree may use; else None."""
        if _is_short(*memory_left(), self._first_memory - self._memory_bytes):
            return "the machine was running out of memory"
        if _is_short(*disk_left(self._folder), self._first_disk - self._file_bytes):
            return "the disk of its temporary folder was running full"
        return None


def memory_left() -> tuple[float, float]:
    """Bytes that the machine can still give out without swapping, and all that it has; (0, 0) where it doesn't tell."""
    sizes: dict[bytes, int] = {}
    try:
        with open("/proc/meminfo", "rb") as file:
            for line in file:
                name, _, size = line.partition(b":")
                if name in (b"MemTotal", b"MemAvailable"):
                    sizes[name] = int(size.split()[0]) * 1024
    except OSError:
        return 0, 0
    return sizes.get(b"MemAvailable", 0), sizes.get(b"MemTotal", 0)


def disk_left(folder: str) -> tuple[float, float]:
    """Bytes that this user can still write to a file system, and its size; (0, 0) where it doesn't tell."""
    try:
        status = os.statvfs(folder)
    except OSError:
        return 0, 0
    return status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize


def _is_short(left: float, total: float, least: float) -> bool:
    return left < total * _SMALLEST_SHARE and left < least
