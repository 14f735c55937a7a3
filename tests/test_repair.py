"""Repair: what follows from something whole is made again, what doesn't is given up only where that is asked for."""

import contextlib
import shutil
import sqlite3

import numpy as np
import pytest

import learndock as ld
from crashing import State, assert_no_stray_files, assert_searches
from filled_docks import add, checks, described, dock, spec  # noqa: F401
from learndock.dock import folding
from learndock.errors import DockError, ReadOnlyDock, UnknownLearnware
from sketched_views import small_numbers
from spec_batches import made_specs


@pytest.fixture(autouse=True)
def small():
    """A few specifications make a segment, and are sketched."""
    with small_numbers() as patch:
        patch.setattr(folding, "SEGMENT_SPECS", 12)
        yield


@pytest.fixture
def filled(dock, add):  # noqa: F811
    """A dock with two segments: of three learnwares with zips and three without, and of others alone."""
    zipped = [add(name=f"Model {seed}", seed=seed) for seed in range(3)]
    points, weights = made_specs(3, 3)
    alone = dock.ingest(points=points, weights=weights, gamma=0.1)
    dock.optimize()
    points, weights = made_specs(20, 3, seed=1)
    others = dock.ingest(points=points, weights=weights, gamma=0.5)
    waiting = add(seed=9)
    dock.optimize()
    dock.ids = zipped, alone, others, waiting
    return dock


def change(dock, statement):  # noqa: F811
    with contextlib.closing(sqlite3.connect(dock.path / "catalog.sqlite")) as catalog, catalog:
        catalog.execute(statement)


def damage(path):
    content = bytearray(path.read_bytes())
    content[-2] ^= 4
    path.write_bytes(content)


def segment_with(dock, id):  # noqa: F811
    return next(path.parent for path in (dock.path / "specs").glob("*/ids.npy") if int(id) in np.load(path))


def test_of_a_whole_dock_nothing_is_repaired(filled):
    before = State.of(filled)
    report = filled.repair(drop_damaged=True)
    assert report.ok
    assert report.done == report.dropped == ()
    assert State.of(filled) == before


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("delete from texts where rowid = 1", "do not know it"),
        ("update texts set name = 'another' where rowid = 1", "by other words"),
        ("insert into texts (rowid, name, description) values (999, 'x', 'x')", "there is no such"),
        ("delete from tags where learnware_id = 1 and key = 'Task'", "by other keys"),
        ("update tags set value = 'Regression' where learnware_id = 1 and key = 'Task'", "by other keys"),
        ("insert into tags (key, value, learnware_id) values ('Scenario', 'Health', 1)", "by other keys"),
    ],
)
def test_what_finds_a_semantic_part_is_made_again_from_it(filled, statement, said):
    def found(texts, tasks):
        return filled.count(name=texts), filled.count(semantic=ld.SemanticQuery(task=tasks))

    before, counts = State.of(filled), found("Model 1", "Classification")
    assert counts == (1, 4)
    change(filled, statement)
    problems = filled.verify().problems
    assert [said in problem.message for problem in problems] == [True]
    report = filled.repair()
    assert report.ok
    assert report.before.problems == problems
    assert [
        sentence
        for sentence in report.done
        if "keys and texts" in sentence and ("00000001" in sentence or "999" in sentence)
    ]
    assert found("Model 1", "Classification") == counts
    assert State.of(filled) == before


def test_a_semantic_part_that_says_nothing_is_reported_and_left(filled):
    change(filled, "update semantics set semantic = '{}' where learnware_id = 1")
    report = filled.repair()
    (problem,) = report.after.problems
    assert (problem.subject, problem.message) == ("00000001", "its semantic part can't be understood")


