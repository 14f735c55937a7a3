"""SECURITY.md lists every attack that the tests try."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostile_files import HOSTILE
from test_sandbox import ATTACKS, USE_UP

PAGE = Path(__file__).parent.parent / "SECURITY.md"


@pytest.fixture(scope="module", name="listed")
def first_cells_of_its_tables():
    if not PAGE.is_file():
        pytest.skip(f"{PAGE} is not there: the tests run from a copy of their own")
    return {line.split("|")[1].strip() for line in PAGE.read_text(encoding="utf-8").splitlines() if line[:1] == "|"}


@pytest.mark.parametrize("tried", [ATTACKS, USE_UP], ids=["attacks on the sandbox", "what models use up"])
def test_what_models_try_is_listed(listed, tried):
    assert set(tried) <= listed


def test_hostile_files_are_listed(listed):
    assert {case.name for case in HOSTILE} <= listed
