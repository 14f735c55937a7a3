"""Updates: the id stays, what is new counts everywhere, and a refused or broken update leaves all as it was."""

import os

import numpy as np
import pytest

import learndock as ld
from catalogs import catalog_rows
from filled_docks import add, checks, described, dock, spec, written_zip  # noqa: F401
from learndock.checker import Status
from learndock.dock import folding, submission
from learndock.errors import (
    DamagedLearnware,
    DockError,
    InvalidArgument,
    ReadOnlyDock,
    SemanticError,
    UnknownLearnware,
)
from learndock.learnware import ArchiveLimits
from spec_batches import made_specs

pytestmark = pytest.mark.usefixtures("either_catalog")


def nearest(dock, user, **options):  # noqa: F811
    return [
        (hit.id, pytest.approx(hit.mmd2, abs=1e-12)) for hit in dock.search(user, k=99, mixture=0, **options).singles
    ]


def float32(specification):
    return ld.RKMETableSpecification(
        np.float32(specification.points), np.float32(specification.weights), gamma=specification.gamma
    )


def state_of(dock):  # noqa: F811
    """Everything that an update could change, but for the audit log."""
    return (
        list(dock.list()),
        {path.name: path.read_bytes() for path in (dock.path / "zips").iterdir()},
        nearest(dock, spec(99), status="any"),
        {entry.id: dock.specification(entry.id) for entry in dock.list()},
        dock.spaces(),
    )


def rows(dock, query):  # noqa: F811
    return catalog_rows(dock, query)


@pytest.mark.parametrize("folded", [False, True], ids=["in the catalog", "in a segment"])
@pytest.mark.parametrize("gamma", [0.1, 0.7], ids=["same space", "another space"])
def test_a_new_zip_counts_everywhere(dock, add, tmp_path, folded, gamma):  # noqa: F811
    ids = [add(seed=seed) for seed in range(6)]
    if folded:
        dock.optimize()
    before = list(dock.list())
    path = written_zip(tmp_path / "new.zip", spec(50, gamma=gamma), note="new")
    report = dock.update(ids[2], path=path)
    assert (report.id, report.status) == (ids[2], Status.USABLE)
    new = float32(spec(50, gamma=gamma))
    expected = {id: float32(spec(seed)) for seed, id in enumerate(ids)} | {ids[2]: new}

    def check():
        for id, specification in expected.items():
            held = dock.specification(id)
            assert np.array_equal(held.points, specification.points)
            assert held.gamma == specification.gamma
        for asked in (0.1, 0.7):
            user = spec(99, gamma=asked)
            distances = {id: user.mmd2(other) for id, other in expected.items() if other.gamma == asked}
            assert nearest(dock, user) == sorted(distances.items(), key=lambda pair: pair[1])
            assert dock.search(user).skipped == 6 - len(distances)
            assert len(dock.search(user, semantic=ld.SemanticQuery(data="Table"), k=9).singles) == len(distances)
        assert len(dock) == dock.count() == 6
        assert sum(dock.spaces().values()) == 6
        assert dock.verify().problems == ()

    check()
    dock.optimize()
    check()
    assert rows(dock, "select count(*) from pending") == [(0,)]
    assert len(os.listdir(dock.path / "zips")) == 6
    assert dock.zip_path(ids[2]).read_bytes() == path.read_bytes()
    after = list(dock.list())
    assert [entry.submitted_at for entry in after] == [entry.submitted_at for entry in before]
    assert after[2].num_points == 150
    dock.delete(ids[2])
    del expected[ids[2]]
    assert {hit.id for hit in dock.search(spec(99), k=9).singles} == set(expected)
    dock.optimize()
    assert dock.verify().problems == ()
    assert rows(dock, "select count(*) from tombstones") == [(0,)]


def test_many_updates_and_folds_in_any_order_leave_one_copy(dock, add, tmp_path, monkeypatch):  # noqa: F811
    """The copy in an old segment must stay hidden when a later one is folded, merged or deleted."""
    monkeypatch.setattr(folding, "SEGMENT_SPECS", 6)
    ids = [add(seed=seed) for seed in range(8)]
    current = {id: spec(seed) for seed, id in enumerate(ids)}
    rng = np.random.default_rng(0)
    for step in range(40):
        id = str(rng.choice(sorted(current)))
        seed, gamma = 100 + step, float(rng.choice([0.1, 0.7]))
        dock.update(id, path=written_zip(tmp_path / "u.zip", spec(seed, gamma=gamma), note=str(step)))
        current[id] = spec(seed, gamma=gamma)
        if rng.random() < 0.3:
            dock.optimize()
        if step in (15, 30):
            gone = str(rng.choice(sorted(current)))
            dock.delete(gone)
            del current[gone]
        for gamma in (0.1, 0.7):
            user = spec(99, gamma=gamma)
            expected = {id: user.mmd2(float32(other)) for id, other in current.items() if other.gamma == gamma}
            assert nearest(dock, user) == sorted(expected.items(), key=lambda pair: pair[1])
        assert dock.verify().problems == ()


