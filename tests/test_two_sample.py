"""The permutation test of two samples."""

import itertools

import numpy as np
import pytest

from learndock.dock.two_sample import p_value, sampled


def mmd2(x, y, gamma):
    def mean(a, b):
        return np.exp(-gamma * ((a[:, None] - b[None]) ** 2).sum(axis=2)).mean()

    return mean(x, x) - 2 * mean(x, y) + mean(y, y)


def test_of_few_rows_it_is_the_share_of_all_divisions():
    # 3 and 2 rows: of the 10 divisions so many are as far apart as the one that was found.
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(3, 2)), rng.normal(size=(2, 2)) + 0.8
    rows, found = np.concatenate([x, y]), mmd2(x, y, 0.5)
    divisions = [list(chosen) for chosen in itertools.combinations(range(5), 3)]
    share = np.mean([mmd2(rows[c], np.delete(rows, c, axis=0), 0.5) >= found - 1e-12 for c in divisions])
    assert 0.1 < share < 1
    drawn = p_value(x, y, gamma=0.5, permutations=20_000, generator=np.random.default_rng(1))
    assert drawn == pytest.approx(share, abs=0.02)  # five standard deviations of 20,000 draws


def test_equal_rows_are_no_sign_of_anything():
    x = np.ones((30, 2))
    assert p_value(x, x[:7], gamma=1.0, permutations=99, generator=np.random.default_rng(0)) == 1


def test_the_smallest_value_is_one_over_the_divisions_and_the_one_found():
    x = np.zeros((20, 1)) + np.random.default_rng(0).normal(size=(20, 1)) * 0.01
    for permutations in (1, 19, 600):
        found = p_value(x, x + 9, gamma=1.0, permutations=permutations, generator=np.random.default_rng(0))
        assert found == 1 / (1 + permutations)


def test_false_alarms_are_as_many_as_the_level_says():
    rng = np.random.default_rng(3)
    values = [
        p_value(rng.normal(size=(25, 2)), rng.normal(size=(40, 2)), gamma=0.5, permutations=39, generator=rng)
        for _ in range(400)
    ]
    # 5 % of 400 are 20, with a standard deviation of 4.4.
    assert 5 <= np.sum(np.array(values) <= 0.05) <= 36
    assert np.mean(values) == pytest.approx(0.5, abs=0.075)


def test_rows_far_from_the_origin_are_told_apart():
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(60, 3)) + 1e7, rng.normal(size=(60, 3)) + 1e7
    here = [p_value(x - 1e7, y - 1e7, gamma=0.3, permutations=199, generator=np.random.default_rng(0))]
    assert [p_value(x, y, gamma=0.3, permutations=199, generator=np.random.default_rng(0))] == here


def test_many_rows_are_sampled_and_few_are_not():
    rows = np.arange(3000.0)[:, None]
    some = sampled(rows, np.random.default_rng(0))
    assert some.shape == (1000, 1)
    assert len(np.unique(some)) == 1000
    assert np.array_equal(some, sampled(rows, np.random.default_rng(0)))
    assert np.array_equal(sampled(rows[:1000], np.random.default_rng(0)), rows[:1000])
