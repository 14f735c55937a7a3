"""A labelled sketch: a .npy file of mean labels at the points of a specification."""

from __future__ import annotations

import numpy as np

import learndock as ld
from fuzz.expectations import read_or_refused
from fuzz.npy_files import npy
from hostile_files import SEMANTIC
from learndock.errors import LearnwareError
from learndock.learnware.labelled_sketch import read_labelled_sketch

_SPECIFICATION = ld.RKMETableSpecification([[0.0], [1.0], [2.0]], [0.5, 0.25, 0.25], gamma=1.0)
_CLASSES = {"Dimension": 2, "Description": {"0": "no", "1": "yes"}}
_TARGETS = ld.SemanticSpecification.from_dict(SEMANTIC)
_SHARES = ld.SemanticSpecification.from_dict(
    {**SEMANTIC, "Task": {"Type": "Class", "Values": ["Classification"]}, "Output": _CLASSES}
)


def seeds() -> list[bytes]:
    shares = np.array([[0.5, 0.5], [np.nan, np.nan], [0.25, 0.75]])
    return [npy(shares), npy(shares.astype(np.float32), (2, 0)), npy(np.array([[1.5], [np.nan], [-2e3]]))]


def run(data: bytes) -> None:
    means = read_or_refused(lambda: _read(data, None), LearnwareError)
    if means is None:
        return
    assert len(means) == 3
    assert not np.isinf(means).any()
    for semantic in (None, _TARGETS, _SHARES):
        again = read_or_refused(lambda meaning=semantic: _read(npy(means), meaning), LearnwareError)
        if again is not None:
            np.testing.assert_array_equal(again, means)


def _read(content: bytes, semantic: ld.SemanticSpecification | None) -> np.ndarray:
    return read_labelled_sketch(content, name="labels.npy", specification=_SPECIFICATION, semantic=semantic)
