"""What this installation is, how many threads the kernels use, and how well models are contained."""

from __future__ import annotations

import importlib.util
import platform
import sys

from learndock import _core
from learndock._validation import limit, positive_integer

__all__ = ["config", "set_max_memory", "set_threads", "show_config"]

_OPTIONAL_PACKAGES = ("torch", "matplotlib", "pandas")

# 0: the core decides, by OMP_NUM_THREADS, affinity and cgroup quota, at each call.
_threads = 0

# Larger blocks of work are no faster, and less leaves room for others on the smallest of machines.
_DEFAULT_MAX_MEMORY = 1 << 30
_max_memory = _DEFAULT_MAX_MEMORY


def set_threads(count: int | None) -> None:
    """Set how many threads the kernels use in this process.

    Parameters
    ----------
    count : int or None
        At least 1. None returns to the default: OMP_NUM_THREADS, else the processors that this process may use.

    Raises
    ------
    InvalidArgument
        If `count` is not a positive integer.
    """
    global _threads
    _threads = 0 if count is None else limit(count, "count")


def resolve_threads(threads: int | None) -> int:
    """Threads for one call: the argument, else the setting, else 0 (the core decides)."""
    return _threads if threads is None else limit(threads, "threads")


def set_max_memory(size: int | None) -> None:
    """Set how much memory one call may work with in this process, in bytes.

    It counts what a call allocates beside its arguments and its results: those are the caller's, and
    `learndock.estimate` tells their size. Calls that work in blocks make them fit; one whose smallest block does not
    fit raises before it begins. Where a call has an argument `max_memory`, that comes first.

    Parameters
    ----------
    size : int or None
        None returns to the default, 1 GiB.

    Raises
    ------
    InvalidArgument
        If `size` is not a positive integer.

    Examples
    --------
    >>> import learndock as ld
    >>> ld.set_max_memory(4 * 2**30)
    >>> ld.set_max_memory(None)
    """
    global _max_memory
    _max_memory = _DEFAULT_MAX_MEMORY if size is None else positive_integer(size, "size")


def resolve_max_memory(max_memory: int | None) -> int:
    """Bytes that one call may work with: the argument, else the setting."""
    return _max_memory if max_memory is None else positive_integer(max_memory, "max_memory")


def config() -> dict[str, object]:
    """What `show_config` prints, as a dict."""
    # It loads what models need, and starts a process once.
    from learndock.runtime import available_isolation

    containment = available_isolation()
    return {
        "version": _core.version,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "compiler": _core.compiler,
        "machine": platform.machine(),
        "instruction_set": _core.active_instruction_set(),
        "instruction_sets_available": _core.available_instruction_sets(),
        "instruction_sets_built": _core.built_instruction_sets(),
        "threads": _threads or _core.default_threads(),
        "max_memory": _max_memory,
        "isolation": containment.level.name.lower(),
        "isolation_by": list(containment.means),
        "isolation_lacks": list(containment.notes),
        "optional_packages": {name: importlib.util.find_spec(name) is not None for name in _OPTIONAL_PACKAGES},
    }


def show_config() -> None:
    """Print version, compiler, instruction set, threads, isolation of models, and which optional packages are here."""
    for key, value in config().items():
        if isinstance(value, dict):
            value = ", ".join(f"{name} {'found' if found else 'not found'}" for name, found in value.items())
        elif isinstance(value, list):
            value = ", ".join(value) or "nothing"
        sys.stdout.write(f"{key.replace('_', ' ')}: {value}\n")
