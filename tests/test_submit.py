"""From a fitted model to a learnware in a dock and back: submit, filter, get, reuse, delete."""

import hashlib
import os
import zipfile

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

import learndock as ld
from learndock.checker import Status
from learndock.dock import incoming
from learndock.dock.incoming import incoming_copy
from learndock.errors import DockError, InvalidArgument, SemanticError, UnknownLearnware
from learndock.runtime import ModelLimits

pytestmark = pytest.mark.usefixtures("either_catalog")


def semantic(task, outputs, **changes):
    return ld.SemanticSpecification(
        **{
            "name": f"A {task.lower()}",
            "description": "Made for a test.",
            "data": "Table",
            "task": task,
            "library": "Scikit-learn",
            "scenario": ["Education"],
            "license": "MIT",
            "input": {"Dimension": 3, "Description": {"0": "a", "1": "b", "2": "c"}},
            "output": {"Dimension": outputs, "Description": {str(i): f"out {i}" for i in range(outputs)}},
            **changes,
        }
    )


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    return X, X @ [1.0, -2.0, 0.5], (X[:, 0] > 0).astype(int)


@pytest.fixture(scope="module")
def zips(data, tmp_path_factory):
    """A classifier's and a regressor's zip, packed once."""
    folder = tmp_path_factory.mktemp("zips")
    X, target, label = data
    spec = ld.RKMETableSpecification.fit(X, n_points=20, random_state=0)
    ld.Learnware.pack(
        LogisticRegression().fit(X, label),
        specification=spec,
        semantic=semantic("Classification", 2),
        path=folder / "classifier.zip",
    )
    shifted = ld.RKMETableSpecification.fit(X + 1, n_points=20, random_state=0)
    ld.Learnware.pack(
        LinearRegression().fit(X, target),
        specification=shifted,
        semantic=semantic("Regression", 1, scenario=["Health", "Nature"], license="Apache-2.0"),
        path=folder / "regressor.zip",
    )
    return folder


@pytest.fixture(scope="module")
def market(zips, tmp_path_factory):
    """A dock with both; tests only read it."""
    with ld.Dock(tmp_path_factory.mktemp("market") / "dock") as dock:
        reports = {name: dock.submit(zips / f"{name}.zip") for name in ("classifier", "regressor")}
        yield dock, reports


def test_a_good_learnware_is_usable_and_its_zip_kept_as_it_was(market, zips):
    dock, reports = market
    for name, report in reports.items():
        assert report.status == Status.USABLE
        assert all(check.status == Status.USABLE for check in report.checks)
        assert dock.zip_path(report.id).read_bytes() == (zips / f"{name}.zip").read_bytes()


def test_the_list_says_what_was_submitted(market, zips):
    dock, reports = market
    entries = {entry.id: entry for entry in dock.list()}
    entry = entries[reports["classifier"].id]
    content = (zips / "classifier.zip").read_bytes()
    assert entry.name == "A classification"
    assert entry.status == Status.USABLE
    assert entry.input_shape == (3,)
    assert entry.num_points == 200
    assert entry.zip_bytes == len(content)
    assert entry.zip_sha256 == hashlib.sha256(content).hexdigest()
    assert entry.semantic["Task"]["Values"] == ["Classification"]


@pytest.mark.sqlite  # seconds, of what is above the catalog
def test_a_learnware_of_a_dock_predicts_what_its_model_predicts(market, data):
    dock, reports = market
    X, target, label = data
    with dock.get(reports["classifier"].id) as classifier, dock.get(reports["regressor"].id) as regressor:
        expected = LogisticRegression().fit(X, label).predict_proba(X)
        assert np.allclose(classifier.predict(X), expected, atol=1e-12)
        assert np.allclose(regressor.predict(X).ravel(), target, atol=1e-9)
        assert classifier.id == reports["classifier"].id


def test_get_keeps_the_order_of_the_ids(market):
    dock, reports = market
    ids = [reports["regressor"].id, reports["classifier"].id]
    learnwares = dock.get(ids)
    assert [learnware.id for learnware in learnwares] == ids
    for learnware in learnwares:
        learnware.close()
    assert dock.get([]) == []


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (None, {"classifier", "regressor"}),
        (ld.SemanticQuery(), {"classifier", "regressor"}),
        (ld.SemanticQuery(task="Regression"), {"regressor"}),
        (ld.SemanticQuery(task=["Regression", "Classification"]), {"classifier", "regressor"}),
        (ld.SemanticQuery(scenario=["Nature", "Business"]), {"regressor"}),
        (ld.SemanticQuery(scenario=["Business"]), set()),
        (ld.SemanticQuery(license="MIT", data="Table"), {"classifier"}),
        (ld.SemanticQuery(license="MIT", task="Regression"), set()),
        (semantic("Classification", 2), {"classifier"}),
        ({"Task": {"Type": "Class", "Values": ["Regression"]}}, {"regressor"}),
        ({"Task": {"Type": "Class", "Values": []}}, {"classifier", "regressor"}),
    ],
)
def test_class_and_tag_filters_let_through_what_the_reference_would(market, asked, found):
    dock, reports = market
    user = dock.specification(reports["classifier"].id)
    names = {report.id: name for name, report in reports.items()}
    result = dock.search(user, semantic=asked)
    assert {names[hit.id] for hit in result.singles} == found


