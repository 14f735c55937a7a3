"""Folders with a model in them, written for a test."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from leaks import nothing_left
from learndock.runtime import Isolation, ModelDescription, ModelLimits, ModelProcess, available_isolation

QUICK = ModelLimits(seconds=20.0)

_HEAD = """
import json, os, signal, socket, struct, subprocess, sys, time
import numpy as np
from learnware.model import BaseModel

class Model(BaseModel):
    def __init__(self, **options):
        super().__init__((3,), (1,))

"""


def write_model(folder: Path, body: str, files: dict[str, str] | None = None) -> Path:
    """Write an __init__.py with a class Model that has the methods in `body`, and other files."""
    code = _HEAD + textwrap.indent(textwrap.dedent(body), "    ")
    for name, text in {"__init__.py": code, **(files or {})}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(textwrap.dedent(text))
    return folder


@pytest.fixture(name="make")
def model_maker(tmp_path):
    """Make a process, not started, for a model with the given methods; nothing may be left of it after the test."""
    made = []

    def build(body="def predict(self, X): return X.sum(axis=1)", *, limits=QUICK, files=None, **description):
        folder = write_model(tmp_path / f"model{len(made)}", body, files)
        made.append(ModelProcess(folder, ModelDescription(**description), limits=limits))
        return made[-1]

    with nothing_left():
        yield build
        for process in made:
            process.close()


@pytest.fixture(name="level", params=list(Isolation), ids=[level.name.lower() for level in Isolation])
def level_of_isolation(request, monkeypatch):
    """Every level that this machine has, one after another."""
    if available_isolation().level < request.param:
        pytest.skip(f"this machine has no level {request.param.name}: {'; '.join(available_isolation().notes)}")
    monkeypatch.setattr("learndock.runtime.tree._MOST", request.param)
    return request.param
