"""Kernel herding against its formula, choice by choice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import herding_ladder
import reference
from herding_ladder import PRECISIONS, herd
from learndock import _core, kernels
from learndock.errors import InvalidArgument

IN_EVERY_PRECISION = pytest.mark.parametrize("precision", PRECISIONS, ids=lambda precision: precision.name)


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


def test_the_choices_are_those_of_plain_float64():
    herding_ladder.climb()


def in_float64(candidates, mean, n, gamma, replace=True):
    """For candidates with ties, which are decided by the last digit: that of our exponential, not of NumPy's."""
    return herd(candidates, mean, n, gamma, replace=replace, precision=_core.HerdingPrecision.float64)


@IN_EVERY_PRECISION
@pytest.mark.parametrize("threads", [1, 4, 7])
def test_a_long_herd_is_that_of_plain_float64(precision, threads):
    """So long that the bounds have grown wide, and many candidates were compared in float64."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(6000, 12))
    mean = reference.kernel_mean(rng.normal(size=(60, 12)) * 0.9, x, 0.1)
    expected = reference.herd(x, mean, 250, 0.1)
    assert herd(x, mean, 250, 0.1, precision=precision, threads=threads) == expected
    assert_herd(x, mean, expected[:60], 0.1)


@IN_EVERY_PRECISION
@pytest.mark.parametrize("replace", [True, False])
@pytest.mark.parametrize("gamma", [1e-6, 0.3, 1e6])
@pytest.mark.parametrize("kind", ["duplicates", "lattice", "corners", "outlier", "one place", "a line"])
def test_ties_are_decided_as_in_float64(kind, gamma, replace, precision):
    rng = np.random.default_rng(6)
    x = {
        "duplicates": rng.normal(size=(50, 3)).repeat(30, axis=0),
        "lattice": rng.integers(-3, 4, size=(1500, 3)),
        "corners": rng.choice([-1, 1], size=(1500, 5)),
        "outlier": np.concatenate([rng.normal(size=(1499, 3)), [[1e7, 0, 0]]]),
        "one place": np.full((1500, 3), 0.1),
        "a line": np.arange(1500)[:, None] / 7,
    }[kind].astype(np.float64)
    for mean in (reference.kernel_mean(x[::9], x, gamma), np.full(1500, 0.25)):
        chosen = herd(x, mean, 70, gamma, replace=replace, precision=precision)
        assert chosen == in_float64(x, mean, 70, gamma, replace)
        if precision == _core.HerdingPrecision.float64:
            assert_herd(x, mean, chosen, gamma, replace)


@IN_EVERY_PRECISION
@pytest.mark.parametrize("scale", [1e-150, 1e-20, 1e20, 1e149])
def test_coordinates_beyond_what_float32_holds(scale, precision):
    """Where a bound can't be kept in float32, float64 is used; and gamma makes up for the scale as far as it goes."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=(400, 3))
    mean = reference.kernel_mean(x[:40] + 0.1, x, 0.5)
    for gamma in (0.5 * scale**-2, 0.5) if scale > 1e-149 else (1e300, 0.5):
        chosen = herd(x * scale, mean, 30, gamma, precision=precision)
        assert chosen == reference.herd(x * scale, mean, 30, gamma)


@IN_EVERY_PRECISION
@pytest.mark.parametrize("size", [5e-324, 1e-310, 1e-30, 1e5, 1e28, 1e150])
def test_means_of_any_size(size, precision):
    """Denormals; means beside which kernel values of at most 1 vanish; means beyond float32."""
    rng = np.random.default_rng(8)
    x = rng.normal(size=(700, 2))
    mean = np.round(rng.normal(size=700) * 8) * size
    for replace in (True, False):
        chosen = herd(x, mean, 30, 0.5, replace=replace, precision=precision)
        assert chosen == in_float64(x, mean, 30, 0.5, replace)
        assert chosen[0] == int(mean.argmax())
        assert_herd(x, mean, chosen, 0.5, replace)