def test_a_filter_of_a_value_that_is_in_no_list_is_an_error(market):
    dock, reports = market
    with pytest.raises(SemanticError, match="Task"):
        dock.search(
            dock.specification(reports["classifier"].id), semantic={"Task": {"Type": "Class", "Values": ["Guess"]}}
        )


def test_search_and_reuse_end_to_end(market, data):
    dock, reports = market
    X, _, label = data
    user = ld.RKMETableSpecification.fit(X[:100], n_points=20, random_state=1)
    hits = dock.search(user, semantic=ld.SemanticQuery(task="Classification"))
    assert [hit.id for hit in hits.singles] == [reports["classifier"].id]
    with dock.get(hits.singles[0].id) as learnware:
        predictions = ld.reuse.AveragingReuser([learnware], mode="vote_by_prob").predict(X)
    assert (predictions == label).mean() > 0.9


@pytest.mark.sqlite  # seconds, of what is above the catalog
def test_semantic_given_at_submission_takes_the_place_of_the_zips(zips, tmp_path):
    with ld.Dock(tmp_path / "dock") as dock:
        report = dock.submit(zips / "classifier.zip", semantic("Classification", 2, name="Renamed"))
        assert next(dock.list()).name == "Renamed"
        with dock.get(report.id) as learnware:
            assert learnware.semantic.name == "Renamed"


def test_submissions_survive_reopening_and_optimizing(zips, tmp_path, data):
    with ld.Dock(tmp_path / "dock") as dock:
        id = dock.submit(zips / "classifier.zip").id
        dock.optimize()
        before = dock.specification(id)
    with ld.Dock(tmp_path / "dock", readonly=True) as dock:
        assert dock.specification(id) == before
        assert [hit.id for hit in dock.search(before).singles] == [id]
        with dock.get(id) as learnware:
            assert learnware.predict(data[0][:5]).shape == (5, 2)


@pytest.mark.sqlite  # seconds, of what is above the catalog
def test_deleting_removes_the_zip_too(zips, tmp_path):
    with ld.Dock(tmp_path / "dock") as dock:
        id = dock.submit(zips / "classifier.zip").id
        dock.delete(id)
        assert os.listdir(dock.path / "zips") == []
        assert len(dock) == 0
        with pytest.raises(UnknownLearnware):
            dock.get(id)


