"""What a model's process may read beside its own folder: its interpreter, and what that needs of the system."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

__all__ = ["library_folders", "located", "readable_paths"]

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
# Not what this process has loaded: a library that its user has in some folder of his would open that folder.
_QUESTION = """
import json, sys
modules = list(sys.path)
try:
    import numpy
except Exception:
    pass
with open("/proc/self/maps", errors="surrogateescape") as file:
    maps = file.read().splitlines()
print(json.dumps({"modules": modules, "prefixes": [sys.base_prefix, sys.base_exec_prefix], "maps": maps}))
"""


def located(python: str | os.PathLike[str]) -> str:
    """Path of an interpreter without ".." and links on the way, which lead nowhere where little else is to be seen.

    A link at its end stays: by it a virtual environment is told from what it stands on.
    """
    path = Path(python)
    return str(path.parent.resolve() / path.name)


def readable_paths(python: str) -> list[str]:
    """Files and folders that a process of an interpreter needs.

    The interpreter is not asked unless it is this one: packages that strangers have chosen could run code then.

    Parameters
    ----------
    python : str
        Path of the interpreter, as `located` has it.
    """
    given = Path(python)
    prefixes = [given.parent.parent, given.resolve().parent.parent]
    home = _home(given.parent.parent / "pyvenv.cfg")
    if home is not None:
        prefixes += [home.parent, home.resolve().parent]
    found = [python, *(str(prefix / name) for prefix in prefixes if _is_prefix(prefix) for name in _OF_PREFIX)]
    if python == located(sys.executable):
        found += _own_paths()
    # A library may lie anywhere; whoever sets this variable wants it found.
    found += library_folders()
    return list(dict.fromkeys([*_SYSTEM, *(path for path in found if not _holds_all(path))]))


def library_folders() -> list[str]:
    """Folders of LD_LIBRARY_PATH, without those that depend on a working directory: a model's own would be one."""
    return [folder for folder in os.environ.get("LD_LIBRARY_PATH", "").split(":") if folder.startswith("/")]


def _is_prefix(folder: Path) -> bool:
    """Whether an interpreter is installed there: a link to one may lie in ~/.local, beside a user's own data."""
    return (folder / "pyvenv.cfg").is_file() or any(folder.glob("lib*/py*3*/os.py"))


def _holds_all(path: str) -> bool:
    """Whether the user's home or the folder for temporary files lie there: somebody has set a path too wide."""
    lowest = {os.path.realpath(folder) for folder in (os.environ.get("HOME") or "/", tempfile.gettempdir())}
    real = os.path.realpath(path)
    return any(os.path.commonpath([real, folder]) == real for folder in lowest)


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
    answer = subprocess.run(
        [sys.executable, "-I", "-c", _QUESTION],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        timeout=_SECONDS,
    ).stdout
    found = json.loads(answer)
    prefixes = [f"{prefix}/{name}" for prefix in found["prefixes"] for name in _OF_PREFIX]
    libraries = sorted({str(Path(line.split(maxsplit=5)[5]).parent) for line in found["maps"] if _is_library(line)})
    return tuple(path for path in [*prefixes, *found["modules"], *libraries] if path.startswith("/"))


def _is_library(line: str) -> bool:
    return "/" in line and ".so" in line and not line.endswith("(deleted)")
