"""The k smallest, ordered by (value, index)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learndock import kernels


def expected(values, k):
    """Sorted as Python does; NaN last."""
    values = [float(value) for value in values]
    return sorted(range(len(values)), key=lambda i: (np.isnan(values[i]), 0 if np.isnan(values[i]) else values[i], i))[
        :k
    ]


def test_by_hand():
    assert kernels.top_k([3.0, 1.0, 2.0, 1.0], 3).tolist() == [1, 3, 2]
    assert kernels.top_k([3.0, 1.0, 2.0, 1.0], 3).dtype == np.int64


@pytest.mark.parametrize("k", [4, 5, 1000, 2**31, 2**63, 2**70])
def test_all_are_returned_where_k_exceeds_them(k):
    assert kernels.top_k([0.5, -1.0, 0.5, 0.0], k).tolist() == [1, 3, 0, 2]


def test_nan_is_larger_than_infinity():
    values = [np.nan, np.inf, -np.inf, np.nan, 0.0]
    assert kernels.top_k(values, 5).tolist() == [2, 4, 1, 0, 3]
    assert kernels.top_k(values, 4).tolist() == [2, 4, 1, 0]
    assert kernels.top_k([np.nan] * 3, 2).tolist() == [0, 1]


def test_minus_zero_ties_with_zero():
    assert kernels.top_k([0.0, -0.0, 0.0, -0.0], 4).tolist() == [0, 1, 2, 3]


def test_neighbouring_floats_and_denormals_are_told_apart():
    values = [1 + 2**-52, 1.0, 1 - 2**-53, 5e-324, 0.0, -5e-324]
    assert kernels.top_k(values, 6).tolist() == [5, 4, 3, 2, 1, 0]


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int64, np.uint8, bool])
def test_other_number_types(dtype):
    values = np.array([1, 0, 1, 0, 1], dtype=dtype)
    assert kernels.top_k(values, 4).tolist() == [1, 3, 0, 2]


def test_many_ties_among_many_values():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 20, size=20_000).astype(float)
    order = np.argsort(values, kind="stable")
    for k in (1, 7, 999, 1000, 1001, 19_999, 20_000):
        assert kernels.top_k(values, k).tolist() == order[:k].tolist()


@given(st.lists(st.floats() | st.sampled_from([0.0, -0.0, 1.0, np.nan]), min_size=1, max_size=60), st.integers(1, 70))
def test_any_values(values, k):
    assert kernels.top_k(values, k).tolist() == expected(values, k)
