"""Opening learnwares of every accepted layout, and what a bad one is told."""

from __future__ import annotations

import copy
import gc
import json
import pickle
import textwrap
import zipfile

import numpy as np
import pytest
import yaml

from leaks import nothing_left
from learndock import Learnware, RKMETableSpecification, SemanticSpecification
from learndock.errors import (
    ArchiveRejected,
    InvalidArgument,
    LearnwareError,
    ModelError,
    ModelTimeout,
    SemanticError,
    SpecificationFileError,
)
from learndock.learnware import LearnwareDescription, SpecificationEntry
from learndock.runtime import ModelDescription, ModelLimits
from model_folders import write_model

SPECIFICATION = RKMETableSpecification(np.arange(6.0).reshape(2, 3), [0.5, 0.5], gamma=0.1, num_points=10)
SEMANTIC = SemanticSpecification(
    name="Sum",
    description="The sum of a row.",
    data="Table",
    task="Regression",
    library="Others",
    scenario=["Others"],
    license="MIT",
    input={"Dimension": 3, "Description": {"0": "first"}},
    output={"Dimension": 1, "Description": {"0": "sum"}},
)
YAML = {
    "model": {"class_name": "Model", "kwargs": {}},
    "stat_specifications": [
        {
            "module_path": "learnware.specification",
            "class_name": "RKMETableSpecification",
            "file_name": "stat.json",
            "kwargs": {},
        }
    ],
}
ROWS = np.arange(12.0).reshape(4, 3)


@pytest.fixture(autouse=True)
def _tidy(tmp_path):  # made before, so that it does not count
    with nothing_left():
        yield


@pytest.fixture
def folder(tmp_path):
    """A folder that is a learnware."""
    root = write_model(tmp_path / "learnware", "def predict(self, X): return np.asarray(X).sum(axis=1)")
    (root / "learnware.yaml").write_text(yaml.safe_dump(YAML))
    SPECIFICATION.save(root / "stat.json")
    return root


def zipped(folder, path, *, top=""):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, f"{top}{file.relative_to(folder)}")
    return path


def describe(folder, **changes):
    (folder / "learnware.yaml").write_text(yaml.safe_dump({**YAML, **changes}))


@pytest.mark.parametrize("form", ["folder", "zip", "zip with a top folder"])
def test_every_layout_opens_and_predicts(folder, tmp_path, form):
    SEMANTIC.save(folder / "semantic_specification.json")
    describe(folder, id="00000042", name="sums")
    path = folder if form == "folder" else zipped(folder, tmp_path / "a.zip", top="top/" if "top" in form else "")
    with Learnware.open(path) as learnware:
        assert learnware.id == "00000042"
        assert learnware.specification == SPECIFICATION
        assert learnware.semantic == SEMANTIC
        assert learnware.path == path
        assert learnware.requirements == ()
        assert learnware.description.name == "sums"
        assert "00000042" in repr(learnware)
        np.testing.assert_array_equal(learnware.predict(ROWS), ROWS.sum(axis=1))


def test_a_folder_is_used_where_it_is_and_left_alone(folder):
    before = sorted(folder.rglob("*"))
    with Learnware.open(folder) as learnware:
        learnware.predict(ROWS)
        assert learnware.folder == folder
    assert sorted(folder.rglob("*")) == before


def test_a_forgotten_learnware_leaves_nothing(folder, tmp_path):
    learnware = Learnware.open(zipped(folder, tmp_path / "a.zip"))
    learnware.predict(ROWS)
    unpacked = learnware.folder
    assert unpacked.is_dir()
    del learnware
    gc.collect()
    assert not unpacked.exists()


def test_a_learnware_that_can_not_be_opened_leaves_nothing(folder, tmp_path):
    (folder / "stat.json").write_text("{")
    with pytest.raises(SpecificationFileError):
        Learnware.open(zipped(folder, tmp_path / "a.zip"))


