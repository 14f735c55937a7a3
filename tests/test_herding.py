"""Kernel herding against its formula, choice by choice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reference
from learndock import kernels
from learndock.errors import InvalidArgument


def assert_herd(candidates, mean, chosen, gamma, replace=True):
    """Every choice maximises mu(x) - 1/(t+1) sum k(x_s, x) over what may be chosen, within rounding."""
    for t, index in enumerate(chosen):
        values = reference.herd_values(candidates, mean, chosen[:t], gamma)
        if not replace:
            values[list(chosen[:t])] = -np.inf
        allowed = reference.rounding(candidates.shape[1], t + 1) * (np.abs(mean).max() + 1)
        assert values[index] >= values.max() - allowed, f"choice {t}: {values[index]}, best {values.max()}"


def test_three_candidates_by_hand():
    """Candidates 0, 100, 200 on a line at gamma = 1: kernel values 0 and 1. mu = (3/4, 1/2, 1/4).

    t = 0: 0 (3/4). t = 1: mu - 1/2 [x = 0] = (1/4, 1/2, 1/4): 1. t = 2: mu - 1/3 [0, 1] = (5/12, 1/6, 1/4): 0.
    t = 3: mu - 1/4 (2, 1, 0) = (1/4, 1/4, 1/4): a tie, 0. t = 4: mu - 1/5 (3, 1, 0) = (3/20, 3/10, 1/4): 1.
    t = 5: mu - 1/6 (3, 2, 0) = (1/4, 1/6, 1/4): a tie, 0.
    """
    chosen = kernels.herd([[0.0], [100.0], [200.0]], [0.75, 0.5, 0.25], n=6, gamma=1.0)
    assert chosen.tolist() == [0, 1, 0, 0, 1, 0]
    assert chosen.dtype == np.int64


@pytest.mark.parametrize("dim", [1, 3, 8, 17, 33])
@pytest.mark.parametrize("count", [1, 15, 16, 17, 513, 1100])
@pytest.mark.parametrize("replace", [True, False])
def test_every_choice_is_the_best(dim, count, replace):
    """Sizes off the tile width, and around the 512 candidates that a thread takes at a time."""
    rng = np.random.default_rng(count + dim)
    x = rng.normal(size=(count, dim))
    gamma = 0.3 / dim
    mean = reference.kernel_mean(rng.normal(size=(50, dim)) + 0.5, x, gamma)
    chosen = kernels.herd(x, mean, n=min(25, count), gamma=gamma, replace=replace)
    assert_herd(x, mean, chosen, gamma, replace)


def test_far_from_the_origin_nothing_changes():
    rng = np.random.default_rng(0)
    x = np.round(rng.normal(size=(200, 5)), 2) + 1e6
    mean = reference.kernel_mean(x[:50], x, 0.2)
    assert_herd(x, mean, kernels.herd(x, mean, n=40, gamma=0.2), 0.2)


def test_the_first_of_many_are_the_herd_of_few():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(300, 4))
    mean = reference.kernel_mean(x, x, 0.5)
    for replace in (True, False):
        whole = kernels.herd(x, mean, n=100, gamma=0.5, replace=replace)
        for n in (1, 2, 37, 99):
            assert kernels.herd(x, mean, n=n, gamma=0.5, replace=replace).tolist() == whole[:n].tolist()


def test_without_replacement_all_candidates_come_once():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(77, 3)).repeat(2, axis=0)
    mean = reference.kernel_mean(x, x, 1.0)
    chosen = kernels.herd(x, mean, n=154, gamma=1.0, replace=False)
    assert sorted(chosen.tolist()) == list(range(154))


def test_with_replacement_more_samples_than_candidates():
    """A single candidate is chosen every time; two strangers with equal means take turns, the lower first."""
    assert kernels.herd([[1.0]], [0.5], n=5, gamma=1.0).tolist() == [0] * 5
    assert kernels.herd([[0.0], [100.0]], [0.5, 0.5], n=6, gamma=1.0).tolist() == [0, 1, 0, 1, 0, 1]


@pytest.mark.parametrize("threads", [1, 4, 7])
def test_ties_go_to_the_lower_index_across_threads(threads):
    """1,300 equal candidates in three chunks of work: index 0 with replacement, the order without."""
    x, mean = np.ones((1300, 2)), np.full(1300, 0.25)
    assert kernels.herd(x, mean, n=4, gamma=1.0, threads=threads).tolist() == [0] * 4
    chosen = kernels.herd(x, mean, n=1300, gamma=1.0, replace=False, threads=threads)
    assert chosen.tolist() == list(range(1300))


def test_any_number_of_threads_chooses_alike():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(3000, 6))
    mean = reference.kernel_mean(x[:200], x, 0.2)
    herds = {tuple(kernels.herd(x, mean, n=60, gamma=0.2, threads=threads).tolist()) for threads in (1, 4, 7)}
    assert len(herds) == 1


def test_a_herd_follows_its_embedding_better_than_random_samples():
    rng = np.random.default_rng(4)
    x = np.concatenate([rng.normal(size=(300, 3)), rng.normal(size=(100, 3)) + 3])
    mean = reference.kernel_mean(x, x, 0.3)
    chosen = kernels.herd(x, mean, n=40, gamma=0.3)
    share = np.full(40, 1 / 40)
    ours = reference.mmd2_to_data(x[chosen], share, x, 0.3)
    at_random = [reference.mmd2_to_data(x[rng.integers(400, size=40)], share, x, 0.3) for _ in range(20)]
    assert ours < 0.2 * np.median(at_random)


@pytest.mark.parametrize("means", [[-1.0, -2.0, -0.5], [-1e150, -1e150, -1e150], [0.0, 0.0, 0.0]])
def test_means_that_are_negative_or_zero(means):
    x = np.array([[0.0], [100.0], [200.0]])
    chosen = kernels.herd(x, means, n=3, gamma=1.0, replace=False)
    assert chosen[0] == int(np.argmax(means))
    assert sorted(chosen.tolist()) == [0, 1, 2]


def test_more_than_there_are_is_an_error_without_replacement():
    with pytest.raises(InvalidArgument, match=r"^n: .*3.*4"):
        kernels.herd(np.zeros((3, 1)), np.zeros(3), n=4, gamma=1.0, replace=False)


@given(st.integers(1, 40), st.integers(1, 4), st.integers(0, 2**32), st.floats(-3, 2), st.booleans())
def test_any_candidates(count, dim, seed, log_gamma, replace):
    rng = np.random.default_rng(seed)
    x = np.round(rng.normal(size=(count, dim)), int(rng.integers(0, 4)))  # with repeated candidates
    mean = rng.normal(size=count) * 0.3
    gamma = 10.0**log_gamma
    chosen = kernels.herd(x, mean, n=min(count, 12), gamma=gamma, replace=replace)
    assert ((chosen >= 0) & (chosen < count)).all()
    assert_herd(x, mean, chosen, gamma, replace)
