"""File systems of a test's own: small ones, and ones that can't be written to, seen by a process that ends with it."""

from __future__ import annotations

import ctypes
import os
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from crashing import forked

_NEW_MOUNTS, _NEW_USER = 0x00020000, 0x10000000
_READ_ONLY, _REMOUNT, _BIND, _RECURSIVE, _PRIVATE = 1, 32, 4096, 16384, 1 << 18

_libc = ctypes.CDLL(None, use_errno=True)


def in_own_mounts(work: Callable[[], None]) -> None:
    """Do something in a process with mounts of its own; skip where the kernel allows none."""
    reading, writing = os.pipe()

    def tried() -> None:
        os.close(reading)
        try:
            _own_mounts()
        except OSError as error:
            os.write(writing, f"skip {error}".encode())
            return
        try:
            work()
        except BaseException:
            os.write(writing, traceback.format_exc().encode())

    child = forked(tried)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    if said.startswith("skip "):
        pytest.skip(f"no mounts of one's own here: {said[5:]}")
    assert not said, said


def _own_mounts() -> None:
    user, group = os.getuid(), os.getgid()
    _call(_libc.unshare, _NEW_MOUNTS | (_NEW_USER if user else 0))
    if user:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    _mount(None, Path("/"), None, _RECURSIVE | _PRIVATE)


def mount_small(folder: Path, size: int) -> None:
    """An empty file system of so many bytes."""
    _mount("tmpfs", folder, "tmpfs", 0, f"size={size}")


def mount_readonly(folder: Path) -> None:
    """Let nobody write into a folder, root neither."""
    _mount(str(folder), folder, None, _BIND)
    _mount(None, folder, None, _BIND | _REMOUNT | _READ_ONLY)


def _mount(source: str | None, target: Path, kind: str | None, flags: int, options: str | None = None) -> None:
    texts = [None if text is None else text.encode() for text in (source, str(target), kind, options)]
    _call(_libc.mount, *texts[:3], ctypes.c_ulong(flags), texts[3])


def _call(function: Callable[..., int], *arguments: object) -> None:
    if function(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
