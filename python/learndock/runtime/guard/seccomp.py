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
    "open_tree_attr": (467, 467),
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
    "quotactl_fd": (443, 443),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
}
# Without namespaces these reach the host: Landlock does not know changes of a file's mode, owner, times and attributes,
# for which a file that may only be read can be open; System V's and POSIX's queues outlive the process; connect reaches
# services by sockets in the file system; a descriptor for a process can't be compared with those to be spared.
_NUMBERS_IN_HOST: dict[str, tuple[int | None, int | None]] = {
    "chmod": (90, None),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "fchmod": (91, 52),
    "chown": (92, None),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "fchown": (93, 55),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "setxattrat": (463, 463),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "removexattrat": (466, 466),
    "file_setattr": (469, 469),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
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
    "pidfd_send_signal": (424, 424),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
}
# Refused there where they name another process than the caller.
_OF_ANOTHER_PROCESS: dict[str, tuple[int | None, int | None]] = {
    "prlimit64": (302, 261),
    "sched_setaffinity": (203, 122),
}
# Refused there where they name everybody, or a process of ours or its group.
_SIGNALS: dict[str, tuple[int | None, int | None]] = {
    "kill": (62, 129),
    "tkill": (200, 130),
    "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
}
_CLONE, _CLONE3, _SOCKET, _SOCKETPAIR = (56, 220), (435, 435), (41, 198), (53, 199)
_FALLOCATE, _FCNTL, _IOCTL = (285, 47), (72, 25), (16, 29)
_EVERYBODY = -1
# Who gets the signal that a descriptor is ready: by that, any process would get any signal.
_SET_OWNER, _SET_OWNER_EX, _IOCTL_SET_OWNER, _IOCTL_SET_GROUP = 8, 15, 0x8901, 0x8902
# Requests of file systems, by the letter that they share: they take room beyond all limits (as fallocate does, by the
# terabyte at once), and change what Landlock and a descriptor for reading would protect.
_IOCTLS_OF_FILE_SYSTEMS = (ord("X"), ord("f"), 0x94)
_NEW_NAMESPACES = 0x7E020080  # every CLONE_NEW* flag
# Families of addresses. The others, such as AF_VSOCK and AF_PACKET, are not or not all divided by network namespaces.
_UNIX, _IPV4, _IPV6, _NETLINK = 1, 2, 10, 16
# Of AF_UNIX, those that reach nobody without connect. A datagram names its receiver itself.
_STREAM, _PACKETS, _TYPE_BITS = 1, 5, 0xF

_ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
_X32_CALLS = 0x40000000

_LOAD, _AND, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER_OFFSET, _ARCHITECTURE_OFFSET, _ARGUMENTS_OFFSET = 0, 4, 16
_FILTER_MODE = 2


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def supported() -> bool:
    """Whether this machine's system calls are known here."""
    return os.uname().machine in _ARCHITECTURES


def restrict(*, in_host: bool, spared: Iterable[int] = ()) -> None:
    """Filter the calls of this process, and of all that it starts. Needs PR_SET_NO_NEW_PRIVS.

    Parameters
    ----------
    in_host : bool
        Whether the process shares the namespaces of the host: then more is refused.
    spared : iterable of int
        Processes that it may not signal then.
    """
    instructions = filter_program(os.uname().machine, in_host=in_host, spared=spared)
    program = _Program(len(instructions) // 8, instructions)
    prctl(Prctl.SET_SECCOMP, _FILTER_MODE, ctypes.byref(program))


def filter_program(machine: str, *, in_host: bool, spared: Iterable[int] = ()) -> bytes:
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
    # As a file system says that has no such call: the C library then writes zeros.
    code += _if_equal(_FALLOCATE[column], _return(_ERRNO | errno.EOPNOTSUPP))
    code += _if_equal(
        _CLONE[column],
        [
            *_argument(0),
            _instruction(_ANY_BIT, _NEW_NAMESPACES, 0, 1),
            *_return(_ERRNO | errno.EPERM),
            *_return(_ALLOW),
        ],
    )
    code += _if_equal(_SOCKET[column], _sockets(() if in_host else (_IPV4, _IPV6, _NETLINK), any_type=not in_host))
    code += _if_equal(_SOCKETPAIR[column], _sockets((), any_type=not in_host))
    code += _if_equal(_IOCTL[column], _requests((_IOCTL_SET_OWNER, _IOCTL_SET_GROUP) if in_host else ()))
    if in_host:
        for number in _of_machine(_OF_ANOTHER_PROCESS, column):
            code += _if_equal(
                number, [*_argument(0), *_unless_equal(0, _return(_ERRNO | errno.EPERM)), *_return(_ALLOW)]
            )
        whom = [_EVERYBODY, *(sign * pid for pid in spared for sign in (1, -1))]
        for number in _of_machine(_SIGNALS, column):
            code += _if_equal(number, _unless_argument(0, whom))
        code += _if_equal(_FCNTL[column], _unless_argument(1, (_SET_OWNER, _SET_OWNER_EX)))
    code += _return(_ALLOW)
    return b"".join(code)


def _sockets(families: Iterable[int], *, any_type: bool) -> list[bytes]:
    """Allow sockets of AF_UNIX, of any type or of those without datagrams, and of other families."""
    types = [step for kind in (_STREAM, _PACKETS) for step in _if_equal(kind, _return(_ALLOW))]
    of_type = [*_argument(1), _instruction(_AND, _TYPE_BITS), *types, *_return(_ERRNO | errno.EACCES)]
    return [
        *_argument(0),
        *_if_equal(_UNIX, _return(_ALLOW) if any_type else of_type),
        *(step for family in families for step in _if_equal(family, _return(_ALLOW))),
        *_return(_ERRNO | errno.EACCES),
    ]


def _requests(refused: Iterable[int]) -> list[bytes]:
    """Allow requests to devices, none to file systems, and not those that are refused."""
    letters = [
        step
        for letter in _IOCTLS_OF_FILE_SYSTEMS
        for step in _if_equal(letter << 8, _return(_ERRNO | errno.EOPNOTSUPP))
    ]
    return [
        *_argument(1),
        *(step for request in refused for step in _if_equal(request, _return(_ERRNO | errno.EPERM))),
        _instruction(_AND, 0xFF00),
        *letters,
        *_return(_ALLOW),
    ]


def _unless_argument(index: int, refused: Iterable[int]) -> list[bytes]:
    """Allow a call unless an argument, an int, has one of these values."""
    tests = [step for value in refused for step in _if_equal(value & 0xFFFFFFFF, _return(_ERRNO | errno.EPERM))]
    return [*_argument(index), *tests, *_return(_ALLOW)]


def _of_machine(numbers: dict[str, tuple[int | None, int | None]], column: int) -> Iterable[int]:
    return (number for number in (both[column] for both in numbers.values()) if number is not None)


def _instruction(operation: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", operation, if_true, if_false, value)


def _word(offset: int) -> list[bytes]:
    return [_instruction(_LOAD, offset)]


def _argument(index: int) -> list[bytes]:
    # The lower half, first on both architectures: all that is compared are ints, whose upper half the kernel ignores.
    return _word(_ARGUMENTS_OFFSET + 8 * index)


def _return(action: int) -> list[bytes]:
    return [_instruction(_RETURN, action)]


def _if_equal(value: int, then: list[bytes]) -> list[bytes]:
    return [_instruction(_EQUAL, value, 0, len(then)), *then]


def _unless_equal(value: int, then: list[bytes]) -> list[bytes]:
    return [_instruction(_EQUAL, value, len(then), 0), *then]