def test_the_model_is_started_once_and_again_after_it_has_died(folder):
    body = """
    def __init__(self): super().__init__((1,), (1,)); self.calls = 0
    def predict(self, X):
        self.calls += 1
        if X[0, 0] < 0: os.abort()
        return [self.calls] * len(X)
    """
    write_model(folder, body)
    row = np.ones((1, 1))
    with Learnware.open(folder) as learnware:
        assert [learnware.predict(row)[0] for _ in range(3)] == [1, 2, 3]
        with pytest.raises(ModelError, match="SIGABRT"):
            learnware.predict(-row)
        assert learnware.predict(row)[0] == 1


def test_a_closed_learnware_does_not_predict(folder):
    learnware = Learnware.open(folder)
    learnware.close()
    learnware.close()
    with pytest.raises(ModelError, match="closed"):
        learnware.predict(ROWS)


def test_frames_tensors_and_lists_are_accepted(folder):
    pandas = pytest.importorskip("pandas")

    class Tensor:
        def detach(self):
            return self

        def cpu(self):
            return self

        def numpy(self):
            return ROWS

    with Learnware.open(folder) as learnware:
        for rows in (pandas.DataFrame(ROWS), Tensor(), ROWS.tolist(), ROWS.astype(np.int32), np.asfortranarray(ROWS)):
            np.testing.assert_array_equal(learnware.predict(rows), ROWS.sum(axis=1))


@pytest.mark.parametrize(
    "rows",
    [
        ROWS[0],
        ROWS[:, :2],
        ROWS[:0],
        ROWS[..., None],
        3.0,
        [["a", "b", "c"]],
        [[1, 2], [3]],
        None,
        np.array([[object()] * 3]),
    ],
)
def test_rows_that_the_model_does_not_take_name_the_argument(folder, rows):
    with Learnware.open(folder) as learnware, pytest.raises(InvalidArgument, match="X: expected"):
        learnware.predict(rows)


@pytest.mark.parametrize("answer", ["X[:3, 0]", "3.0", "np.zeros((0, 1))", "np.zeros((5, 4))"])
def test_predictions_of_the_wrong_length_are_an_error(folder, answer):
    write_model(folder, f"def predict(self, X): return {answer}")
    with Learnware.open(folder) as learnware, pytest.raises(ModelError, match="expected 4 rows"):
        learnware.predict(ROWS)


def test_limits_reach_the_model(folder):
    write_model(folder, "def predict(self, X): time.sleep(60)")
    with Learnware.open(folder, limits=ModelLimits(seconds=0.5)) as learnware, pytest.raises(ModelTimeout):
        learnware.predict(ROWS)


def test_the_semantic_part_may_be_given_as_an_object_or_a_dict_and_then_replaces_the_files(folder):
    (folder / "semantic_specification.json").write_text("{}")
    for semantic in (SEMANTIC, SEMANTIC.to_dict()):
        with Learnware.open(folder, semantic=semantic, id="mine") as learnware:
            assert learnware.semantic == SEMANTIC
            assert learnware.id == "mine"
    with pytest.raises(SemanticError):
        Learnware.open(folder)


def test_a_path_that_is_not_there_is_the_callers_fault(tmp_path):
    with pytest.raises(InvalidArgument, match="path: expected a zip or a folder"):
        Learnware.open(tmp_path / "no.zip")


def test_a_hostile_zip_is_rejected(folder, tmp_path):
    path = zipped(folder, tmp_path / "a.zip", top="../")
    with pytest.raises(ArchiveRejected):
        Learnware.open(path)


# The description.


def test_defaults_and_old_names(folder):
    old = {"class_name": "RKMEStatSpecification", "file_name": "stat.json"}
    (folder / "learnware.yaml").write_text(yaml.safe_dump({"stat_specifications": [old]}))
    description = LearnwareDescription.read(folder)
    assert description.model == ModelDescription("Model", "__init__.py", {})
    assert description.specifications == (SpecificationEntry("RKMETableSpecification", "stat.json"),)
    assert description.semantic_file is None