def test_a_specification_that_stays_the_same_stays_in_its_segment(dock, add, tmp_path):  # noqa: F811
    id = add(seed=1)
    add(seed=2)
    dock.optimize()
    dock.update(id, path=written_zip(tmp_path / "new.zip", spec(1), note="other weights, the same data"))
    assert rows(dock, "select count(*) from pending") == rows(dock, "select count(*) from tombstones") == [(0,)]
    assert "same data" not in next(dock.list()).name


def test_what_is_not_given_stays(dock, add, tmp_path):  # noqa: F811
    id = add("Old name", scenario=["Health"])
    zip_before = dock.zip_path(id)
    content = zip_before.read_bytes()
    dock.update(id, semantic=described("New name", scenario=["Nature"]))
    entry = next(dock.list())
    assert (entry.name, dock.zip_path(id)) == ("New name", zip_before)
    assert dock.zip_path(id).read_bytes() == content
    assert dock.count(semantic=ld.SemanticQuery(scenario="Nature")) == 1
    assert dock.count(semantic=ld.SemanticQuery(scenario="Health")) == 0
    dock.update(id, path=written_zip(tmp_path / "new.zip", spec(9), described("In the zip")))
    assert next(dock.list()).name == "New name"
    dock.update(id, path=written_zip(tmp_path / "third.zip", spec(9)), semantic=described("Given").to_dict())
    assert next(dock.list()).name == "Given"
    with dock.get(id) as learnware:
        assert learnware.semantic.name == "Given"
        assert learnware.path == dock.zip_path(id)


def test_the_model_is_tried_again_only_where_the_semantic_part_says_other_things_of_it(dock, add, checks):  # noqa: F811
    id = add()
    checks.calls.clear()
    report = dock.update(id, semantic=described("New name", description="Other words.", license="Apache-2.0"))
    assert checks.calls == []
    assert [check.name for check in report.checks] == ["semantic"]
    assert report.isolation is None
    dock.update(id, semantic=described(output={"Dimension": 4}), isolation="require", environment="build")
    assert [(call["isolation"], call["environment"]) for call in checks.calls] == [("require", "build")]
    dock.update(id, semantic=described(task="Others"))
    assert len(checks.calls) == 2


def test_without_anything_new_what_is_there_is_checked_again(dock, add, checks):  # noqa: F811
    id = add(status=Status.NONUSABLE)
    user = spec(99)
    assert nearest(dock, user) == []
    before = dock.zip_path(id).read_bytes()
    checks.status = Status.USABLE
    assert dock.update(id, environment="build").status == Status.USABLE
    assert [hit.id for hit in dock.search(user).singles] == [id]
    assert sum(dock.spaces().values()) == 1
    checks.status = Status.NONUSABLE
    assert dock.update(id).status == Status.NONUSABLE
    assert nearest(dock, user) == []
    assert [hit.id for hit in dock.search(user, status="any").singles] == [id]
    assert dock.zip_path(id).read_bytes() == before
    # Words alone say nothing of whether the model runs.
    assert dock.update(id, semantic=described("Renamed")).status == Status.NONUSABLE


def test_the_same_zip_again_is_kept(dock, add, tmp_path):  # noqa: F811
    id = add()
    path = dock.zip_path(id)
    content = path.read_bytes()
    (tmp_path / "same.zip").write_bytes(content)
    dock.update(id, path=tmp_path / "same.zip")
    assert dock.zip_path(id) == path
    assert path.read_bytes() == content


def test_a_specification_alone_becomes_a_learnware_with_a_zip(dock, checks, tmp_path):  # noqa: F811
    points, weights = made_specs(3, 3)
    ids = dock.ingest(points=points, weights=weights, gamma=0.1)
    dock.optimize()
    for change in ({}, {"semantic": described()}):
        with pytest.raises(DockError, match="ingested as a specification alone"):
            dock.update(ids[1], **change)
    dock.update(ids[1], path=written_zip(tmp_path / "new.zip", spec(5), described("Now a model")))
    assert [entry.name for entry in dock.list()] == [None, "Now a model", None]
    with dock.get(ids[1]) as learnware:
        assert learnware.specification == spec(5)
    assert dock.verify().problems == ()


