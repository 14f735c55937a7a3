"""Learnwares weighted row by row: the formulas, scikit-learn's conventions, and what a few labels change."""

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.model_selection import cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import learndock as ld
import reference
from filled_docks import described
from learndock.dock import Hit, Mixture, SearchResult
from learndock.errors import InvalidArgument, LearnwareError, SpecificationMismatch, UnreviewedWarning
from learndock.peers import Evidence, PeerRecord, distance_weights
from learndock.reuse import LocalCompetence
from reviewed_docks import GAMMA, classification, concept, regression, rows_of, sketch

COUNT = 8
OFF = [0.25, 0.45, 0.28, 0.38, 0.3, 0.5, 0.33, 0.42]


class Local:
    """A function with what a learnware of a dock has."""

    def __init__(self, function, *, site=0, id=None, spec=None, semantic=None, peers=None):
        self.function = function
        self.specification = sketch(site) if spec is None else spec
        self.id = id
        self.semantic = regression() if semantic is None else semantic
        self.peers = peers
        self.asked = 0

    def predict(self, X):
        self.asked += 1
        return self.function(np.asarray(X))


def reviewed(models, *, classes=False):
    """Give each the record that a peer review would: losses against the others' outputs."""
    for i, model in enumerate(models):
        model.id = f"{i:08d}"
    for i, model in enumerate(models):
        losses = {}
        for other in models[:i] + models[i + 1 :]:
            points = other.specification.raw_points
            squared = (model.function(points) - other.function(points)) ** 2
            if squared.ndim == 2:
                squared = squared.sum(axis=1) if classes else squared.mean(axis=1)
            losses[other.id] = squared
        model.peers = PeerRecord(losses, f"owner {i}")
    return models


def found(models, user):
    """The mixture that a dock of these would give."""
    weights = distance_weights(np.array([user.mmd2(model.specification) for model in models]))
    order = np.argsort(-weights, kind="stable")
    return Mixture(tuple(models[i].id or str(i) for i in order), tuple(weights[order].tolist()), 0.0)


def wave(site, error):
    direction = np.random.default_rng([7, site]).normal(size=2) * 9
    return lambda X: concept(X) + error * np.sin(X @ direction)


@pytest.fixture
def models():
    """Eight sites that share a concept."""
    return reviewed([Local(wave(site, error), site=site) for site, error in enumerate(OFF)])


@pytest.fixture
def reuser(models):
    return LocalCompetence(found(models, sketch(3)), models)


