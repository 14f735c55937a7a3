"""Starting the worker as contained as this machine allows.

    2  NAMESPACE  user, process, network, mount and IPC namespaces of its own, with a root that holds little
    1  LANDLOCK   the host's namespaces, but the files, TCP ports, signals and sockets that Landlock leaves
    0  PROCESS    a process with limits

The better levels are tried first. Landlock and the filter of system calls come on top of each where the kernel has
them.

In namespaces there are two more processes of ours: the one that has entered the user namespace and waits, and the
first process of the process namespace, which reaps, and whose end is the end of all others.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
from typing import NamedTuple, NoReturn

from . import filesystem, landlock, seccomp
from .cgroups import ControlGroups
from .processes import task_count
from .settings import Settings
from .syscalls import Prctl, drop_capabilities, prctl, unshare

__all__ = ["LANDLOCK", "NAMESPACE", "PROCESS", "Launch", "Refused", "launch"]

PROCESS, LANDLOCK, NAMESPACE = 0, 1, 2

_NEW_NAMESPACES = 0x00020000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000  # mount, IPC, user, process, network
# The user inside; outside it is the host's. Not 0, whom exec would give capabilities.
_USER = 1000
_SHARED_MEMORY = 2**28
# Fewer than a host may, usually: descriptors under way in sockets are counted by user, against the sender's own limit.
_OPEN_FILES = 512
# Beyond the tasks that the user has already: a stop for fork bombs between two looks, for all but root.
_BURST_TASKS = 4096
# Processes and threads together, by process namespace (which takes no fewer than some 300) and control group.
_MOST_TASKS = 4096
_PID_MAX_OF_NAMESPACES = (6, 14)
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


class Refused(Exception):
    """The isolation that was required can't be had; nothing was started."""


class Launch(NamedTuple):
    """A worker that runs.

    Attributes
    ----------
    child : int
        The child of this process whose end is the end of the worker: the worker itself, or what wraps it.
    level : int
        NAMESPACE, LANDLOCK or PROCESS.
    means : list of str
        What contains it, in words.
    notes : list of str
        What was tried and can't be had here, and why.
    own : set of int
        Processes of the tree that are not the model's.
    groups : ControlGroups
        What bounds its memory and tasks; to be removed in the end.
    worker_status : int or None
        Descriptor from which the worker's wait status can be read when `child` has ended; None where `child` is it.
    """

    child: int
    level: int
    means: list[str]
    notes: list[str]
    own: set[int]
    groups: ControlGroups
    worker_status: int | None = None


def launch(settings: Settings, output: int) -> Launch:
    """Start the worker at the best level there is.

    Parameters
    ----------
    settings : Settings
    output : int
        What it prints goes here.

    Raises
    ------
    Refused
        That is less than `settings["least"]`.
    """
    means, notes = [], []
    version = landlock.abi_version()
    if settings["most"] < LANDLOCK:
        notes.append("no Landlock: it is not to be used")
    elif version:
        means.append(f"Landlock {version}")
    else:
        notes.append("no Landlock: the kernel has none, or it is switched off")
    if seccomp.supported():
        means.append("seccomp")
    else:
        notes.append(f"no filter of system calls: those of {os.uname().machine} are not known here")
    groups = ControlGroups(memory_bytes=int(settings["limits"]["memory_bytes"]), tasks=_MOST_TASKS)
    if groups.controllers:
        means.append(f"control groups of {' and '.join(groups.controllers)}")
    else:
        notes.append("no control groups: this user may make none")
    if settings["most"] < NAMESPACE:
        notes.append("no namespaces: they are not to be used")
    else:
        try:
            child, first, report = _in_namespaces(settings, output, groups)
        except OSError as error:
            notes.append(f"no namespaces: {error.strerror or error}")
        else:
            return Launch(child, NAMESPACE, ["namespaces", *means], notes, {child, first}, groups, report)
    level = min(LANDLOCK if version else PROCESS, settings["most"])
    if level < settings["least"]:
        groups.remove()
        raise Refused("; ".join(notes))
    child = os.fork()
    if child == 0:
        groups.join()
        _become_worker(settings, output, in_host=True)
    return Launch(child, level, means, notes, set(), groups)


def _in_namespaces(settings: Settings, output: int, groups: ControlGroups) -> tuple[int, int, int]:
    """Start the worker in namespaces: the waiting process, the first one, and the pipe for the worker's status."""
    report, report_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(report)
        groups.join()
        _enter_namespaces(settings, output, report_end)
    os.close(report_end)
    received = b""
    # A line of JSON, written in one piece, when the worker is about to start, or why it is not.
    while not received.endswith(b"\n"):
        data = os.read(report, 65536)
        if not data:
            break
        received += data
    message = json.loads(received) if received else {"failed": "the process that enters them has ended"}
    if "failed" in message:
        os.close(report)
        os.waitpid(child, 0)
        raise OSError(0, message["failed"])
    return child, int(message["first"]), report


