"""environment.yaml: what it asks of Python's index, and what of conda."""

from __future__ import annotations

import os

from fuzz.expectations import read_or_refused, scratch
from learndock.environment.conda_file import CHANNELS, python_version, read_conda_file
from learndock.environment.requirements import conda_content, missing_requirements, read_requirements
from learndock.errors import EnvironmentBuildError, LearnwareError

_FOLDER = scratch("environment")


def seeds() -> list[bytes]:
    return [
        b"name: a\nchannels: [conda-forge, nodefaults]\n"
        b"dependencies: [python=3.11, numpy>=1.26, pip, {pip: [torch==2.4]}]\n",
        b"dependencies:\n- conda-forge::pytorch=2.4.0=cpu_0\n- libblas\n- scikit-learn ==1.5\nchannels:\n"
        b"- https://conda.anaconda.org/conda-forge/\n",
    ]


def run(data: bytes) -> None:
    (_FOLDER / "environment.yaml").write_bytes(data)
    lines = read_or_refused(lambda: read_requirements(_FOLDER), LearnwareError)
    if lines is not None:
        assert len(missing_requirements(lines)) <= len(lines)
        content = conda_content(_FOLDER)
        assert content is not None
        python_version(content)
        file = read_or_refused(lambda: read_conda_file(content), EnvironmentBuildError)
        if file is not None:
            assert set(file.channels) <= set(CHANNELS)
            assert all(package[0].isalnum() or package[0] == "_" for package in file.packages)
    assert os.listdir(_FOLDER) == ["environment.yaml"]
