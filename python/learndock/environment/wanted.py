"""What an environment must hold, and the key under which one that holds it is kept."""

from __future__ import annotations

import hashlib
import json
import sys
import sysconfig
from dataclasses import asdict, dataclass
from pathlib import Path

from learndock.environment.conda_file import CondaFile, python_version, read_conda_file
from learndock.environment.distributions import distributions
from learndock.environment.requirements import conda_content, read_requirements

__all__ = ["Wanted", "read_wanted"]

# Environments that are made in another way have other keys.
_FORMAT = 1
_KEY_LENGTH = 32


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an environment must hold.

    Attributes
    ----------
    requirements : tuple of str
        Distributions from Python's index, see `distributions`.
    conda : CondaFile or None
        What conda makes before; None where this interpreter serves.
    notes : tuple of str
        What was asked for and is not to be had.
    """

    requirements: tuple[str, ...]
    conda: CondaFile | None = None
    notes: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The same for the same contents and interpreter, whichever program installs them."""
        content = {
            "format": _FORMAT,
            "requirements": self.requirements,
            "conda": None if self.conda is None else asdict(self.conda),
            "python": [sys.version, sys.base_prefix, sysconfig.get_platform(), sysconfig.get_config_var("SOABI")],
        }
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:_KEY_LENGTH]


def read_wanted(folder: Path, *, conda: bool) -> Wanted:
    """Read what a learnware's environment must hold.

    Parameters
    ----------
    folder : Path
        The learnware's folder.
    conda : bool
        Whether there is a program that serves an environment.yaml; else Python's index serves what it can of it.

    Raises
    ------
    LearnwareError
        requirements.txt or environment.yaml can't be read; an EnvironmentBuildError where it asks for what must not be.
    """
    content = conda_content(folder)
    if content is not None and conda:
        wanted = read_conda_file(content)
        return Wanted(wanted.requirements, wanted)
    notes = []
    if content is not None:
        notes.append(
            "environment.yaml was served from Python's index as far as it can be: there is no micromamba, mamba or "
            "conda here"
        )
        version = python_version(content)
        if version is not None:
            notes.append(f"environment.yaml asks for python{version}, this is Python {sys.version.split()[0]}")
    return Wanted(distributions(read_requirements(folder)), notes=tuple(notes))
