"""What models lose near rows, against the same sums in NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from learndock import kernels
from learndock.errors import InvalidArgument, SpecificationMismatch
from local_losses_ladder import assert_sums, climb, problem


def test_the_sums_are_those_of_float64():
    climb()


def test_an_offset_of_all_costs_no_digit():
    rng = np.random.default_rng(1)
    X, sketches = problem(rng, n=40, d=5, sizes=(20, 30), models=4, offset=1e6)
    assert_sums(X, sketches, 0.2)


def test_results_do_not_depend_on_threads():
    X, sketches = problem(np.random.default_rng(2), n=5000, d=8, sizes=(100,) * 5, models=5)
    one, two = (kernels.local_losses(X, sketches, gamma=0.1, threads=threads) for threads in (1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def test_far_rows_have_no_mass():
    X, sketches = problem(np.random.default_rng(3), n=3, d=2, sizes=(4,), models=2)
    losses, masses, _ = kernels.local_losses(X + 1e3, sketches, gamma=1.0)
    assert not losses.any()
    assert not masses.any()


def test_what_does_not_go_together_is_refused():
    X, sketches = problem(np.random.default_rng(4), n=3, d=2, sizes=(4,), models=2)
    points, weights, shares, losses = sketches[0]
    with pytest.raises(InvalidArgument, match="at least one"):
        kernels.local_losses(X, [], gamma=1.0)
    with pytest.raises(SpecificationMismatch):
        kernels.local_losses(X[:, :1], sketches, gamma=1.0)
    partly = losses.copy()
    partly[:, 0] = 1.0
    partly[0, 0] = np.nan
    for wrong in (
        (points, weights, shares[:-1], losses),
        (points, weights, -shares, losses),
        (points, weights, shares, losses[:-1]),
        (points, weights, shares, partly),
        (points, weights, shares, np.full_like(losses, np.inf)),
        (points, weights, shares),
    ):
        with pytest.raises(InvalidArgument, match=r"sketches\[0\]"):
            kernels.local_losses(X, [wrong], gamma=1.0)
