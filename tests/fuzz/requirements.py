"""requirements.txt, and what a learnware's requirements lack here."""

from __future__ import annotations

import os

from fuzz.expectations import read_or_refused, scratch
from learndock.environment.distributions import distributions
from learndock.environment.requirements import missing_requirements, read_requirements
from learndock.errors import EnvironmentBuildError, LearnwareError

_FOLDER = scratch("requirements")


def seeds() -> list[bytes]:
    return [
        b"numpy>=1.0\nlearnware==0.3.2\n# a comment\nscikit-learn==1.2.*  # another\n",
        b"torch[cpu]>=2; python_version < '3.9'\n--index-url https://example.org/simple\nno-such-distribution\n",
        b"numpy==2.0 \\\n  --hash=sha256:ab\n-r other.txt\ngit+https://example.org/a.git\na @ https://example.org/a.whl\n",
    ]


def run(data: bytes) -> None:
    (_FOLDER / "requirements.txt").write_bytes(data)
    lines = read_or_refused(lambda: read_requirements(_FOLDER), LearnwareError)
    if lines is not None:
        missing = missing_requirements(lines)
        assert len(missing) <= len(lines)
        assert all(len(line) < 1000 for line in missing)
        read_or_refused(lambda: distributions(lines), EnvironmentBuildError)
    assert os.listdir(_FOLDER) == ["requirements.txt"]
