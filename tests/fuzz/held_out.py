"""Held-out rows: a .npy file."""

from __future__ import annotations

import numpy as np

from fuzz.expectations import read_or_refused
from fuzz.npy_files import npy
from learndock.errors import LearnwareError
from learndock.learnware.held_out import MOST_ROWS, read_held_out


def seeds() -> list[bytes]:
    rows = np.arange(6.0).reshape(3, 2)
    return [
        npy(rows),
        npy(rows.astype(np.float32), (2, 0)),
        npy(np.asfortranarray(rows), (3, 0)),
        npy(np.ones((1, 1))),
        npy(rows.astype(">f8")),
        npy(rows.astype(np.int32)),
    ]


def run(data: bytes) -> None:
    rows = read_or_refused(lambda: read_held_out(data, name="rows.npy"), LearnwareError)
    if rows is not None:
        assert rows.ndim == 2
        assert 1 <= len(rows) <= MOST_ROWS
        assert np.isfinite(rows).all()
        np.testing.assert_array_equal(read_held_out(npy(rows), name="rows.npy", columns=rows.shape[1]), rows)
