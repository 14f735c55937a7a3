"""A filter of system calls: what no model needs, and what neither namespaces nor Landlock take from one.

The list names what is refused (EPERM, or ENOSYS where the C library then takes another way); all else goes on. A filter
needs no privilege, holds for all that the process starts, and can't be taken back.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterable

from .syscalls import Prctl, prctl

__all__ = ["filter_program", "restrict", "supported"]

# Numbers of x86-64 and, the same as of most later architectures, of aarch64. None: the call does not exist there.
_NUMBERS: dict[str, tuple[int | None, int | None]] = {
    # New namespaces and mounts: a new user namespace has every capability in itself, and much of the kernel opens up.
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264),
    # Other processes' memory and descriptors.
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    # Large parts of the kernel with a history of holes; io_uring also goes round this filter.
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "fanotify_init": (300, 262),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "memfd_secret": (447, 447),
    # The machine itself. They need privileges that the process does not have; the second lock costs nothing.
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "syslog": (103, 116),
    "quotactl": (179, 60),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "iopl": (172, None),
    "ioperm": (173, None),
}
# Without namespaces these reach the host: Landlock does not know changes of a file's mode, owner, times and attributes;
# System V's and POSIX's queues outlive the process; connect reaches services by sockets in the file system.
_NUMBERS_IN_HOST: dict[str, tuple[int | None, int | None]] = {
    "chmod": (90, None),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "setxattrat": (463, 463),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "removexattrat": (466, 466),
    "file_setattr": (469, 469),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    "connect": (42, 203),
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "sched_setattr": (314, 274),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
}
# Refused there where they name another process than the caller.
_OF_ANOTHER_PROCESS: dict[str, tuple[int | None, int | None]] = {
    "prlimit64": (302, 261),
    "sched_setaffinity": (203, 122),
}
_CLONE, _CLONE3, _SOCKET, _UTIMENSAT, _KILL_CALL = (56, 220), (435, 435), (41, 198), (280, 88), (62, 129)
_EVERYBODY = 0xFFFFFFFF  # -1 as the process to signal
_NEW_NAMESPACES = 0x7E020080  # every CLONE_NEW* flag
# Families of addresses. The others, such as AF_VSOCK and AF_PACKET, are not or not all divided by network namespaces.
_UNIX, _IPV4, _IPV6, _NETLINK = 1, 2, 10, 16

_ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
_X32_CALLS = 0x40000000

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER_OFFSET, _ARCHITECTURE_OFFSET, _ARGUMENTS_OFFSET = 0, 4, 16
_FILTER_MODE = 2


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def supported() -> bool:
    """Whether this machine's system calls are known here."""
    return os.uname().machine in _ARCHITECTURES


def restrict(*, in_host: bool) -> None:
    """Filter the calls of this process, and of all that it starts. Needs PR_SET_NO_NEW_PRIVS.

    Parameters
    ----------
    in_host : bool
        Whether the process shares the namespaces of the host: then more is refused.
    """
    instructions = filter_program(os.uname().machine, in_host=in_host)
    program = _Program(len(instructions) // 8, instructions)
    prctl(Prctl.SET_SECCOMP, _FILTER_MODE, ctypes.byref(program))


def filter_program(machine: str, *, in_host: bool) -> bytes:
    """The filter as the kernel takes it: instructions of classic BPF, 8 bytes each.

    Every test jumps at most over the one or few instructions after it, so that each piece can be read by itself.
    """
    architecture, column = _ARCHITECTURES[machine]
    denied = {**_NUMBERS, **(_NUMBERS_IN_HOST if in_host else {})}
    code = [
        *_word(_ARCHITECTURE_OFFSET),
        *_unless_equal(architecture, _return(_KILL)),
        *_word(_NUMBER_OFFSET),
    ]
    if machine == "x86_64":
        code += [_instruction(_AT_LEAST, _X32_CALLS, 0, 1), *_return(_ERRNO | errno.ENOSYS)]
    for number in _of_machine(denied, column):
        code += _if_equal(number, _return(_ERRNO | errno.EPERM))
    # The flags of clone3 lie in memory, out of a filter's reach; without it the C library calls clone.
    code += _if_equal(_CLONE3[column], _return(_ERRNO | errno.ENOSYS))
    code += _if_equal(
        _CLONE[column],
        [
            *_argument(0),
            _instruction(_ANY_BIT, _NEW_NAMESPACES, 0, 1),
            *_return(_ERRNO | errno.EPERM),
            *_return(_ALLOW),
        ],
    )
    families = (_UNIX,) if in_host else (_UNIX, _IPV4, _IPV6, _NETLINK)
    code += _if_equal(
        _SOCKET[column],
        [
            *_argument(0),
            *(step for family in families for step in _if_equal(family, _return(_ALLOW))),
            *_return(_ERRNO | errno.EACCES),
        ],
    )
    if in_host:
        for number in _of_machine(_OF_ANOTHER_PROCESS, column):
            code += _if_equal(
                number, [*_argument(0), *_unless_equal(0, _return(_ERRNO | errno.EPERM)), *_return(_ALLOW)]
            )
        everybody = [*_argument(0), *_if_equal(_EVERYBODY, _return(_ERRNO | errno.EPERM)), *_return(_ALLOW)]
        code += _if_equal(_KILL_CALL[column], everybody)
        # With no path, the second argument, it is about an open file.
        no_path = [
            *_argument(1),
            *_unless_equal(0, _return(_ERRNO | errno.EPERM)),
            *_argument(1, upper=True),
            *_unless_equal(0, _return(_ERRNO | errno.EPERM)),
            *_return(_ALLOW),
        ]
        code += _if_equal(_UTIMENSAT[column], no_path)
    code += _return(_ALLOW)
    return b"".join(code)


def _of_machine(numbers: dict[str, tuple[int | None, int | None]], column: int) -> Iterable[int]:
    return (number for number in (both[column] for both in numbers.values()) if number is not None)


def _instruction(operation: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", operation, if_true, if_false, value)


def _word(offset: int) -> list[bytes]:
    return [_instruction(_LOAD, offset)]


def _argument(index: int, *, upper: bool = False) -> list[bytes]:
    # Both architectures are little-endian.
    return _word(_ARGUMENTS_OFFSET + 8 * index + (4 if upper else 0))


def _return(action: int) -> list[bytes]:
    return [_instruction(_RETURN, action)]


def _if_equal(value: int, then: list[bytes]) -> list[bytes]:
    return [_instruction(_EQUAL, value, 0, len(then)), *then]


def _unless_equal(value: int, then: list[bytes]) -> list[bytes]:
    return [_instruction(_EQUAL, value, len(then), 0), *then]
