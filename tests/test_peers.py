"""What follows from losses of models on each other's sketches: weights, trimmed means, losses, and the alarm."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import reference
from learndock import kernels
from learndock.errors import LearnwareError
from learndock.learnware.meaning import OutputMeaning
from learndock.peers import (
    NEAREST,
    Evidence,
    capped_shares,
    distance_weights,
    point_losses,
    reliability,
    reviewable,
    truth_of,
)
from learndock.peers.evidence import TRIMMED, trimmed_means
from learndock.peers.losses import weighted_mean, weighted_moments
from learndock.peers.reliability import missed_variance
from learndock.peers.weights import LARGEST_SHARE


@pytest.fixture(autouse=True)
def _no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


# Weights


@pytest.mark.parametrize("count", [1, 2, 4, 5, 6, 19, 20, 21, 40])
def test_distance_weights_are_those_of_the_mixture(count):
    rng = np.random.default_rng(count)
    points = rng.normal(size=(count, 2))
    user = np.zeros((1, 2))
    cross = reference.kernel(points, user, 0.1)[:, 0]
    gram = reference.kernel(points, points, 0.1)
    expected, _ = kernels.mixture(gram, cross, 1.0, rule="distance", size=NEAREST)
    np.testing.assert_allclose(distance_weights(2 - 2 * cross), expected, rtol=1e-9, atol=1e-15)


def test_distance_weights_leave_out_what_is_infinite():
    weights = distance_weights(np.array([np.inf, 1.0, np.inf, 2.0]))
    assert weights[[0, 2]].tolist() == [0, 0]
    assert weights[1] / weights[3] == pytest.approx((1 + 1 / 2) ** -4 / 2**-4)
    assert not distance_weights(np.full(3, np.inf)).any()
    assert distance_weights(np.empty(0)).shape == (0,)


def test_distance_weights_of_those_at_no_distance():
    # Five at the user's: the unit is 0, and nobody else counts. Rounding may make a distance negative.
    weights = distance_weights(np.array([0.0, 0.5, 0.0, -1e-17, 0.0, 0.0]))
    assert weights.tolist() == [0.2, 0.0, 0.2, 0.2, 0.2, 0.2]


OWNED = st.lists(
    st.tuples(st.one_of(st.just(0.0), st.floats(1e-9, 1.0)), st.one_of(st.none(), st.sampled_from("abcdefgh"))),
    min_size=1,
    max_size=30,
).filter(lambda entries: any(weight > 0 for weight, _ in entries))


def held_by_owner(shares, owners):
    held = {}
    for i, (share, owner) in enumerate(zip(shares, owners, strict=True)):
        key = i if owner is None else owner
        held[key] = held.get(key, 0.0) + share
    return held


@given(OWNED)
def test_no_owner_has_more_than_a_fifth_where_there_are_five(entries):
    weights = np.array([weight for weight, _ in entries])
    owners = [owner for _, owner in entries]
    shares = capped_shares(weights, owners)
    before, after = held_by_owner(weights / weights.sum(), owners), held_by_owner(shares, owners)
    assert shares.sum() == pytest.approx(1, abs=1e-9)
    assert (shares >= 0).all()
    assert not shares[weights == 0].any()
    if sum(part > 1e-12 for part in before.values()) >= 5:
        assert max(after.values()) <= LARGEST_SHARE + 1e-9
    for owner, part in after.items():
        # Nobody is raised above a fifth by what is taken from others.
        assert part <= max(before[owner], LARGEST_SHARE) + 1e-9
        # Of an owner's own, none is preferred.
        own = [i for i, name in enumerate(owners) if (i if name is None else name) == owner]
        if before[owner] > 1e-12:
            np.testing.assert_allclose(shares[own] / part, weights[own] / weights[own].sum(), atol=1e-9)


def test_shares_below_the_cap_stay_as_they_are():
    weights = np.array([3.0, 1.0, 2.0, 2.0, 2.0])
    assert capped_shares(weights, [None] * 5, most=0.4).tolist() == (weights / 10).tolist()


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        # Five and more: to the others in proportion, until one of them reaches a fifth itself.
        ({"a": 0.5, "b": 0.15, "c": 0.15, "d": 0.1, "e": 0.1}, [0.2, 0.2, 0.2, 0.2, 0.2]),
        ({"a": 0.4, "b": 0.12, "c": 0.12, "d": 0.12, "e": 0.12, "f": 0.12}, [0.2, 0.16, 0.16, 0.16, 0.16, 0.16]),
        # Fewer: a stranger beside the house is not raised to its equal.
        ({"a": 1.0}, [1.0]),
        ({"a": 0.95, "b": 0.05}, [0.8, 0.2]),
        ({"a": 0.6, "b": 0.4}, [0.6, 0.4]),
        ({"a": 0.7, "b": 0.1, "c": 0.1, "d": 0.1}, [0.4, 0.2, 0.2, 0.2]),
        ({"a": 0.75, "b": 0.21, "c": 0.04}, [0.59, 0.21, 0.2]),
    ],
)
def test_what_is_taken_from_an_owner_goes_to_the_others(parts, expected):
    np.testing.assert_allclose(capped_shares(np.array(list(parts.values())), list(parts)), expected, atol=1e-12)


def test_unknown_owners_are_each_one_of_their_own():
    shares = capped_shares(np.array([0.3, 0.3, 0.1, 0.1, 0.1, 0.1]), [None, None, "a", "b", "c", "d"])
    np.testing.assert_allclose(shares, [0.2, 0.2, 0.15, 0.15, 0.15, 0.15])
    # One who is called as an entry without an owner would be is somebody else.
    np.testing.assert_allclose(capped_shares(np.ones(2) / 2, [None, "?0"]), [0.5, 0.5])


# Trimmed means


def trimmed_mean(values, shares, trimmed):
    """The mean of what lies between two quantiles of a step function, in a thousand steps."""
    known = [(value, share) for value, share in zip(values, shares, strict=True) if not np.isnan(value) and share > 0]
    total = sum(share for _, share in known)
    if not known:
        return np.nan
    start, mean = 0.0, 0.0
    for value, share in sorted(known):
        end = start + share / total
        mean += value * max(0.0, min(end, 1 - trimmed) - max(start, trimmed))
        start = end
    return mean / (1 - 2 * trimmed)


VALUES = hnp.arrays(
    np.float64, st.tuples(st.integers(1, 5), st.just(7)), elements=st.one_of(st.just(np.nan), st.floats(0, 1e6))
)


@given(VALUES, hnp.arrays(np.float64, 7, elements=st.one_of(st.just(0.0), st.floats(1e-3, 1))), st.floats(0, 0.45))
def test_trimmed_means_are_those_between_the_quantiles(values, shares, trimmed):
    means, kept = trimmed_means(values, shares, trimmed)
    expected = [trimmed_mean(row, shares, trimmed) for row in values]
    np.testing.assert_allclose(means, expected, rtol=1e-9, atol=1e-9)
    assert ((kept >= 0) & (kept <= 1 + 1e-12)).all()
    assert not kept[np.isnan(values)].any()
    for row, parts in zip(values, kept, strict=True):
        there = np.where(np.isnan(row), 0.0, shares)
        assert (parts * there).sum() == pytest.approx((1 - 2 * trimmed) * there.sum(), abs=1e-9)


def test_a_trimmed_mean_of_one_value_is_that_value():
    means, kept = trimmed_means(np.array([[7.0, 1e9, np.nan]]), np.array([1.0, 0.0, 3.0]))
    assert means.tolist() == [7.0]
    assert kept.tolist() == [[1 - 2 * TRIMMED, 0.0, 0.0]]


def test_a_quarter_of_the_shares_moves_a_trimmed_mean_no_farther_than_the_others_lie():
    values = np.array([[1.0, 2.0, 3.0, 1e30]])
    means, kept = trimmed_means(values, np.full(4, 0.25))
    assert means.tolist() == [2.5]
    assert kept.tolist() == [[0.0, 1.0, 1.0, 0.0]]


# Evidence


def test_predicted_losses_and_trust_are_the_formula():
    rng = np.random.default_rng(0)
    losses = rng.uniform(size=(6, 6))
    np.fill_diagonal(losses, np.nan)
    weights = rng.uniform(size=6)
    evidence = Evidence(weights, losses, [None] * 6)
    shares = capped_shares(weights, [None] * 6)
    np.testing.assert_allclose(evidence.shares, shares)
    np.testing.assert_allclose(evidence.predicted, [trimmed_mean(row, shares, TRIMMED) for row in losses])
    kept = trimmed_means(losses, shares)[1]
    votes = np.where(np.eye(6, dtype=bool), np.nan, kept).T
    expected = [shares[j] * trimmed_mean(votes[j], np.ones(6), TRIMMED) for j in range(6)]
    np.testing.assert_allclose(evidence.trust, expected)


def test_of_a_model_that_was_tried_nowhere_nothing_is_predicted():
    losses = np.array([[np.nan, 1.0], [np.nan, np.nan], [2.0, np.nan]])
    evidence = Evidence(np.array([0.5, 0.5]), losses, [None, None])
    assert evidence.predicted.tolist()[::2] == [1.0, 2.0]
    assert np.isnan(evidence.predicted[1])
    assert np.isfinite(evidence.trust).all()


def test_a_submitter_of_a_fifth_of_the_models_changes_no_rank_by_what_he_says():
    rng = np.random.default_rng(1)
    quality = np.arange(1.0, 9.0)
    honest = quality[:, None] * rng.uniform(0.8, 1.2, size=(8, 8))
    np.fill_diagonal(honest, np.nan)
    # On his sketches half of the others are the best and half the worst; his own models agree with each other alone.
    losses = np.full((10, 10), 1e12)
    losses[:8, :8] = honest
    losses[:8:2, 8:] = 0.0
    losses[8:, 8:] = [[np.nan, 0.0], [0.0, np.nan]]
    weights = np.full(10, 0.1)
    owners = [*"abcdefgh", "hostile", "hostile"]
    alone = Evidence(weights[:8], honest, owners[:8]).predicted
    evidence = Evidence(weights, losses, owners)
    # What is left of the others' losses moves, but stays among them.
    assert (evidence.predicted[:8] >= np.nanmin(honest, axis=1)).all()
    assert (evidence.predicted[:8] <= np.nanmax(honest, axis=1)).all()
    assert np.argsort(evidence.predicted[:8]).tolist() == np.argsort(alone).tolist()
    assert evidence.predicted[8:].min() > 1e9
    assert not evidence.trust[8:].any()
    assert evidence.trust[:8].sum() > 0.3


# Losses at points


CLASSES = OutputMeaning.described("Classification", ["b", "a", "c"])


def test_losses_do_not_depend_on_the_order_of_classes():
    p = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]])
    q = np.array([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]])
    other = OutputMeaning.described("Classification", ["c", "b", "a"])
    assert other.key == CLASSES.key
    truth = truth_of("q", q[:, [2, 0, 1]], other)
    losses = point_losses(truth_of("p", p, CLASSES), truth, CLASSES)
    np.testing.assert_allclose(losses, ((p - q) ** 2).sum(axis=1))
    np.testing.assert_allclose(truth, q[:, [1, 0, 2]])  # a, b, c


def test_logits_become_probabilities_and_numbers_of_classes_become_one():
    logits = np.array([[2.0, -1.0, 0.5], [0.0, 0.0, 3.0]])
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(truth_of("m", logits, CLASSES), expected[:, [1, 0, 2]])
    for labels in (np.array([0, 2]), np.array([0.0, 2.0]), np.array([[0], [2]])):
        assert truth_of("m", labels, CLASSES).tolist() == [[0, 1, 0], [0, 0, 1]]
    yes = OutputMeaning.described("Classification", ["no", "yes"])
    assert truth_of("m", np.array([True, False]), yes).tolist() == [[0, 1], [1, 0]]


def test_classes_without_names_keep_their_places():
    nameless = OutputMeaning("Classification", None, None, 2)
    assert truth_of("m", np.array([[0.25, 0.75]]), nameless).tolist() == [[0.25, 0.75]]


def test_losses_of_several_targets_are_the_mean_in_any_order():
    one = OutputMeaning.described("Regression", ["t", "h"])
    other = OutputMeaning.described("Regression", ["h", "t"])
    f, g = np.array([[1.0, 10.0]]), np.array([[4.0, 12.0]])
    assert point_losses(truth_of("f", f, one), truth_of("g", g[:, ::-1], other), one).tolist() == [(9 + 4) / 2]
    single = OutputMeaning.described("Regression", ["t"])
    assert truth_of("f", np.array([3, 4]), single).tolist() == [[3.0], [4.0]]
    assert point_losses(np.array([[3.0]]), np.array([[5.0]]), single).tolist() == [4.0]


@pytest.mark.parametrize(
    ("output", "meaning", "said"),
    [
        (np.array([np.nan, 1.0]), OutputMeaning.described("Regression", ["t"]), "NaN or infinity"),
        (np.array(["a", "b"]), CLASSES, "numbers, got predictions of dtype <U1"),
        (np.array([0, 3]), CLASSES, "the integers 0 to 2"),
        (np.array([0, -1]), CLASSES, "the integers 0 to 2"),
        (np.array([0.5, 1.0]), CLASSES, "the integers 0 to 2"),
        (np.zeros((2, 2)), CLASSES, r"3 columns, got predictions of shape \(2, 2\)"),
        (np.zeros((2, 2)), OutputMeaning.described("Regression", ["t"]), "1 columns"),
        (np.zeros(2), OutputMeaning.described("Regression", ["t", "h"]), "2 columns"),
        (np.zeros((2, 2, 2)), OutputMeaning.described("Regression", ["t", "h"]), "2 columns"),
        (np.zeros((2, 1), complex), OutputMeaning.described("Regression", ["t"]), "complex128"),
    ],
)
def test_what_cannot_be_compared_is_an_error_that_names_the_model(output, meaning, said):
    with pytest.raises(LearnwareError, match=f"^the model: expected .*{said}"):
        truth_of("the model", output, meaning)


def test_only_classes_and_numbers_are_reviewable():
    assert reviewable(CLASSES)
    assert reviewable(OutputMeaning("Regression", None, None, 1))
    assert not reviewable(OutputMeaning("Regression", None, None, None))
    assert not reviewable(OutputMeaning("Feature Extraction", None, None, 8))
    assert not reviewable(OutputMeaning(None, None, None, 2))


def test_moments_are_under_the_positive_weights():
    losses, weights = np.array([1.0, 3.0, 100.0]), np.array([0.75, 0.25, -0.5])
    assert weighted_moments(losses, weights) == (1.5, 0.75)
    assert weighted_mean(losses[:, None], weights).tolist() == [1.5]
    assert weighted_moments(losses, np.array([-1.0, 0.0, 0.0]))[0] == pytest.approx(104 / 3)


# Whether inputs identify the model


def tried(models, sketches):
    """Means and variances of the losses of functions on points, the j-th function's outputs as the truth at the j-th
    sketch; and the variance of what each says at home."""
    count = len(models)
    means, variances = np.full((2, count, count), np.nan)
    for j, points in enumerate(sketches):
        for i in set(range(count)) - {j}:
            lost = (models[i](points) - models[j](points)) ** 2
            means[i, j], variances[i, j] = lost.mean(), lost.var()
    return means, variances, np.array([model(points).var() for model, points in zip(models, sketches, strict=True)])


def sites(count, *, apart, seed=0):
    rng = np.random.default_rng(seed)
    centres = np.linspace(0, apart, count)
    return centres, [rng.normal(loc=[centre, 0], size=(60, 2)) for centre in centres]


def distances(sketches, gamma=0.2):
    equal = np.full(60, 1 / 60)
    return np.array([[reference.mmd2((a, equal), (b, equal), gamma) for b in sketches] for a in sketches])


def judged(models, sketches):
    means, variances, said = tried(models, sketches)
    disagreement = float(np.nanmean(means) / said.mean())
    return reliability(means, variances, distances(sketches), points=60, disagreement=disagreement)


@pytest.mark.parametrize("seed", range(4))
def test_the_alarm_is_raised_where_the_same_inputs_go_with_other_functions(seed):
    rng = np.random.default_rng(seed)
    _, sketches = sites(12, apart=0.2, seed=seed)
    slopes = rng.normal(size=(12, 2))
    models = [lambda x, w=w, phase=phase: x @ w + 0.3 * np.sin(40 * x[:, 0] + phase) for phase, w in enumerate(slopes)]
    found = judged(models, sketches)
    assert found.alarm
    assert 0 < found.kappa < 10
    assert found.message.startswith("the inputs do not identify the model: give 10 labelled rows")


@pytest.mark.parametrize("seed", range(4))
def test_no_alarm_where_sites_share_a_concept(seed):
    # All know the common function; each errs in its own way, some more and some less.
    _, sketches = sites(12, apart=2.0, seed=seed)
    rng = np.random.default_rng(seed)

    def site(error, waves):
        return lambda x: np.sin(x[:, 0]) + x[:, 1] + error * np.sin(x @ waves)

    found = judged([site(rng.uniform(0.2, 0.8), rng.normal(size=2) * 40) for _ in range(12)], sketches)
    assert not found.alarm
    assert found.kappa > 10
    assert "as much about which model is right" in found.message


def test_models_that_say_the_same_need_not_be_told_apart():
    _, sketches = sites(8, apart=1.0)
    rng = np.random.default_rng(0)
    twins = [lambda x, e=e: x.sum(axis=1) + e * x[:, 0] for e in 0.01 * rng.normal(size=8)]
    found = judged(twins, sketches)
    assert not found.alarm
    assert found.kappa < 10
    assert "say nearly the same" in found.message


def test_too_few_models_are_no_ground_for_an_alarm():
    for count in (0, 1, 2, 4):
        losses = np.ones((count, count))
        found = reliability(losses, losses, losses, points=50)
        assert (found.kappa, found.alarm) == (None, False)
        assert "Dock.peer_review" in found.message


def strange_cases():
    rng = np.random.default_rng(0)
    base = rng.uniform(0.5, 2, size=(10, 10))
    zero = np.zeros((10, 10))
    some_nan = np.where(rng.uniform(size=(10, 10)) < 0.4, np.nan, base)
    huge = base.copy()
    huge[2] = 3e38
    huge[:, 3] = 3e38
    twins = base.copy()
    twins[:6, :6] = 0
    tiny = base * 1e-300
    return {
        "constant": (np.ones((10, 10)), zero),
        "all the same": (zero, zero),
        "mostly twins": (twins, twins**2),
        "some unknown": (some_nan, some_nan**2),
        "nothing known": (np.full((10, 10), np.nan), np.full((10, 10), np.nan)),
        "hostile": (huge, huge**2),
        "tiny": (tiny, tiny * 1e-10),
    }


@pytest.mark.parametrize(("losses", "variances"), strange_cases().values(), ids=strange_cases())
@pytest.mark.parametrize("far", [False, True])
def test_strange_losses_give_a_number_or_none(losses, variances, far):
    losses = losses.copy()
    np.fill_diagonal(losses, np.nan)
    variances = np.where(np.isnan(losses), np.nan, variances)
    mmd2 = np.full((10, 10), np.nan) if far else distances(sites(10, apart=3.0)[1])
    found = reliability(losses, variances, mmd2, points=100)
    assert found.kappa is None or np.isfinite(found.kappa)
    assert found.message
    missed = missed_variance(losses, mmd2)
    assert missed is None or np.isfinite(missed)


def test_models_that_all_say_the_same_raise_no_alarm():
    zero = np.zeros((10, 10))
    found = reliability(zero, zero, np.ones((10, 10)), points=100)
    assert not found.alarm


def test_kappa_does_not_depend_on_the_unit_of_the_target():
    rng = np.random.default_rng(2)
    losses = rng.uniform(0.5, 2, size=(8, 8))
    mmd2 = distances(sites(8, apart=3.0)[1])
    one = reliability(losses, losses**2, mmd2, points=100).kappa
    assert reliability(losses * 1e12, losses**2 * 1e24, mmd2, points=100).kappa == pytest.approx(one, rel=1e-9)
