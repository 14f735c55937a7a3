"""The process between the host and a model: it starts the model's process, watches it, and ends its whole tree.

    host  --status socket-->  supervisor  --fork, exec-->  worker (worker.py) and whatever the model starts
    host  <-----------------  control socket  ---------->  worker

It runs as a script, by itself: the standard library is all it needs. It ends the tree, removes the
temporary folder and reports when the worker ends, when a limit is passed, or when the host closes the status
socket, as it does by dying. No process of the tree leaves it by a session of its own or a dead parent,
because orphans come back to a subreaper. (PR_SET_PDEATHSIG of the host alone would not do: it follows the *thread* that
started a process.)

What remains for a sandbox: the model has the rights of the host's user, so it may read that user's files, reach
the network, write outside its folder, and signal the host, or this process. The host then finds the rest of the tree by
its environment (`processes_naming`). Memory in files of memory that no process maps is not counted.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
import select
import signal
import socket
import sys
import time
from typing import Any, NoReturn

_TAIL_BYTES = 8192
# A look at /proc takes about 20 us a process. Looking takes a twentieth of one core at most, however full the machine.
_WATCH_SECONDS = 0.1
_FOLDER_SECONDS = 0.5
_WATCH_SHARE = 20
_SMALLEST_ENTRY = 4096
_OPEN_FILES = 1024
# Beyond the tasks that the user has already: a stop for fork bombs between two looks, for all but root.
_BURST_TASKS = 4096

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 4, 36, 38


def descendants(root: int) -> dict[int, str]:
    """State (as in /proc: "R", "Z", ...) of every process below `root`, by id."""
    children: dict[int, list[tuple[int, str]]] = {}
    for pid in _process_ids():
        fields = _stat_fields(pid)
        if fields:
            children.setdefault(int(fields[1]), []).append((pid, fields[0]))
    found: dict[int, str] = {}
    waiting = [root]
    while waiting:
        for pid, state in children.get(waiting.pop(), []):
            if pid not in found:
                found[pid] = state
                waiting.append(pid)
    return found


def end_descendants(root: int, *, seconds: float) -> bool:
    """Kill every process below `root`; whether none is left.

    All are stopped first, again until no new one turns up, so that none forks while others are killed.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        stopped: set[int] = set()
        for _ in range(20):
            new = set(descendants(root)) - stopped
            if not new:
                break
            send_signal(new, signal.SIGSTOP)
            stopped |= new
        send_signal(stopped, signal.SIGKILL)
        # The caller's own children stay in the list until they are reaped; others' go to a subreaper or init.
        reap()
        if not stopped:
            return True
        time.sleep(0.001)
    return False


def processes_naming(folder: str) -> set[int]:
    """Find processes of this user whose environment has `folder` as HOME."""
    mark = b"HOME=" + os.fsencode(folder)
    found = set()
    for pid in _process_ids():
        try:
            with open(f"/proc/{pid}/environ", "rb") as environment:  # noqa: PTH123 (pathlib costs 10 ms at start)
                if mark in environment.read().split(b"\0"):
                    found.add(pid)
        except OSError:
            continue
    return found


def send_signal(pids: set[int], number: signal.Signals) -> None:
    """Signal all of them; those that are gone don't matter."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except OSError:
            continue


def reap() -> dict[int, int]:
    """Wait status of every child that has ended."""
    ended: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended[pid] = status


def remove_tree(folder: str) -> None:
    """Remove a folder and all in it, however deep; no link is followed, and what can't be removed is left.

    Nothing may run in the folder any more. It steps from directory to directory, down and up, with two of
    them open at most: neither Python's stack nor the length of a path nor the number of descriptors limits the depth.
    """
    # Of each directory on the way down to the open one: its name, its identity, and its directories not yet entered.
    way: list[tuple[str, tuple[int, int], list[str]]] = []
    name, here = folder, None
    try:
        while True:
            below = _open_directory(name, here)
            if below is not None:
                if here is not None:
                    os.close(here)
                here = below
                way.append((name, _identity(here), _remove_files(here)))
            # Down where there is another directory, else up to the first that has one.
            while way and not way[-1][2]:
                emptied = way.pop()[0]
                above = None if not way or here is None else _open_parent(here, way[-1][1])
                if here is not None:
                    os.close(here)
                here = above
                if way and here is None:
                    return
                _quietly(os.rmdir, emptied, here)
            if not way:
                return
            name = way[-1][2].pop()
    finally:
        if here is not None:
            os.close(here)


def _open_directory(name: str, parent: int | None) -> int | None:
    """Open a directory that may be emptied then; None where it is no directory (it is unlinked) or can't be opened."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        try:
            opened = os.open(name, flags, dir_fd=parent)
        except PermissionError:
            # A directory without permissions stops whoever is not root.
            os.chmod(name, 0o700, dir_fd=parent)
            opened = os.open(name, flags, dir_fd=parent)
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            _quietly(os.unlink, name, parent)
        return None
    with contextlib.suppress(OSError):
        os.fchmod(opened, 0o700)
    return opened