def rezipped(source, target, **changes):
    """A copy of a zip with some members replaced, or left out where the new content is None."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for member in old.namelist():
            content = changes.pop(member.replace(".", "_"), old.read(member))
            if content is not None:
                new.writestr(member, content)
    return target


@pytest.mark.parametrize(
    "changes",
    [
        {"learnware_yaml": None},
        {"learnware_yaml": "model: {class_name: Absent}"},
        {"learnware_yaml": "model: [1, 2]"},
        {"stat_json": '{"z": [[1, 2'},
        {"__init___py": "raise RuntimeError('at import')"},
        {"__init___py": None},
    ],
    ids=["no yaml", "no such class", "strange yaml", "truncated specification", "raises", "no module"],
)
def test_a_bad_zip_is_a_report_and_the_dock_is_unchanged(zips, tmp_path, changes):
    bad = rezipped(zips / "classifier.zip", tmp_path / "bad.zip", **changes)
    with ld.Dock(tmp_path / "dock") as dock:
        report = dock.submit(bad, semantic("Classification", 2))
        assert report.status == Status.INVALID
        assert report.id is None
        assert any(check.status == Status.INVALID and check.message for check in report.checks)
        assert len(dock) == 0
        assert os.listdir(dock.path / "zips") == []


@pytest.mark.sqlite  # seconds, of what is above the catalog
def test_a_model_that_never_answers_is_invalid_in_time(zips, tmp_path):
    slow = (
        "import time\nfrom learnware.model import BaseModel\n"
        "class Model(BaseModel):\n"
        "    def __init__(self): super().__init__((3,), (2,))\n"
        "    def predict(self, X): time.sleep(1000)\n"
    )
    with zipfile.ZipFile(zips / "classifier.zip") as archive:
        stat = archive.read("stat.json")
    with zipfile.ZipFile(tmp_path / "slow.zip", "w") as archive:
        archive.writestr("__init__.py", slow)
        archive.writestr("stat.json", stat)
        archive.writestr(
            "learnware.yaml",
            "model: {class_name: Model}\n"
            "stat_specifications: [{class_name: RKMETableSpecification, file_name: stat.json}]\n",
        )
    with ld.Dock(tmp_path / "dock") as dock:
        report = dock.submit(tmp_path / "slow.zip", semantic("Classification", 2), limits=ModelLimits(seconds=3))
        assert report.status == Status.INVALID
        assert len(dock) == 0


def test_a_learnware_whose_requirements_are_not_here_is_added_but_not_found(zips, tmp_path):
    needy = rezipped(
        zips / "classifier.zip", tmp_path / "needy.zip", requirements_txt="a-distribution-that-is-not-here==1.0\n"
    )
    with ld.Dock(tmp_path / "dock") as dock:
        report = dock.submit(needy)
        assert report.status == Status.NONUSABLE
        assert [entry.status for entry in dock.list()] == [Status.NONUSABLE]
        assert dock.search(dock.specification(report.id)).singles == ()
        dock.optimize()
        assert dock.search(dock.specification(report.id)).singles == ()


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x05\x06" + b"\0" * 18])
def test_a_file_that_is_no_learnware_is_a_report(tmp_path, content):
    (tmp_path / "file.zip").write_bytes(content)
    with ld.Dock(tmp_path / "dock") as dock:
        assert dock.submit(tmp_path / "file.zip", semantic("Classification", 2)).status == Status.INVALID


def test_what_the_caller_did_wrong_is_an_exception(zips, tmp_path):
    bare = rezipped(zips / "classifier.zip", tmp_path / "bare.zip", semantic_specification_json=None)
    with zipfile.ZipFile(bare) as archive:
        description = archive.read("learnware.yaml").decode()
    without = "\n".join(line for line in description.splitlines() if "semantic_specification" not in line)
    rezipped(bare, tmp_path / "bare2.zip", learnware_yaml=without)
    with ld.Dock(tmp_path / "dock") as dock:
        for path in (tmp_path / "absent.zip", tmp_path):
            with pytest.raises(InvalidArgument, match="path"):
                dock.submit(path, semantic("Classification", 2))
        assert len(dock) == 0


def test_a_full_disk_while_the_zip_is_copied_leaves_nothing(zips, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    with ld.Dock(tmp_path / "dock") as dock:
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(DockError, match="No space"):
            dock.submit(zips / "classifier.zip")
        assert os.listdir(dock.path / "zips") == []
        assert len(dock) == 0


def test_ctrl_c_after_the_commit_keeps_what_was_committed(zips, tmp_path, interrupt_after_commit):
    with ld.Dock(tmp_path / "dock") as dock:
        interrupt_after_commit(dock, 1)
        with pytest.raises(KeyboardInterrupt):
            dock.submit(zips / "classifier.zip")
        (entry,) = dock.list()
        assert dock.zip_path(entry.id).read_bytes() == (zips / "classifier.zip").read_bytes()


def test_a_submission_whose_process_was_killed_is_cleared_and_a_living_one_is_not(zips, tmp_path):
    with ld.Dock(tmp_path / "dock") as dock:
        dead = dock.path / "zips" / ".incoming-dead"
        dead.mkdir()
        (dead / "classifier.zip").write_bytes(b"half")
        with incoming_copy(zips / "classifier.zip", dock.path / "zips") as living:
            dock.optimize()
            assert living.zip.exists()
            assert not dead.exists()


@pytest.mark.parametrize("step", ["mkdtemp", "open"])
def test_a_copy_whose_folder_was_taken_for_abandoned_gets_another(tmp_path, monkeypatch, step):
    source, zips = tmp_path / "a.zip", tmp_path / "zips"
    source.write_bytes(b"content")
    zips.mkdir()
    module = {"mkdtemp": incoming.tempfile, "open": incoming.os}[step]
    made = getattr(module, step)
    once = [incoming.remove_abandoned]

    def swept(*arguments, **options):
        result = made(*arguments, **options)
        if once:
            once.pop()(zips)
        return result

    monkeypatch.setattr(module, step, swept)
    with incoming.incoming_copy(source, zips) as copy:
        assert copy.zip.read_bytes() == b"content"
        incoming.remove_abandoned(zips)
        assert copy.zip.exists()
    assert list(zips.iterdir()) == []


def test_a_dock_without_its_folder_of_zips_is_an_error(tmp_path):
    source = tmp_path / "a.zip"
    source.write_bytes(b"content")
    with ld.Dock(tmp_path / "dock") as dock:
        (dock.path / "zips").rmdir()
        with pytest.raises(DockError, match="zips"):
            dock.submit(source)
