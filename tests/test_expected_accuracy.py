"""Expected accuracy without labels, and the numbers that learnwares ship for it: by hand, and on digits."""

from __future__ import annotations

import math
import zipfile

import numpy as np
import pytest
import yaml
from sklearn.datasets import load_digits
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

import learndock as ld
from filled_docks import described
from learndock import Learnware, RKMETableSpecification
from learndock.checker import Status, check_learnware
from learndock.errors import InvalidArgument, LearnwareError
from learndock.learnware import Validation, package
from learndock.reuse import AveragingReuser
from learndock.reuse._expected import expected_accuracy

# Four rows of two classes: confidences 0.9, 0.8, 0.7, 0.6, the last of them wrong.
FOUR = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]])
TRUE = np.array([0, 1, 0, 1])


def about(task="Classification", names=("no", "yes"), columns=2):
    return described(
        task=task, input={"Dimension": columns}, output={"Dimension": len(names), "Description": dict(enumerate(names))}
    )


# ---- What is measured ----------------------------------------------------------------------------------------------


def test_classes_are_measured_as_by_hand():
    found = Validation.of_classes(FOUR, TRUE)
    assert (found.rows, found.measure, found.accuracy) == (4, "brier score", 0.75)
    assert found.loss == pytest.approx(2 * (0.01 + 0.04 + 0.09 + 0.36) / 4)
    assert found.threshold == pytest.approx(0.65)
    assert found.above == 0.75


def test_logits_are_measured_as_probabilities():
    found, expected = Validation.of_classes(np.log(FOUR), TRUE), Validation.of_classes(FOUR, TRUE)
    assert found.loss == pytest.approx(expected.loss)
    assert found.threshold == pytest.approx(expected.threshold)


def test_as_many_rows_lie_below_the_threshold_as_are_wrong():
    rng = np.random.default_rng(0)
    for wrong in (0, 1, 57, 99, 100):
        probabilities = rng.dirichlet(np.ones(3), size=100)
        answers = probabilities.argmax(axis=1)
        answers[:wrong] = (answers[:wrong] + 1) % 3
        found = Validation.of_classes(probabilities, answers)
        assert (probabilities.max(axis=1) < found.threshold).sum() == wrong
        assert found.above == found.accuracy == pytest.approx(1 - wrong / 100)
        assert Validation.read(found.to_dict()) == found


def test_a_threshold_lies_between_confidences_that_many_rows_share():
    # Confidence 1 for six, one of them wrong; 0.6 for four, one wrong: no threshold parts two from eight.
    probabilities = np.array([[1.0, 0.0]] * 6 + [[0.6, 0.4]] * 4)
    found = Validation.of_classes(probabilities, np.array([0] * 5 + [1] + [0] * 3 + [1]))
    assert found.threshold == pytest.approx(0.8)  # 4 below is as near to 2 as none, and promises less
    assert (found.accuracy, found.above) == (0.8, 0.6)


def test_numbers_of_classes_have_an_error_rate_and_no_threshold():
    found = Validation.of_classes(np.array([0, 1, 1, 1]), TRUE)
    assert found == Validation(4, "error rate", 0.25, accuracy=0.75)


def test_a_regression_has_a_mean_squared_error_and_a_variance():
    found = Validation.of_targets(np.array([1.0, 3.0]), np.array([0.0, 4.0]))
    assert (found.loss, found.variance, found.r2, found.accuracy) == (1.0, 4.0, 0.75, None)
    assert Validation.of_targets(np.ones((2, 2)), np.array([[1.0, 2.0], [1.0, 4.0]])).loss == 2.5
    assert Validation.of_targets(np.ones(2), np.ones(2)).r2 is None


# ---- In the zip ----------------------------------------------------------------------------------------------------

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(300, 2))
LABELS = (ROWS[:, 0] + 0.5 * RNG.normal(size=300) > 0).astype(int)
SPECIFICATION = RKMETableSpecification.fit(ROWS[:100], n_points=5, random_state=0)
NAMES = np.array(["no", "yes"])


@pytest.fixture
def unverified(monkeypatch):
    """Leave out the start of a process at the end of packing."""
    monkeypatch.setattr(package, "_verify", lambda *_: None)


def packed(tmp_path, model, validation, semantic=None):
    path = tmp_path / "model.zip"
    return Learnware.pack(
        model, specification=SPECIFICATION, semantic=semantic or about(), path=path, validation=validation
    )


def numbers_in(path):
    with zipfile.ZipFile(path) as archive:
        return archive.namelist(), yaml.safe_load(archive.read("learnware.yaml")).get("validation")


