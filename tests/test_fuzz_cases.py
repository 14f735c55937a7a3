"""What fuzzing found, and the files that it begins with: read or refused, as tests/fuzz asks."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from fuzz import TARGETS

_CASES = Path(__file__).parent / "data" / "fuzz"


@pytest.mark.parametrize("name", TARGETS)
def test_what_fuzzing_begins_with_is_read(name):
    target = importlib.import_module(f"fuzz.{name}")
    for seed in target.seeds():
        target.run(seed)


@pytest.mark.parametrize(
    "case", sorted(_CASES.glob("*/*")), ids=lambda case: f"{case.parent.name}-{case.name}" if case else "none"
)
def test_what_fuzzing_found_is_read_or_refused(case):
    importlib.import_module(f"fuzz.{case.parent.name}").run(case.read_bytes())


def test_every_case_belongs_to_a_target():
    assert {folder.name for folder in _CASES.iterdir()} <= {*TARGETS}
