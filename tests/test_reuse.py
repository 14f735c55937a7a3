"""Averages and votes, against arithmetic by hand."""

import numpy as np
import pytest

import learndock as ld
from filled_docks import described
from learndock.errors import InvalidArgument, LearnwareError, SpecificationMismatch
from learndock.reuse import AveragingReuser


class Fixed:
    """A model that always answers the same."""

    def __init__(self, answer):
        self.answer = np.asarray(answer)
        self.asked = 0

    def predict(self, X):
        self.asked += 1
        return self.answer


X = np.zeros((2, 3))


def test_mean_is_weighted_and_takes_one_column_or_none():
    models = [Fixed([0.0, 2.0]), Fixed([[4.0], [4.0]])]
    assert AveragingReuser(models).predict(X).tolist() == [2.0, 3.0]
    assert AveragingReuser(models, weights=[3, 1]).predict(X).tolist() == [1.0, 2.5]


def test_mean_of_several_targets_keeps_the_columns():
    models = [Fixed([[0.0, 1.0], [2.0, 3.0]]), Fixed([[2.0, 1.0], [0.0, 1.0]])]
    assert AveragingReuser(models).predict(X).tolist() == [[1.0, 1.0], [1.0, 2.0]]


def test_vote_by_label_counts_weights_and_ties_go_to_the_smaller_label():
    models = [Fixed([1, 0]), Fixed([1, 2]), Fixed([0, 1])]
    assert AveragingReuser(models, mode="vote_by_label").predict(X).tolist() == [1, 0]
    assert AveragingReuser(models, weights=[0.2, 0.2, 0.6], mode="vote_by_label").predict(X).tolist() == [0, 1]


def test_vote_by_label_takes_text_and_columns_of_scores():
    assert AveragingReuser([Fixed(["a", "b"]), Fixed(["a", "c"])], mode="vote_by_label").predict(X).tolist() == [
        "a",
        "b",
    ]
    scores = Fixed([[0.1, 0.9], [0.8, 0.2]])
    assert AveragingReuser([scores, Fixed([[1], [0]])], mode="vote_by_label").predict(X).tolist() == [1, 0]


def test_vote_by_prob_averages_probabilities():
    models = [Fixed([[0.9, 0.1], [0.5, 0.5]]), Fixed([[0.4, 0.6], [0.0, 1.0]])]
    reuser = AveragingReuser(models, weights=[1, 3], mode="vote_by_prob")
    assert np.allclose(reuser.predict_proba(X), [[0.525, 0.475], [0.125, 0.875]])
    assert reuser.predict(X).tolist() == [0, 1]


def test_vote_by_prob_takes_what_is_no_probability_as_logits():
    reuser = AveragingReuser([Fixed([[0.0, np.log(3.0)], [1000.0, 0.0]])], mode="vote_by_prob")
    assert np.allclose(reuser.predict_proba(X), [[0.25, 0.75], [1.0, 0.0]])


def test_a_learnware_of_no_weight_is_not_asked():
    silent = Fixed([np.nan, np.nan])
    assert AveragingReuser([silent, Fixed([1.0, 2.0])], weights=[0, 2]).predict(X).tolist() == [1.0, 2.0]
    assert silent.asked == 0


@pytest.mark.parametrize(
    ("models", "options", "named"),
    [
        ([], {}, "learnwares"),
        ("no models", {}, "learnwares"),
        (["no model"], {}, r"learnwares\[0\]"),
        ([Fixed([1.0])], {"mode": "median"}, "mode"),
        ([Fixed([1.0])], {"weights": [0.5, 0.5]}, "weights"),
        ([Fixed([1.0])], {"weights": [0.0]}, "weights"),
        ([Fixed([1.0])], {"weights": [-1.0]}, "weights"),
        ([Fixed([1.0])], {"weights": [np.nan]}, "weights"),
    ],
)
@pytest.mark.parametrize(
    "use", [lambda reuser: reuser.fit(X), lambda reuser: reuser.predict(X)], ids=["fit", "predict"]
)
def test_bad_arguments_are_named_when_they_are_used(models, options, named, use):
    reuser = AveragingReuser(models, **options)
    repr(reuser), reuser._repr_html_()
    with pytest.raises(InvalidArgument, match=f"^{named}"):
        use(reuser)


