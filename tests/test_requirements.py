"""What a learnware needs: which lines are read, and which of them are here."""

from __future__ import annotations

import os
import textwrap

import numpy as np
import pytest
import yaml

from learndock import Learnware
from learndock.checker import RequirementsChecker, Status
from learndock.errors import LearnwareError
from learndock.learnware import missing_requirements, read_requirements
from model_folders import write_model


@pytest.fixture
def folder(tmp_path):
    """A folder that is a learnware, without requirements."""
    root = write_model(tmp_path / "learnware", "def predict(self, X): return X")
    (root / "learnware.yaml").write_text("{}")
    return root


def test_requirements_are_read_without_comments_and_options(folder):
    text = """\
    \ufeff# made by hand
    --extra-index-url https://example.org
    -i https://example.org
    numpy==2.0.1  # exact
    scikit-learn >= 1.5 ; \\
        python_version >= "3.8"
    torch==2.4 --hash=sha256:abc
    -r other.txt

    a @ https://example.org/a#b.whl
    """
    (folder / "requirements.txt").write_text(textwrap.dedent(text))
    assert [line.split()[0] for line in read_requirements(folder)] == [
        "numpy==2.0.1",
        "scikit-learn",
        "torch==2.4",
        "-r",
        "a",
    ]


def test_more_requirements_than_anybody_has_are_refused(folder):
    (folder / "requirements.txt").write_text("numpy # comment\n" * 1000 + "# comment\n" * 1000)
    assert len(read_requirements(folder)) == 1000
    (folder / "requirements.txt").write_text("numpy\n" * 140_000)
    with pytest.raises(LearnwareError, match=r"requirements\.txt: more than 1000 requirements"):
        read_requirements(folder)
    (folder / "requirements.txt").unlink()
    (folder / "environment.yaml").write_text(yaml.safe_dump({"dependencies": ["numpy"] * 1001}))
    with pytest.raises(LearnwareError, match=r"environment\.yaml: more than 1000 requirements"):
        read_requirements(folder)


def test_a_requirement_longer_than_any_is_refused(folder):
    (folder / "requirements.txt").write_text("numpy==" + "9" * 5000)
    with pytest.raises(LearnwareError, match="more than 1000 characters") as caught:
        read_requirements(folder)
    assert len(str(caught.value)) < 300


def test_many_missing_requirements_are_named_in_part(folder):
    (folder / "requirements.txt").write_text("".join(f"no-such-{number}-{'x' * 900}\n" for number in range(1000)))
    with Learnware.open(folder) as learnware:
        result = RequirementsChecker().check(learnware)
    assert result.status == Status.NONUSABLE
    assert len(result.message) < 5000
    assert result.message.endswith("and 990 more")
    assert len(result.details["missing"]) == 1000


def test_conda_environments_are_read_in_pips_spelling(folder):
    dependencies = [
        "python=3.8.1",
        "conda-forge::numpy=1.24.0=py38",
        "pytorch",
        "libgcc-ng=12",
        "pandas=2",
        "polars=1.2.*",
        {"pip": ["joblib==1.2"]},
        "scipy>=1",
    ]
    (folder / "environment.yaml").write_text(yaml.safe_dump({"name": "x", "dependencies": dependencies}))
    assert read_requirements(folder) == (
        "numpy==1.24.0",
        "torch",
        "pandas==2",
        "polars==1.2.*",
        "joblib==1.2",
        "scipy>=1",
    )
    (folder / "requirements.txt").write_text("numpy")
    assert read_requirements(folder) == ("numpy",)


@pytest.mark.parametrize(("name", "content"), [("requirements.txt", b"\xff\xfe\x00"), ("environment.yaml", b"a: [")])
def test_requirements_that_can_not_be_read_are_an_error(folder, name, content):
    (folder / name).write_bytes(content)
    with pytest.raises(LearnwareError, match=name):
        Learnware.open(folder)


def test_requirements_that_are_here_are_not_missing():
    major = np.__version__.partition(".")[0]
    here = [
        "numpy",
        "NumPy>=1.0",
        f"numpy=={np.__version__}",
        f"numpy=={major}.0.0",
        f"numpy=={major}.*",
        f"numpy>={major},<{int(major) + 1}",
        "learnware==0.3.2",
        "Learnware",
        'no-such-distribution==1; python_version < "3"',
    ]
    assert missing_requirements(here) == ()


@pytest.mark.parametrize(
    ("requirement", "reason"),
    [
        ("no-such-distribution", "not installed"),
        ("numpy==1.24.4", "is installed"),
        ("numpy<1", "is installed"),
        ("numpy==1.*", "is installed"),
        ("numpy!=" + np.__version__, "is installed"),
        ("-r other.txt", "no requirement"),
        ("https://example.org/numpy.whl", "no requirement"),
        ("what is this", "no requirement"),
        ('numpy; python_version ~= "abc"', "can't be understood"),
        ('numpy; "a" < "b" and python_version ~= "x"', "can't be understood"),
        ("numpy==" + "9" * 5000, "can't be understood"),
        ("numpy===abc", "is installed"),
    ],
)
def test_requirements_that_are_not_here_are_missing_with_the_reason(requirement, reason):
    (missing,) = missing_requirements([requirement])
    assert missing.startswith(requirement[:200])
    assert len(missing) < 300
    assert reason in missing


def test_a_requirement_nested_too_deeply_is_missing():
    (missing,) = missing_requirements(["numpy; " + "(" * 900])
    assert missing.startswith("numpy; ((")
    assert len(missing) < 300
    # Which of the two depends on the release of packaging: older ones run out of Python's stack.
    assert "no requirement" in missing or "can't be understood" in missing


@pytest.mark.parametrize("kind", ["a pipe", "a folder"])
def test_what_is_no_file_is_not_read(tmp_path, kind):
    path = tmp_path / "requirements.txt"
    os.mkfifo(path) if kind == "a pipe" else path.mkdir()
    with pytest.raises(LearnwareError, match="requirements.txt can't be read: it is no file"):
        read_requirements(tmp_path)
