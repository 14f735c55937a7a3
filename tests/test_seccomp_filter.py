"""The filter of system calls, run by an interpreter of the kernel's instructions written out here, for each machine."""

from __future__ import annotations

import errno
import struct

import pytest

from learndock.runtime.guard.seccomp import filter_program

ALLOW, ERRNO, KILL = 0x7FFF0000, 0x00050000, 0x80000000
SPARED = 4321
ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


def verdict(program: bytes, architecture: int, number: int, *arguments: int) -> int:
    """What the kernel would do with a call: load, and, jump if equal, at least, or any bit, return (bpf_common.h)."""
    data = struct.pack("<IIQ6Q", number, architecture, 0, *(list(arguments) + [0] * 6)[:6])
    instructions = list(struct.iter_unpack("=HBBI", program))
    accumulator = position = 0
    while True:
        operation, if_true, if_false, value = instructions[position]
        position += 1
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, value)
        elif operation == 0x54:
            accumulator &= value
        elif operation in (0x15, 0x35, 0x45):
            holds = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: accumulator & value != 0}[operation]
            position += if_true if holds else if_false
        elif operation == 0x06:
            return value
        else:
            raise ValueError(f"an instruction that is not expected: {operation:#x}")


@pytest.fixture(params=[True, False], ids=["in the host", "in namespaces"], name="in_host")
def with_or_without_namespaces(request):
    return request.param


@pytest.fixture(params=list(ARCHITECTURE), name="call")
def call_on_a_machine(request, in_host):
    machine = request.param
    program = filter_program(machine, in_host=in_host, spared=[SPARED])

    def call(numbers: tuple[int, int], *arguments: int) -> int:
        return verdict(program, ARCHITECTURE[machine], numbers[machine == "aarch64"], *arguments)

    return call


def test_ordinary_calls_go_on(call):
    # read, write, openat, mmap, futex, execve, wait4, memfd_create, sendmsg, recvmsg, sched_getaffinity
    ordinary = [
        (0, 63),
        (1, 64),
        (257, 56),
        (9, 222),
        (202, 98),
        (59, 221),
        (61, 260),
        (319, 279),
        (46, 211),
        (47, 212),
    ]
    assert {call(numbers) for numbers in ordinary} == {ALLOW}


@pytest.mark.parametrize(
    "numbers",
    [(272, 97), (308, 268), (165, 40), (101, 117), (425, 425), (321, 280), (298, 241), (250, 219), (304, 265)],
    ids=[
        "unshare",
        "setns",
        "mount",
        "ptrace",
        "io_uring_setup",
        "bpf",
        "perf_event_open",
        "keyctl",
        "open_by_handle_at",
    ],
)
def test_calls_that_no_model_needs_are_refused(call, numbers):
    assert call(numbers) == ERRNO | errno.EPERM


def test_clone_makes_processes_and_threads_but_no_namespaces(call):
    numbers = (56, 220)
    assert call(numbers, 17) == ALLOW
    assert call(numbers, 0x3D0F00) == ALLOW  # a thread
    for flag in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
        assert call(numbers, flag | 17) == ERRNO | errno.EPERM
    assert call((435, 435)) == ERRNO | errno.ENOSYS


@pytest.mark.parametrize(("family", "allowed_in_host"), [(1, True), (2, False), (10, False), (16, False)])
def test_sockets_of_divided_families(call, in_host, family, allowed_in_host):
    allowed = allowed_in_host if in_host else True
    assert call((41, 198), family, 1, 0) == (ALLOW if allowed else ERRNO | errno.EACCES)


@pytest.mark.parametrize("family", [0, 3, 17, 31, 38, 40, 44, 2**31])
def test_sockets_of_other_families_are_refused_everywhere(call, family):
    assert call((41, 198), family, 1, 0) == ERRNO | errno.EACCES


@pytest.mark.parametrize("family", [0, 2, 10, 16, 30, 2**31])
def test_pairs_of_sockets_are_local(call, family):
    assert call((53, 199), 1, 1, 0) == ALLOW
    assert call((53, 199), family, 5, 0) == ERRNO | errno.EACCES