def test_a_zip_holds_numbers_of_the_validation_and_no_row(tmp_path):
    model = LogisticRegression().fit(ROWS[:200], NAMES[LABELS[:200]])
    path = packed(tmp_path, model, (ROWS[200:], NAMES[LABELS[200:]]))
    names, numbers = numbers_in(path)
    assert not [name for name in names if name.endswith(".npy")]
    assert all(isinstance(number, int | float | str) for number in numbers.values())
    report = check_learnware(path)
    assert report.status == Status.USABLE
    with report.learnware as learnware:
        found = learnware.validation
        probabilities = learnware.predict(ROWS[200:])
    wrong = probabilities.argmax(axis=1) != LABELS[200:]
    assert found.rows == 100
    assert found.accuracy == pytest.approx(1 - wrong.mean())
    assert found.loss == pytest.approx(np.square(probabilities - np.eye(2)[LABELS[200:]]).sum(axis=1).mean())
    assert (probabilities.max(axis=1) < found.threshold).sum() == wrong.sum()


@pytest.mark.usefixtures("unverified")
@pytest.mark.parametrize("labels", [LABELS, LABELS.astype(float), LABELS.astype(bool), NAMES[LABELS].astype(object)])
def test_labels_are_numbers_or_descriptions_whatever_the_model_was_trained_on(tmp_path, labels):
    model = SVC().fit(ROWS[:200], NAMES[LABELS[:200]])
    _, numbers = numbers_in(packed(tmp_path, model, (ROWS[200:], labels[200:])))
    error = float(np.mean(model.predict(ROWS[200:]) != NAMES[LABELS[200:]]))
    assert numbers == {"rows": 100, "measure": "error rate", "loss": error, "accuracy": pytest.approx(1 - error)}


@pytest.mark.usefixtures("unverified")
def test_a_regressor_is_measured_in_its_own_unit(tmp_path):
    targets = 100 * ROWS[:, 0] + RNG.normal(size=300)
    model = LinearRegression().fit(ROWS[:200], targets[:200])
    _, numbers = numbers_in(packed(tmp_path, model, (ROWS[200:], targets[200:, None]), about("Regression", ["y"])))
    assert numbers["loss"] == pytest.approx(np.square(model.predict(ROWS[200:]) - targets[200:]).mean())
    assert numbers["variance"] == pytest.approx(targets[200:].var())


@pytest.mark.usefixtures("unverified")
def test_without_rows_nothing_is_said(tmp_path):
    model = LogisticRegression().fit(ROWS, LABELS)
    path = packed(tmp_path, model, None)
    assert numbers_in(path)[1] is None
    with Learnware.open(path) as learnware:
        assert learnware.validation is None


@pytest.mark.parametrize(
    ("validation", "says"),
    [
        (ROWS, r"validation: expected a pair \(X, y\)"),
        ((ROWS[:, :1], LABELS), "validation: X: expected one or more rows of shape"),
        ((ROWS[:0], LABELS[:0]), "validation: X: expected one or more rows"),
        ((ROWS, LABELS[:10]), "validation: y: expected one for each of the 300 rows, got 10"),
        ((ROWS, np.stack([LABELS, LABELS], axis=1)), "validation: y: expected one label per row"),
        ((ROWS, LABELS + 1), "validation: y: its class 2 is not in"),
        ((ROWS, ["perhaps"] * 300), "validation: y: its class 'perhaps' is not in"),
        ((np.full_like(ROWS, np.nan), LABELS), "model: predict_proba fails on the rows of the validation"),
        ((NAMES[LABELS][:, None], LABELS), "validation: X: expected numbers"),
    ],
)
def test_a_validation_that_does_not_fit_is_named_and_nothing_is_written(tmp_path, validation, says):
    with pytest.raises(InvalidArgument, match=says):
        packed(tmp_path, LogisticRegression().fit(ROWS, LABELS), validation)
    assert not list(tmp_path.iterdir())