def _enter_namespaces(settings: Settings, output: int, report: int) -> NoReturn:
    """Enter the namespaces, start the first process of them, and wait for its end."""
    try:
        supervisor = os.getppid()
        prctl(Prctl.SET_PDEATHSIG, int(signal.SIGKILL))
        if os.getppid() != supervisor:
            os._exit(1)
        user, group = os.geteuid(), os.getegid()
        unshare(_NEW_NAMESPACES)
        _offer_to_the_killer()
        for name, text in {
            "setgroups": "deny",
            "uid_map": f"{_USER} {user} 1",
            "gid_map": f"{_USER} {group} 1",
        }.items():
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
        # From here on no process of the namespaces may look into this one.
        prctl(Prctl.SET_DUMPABLE, 0)
        told, told_end = os.pipe()
        first = os.fork()
        if first == 0:
            os.close(told_end)
            _be_first(settings, output, report, told)
        os.write(told_end, str(first).encode())
        for descriptor in (told, told_end, settings["control"], settings["status"], output, report):
            os.close(descriptor)
        os.waitpid(first, 0)
    except BaseException as error:
        _fail(report, error)
    finally:
        os._exit(1)


def _be_first(settings: Settings, output: int, report: int, told: int) -> NoReturn:
    """Build the file system, start the worker, and reap until it ends; that ends all processes of the namespace."""
    try:
        prctl(Prctl.SET_PDEATHSIG, int(signal.SIGKILL))
        own_id = int(os.read(told, 64))
        # Python's own handler would let the model interrupt this process, which is deaf to what has none.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        filesystem.enter_new_root(
            readable=settings["readable"], scratch=settings["folder"], shared_memory_bytes=_SHARED_MEMORY
        )
        # By the host's /dev/null, open until now, a model of root's could change that file's mode.
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        _limit_namespaces()
        filesystem.seal_root()
        worker = os.fork()
        if worker == 0:
            _become_worker(settings, output, in_host=False)
        drop_capabilities()
        os.write(report, json.dumps({"first": own_id}).encode() + b"\n")
        for descriptor in (settings["control"], settings["status"], output, told):
            os.close(descriptor)
        while True:
            pid, status = os.waitpid(-1, 0)
            if pid == worker:
                os.write(report, str(status).encode())
                os._exit(0)
    except BaseException as error:
        _fail(report, error)
    finally:
        os._exit(1)


def _limit_namespaces() -> None:
    """Allow no further user namespaces in this one, and no more tasks than a tree may need in a burst."""
    settings = {"user/max_user_namespaces": 0}
    # Before that version the number is the whole machine's.
    release = tuple(int("".join(filter(str.isdigit, part)) or 0) for part in os.uname().release.split(".")[:2])
    if release >= _PID_MAX_OF_NAMESPACES:
        settings["kernel/pid_max"] = _MOST_TASKS
    for name, value in settings.items():
        with open(f"/proc/sys/{name}", "w") as file:
            file.write(str(value))


def _fail(report: int, error: BaseException) -> None:
    text = error.strerror if isinstance(error, OSError) and error.strerror else repr(error)
    where = getattr(error, "filename", None)
    os.write(report, json.dumps({"failed": f"{text} ({where})" if where else text}).encode() + b"\n")


def _become_worker(settings: Settings, output: int, *, in_host: bool) -> NoReturn:
    try:
        os.setsid()
        prctl(Prctl.SET_PDEATHSIG, int(signal.SIGKILL))
        prctl(Prctl.SET_NO_NEW_PRIVS, 1)
        os.umask(0o077)
        if in_host:
            _offer_to_the_killer()
        _limit_resources(settings["limits"])
        # Standard input is /dev/null already.
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.set_inheritable(settings["control"], True)
        os.chdir(settings["folder"])
        drop_capabilities()
        if settings["most"] >= LANDLOCK and landlock.abi_version():
            landlock.restrict(**_landlock_paths(settings, in_host=in_host))
        if seccomp.supported():
            seccomp.restrict(in_host=in_host, spared=(os.getppid(), settings["host"]) if in_host else ())
        command = settings["command"]
        os.execv(command[0], [*command, str(settings["control"])])
    except BaseException as error:
        os.write(2, f"{type(error).__name__}: {error}\n".encode(errors="replace"))
    finally:
        os._exit(127)


def _landlock_paths(settings: Settings, *, in_host: bool) -> dict[str, list[str]]:
    if in_host:
        # Of /proc the kernel shows a process only the harmless part of those that it may not trace.
        return {
            "readable": [*settings["readable"], "/proc", *_DEVICES],
            "writable": [settings["folder"], *_DEVICES, *_gpu_devices()],
        }
    # The root holds only what may be read, and most of it is mounted read-only.
    return {"readable": ["/"], "writable": [settings["folder"], "/tmp", "/dev"]}


def _gpu_devices() -> list[str]:
    return [f"/dev/{name}" for name in os.listdir("/dev") if name.startswith("nvidia")]


def _limit_resources(limits: dict[str, float]) -> None:
    # Data, not address space: large reservations that are never touched are ordinary for torch and CUDA.
    _set_limit(resource.RLIMIT_DATA, int(limits["memory_bytes"]))
    _set_limit(resource.RLIMIT_FSIZE, int(limits["file_bytes"]))
    _set_limit(resource.RLIMIT_NOFILE, _OPEN_FILES)
    # Of 1 byte no core is written; 0 would still let a crash start the host's program for cores, as root.
    _set_limit(resource.RLIMIT_CORE, 1)
    # This limit counts all tasks of the user, not those of the tree.
    _set_limit(resource.RLIMIT_NPROC, task_count() + _BURST_TASKS)


def _set_limit(which: int, value: int) -> None:
    _, hard = resource.getrlimit(which)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(which, (value, value))


def _offer_to_the_killer() -> None:
    """Where memory runs out, the kernel shall end this process and what it starts before anything else."""
    # Else the files of this process in /proc would be root's.
    prctl(Prctl.SET_DUMPABLE, 1)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")
