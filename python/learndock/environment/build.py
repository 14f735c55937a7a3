"""One environment: made, or found where it was made before."""

from __future__ import annotations

import contextlib
import logging
import os
import time
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from learndock._durable import replaced_file
from learndock.environment._lock import held
from learndock.environment.command import run_installer
from learndock.environment.installers import compile_command, conda_command, conda_program, wheels_command
from learndock.environment.wanted import Wanted, read_wanted
from learndock.errors import EnvironmentBuildError
from learndock.runtime.scratch import remove_folder

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["Environment", "build_environment", "default_cache"]

_LOGGER = logging.getLogger("learndock")
_SECONDS = 600.0
# Beside the environment, not in it: a wheel can bring files of any name.
_COMPLETE = "complete"
_NUMPY = "lib/python3*/site-packages/numpy/__init__.py"


@dataclass(frozen=True, slots=True)
class Environment:
    """An interpreter with what a learnware requires.

    Attributes
    ----------
    python : Path
        The interpreter. Packages that strangers have chosen run as soon as it starts: `ModelProcess` may start it, and
        nobody else.
    notes : tuple of str
        What the learnware asks for and is not there, in words; empty where all is.
    key : str
        Its name in the cache.
    """

    python: Path
    notes: tuple[str, ...]
    key: str


def default_cache() -> Path:
    """The folder that environments are kept in: $LEARNDOCK_CACHE/environments, or that of the user's caches.

    It may be removed while no model runs; nothing else removes an environment.

    Raises
    ------
    EnvironmentBuildError
        The user has no home.
    """
    own = os.environ.get("LEARNDOCK_CACHE")
    if own:
        return Path(own).absolute() / "environments"
    shared = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not shared.is_absolute():  # to be ignored then, by the standard of these variables
        try:
            shared = Path.home() / ".cache"
        except RuntimeError:
            raise EnvironmentBuildError(
                "no environment can be made: the user has no home to keep it in; set LEARNDOCK_CACHE to a folder"
            ) from None
    return shared / "learndock" / "environments"


def build_environment(
    folder: str | PathLike[str], *, cache: str | PathLike[str] | None = None, seconds: float = _SECONDS
) -> Environment:
    """Make an environment with what a learnware requires, or find it where it was made before.

    From requirements.txt, in a virtual environment of this interpreter by uv, or by pip where there is no uv; or from
    environment.yaml by micromamba, mamba or conda, or from Python's index as far as that serves where there is
    none of them. NumPy is in it in any case. Several threads and processes may want the same environment at once: one
    makes it, the others wait. What was resolved once stays so until the folder is removed from the cache.

    Parameters
    ----------
    folder : path
        The learnware's folder.
    cache : path, optional
        The folder to keep environments in, by default `default_cache()`.
    seconds : float
        Time limit of the making, and of the wait for another who makes the same.

    Returns
    -------
    Environment

    Raises
    ------
    EnvironmentBuildError
        It can't be made: what is required can't be had or must not be; the index can't be reached; it took too long.
        The message ends with the installer's own words. Nothing is kept of it.
    LearnwareError
        requirements.txt or environment.yaml can't be read.
    """
    program = conda_program()
    wanted = read_wanted(Path(folder), conda=program is not None)
    place = Path(default_cache() if cache is None else cache).absolute() / wanted.key
    environment = Environment(_prefix(place) / "bin" / "python", wanted.notes, wanted.key)
    try:
        if not _is_complete(place, wanted):
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with held(place.with_suffix(".lock"), seconds=seconds) as lock:
                if not _is_complete(place, wanted):
                    _make(place, wanted, program, time.monotonic() + seconds, lock)
    except OSError as error:
        raise EnvironmentBuildError(
            f"no environment can be made in {place.parent}: {error.strerror or error}"
        ) from error
    # Whoever clears the cache sees which environments are in use. It may be another user's, or read only.
    with contextlib.suppress(OSError):
        os.utime(place / _COMPLETE)
    return environment


def _prefix(place: Path) -> Path:
    return place / "env"


def _is_complete(place: Path, wanted: Wanted) -> bool:
    if not (place / _COMPLETE).is_file():
        return False
    # The interpreter that it stands on may have been removed since, or whoever clears caches was here.
    prefix = _prefix(place)
    own = wanted.conda is not None or (prefix / "pyvenv.cfg").is_file()
    return own and (prefix / "bin" / "python").exists() and any(prefix.glob(_NUMPY))


def _make(place: Path, wanted: Wanted, program: str | None, deadline: float, lock: int) -> None:
    """Make it at its final place, since its files name that; what an unfinished builder left there goes first."""
    remove_folder(place)
    place.mkdir(mode=0o700)
    prefix = _prefix(place)
    start = time.monotonic()
    _LOGGER.info("making the environment %s: %s", place, ", ".join(wanted.requirements))
    try:
        if wanted.conda is not None and program is not None:
            run_installer(conda_command(program, prefix, wanted.conda), folder=place, deadline=deadline, lock=lock)
        else:
            _make_virtual(prefix)
        before = _interpreter_files(prefix)
        if wanted.requirements:
            command = wheels_command(prefix, wanted.requirements, own=wanted.conda is None)
            run_installer(command, folder=place, deadline=deadline, lock=lock)
        _check(prefix, before)
        if wanted.conda is None:
            # A file that is no Python of this version stays as it is; packages have such files among their tests.
            with contextlib.suppress(EnvironmentBuildError):
                run_installer(compile_command(prefix), folder=place, deadline=deadline, lock=lock)
        # The files before the mark: after a power cut an environment must not look complete and be empty.
        os.sync()
        with replaced_file(place / _COMPLETE) as file:
            file.write("\n".join([*wanted.requirements, ""]).encode())
    except BaseException:
        remove_folder(place)
        raise
    _LOGGER.info("made the environment %s in %.1f s", place, time.monotonic() - start)


def _make_virtual(prefix: Path) -> None:
    # Without pip: its installation would start the new interpreter, and a model has no use for it.
    try:
        venv.EnvBuilder(symlinks=True, with_pip=False).create(prefix)
    except ValueError as error:  # such as a colon in the path
        raise EnvironmentBuildError(f"no environment can be made in {prefix}: {error}") from error


def _interpreter_files(prefix: Path) -> dict[str, str]:
    """What the files hold or lead to that say which interpreter this is, and where its home is."""
    found = {}
    for name in ("pyvenv.cfg", "bin/pyvenv.cfg", "bin/python", "bin/python3"):
        file = prefix / name
        if file.is_symlink():
            found[name] = str(file.readlink())
        elif file.exists():
            status = file.stat()
            found[name] = f"{status.st_ino} {status.st_size} {status.st_mtime_ns}"
    return found


def _check(prefix: Path, before: dict[str, str]) -> None:
    # Not by starting it. A wheel may bring a pyvenv.cfg, and what that names as its home a model could read.
    if _interpreter_files(prefix) != before:
        raise EnvironmentBuildError(
            "no environment can be made: a distribution brings files in place of those of the interpreter"
        )
    for needed in ("bin/python", _NUMPY):
        if not any(prefix.glob(needed)):
            raise EnvironmentBuildError(
                f"no environment can be made: the installer ended well, but there is no {needed} in {prefix}"
            )