def strangers(count=10, *, noise=0.1, seed=0):
    """Models of the same inputs and of different functions."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(count):
        slope, waves = rng.normal(size=2), rng.normal(size=2) * 9
        spec = ld.RKMETableSpecification.fit(rows_of(0, seed=100 + i), gamma=GAMMA, n_points=40, random_state=0)
        made.append(Local(lambda X, w=slope, k=waves: X @ w + noise * np.sin(X @ k), spec=spec))
    return reviewed(made)


X = rows_of(3, rows=300, seed=5)


# The formulas


def plain_weights(models, v, X, shift=None):
    """pi_i(x), row by row, in plain NumPy."""
    count = len(models)
    specs = [model.specification for model in models]
    e = {}
    for i, model in enumerate(models):
        for j, other in enumerate(models):
            if i != j and model.peers is not None and other.id in model.peers.losses:
                e[i, j] = model.peers.losses[other.id]
    positive = [np.maximum(spec.weights, 0) / np.maximum(spec.weights, 0).sum() for spec in specs]
    A = np.full((count, count), np.nan)
    for (i, j), losses in e.items():
        A[i, j] = positive[j] @ losses
    evidence = Evidence(v, A, [model.peers.submitter for model in models])
    L = np.where(np.isnan(evidence.predicted), np.nanmedian(evidence.predicted), evidence.predicted)
    trust = evidence.trust * count
    weights = np.empty((len(X), count))
    for r, x in enumerate(X):
        mu = np.array([reference.embed(spec.points, spec.weights, x[None], GAMMA)[0] for spec in specs])
        local = np.empty(count)
        for i in range(count):
            top, bottom = L[i], 1.0
            for j, spec in enumerate(specs):
                if (i, j) in e:
                    near = reference.kernel(spec.points, x[None], 4 * GAMMA)[:, 0]
                    share = near * trust[j] * positive[j] * len(positive[j])
                    top += share @ e[i, j]
                    bottom += share.sum()
            local[i] = top / bottom
        if shift is not None:
            local = local + shift
        above = np.sort(local - local.min())
        z = (local - local.min()) / above[len(above) // 2]
        weights[r] = np.sqrt(v) * np.maximum(mu, 0) ** 2 * np.exp(-z)
    return weights / weights.sum(axis=1, keepdims=True)


def test_weights_of_rows_are_the_formula(models):
    mixture = found(models, sketch(3))
    v = np.array([dict(zip(mixture.ids, mixture.weights, strict=True))[model.id] for model in models])
    del models[2].peers.losses["00000005"]
    models[6].peers = PeerRecord({}, None)  # tried nowhere
    rows = X[:40]
    expected = plain_weights(models, v, rows)
    weights = LocalCompetence(mixture, models).row_weights(rows)
    np.testing.assert_allclose(weights, expected, rtol=2e-3, atol=1e-6)
    outputs = np.stack([model.predict(rows) for model in models], axis=1)
    predicted = LocalCompetence(mixture, models).predict(rows)
    np.testing.assert_allclose(predicted, (weights * outputs).sum(axis=1), rtol=1e-12)


def test_local_weights_do_better_than_those_of_distances(models):
    truth = concept(X)
    mixture = found(models, sketch(3))
    v = dict(zip(mixture.ids, mixture.weights, strict=True))
    distance = sum(v[model.id] * model.predict(X) for model in models)
    local = LocalCompetence(mixture, models).predict(X)
    assert np.mean((local - truth) ** 2) < np.mean((distance - truth) ** 2)


def test_results_do_not_depend_on_how_many_rows_are_asked_at_once(reuser, monkeypatch):
    from learndock.reuse import _competence

    together = reuser.row_weights(X)
    monkeypatch.setattr(_competence, "_ROWS_AT_ONCE", 7)
    np.testing.assert_allclose(reuser.row_weights(X), together, rtol=1e-3, atol=1e-6)


def test_learnwares_may_come_in_any_order_and_some_be_missing(models, reuser):
    mixture = reuser.hits
    turned = LocalCompetence(mixture, models[::-1])
    np.testing.assert_allclose(turned.row_weights(X)[:, ::-1], reuser.row_weights(X), rtol=1e-4, atol=1e-6)
    some = LocalCompetence(mixture, [models[3], models[1], models[2], models[4]])
    assert some.row_weights(X).shape == (300, 4)
    np.testing.assert_allclose(some.row_weights(X).sum(axis=1), 1)
    only = LocalCompetence(mixture, [models[3]])
    np.testing.assert_allclose(only.predict(X), models[3].predict(X))


def test_learnwares_without_an_id_are_in_the_order_of_the_mixture(models):
    mixture = found(models, sketch(3))
    ordered = [next(model for model in models if model.id == id) for id in mixture.ids]
    for model in ordered:
        model.id = None
    with pytest.warns(UnreviewedWarning):
        weights = LocalCompetence(mixture, ordered).row_weights(X)
    mu = np.stack([np.maximum(model.specification.embedding(X), 0) for model in ordered], axis=1)
    expected = np.array(mixture.weights) * mu**2
    np.testing.assert_allclose(weights, expected / expected.sum(axis=1, keepdims=True), rtol=1e-3, atol=1e-6)


def test_a_search_without_a_mixture_counts_by_distance(models):
    singles = tuple(
        Hit(model.id, sketch(3).mmd2(model.specification), 1.0, None)
        for model in sorted(models, key=lambda model: sketch(3).mmd2(model.specification))
    )
    result = SearchResult(singles, None, True, "exact", 0, {}, len(singles))
    expected = LocalCompetence(found(models, sketch(3)), models).predict(X)
    np.testing.assert_allclose(LocalCompetence(result, models).predict(X), expected, rtol=1e-9)


def test_a_row_far_from_everything_still_has_weights(reuser):
    far = np.array([[1e6, -1e6], [40.0, 40.0]])
    weights = reuser.row_weights(far)
    assert np.isfinite(weights).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    assert not reuser.covered(far).any()


def test_twins_and_constants_give_finite_weights():
    for functions in (
        [lambda X: X[:, 0]] * 6,
        [lambda X: X[:, 0]] * 4 + [lambda X: 1e15 * np.ones(len(X))] * 2,
        [lambda X: np.zeros(len(X))] * 3,
    ):
        twins = reviewed([Local(function, site=site) for site, function in enumerate(functions)])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            twins_reuser = LocalCompetence(found(twins, sketch(1)), twins)
            weights = twins_reuser.row_weights(X[:9])
            calibrated = twins_reuser.calibrate(X[:9], X[:9, 0]).row_weights(X[:9])
        for some in (weights, calibrated):
            np.testing.assert_allclose(some.sum(axis=1), 1)
        assert weights[:, :3].min() > 0


@pytest.mark.filterwarnings("ignore::learndock.errors.UnreviewedWarning")
def test_two_learnwares_have_no_sketch_in_common_to_be_compared_by():
    two = reviewed([Local(wave(site, 0.3), site=site) for site in (2, 3)])
    reuser = LocalCompetence(found(two, sketch(3)), two)
    assert not reuser.reviewed
    before = reuser.row_weights(X[:20])
    after = reuser.calibrate(X[:8], two[0].predict(X[:8])).row_weights(X[:20])
    assert np.isfinite(after).all()
    assert (after[:, 0] > before[:, 0]).all()


def test_covered_rows_are_those_where_the_mixture_has_seen_something(models, reuser):
    mixture = reuser.hits
    v = dict(zip(mixture.ids, mixture.weights, strict=True))

    def mixture_at(rows):
        specs = [(v[model.id], model.specification) for model in models]
        return sum(w * reference.embed(spec.points, spec.weights, rows, GAMMA) for w, spec in specs)

    points = np.concatenate([model.specification.points for model in models])
    shares = np.concatenate([v[model.id] * np.maximum(model.specification.weights, 0) for model in models])
    values = mixture_at(points)
    order = np.argsort(values)
    least = values[order][np.searchsorted(np.cumsum(shares[order]) / shares.sum(), 0.01)]
    rows = np.concatenate([X, X + np.array([6.0, 0.0]), X + np.array([0.0, 4.0])])
    clear = np.abs(mixture_at(rows) - least) > 1e-4
    assert (reuser.covered(rows) == (mixture_at(rows) >= least))[clear].all()
    assert reuser.covered(X).mean() > 0.9
    assert not reuser.covered(X + 30.0).any()


# Without a review


def test_without_a_review_weights_are_of_specifications_alone_and_it_says_so(models):
    for model in models:
        model.peers = None
    mixture = found(models, sketch(3))
    reuser = LocalCompetence(mixture, models)
    assert not reuser.reviewed
    with pytest.warns(UnreviewedWarning, match="Dock.peer_review"):
        predicted = reuser.predict(X)
    v = np.array([dict(zip(mixture.ids, mixture.weights, strict=True))[model.id] for model in models])
    mu = np.stack([np.maximum(model.specification.embedding(X), 0) for model in models], axis=1)
    weights = v * mu**2
    outputs = np.stack([model.predict(X) for model in models], axis=1)
    np.testing.assert_allclose(predicted, (weights * outputs).sum(axis=1) / weights.sum(axis=1), rtol=1e-4, atol=1e-6)
    assert reuser.calibrate(X[:10], concept(X[:10])).shift_ is None
    with pytest.warns(UnreviewedWarning):
        reuser.predict(X)


def test_one_learnware_needs_no_review(models):
    models[3].peers = None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LocalCompetence(found(models, sketch(3)), [models[3]]).predict(X)


def test_the_warning_names_the_line_that_predicts(models):
    for model in models:
        model.peers = None
    reuser = LocalCompetence(found(models, sketch(3)), models)
    for call in (reuser.predict, reuser.row_weights):
        with pytest.warns(UnreviewedWarning) as caught:
            call(X)
        assert caught[0].filename == __file__


def test_a_review_of_some_serves(models):
    for model in models[3:]:
        model.peers = None
    reuser = LocalCompetence(found(models, sketch(3)), models)
    assert reuser.reviewed
    models[2].peers = None
    assert not reuser.reviewed
    with pytest.warns(UnreviewedWarning):
        weights = reuser.row_weights(X)
    assert np.isfinite(weights).all()


# A few labels


def test_few_labels_change_little_where_the_inputs_identify_the_model(models, reuser):
    rng = np.random.default_rng(0)
    before = reuser.row_weights(X)
    changes = []
    for _ in range(10):
        some = rng.choice(len(X), 5, replace=False)
        y = concept(X[some]) + rng.normal(size=5) * 0.5
        after = clone(reuser).calibrate(X[some], y).row_weights(X)
        changes.append(np.abs(after - before).sum(axis=1).mean() / 2)
        # Never a ranking by labels alone: those that distance and peers speak for keep a part.
        assert (after.mean(axis=0)[before.mean(axis=0) > 0.1] > 0.02).all()
    assert np.mean(changes) < 0.25


@pytest.mark.parametrize("seed", range(3))
def test_twenty_labels_find_the_right_model_where_functions_differ(seed):
    others = strangers(seed=seed)
    right = others[4]
    user = ld.RKMETableSpecification.fit(rows_of(0, seed=50), gamma=GAMMA, n_points=40, random_state=0)
    rng = np.random.default_rng(seed)
    labelled, rows = rows_of(0, rows=20, seed=51), rows_of(0, rows=400, seed=52)
    reuser = LocalCompetence(found(others, user), others)

    def loss(predicted):
        return np.mean((predicted - right.predict(rows)) ** 2)

    before = loss(reuser.predict(rows))
    reuser.calibrate(labelled, right.predict(labelled) + 0.1 * rng.normal(size=20))
    assert reuser.row_weights(rows).mean(axis=0).argmax() == 4
    assert loss(reuser.predict(rows)) < 0.7 * before
    # From 0, the best single one's, to 1, the mean of them.
    assert loss(reuser.predict(rows)) / np.mean([loss(model.predict(rows)) for model in others]) < 0.1


def test_calibration_does_not_depend_on_the_unit_of_the_target():
    rng = np.random.default_rng(0)
    labelled = rows_of(3, rows=15, seed=6)
    y = concept(labelled) + 0.1 * rng.normal(size=15)

    def weights_in(unit):
        functions = [wave(site, off) for site, off in enumerate(OFF)]
        scaled = reviewed([Local(lambda X, f=f: unit * f(X), site=site) for site, f in enumerate(functions)])
        return LocalCompetence(found(scaled, sketch(3)), scaled).calibrate(labelled, unit * y).row_weights(X)

    weights = [weights_in(unit) for unit in (1.0, 1e6, 1e-6)]
    np.testing.assert_allclose(weights[1], weights[0], rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(weights[2], weights[0], rtol=1e-3, atol=1e-5)


def test_more_labels_say_more():
    others = strangers(seed=1)
    user = ld.RKMETableSpecification.fit(rows_of(0, seed=50), gamma=GAMMA, n_points=40, random_state=0)
    rows = rows_of(0, rows=400, seed=52)
    reuser = LocalCompetence(found(others, user), others)
    truth = others[2].predict(rows)
    losses = [np.mean((reuser.predict(rows) - truth) ** 2)]
    for m in (5, 20, 200):
        labelled = rows_of(0, rows=m, seed=53)
        reuser.calibrate(labelled, others[2].predict(labelled))
        losses.append(np.mean((reuser.predict(rows) - truth) ** 2))
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.1 * losses[0]


def test_fit_and_clone_forget_what_was_calibrated(reuser):
    before = reuser.row_weights(X)
    reuser.calibrate(X[:20], X[:20, 0])
    assert np.abs(reuser.row_weights(X) - before).max() > 1e-3
    assert not hasattr(clone(reuser), "factors_")
    assert copy.deepcopy(reuser).predict(X).tolist() == reuser.predict(X).tolist()
    reuser.fit()
    assert not hasattr(reuser, "factors_")
    np.testing.assert_array_equal(reuser.row_weights(X), before)


def test_learnwares_other_than_those_that_were_calibrated_are_an_error(models, reuser):
    reuser.calibrate(X[:10], X[:10, 0])
    reuser.set_params(learnwares=models[:4])
    with pytest.raises(InvalidArgument, match="^learnwares: expected the 8 that calibrate saw, got 4"):
        reuser.predict(X)


@pytest.mark.parametrize(
    ("rows", "labels", "said"),
    [
        (X[:4], np.zeros(4), "^X: expected at least 5 labelled rows, got 4"),
        (X[:6], np.zeros(5), r"^y: expected shape \(6,\), got \(5,\)"),
        (X[:6], np.zeros((6, 2)), r"^y: expected shape \(6,\), got \(6, 2\)"),
        (X[:6], [0, 1, 2, 3, 4, np.nan], "^y: expected finite numbers"),
        (X[:6], list("abcdef"), "^y: expected finite numbers"),
        (X[:6], [[1], [2, 3], [4], [5], [6], [7]], "^y: expected an array"),
        (np.full((6, 2), np.nan), np.zeros(6), "^X: "),
        (np.zeros((6, 3)), np.zeros(6), "^X: expected rows of shape"),
        (np.zeros(6), np.zeros(6), "^X: "),
    ],
)
def test_bad_labels_name_the_argument_and_change_nothing(reuser, rows, labels, said):
    reuser.calibrate(X[:10], X[:10, 0])
    before = reuser.factors_
    with pytest.raises(InvalidArgument, match=said):
        reuser.calibrate(rows, labels)
    assert reuser.factors_ is before


# Classification and several targets


def shares(slope):
    def predict(X):
        p = 1 / (1 + np.exp(-X @ slope))
        return np.stack([1 - p, p], axis=1)

    return predict


@pytest.fixture
def classifiers():
    rng = np.random.default_rng(3)
    slopes = [np.array([2.0, 1.0]) + rng.normal(size=2) * 0.7 for _ in range(6)]
    semantic = classification("No", "yes")
    return reviewed([Local(shares(w), site=i, semantic=semantic) for i, w in enumerate(slopes)], classes=True)


def test_classes_are_voted_for_by_probabilities(classifiers):
    reuser = LocalCompetence(found(classifiers, sketch(2)), classifiers)
    rows = rows_of(2, seed=8)
    p = reuser.predict_proba(rows)
    weights = reuser.row_weights(rows)
    expected = sum(weights[:, [i]] * model.predict(rows) for i, model in enumerate(classifiers))
    np.testing.assert_allclose(p, expected, rtol=1e-12)
    assert (reuser.predict(rows) == p.argmax(axis=1)).all()
    assert reuser.meaning.shown == ("No", "yes")


def test_classes_in_another_order_or_by_number_or_as_logits(classifiers):
    rows = rows_of(2, seed=8)
    mixture = found(classifiers, sketch(2))
    expected = LocalCompetence(mixture, classifiers).predict_proba(rows)
    turned = classifiers[3]
    turned.semantic = classification("YES", "no")
    turned.function = lambda X, f=turned.function: f(X)[:, ::-1]
    other = classifiers[4]
    other.function = lambda X, f=other.function: np.log(f(X))
    np.testing.assert_allclose(LocalCompetence(mixture, classifiers).predict_proba(rows), expected, rtol=1e-9)
    turned.function = lambda X: (X[:, 0] < 0).astype(int)
    hard = LocalCompetence(mixture, classifiers)
    weights = hard.row_weights(rows)
    votes = sum(weights[:, [i]] * model.predict(rows) for i, model in enumerate(classifiers) if i not in (3, 4))
    votes = votes + weights[:, [4]] * np.exp(other.predict(rows)) + weights[:, [3]] * np.eye(2)[(rows[:, 0] >= 0) * 1]
    np.testing.assert_allclose(hard.predict_proba(rows), votes, rtol=1e-9)


def test_labels_are_names_or_numbers(classifiers):
    rows = rows_of(2, rows=30, seed=9)
    numbers = (classifiers[5].predict(rows)[:, 1] > 0.5).astype(int)
    names = np.array(["No", "yes"])[numbers]
    mixture = found(classifiers, sketch(2))
    calibrated = [
        LocalCompetence(mixture, classifiers).calibrate(rows, y)
        for y in (numbers, names, names.astype(object), list(names), pd.Series(names), numbers.astype(float))
    ]
    for one in calibrated[1:]:
        assert one.factors_.tolist() == calibrated[0].factors_.tolist()
        assert one.shift_.tolist() == calibrated[0].shift_.tolist()
    losses = [
        np.square(reuser.predict_proba(rows)[:, 1] - numbers).mean()
        for reuser in (LocalCompetence(mixture, classifiers), calibrated[0])
    ]
    assert losses[1] < losses[0]


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["No", "yes", "No", "yes", "maybe"], "^y: expected classes of Classification of 'No', 'yes', got 'maybe'"),
        ([0, 1, 0, 1, 2], "^y: expected numbers of classes from 0 to 1, got 2"),
        ([0, 1, 0, 1, -1], "^y: expected numbers of classes from 0 to 1, got -1"),
        ([0, 1, 0, 1, 0.5], "^y: expected numbers of classes from 0 to 1, got 0.5"),
        ([0, 1, 0, 1, np.nan], "^y: expected numbers of classes"),
        (np.zeros((5, 2)), r"^y: expected shape \(5,\), got \(5, 2\)"),
    ],
)
def test_labels_that_are_no_class_are_an_error(classifiers, labels, said):
    reuser = LocalCompetence(found(classifiers, sketch(2)), classifiers)
    with pytest.raises(InvalidArgument, match=said):
        reuser.calibrate(X[:5], labels)


def test_a_model_that_answers_a_class_that_is_none_is_its_error(classifiers):
    classifiers[2].function = lambda X: np.full(len(X), 2)
    reuser = LocalCompetence(found(classifiers, sketch(2)), classifiers)
    with pytest.raises(LearnwareError, match=r"^learnwares\[2\]: expected numbers of classes from 0 to 1, got 2"):
        reuser.predict(X)


def test_expected_accuracy_is_of_the_weights_of_each_row(classifiers):
    from learndock.learnware import Validation

    reuser = LocalCompetence(found(classifiers, sketch(2)), classifiers)
    rows = rows_of(2, seed=8)
    with pytest.raises(InvalidArgument):
        reuser.expected_accuracy(rows)
    for model in classifiers:
        model.validation = Validation(200, "brier score", 0.2, 0.8, threshold=0.7, above=0.8)
    expected = reuser.expected_accuracy(rows)
    assert 0 <= expected.low <= expected.value <= expected.high <= 1
    with pytest.raises(InvalidArgument, match="^mode: "):
        LocalCompetence(Mixture(("0",), (1.0,), 0.0), [Local(lambda X: X[:, 0])]).expected_accuracy(rows)


def test_several_targets_in_any_order():
    def pair(site, off):
        one, other = wave(site, off), wave(site + 20, off)
        return lambda X: np.stack([one(X), 5 + other(X)], axis=1)

    semantic = regression("t", "h")
    models = reviewed([Local(pair(site, off), site=site, semantic=semantic) for site, off in enumerate(OFF)])
    mixture = found(models, sketch(3))
    expected = LocalCompetence(mixture, models).predict(X)
    assert expected.shape == (300, 2)
    truth = np.stack([concept(X), 5 + concept(X)], axis=1)
    assert np.mean((expected - truth) ** 2) < 0.05
    models[3].semantic = regression("h", "t")
    models[3].function = lambda X, f=models[3].function: f(X)[:, ::-1]
    turned = LocalCompetence(mixture, models)
    np.testing.assert_allclose(turned.predict(X), expected, rtol=1e-12)
    turned.calibrate(X[:12], truth[:12])
    assert np.mean((turned.predict(X) - truth) ** 2) < 0.05
    with pytest.raises(InvalidArgument, match=r"^y: expected shape \(12, 2\), got \(12,\)"):
        turned.calibrate(X[:12], truth[:12, 0])


def test_a_dock_with_a_scaling_weights_raw_rows():
    units = ld.Scaling([100.0, -3.0], [50.0, 0.01])

    def raw(rows):
        return rows * units.scale + units.mean

    def scaled(model, site):
        spec = ld.RKMETableSpecification.fit(
            raw(rows_of(site)), gamma=GAMMA, n_points=40, random_state=0, scaling=units
        )
        return Local(lambda Z: model((Z - units.mean) / units.scale), spec=spec)

    plain = reviewed([Local(wave(site, off), site=site) for site, off in enumerate(OFF)])
    other = reviewed([scaled(wave(site, off), site) for site, off in enumerate(OFF)])
    mixture = found(plain, sketch(3))
    expected = LocalCompetence(mixture, plain)
    reuser = LocalCompetence(mixture, other)
    np.testing.assert_allclose(reuser.row_weights(raw(X)), expected.row_weights(X), rtol=1e-2, atol=1e-4)
    assert (reuser.covered(raw(X)) == expected.covered(X)).mean() > 0.99


# Conventions


def test_arguments_are_stored_as_they_come_and_checked_when_they_are_used(models):
    reuser = LocalCompetence("hits", models, mode="median")
    assert reuser.get_params() == {"hits": "hits", "learnwares": models, "mode": "median"}
    assert clone(reuser).get_params() == reuser.get_params()
    assert repr(reuser) == "LocalCompetence(8 learnwares, mode='median')"
    with pytest.raises(InvalidArgument, match="^mode: expected one of mean, vote_by_prob or None, got 'median'"):
        reuser.fit(X)
    with pytest.raises(InvalidArgument, match="^hits: expected a SearchResult or a Mixture, got str"):
        reuser.set_params(mode=None).fit(X)


def test_a_clone_combines_the_same_learnwares(reuser):
    twin = clone(reuser)
    assert twin.learnwares is reuser.learnwares
    assert twin.predict(X).tolist() == reuser.predict(X).tolist()


def test_kinds_of_estimators(reuser, classifiers):
    classifier = LocalCompetence(found(classifiers, sketch(2)), classifiers)
    assert is_regressor(reuser)
    assert not is_classifier(reuser)
    assert is_classifier(classifier)


def test_the_last_step_of_a_pipeline_and_cross_validation(reuser, classifiers):
    pipeline = make_pipeline(FunctionTransformer(lambda rows: rows - 5.0), clone(reuser))
    np.testing.assert_allclose(pipeline.fit(X + 5.0, concept(X)).predict(X + 5.0), reuser.predict(X), rtol=1e-9)
    assert "LocalCompetence" in pipeline._repr_html_()
    np.testing.assert_allclose(cross_val_predict(reuser, X, concept(X), cv=3), reuser.predict(X), rtol=1e-5)
    assert cross_val_score(reuser, X, concept(X), cv=3, scoring="r2").min() > 0.9
    classifier = LocalCompetence(found(classifiers, sketch(2)), classifiers)
    rows = rows_of(2, seed=8)
    labels = (rows @ [2.0, 1.0] > 0).astype(int)
    assert cross_val_score(classifier, rows, labels, cv=3, scoring="accuracy").min() > 0.8
    assert cross_val_score(classifier, rows, labels, cv=3, scoring="neg_log_loss").min() > -0.6
    found_shares = cross_val_predict(classifier, rows, labels, cv=3, method="predict_proba")
    np.testing.assert_allclose(found_shares, classifier.predict_proba(rows), rtol=1e-4)
    assert clone(classifier).fit(rows, labels).classes_.tolist() == [0, 1]


def test_arrays_frames_and_lists_of_rows(reuser):
    expected = reuser.predict(X[:20])
    frame = pd.DataFrame(X[:20], columns=["a", "b"])
    for rows in (frame, X[:20].tolist(), np.asfortranarray(X[:20])):
        np.testing.assert_allclose(reuser.predict(rows), expected, rtol=1e-6)
        assert reuser.covered(rows).shape == (20,)
    np.testing.assert_allclose(reuser.predict(X[:20].astype(np.float32)), expected, rtol=1e-3)
    calibrated = clone(reuser).calibrate(frame, pd.Series(expected)).factors_
    again = clone(reuser).calibrate(X[:20].tolist(), expected.tolist()).factors_
    np.testing.assert_allclose(calibrated, again, rtol=1e-6)


def test_tensors_of_rows(reuser):
    torch = pytest.importorskip("torch")
    rows = torch.tensor(X[:20])
    np.testing.assert_allclose(reuser.predict(rows), reuser.predict(X[:20]))
    reuser.calibrate(rows, torch.tensor(X[:20, 0]))


def test_rows_are_not_changed(reuser):
    rows = X.copy()
    reuser.calibrate(rows, rows[:, 0])
    reuser.predict(rows)
    assert (rows == X).all()


def test_a_reuser_of_models_that_can_be_pickled_can_be():
    fixed = [Fixed(0.0), Fixed(1.0)]
    reuser = LocalCompetence(Mixture(("a", "b"), (0.5, 0.5), 0.0), fixed)
    with pytest.warns(UnreviewedWarning):
        assert pickle.loads(pickle.dumps(reuser)).predict(X).tolist() == reuser.predict(X).tolist()


class Fixed:
    """A constant, which pickle knows by its name."""

    specification = sketch(0)

    def __init__(self, value):
        self.value = value

    def predict(self, X):
        return np.full(len(X), self.value)


def test_bad_rows_name_the_argument(reuser):
    for rows in (np.zeros((0, 2)), np.zeros((3, 3)), np.zeros(3), np.full((2, 2), np.inf), 3.0):
        for call in (reuser.predict, reuser.row_weights, reuser.covered):
            with pytest.raises(InvalidArgument, match="^X"):
                call(rows)


def test_a_regression_has_no_probabilities(reuser):
    with pytest.raises(InvalidArgument, match="^mode: "):
        reuser.predict_proba(X)


def test_learnwares_that_are_none_of_the_mixtures(models):
    mixture = found(models, sketch(3))
    with pytest.raises(InvalidArgument, match=r"^learnwares\[8\]: 'strange' is none of the mixture's"):
        LocalCompetence(mixture, [*models, Local(wave(0, 0.1), id="strange")]).predict(X)
    with pytest.raises(InvalidArgument, match="^learnwares: expected the 8 of the mixture"):
        LocalCompetence(mixture, [Fixed(0.0)]).predict(X)
    with pytest.raises(InvalidArgument, match="^learnwares: expected at least one"):
        LocalCompetence(mixture, []).predict(X)
    unweighted = Mixture(mixture.ids, (1.0,) + (0.0,) * 7, 0.0)
    with pytest.raises(InvalidArgument, match="^learnwares: expected one that has a weight"):
        LocalCompetence(unweighted, [model for model in models if model.id != mixture.ids[0]]).predict(X)


def test_a_learnware_of_no_weight_is_not_asked(models):
    mixture = found(models, sketch(3))
    heaviest = next(model for model in models if model.id == mixture.ids[0])
    LocalCompetence(Mixture(mixture.ids, (1.0,) + (0.0,) * 7, 0.0), models).predict(X)
    assert [model.asked for model in models] == [int(model is heaviest) for model in models]


def test_outputs_of_different_meaning_or_shape_are_errors(models):
    mixture = found(models, sketch(3))
    models[2].semantic = regression("O3")
    with pytest.raises(SpecificationMismatch, match=r"^learnwares\[2\]: .*O3"):
        LocalCompetence(mixture, models).predict(X)
    models[2].semantic = described(task="Regression", output={"Dimension": 1})
    models[2].function = lambda X: X[:1, 0]
    with pytest.raises(LearnwareError, match=r"^learnwares\[2\]: expected 300 predictions"):
        LocalCompetence(mixture, models).predict(X)
    models[2].function = lambda X: np.full(len(X), np.nan)
    with pytest.raises(LearnwareError, match=r"^learnwares\[2\]: expected finite numbers"):
        LocalCompetence(mixture, models).predict(X)
