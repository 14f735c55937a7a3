"""Mixtures from inner products: the three rules against themselves written out in Python."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reference
from learndock import _core, kernels

RULES = ("distance", "greedy", "auto")


def problem(rng, m, *, dim=2, gamma=0.3, spread=1.5):
    """gram, cross and self of m embeddings and a user near some of them."""
    points = [spread * rng.normal(size=dim) + rng.normal(size=(4, dim)) for _ in range(m)]
    weights = [rng.dirichlet(np.ones(4)) for _ in range(m)]
    of = rng.integers(m, size=3)
    user = np.concatenate([points[i] + 0.1 * rng.normal(size=(4, dim)) for i in of])
    share = np.full(len(user), 1 / len(user))
    gram = np.array(
        [[reference.inner(points[i], weights[i], points[j], weights[j], gamma) for j in range(m)] for i in range(m)]
    )
    cross = np.array([reference.inner(points[i], weights[i], user, share, gamma) for i in range(m)])
    return gram, cross, reference.inner(user, share, user, share, gamma)


def distances_of(gram, cross, self_inner):
    return np.maximum(np.diag(gram) - 2 * cross + self_inner, 0.0)


def by_distance(gram, cross, self_inner, size):
    """The `size` nearest, w_i ~ (1 + d_i / d_(5))^-4, d_(5) the fifth smallest, or the largest of fewer."""
    d = distances_of(gram, cross, self_inner)
    order = np.argsort(d, kind="stable")
    unit = d[order[:5][-1]]
    w = np.zeros(len(d))
    for i in order[:size]:
        w[i] = (1 + d[i] / unit) ** -4.0 if unit > 0 else float(d[i] == 0)
    return w / w.sum()


def solved(gram, cross, self_inner, members):
    """The best weights of some members, and their MMD^2."""
    sub, c = gram[np.ix_(members, members)], cross[members]
    w = np.zeros(len(cross))
    w[members] = reference.simplex_qp(sub, c)
    return w, reference.mixture_mmd2(gram, cross, self_inner, w)


def greedily(gram, cross, self_inner, size):
    """One at a time the candidate that lowers the MMD^2 most, until the gain is under 5 %.

    Also the smallest margin by which a choice was made, relative: where it is tiny another choice is as good.
    """
    members, current, margin = [], None, np.inf
    while len(members) < min(size, len(cross)):
        trials = {i: solved(gram, cross, self_inner, [*members, i]) for i in range(len(cross)) if i not in members}
        values = sorted(value for _, value in trials.values())
        best = min(trials, key=lambda i: (trials[i][1], i))
        if current is not None:
            margin = min(margin, abs(values[0] - 0.95 * current[1]))
            if values[0] > 0.95 * current[1]:
                break
        if len(values) > 1:
            margin = min(margin, values[1] - values[0])
        members.append(best)
        current = trials[best]
    return *current, margin


def by_heaviest(gram, cross, self_inner, size):
    """All at once; the heaviest while their weights sum to at most 0.98, at most `size`, re-solved."""
    full, _ = solved(gram, cross, self_inner, list(range(len(cross))))
    members, total = [], 0.0
    for i in np.argsort(-full, kind="stable"):
        total += full[i]
        if total > 0.98 or len(members) == size:
            break
        members.append(int(i))
    members = members or [int(np.argmax(full))]
    return solved(gram, cross, self_inner, members)


def assert_mixture(gram, cross, self_inner, weights, mmd2, size):
    assert weights.shape == cross.shape
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1, abs=1e-13)
    assert 1 <= np.count_nonzero(weights) <= size
    assert mmd2 == pytest.approx(reference.mixture_mmd2(gram, cross, self_inner, weights), abs=1e-13)


def test_rule_distance_by_hand():
    """Orthonormal candidates with <mu_i, mu_u> = c_i and <mu_u, mu_u> = 1 have d_i = 2 - 2 c_i.

    c = (1/2, 0, 3/4): d = (1, 2, 1/2). Fewer than five, so the unit is the largest, 2:
    w ~ (3/2)^-4, 2^-4, (5/4)^-4 = 16/81, 1/16, 256/625. With size 2 the last two by distance: 0 and 2.
    mmd2 = sum w^2 - 2 sum w c + 1.
    """
    cross = np.array([0.5, 0.0, 0.75])
    raw = np.array([16 / 81, 1 / 16, 256 / 625])
    for size, kept in ((20, raw), (3, raw), (2, raw * [1, 0, 1]), (1, raw * [0, 0, 1])):
        expected = kept / kept.sum()
        weights, mmd2 = kernels.mixture(np.eye(3), cross, 1.0, size=size)
        np.testing.assert_allclose(weights, expected, rtol=1e-14)
        assert mmd2 == pytest.approx((expected**2).sum() - 2 * expected @ cross + 1, rel=1e-13)


def test_the_unit_is_the_fifth_smallest_distance():
    """Seven orthonormal candidates, d_i = 2 - 2 c_i = 0.2, 0.4, ... 1.4 in mixed order: the unit is 1.0."""
    d = np.array([1.2, 0.4, 1.4, 0.2, 0.8, 1.0, 0.6])
    weights, _ = kernels.mixture(np.eye(7), 1 - d / 2, 1.0)
    raw = (1 + d / 1.0) ** -4
    np.testing.assert_allclose(weights, raw / raw.sum(), rtol=1e-12)


def test_rule_greedy_by_hand():
    """Orthonormal candidates, c = (0.5, 0.4, 0.1), <mu_u, mu_u> = 0.42 = 0.25 + 0.16 + 0.01.

    Alone: 1 - 2 c_i + 0.42: 0.42, 0.62, 1.22, so 0 comes first. With 1: w = (0.55, 0.45),
    mmd2 = 0.3025 + 0.2025 - 0.55 - 0.36 + 0.42 = 0.015. With 2 instead: w = (0.7, 0.3), 0.08 above. Then all three:
    w = c itself (sum 1), mmd2 = 0, a gain of 100 %.
    """
    cross = np.array([0.5, 0.4, 0.1])
    weights, mmd2 = kernels.mixture(np.eye(3), cross, 0.42, rule="greedy", size=1)
    assert weights.tolist() == [1, 0, 0]
    assert mmd2 == pytest.approx(0.42, rel=1e-14)
    weights, mmd2 = kernels.mixture(np.eye(3), cross, 0.42, rule="greedy", size=2)
    np.testing.assert_allclose(weights, [0.55, 0.45, 0], rtol=1e-13)
    assert mmd2 == pytest.approx(0.015, rel=1e-12)
    weights, mmd2 = kernels.mixture(np.eye(3), cross, 0.42, rule="greedy")
    np.testing.assert_allclose(weights, cross, rtol=1e-12)
    assert mmd2 == pytest.approx(0, abs=1e-14)


def test_rule_greedy_stops_at_a_gain_under_five_percent():
    """Alone 0 has mmd2 = 1 - 2 c_0 + s. With 1 at w = (1 - t, t), t = (1 - (c_0 - c_1)) / 2, it gains 2 t^2.

    c = (0.9, 0.1), t = 0.1: gains 0.02. With s = 1.2 it was 0.4: exactly 5 %; s a little less or more decides.
    """
    cross = np.array([0.9, 0.1])
    more, _ = kernels.mixture(np.eye(2), cross, 1.19, rule="greedy")
    assert np.count_nonzero(more) == 2
    less, _ = kernels.mixture(np.eye(2), cross, 1.21, rule="greedy")
    assert less.tolist() == [1, 0]


def test_rule_auto_by_hand():
    """Orthonormal candidates with c on the simplex: the full solution is c.

    c = (0.01, 0.6, 0.02, 0.37): heaviest first 0.6, 0.97, then 0.99 > 0.98, so two are kept and re-solved:
    w = c + (1 - 0.97) / 2.
    """
    cross = np.array([0.01, 0.6, 0.02, 0.37])
    weights, _ = kernels.mixture(np.eye(4), cross, 1.0, rule="auto")
    np.testing.assert_allclose(weights, [0, 0.615, 0, 0.385], rtol=1e-12)
    weights, _ = kernels.mixture(np.eye(4), cross, 1.0, rule="auto", size=1)
    assert weights.tolist() == [0, 1, 0, 0]


def test_rule_auto_keeps_one_that_holds_more_than_the_share():
    weights, _ = kernels.mixture(np.eye(2), [1.0, 0.01], 1.0, rule="auto")
    assert weights.tolist() == [1, 0]


@pytest.mark.parametrize("m", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("seed", range(12))
def test_all_rules_against_themselves_in_python(m, seed):
    rng = np.random.default_rng(100 * m + seed)
    gram, cross, self_inner = problem(rng, m)
    for size in (1, 2, m, 20):
        arguments = {"size": size}
        weights, mmd2 = kernels.mixture(gram, cross, self_inner, rule="distance", **arguments)
        assert_mixture(gram, cross, self_inner, weights, mmd2, size)
        np.testing.assert_allclose(weights, by_distance(gram, cross, self_inner, size), rtol=1e-10)

        weights, mmd2 = kernels.mixture(gram, cross, self_inner, rule="greedy", **arguments)
        assert_mixture(gram, cross, self_inner, weights, mmd2, size)
        expected, value, margin = greedily(gram, cross, self_inner, size)
        if margin > 1e-9:
            assert mmd2 == pytest.approx(value, abs=1e-10)
            np.testing.assert_allclose(weights, expected, atol=1e-4)

        weights, mmd2 = kernels.mixture(gram, cross, self_inner, rule="auto", **arguments)
        assert_mixture(gram, cross, self_inner, weights, mmd2, size)
        assert mmd2 == pytest.approx(by_heaviest(gram, cross, self_inner, size)[1], abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_greedy_among_25_against_itself_in_python(seed):
    rng = np.random.default_rng(seed)
    gram, cross, self_inner = problem(rng, 25, dim=3)
    weights, mmd2 = kernels.mixture(gram, cross, self_inner, rule="greedy", size=3)
    expected, value, margin = greedily(gram, cross, self_inner, 3)
    assert margin > 1e-9
    assert mmd2 == pytest.approx(value, abs=1e-12)
    np.testing.assert_allclose(weights, expected, atol=1e-6)


def test_greedy_is_never_worse_with_more_room_and_never_worse_than_one():
    rng = np.random.default_rng(0)
    for _ in range(20):
        gram, cross, self_inner = problem(rng, 12)
        singles = distances_of(gram, cross, self_inner)
        values = [kernels.mixture(gram, cross, self_inner, rule="greedy", size=size)[1] for size in (1, 2, 3, 6, 12)]
        assert values[0] == pytest.approx(singles.min(), abs=1e-13)
        assert (np.diff(values) <= 1e-12).all()


@pytest.mark.parametrize("rule", RULES)
def test_a_perfect_match_takes_the_weight(rule):
    """The user is candidate 2 itself: distance 0. The others are strangers."""
    gram = np.eye(6)
    cross = np.zeros(6)
    cross[2] = 1.0
    weights, mmd2 = kernels.mixture(gram, cross, 1.0, rule=rule)
    assert weights.argmax() == 2
    if rule != "distance":
        assert weights.tolist() == [0, 0, 1, 0, 0, 0]
        assert mmd2 == pytest.approx(0, abs=1e-14)


@pytest.mark.parametrize("rule", RULES)
def test_all_distances_zero(rule):
    """Seven copies of the user: any weights are right, none is NaN."""
    gram = np.full((7, 7), 0.5)
    weights, mmd2 = kernels.mixture(gram, np.full(7, 0.5), 0.5, rule=rule, size=3)
    assert_mixture(gram, np.full(7, 0.5), 0.5, weights, mmd2, 3)
    assert mmd2 == pytest.approx(0, abs=1e-15)


def test_perfect_matches_share_where_the_fifth_is_one():
    """Five at distance 0, two at 1: the unit is 0, so the five share."""
    gram = np.full((7, 7), 1.0)
    gram[5:] = gram[:, 5:] = 0.5
    gram[5, 5] = gram[6, 6] = 1.0
    cross = np.array([1.0] * 5 + [0.5] * 2)
    weights, mmd2 = kernels.mixture(gram, cross, 1.0)
    np.testing.assert_allclose(weights, [0.2] * 5 + [0] * 2, rtol=1e-15)
    assert mmd2 == pytest.approx(0, abs=1e-15)


def test_a_distance_a_little_below_zero_counts_as_zero():
    """Rounding can leave ||mu_i - mu_u||^2 at -1e-17; weights must stay shares."""
    gram = np.full((3, 3), 0.1)
    cross = np.array([0.1 + 1e-17, 0.1 + 4e-17, 0.1 + 1e-16])
    weights, _ = kernels.mixture(gram, cross, 0.1 - 1e-17)
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1, abs=1e-15)


def test_a_tiny_unit_beside_huge_distances():
    gram = np.diag([1e-300, 1.0, 1.0, 1e-300, 1e-300, 1e-300, 1e-300])
    weights, mmd2 = kernels.mixture(gram, np.zeros(7), 0.0)
    np.testing.assert_allclose(weights, [0.2, 0, 0, 0.2, 0.2, 0.2, 0.2], atol=1e-15)
    assert np.isfinite(mmd2)


@pytest.mark.parametrize("rule", RULES)
def test_equal_candidates_tie_to_the_lower_index(rule):
    gram = np.full((5, 5), 1.0)
    weights, _ = kernels.mixture(gram, np.full(5, 0.5), 1.0, rule=rule, size=1)
    assert weights.tolist() == [1, 0, 0, 0, 0]


@pytest.mark.parametrize("rule", RULES)
def test_batches_equal_singles_for_any_number_of_threads(rule):
    rng = np.random.default_rng(1)
    problems = [problem(rng, 9) for _ in range(13)]
    gram, cross, self_inner = (np.stack(part) for part in zip(*problems, strict=True))
    weights, values = kernels.mixture(gram, cross, self_inner, rule=rule, size=4, threads=1)
    assert weights.shape == (13, 9)
    assert values.shape == (13,)
    for u in range(13):
        single, value = kernels.mixture(*problems[u], rule=rule, size=4)
        assert isinstance(value, float)
        assert single.tobytes() == weights[u].tobytes()
        assert value == values[u]
    for threads in (4, 7):
        again = kernels.mixture(gram, cross, self_inner, rule=rule, size=4, threads=threads)
        assert again[0].tobytes() == weights.tobytes()
        assert again[1].tobytes() == values.tobytes()


_SIZES = (1, 5, 16, 17, 33, 3, 40, 31, 2)


# Sizes on and off the tiles: candidates that all users share, those that they share in part, and so many points that a
# user's work is shared out among the threads.
@pytest.mark.parametrize("sizes", [_SIZES, _SIZES * 3, (700, 650, 601, 17, 640, 655, 660, 630, 690, 720, 660, 675)])
@pytest.mark.parametrize("rule", RULES)
def test_mixtures_of_stored_embeddings_do_not_depend_on_threads_or_batch(rule, sizes):
    rng = np.random.default_rng(3)
    dim, gamma, m, size = 3, 0.4, len(_SIZES), 4
    # Two segments, and users who see the candidates in orders of their own.
    stored = [(rng.normal(size=(n, dim)) + 0.7 * rng.normal(size=dim), rng.dirichlet(np.ones(n))) for n in sizes]
    cuts = [stored[:4], stored[4:]]
    packed = [kernels.pack([z for z, _ in part], [w for _, w in part]) for part in cuts]
    stored = [(np.float32(z), np.float32(w)) for z, w in stored]
    gram = np.array([[reference.inner(*p, *q, gamma) for q in stored] for p in stored])
    users = 14
    shares = rng.dirichlet(np.full(len(sizes), 0.3), size=users)
    at = np.array([rng.permutation(len(sizes))[:m] for _ in range(users)])
    rows = np.arange(users)[:, None]
    cross = 0.98 * (shares @ gram)[rows, at]
    self_inner = np.einsum("ui,uj,ij->u", shares, shares, gram)

    def search(who, threads):
        return _core.search_mixtures(
            _core.EmbeddingSet([(each.tiles, each.weights, each.offsets) for each in packed]),
            at[who],
            cross[who],
            np.diagonal(gram)[at[who]],
            self_inner[who],
            gamma,
            _core.MixtureRule[rule],
            size,
            threads,
        )

    weights, mmd2 = search(slice(None), 1)
    grams = gram[at[:, :, None], at[:, None, :]]
    expected, values = kernels.mixture(grams, cross, self_inner, rule=rule, size=size)
    np.testing.assert_array_equal(weights > 0, expected > 0)
    np.testing.assert_allclose(weights, expected, atol=1e-9)
    np.testing.assert_allclose(mmd2, values, atol=1e-13)
    for threads in (2, 3):
        for again, first in zip(search(slice(None), threads), (weights, mmd2), strict=True):
            np.testing.assert_array_equal(again, first)
    for who in (slice(0, 1), slice(3, 6)):
        for alone, first in zip(search(who, 2), (weights, mmd2), strict=True):
            np.testing.assert_array_equal(alone, first[who])


@pytest.mark.parametrize("rule", ["greedy", "auto"])
@pytest.mark.parametrize("users", [1, 40])
def test_twins_among_stored_embeddings_tie_to_the_first(users, rule):
    """Twins have the same products with all others to the bit, wherever they lie and whoever asks."""
    rng = np.random.default_rng(4)
    dim, gamma, kinds = 3, 0.4, 7
    sizes = rng.integers(1, 40, size=kinds)
    stored = [(rng.normal(size=(n, dim)) + 0.5 * rng.normal(size=dim), rng.dirichlet(np.ones(n))) for n in sizes]
    kind = np.concatenate([np.arange(kinds), rng.permutation(kinds)])  # each twice, far apart and off the tiles alike
    packed = kernels.pack([stored[i][0] for i in kind], [stored[i][1] for i in kind])
    rounded = [(np.float32(z), np.float32(w)) for z, w in stored]
    gram = np.array([[reference.inner(*p, *q, gamma) for q in rounded] for p in rounded])
    self_inner = packed.self_inner(gamma=gamma)
    shares = rng.dirichlet(np.full(kinds, 0.5), size=users)
    at = np.array([rng.permutation(2 * kinds) for _ in range(users)])
    weights, _ = _core.search_mixtures(
        _core.EmbeddingSet([(packed.tiles, packed.weights, packed.offsets)]),
        at,
        (shares @ gram)[np.arange(users)[:, None], kind[at]],
        self_inner[at],
        np.einsum("ui,uj,ij->u", shares, shares, gram) + 0.01,
        gamma,
        _core.MixtureRule[rule],
        5,
        1,
    )
    for kinds_seen, weight in zip(kind[at], weights, strict=True):
        first = np.unique(kinds_seen, return_index=True)[1]
        assert np.count_nonzero(weight) > 1
        if rule == "greedy":
            assert np.isin(np.flatnonzero(weight), first).all()
        else:  # whose programme of all may take both
            assert np.isin(np.flatnonzero(weight), first).any()


@pytest.mark.parametrize("rule", ["greedy", "auto"])
def test_golden_mixtures(golden, rule):
    """Over the 25 best single matches, at most five members: no worse than the reference package's + 1e-9."""
    arrays = np.load(golden / "search.npz")
    for case in json.loads((golden / "search.json").read_text()):
        market, gamma, best = case["market"], case["gamma"], [int(i) for i in case["ranking"][:25]]
        batch = [(arrays[f"m{market}_z{i}"], arrays[f"m{market}_beta{i}"]) for i in best]
        user = arrays[f"m{market}_user{case['user']}_z"], arrays[f"m{market}_user{case['user']}_beta"]
        stacked = np.concatenate([z for z, _ in batch]), np.concatenate([beta for _, beta in batch])
        starts = np.cumsum([0, *(len(z) for z, _ in batch)])
        gram = kernels.inner(*stacked, *stacked, gamma=gamma, offsets=starts, other_offsets=starts)
        cross = kernels.inner(*stacked, *user, gamma=gamma, offsets=starts)[:, 0]
        self_inner = kernels.inner(*user, *user, gamma=gamma)
        # Sums in another order than its twin's: symmetric but for rounding.
        np.testing.assert_allclose(gram, gram.T, rtol=1e-13)
        np.testing.assert_allclose(distances_of(gram, cross, self_inner), case["mmd2"][:25], rtol=0, atol=1e-9)
        weights, mmd2 = kernels.mixture(gram, cross, self_inner, rule=rule, size=5)
        assert_mixture(gram, cross, self_inner, weights, mmd2, 5)
        expected = case[rule]["mmd2"]
        assert mmd2 <= expected + 1e-9, (market, case["user"], mmd2, expected)


@given(st.integers(1, 8), st.integers(1, 10), st.integers(0, 2**32), st.sampled_from(RULES), st.floats(0.01, 10))
def test_any_candidates_give_shares(m, size, seed, rule, spread):
    rng = np.random.default_rng(seed)
    gram, cross, self_inner = problem(rng, m, spread=spread)
    if rng.random() < 0.3:  # repeated candidates: a singular matrix
        twice = rng.integers(m, size=m)
        gram, cross = gram[np.ix_(twice, twice)], cross[twice]
    weights, mmd2 = kernels.mixture(gram, cross, self_inner, rule=rule, size=size)
    assert_mixture(gram, cross, self_inner, weights, mmd2, size)
    if rule == "greedy":
        assert mmd2 <= distances_of(gram, cross, self_inner).min() + 1e-12
