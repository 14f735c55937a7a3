"""What a model's process may read beside its own folder: its interpreter, and what that needs of the system."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

__all__ = ["readable_paths"]

_SYSTEM = (
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix/store",
    "/gnu/store",
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    # How many processors of which kind there are, which libraries of linear algebra ask.
    "/sys/devices/system",
)
# Of an interpreter's prefix: it may be somebody's home.
_OF_PREFIX = ("bin", "lib", "lib32", "lib64", "include", "share", "etc", "ssl", "pyvenv.cfg")
_SECONDS = 60.0


def readable_paths(python: str) -> list[str]:
    """Files and folders that a process of an interpreter needs.

    The interpreter is not asked unless it is this one: packages that strangers have chosen could run code then.

    Parameters
    ----------
    python : str
        Path of the interpreter.
    """
    given = Path(python)
    prefixes = [given.parent.parent, given.resolve().parent.parent]
    home = _home(given.parent.parent / "pyvenv.cfg")
    if home is not None:
        prefixes += [home.parent, home.resolve().parent]
    found = [str(prefix / name) for prefix in prefixes for name in _OF_PREFIX]
    if python == sys.executable:
        found += _own_paths()
    # A library may lie anywhere; whoever sets this variable wants it found.
    found += [folder for folder in os.environ.get("LD_LIBRARY_PATH", "").split(":") if folder.startswith("/")]
    return list(dict.fromkeys([*_SYSTEM, *found]))


def _home(file: Path) -> Path | None:
    """The folder of the interpreter that a virtual environment stands on."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    values = {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in lines)}
    return Path(values["home"]) if values.get("home", "").startswith("/") else None


@functools.cache
def _own_paths() -> tuple[str, ...]:
    """Where this interpreter looks for modules, apart from the folder of a script and PYTHONPATH, and for libraries."""
    code = "import json, sys; print(json.dumps([*sys.path, sys.base_prefix, sys.base_exec_prefix]))"
    answer = subprocess.run(
        [sys.executable, "-I", "-c", code],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        timeout=_SECONDS,
    ).stdout
    *modules, base, exec_base = json.loads(answer)
    prefixes = [f"{prefix}/{name}" for prefix in (base, exec_base) for name in _OF_PREFIX]
    libraries = {str(Path(line.split()[-1]).parent) for line in _mapped_libraries()}
    return tuple(path for path in [*prefixes, *modules, *sorted(libraries)] if path.startswith("/"))


def _mapped_libraries() -> list[str]:
    lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    return [line for line in lines if "/" in line and ".so" in line and not line.endswith("(deleted)")]