@pytest.mark.parametrize("numbers", [(41, 198), (53, 199)], ids=["socket", "socketpair"])
def test_sockets_that_name_a_receiver_are_refused_in_the_host(call, in_host, numbers):
    flags = 0o2004000  # SOCK_CLOEXEC, SOCK_NONBLOCK
    for kind in (1, 5):
        assert call(numbers, 1, kind | flags, 0) == ALLOW
    for kind in (2, 3):  # a raw one is a datagram one
        assert call(numbers, 1, kind | flags, 0) == (ERRNO | errno.EACCES if in_host else ALLOW)


def test_requests_go_to_devices_alone(call):
    # TCGETS, FIONREAD, one of NVIDIA's, one of its unified memory's.
    assert {call((16, 29), 3, request) for request in (0x5401, 0x541B, 0xC0384657, 0x30000001)} == {ALLOW}
    # FS_IOC_RESVSP64, FS_IOC_FSSETXATTR, FS_IOC_SETFLAGS, BTRFS_IOC_SUBVOL_CREATE.
    requests = (0x4030582A, 0x401C5820, 0x40086602, 0x5000940E)
    assert {call((16, 29), 3, request) for request in requests} == {ERRNO | errno.EOPNOTSUPP}


def test_room_is_taken_by_writing_alone(call):
    assert call((285, 47), 3, 0, 0, 2**40) == ERRNO | errno.EOPNOTSUPP


@pytest.mark.parametrize(
    "numbers",
    [(268, 53), (91, 52), (260, 54), (93, 55), (188, 5), (190, 7), (280, 88), (42, 203), (29, 194), (424, 424)],
    ids=str,
)
def test_what_reaches_the_host_is_refused_there_alone(call, in_host, numbers):
    assert call(numbers) == (ERRNO | errno.EPERM if in_host else ALLOW)


def test_other_processes_are_out_of_reach_in_the_host(call, in_host):
    refused = ERRNO | errno.EPERM if in_host else ALLOW
    assert call((302, 261), 1234) == refused
    assert call((302, 261), 0) == ALLOW
    assert call((62, 129), 2**32 - 1, 9) == refused
    assert call((62, 129), 2**64 - 1, 9) == refused
    assert call((62, 129), 1234, 9) == ALLOW  # Landlock's part


@pytest.mark.parametrize("numbers", [(62, 129), (200, 130), (234, 131), (129, 138), (297, 240)], ids=str)
def test_processes_of_ours_are_spared_in_the_host(call, in_host, numbers):
    refused = ERRNO | errno.EPERM if in_host else ALLOW
    for whom in (SPARED, 2**64 - SPARED, 2**32 - SPARED):
        assert call(numbers, whom, 9) == refused
    assert call(numbers, SPARED + 1, 9) == ALLOW


def test_signals_of_descriptors_go_to_nobody_else_in_the_host(call, in_host):
    refused = ERRNO | errno.EPERM if in_host else ALLOW
    for command in (8, 15):  # F_SETOWN, F_SETOWN_EX
        assert call((72, 25), 3, command, 1234) == refused
    assert {call((72, 25), 3, command) for command in (0, 1, 2, 3, 4, 1033, 1034)} == {ALLOW}
    for request in (0x8901, 0x8902):  # FIOSETOWN, SIOCSPGRP
        assert call((16, 29), 3, request) == refused


@pytest.mark.parametrize("machine", ARCHITECTURE)
def test_calls_of_another_architecture_end_the_process(machine, in_host):
    program = filter_program(machine, in_host=in_host)
    others = [0x40000003, 0x40000028, *(number for name, number in ARCHITECTURE.items() if name != machine)]
    assert {verdict(program, other, 1) for other in others} == {KILL}


def test_calls_of_x32_do_not_exist(in_host):
    program = filter_program("x86_64", in_host=in_host)
    assert verdict(program, ARCHITECTURE["x86_64"], 0x40000000 | 41, 2) == ERRNO | errno.ENOSYS