def _open_parent(directory: int, identity: tuple[int, int]) -> int | None:
    """Open the directory above, None where it isn't the one that this one was entered from."""
    try:
        parent = os.open("..", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    except OSError:
        return None
    if _identity(parent) == identity:
        return parent
    os.close(parent)
    return None


def _remove_files(directory: int) -> list[str]:
    """Unlink all but the directories, whose names come back."""
    try:
        with os.scandir(directory) as entries:
            is_directory = {entry.name: entry.is_dir(follow_symlinks=False) for entry in entries}
    except OSError:
        return []
    for name, known in is_directory.items():
        if not known:
            _quietly(os.unlink, name, directory)
    return [name for name, known in is_directory.items() if known]


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


def _quietly(remove: Any, name: str, parent: int | None) -> None:
    with contextlib.suppress(OSError):
        remove(name, dir_fd=parent)


def is_stopped(pid: int) -> bool:
    """Whether somebody has stopped a process, so that it does nothing until it is continued."""
    return _stat_fields(pid)[:1] in (["T"], ["t"])


def _process_ids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208


def _stat_fields(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the state on; empty where the process is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123
            # The name before stands in parentheses and may hold anything.
            return file.read().rpartition(b")")[2].decode("ascii").split()
    except (OSError, ValueError):
        return []


class Watch:
    """Compares what a tree of processes uses with its limits, often enough and not too often.

    Parameters
    ----------
    root : int
        The tree is all below this process.
    folder : str
        The temporary folder.
    limits : dict
        processes, memory_bytes and file_bytes.
    """

    def __init__(self, root: int, folder: str, limits: dict[str, int]) -> None:
        self._root, self._folder, self._limits = root, folder, limits
        self._next_look = self._next_folder = 0.0

    def seconds(self) -> float:
        """Time until the next look is due."""
        return max(0.0, self._next_look - time.monotonic())

    def passed(self) -> str | None:
        """Which limit is passed, in words, or None; looks only where a look is due."""
        start = time.monotonic()
        if start < self._next_look:
            return None
        reason = self._processes()
        if reason is None and start >= self._next_folder:
            reason = self._files()
            now = time.monotonic()
            self._next_folder = now + max(_FOLDER_SECONDS, _WATCH_SHARE * (now - start))
        now = time.monotonic()
        self._next_look = now + max(_WATCH_SECONDS, _WATCH_SHARE * (now - start))
        return reason

    def _processes(self) -> str | None:
        alive = [pid for pid, state in descendants(self._root).items() if state != "Z"]
        if len(alive) > self._limits["processes"]:
            return f"it had more than {self._limits['processes']} processes"
        most = self._limits["memory_bytes"]
        # Pages that processes share are counted once only where it matters: that count is a slow one.
        if sum(map(_resident_bytes, alive)) > most and sum(map(_proportional_bytes, alive)) > most:
            return f"its processes had more than {most} bytes of memory"
        return None

    def _files(self) -> str | None:
        most = self._limits["file_bytes"]
        total, waiting = 0, [self._folder]
        while waiting:
            try:
                with os.scandir(waiting.pop()) as entries:
                    for entry in entries:
                        # An empty file takes room too; counting it bounds the number of entries as well.
                        total += max(_SMALLEST_ENTRY, entry.stat(follow_symlinks=False).st_blocks * 512)
                        if total > most:
                            return f"its temporary folder held more than {most} bytes"
                        if entry.is_dir(follow_symlinks=False):
                            waiting.append(entry.path)
            except OSError as error:
                if error.errno == errno.ENAMETOOLONG:
                    return "its temporary folder was nested deeper than a path can lead"
        return None


def _resident_bytes(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:  # noqa: PTH123
            return int(file.read().split()[1]) * resource.getpagesize()
    except (OSError, IndexError):
        return 0


def _proportional_bytes(pid: int) -> int:
    """Memory of a process without its files, where the kernel tells; a page that n processes share counts one nth."""
    sizes: dict[bytes, int] = {}
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:  # noqa: PTH123
            for line in file:
                name, _, size = line.partition(b":")
                if name in (b"Pss", b"Pss_Anon", b"Pss_Shmem"):
                    sizes[name] = int(size.split()[0]) * 1024
    except OSError:
        # A process can close this file to all but root, but not the other.
        return _resident_bytes(pid)
    if b"Pss_Anon" in sizes:
        return sizes[b"Pss_Anon"] + sizes.get(b"Pss_Shmem", 0)
    return sizes.get(b"Pss", 0)


class Supervisor:
    """Starts one worker and stays until it has ended.

    Parameters
    ----------
    settings : dict
        status, control : descriptors; host : process id; python, worker : paths; folder : the temporary folder, which
        is also the working directory; limits : dict.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        self._status = socket.socket(fileno=settings["status"])
        self._status.set_inheritable(False)
        self._tail = b""
        self._worker_status: int | None = None

    def run(self) -> None:
        """Start the worker, watch it, end it, report."""
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        # No process of the same user may read this one's memory or open its descriptors, unless it is root.
        _prctl(_PR_SET_DUMPABLE, 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        output, output_end = os.pipe()
        self._worker = os.fork()
        if self._worker == 0:
            _become_worker(self._settings, output_end)
        os.close(output_end)
        os.close(self._settings["control"])
        os.set_blocking(output, False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # Whoever wants the model ended ends the host, or closes the socket.
            signal.signal(number, signal.SIG_IGN)
        reason = self._supervise(output)
        end_descendants(os.getpid(), seconds=5.0)
        self._read_output(output, most=2**20)
        code = None if self._worker_status is None else os.waitstatus_to_exitcode(self._worker_status)
        tail = self._tail.decode("utf-8", "replace")
        self._report({"code": code, "reason": reason, "output": tail})
        # The host removes what this leaves, unless it is dead.
        remove_tree(self._settings["folder"])

    def _supervise(self, output: int) -> str | None:
        """Return when the tree is to be ended: the limit it has passed, or None."""
        wake, wake_end = os.pipe()
        for end in (wake, wake_end):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_end, warn_on_full_buffer=False)
        poller = select.poll()
        for descriptor in (self._status.fileno(), output, wake):
            poller.register(descriptor, select.POLLIN)
        watch = Watch(os.getpid(), self._settings["folder"], self._settings["limits"])
        while True:
            self._worker_status = reap().get(self._worker)
            if self._worker_status is not None:
                return None
            # A fork of the host may hold its end of the socket open, so a dead host is looked for as well.
            if os.getppid() != self._settings["host"]:
                return None
            reason = watch.passed()
            if reason is not None:
                return reason
            for descriptor, _ in poller.poll(watch.seconds() * 1000 + 1):
                if descriptor == self._status.fileno():
                    return None
                if descriptor == wake:
                    os.read(wake, 65536)
                elif not self._read_output(output, most=65536):
                    poller.unregister(output)

    def _read_output(self, output: int, *, most: int) -> bool:
        """Keep the end of what the tree has printed; False once nobody can print any more."""
        while most > 0:
            try:
                data = os.read(output, min(most, 65536))
            except BlockingIOError:
                return True
            if not data:
                return False
            self._tail = (self._tail + data)[-_TAIL_BYTES:]
            most -= len(data)
        return True

    def _report(self, message: dict[str, Any]) -> None:
        try:
            self._status.send(json.dumps(message).encode(), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except OSError:
            # The host is gone, or does not listen; it learns of the end by the end of this process.
            return


def _become_worker(settings: dict[str, Any], output: int) -> NoReturn:
    try:
        os.setsid()
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)
        os.umask(0o077)
        _limit_resources(settings["limits"])
        # Standard input is /dev/null already.
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.set_inheritable(settings["control"], True)
        python = settings["python"]
        os.execv(python, [python, "-I", "-B", settings["worker"], str(settings["control"])])
    except BaseException as error:
        os.write(2, f"{type(error).__name__}: {error}\n".encode(errors="replace"))
    finally:
        os._exit(127)


def _limit_resources(limits: dict[str, int]) -> None:
    # Data, not address space: large reservations that are never touched are ordinary for torch and CUDA.
    _set_limit(resource.RLIMIT_DATA, limits["memory_bytes"])
    _set_limit(resource.RLIMIT_FSIZE, limits["file_bytes"])
    _set_limit(resource.RLIMIT_NOFILE, _OPEN_FILES)
    _set_limit(resource.RLIMIT_CORE, 0)
    # This limit counts all tasks of the user, not those of the tree.
    _set_limit(resource.RLIMIT_NPROC, _task_count() + _BURST_TASKS)


def _set_limit(which: int, value: int) -> None:
    _, hard = resource.getrlimit(which)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(which, (value, value))


def _task_count() -> int:
    """Threads of this user's processes."""
    count = 0
    for pid in _process_ids():
        try:
            if os.stat(f"/proc/{pid}").st_uid != os.getuid():  # noqa: PTH116
                continue
        except OSError:
            continue
        fields = _stat_fields(pid)
        count += int(fields[17]) if fields else 0
    return count


def _prctl(option: int, value: int) -> None:
    import ctypes

    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}) failed")


if __name__ == "__main__":
    Supervisor(json.loads(sys.argv[1])).run()
