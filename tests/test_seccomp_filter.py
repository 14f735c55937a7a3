"""The filter of system calls, run by an interpreter of the kernel's instructions written out here, for each machine."""

from __future__ import annotations

import errno
import struct

import pytest

from learndock.runtime.guard.seccomp import filter_program

ALLOW, ERRNO, KILL = 0x7FFF0000, 0x00050000, 0x80000000
ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


def verdict(program: bytes, architecture: int, number: int, *arguments: int) -> int:
    """What the kernel would do with a call: load, jump if equal, at least, or any bit, return (linux/bpf_common.h)."""
    data = struct.pack("<IIQ6Q", number, architecture, 0, *(list(arguments) + [0] * 6)[:6])
    instructions = list(struct.iter_unpack("=HBBI", program))
    accumulator = position = 0
    while True:
        operation, if_true, if_false, value = instructions[position]
        position += 1
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, value)
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
    program = filter_program(machine, in_host=in_host)

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


@pytest.mark.parametrize("numbers", [(268, 53), (260, 54), (188, 5), (42, 203), (29, 194), (141, 140)], ids=str)
def test_what_reaches_the_host_is_refused_there_alone(call, in_host, numbers):
    assert call(numbers) == (ERRNO | errno.EPERM if in_host else ALLOW)


def test_other_processes_are_out_of_reach_in_the_host(call, in_host):
    refused = ERRNO | errno.EPERM if in_host else ALLOW
    assert call((302, 261), 1234) == refused
    assert call((302, 261), 0) == ALLOW
    assert call((62, 129), 2**32 - 1, 9) == refused
    assert call((62, 129), 2**64 - 1, 9) == refused
    assert call((62, 129), 1234, 9) == ALLOW  # Landlock's part


def test_times_are_set_by_descriptor_alone_in_the_host(call, in_host):
    refused = ERRNO | errno.EPERM if in_host else ALLOW
    assert call((280, 88), 5, 0) == ALLOW
    for path in (1, 2**32, 2**40 + 1):
        assert call((280, 88), 5, path) == refused


@pytest.mark.parametrize("machine", ARCHITECTURE)
def test_calls_of_another_architecture_end_the_process(machine, in_host):
    program = filter_program(machine, in_host=in_host)
    others = [0x40000003, 0x40000028, *(number for name, number in ARCHITECTURE.items() if name != machine)]
    assert {verdict(program, other, 1) for other in others} == {KILL}


def test_calls_of_x32_do_not_exist(in_host):
    program = filter_program("x86_64", in_host=in_host)
    assert verdict(program, ARCHITECTURE["x86_64"], 0x40000000 | 41, 2) == ERRNO | errno.ENOSYS
