"""Gamma by the median heuristic."""

import numpy as np
import pytest

import learndock as ld
from learndock.errors import InvalidArgument


def median_of_all_pairs(rows):
    differences = rows[:, None, :] - rows[None, :, :]
    return np.median((differences**2).sum(axis=2)[np.triu_indices(len(rows), 1)])


def test_it_is_one_over_the_median_squared_distance_of_all_pairs():
    rows = np.random.default_rng(0).normal(size=(83, 4)) * [1, 2, 3, 0.1]
    assert ld.median_gamma(rows) == pytest.approx(1 / median_of_all_pairs(rows), rel=1e-12)


def test_distances_are_right_far_from_the_origin():
    rows = np.random.default_rng(0).normal(size=(50, 3))
    assert ld.median_gamma(rows + 1e7) == pytest.approx(ld.median_gamma(rows), rel=1e-6)


def test_of_many_rows_a_seeded_sample_is_close_to_all():
    rows = np.random.default_rng(1).normal(size=(3000, 5))
    expected = 1 / median_of_all_pairs(rows)
    assert ld.median_gamma(rows) == ld.median_gamma(rows, random_state=0) != ld.median_gamma(rows, random_state=1)
    assert ld.median_gamma(rows) == pytest.approx(expected, rel=0.05)


def test_missing_numbers_are_those_of_fit():
    rows = np.random.default_rng(2).normal(size=(40, 2))
    rows[3, 1] = np.nan
    filled = np.where(np.isnan(rows), np.nanmean(rows, axis=0), rows)
    assert ld.median_gamma(rows) == pytest.approx(ld.median_gamma(filled), rel=1e-12)
    assert np.isnan(rows[3, 1])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[1.0, 2.0]], "at least two rows"),
        ([[1.0], [1.0], [1.0], [1.0], [2.0]], "equal ones in more than half"),
        ([1.0, 2.0], "2 dimensions"),
        ([[1.0], [np.inf]], "finite"),
    ],
)
def test_rows_without_a_scale_are_refused(rows, message):
    with pytest.raises(InvalidArgument, match=message):
        ld.median_gamma(rows)
