"""The order in which near rows of codes are next to each other."""

from __future__ import annotations

import numpy as np
import pytest

from learndock import _core


def order_of(codes, scales=None):
    codes = np.asarray(codes, dtype=np.int8)
    return _core.near_order(codes, np.ones(codes.shape[1], np.float32) if scales is None else np.float32(scales))


@pytest.mark.parametrize("count", [0, 1, 16, 17, 100, 2_049, 50_000])
@pytest.mark.parametrize("width", [1, 7])
def test_each_row_once(count, width):
    order = order_of(np.random.default_rng(0).integers(-127, 128, size=(count, width)))
    assert order.dtype == np.int32
    assert np.array_equal(np.sort(order), np.arange(count))


@pytest.mark.parametrize("width", [0, 1, 5])
def test_equal_rows_stay(width):
    assert np.array_equal(order_of(np.full((3_000, width), 11)), np.arange(3_000))


def test_kinds_that_lie_apart_end_up_side_by_side():
    rng = np.random.default_rng(1)
    kind = rng.integers(30, size=20_000)
    centres = np.stack([8 * (np.arange(30) % 6) - 40, 8 * (np.arange(30) // 6) - 40, np.zeros(30)], axis=1)
    codes = centres[kind] + rng.integers(-2, 3, size=(20_000, 3))
    assert np.count_nonzero(np.diff(kind[order_of(codes)])) == 29


def test_the_widest_coordinate_is_that_of_the_largest_unit():
    """Both have values of 40 rows each, which no cut parts while several of them are together."""
    codes = np.random.default_rng(2).permutation(np.stack([np.arange(280) % 7, np.arange(280) // 40], axis=1))
    for widest in (0, 1):
        scales = [1e-3, 1e-3]
        scales[widest] = 10.0
        assert np.array_equal(codes[order_of(codes, scales)][:, widest], np.sort(codes[:, widest]))


@pytest.mark.parametrize(
    ("codes", "scales", "named"),
    [
        (np.zeros((3, 2), np.int16), np.ones(2, np.float32), "codes"),
        (np.zeros(3, np.int8), np.ones(2, np.float32), "codes"),
        (np.zeros((3, 2), np.int8), np.ones(3, np.float32), "scales"),
        (np.zeros((3, 2), np.int8), np.ones(2), "scales"),
    ],
)
def test_what_is_no_array_of_codes_is_an_error(codes, scales, named):
    with pytest.raises((TypeError, ValueError), match=named):
        _core.near_order(codes, scales)