@IN_EVERY_PRECISION
def test_more_steps_than_chosen_points_are_kept(precision):
    """2,097,152 coordinates of chosen points are kept: in 3,000 dimensions 688 of them."""
    rng = np.random.default_rng(9)
    x = rng.normal(size=(260, 3000))
    mean = reference.kernel_mean(x[:30] * 0.9, x, 1e-4)
    assert herd(x, mean, 900, 1e-4, precision=precision) == in_float64(x, mean, 900, 1e-4)


@IN_EVERY_PRECISION
def test_a_single_candidate_many_times(precision):
    assert herd([[3.0, 4.0]], [0.5], 1000, 1.0, precision=precision) == [0] * 1000


@pytest.mark.parametrize("dim", [1, 9])
def test_the_precision_changes_on_the_way_and_the_choices_do_not(dim):
    """Strangers of equal mean are all as good as each other: no bound tells them apart."""
    x = np.zeros((3000, dim))
    x[:, 0] = np.arange(3000) * 100
    mean = np.full(3000, 1 / 3000)
    assert kernels.herd(x, mean, n=100, gamma=1.0).tolist() == list(range(100))
    rng = np.random.default_rng(10)
    mean = mean * (1 + 1e-9 * rng.random(3000))
    assert kernels.herd(x, mean, n=100, gamma=1.0).tolist() == np.argsort(-mean)[:100].tolist()


@pytest.mark.parametrize("threads", [1, 4, 7])
@pytest.mark.parametrize("replace", [True, False])
def test_many_herdings_are_each_as_alone(threads, replace):
    """Ragged in all ways; the largest is shared by the threads, the others run side by side."""
    rng = np.random.default_rng(11)
    sets = [rng.normal(size=size) for size in ((9000, 7), (1, 1), (40, 2), (600, 5), (300, 3), (1100, 2))]
    means = [reference.kernel_mean(x[:20], x, 0.2) for x in sets]
    counts = [90, 1, 33, 50, 20, 1]
    many = kernels.herd_many(sets, means, n=counts, gamma=0.2, replace=replace, threads=threads)
    assert [chosen.dtype for chosen in many] == [np.int64] * 6
    for x, mean, n, chosen in zip(sets, means, counts, many, strict=True):
        assert chosen.tolist() == reference.herd(x, mean, n, 0.2, replace)


def test_many_herdings_of_the_same_candidates():
    rng = np.random.default_rng(12)
    x = rng.normal(size=(300, 3))
    means = np.stack([reference.kernel_mean(x[i : i + 9], x, 0.5) for i in range(7)])
    expected = [reference.herd(x, mean, 12, 0.5) for mean in means]
    for candidates in (x, [x] * 7, np.stack([x] * 7)):
        many = kernels.herd_many(candidates, means, n=12, gamma=0.5)
        assert [chosen.tolist() for chosen in many] == expected


X4, M4 = np.arange(8.0).reshape(4, 2), np.full(4, 0.25)


@pytest.mark.parametrize(
    ("candidates", "means", "n", "message"),
    [
        ([X4], [M4, M4], 2, r"candidates, means, n: .* 1, 2 and 2"),
        ([X4, X4], [M4, M4], [2], r"candidates, means, n: .* 2, 2 and 1"),
        ([X4, X4], [M4, M4[:3]], 2, r"means\[1\]: .*4 candidates, got 3"),
        ([X4, X4[0]], [M4, M4], 2, r"candidates\[1\]: .*2 dimensions"),
        ([X4, X4 * np.nan], [M4, M4], 2, r"candidates\[1\]: .*finite"),
        ([X4, X4], [M4, M4 * np.inf], 2, r"means\[1\]: .*finite"),
        ([X4, X4], [M4, M4], [2, 0], r"n\[1\]: .*positive integer, got 0"),
        ([X4, X4], [M4, M4], 5, r"n\[0\]: .*at most 4 .* got 5"),
        ([X4, X4], [M4, M4], "3", r"n: .*positive integer"),
        ([X4, X4], [M4, M4], None, r"n: .*positive integer"),
        ([], [], 2, r"means: .*at least one"),
        (X4, 0.5, 2, r"means: .*list"),
        (X4[0], [M4], 2, r"candidates"),
        (7.0, [M4], 2, r"candidates: .*list"),
    ],
)
def test_many_herdings_say_which_one_is_wrong(candidates, means, n, message):
    with pytest.raises(InvalidArgument, match="^" + message):
        kernels.herd_many(candidates, means, n=n, gamma=1.0, replace=False)


