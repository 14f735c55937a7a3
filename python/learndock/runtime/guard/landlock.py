"""Landlock: which files a process and all that it starts may reach, and that they may reach no TCP port.

It needs no privilege, and can't be taken back. https://docs.kernel.org/userspace-api/landlock.html
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterable

from .syscalls import system_call

__all__ = ["abi_version", "restrict"]

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIRECTORY = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE, _IOCTL_DEVICE = 1 << 14, 1 << 15
_READING = _EXECUTE | _READ_FILE | _READ_DIRECTORY
# The rights that a rule for something else than a directory may name.
_FILE_RIGHTS = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEVICE
# How many of the rights on files, counted from the lowest bit, a version of the interface knows.
_FILE_RIGHTS_OF_VERSION = {1: 13, 2: 14, 3: 15, 4: 15}
_MOST_FILE_RIGHTS = 16
_TCP_VERSION, _BIND_AND_CONNECT = 4, 0b11
_SCOPE_VERSION, _ABSTRACT_SOCKETS_AND_SIGNALS = 6, 0b11


class _Ruleset(ctypes.Structure):
    _fields_ = [
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    ]


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = [("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32)]


def abi_version() -> int:
    """Version of the kernel's interface; 0 where there is none, or it is switched off."""
    try:
        return system_call(_CREATE_RULESET, 0, 0, _CREATE_RULESET_VERSION)
    except OSError:
        return 0


def restrict(*, readable: Iterable[str], writable: Iterable[str]) -> None:
    """Restrict this process, for good: no file but these, no TCP, no signal to, and no abstract socket of, others.

    Needs PR_SET_NO_NEW_PRIVS. What the kernel's version does not know it does not restrict.

    Parameters
    ----------
    readable, writable : iterable of str
        Files and folders, each with all below it; what is writable is readable too. Missing ones are passed over.

    Raises
    ------
    OSError
        The kernel has no Landlock, or refuses.
    """
    version = abi_version()
    rights = (1 << _FILE_RIGHTS_OF_VERSION.get(version, _MOST_FILE_RIGHTS)) - 1
    attributes = _Ruleset(
        rights,
        _BIND_AND_CONNECT if version >= _TCP_VERSION else 0,
        _ABSTRACT_SOCKETS_AND_SIGNALS if version >= _SCOPE_VERSION else 0,
    )
    fields = 3 if version >= _SCOPE_VERSION else 2 if version >= _TCP_VERSION else 1
    ruleset = system_call(_CREATE_RULESET, ctypes.byref(attributes), ctypes.c_size_t(8 * fields), 0)
    try:
        for path in readable:
            _allow(ruleset, path, _READING & rights)
        for path in writable:
            _allow(ruleset, path, rights)
        system_call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= _FILE_RIGHTS
        rule = _PathBeneath(rights, descriptor)
        system_call(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(descriptor)
