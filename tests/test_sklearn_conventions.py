"""Reusers behave as scikit-learn expects of an estimator, without it being imported for them."""

from __future__ import annotations

import copy
import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.datasets import make_blobs
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

import learndock as ld
from learndock.dock import Mixture
from learndock.errors import InvalidArgument
from learndock.reuse import AveragingReuser, JobSelectorReuser, LocalCompetence

X, LABELS = make_blobs(n_samples=200, centers=[[0, 0], [0, 4], [9, 0], [9, 4]], random_state=0)


class Local:
    """A model trained on the rows of some of the labels; not an estimator, as a Learnware is none."""

    def __init__(self, kinds):
        rows = np.isin(LABELS, kinds)
        self.model = LogisticRegression().fit(X[rows], LABELS[rows])
        self.specification = ld.RKMETableSpecification.fit(X[rows], n_points=10, random_state=0)

    def predict(self, rows):
        return self.model.predict(rows)


class Everywhere(Local):
    """Probabilities of all labels."""

    def predict(self, rows):
        probabilities = np.zeros((len(rows), 4))
        probabilities[:, self.model.classes_] = self.model.predict_proba(rows)
        return probabilities


LOCALS = [Local([0, 1]), Local([2, 3])]


def reusers():
    return {
        "averaging": AveragingReuser(LOCALS, weights=[0.75, 0.25], mode="vote_by_label"),
        "job selector": JobSelectorReuser(LOCALS, weights=[0.5, 0.5], n_herd=100, selector=SVC(C=3.0), random_state=1),
    }


def local_competence():
    """Without a peer review; tests/test_local_competence.py has those of it alone."""
    return LocalCompetence(Mixture(("a", "b"), (0.75, 0.25), 0.0), LOCALS)


EACH = pytest.mark.parametrize("reuser", reusers().values(), ids=reusers())
EVERY = pytest.mark.parametrize(
    "reuser", [*reusers().values(), local_competence()], ids=[*reusers(), "local competence"]
)


@EVERY
@pytest.mark.filterwarnings("ignore::learndock.errors.UnreviewedWarning")
def test_arguments_are_stored_as_they_come(reuser):
    for name, value in reuser.get_params(deep=False).items():
        assert getattr(reuser, name) is value
    assert reuser.get_params()["learnwares"] is LOCALS
    assert set(vars(reuser)) == set(reuser.get_params(deep=False))


def test_parameters_of_a_classifier_are_reached_through_it():
    reuser = reusers()["job selector"]
    assert reuser.get_params()["selector__C"] == 3.0
    assert "selector__C" not in reuser.get_params(deep=False)
    assert reuser.set_params(selector__C=5.0, n_herd=50) is reuser
    assert (reuser.selector.C, reuser.n_herd) == (5.0, 50)
    assert reuser.set_params(selector=SVC(), selector__C=7.0).selector.C == 7.0


@EACH
def test_an_unknown_parameter_is_named_and_nothing_is_set(reuser):
    before = reuser.get_params(deep=False)
    with pytest.raises(InvalidArgument, match=r"^weight: no parameter of \w+Reuser, expected one of .*weights"):
        reuser.set_params(weights=[1, 1], weight=[1, 1])
    with pytest.raises(InvalidArgument, match="^weights: expected an estimator"):
        reuser.set_params(weights__C=1)
    assert reuser.get_params(deep=False) == before


@EACH
def test_a_clone_combines_the_same_learnwares_and_shares_nothing_else(reuser):
    twin = clone(reuser.fit(X))
    assert type(twin) is type(reuser)
    assert twin.learnwares is reuser.learnwares
    assert twin.weights == reuser.weights
    assert twin.weights is not reuser.weights
    assert not hasattr(twin, "weights_")
    assert twin.predict(X).tolist() == reuser.predict(X).tolist()
    if isinstance(reuser, JobSelectorReuser):
        assert twin.selector is not reuser.selector
        assert twin.selector.C == reuser.selector.C


def test_models_that_are_estimators_stay_fitted_in_a_clone():
    model = LogisticRegression().fit(X, LABELS)
    twin = clone(AveragingReuser([model], mode="vote_by_label"))
    assert twin.predict(X).tolist() == model.predict(X).tolist()


def test_a_clone_of_bad_arguments_is_no_error_until_it_is_used():
    twin = clone(AveragingReuser(LOCALS, mode="median"))
    with pytest.raises(InvalidArgument, match="^mode"):
        twin.fit(X)


@EACH
def test_the_last_step_of_a_pipeline(reuser):
    shift = FunctionTransformer(lambda rows: rows - 5.0)
    pipeline = clone(make_pipeline(shift, reuser))
    assert pipeline.fit(X + 5.0, LABELS).predict(X + 5.0).tolist() == clone(reuser).fit(X).predict(X).tolist()
    assert type(reuser).__name__ in pipeline._repr_html_()
    assert pipeline.set_params(**{f"{type(reuser).__name__.lower()}__weights": [1, 0]})[-1].weights == [1, 0]


