"""An installer's run: with a deadline, ended with all that it started, and its last words kept."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from learndock._printable import printable
from learndock.errors import EnvironmentBuildError

__all__ = ["Command", "run_installer"]

_BLOCK = 65536
_MOST_LINES, _LONGEST_LINE, _MOST_CHARACTERS = 30, 1000, 3000
_GRACE_SECONDS = 2.0
_ESCAPE_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
# Settings of the user's that say where to install, or ask for more than wheels. All others are the user's to make:
# which index, which proxy, which certificates.
_DROPPED = {
    *("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_PYTHON", "PIP_REQUIRE_VIRTUALENV"),
    *("PIP_NO_BINARY", "PIP_REQUIREMENT", "PIP_EDITABLE", "PIP_DRY_RUN", "PIP_REPORT", "PIP_QUIET"),
    # The last would have the new interpreter started to compile what was installed.
    *("UV_PYTHON", "UV_SYSTEM_PYTHON", "UV_NO_BINARY", "UV_PROJECT_ENVIRONMENT", "UV_COMPILE_BYTECODE"),
    *("VIRTUAL_ENV", "CONDA_PREFIX", "FORCE_COLOR", "CLICOLOR_FORCE"),
}


@dataclass(frozen=True, slots=True)
class Command:
    """A program to run.

    Attributes
    ----------
    name : str
        For people.
    arguments : tuple of str
        The program's path, and its arguments.
    remark : str
        What people must know to understand a failure.
    settings : mapping of str to str
        Variables beside the user's.
    """

    name: str
    arguments: tuple[str, ...]
    remark: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)


def run_installer(command: Command, *, folder: Path, deadline: float, lock: int) -> None:
    """Run an installer to its end.

    Parameters
    ----------
    command : Command
    folder : Path
        Where it runs.
    deadline : float
        Of `time.monotonic`. It is killed then, with what it has started, as it is where this call is interrupted.
    lock : int
        A descriptor that it inherits: what is locked stays so until it ends, even if this process dies before.

    Raises
    ------
    EnvironmentBuildError
        It can't be started, failed or took too long; the message ends with its last words.
    """
    environment = {name: value for name, value in os.environ.items() if name not in _DROPPED}
    start = time.monotonic()
    try:
        process = subprocess.Popen(
            command.arguments,
            cwd=folder,
            env=environment | {"NO_COLOR": "1"} | dict(command.settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(lock,),
            # A group of its own: it is ended as a whole, and Ctrl-C reaches it through us alone.
            start_new_session=True,
        )
    except OSError as error:
        raise EnvironmentBuildError(_message(command, f"can't be started: {error.strerror}", b"")) from None
    tail = bytearray()
    try:
        _read(process, tail, deadline)
        status = process.wait(max(0.0, deadline - time.monotonic()))
    except (TimeoutError, subprocess.TimeoutExpired):
        _end(process)
        outcome = f"was ended after {time.monotonic() - start:.0f} s"
        raise EnvironmentBuildError(_message(command, outcome, tail)) from None
    except BaseException:
        _end(process)
        raise
    finally:
        if process.stdout is not None:
            process.stdout.close()
    if status:
        raise EnvironmentBuildError(_message(command, f"failed with status {status}", tail))


def _message(command: Command, outcome: str, output: bytes | bytearray) -> str:
    remark = f" ({command.remark})" if command.remark else ""
    words = _words(output)
    ending = f"; it wrote:\n{words}" if words else ""
    return f"no environment can be made: {command.name} {outcome}{remark}{ending}"


def _read(process: subprocess.Popen[bytes], tail: bytearray, deadline: float) -> None:
    """Read what it writes until it closes its output, and keep the end of it; TimeoutError at the deadline."""
    if process.stdout is None:
        return
    descriptor = process.stdout.fileno()
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    while True:
        if not poller.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise TimeoutError
        block = os.read(descriptor, _BLOCK)
        if not block:
            return
        tail += block
        del tail[:-_BLOCK]


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the whole group; an installer that is interrupted removes its temporary files."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    deadline = time.monotonic() + _GRACE_SECONDS
    while time.monotonic() < deadline and not _has_ended(process):
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    # It stays to be reaped: until then its number, which is the group's, is nobody else's.
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _words(output: bytes | bytearray) -> str:
    """The last lines that it wrote, as text for people."""
    text = _ESCAPE_SEQUENCE.sub("", output.decode("utf-8", "replace")).replace("\r\n", "\n")
    kept: list[str] = []
    size = 0
    for line in reversed(text.split("\n")):
        # Of a line that was written over again and again, what was last to be seen.
        shown = line.rpartition("\r")[2].rstrip()[:_LONGEST_LINE]
        size += len(shown)
        if len(kept) == _MOST_LINES or size > _MOST_CHARACTERS:
            break
        if shown:
            kept.append(shown)
    return printable("\n".join(reversed(kept)))
