"""What is said about the package in one file agrees with what the others say."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import learndock

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


def test_every_file_tells_the_same_version():
    assert learndock.__version__ == PROJECT["version"] == importlib.metadata.version("learndock")
    assert CITATION["version"] == PROJECT["version"]


def test_the_citation_has_what_its_schema_asks_for():
    assert CITATION["cff-version"] == "1.2.0"
    assert CITATION["license"] == PROJECT["license"]
    assert CITATION["title"] == PROJECT["name"]
    assert CITATION["message"]
    assert CITATION["authors"] == [{"name": "The learndock developers"}]


def test_the_papers_that_the_readme_names_are_cited():
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split()).lower()
    cited = [reference for reference in CITATION["references"] if reference["title"].lower() in readme]
    assert [reference["year"] for reference in cited] == [2024, 2024, 2023]
    for reference in CITATION["references"]:
        assert reference["authors"], reference["title"]
        assert reference["authors"][0]["family-names"] in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "requirement",
    [*PROJECT["dependencies"], *(each for extra in PROJECT["optional-dependencies"].values() for each in extra)],
)
def test_each_requirement_has_a_lowest_version_and_no_highest(requirement):
    """`nox -s oldest` tests the lowest; a highest one would keep users from what they need beside us."""
    bounds = list(Requirement(requirement).specifier)
    assert [bound.operator for bound in bounds] == [">="], requirement


def test_wheels_are_made_for_every_promised_python_and_machine():
    wheels = PYPROJECT["tool"]["cibuildwheel"]
    assert set(wheels["build"]) == {f"cp{tag}-*" for tag in ("311", "312", "313", "314", "314t", "315")}
    assert set(wheels["archs"]) == {"x86_64", "aarch64"}
    images = {key: value for key, value in wheels.items() if key.endswith("-image")}
    assert images == {
        f"{libc}linux-{machine}-image": image
        for libc, image in (("many", "manylinux_2_28"), ("musl", "musllinux_1_2"))
        for machine in wheels["archs"]
    }
    named = re.findall(r"tests/test_\w+\.py", wheels["test-command"])
    assert named
    assert all((ROOT / name).is_file() for name in named)


@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this Python has a global lock")
def test_the_core_leaves_the_global_lock_off():
    code = "import sys; from learndock import _core; sys.exit(sys._is_gil_enabled())"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
