"""Hundreds of submissions and searches in one process hold no more than some of them; benchmarks have 10,000."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from learndock.dock import folding

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
if not (ROOT / "benchmarks").is_dir():
    pytest.skip("the benchmarks are not here: the tests run from a copy of their own", allow_module_level=True)
sys.path.insert(0, str(ROOT))

from benchmarks.experiments import soak  # noqa: E402

# Of so few, what Python itself and the allocator come to hold in the beginning is a part.
_GROWTH = 1.15


def test_submissions_and_searches_leave_no_memory_no_descriptors_and_no_files_behind(quick_folder, monkeypatch, capsys):
    monkeypatch.setattr(folding, "SEGMENT_SPECS", 40)
    monkeypatch.setattr(folding, "MOST_SEGMENTS", 4)
    early, late = soak.soak(quick_folder, 300)
    monkeypatch.setattr(soak, "_GROWTH", _GROWTH)
    assert soak.faults(early, late) == []
    assert (early.zips, late.zips) == (60, 300)
    assert "the same answers" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"own": 106}, "memory of its own grew by 6.0%"),
        ({"descriptors": 10}, "1 more descriptors"),
        ({"zips": 999}, "999 zips of 1,000"),
        ({"other_files": 65}, "65 files beside the zips"),
        ({"opening": 1.5}, "opening took 1.50 s"),
    ],
)
def test_what_grows_is_a_fault(change, said):
    early = soak.Reading(200, 100, 300, 9, 200, 5, 0.1, 0.1)
    late = replace(early, submits=1000, zips=1000)
    assert soak.faults(early, late) == []
    (fault,) = soak.faults(early, replace(late, **change))
    assert said in fault