GOOD = Validation.of_classes(FOUR, TRUE).to_dict()


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"rows": 0}, "rows"),
        ({"rows": 2**40}, "rows"),
        ({"rows": True}, "rows"),
        ({"rows": 1.5}, "rows"),
        ({"measure": "hearsay"}, "measure"),
        ({"measure": ["brier score"]}, "measure"),
        ({"loss": math.nan}, "loss"),
        ({"loss": 2.1}, "loss"),
        ({"loss": -1e-9}, "loss"),
        ({"loss": "0.5"}, "loss"),
        ({"loss": None}, "loss"),
        ({"loss": math.inf, "measure": "mean squared error"}, "loss"),
        ({"measure": "mean squared error"}, "variance"),
        ({"accuracy": 1.01}, "accuracy"),
        ({"accuracy": False}, "accuracy"),
        ({"threshold": 1.1}, "threshold"),
        ({"threshold": [0.5]}, "threshold"),
        ({"above": None}, "above"),
    ],
)
def test_numbers_that_can_not_be_are_refused_by_name(tmp_path, changes, key):
    with pytest.raises(LearnwareError, match=rf"^validation\.{key}: expected"):
        Validation.read({**GOOD, **changes})
    (tmp_path / "__init__.py").write_text("")
    (tmp_path / "learnware.yaml").write_text(yaml.safe_dump({"validation": {**GOOD, **changes}}))
    with pytest.raises(LearnwareError, match=rf"^learnware\.yaml: validation\.{key}: expected"):
        Learnware.open(tmp_path)


def test_an_integer_beyond_every_float_is_refused():
    with pytest.raises(LearnwareError, match=r"^validation\.loss: expected a finite number not below 0, got 1000"):
        Validation.read({**GOOD, "measure": "mean squared error", "loss": 10**400})


def test_what_is_no_mapping_is_refused_and_what_is_not_known_left_out():
    with pytest.raises(LearnwareError, match="^validation: expected a mapping, got list"):
        Validation.read([1])
    assert Validation.read({**GOOD, "later": {"more": 1}}).to_dict() == GOOD


# ---- What is expected ----------------------------------------------------------------------------------------------

SURE = Validation(1000, "brier score", 0.1, accuracy=0.75, threshold=0.65, above=0.75)


def expected(models, validations=SURE, weights=None, **options):
    probabilities = {f"learnwares[{i}]": np.asarray(model) for i, model in enumerate(models)}
    shares = np.full(len(models), 1 / len(models)) if weights is None else np.asarray(weights)
    if shares.ndim == 1:
        shares = np.tile(shares, (len(models[0]), 1))
    given = validations if isinstance(validations, list) else [validations] * len(models)
    return expected_accuracy(probabilities, dict(zip(probabilities, given, strict=True)), shares, **options)


def test_one_learnware_is_right_as_often_as_it_is_sure():
    found = expected([FOUR[[0, 3, 3, 1, 1]]])
    assert found.value == pytest.approx(0.6)
    assert 0 <= found.low < 0.6 < found.high <= 1
    assert "about 60% of the 5 rows" in found.message
    assert "may be too narrow" in found.message


def test_a_combination_is_right_as_often_as_those_are_sure_that_give_its_answer():
    # Row 0: both say 0, the first is sure. Row 1: the heavier first says 1, surely; the second says 0 and is not asked.
    first, second = [[0.9, 0.1], [0.1, 0.9]], [[0.6, 0.4], [0.7, 0.3]]
    assert expected([first, second], weights=[0.75, 0.25]).value == pytest.approx((0.75 + 1) / 2)
    by_row = expected([first, second], weights=np.array([[0.5, 0.5], [1.0, 0.0]]))
    assert by_row.value == pytest.approx((0.5 + 1) / 2)


def test_a_threshold_that_rows_share_is_corrected_by_what_it_is_off_at_home():
    tree = Validation(1000, "brier score", 0.2, accuracy=0.8, threshold=1 - 1e-6, above=1.0)
    assert expected([np.eye(2)], tree).value == pytest.approx(0.8)


def test_doubts_widen_the_interval():
    agreeing = expected([[[0.9, 0.1]] * 100] * 5)
    doubting = expected([[[0.9, 0.1]] * 100] * 4 + [[[0.6, 0.4]] * 100])
    contradicting = expected([[[0.9, 0.1]] * 100] * 4 + [[[0.4, 0.6]] * 100])
    assert doubting.high - doubting.low > agreeing.high - agreeing.low
    assert contradicting.low < agreeing.low
    assert contradicting.value == agreeing.value == 1.0
    assert "too narrow" not in agreeing.message


def test_more_rows_at_home_and_here_make_it_narrower():
    def width(here, home):
        found = expected([np.tile(FOUR, (here, 1))] * 5, Validation(home, "brier score", 0.1, 0.75, None, 0.65, 0.75))
        return found.high - found.low

    assert width(25, 100) > width(25, 1000) > width(250, 1000)


