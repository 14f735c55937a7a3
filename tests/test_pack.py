"""A fitted model is packed, opened elsewhere, and predicts the same."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from sklearn.compose import ColumnTransformer
from sklearn.datasets import make_classification, make_regression
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

from leaks import nothing_left
from learndock import Learnware, RKMETableSpecification, SemanticSpecification, runtime
from learndock.checker import Status, check_learnware
from learndock.errors import InvalidArgument, LearnwareError
from learndock.learnware import extract, load_model_file, missing_requirements, package
from learndock.learnware._class_columns import class_columns

X, LABELS = make_classification(
    n_samples=120, n_features=5, n_informative=4, n_redundant=0, n_classes=3, random_state=0
)
_, TARGETS = make_regression(n_samples=120, n_features=5, n_targets=2, random_state=0)
NAMES = np.array(["setosa", "versicolor", "virginica"])
SPECIFICATION = RKMETableSpecification(X[:12] + 1e-3, np.full(12, 1 / 12), gamma=0.1, num_points=120)
NEW = np.random.default_rng(1).normal(size=(20, 5))


def semantic(task, dimension, description=None, *, columns=5, **changes):
    return SemanticSpecification(
        **{
            "name": "Packed",
            "description": "A packed model.",
            "data": "Table",
            "task": task,
            "library": "Scikit-learn",
            "scenario": ["Others"],
            "license": "MIT",
            "input": {"Dimension": columns, "Description": {}},
            "output": None if dimension is None else {"Dimension": dimension, "Description": description or {}},
            **changes,
        }
    )


CLASSES = semantic("Classification", 3, {str(number): name for number, name in enumerate(NAMES)})


@pytest.fixture(autouse=True)
def _tidy(tmp_path):  # made before, so that it does not count
    with nothing_left():
        yield


@pytest.fixture
def unverified(monkeypatch):
    """Leave out the start of a process at the end of packing; the tests at the end of this file have it."""
    monkeypatch.setattr(package, "_verify", lambda *_: None)


def packed(tmp_path, model, specification=SPECIFICATION, semantics=CLASSES, **options):
    path = tmp_path / "model.zip"
    return Learnware.pack(model, specification=specification, semantic=semantics, path=path, **options)


def loaded(path, monkeypatch):
    """Make the model in a zip in this very process."""
    folder = path.with_suffix("")
    extract(path, folder)
    monkeypatch.syspath_prepend(Path(runtime.__file__).parent / "standin")
    spec = importlib.util.spec_from_file_location("packed", folder / "__init__.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    # No other test may find the stand-in.
    for name in [name for name in sys.modules if name.partition(".")[0] == "learnware"]:
        del sys.modules[name]
    return module.PackedModel()


def contents(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.usefixtures("unverified")
@pytest.mark.parametrize(
    "model",
    [
        LogisticRegression(),
        RandomForestClassifier(n_estimators=5, random_state=0),
        HistGradientBoostingClassifier(max_iter=5),
        make_pipeline(
            StandardScaler(), FunctionTransformer(np.arctan), MLPClassifier((4,), max_iter=20, random_state=0)
        ),
    ],
    ids=lambda model: type(model).__name__,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_classifier_predicts_probabilities_and_its_file_is_data_only(tmp_path, monkeypatch, model):
    model.fit(X, LABELS)
    path = packed(tmp_path, model)
    assert "model.skops" in contents(path)
    assert yaml.safe_load(contents(path)["learnware.yaml"])["model"]["format"] == "skops"
    again = loaded(path, monkeypatch)
    assert (again.input_shape, again.output_shape) == ((5,), (3,))
    np.testing.assert_allclose(again.predict(NEW), model.predict_proba(NEW), rtol=1e-12)


@pytest.mark.usefixtures("unverified")
def test_columns_follow_the_descriptions_and_absent_classes_keep_probability_0(tmp_path, monkeypatch):
    order = {"0": "virginica", "1": "never seen", "2": "setosa", "3": "versicolor"}
    model = LogisticRegression().fit(X, NAMES[LABELS])
    again = loaded(packed(tmp_path, model, semantics=semantic("Classification", 4, order)), monkeypatch)
    p = model.predict_proba(NEW)
    np.testing.assert_allclose(again.predict(NEW), np.column_stack([p[:, 2], np.zeros(20), p[:, 0], p[:, 1]]))


@pytest.mark.parametrize(
    ("classes", "dimension", "columns"),
    [
        (np.array([0, 1, 2]), 3, [0, 1, 2]),
        (np.array([1, 4], dtype=np.uint8), 5, [1, 4]),
        (np.array([False, True]), 2, [0, 1]),
        (np.array([0.0, 2.0]), 3, [0, 2]),
        (np.array(["b", "a"], dtype=object), 2, [1, 0]),
    ],
)
def test_classes_are_columns_by_number_or_by_description(classes, dimension, columns):
    assert class_columns(classes, semantic("Classification", dimension, {"0": "a", "1": "b"})) == columns


@pytest.mark.parametrize("classes", [[0, 3], [-1, 0], [0.5, 1.0], ["a", "c"], [np.nan, 1.0], [None, 1]])
def test_a_class_that_the_description_lacks_is_named(classes):
    with pytest.raises(InvalidArgument, match="expected integers from 0 to 2, or one of 'a', 'b'"):
        class_columns(np.array(classes), semantic("Classification", 3, {"0": "a", "1": "b"}))


@pytest.mark.usefixtures("unverified")
@pytest.mark.parametrize("labels", [LABELS, NAMES[LABELS], LABELS.astype(float)], ids=["int", "str", "float"])
@pytest.mark.parametrize("model", [SVC(), RidgeClassifier()], ids=lambda model: type(model).__name__)
def test_a_classifier_without_probabilities_predicts_numbers_of_classes(tmp_path, monkeypatch, model, labels):
    model.fit(X, labels)
    again = loaded(packed(tmp_path, model), monkeypatch)
    found, expected = again.predict(NEW), model.predict(NEW)
    assert found.dtype == np.int64
    assert again.output_shape == (1,)
    np.testing.assert_array_equal(NAMES[found] if labels.dtype.kind == "U" else found, expected)


@pytest.mark.usefixtures("unverified")
@pytest.mark.parametrize(("targets", "dimension"), [(TARGETS[:, 0], 1), (TARGETS, 2)])
@pytest.mark.parametrize("model", [LinearRegression(), RandomForestRegressor(3)], ids=["linear", "forest"])
def test_a_regressor_predicts_its_numbers(tmp_path, monkeypatch, model, targets, dimension):
    model.fit(X, targets)
    again = loaded(packed(tmp_path, model, semantics=semantic("Regression", dimension)), monkeypatch)
    assert again.output_shape == (dimension,)
    np.testing.assert_allclose(again.predict(NEW), model.predict(NEW), rtol=1e-12)


@pytest.mark.usefixtures("unverified")
def test_a_transformer_extracts_features(tmp_path, monkeypatch):
    model = PCA(2).fit(X)
    again = loaded(packed(tmp_path, model, semantics=semantic("Feature Extraction", None)), monkeypatch)
    np.testing.assert_allclose(again.predict(NEW), model.transform(NEW))


class Foreign(LinearRegression):
    """Of a module that no distribution brings."""


def test_a_model_of_code_that_the_zip_would_not_hold_is_refused(tmp_path):
    model = Foreign().fit(X, TARGETS[:, 0])
    with pytest.raises(InvalidArgument, match="Foreign of the module test_pack"):
        packed(tmp_path, model, semantics=semantic("Regression", 1))
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_can_not_be_written_is_refused(tmp_path):
    model = make_pipeline(FunctionTransformer(lambda rows: rows), LinearRegression()).fit(X, TARGETS[:, 0])
    with pytest.raises(InvalidArgument, match="can't be written"):
        packed(tmp_path, model, semantics=semantic("Regression", 1))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        (
            {"semantics": semantic("Classification", 3, columns=4)},
            "specification has 5, the semantic specification's Input has 4, model.n_features_in_ has 5",
        ),
        (
            {"specification": RKMETableSpecification(np.ones((1, 4)), [1.0], gamma=0.1)},
            "statistical specification has 4, the semantic specification's Input has 5, model.n_features_in_ has 5",
        ),
        ({"semantics": semantic("Classification", 2)}, "its class 2 is not in .* from 0 to 1"),
        ({"model": LogisticRegression().fit(X, NAMES[LABELS]), "semantics": semantic("Classification", 3)}, "'setosa'"),
        ({"model": LogisticRegression().fit(X, LABELS - 1)}, "its class -1"),
        ({"model": LinearRegression().fit(X, LABELS)}, "expected a classifier with classes_, got LinearRegression"),
        (
            {"model": LinearRegression().fit(X, TARGETS), "semantics": semantic("Regression", 3)},
            "predicts 2 numbers a row",
        ),
        ({"model": LogisticRegression()}, "predict_proba fails on the specification's points"),
        ({"model": StandardScaler().fit(X)}, "expected a method predict_proba or predict, got StandardScaler"),
        ({"model": object()}, "expected a method"),
        (
            {"model": RandomForestClassifier(2).fit(X, np.column_stack([LABELS, LABELS]))},
            "a classifier of 2 outputs|axes",
        ),
    ],
)
def test_what_does_not_go_together_is_named_and_nothing_is_written(tmp_path, changes, complaint):
    given = {"model": LogisticRegression().fit(X, LABELS), **changes}
    with pytest.raises(InvalidArgument, match=complaint):
        packed(tmp_path, **given)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("unverified")
def test_an_existing_file_is_replaced_only_when_asked(tmp_path):
    model = LogisticRegression().fit(X, LABELS)
    path = tmp_path / "model.zip"
    path.write_text("precious")
    with pytest.raises(InvalidArgument, match=r"path: .*model\.zip exists already"):
        packed(tmp_path, model)
    assert path.read_text() == "precious"
    assert packed(tmp_path, model, overwrite=True) == path
    assert zipfile.is_zipfile(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(InvalidArgument, match="^path"):
        packed(tmp_path, model, overwrite=True)
    with pytest.raises(InvalidArgument, match=r"path: the folder .* does not exist"):
        packed(tmp_path / "missing", model)


# With the process at the end of packing, and those that open the zip again.


def test_a_packed_classifier_passes_every_check_and_is_left_as_it_was(tmp_path):
    model = LogisticRegression().fit(X, NAMES[LABELS])
    points, coefficients = SPECIFICATION.points.copy(), model.coef_.copy()
    report = check_learnware(packed(tmp_path, model))
    assert report.status == Status.USABLE, report.checks
    with report.learnware as learnware:
        assert learnware.specification == SPECIFICATION
        assert learnware.semantic == CLASSES
        assert missing_requirements(learnware.requirements) == ()
        np.testing.assert_allclose(learnware.predict(NEW), model.predict_proba(NEW), rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(SPECIFICATION.points, points)
    np.testing.assert_array_equal(model.coef_, coefficients)


@pytest.mark.parametrize("by_name", [False, True])
def test_a_model_of_a_frame_gets_a_frame_only_where_it_needs_one(tmp_path, by_name):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcde"))
    scaler = ColumnTransformer([("scale", StandardScaler(), ["a", "c"])], remainder="passthrough")
    model = make_pipeline(scaler if by_name else StandardScaler(), LogisticRegression()).fit(frame, LABELS)
    files = contents(packed(tmp_path, model))
    assert ("pandas==" in files["requirements.txt"].decode()) == by_name
    assert json.loads(files["packed_model.json"])["feature_names"] == (list("abcde") if by_name else None)


def test_a_model_of_another_distribution_is_pickled_with_its_requirements(tmp_path):
    from packaging.version import Version

    model = LinearRegression().fit(X, TARGETS[:, 0])
    model.version_ = Version("1.0")
    files = contents(packed(tmp_path, model, semantics=semantic("Regression", 1)))
    assert yaml.safe_load(files["learnware.yaml"])["model"]["format"] == "joblib"
    names = {line.partition("==")[0] for line in files["requirements.txt"].decode().split()}
    assert {"joblib", "numpy", "packaging", "scikit-learn"} <= names
    assert "model.skops" not in files


def test_a_packed_model_that_predicts_otherwise_gets_no_name(tmp_path, monkeypatch):
    other = LogisticRegression().fit(X, (LABELS + 1) % 3)
    write = package.write_model
    monkeypatch.setattr(package, "write_model", lambda model, folder: write(other, folder))
    with pytest.raises(LearnwareError, match="predicts otherwise"):
        packed(tmp_path, LogisticRegression().fit(X, LABELS))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("unverified")
def test_a_zip_has_the_mode_of_any_new_file(tmp_path):
    (tmp_path / "other").touch()
    path = packed(tmp_path, LogisticRegression().fit(X, LABELS))
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize("name", ["model.skops", "model.joblib", "model.PKL"])
def test_a_file_with_a_model_is_loaded_by_its_name(tmp_path, name):
    import joblib
    import skops.io

    model = HistGradientBoostingClassifier(max_iter=3).fit(X, LABELS)
    (skops.io if name.endswith(".skops") else joblib).dump(model, tmp_path / name)
    np.testing.assert_array_equal(load_model_file(tmp_path / name).predict(NEW), model.predict(NEW))


def test_a_file_that_holds_no_model_is_an_error_that_names_it(tmp_path):
    for name, error in [
        ("a.txt", InvalidArgument),
        ("missing.pkl", InvalidArgument),
        ("a.skops", LearnwareError),
        ("a.pkl", LearnwareError),
    ]:
        if name != "missing.pkl":
            (tmp_path / name).write_bytes(b"nothing")
        with pytest.raises(error, match=name):
            load_model_file(tmp_path / name)


def test_held_out_rows_are_in_the_zip_only_where_they_are_asked_for(tmp_path):
    model = LogisticRegression().fit(X, NAMES[LABELS])
    rows = NEW.astype(np.float32)
    rows[3, 1] = np.nan
    for name, options in {"without.zip": {}, "with.zip": {"held_out": rows}}.items():
        Learnware.pack(model, specification=SPECIFICATION, semantic=CLASSES, path=tmp_path / name, **options)
    with zipfile.ZipFile(tmp_path / "without.zip") as archive:
        assert not [entry for entry in archive.namelist() if entry.endswith(".npy")]
        assert "held_out" not in yaml.safe_load(archive.read("learnware.yaml"))
    expected = np.where(np.isnan(rows), np.nanmean(rows.astype(float), axis=0), rows)
    with Learnware.open(tmp_path / "with.zip") as learnware:
        np.testing.assert_allclose(learnware.held_out, expected, rtol=1e-14)
    assert np.isnan(rows[3, 1])


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (np.zeros((1001, 5)), "at most 1000 rows"),
        (np.zeros((10, 4)), r"shape \(5,\)"),
        (np.zeros(5), "2 dimensions"),
        (np.full((2, 5), np.inf), "finite"),
        ([["a"] * 5], "numbers"),
    ],
)
def test_held_out_rows_that_can_t_be_used_are_refused(tmp_path, rows, says):
    model = LogisticRegression().fit(X, NAMES[LABELS])
    with pytest.raises(InvalidArgument, match=f"held_out: expected .*{says}"):
        Learnware.pack(model, specification=SPECIFICATION, semantic=CLASSES, path=tmp_path / "a.zip", held_out=rows)
    assert not list(tmp_path.iterdir())