@pytest.mark.parametrize(
    ("answers", "mode"),
    [
        (([1.0, 2.0], [1.0, 2.0, 3.0]), "mean"),
        (([[1.0, 2.0], [1.0, 2.0]], [1.0, 2.0]), "mean"),
        ((["a", "b"], ["a", "b"]), "mean"),
        (([1, 0], [1, 0]), "vote_by_prob"),
        (([[0.5, 0.5]] * 2, [[0.2, 0.3, 0.5]] * 2), "vote_by_prob"),
        (([1, 0], ["1", "0"]), "vote_by_label"),
        (([[0.1, 0.9]] * 2, ["a", "b"]), "vote_by_label"),
    ],
    ids=["lengths", "columns", "text", "labels", "classes", "kinds", "columns and text"],
)
def test_outputs_that_do_not_fit_together_name_the_learnware(answers, mode):
    with pytest.raises(LearnwareError, match=r"learnwares\[\d\]"):
        AveragingReuser([Fixed(answer) for answer in answers], mode=mode).predict(X)


UNFIT = {
    "nan": [[0.5, np.nan], [0.5, 0.5]],
    "infinity": [[0.5, np.inf], [0.5, 0.5]],
    "three axes": np.zeros((2, 2, 2)),
    "no columns": np.zeros((2, 0)),
    "no axis": 1.0,
    "complex": [[1j, 0], [0, 1]],
    "dates": np.array(["2001-02-03", "2001-02-04"], dtype="M8[D]"),
    "nothing": np.array([None, 1], dtype=object),
    "text among numbers": np.array(["1", 1], dtype=object),
    "columns of text": [["a", "b"], ["a", "b"]],
}


@pytest.mark.parametrize("mode", ["mean", "vote_by_label", "vote_by_prob"])
@pytest.mark.parametrize("answer", UNFIT.values(), ids=UNFIT)
def test_outputs_that_are_no_predictions_are_refused_by_name(answer, mode):
    good = [[0.5, 0.5], [0.5, 0.5]]
    with pytest.raises(LearnwareError, match=r"^learnwares\[1\]: expected"):
        AveragingReuser([Fixed(good), Fixed(answer)], mode=mode).predict(X)


def test_a_ragged_output_is_refused_by_name():
    class Ragged:
        def predict(self, X):
            return [[1.0], [1.0, 2.0]]

    with pytest.raises(LearnwareError, match=r"^learnwares\[0\]: expected"):
        AveragingReuser([Ragged()], mode="vote_by_label").predict(X)


def test_nan_labels_are_no_votes():
    with pytest.raises(LearnwareError, match=r"^learnwares\[0\]: expected finite numbers, got nan"):
        AveragingReuser([Fixed([np.nan, 1.0])], mode="vote_by_label").predict(X)


def test_labels_held_as_objects_are_what_they_are():
    text = Fixed(np.array(["yes", "no"], dtype=object))
    assert AveragingReuser([text, Fixed([["yes"], ["yes"]])], mode="vote_by_label").predict(X).tolist() == ["yes", "no"]
    assert AveragingReuser([Fixed(np.array([2, 1], dtype=object)), Fixed([2, 1])]).predict(X).tolist() == [2.0, 1.0]


def test_huge_logits_overflow_nothing():
    reuser = AveragingReuser([Fixed([[1.7e308, -1.7e308], [0.0, 0.0]])], mode="vote_by_prob")
    assert reuser.predict_proba(X).tolist() == [[1.0, 0.0], [0.5, 0.5]]


def test_probabilities_need_the_mode():
    with pytest.raises(InvalidArgument, match="vote_by_prob"):
        AveragingReuser([Fixed([1.0, 2.0])]).predict_proba(X)


def test_columns_that_differ_name_both_learnwares():
    models = [Fixed([[0.5, 0.5]] * 2), Fixed([[0.2, 0.3, 0.5]] * 2)]
    with pytest.raises(LearnwareError, match=r"^learnwares\[1\]: expected 2 columns as learnwares\[0\]'s.*3 columns"):
        AveragingReuser(models).predict(X)


def test_html_names_learnwares_and_weights():
    named = Fixed([1.0, 2.0])
    named.id = "<b>mine</b>"
    html = AveragingReuser([named, Fixed([1.0, 2.0])], weights=[0.75, 0.25])._repr_html_()
    assert "&lt;b&gt;mine&lt;/b&gt;" in html
    assert "0.75" in html
    assert "Fixed" in html


def test_the_reuser_is_reached_from_the_package():
    assert ld.reuse.AveragingReuser is AveragingReuser


