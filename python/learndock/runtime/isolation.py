"""How well a model is contained, and what that needs of the machine."""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, get_args

from learndock.errors import InvalidArgument, IsolationUnavailable

__all__ = ["Containment", "Isolation", "IsolationRequest", "available_isolation", "least_isolation"]

IsolationRequest = Literal["auto", "require", "landlock", "namespace"]
_SECONDS = 20.0
_ATTEMPTS = 3


class Isolation(IntEnum):
    """How well a model's process is contained, from worst to best; SECURITY.md says what each stops."""

    PROCESS = 0
    """A process of its own with limits; it may read and write what the user may, and reach the network."""
    LANDLOCK = 1
    """Beside that, only the files that it needs, no TCP, no signals to others (Linux 5.13 and later)."""
    NAMESPACE = 2
    """Beside that, namespaces of its own: it sees no other process, no network, and a file system with little in it."""


@dataclass(frozen=True, slots=True)
class Containment:
    """What contains a model's process.

    Attributes
    ----------
    level : Isolation
    means : tuple of str
        What the kernel brings for it, such as "Landlock 7".
    notes : tuple of str
        What can't be had here, and why.
    """

    level: Isolation
    means: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.level.name.lower()} ({', '.join(self.means) or 'limits alone'})"


def least_isolation(request: IsolationRequest) -> Isolation:
    """The level below which a model must not be started.

    Parameters
    ----------
    request : {"auto", "require", "landlock", "namespace"}
        "auto" takes the best there is, whatever that is; "require" is "landlock" or better.

    Raises
    ------
    InvalidArgument
        It is none of these.
    """
    levels = {
        "auto": Isolation.PROCESS,
        "require": Isolation.LANDLOCK,
        "landlock": Isolation.LANDLOCK,
        "namespace": Isolation.NAMESPACE,
    }
    # A list is no key.
    level = levels.get(request) if isinstance(request, str) else None
    if level is None:
        raise InvalidArgument(f"isolation: expected one of {', '.join(get_args(IsolationRequest))}, got {request!r}")
    return level


@functools.cache
def available_isolation() -> Containment:
    """Find out how well models are contained on this machine, by starting a process that ends at once."""
    # Not above: `tree` needs this module.
    import time

    from learndock.runtime.limits import ModelLimits
    from learndock.runtime.tree import ProcessTree

    for _ in range(_ATTEMPTS):
        tree = ProcessTree([sys.executable, "-I", "-S", "-c", ""], ModelLimits(), readable=[], least=Isolation.PROCESS)
        try:
            found = tree.containment(time.monotonic() + _SECONDS)
        except TimeoutError:
            raise IsolationUnavailable("isolation: no process for a model can be started here") from None
        finally:
            tree.end()
        # Of a machine that can do no better the supervisor tells why not; one that was killed tells nothing.
        if found.means or found.notes:
            break
    return found
