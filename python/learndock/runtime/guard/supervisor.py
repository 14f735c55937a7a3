"""The process between the host and a model: it starts the model's process, watches it, and ends its whole tree.

    host  --status socket-->  supervisor  --fork, exec-->  worker (worker.py) and whatever the model starts
    host  <-----------------  control socket  ---------->  worker

It ends the tree, removes the temporary folder and reports when the worker ends, when a limit is passed, or when the
host closes the status socket, as it does by dying. No process of the tree leaves it by a session of its own or a dead
parent, because orphans come back to a subreaper, or, in namespaces, to their first process. (PR_SET_PDEATHSIG of the
host alone would not do: it follows the *thread* that started a process.)

Where there are no namespaces and the kernel is old, a model may signal this process. The host then finds the rest of
the tree by its environment (`processes_naming`).
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
from typing import Any

from .launch import Launch, Refused, launch
from .processes import end_descendants, reap
from .removal import remove_tree
from .settings import Settings
from .syscalls import Prctl, prctl
from .watch import Watch

__all__ = ["Supervisor"]

_TAIL_BYTES = 8192
_LARGEST_MESSAGE = 4096
_PRIORITY = -20


class Supervisor:
    """Starts one worker and stays until it has ended.

    Parameters
    ----------
    settings : Settings
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._status = socket.socket(fileno=settings["status"])
        self._status.set_inheritable(False)
        self._tail = b""
        self._ended: int | None = None

    def run(self) -> None:
        """Start the worker, watch it, end it, report."""
        prctl(Prctl.SET_CHILD_SUBREAPER, 1)
        # No process of the same user may read this one's memory or open its descriptors, unless it is root.
        prctl(Prctl.SET_DUMPABLE, 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        output, output_end = os.pipe()
        try:
            launched = launch(self._settings, output_end)
        except Refused as refusal:
            self._report({"refused": str(refusal)})
            remove_tree(self._settings["folder"])
            return
        self._report({"isolation": launched.level, "means": launched.means, "notes": launched.notes})
        os.close(output_end)
        os.close(self._settings["control"])
        os.set_blocking(output, False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # Whoever wants the model ended ends the host, or closes the socket.
            signal.signal(number, signal.SIG_IGN)
        reason = self._supervise(launched, output)
        end_descendants(os.getpid(), seconds=5.0)
        if reason is None and launched.groups.ran_out_of_memory():
            reason = f"it had more than {self._settings['limits']['memory_bytes']} bytes of memory, hidden ones counted"
        launched.groups.remove()
        self._read_output(output, most=2**20)
        tail = self._tail.decode("utf-8", "replace")
        self._report({"code": self._exit_code(launched), "reason": reason, "output": tail})
        # The host removes what this leaves, unless it is dead.
        remove_tree(self._settings["folder"])

    def _supervise(self, launched: Launch, output: int) -> str | None:
        """Return when the tree is to be ended: the limit it has passed, or None."""
        wake, wake_end = os.pipe()
        for end in (wake, wake_end):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_end, warn_on_full_buffer=False)
        poller = select.poll()
        for descriptor in (self._status.fileno(), output, wake):
            poller.register(descriptor, select.POLLIN)
        # Among thousands of processes that all want to compute, this one must come to see them.
        with contextlib.suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, _PRIORITY)
        watch = Watch(os.getpid(), self._settings["folder"], self._settings["limits"])
        watch.leave_out(launched.own)
        while True:
            self._ended = reap().get(launched.child)
            if self._ended is not None:
                return None
            # A fork of the host may hold its end of the socket open, so a dead host is looked for as well.
            if os.getppid() != self._settings["host"]:
                return None
            reason = watch.passed()
            if reason is not None:
                return reason
            for descriptor, _ in poller.poll(watch.seconds() * 1000 + 1):
                if descriptor == self._status.fileno():
                    # A message says that a call begins; nothing, that the host has closed the socket.
                    if not self._status.recv(_LARGEST_MESSAGE, socket.MSG_DONTWAIT):
                        return None
                    watch.grant_call()
                elif descriptor == wake:
                    os.read(wake, 65536)
                elif not self._read_output(output, most=65536):
                    poller.unregister(output)

    def _exit_code(self, launched: Launch) -> int | None:
        """The worker's exit code, negative for a signal; None where it was ended from here."""
        status = self._ended
        if launched.worker_status is not None:
            os.set_blocking(launched.worker_status, False)
            try:
                text = os.read(launched.worker_status, 64)
            except BlockingIOError:  # something of the tree is still there
                text = b""
            # Else it is why the first process failed.
            status = int(text) if text.isdigit() else None
        return None if status is None else os.waitstatus_to_exitcode(status)

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


def main(argument: str) -> None:
    """Supervise one worker, as the settings in JSON say."""
    Supervisor(json.loads(argument)).run()