@pytest.mark.parametrize("weights", [3, ["a", "b"], [1.0], None])
def test_html_shows_whatever_the_constructor_was_given(weights):
    assert "Fixed" in AveragingReuser([Fixed([1.0]), Fixed([2.0])], weights=weights)._repr_html_()


# ---- Outputs that mean the same ------------------------------------------------------------------------------------


def meaning(answer, *names, task="Classification"):
    """A model whose semantic part describes its outputs."""
    model = Fixed(answer)
    model.semantic = described(
        task=task, input={"Dimension": 3}, output={"Dimension": len(names), "Description": dict(enumerate(names))}
    )
    return model


def test_probabilities_are_averaged_by_the_names_of_classes():
    models = [meaning([[0.9, 0.1], [0.5, 0.5]], "cat", "dog"), meaning([[0.6, 0.3, 0.1]] * 2, "Dog", "Cat", "fox")]
    reuser = AveragingReuser(models, weights=[1, 3], mode="vote_by_prob")
    assert reuser.meaning.shown == ("cat", "dog", "fox")
    assert np.allclose(reuser.predict_proba(X), [[0.45, 0.475, 0.075], [0.35, 0.575, 0.075]])
    assert reuser.predict(X).tolist() == [1, 1]
    assert reuser.fit(X, [0, 1]).classes_.tolist() == [0, 1, 2]


def test_a_class_that_a_model_of_logits_does_not_know_has_probability_0():
    models = [meaning([[0.0, np.log(3.0)]] * 2, "cat", "dog"), meaning([[0.5, 0.5]] * 2, "dog", "fox")]
    for mode, predict in [("vote_by_prob", "predict_proba"), ("mean", "predict")]:
        found = getattr(AveragingReuser(models, mode=mode), predict)(X)
        assert np.allclose(found, [[0.125, 0.625, 0.25]] * 2)


def test_votes_are_counted_by_the_names_of_classes():
    models = [
        meaning([0, 1], "cat", "dog"),
        meaning([0, 2], "dog", "cat", "fox"),
        meaning([[0.1, 0.9]] * 2, "fox", "cat"),
    ]
    reuser = AveragingReuser(models, weights=[1, 3, 1], mode="vote_by_label")
    assert reuser.predict(X).tolist() == [1, 2]
    texts = [meaning(["Cat", "dog"], "cat", "dog"), meaning(["cat", "DOG"], "dog", "cat")]
    assert AveragingReuser(texts, mode="vote_by_label").predict(X).tolist() == ["cat", "dog"]


def test_means_are_taken_by_the_names_of_targets():
    models = [
        meaning([[1.0, 10.0], [2.0, 20.0]], "O3 in ppb", "NO2 in ppb", task="Regression"),
        meaning([[30.0, 3.0], [40.0, 4.0]], "NO2 in ppb", "O3 in ppb", task="Regression"),
        Fixed([[5.0, 50.0], [6.0, 60.0]]),
    ]
    assert AveragingReuser(models, weights=[1, 1, 2]).predict(X).tolist() == [[3.5, 35.0], [4.5, 45.0]]


@pytest.mark.parametrize("mode", ["mean", "vote_by_label", "vote_by_prob"])
@pytest.mark.parametrize(
    ("names", "task"), [(("x", "z"), "Regression"), (("x", "y"), "Classification")], ids=["target", "task"]
)
def test_different_targets_are_never_combined(names, task, mode):
    models = [meaning([[0.5, 0.5]] * 2, "x", "y", task="Regression"), meaning([[0.5, 0.5]] * 2, *names, task=task)]
    reuser = AveragingReuser(models, mode=mode)
    says = rf"^learnwares\[1\]: .* learnwares\[0\]'s, Regression of 'x', 'y'; got {task} of '{names[0]}', '{names[1]}'"
    for use in (reuser.fit, reuser.predict):
        with pytest.raises(SpecificationMismatch, match=says):
            use(X)
    assert not any(model.asked for model in models)
    assert AveragingReuser(models, weights=[1, 0], mode=mode).predict(X).shape[0] == 2


def test_columns_that_are_not_the_described_ones_name_the_learnware():
    models = [meaning([[0.5, 0.5]] * 2, "a", "b"), meaning([[0.2, 0.3, 0.5]] * 2, "b", "a")]
    for mode in ("mean", "vote_by_label", "vote_by_prob"):
        with pytest.raises(LearnwareError, match=r"^learnwares\[1\]: expected 2 columns, .*, got 3"):
            AveragingReuser(models, mode=mode).predict(X)