def test_what_a_killed_writer_left_is_deleted_and_sketches_are_made_again(filled):
    (filled.path / "specs" / "unnamed").mkdir()
    (filled.path / "zips" / "00000099.0123456789abcdef.zip").write_bytes(b"left behind")
    damage(next((filled.path / "specs").glob("*/sketch-*/codes.npy")))
    before = State.of(filled)
    report = filled.repair()
    assert report.ok
    assert len(report.before.problems) == 1
    assert len(report.done) == 2
    assert State.of(filled) == before
    assert_searches(filled, before)
    assert_no_stray_files(filled)


@pytest.mark.parametrize("file", ["tiles.npy", "ids.npy", "segment.json", None])
def test_a_damaged_segment_stays_unless_it_is_to_be_dropped(filled, file):
    zipped, alone, _, _ = filled.ids
    before = State.of(filled)
    folder = segment_with(filled, alone[0])
    filled.close()
    if file is None:
        shutil.rmtree(folder)
    else:
        damage(folder / file)
    with ld.Dock(filled.path) as again:
        report = again.repair()
        assert not report.ok
        assert report.dropped == ()
        assert {problem.subject for problem in report.after.problems if problem.part == "segment"} == {folder.name}
        report = again.repair(drop_damaged=True)
        assert report.ok
        # Those with zips have their specifications in them; those without are lost with the segment.
        assert report.dropped == tuple(alone)
        assert any("read from their zips" in sentence and zipped[0] in sentence for sentence in report.done)
        after = State.of(again)
        assert after.learnwares == {id: held for id, held in before.learnwares.items() if id not in alone}
        assert again.history()[0].action == "delete"
        assert again.history()[0].count == 3
        assert_searches(again, after)
        assert_no_stray_files(again)


def test_a_learnware_with_a_damaged_zip_stays_unless_it_is_to_be_dropped(filled):
    zipped, _, _, waiting = filled.ids
    damage(filled.zip_path(zipped[0]))
    filled.zip_path(waiting).unlink()
    before = len(filled)
    report = filled.repair()
    assert {problem.subject for problem in report.after.problems} == {zipped[0], waiting}
    assert len(filled) == before
    report = filled.repair(drop_damaged=True)
    assert report.ok
    assert report.dropped == (zipped[0], waiting)
    assert len(filled) == before - 2
    with pytest.raises(UnknownLearnware):
        filled.get(waiting)
    assert_searches(filled, State.of(filled))
    assert_no_stray_files(filled)


def test_where_zip_and_segment_are_damaged_the_learnware_is_lost(filled):
    zipped, alone, _, _ = filled.ids
    damage(filled.zip_path(zipped[1]))
    damage(segment_with(filled, zipped[1]) / "weights.npy")
    with ld.Dock(filled.path) as again:
        report = again.repair(drop_damaged=True)
        assert report.ok
        assert report.dropped == tuple(sorted([zipped[1], *alone]))
        assert_searches(again, State.of(again))


def test_a_damaged_segment_is_not_written_again_as_if_it_were_whole(filled):
    _, _, others, _ = filled.ids
    folder = segment_with(filled, others[0])
    damage(folder / "tiles.npy")
    filled.delete(others[:5])  # enough of it is dead now to be compacted
    with ld.Dock(filled.path) as again:
        with pytest.raises(DockError, match=r"tiles.npy has the sha256 .*learndock doctor"):
            again.optimize()
        assert folder.exists()
        assert {problem.subject for problem in again.verify().problems} == {folder.name}


def test_a_dock_without_a_catalog_and_one_opened_for_reading_are_not_repaired(filled):
    filled.close()
    with ld.Dock(filled.path, readonly=True) as reader, pytest.raises(ReadOnlyDock):
        reader.repair()
    for log in filled.path.glob("catalog.sqlite-*"):
        log.unlink()
    (filled.path / "catalog.sqlite").write_bytes(b"no database" * 100)
    with ld.Dock(filled.path) as broken:
        report = broken.repair(drop_damaged=True)
    assert not report.ok
    assert report.done == ()
    assert len(list((filled.path / "zips").iterdir())) == 4
