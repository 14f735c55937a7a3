"""The processes of one model, as the host holds them: started together, ended together."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learndock._printable import printable
from learndock.errors import IsolationUnavailable
from learndock.runtime.channel import ProtocolError, receive
from learndock.runtime.guard.processes import descendants, is_stopped, processes_naming, send_signal
from learndock.runtime.isolation import Containment, Isolation
from learndock.runtime.readable import library_folders
from learndock.runtime.scratch import private_folder, remove_folder

if TYPE_CHECKING:
    from learndock.runtime.guard.settings import Settings
    from learndock.runtime.limits import ModelLimits

__all__ = ["Ending", "ProcessTree"]

# The best level that is tried; tests lower it.
_MOST = Isolation.NAMESPACE
_GUARD = Path(__file__).parent / "guard"
# The supervisor takes up to 5 s to kill the tree, then reports, then removes a folder.
_REPORT_SECONDS = 7.0
_REMOVAL_SECONDS = 10.0
_LOOK_SECONDS = 0.2
# What a Python may need to start at all, and what says which hardware to use. Nothing else of the host's environment
# reaches a model: credentials often are there.
_PASSED_ON = (
    "CUDA_VISIBLE_DEVICES",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "TZ",
)
# Each thread of OpenBLAS reserves 32 MiB and a stack of 8: on a large machine, all of the memory that a model may have.
_MOST_THREADS = 8


@dataclass(frozen=True, slots=True)
class Ending:
    """How a model's processes ended.

    Attributes
    ----------
    cause : str
        In words; empty where the host ended them.
    output : str
        The last lines that they printed.
    """

    cause: str = ""
    output: str = ""


class ProcessTree:
    """A supervisor, the model's process below it, and the two sockets to them (see guard/supervisor.py).

    Parameters
    ----------
    command : sequence of str
        What to run as the model's process; the number of its end of the control socket is added.
    limits : ModelLimits
        What the processes may use.
    readable : sequence of str
        Files and folders that they may read.
    least : Isolation
        Below this level nothing is started.

    Attributes
    ----------
    control : socket
        Leads to the model's process.
    """

    def __init__(
        self, command: Sequence[str], limits: ModelLimits, *, readable: Sequence[str], least: Isolation
    ) -> None:
        self._owner = os.getpid()
        self._ending: Ending | None = None
        self._containment: Containment | None = None
        self._refusal: str | None = None
        self._folder = private_folder("model")
        with contextlib.ExitStack() as undo:
            undo.callback(remove_folder, self._folder)
            self.control, worker_end = _socket_pair(undo)
            self._status, supervisor_end = _socket_pair(undo)
            settings: Settings = {
                "status": supervisor_end.fileno(),
                "control": worker_end.fileno(),
                "host": self._owner,
                "command": list(command),
                "folder": str(self._folder),
                "readable": list(readable),
                "limits": asdict(limits),
                "least": int(least),
                "most": int(_MOST),
            }
            self._supervisor = subprocess.Popen(
                [sys.executable, "-I", "-S", "-B", str(_GUARD), json.dumps(settings)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(supervisor_end.fileno(), worker_end.fileno()),
                # Not the model's folder, where a library could be waiting for whoever looks in the working directory.
                cwd="/",
                env=_environment(self._folder),
                start_new_session=True,
            )
            worker_end.close()
            supervisor_end.close()
            undo.pop_all()

    def wait(self, deadline: float) -> None:
        """Return when a message or the end of the processes may be there to read; TimeoutError at the deadline."""
        _poll(deadline, self.control, self._status)

    @property
    def is_ours(self) -> bool:
        """Whether this process has started it, and is no fork of that one."""
        return os.getpid() == self._owner

    def containment(self, deadline: float) -> Containment:
        """Wait until the processes have started, and tell what contains them.

        Raises
        ------
        IsolationUnavailable
            They were not started: the isolation that was required can't be had.
        TimeoutError
        """
        while self._containment is None and self._refusal is None and self._ending is None:
            _poll(deadline, self._status)
            self.ending()
        if self._refusal is not None:
            raise IsolationUnavailable(f"isolation: the model can't be contained here as required: {self._refusal}")
        # Without a word the supervisor ends only where nothing was started.
        return self._containment or Containment(Isolation.PROCESS)

    def announce_call(self) -> None:
        """Tell the supervisor that a call begins, for which the processes may use processor time."""
        # A supervisor that is gone is found out by the call.
        with contextlib.suppress(OSError):
            self._status.send(b"{}", socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)

    def ending(self) -> Ending | None:
        """How the processes ended, or None while they run."""
        while self._ending is None:
            try:
                received = receive(self._status)
            except ProtocolError:
                self._ending = Ending("its supervisor was killed")
                break
            if received is None:
                return None
            report, descriptor = received
            if descriptor is not None:
                os.close(descriptor)
            self._take(report)
        return self._ending

    def _take(self, report: dict[str, Any]) -> None:
        if "isolation" in report:
            level, means, notes = (report[key] for key in ("isolation", "means", "notes"))
            self._containment = Containment(Isolation(level), tuple(means), tuple(notes))
        elif "refused" in report:
            self._refusal = printable(report["refused"])
        else:
            self._ending = Ending(_cause(report.get("code"), report.get("reason")), printable(report.get("output")))

    def await_ending(self, deadline: float) -> Ending:
        """Wait until the processes have ended by themselves, at most until the deadline."""
        with contextlib.suppress(TimeoutError):
            while self._ending is None:
                _poll(deadline, self._status)
                self.ending()
        return self._ending or Ending()

    def interrupt(self) -> None:
        """Tell the supervisor to end the processes; safe while another thread waits for them."""
        # In a fork of the host this would end the parent's model.
        if self.is_ours:
            with contextlib.suppress(OSError):
                self._status.shutdown(socket.SHUT_WR)

    def end(self) -> Ending:
        """End all processes, give back the descriptors and the folder. For one thread, once."""
        if not self.is_ours:
            # This is a fork: the processes and the folder are the parent's.
            self._close_sockets()
            self._supervisor.returncode = 0
            return Ending()
        self.interrupt()
        if not self._ends_by_itself():
            self._kill()
        self._close_sockets()
        remove_folder(self._folder)
        return self._ending or Ending()

    def _ends_by_itself(self) -> bool:
        """Whether the supervisor has ended the tree and itself; it gets no time while it is stopped."""
        deadline = time.monotonic() + _REPORT_SECONDS
        while self._ending is None and time.monotonic() < deadline:
            self.await_ending(time.monotonic() + _LOOK_SECONDS)
            if self._ending is None and is_stopped(self._supervisor.pid):
                return False
        try:
            return self._ending is not None and self._supervisor.wait(_REMOVAL_SECONDS) == 0
        except subprocess.TimeoutExpired:
            return False

    def _kill(self) -> None:
        """End the tree without its supervisor's help: it was killed or stopped, as a model can do."""
        # The supervisor last: as long as it is there, even if stopped, orphans are found below it.
        for _ in range(20):
            alive = {pid for pid, process in descendants(self._supervisor.pid).items() if process.alive}
            if not alive:
                break
            send_signal(alive, signal.SIGKILL)
            time.sleep(0.005)
        send_signal({self._supervisor.pid}, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._supervisor.wait(_REMOVAL_SECONDS)
        for _ in range(20):
            strays = processes_naming(str(self._folder))
            if not strays:
                break
            send_signal(strays, signal.SIGKILL)
            time.sleep(0.005)

    def _close_sockets(self) -> None:
        self.control.close()
        self._status.close()


def _poll(deadline: float, *sockets: socket.socket) -> None:
    """Wait until there is something to read; TimeoutError at the deadline."""
    # poll, not select: descriptors of a busy host may lie beyond 1,024.
    poller = select.poll()
    for one in sockets:
        poller.register(one, select.POLLIN)
    if not poller.poll(max(0.0, deadline - time.monotonic()) * 1000):
        raise TimeoutError


def _socket_pair(undo: contextlib.ExitStack) -> tuple[socket.socket, socket.socket]:
    # Packets, not a stream: a message comes whole or not at all.
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    undo.callback(ours.close)
    undo.callback(theirs.close)
    return ours, theirs


def _environment(folder: Path) -> dict[str, str]:
    threads = str(min(_MOST_THREADS, os.cpu_count() or 1))
    return {
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        # There may be no entry of the user to look the name up in.
        "USER": "model",
        "LOGNAME": "model",
        "OMP_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        **{name: os.environ[name] for name in _PASSED_ON if name in os.environ},
        **({"LD_LIBRARY_PATH": ":".join(folders)} if (folders := library_folders()) else {}),
        **dict.fromkeys(("HOME", "TMPDIR", "TMP", "TEMP"), str(folder)),
    }


def _cause(code: object, reason: object) -> str:
    if isinstance(reason, str):
        return f"it was ended because {reason}"
    if not isinstance(code, int):
        return ""
    if code >= 0:
        return f"it ended with exit status {code}"
    try:
        return f"it was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"it was killed by signal {-code}"