@pytest.mark.parametrize("change", ["zip", "semantic", "both"])
def test_an_invalid_update_leaves_everything_untouched(dock, add, checks, tmp_path, change):  # noqa: F811
    id = add()
    add()
    dock.optimize()
    before = state_of(dock)
    generation = rows(dock, "select generation from state")
    given = {
        "zip": {"path": written_zip(tmp_path / "new.zip", spec(9))},
        "semantic": {"semantic": described(task="Others")},
        "both": {"path": written_zip(tmp_path / "new.zip", spec(9)), "semantic": described("New")},
    }[change]
    checks.status = Status.INVALID
    report = dock.update(id, **given)
    assert (report.status, report.id) == (Status.INVALID, id)
    assert any(check.status == Status.INVALID and check.message for check in report.checks)
    assert state_of(dock) == before
    assert rows(dock, "select generation from state") == generation


def test_a_semantic_part_of_another_dimension_than_the_zip_is_refused(dock, add, tmp_path):  # noqa: F811
    id = add()
    before = state_of(dock)
    report = dock.update(id, semantic=described(input={"Dimension": 7}))
    assert report.status == Status.INVALID
    assert state_of(dock) == before
    with pytest.raises(SemanticError):
        dock.update(id, semantic={"Name": 3})
    assert state_of(dock) == before


def test_numbers_beyond_float32_are_refused(dock, add, tmp_path):  # noqa: F811
    id = add()
    before = state_of(dock)
    large = ld.RKMETableSpecification(np.full((2, 3), 1e39), [0.5, 0.5], gamma=0.1)
    report = dock.update(id, path=written_zip(tmp_path / "large.zip", large))
    assert report.status == Status.INVALID
    assert report.checks[-1].name == "storage"
    assert state_of(dock) == before


def test_what_the_caller_did_wrong_is_an_exception_and_changes_nothing(dock, add, tmp_path):  # noqa: F811
    id = add()
    before = state_of(dock)
    for path in (tmp_path / "absent.zip", tmp_path, 3):
        with pytest.raises(InvalidArgument, match="^path"):
            dock.update(id, path=path)
    for unknown in ("00000099", "x"):
        with pytest.raises(UnknownLearnware, match=unknown):
            dock.update(unknown)
    with pytest.raises(InvalidArgument, match="^id"):
        dock.update(3)
    assert state_of(dock) == before
    with ld.Dock(dock.path, readonly=True) as reader, pytest.raises(ReadOnlyDock):
        reader.update(id)


def test_options_are_checked_though_no_model_is_started(dock, add):  # noqa: F811
    id = add()
    for option in ("isolation", "environment"):
        with pytest.raises(InvalidArgument, match=f"^{option}"):
            dock.update(id, semantic=described("New"), **{option: "none"})
    assert next(dock.list()).name != "New"


def test_a_zip_over_stricter_limits_is_invalid_whatever_is_updated(dock, add):  # noqa: F811
    id = add()
    report = dock.update(id, semantic=described("New"), archive_limits=ArchiveLimits(files=1))
    assert report.status == Status.INVALID
    assert "at most 1" in report.checks[0].message
    assert next(dock.list()).name != "New"


def test_a_check_whose_zip_an_update_has_deleted_is_refused_for_that(dock, add, checks, tmp_path):  # noqa: F811
    id = add()
    other = written_zip(tmp_path / "theirs.zip", spec(8), note="theirs")

    def meanwhile():
        checks.during = None
        dock.update(id, path=other)
        raise InvalidArgument("path: no such file")

    checks.during = meanwhile
    with pytest.raises(DockError, match="updated by another"):
        dock.update(id)
    assert dock.zip_path(id).read_bytes() == other.read_bytes()


def test_a_damaged_zip_is_not_checked_again(dock, add):  # noqa: F811
    id = add()
    dock.zip_path(id).write_bytes(b"damaged")
    for change in ({}, {"semantic": described("New")}):
        with pytest.raises(DamagedLearnware, match=id):
            dock.update(id, **change)


def test_an_update_that_was_checked_against_what_is_gone_is_refused(dock, add, checks, tmp_path):  # noqa: F811
    id = add()
    path = written_zip(tmp_path / "mine.zip", spec(9), note="mine")
    other = written_zip(tmp_path / "theirs.zip", spec(8), note="theirs")

    def meanwhile():
        checks.during = None
        dock.update(id, path=other)

    checks.during = meanwhile
    with pytest.raises(DockError, match="updated by another"):
        dock.update(id, path=path)
    assert dock.zip_path(id).read_bytes() == other.read_bytes()

    def deleted():
        checks.during = None
        dock.delete(id)

    checks.during = deleted
    with pytest.raises(UnknownLearnware, match=id):
        dock.update(id, path=path)
    assert os.listdir(dock.path / "zips") == []


