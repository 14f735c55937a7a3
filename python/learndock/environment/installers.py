"""Programs that put distributions and packages into an environment, and how each is told to run nothing of theirs.

Wheels are unpacked by uv, or by this interpreter's pip; the environment's own interpreter is not started once something
is in it, since a wheel can bring code that runs at its start. Not even to compile, which this interpreter does.
Files are copied: links into uv's cache would be the model's way to other environments' files.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from learndock.environment.command import Command
from learndock.environment.conda_file import CondaFile
from learndock.errors import EnvironmentBuildError

__all__ = ["compile_command", "conda_command", "conda_program", "wheels_command"]

_CONDA_PROGRAMS = ("micromamba", "mamba", "conda")
# Where a shell knows conda as a function only.
_CONDA_VARIABLES = ("MAMBA_EXE", "CONDA_EXE")
# Newer releases of mamba then run no scripts of packages; to others, and to conda, this means nothing.
_MAMBA_SETTINGS = {"MAMBA_SKIP_RUN_LINK_SCRIPTS": "true", "MAMBA_COMPILE_PYC": "false"}
_WHEELS_ONLY = "only wheels are taken: building a source distribution would run its code here"


def conda_program() -> str | None:
    """Path of micromamba, mamba or conda, the first that is here; None where none is."""
    for name in _CONDA_PROGRAMS:
        found = shutil.which(name)
        if found:
            return found
    given = [os.environ[name] for name in _CONDA_VARIABLES if name in os.environ]
    return next((program for program in given if shutil.which(program)), None)


def conda_command(program: str, prefix: Path, wanted: CondaFile) -> Command:
    """How to make an environment with conda's packages.

    The stranger's file is not passed on: it could name pip's requirements, variables and other channels.
    """
    channels = [argument for channel in wanted.channels for argument in ("--channel", channel)]
    options = ["--yes", "--prefix", str(prefix), "--override-channels", *channels]
    return Command(Path(program).name, (program, "create", *options, *wanted.packages), settings=_MAMBA_SETTINGS)


def wheels_command(prefix: Path, requirements: Iterable[str], *, own: bool) -> Command:
    """How to install wheels: with uv, or else with this interpreter's pip.

    Parameters
    ----------
    prefix : Path
        The environment's folder.
    requirements : iterable of str
        Names and versions, as `distributions` gives them.
    own : bool
        Whether the environment is one of this very interpreter; pip would have to be started in another.

    Raises
    ------
    EnvironmentBuildError
        Neither is here.
    """
    uv = _uv()
    if uv is not None:
        options = ["--only-binary", ":all:", "--no-compile-bytecode", "--link-mode", "copy"]
        options += ["--color", "never", "--no-progress", "--python", str(prefix / "bin" / "python")]
        return Command("uv", (*uv, "pip", "install", *options, *requirements), _WHEELS_ONLY)
    if not own:
        raise EnvironmentBuildError(
            "no environment can be made: beside conda, uv is needed for the part under pip of environment.yaml; "
            "'pip install uv' brings it"
        )
    if importlib.util.find_spec("pip") is None:
        raise EnvironmentBuildError(
            f"no environment can be made: neither uv nor pip is here; '{sys.executable} -m ensurepip' brings pip"
        )
    options = ["--only-binary", ":all:", "--no-compile", "--ignore-installed", "--prefix", str(prefix)]
    options += ["--no-input", "--no-color", "--progress-bar", "off", "--disable-pip-version-check"]
    options += ["--no-warn-script-location", "--no-warn-conflicts"]
    # -P: what lies in the folder that it runs in is no module of its.
    return Command("pip", (sys.executable, "-P", "-m", "pip", "install", *options, *requirements), _WHEELS_ONLY)


def compile_command(prefix: Path) -> Command:
    """How to compile what is installed, with this interpreter, which runs none of it: the model can't keep results."""
    return Command("compileall", (sys.executable, "-I", "-m", "compileall", "-q", "-j", "0", str(prefix / "lib")))


def _uv() -> tuple[str, ...] | None:
    if importlib.util.find_spec("uv") is not None:
        return sys.executable, "-P", "-m", "uv"
    found = shutil.which("uv")
    return None if found is None else (found,)
