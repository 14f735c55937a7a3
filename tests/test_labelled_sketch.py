"""Mean labels that a learnware may ship: how they are made, what is in the zip, and the truth they are in a review."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
import yaml
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.svm import SVC

import learndock as ld
from filled_docks import described
from learndock import Learnware, RKMETableSpecification
from learndock.dock.peer_trial import losses_on, try_model
from learndock.errors import InvalidArgument
from learndock.learnware import label_sketch, package
from learndock.learnware.meaning import OutputMeaning

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(400, 2))
TARGETS = np.sin(ROWS[:, 0]) + ROWS[:, 1] + 0.1 * RNG.normal(size=400)
CLASSES = (TARGETS > 0).astype(int)
NAMES = np.array(["no", "yes"])
SPEC = RKMETableSpecification.fit(ROWS[:200], n_points=20, gamma=0.5, random_state=0)
PAIR = (ROWS[200:], TARGETS[200:])


def about(task="Regression", names=("y",), columns=2):
    return described(
        task=task, input={"Dimension": columns}, output={"Dimension": len(names), "Description": dict(enumerate(names))}
    )


def weights_at(points, rows, gamma):
    """k(z, x)^4, and how many rows are behind each mean."""
    w = np.exp(-4 * gamma * ((points[:, None] - rows[None]) ** 2).sum(axis=2))
    return w / w.sum(axis=1, keepdims=True), w.sum(axis=1) ** 2 / (w**2).sum(axis=1)


@pytest.fixture
def unverified(monkeypatch):
    """Leave out the start of a process at the end of packing."""
    monkeypatch.setattr(package, "_verify", lambda *_: None)


# ---- How they are made ---------------------------------------------------------------------------------------------


def test_means_are_the_models_output_and_the_kernel_mean_of_what_it_misses():
    model = LinearRegression().fit(ROWS[:200], TARGETS[:200])
    sketch = label_sketch(model, *PAIR, specification=SPEC, semantic=about())
    weights, behind = weights_at(SPEC.points, PAIR[0], 0.5)
    given = behind >= 10
    assert 0 < given.sum() < 20
    expected = model.predict(SPEC.points) + weights @ (PAIR[1] - model.predict(PAIR[0]))
    np.testing.assert_allclose(sketch.means[given, 0], expected[given], rtol=1e-10)
    assert np.isnan(sketch.means[~given]).all()
    np.testing.assert_allclose(sketch.rows_behind, behind, rtol=1e-10)
    assert np.array_equal(sketch.given, given)
    assert sketch.message == (
        f"mean labels are given at {given.sum()} of 20 points, each of {behind[given].min():.0f} effective rows or "
        "more of 200"
    )


@pytest.mark.parametrize("named", [True, False])
def test_shares_of_classes_are_in_the_order_of_the_output_whatever_the_models_is(named):
    semantic = about("Classification", ("yes", "maybe", "no"))
    labels = NAMES[CLASSES] if named else np.array([2, 0])[CLASSES]
    model = LogisticRegression().fit(ROWS[:200], labels[:200])
    sketch = label_sketch(model, ROWS[200:], labels[200:], specification=SPEC, semantic=semantic)
    weights, _ = weights_at(SPEC.points, ROWS[200:], 0.5)
    column = list(model.classes_).index("yes" if named else 0)
    probability = [model.predict_proba(at)[:, column] for at in (SPEC.points, ROWS[200:])]
    expected = np.clip(probability[0] + weights @ (CLASSES[200:] - probability[1]), 0, 1)
    given = sketch.given
    np.testing.assert_allclose(sketch.means[given, 0], expected[given], atol=1e-10)
    np.testing.assert_allclose(sketch.means[given].sum(axis=1), 1)
    assert (sketch.means[given, 1] == 0).all()


def test_a_model_that_knows_no_probabilities_and_a_scaling_are_taken_as_they_are():
    scaling = ld.Scaling([1.0, -1.0], [2.0, 0.5])
    spec = RKMETableSpecification.fit(ROWS[:200], n_points=20, gamma=0.1, scaling=scaling, random_state=0)
    model = SVC().fit(ROWS[:200], CLASSES[:200])
    semantic = about("Classification", tuple(NAMES))
    sketch = label_sketch(model, ROWS[200:], CLASSES[200:], specification=spec, semantic=semantic)
    weights, _ = weights_at(spec.points, scaling.apply(ROWS[200:]), 0.1)
    one_hot = np.eye(2)
    missed = one_hot[CLASSES[200:]] - one_hot[model.predict(ROWS[200:])]
    shares = np.maximum(one_hot[model.predict(spec.raw_points)] + weights @ missed, 0)
    shares /= shares.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(sketch.means[sketch.given], shares[sketch.given], atol=1e-10)


def test_several_targets_have_a_mean_each_and_missing_values_are_their_columns_mean():
    class Both:
        def predict(self, X):
            return np.stack([np.nan_to_num(X[:, 0]), X[:, 1]], axis=1)

    rows, targets = ROWS[200:].copy(), np.stack([TARGETS, ROWS[:, 1]], axis=1)[200:]
    rows[::50, 0] = np.nan
    sketch = label_sketch(Both(), rows, targets, specification=SPEC, semantic=about(names=("y", "z")))
    filled = np.where(np.isnan(rows), np.nanmean(rows, axis=0), rows)
    weights, behind = weights_at(SPEC.points, filled, 0.5)
    expected = SPEC.points + weights @ (targets - Both().predict(rows))
    assert np.array_equal(sketch.given, behind >= 10)
    np.testing.assert_allclose(sketch.means[sketch.given], expected[sketch.given], atol=1e-10)


def test_they_are_the_truth_where_the_model_is_wrong():
    truth = np.sin(SPEC.points[:, 0]) + SPEC.points[:, 1]
    wrong = DummyRegressor().fit(ROWS[:200], TARGETS[:200])
    sketch = label_sketch(wrong, *PAIR, specification=SPEC, semantic=about())
    given = sketch.given
    errors = [np.square(said - truth)[given].mean() for said in (wrong.predict(SPEC.points), sketch.means[:, 0])]
    assert errors[1] < 0.2 * errors[0]


def test_of_few_rows_no_mean_is_given():
    model = LinearRegression().fit(ROWS[:200], TARGETS[:200])
    sketch = label_sketch(model, ROWS[:9], TARGETS[:9], specification=SPEC, semantic=about())
    assert np.isnan(sketch.means).all()
    assert sketch.message == "no mean label is given: no point has 10 effective rows behind it, of 9"


# ---- In the zip ----------------------------------------------------------------------------------------------------


def test_a_zip_holds_the_means_alone_and_only_where_they_are_asked_for(tmp_path):
    model = LinearRegression().fit(ROWS[:200], TARGETS[:200])
    files = {}
    for name, options in {"without.zip": {}, "with.zip": {"labelled_sketch": PAIR}}.items():
        path = Learnware.pack(model, specification=SPEC, semantic=about(), path=tmp_path / name, **options)
        with zipfile.ZipFile(path) as archive:
            files[name] = set(archive.namelist())
            section = yaml.safe_load(archive.read("learnware.yaml")).get("labelled_sketch")
        with Learnware.open(path) as learnware:
            found = learnware.labelled_sketch
        if options:
            assert section == {"file_name": "labelled_sketch.npy"}
            expected = label_sketch(model, *PAIR, specification=SPEC, semantic=about()).means
            assert np.array_equal(found, expected, equal_nan=True)
        else:
            assert section is None
            assert found is None
    assert files["with.zip"] - files["without.zip"] == {"labelled_sketch.npy"}


@pytest.mark.usefixtures("unverified")
@pytest.mark.parametrize(
    ("pair", "task", "says"),
    [
        (ROWS, "Regression", "expected a pair"),
        ((ROWS[:, :1], TARGETS), "Regression", "X: expected one or more rows of shape"),
        ((ROWS, TARGETS[:10]), "Regression", "y: expected one for each of the 400 rows, got 10"),
        ((ROWS, np.full(400, np.nan)), "Regression", "y: expected finite"),
        ((ROWS, CLASSES + 1), "Classification", "y: its class 2 is not in"),
        (PAIR, "Others", "expected a Classification or a Regression"),
    ],
)
def test_rows_that_do_not_fit_are_named_and_nothing_is_written(tmp_path, pair, task, says):
    semantic = about(task, ("no", "yes") if task == "Classification" else ("y",))
    model = LogisticRegression().fit(ROWS, CLASSES) if task == "Classification" else LinearRegression().fit(*PAIR)
    with pytest.raises(InvalidArgument, match=f"^labelled_sketch: .*{says}"):
        Learnware.pack(model, specification=SPEC, semantic=semantic, path=tmp_path / "a.zip", labelled_sketch=pair)
    assert not list(tmp_path.iterdir())


# ---- In a review ---------------------------------------------------------------------------------------------------


class Known:
    """A learnware in this process."""

    validation = None

    def __init__(self, output, means):
        self.predict, self.labelled_sketch = output, means


def tried(output, means, meaning, sketches=None):
    return try_model(1, Known(output, means), meaning, SPEC, sketches or {})


def test_means_are_the_truth_at_the_points_that_have_one():
    meaning = OutputMeaning.of(about())
    means = np.linspace(0, 1, 20)[:, None]
    means[5] = np.nan
    own = tried(lambda X: np.full(len(X), 9.0), means, meaning).own
    assert own.outputs[5] == 9
    assert np.array_equal(np.delete(own.outputs, 5), np.delete(means, 5))
    # What the model says everywhere alike has no variance; the labels have.
    assert own.variance > 0
    losses = losses_on(2, SPEC, np.zeros((20, 1)), own, meaning=meaning, mmd2=0.0).losses
    np.testing.assert_allclose(np.delete(losses, 5), np.delete(np.square(means[:, 0]), 5))


def test_columns_are_compared_by_the_names_of_classes():
    meaning = OutputMeaning.of(about("Classification", ("yes", "no")))
    means = np.tile([0.2, 0.8], (20, 1))
    own = tried(lambda X: np.tile([0.4, 0.6], (len(X), 1)), means, meaning).own
    np.testing.assert_allclose(own.outputs, np.tile([0.8, 0.2], (20, 1)))


def test_means_of_other_points_are_no_truth():
    meaning = OutputMeaning.of(about())
    for means in (None, np.zeros((19, 1)), np.zeros((20, 2))):
        assert (tried(lambda X: np.full(len(X), 9.0), means, meaning).own.outputs == 9).all()


def test_peers_are_not_blamed_for_what_a_model_gets_wrong_at_home(tmp_path):
    """One that says the mean everywhere, and one that is right, submitted to two docks: with the labels and without."""
    right = LinearRegression().fit(ROWS[:200], TARGETS[:200])
    wrong = DummyRegressor().fit(ROWS[:200], TARGETS[:200])
    theirs = RKMETableSpecification.fit(ROWS[200:] + 0.1, n_points=20, gamma=0.5, random_state=1)
    good = Learnware.pack(right, specification=theirs, semantic=about(), path=tmp_path / "good.zip")
    lost = {}
    for name, options in {"without": {}, "with": {"labelled_sketch": PAIR}}.items():
        bad = Learnware.pack(wrong, specification=SPEC, semantic=about(), path=tmp_path / f"{name}.zip", **options)
        with ld.Dock(tmp_path / name) as dock:
            first, second = dock.submit(good).id, dock.submit(bad).id
            dock.peer_review()
            lost[name] = {id: dict(dock.get(id).peers.losses) for id in (first, second)}
            # The means are in the order of the points that the dock holds.
            assert np.array_equal(dock.specification(second).points, SPEC.points.astype(np.float32))
    (by_output, by_labels) = (lost[name][first][second] for name in ("without", "with"))
    np.testing.assert_allclose(
        by_output, np.square(right.predict(SPEC.points.astype(np.float32)) - TARGETS[:200].mean()), rtol=1e-4
    )
    given = label_sketch(wrong, *PAIR, specification=SPEC, semantic=about()).given
    assert by_labels[given].mean() < 0.3 * by_output[given].mean()
    np.testing.assert_allclose(by_labels[~given], by_output[~given])
    # What the wrong one loses elsewhere is the same.
    np.testing.assert_array_equal(lost["with"][second][first], lost["without"][second][first])