def test_a_reader_with_a_view_is_not_disturbed(dock, add, tmp_path):  # noqa: F811
    id = add(seed=1)
    dock.optimize()
    user = spec(99)
    with ld.Dock(dock.path) as reader:
        view = reader._store.view(next(iter(reader.spaces())))
        dock.update(id, path=written_zip(tmp_path / "new.zip", spec(50)))
        dock.optimize()
        segment, at = view.place(int(id))
        assert np.array_equal(segment.packed.embedding(at)[0], np.float32(spec(1).points))
        assert nearest(reader, user) == [(id, user.mmd2(float32(spec(50))))]


def test_ctrl_c_after_the_commit_leaves_the_new_one_whole(dock, add, tmp_path, interrupt_after_commit):  # noqa: F811
    id = add()
    dock.optimize()
    path = written_zip(tmp_path / "new.zip", spec(50), note="new")
    interrupt_after_commit(dock, 1)
    with pytest.raises(KeyboardInterrupt):
        dock.update(id, path=path)
    assert dock.zip_path(id).read_bytes() == path.read_bytes()
    report = dock.verify()
    assert report.problems == ()
    assert len(report.orphans) == 1  # the old zip
    dock.optimize()
    assert dock.verify().orphans == ()
    assert len(os.listdir(dock.path / "zips")) == 1


@pytest.mark.parametrize("at", ["take in", "audit"])
def test_a_failure_before_the_commit_leaves_the_old_one_whole(dock, add, tmp_path, monkeypatch, at):  # noqa: F811
    from learndock.dock import audit, writer

    id = add()
    dock.optimize()
    before = state_of(dock)

    def full(*args, **options):
        raise OSError(28, "No space left on device")

    if at == "take in":
        monkeypatch.setattr(writer, "sync_folder", full)
    else:
        monkeypatch.setattr(audit, "record", full)
    with pytest.raises(DockError, match="No space"):
        dock.update(id, path=written_zip(tmp_path / "new.zip", spec(50), note="new"))
    monkeypatch.undo()
    assert state_of(dock) == before
    assert dock.verify().problems == ()
    assert dock.verify().orphans == ()


def test_a_killed_update_leaves_the_old_or_the_new_one_whole(dock, add, tmp_path, monkeypatch):  # noqa: F811
    """Between the renaming of the new zip and the commit, as a power cut would."""
    id = add()
    old = dock.zip_path(id).read_bytes()
    path = written_zip(tmp_path / "new.zip", spec(50), note="new")
    child = os.fork()
    if child == 0:
        from learndock.dock import rows as catalog_rows

        catalog_rows.remove_semantics = lambda *args: os._exit(7)
        try:
            dock.update(id, path=path)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    with ld.Dock(dock.path) as survivor:
        assert survivor.zip_path(id).read_bytes() == old
        assert survivor.verify().problems == ()
        assert len(survivor.verify().orphans) == 2  # the new zip, and the folder of its copy
        survivor.optimize()
        assert survivor.verify().orphans == ()
        assert survivor.zip_path(id).read_bytes() == old


@pytest.mark.sqlite  # seconds, of what is above the catalog
def test_a_real_model_is_updated_and_tried(tmp_path):
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 3))
    models = [LogisticRegression().fit(X, (X[:, column] > 0).astype(int)) for column in (0, 1)]
    paths = [
        ld.Learnware.pack(
            model,
            specification=ld.RKMETableSpecification.fit(X + i, n_points=10, random_state=0),
            semantic=described(),
            path=tmp_path / f"{i}.zip",
        )
        for i, model in enumerate(models)
    ]
    with ld.Dock(tmp_path / "dock") as dock:  # noqa: F811
        id = dock.submit(paths[0]).id
        report = dock.update(id, path=paths[1])
        assert report.status == Status.USABLE
        assert {check.name for check in report.checks} >= {"semantic", "statistical"}
        assert report.isolation is not None
        with dock.get(id) as learnware:
            assert np.allclose(learnware.predict(X), models[1].predict_proba(X), rtol=1e-9)
        # Three classes are not what it predicts.
        assert dock.update(id, semantic=described(output={"Dimension": 3})).status == Status.INVALID
        assert next(dock.list()).semantic["Output"]["Dimension"] == 2


def test_alike_are_semantic_parts_that_say_the_same_of_the_model():
    assert submission._same_model(described(), described("Other", license="Others"))
    for change in ({"task": "Others"}, {"input": {"Dimension": 4}}, {"output": {"Dimension": 3}}, {"data": "Text"}):
        assert not submission._same_model(described(), described(**change))
