"""Docks with learnwares in them, without the seconds that starting their models takes."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

import learndock as ld
from learndock.checker import CheckReport, CheckResult, SemanticChecker, Status
from learndock.errors import InvalidArgument

YAML = (
    "model: {class_name: Model}\n"
    "stat_specifications: [{class_name: RKMETableSpecification, file_name: stat.json}]\n"
    "semantic_specification: {file_name: semantic_specification.json}\n"
)
MODEL = (
    "from learnware.model import BaseModel\n"
    "class Model(BaseModel):\n"
    "    def __init__(self): super().__init__((3,), (2,))\n"
    "    def predict(self, X): return (X[:, :2] > 0).astype(float)\n"
)


def described(name="A model", description="Made for a test.", **changes):
    return ld.SemanticSpecification(
        **{
            "name": name,
            "description": description,
            "data": "Table",
            "task": "Classification",
            "library": "Scikit-learn",
            "scenario": ["Education"],
            "license": "MIT",
            "input": {"Dimension": 3},
            "output": {"Dimension": 2},
            **changes,
        }
    )


def spec(seed=0, *, dim=3, gamma=0.1):
    rng = np.random.default_rng(seed)
    return ld.RKMETableSpecification(rng.normal(size=(5, dim)), np.full(5, 0.2), gamma=gamma, num_points=100 + seed)


def written_zip(path: Path, specification, semantic=None, *, note="", model=MODEL, validation=None) -> Path:
    """A small learnware's zip; `note` makes its content another."""
    specification.save(path.with_suffix(".json"))
    with zipfile.ZipFile(path, "w") as archive:
        yaml = YAML if semantic is not None else YAML.partition("semantic_")[0]
        archive.writestr("learnware.yaml", yaml if validation is None else f"{yaml}validation: {validation}\n")
        archive.writestr("__init__.py", model)
        archive.write(path.with_suffix(".json"), "stat.json")
        archive.writestr("note.txt", note)
        if semantic is not None:
            archive.writestr("semantic_specification.json", json.dumps(semantic.to_dict()))
    return path


class QuickChecks:
    """Stands for the checks of a learnware: the model is not started, the status is the one that the test sets."""

    def __init__(self):
        self.status = Status.USABLE
        self.calls = []
        self.message = None
        self.during = None

    def __call__(
        self, path, semantic=None, *, limits=None, archive_limits=None, isolation="auto", environment="current"
    ):
        self.calls.append({"path": path, "isolation": isolation, "environment": environment})
        learnware = ld.Learnware.open(path, semantic=semantic)
        if learnware.semantic is None:
            raise InvalidArgument("semantic: none")
        if self.during is not None:
            self.during()
        checks = (
            SemanticChecker().check(learnware),
            CheckResult("statistical", self.status, self.message or f"it is {self.status}"),
        )
        status = min(check.status for check in checks)
        if status == Status.INVALID:
            learnware.close()
            return CheckReport(status, checks)
        return CheckReport(status, checks, learnware)


@pytest.fixture
def checks(monkeypatch):
    """Checks that start no model."""
    quick = QuickChecks()
    monkeypatch.setattr("learndock.checker.check_learnware", quick)
    return quick


@pytest.fixture
def dock(tmp_path):
    with ld.Dock(tmp_path / "dock", actor="tester") as opened:
        yield opened


@pytest.fixture
def add(dock, checks, tmp_path):
    """Add a learnware to the dock; returns its id."""
    made = []

    def added(name="A model", description="Made for a test.", *, seed=None, status=Status.USABLE, **changes):
        made.append(name)
        checks.status = status
        path = written_zip(
            tmp_path / f"{len(made)}.zip",
            spec(len(made) if seed is None else seed),
            described(name, description, **changes),
            note=f"{len(made)}",
        )
        return dock.submit(path).id

    return added