@pytest.mark.parametrize("replace", [True, False])
def test_herding_data_is_herding_by_its_own_embedding(replace):
    rng = np.random.default_rng(13)
    X = rng.normal(size=(500, 4)) * [1, 1, 1, 0.2] + 50
    chosen = kernels.herd_data(X, n=60, gamma=0.3, replace=replace)
    assert chosen.tolist() == reference.herd(X, reference.kernel_mean(X, X, 0.3), 60, 0.3, replace)


def test_rows_herded_from_data_follow_it_and_come_once():
    rng = np.random.default_rng(14)
    X = np.concatenate([rng.normal(size=(300, 3)), rng.normal(size=(100, 3)) + 3])
    chosen = kernels.herd_data(X, n=40, gamma=0.3)
    assert len(set(chosen.tolist())) == 40
    share = np.full(40, 1 / 40)
    ours = reference.mmd2_to_data(X[chosen], share, X, 0.3)
    at_random = [reference.mmd2_to_data(X[rng.choice(400, size=40)], share, X, 0.3) for _ in range(20)]
    assert ours < 0.2 * np.median(at_random)
    assert sorted(kernels.herd_data(X, n=400, gamma=0.3).tolist()) == list(range(400))


def test_no_more_rows_than_there_are():
    with pytest.raises(InvalidArgument, match=r"^n: .*3 \(the rows of X\).*4"):
        kernels.herd_data(np.zeros((3, 1)), n=4, gamma=1.0)
    assert kernels.herd_data(np.zeros((3, 1)), n=4, gamma=1.0, replace=True).tolist() == [0] * 4


@given(
    st.integers(1, 400),
    st.integers(1, 9),
    st.integers(0, 2**32),
    st.floats(-4, 3),
    st.booleans(),
    st.sampled_from(PRECISIONS),
    st.integers(1, 3),
)
def test_any_precision_chooses_what_float64_does(count, dim, seed, log_gamma, replace, precision, threads):
    rng = np.random.default_rng(seed)
    x = np.round(rng.normal(size=(count, dim)), int(rng.integers(0, 9))) + 10.0 ** rng.uniform(-2, 6)
    mean = rng.normal(size=count) * 10.0 ** rng.uniform(-9, 3)
    n = min(count, 40)
    chosen = herd(x, mean, n, 10.0**log_gamma, replace=replace, precision=precision, threads=threads)
    assert chosen == in_float64(x, mean, n, 10.0**log_gamma, replace)


@given(st.integers(1, 40), st.integers(1, 4), st.integers(0, 2**32), st.floats(-3, 2), st.booleans())
def test_any_candidates(count, dim, seed, log_gamma, replace):
    rng = np.random.default_rng(seed)
    x = np.round(rng.normal(size=(count, dim)), int(rng.integers(0, 4)))  # with repeated candidates
    mean = rng.normal(size=count) * 0.3
    gamma = 10.0**log_gamma
    chosen = kernels.herd(x, mean, n=min(count, 12), gamma=gamma, replace=replace)
    assert ((chosen >= 0) & (chosen < count)).all()
    assert_herd(x, mean, chosen, gamma, replace)
