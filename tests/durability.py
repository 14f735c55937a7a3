"""What a disk has for certain, from a trace of system calls: content that was synced, names whose folder was synced.

POSIX promises no more, and so a power cut may leave no more, though file systems often keep it.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

STRACE = shutil.which("strace")
_WRITES = {
    "write",
    "pwrite64",
    "writev",
    "pwritev",
    "pwritev2",
    "ftruncate",
    "fallocate",
    "sendfile",
    "copy_file_range",
}
_NAMES = {"open", "openat", "creat", "mkdir", "mkdirat", "rename", "renameat", "renameat2", "link", "linkat"}
_GONE = {"unlink", "unlinkat", "rmdir"}
TRACED = (*sorted(_WRITES | _NAMES | _GONE), "fsync", "fdatasync")

_LINE = re.compile(r"(?P<thread>\d+) +(?P<call>\w+)\((?P<rest>.*)$")
_RESUMED = re.compile(r"(?P<thread>\d+) +<\.\.\. (?P<call>\w+) resumed>(?P<rest>.*)$")
_RESULT = re.compile(r"\) += (?P<result>-?\d+)")
_DESCRIPTOR = re.compile(r"^\d+<(?P<path>[^>]*)>")
# A path, and the folder that it is relative to.
_PATH = re.compile(r'(?:(?:AT_FDCWD|\d+)<(?P<folder>[^>]*)>, )?"(?P<path>[^"]*)"')


@dataclass(frozen=True)
class Event:
    """One system call: its name, whether it begins, ends (or both, as one line), and its paths."""

    call: str
    begins: bool
    ends: bool
    paths: tuple[PurePosixPath, ...]
    thread: str
    creates: bool = False


def traced(log: Path) -> Iterator[Event]:
    """Calls that did something, in order; those of several threads may overlap."""
    unfinished: dict[str, Event] = {}
    for line in log.read_text(errors="replace").splitlines():
        if match := _RESUMED.match(line):
            event = unfinished.pop(match["thread"])
            if _succeeded(match["rest"]):
                yield Event(event.call, False, True, event.paths, event.thread, event.creates)
        elif match := _LINE.match(line):
            call, rest, thread = match["call"], match["rest"], match["thread"]
            ends = not rest.endswith("<unfinished ...>")
            if ends and not _succeeded(rest):
                continue
            event = Event(call, True, ends, _paths(call, rest), thread, "O_CREAT" in rest or call == "creat")
            if not ends:
                unfinished[thread] = event
            yield event


def _succeeded(rest: str) -> bool:
    result = _RESULT.search(rest)
    return result is not None and int(result["result"]) >= 0


def _paths(call: str, rest: str) -> tuple[PurePosixPath, ...]:
    if call in _WRITES or call in ("fsync", "fdatasync"):
        # Of those that copy, the first descriptor or the last may be the target: both count as written.
        return tuple(PurePosixPath(path) for path in re.findall(r"\b\d+<([^>]*)>", rest))
    return tuple(PurePosixPath(match["folder"] or "/") / match["path"] for match in _PATH.finditer(rest))


@dataclass
class Disk:
    """What was written below a folder, and what of it a power cut can't take."""

    root: PurePosixPath
    written: dict[PurePosixPath, int] = field(default_factory=dict)
    synced: dict[PurePosixPath, int] = field(default_factory=dict)
    named: dict[PurePosixPath, bool] = field(default_factory=dict)
    _syncing: dict[str, tuple[int, set[PurePosixPath]]] = field(default_factory=dict)

    def apply(self, event: Event) -> None:
        """What a call changes. A write counts from its beginning, a sync for what was there at its beginning."""
        if event.call in ("fsync", "fdatasync"):
            (path,) = event.paths
            if event.begins:
                self._syncing[event.thread] = (self.written.get(path, 0), self._names_in(path))
            if event.ends:
                version, names = self._syncing.pop(event.thread)
                self.synced[path] = max(version, self.synced.get(path, 0))
                self.named.update(dict.fromkeys(names & self.named.keys(), True))
        elif event.call in _WRITES and event.begins:
            for path in event.paths:
                if path.is_relative_to(self.root):
                    self.written[path] = self.written.get(path, 0) + 1
        elif event.call in _NAMES and event.ends:
            self._name(event)
        elif event.call in _GONE and event.ends:
            self.named.pop(event.paths[0], None)
            self.written.pop(event.paths[0], None)

    def _names_in(self, folder: PurePosixPath) -> set[PurePosixPath]:
        return {path for path in self.named if path.parent == folder}

    def _name(self, event: Event) -> None:
        if event.call.startswith("rename"):
            self._move(*event.paths)
        elif event.call.startswith("link"):
            old, new = event.paths
            self._new(new)
            self.written[new], self.synced[new] = self.written.get(old, 0), self.synced.get(old, 0)
        elif (event.creates or event.call.startswith("mkdir")) and event.paths[0] not in self.named:
            self._new(event.paths[0])

    def _new(self, path: PurePosixPath) -> None:
        if path.is_relative_to(self.root):
            self.named[path] = False

    def _move(self, old: PurePosixPath, new: PurePosixPath) -> None:
        for table in (self.named, self.written, self.synced):
            for path in [path for path in table if path.is_relative_to(old)]:
                table[new / path.relative_to(old)] = table.pop(path)
        self._new(new)

    def uncertain(self, path: PurePosixPath) -> str | None:
        """Why a file or folder may be lost or half there after a power cut; None where it can't be."""
        if self.written.get(path, 0) > self.synced.get(path, 0):
            return f"{path} was not synced after it was written"
        for name in (path, *path.parents):
            if name != self.root and name.is_relative_to(self.root) and not self.named.get(name, True):
                return f"{name} is a name that was not synced with its folder"
        return None