def test_stat_spec_json_is_taken_where_it_lies_and_nothing_is_said(folder):
    describe(folder, stat_specifications=None)
    assert LearnwareDescription.read(folder).specifications == ()
    (folder / "stat.json").rename(folder / "stat_spec.json")
    assert LearnwareDescription.read(folder).specifications[0].file_name == "stat_spec.json"
    describe(folder, stat_specifications=[])
    assert LearnwareDescription.read(folder).specifications == ()


def test_files_in_subfolders_and_constructor_arguments(folder):
    (folder / "sub").mkdir()
    (folder / "stat.json").rename(folder / "sub" / "stat.json")
    (folder / "__init__.py").rename(folder / "sub" / "net.py")
    kwargs = {"scale": 2.5, "names": ["a", "b"], "deep": {"x": None, "y": True}}
    describe(
        folder,
        model={"class_name": "Net", "module_path": "sub/net.py", "kwargs": kwargs, "weights_file_path": "weights"},
        stat_specifications=[{"class_name": "RKMETableSpecification", "file_name": "./sub/stat.json"}],
        anything={"else": 1},
    )
    description = LearnwareDescription.read(folder)
    assert description.model == ModelDescription("Net", "sub/net.py", kwargs)
    assert description.specifications[0].file_name == "sub/stat.json"


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGES = "a: &a {k: 1}\n" + "".join(
    f"{name}: &{name} {{<<: [{', '.join(['*' + before] * 9)}]}}\n"
    for before, name in zip("abcdefghijkl", "bcdefghijklm", strict=True)
)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "expected a mapping"),
        ("[1, 2]", "expected a mapping"),
        ("model: [", "can't be read"),
        ("model: !!python/object/apply:os.system ['true']", "can't be read"),
        ("model: !!int ''", "can't be read"),
        ("\x00", "can't be read"),
        ("a: " + "[" * 5000, "can't be read"),
        ("x: " + "y" * 300_000, "larger than"),
        (BOMB, "aliases written out"),
        (MERGES, "can't be read"),
        ("model: &m {kwargs: *m}", "can't be read|aliases written out"),
        ("model: text", "model: expected a mapping"),
        ("model: {class_name: 3}", "model.class_name"),
        ("model: {class_name: 'a.b'}", "model.class_name"),
        ("model: {module_path: 3}", "model.module_path"),
        ("model: {module_path: missing.py}", "no file 'missing.py'"),
        ("model: {module_path: ../outside.py}", "inside the folder"),
        ("model: {module_path: /etc/outside.py}", "inside the folder"),
        ("model: {module_path: link.py}", "inside the folder"),
        ("model: {module_path: 'os; import sys'}", "model.module_path"),
        ("model: {kwargs: [1]}", "model.kwargs: expected a mapping"),
        ("model: {kwargs: {day: 2020-01-01}}", "model.kwargs: expected numbers"),
        ("model: {kwargs: {text: " + "y" * 70_000 + "}}", "model.kwargs: 7"),
        ("stat_specifications: 3", "stat_specifications: expected a list"),
        ("stat_specifications: [3]", "stat_specifications: expected a list"),
        ("stat_specifications: [{class_name: os.system, file_name: stat.json}]", r"\[0\].class_name: expected one of"),
        ("stat_specifications: [{class_name: [1], file_name: stat.json}]", r"\[0\].class_name: expected one of"),
        ("stat_specifications: [{file_name: ../stat.json}]", "inside the folder"),
        ("stat_specifications: [{file_name: sub}]", "inside the folder"),
        ("stat_specifications: [{file_name: a/../stat.json}]", "inside the folder"),
        ("stat_specifications: [{file_name: 'a\\b'}]", "inside the folder"),
        ('stat_specifications: [{file_name: "a\\0b"}]', "expected a file name"),
        ("stat_specifications: [{file_name: 3}]", "expected a file name"),
        ("stat_specifications: [{}]", r"\[0\].file_name: expected a file name"),
        ("stat_specifications: [{file_name: stat.json}, {file_name: stat.json}]", "a second RKMETableSpecification"),
        ("name: 0x" + "f" * 5000, "an integer of 20000 bits"),
        ("id: " + "1:" * 100_000 + "1", "can't be read|an integer of"),
        ('stat_specifications: [{file_name: "\\uD800"}]', "no file '"),
        ("semantic_specification: x", "semantic_specification: expected a mapping"),
        ("semantic_specification: {file_name: missing.json}", "no file 'missing.json'"),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_a_description_that_makes_no_sense_names_the_key(folder, tmp_path, text, complaint):
    (tmp_path / "outside.py").write_text("")
    (folder / "link.py").symlink_to(tmp_path / "outside.py")
    (folder / "sub").mkdir()
    (folder / "learnware.yaml").write_text(text)
    with pytest.raises(LearnwareError, match=complaint) as caught:
        Learnware.open(folder)
    assert len(str(caught.value)) < 2000