@EVERY
@pytest.mark.filterwarnings("ignore::learndock.errors.UnreviewedWarning")
def test_predict_works_before_fit_and_scikit_learn_knows_it(reuser):
    check_is_fitted(clone(reuser))
    assert len(make_pipeline(FunctionTransformer(), clone(reuser)).predict(X)) == len(X)
    assert not get_tags(reuser).requires_fit
    assert not get_tags(reuser).target_tags.required


def test_kinds_of_estimators():
    assert is_regressor(AveragingReuser(LOCALS))
    assert is_classifier(AveragingReuser(LOCALS, mode="vote_by_label"))
    assert is_classifier(AveragingReuser(LOCALS, mode="vote_by_prob"))
    assert get_tags(JobSelectorReuser(LOCALS)).estimator_type is None


def test_cross_validation_scores_what_they_predict():
    selector = JobSelectorReuser(LOCALS, selector="embedding")
    assert cross_val_score(selector, X, LABELS, scoring="accuracy", cv=4).min() > 0.9
    assert (cross_val_predict(selector, X, LABELS, cv=4) == selector.predict(X)).all()
    voter = AveragingReuser([Everywhere([0, 1]), Everywhere([0, 1, 2, 3])], weights=[1, 3], mode="vote_by_prob")
    assert cross_val_score(voter, X, LABELS, scoring="accuracy", cv=4).min() > 0.9
    assert cross_val_score(voter, X, LABELS, scoring="neg_log_loss", cv=4).min() > -1.0
    assert cross_val_score(AveragingReuser(LOCALS), X, LABELS, scoring="r2", cv=4).max() < 1.0


def test_grid_search_chooses_between_weights():
    models = [Local([0, 1]), Local([0, 1, 2, 3])]
    grid = {"weights": [[0.9, 0.1], [0.1, 0.9]], "mode": ["vote_by_label"]}
    search = GridSearchCV(AveragingReuser(models), grid, scoring="accuracy", cv=3).fit(X, LABELS)
    assert search.best_params_["weights"] == [0.1, 0.9]
    assert search.predict(X).tolist() == models[1].predict(X).tolist()


def test_classes_after_fit_with_labels():
    assert AveragingReuser(LOCALS, mode="vote_by_label").fit(X, ["b"] * 199 + ["a"]).classes_.tolist() == ["a", "b"]
    assert AveragingReuser(LOCALS, mode="vote_by_prob").fit(X, LABELS).classes_.tolist() == [0, 1, 2, 3]
    assert not hasattr(AveragingReuser(LOCALS, mode="vote_by_prob").fit(X), "classes_")
    assert not hasattr(AveragingReuser(LOCALS).fit(X, LABELS), "classes_")


@EVERY
@pytest.mark.filterwarnings("ignore::learndock.errors.UnreviewedWarning")
def test_a_deep_copy_predicts_alike(reuser):
    assert copy.deepcopy(reuser.fit(X)).predict(X).tolist() == reuser.predict(X).tolist()


def test_scaling_in_a_pipeline_before_specifications_of_scaled_data():
    scaler = StandardScaler().fit(X)
    scaled = [Local([0, 1]), Local([2, 3])]
    for learnware, kinds in zip(scaled, ([0, 1], [2, 3]), strict=True):
        rows = np.isin(LABELS, kinds)
        learnware.model.fit(scaler.transform(X[rows]), LABELS[rows])
        learnware.specification = ld.RKMETableSpecification.fit(
            scaler.transform(X[rows]), n_points=10, gamma=1.0, random_state=0
        )
    pipeline = make_pipeline(StandardScaler(), JobSelectorReuser(scaled, selector="embedding")).fit(X)
    assert np.mean(pipeline.predict(X) == LABELS) > 0.9


def test_scikit_learn_is_not_imported_for_what_needs_none_of_it():
    code = """
import sys
import learndock as ld
class Model:
    specification = ld.RKMETableSpecification([[0.0]], [1.0], gamma=1.0)
    def predict(self, X):
        return [1.0] * len(X)
models = [Model(), Model()]
from learndock.dock import Mixture
hits = Mixture(("a", "b"), (0.5, 0.5), 0.0)
for reuser in (
    ld.reuse.AveragingReuser(models),
    ld.reuse.JobSelectorReuser(models, selector="embedding"),
    ld.reuse.LocalCompetence(hits, models),
):
    reuser.set_params(**reuser.get_params()).fit([[0.0]]).predict([[0.0], [1.0]])
    repr(reuser), reuser._repr_html_()
print("sklearn" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_labels_that_can_be_no_columns_are_an_error():
    with pytest.raises(InvalidArgument, match="^y: "):
        AveragingReuser([Everywhere([0, 1])], mode="vote_by_prob").fit(X, ["a"] * 200)