def test_answers_of_learnwares_without_a_threshold_may_be_right_or_wrong():
    # Half of the rows get an answer that only the learnware without a threshold gives.
    silent, shipping = [[0.0, 1.0], [1.0, 0.0]] * 50, [[0.9, 0.1]] * 100
    found = expected([shipping, silent], [SURE, None], weights=[0.3, 0.7])
    assert found.value == 1.0
    assert found.low < 0.5
    assert found.high == 1.0
    assert found.message.endswith("not counted, for want of a threshold: learnwares[1]")
    found = expected([shipping, [[0.0, 1.0]] * 100], [SURE, None], weights=[0.3, 0.7])
    assert (found.low, found.high) == (0.0, 1.0)


def test_without_any_threshold_there_is_no_estimate():
    labels = Validation.of_classes(np.array([0, 1, 1, 1]), TRUE)
    with pytest.raises(InvalidArgument, match=r"^learnwares: expected .* learnwares\[0\], learnwares\[1\] ship none"):
        expected([FOUR, FOUR, FOUR], [None, labels, SURE], weights=[0.5, 0.5, 0.0])


# ---- With the reuser -----------------------------------------------------------------------------------------------


class Known:
    """A learnware in this process."""

    def __init__(self, model, semantic, validation=None):
        self.model, self.semantic, self.validation = model, semantic, validation

    def predict(self, X):
        return self.model.predict_proba(X) if hasattr(self.model, "predict_proba") else self.model.predict(X)


def test_the_reuser_aligns_and_asks_those_with_weight():
    class Fixed:
        def __init__(self, answer):
            self.predict_proba = lambda X: np.array(answer)

    models = [
        Known(Fixed([[0.9, 0.1], [0.1, 0.9]]), about(), SURE),
        Known(Fixed([[0.4, 0.6], [0.7, 0.3]]), about(names=("yes", "no")), SURE),
        Known(Fixed([[1.0]]), about("Regression", ["y"])),
    ]
    reuser = AveragingReuser(models, weights=[3, 1, 0], mode="vote_by_prob")
    assert reuser.expected_accuracy(np.zeros((2, 2))).value == pytest.approx((0.75 + 1.0) / 2)
    assert reuser.set_params(mode="vote_by_label").expected_accuracy(np.zeros((2, 2))).value == pytest.approx(0.875)


@pytest.mark.parametrize("mode", ["mean", "vote_by_label", "vote_by_prob"])
def test_a_regression_has_no_expected_accuracy(mode):
    model = Known(LinearRegression().fit(ROWS, ROWS[:, 0]), about("Regression", ["y"]))
    with pytest.raises(InvalidArgument, match=r"^mode: .* regression .* of Regression of 'y'"):
        AveragingReuser([model], mode=mode).expected_accuracy(ROWS)


def test_the_interval_holds_the_accuracy_of_users_whose_digits_are_other_mixes():
    """Of 24 users, with learnwares that know some of the digits each, and a tree among them."""
    images, digits = load_digits(return_X_y=True)
    images = images / 16
    rng = np.random.default_rng(0)
    order = rng.permutation(len(digits))
    theirs, ours = order[:1100], order[1100:]

    def drawn(pool, size):
        mix = rng.dirichlet(np.full(10, 0.5))[digits[pool]]
        return rng.choice(pool, size, replace=False, p=(mix + 1e-9) / (mix + 1e-9).sum())

    learnwares = []
    for i in range(10):
        rows = drawn(theirs, 250)
        model = DecisionTreeClassifier(random_state=0) if i == 9 else LogisticRegression(max_iter=500)
        model.fit(images[rows[:180]], digits[rows[:180]])
        names = [str(digit) for digit in model.classes_]
        rest = rows[180:][np.isin(digits[rows[180:]], model.classes_)]
        validation = Validation.of_classes(
            model.predict_proba(images[rest]), np.searchsorted(model.classes_, digits[rest])
        )
        learnwares.append(Known(model, about(names=names, columns=64), validation))
    reuser = AveragingReuser(learnwares, mode="vote_by_prob")
    inside, errors = [], []
    for _ in range(24):
        rows = drawn(ours, 200)
        right = np.array(reuser.meaning.shown)[reuser.predict(images[rows])] == digits[rows].astype(str)
        found = reuser.expected_accuracy(images[rows])
        inside.append(found.low <= right.mean() <= found.high)
        errors.append(abs(found.value - right.mean()))
    assert np.mean(inside) >= 0.9
    assert np.mean(errors) < 0.1
    assert ld.reuse.ExpectedAccuracy is type(found)
