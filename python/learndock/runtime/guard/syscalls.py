"""System calls that Python has no function for, by ctypes; an error is an OSError that names the call."""

from __future__ import annotations

import ctypes
import os
from typing import Any

__all__ = [
    "Prctl",
    "drop_capabilities",
    "mount",
    "pivot_root",
    "prctl",
    "set_mount_attributes",
    "system_call",
    "unmount",
    "unshare",
]

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

_MOUNT_SETATTR = 442  # on every architecture, as all calls from 424 on
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_MNT_DETACH = 2
_CAPABILITY_VERSION_3 = 0x20080522
_LAST_CAPABILITY = 63


class Prctl:
    """Options of prctl(2)."""

    SET_PDEATHSIG = 1
    SET_DUMPABLE = 4
    SET_SECCOMP = 22
    CAPBSET_DROP = 24
    SET_CHILD_SUBREAPER = 36
    SET_NO_NEW_PRIVS = 38


def prctl(option: int, *values: Any) -> None:
    """Set something of this process, as prctl(2) does."""
    _checked("prctl", _libc.prctl(option, *_padded(values)))


def system_call(number: int, *values: Any) -> int:
    """Make a system call by its number."""
    return _checked(f"system call {number}", _libc.syscall(ctypes.c_long(number), *_padded(values)))


def unshare(flags: int) -> None:
    """Leave namespaces for new ones."""
    _checked("unshare", _libc.unshare(flags))


def mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    """Mount a file system, as mount(2) does."""
    encoded = [os.fsencode(text) for text in (source, target)]
    result = _libc.mount(
        *encoded, None if kind is None else kind.encode(), ctypes.c_ulong(flags), data.encode() or None
    )
    _checked(f"mount on {target}", result)


def unmount(target: str) -> None:
    """Take a mount away at once, though it may be busy."""
    _checked(f"umount of {target}", _libc.umount2(os.fsencode(target), _MNT_DETACH))


def pivot_root(new_root: str, put_old: str) -> None:
    """Make a mount the root of this mount namespace."""
    number = _PIVOT_ROOT.get(os.uname().machine)
    if number is None:
        raise OSError(f"pivot_root is not known on {os.uname().machine}")
    system_call(number, ctypes.c_char_p(os.fsencode(new_root)), ctypes.c_char_p(os.fsencode(put_old)))


class _MountAttributes(ctypes.Structure):
    _fields_ = [
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    ]


def set_mount_attributes(target: str, attributes: int, *, recursive: bool) -> None:
    """Add attributes (such as read-only) to a mount, and to all below it where `recursive` is set."""
    wanted = _MountAttributes(attr_set=attributes)
    system_call(
        _MOUNT_SETATTR,
        ctypes.c_long(_AT_FDCWD),
        ctypes.c_char_p(os.fsencode(target)),
        ctypes.c_ulong(_AT_RECURSIVE if recursive else 0),
        ctypes.byref(wanted),
        ctypes.c_size_t(ctypes.sizeof(wanted)),
    )


def drop_capabilities() -> None:
    """Give up every capability, also for programs that this process starts."""
    for capability in range(_LAST_CAPABILITY + 1):
        # Fails for numbers that the kernel does not know, and without the right to drop: then there are none to drop.
        _libc.prctl(Prctl.CAPBSET_DROP, capability, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    _checked("capset", _libc.capset(header, (ctypes.c_uint32 * 6)()))


def _padded(values: tuple[Any, ...]) -> list[Any]:
    # Plain integers as longs: a variadic call would pass half of a register else.
    given = [ctypes.c_long(value) if isinstance(value, int) else value for value in values]
    return given + [ctypes.c_long(0)] * (4 - len(given))


def _checked(name: str, result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result