def test_a_folder_without_a_description_says_so(folder, tmp_path):
    (folder / "learnware.yaml").unlink()
    with pytest.raises(LearnwareError, match=r"learnware\.yaml is missing"):
        Learnware.open(folder)
    with pytest.raises(LearnwareError, match=r"learnware\.yaml is missing"):
        Learnware.open(zipped(folder, tmp_path / "a.zip"))


def test_what_macos_leaves_beside_the_top_folder_does_not_count(folder, tmp_path):
    path = zipped(folder, tmp_path / "a.zip", top="top/")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("__MACOSX/top/._learnware.yaml", b"")
        archive.writestr(".DS_Store", b"")
    with Learnware.open(path) as learnware:
        assert learnware.folder.name == "top"


def test_a_learnware_of_the_reference_opens_as_its_templates_write_it(tmp_path):
    # The layout of the reference's own template: a pickled scikit-learn model, and old spellings throughout.
    code = """
    import os
    import joblib
    import numpy as np
    from learnware.model import BaseModel

    class PickleLoadedModel(BaseModel):
        def __init__(self, input_shape, output_shape, predict_method="predict", pickle_filepath="model.pkl"):
            super(PickleLoadedModel, self).__init__(input_shape, output_shape)
            dir_path = os.path.dirname(os.path.abspath(__file__))
            self.model = joblib.load(os.path.join(dir_path, pickle_filepath))
            self.predict_method = predict_method

        def predict(self, X):
            return getattr(self.model, self.predict_method)(X)
    """
    import joblib
    from sklearn.linear_model import LinearRegression

    model = LinearRegression().fit(ROWS, ROWS.sum(axis=1))
    root = tmp_path / "old"
    root.mkdir()
    (root / "__init__.py").write_text(textwrap.dedent(code))
    joblib.dump(model, root / "model.pkl")
    kwargs = {"input_shape": [3], "output_shape": [1], "predict_method": "predict", "pickle_filepath": "model.pkl"}
    (root / "learnware.yaml").write_text(
        yaml.safe_dump({"model": {"class_name": "PickleLoadedModel", "kwargs": kwargs}})
    )
    old = {"z": SPECIFICATION.points.tolist(), "beta": [0.5, 0.5], "gamma": 0.1, "type": "RKMEStatSpecification"}
    (root / "stat_spec.json").write_text(json.dumps(old))
    (root / "requirements.txt").write_text("numpy\nlearnware==0.3.2\n")
    with Learnware.open(zipped(root, tmp_path / "old.zip")) as learnware:
        np.testing.assert_array_equal(learnware.specification.points, SPECIFICATION.points)
        np.testing.assert_allclose(learnware.predict(ROWS), ROWS.sum(axis=1))


def test_a_copy_is_the_same_learnware(folder):
    with Learnware.open(folder) as learnware:
        assert copy.copy(learnware) is learnware
        assert copy.deepcopy({"learnwares": [learnware]})["learnwares"][0] is learnware


def test_a_learnware_can_not_be_pickled(folder):
    with Learnware.open(folder) as learnware, pytest.raises(TypeError, match="can't be pickled.* open .* again"):
        pickle.dumps(learnware)
