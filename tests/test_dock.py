"""The dock on disk: what goes in is there, what goes out is gone, and nothing is half there."""

import gc
import json
import multiprocessing
import os
import shutil
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import learndock as ld
from catalogs import catalog_rows
from learndock.checker import check_learnware
from learndock.dock import folding, writer
from learndock.errors import DockError, DockFormatError, InvalidArgument, ReadOnlyDock, UnknownLearnware
from spec_batches import distances_to, made_specs, user_spec

pytestmark = pytest.mark.usefixtures("either_catalog")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "dock"


@pytest.fixture
def dock(path):
    with ld.Dock(path) as opened:
        yield opened


def found(dock, user, **options):
    return [(hit.id, hit.mmd2) for hit in dock.search(user, mixture=0, **options).singles]


def files(path):
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file() and not file.name.endswith(("-wal", "-shm"))
    }


def test_ingest_returns_ids_in_order_and_they_are_there(dock):
    points, weights = made_specs(20, 3, ragged=True)
    ids = dock.ingest(points=points, weights=weights, gamma=0.1)
    assert len(ids) == len(set(ids)) == len(dock) == 20
    assert ids == sorted(ids)
    for id, z, beta in zip(ids, points, weights, strict=True):
        spec = dock.specification(id)
        assert np.array_equal(spec.points, np.float32(z))
        assert np.array_equal(spec.weights, np.float32(beta))
    assert [entry.id for entry in dock.list()] == ids
    assert ids[3] in dock
    assert "99999999" not in dock


def test_arrays_and_lists_of_equal_sizes_are_the_same(path, tmp_path):
    points, weights = made_specs(10, 4)
    user = user_spec(4, 0.1)
    with ld.Dock(path) as one, ld.Dock(tmp_path / "other") as other:
        one.ingest(points=points, weights=weights, gamma=0.1)
        other.ingest(points=np.array(points), weights=np.array(weights), gamma=0.1)
        assert found(one, user) == found(other, user)


def test_closing_and_reopening_changes_nothing(path):
    user = user_spec(3, 0.1)
    points, weights = made_specs(30, 3)
    with ld.Dock(path) as dock:
        ids = dock.ingest(points=points, weights=weights, gamma=0.1)
        dock.delete(ids[:5])
        before = (len(dock), found(dock, user), list(dock.list()))
    with ld.Dock(path) as dock:
        assert (len(dock), found(dock, user), list(dock.list())) == before
    with ld.Dock(path, readonly=True) as dock:
        assert (len(dock), found(dock, user), list(dock.list())) == before


def test_a_large_batch_becomes_one_segment_and_a_small_one_waits(dock, monkeypatch):
    monkeypatch.setattr(folding, "SEGMENT_SPECS", 50)
    points, weights = made_specs(60, 3)
    dock.ingest(points=points, weights=weights, gamma=0.1)
    assert len(list((dock.path / "specs").iterdir())) == 1
    dock.ingest(points=points[:10], weights=weights[:10], gamma=0.1)
    assert len(list((dock.path / "specs").iterdir())) == 1
    user = user_spec(3, 0.1)
    expected = np.sort(distances_to(user, points + points[:10], weights + weights[:10]))
    assert np.allclose([mmd2 for _, mmd2 in found(dock, user, k=70)], expected, atol=1e-12)


def test_a_batch_over_the_segment_size_is_cut(dock, monkeypatch):
    monkeypatch.setattr(folding, "SEGMENT_SPECS", 10)
    monkeypatch.setattr(folding, "LARGEST_SEGMENT_BYTES", 4 * 6 * 3 * 16)
    points, weights = made_specs(40, 3)
    ids = dock.ingest(points=np.array(points), weights=np.array(weights), gamma=0.1)
    assert len(list((dock.path / "specs").iterdir())) == 3
    user = user_spec(3, 0.1)
    order = np.argsort(distances_to(user, points, weights))
    assert [id for id, _ in found(dock, user, k=40)] == [ids[i] for i in order]


def test_waiting_specifications_fold_by_themselves_when_they_are_many(dock, monkeypatch):
    monkeypatch.setattr(folding, "SEGMENT_SPECS", 20)
    points, weights = made_specs(45, 3)
    for start in range(0, 45, 15):
        dock.ingest(points=points[start : start + 15], weights=weights[start : start + 15], gamma=0.1)
    assert len(list((dock.path / "specs").iterdir())) == 1
    user = user_spec(3, 0.1)
    assert np.allclose([m for _, m in found(dock, user, k=45)], np.sort(distances_to(user, points, weights)))


def test_optimize_folds_and_compacts_and_changes_no_result(dock, monkeypatch):
    monkeypatch.setattr(folding, "SEGMENT_SPECS", 40)
    user = user_spec(3, 0.1)
    points, weights = made_specs(100, 3, ragged=True)
    ids = dock.ingest(points=points[:50], weights=weights[:50], gamma=0.1)
    ids += dock.ingest(points=points[50:], weights=weights[50:], gamma=0.1)
    ids += dock.ingest(points=points[:7], weights=weights[:7], gamma=0.1)
    dock.delete(ids[::4])
    before = found(dock, user, k=200)
    dock.optimize()
    assert found(dock, user, k=200) == before
    assert len(dock) == len(before) == 107 - len(ids[::4])
    assert len(list((dock.path / "specs").iterdir())) == 1
    assert catalog_rows(dock, "select count(*) from pending") == [(0,)]
    assert catalog_rows(dock, "select count(*) from tombstones") == [(0,)]
    unchanged = files(dock.path / "specs")
    dock.optimize()
    assert files(dock.path / "specs") == unchanged


def test_optimize_of_a_dock_whose_specifications_are_all_deleted(dock):
    points, weights = made_specs(10, 3)
    dock.delete(dock.ingest(points=points, weights=weights, gamma=0.1))
    dock.optimize()
    assert len(dock) == 0
    assert found(dock, user_spec(3, 0.1)) == []


def test_optimize_clears_what_a_killed_writer_left(dock):
    points, weights = made_specs(10, 3)
    dock.ingest(points=points, weights=weights, gamma=0.1)
    dock.optimize()
    named = set(os.listdir(dock.path / "specs"))
    (dock.path / "specs" / ".incoming-dead").mkdir()
    shutil.copytree(dock.path / "specs" / next(iter(named)), dock.path / "specs" / "unnamed")
    (dock.path / "zips" / "00000077.zip").write_bytes(b"left behind")
    dock.optimize()
    assert set(os.listdir(dock.path / "specs")) == named
    assert os.listdir(dock.path / "zips") == []


def test_deleted_learnwares_are_gone_everywhere_and_ids_are_never_reused(dock):
    points, weights = made_specs(10, 3)
    ids = dock.ingest(points=points, weights=weights, gamma=0.1)
    dock.delete(ids[-1])
    dock.delete([ids[0], ids[0]])
    assert len(dock) == 8
    assert {id for id, _ in found(dock, user_spec(3, 0.1), k=99)} == set(ids[1:-1])
    for id in (ids[0], ids[-1]):
        with pytest.raises(UnknownLearnware, match=id):
            dock.specification(id)
    assert dock.ingest(points=points[:1], weights=weights[:1], gamma=0.1)[0] not in ids


@pytest.mark.parametrize("unknown", ["00000099", "0", "000000000", "-1", "abc", "", "1" * 30, "٣"])
def test_an_unknown_id_is_an_error_that_names_it_and_nothing_is_deleted(dock, unknown):
    points, weights = made_specs(3, 3)
    ids = dock.ingest(points=points, weights=weights, gamma=0.1)
    for call in (dock.get, dock.delete, dock.zip_path, dock.specification):
        with pytest.raises(UnknownLearnware) as caught:
            call(unknown)
        assert repr(unknown) in str(caught.value)
    with pytest.raises(UnknownLearnware):
        dock.delete([ids[0], unknown])
    assert len(dock) == 3


def test_a_specification_alone_has_no_model_to_get(dock):
    points, weights = made_specs(1, 3)
    id = dock.ingest(points=points, weights=weights, gamma=0.1)[0]
    with pytest.raises(DockError, match="specification alone"):
        dock.get(id)
    with pytest.raises(DockError, match="specification alone"):
        dock.zip_path(id)


def bad_batches():
    points, weights = made_specs(3, 3)
    nan = [np.array(z) for z in points]
    nan[1][0, 0] = np.nan
    return {
        "points": ([], [], 0.1),
        "nan": (nan, weights, 0.1),
        "inf weight": (points, [weights[0], weights[1] * np.inf, weights[2]], 0.1),
        "lengths": (points, weights[:2], 0.1),
        "sizes": (points, [weights[0], weights[1][:2], weights[2]], 0.1),
        "dimension": ([points[0], points[1][:, :2], points[2]], weights, 0.1),
        "one axis": ([z[0] for z in points], weights, 0.1),
        "gamma": (points, weights, -0.1),
        "gamma text": (points, weights, "0.1x"),
        "beyond float32": ([points[0], points[1] * 1e39, points[2]], weights, 0.1),
        "a number": (3, 4, 0.1),
        "objects": ([[["a"]]], [[1.0]], 0.1),
        "ragged": ([[[1.0], [1.0, 2.0]]], [[0.5, 0.5]], 0.1),
        "a mapping": ({"a": 1}, {"a": 1}, 0.1),
        "a set": (points, {0.5, 1.0, 2.0}, 0.1),
    }


@pytest.mark.parametrize("label", bad_batches())
def test_a_bad_batch_is_an_error_and_changes_nothing(dock, label):
    good = made_specs(2, 3, seed=5)
    dock.ingest(points=good[0], weights=good[1], gamma=0.1)
    before = files(dock.path / "specs"), list(dock.list())
    points, weights, gamma = bad_batches()[label]
    with pytest.raises(InvalidArgument, match="^(points|weights|gamma)"):
        dock.ingest(points=points, weights=weights, gamma=gamma)
    assert (files(dock.path / "specs"), list(dock.list())) == before


def test_a_failure_in_the_middle_of_a_large_batch_leaves_no_segment(dock, monkeypatch):
    monkeypatch.setattr(folding, "SEGMENT_SPECS", 10)
    monkeypatch.setattr(folding, "LARGEST_SEGMENT_BYTES", 4 * 6 * 3 * 16)
    points, weights = made_specs(40, 3)
    points[39] = points[39] * np.nan
    with pytest.raises(InvalidArgument):
        dock.ingest(points=points, weights=weights, gamma=0.1)
    assert list((dock.path / "specs").iterdir()) == []
    assert len(dock) == 0


def test_spaces_are_told_apart_by_shape_and_gamma(dock):
    for dim, gamma in ((3, 0.1), (3, 0.2), (4, 0.1)):
        points, weights = made_specs(5, dim)
        dock.ingest(points=points, weights=weights, gamma=gamma)
    assert sorted(dock.spaces().values()) == [5, 5, 5]
    result = dock.search(user_spec(3, 0.2), k=99)
    assert len(result.singles) == 5
    assert result.skipped == 10
    nowhere = dock.search(user_spec(3, 0.3))
    assert nowhere.singles == ()
    assert nowhere.mixture is None
    assert nowhere.skipped == 15


def test_readonly_refuses_every_change_and_writes_nothing(path, either_catalog):
    with ld.Dock(path) as dock:
        points, weights = made_specs(5, 3)
        ids = dock.ingest(points=points, weights=weights, gamma=0.1)
    before = files(path)
    with ld.Dock(path, readonly=True) as dock:
        for change in (
            lambda: dock.ingest(points=points, weights=weights, gamma=0.1),
            lambda: dock.delete(ids),
            lambda: dock.optimize(),
            lambda: dock.submit("model.zip"),
        ):
            with pytest.raises(ReadOnlyDock):
                change()
        found(dock, user_spec(3, 0.1))
    assert files(path) == before
    catalog = "catalog.sqlite" if either_catalog == "sqlite" else "catalog.json"
    assert sorted(os.listdir(path)) == [catalog, "dock.json", "specs", "write.lock", "zips"]


def test_readonly_sees_what_a_living_writer_has_committed(path):
    points, weights = made_specs(5, 3)
    with ld.Dock(path) as writing:
        writing.ingest(points=points, weights=weights, gamma=0.1)
        with ld.Dock(path, readonly=True) as reading:
            assert len(reading) == 5


def test_readonly_makes_no_dock(tmp_path):
    with pytest.raises(ReadOnlyDock, match="no dock"):
        ld.Dock(tmp_path / "absent", readonly=True)
    assert not (tmp_path / "absent").exists()


def test_what_is_no_dock_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DockFormatError, match=r"notes\.txt"):
        ld.Dock(tmp_path)
    assert os.listdir(tmp_path) == ["notes.txt"]
    with pytest.raises(DockFormatError, match="folder"):
        ld.Dock(tmp_path / "notes.txt")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": "1"}', '{"format": 0}', '{"other": 1}'])
def test_a_broken_marker_is_a_clear_error(path, content):
    ld.Dock(path).close()
    (path / "dock.json").write_text(content)
    with pytest.raises(DockFormatError, match=r"dock\.json"):
        ld.Dock(path)


def test_a_newer_format_is_a_clear_error(path):
    ld.Dock(path).close()
    (path / "dock.json").write_text(json.dumps({"format": 3}))
    with pytest.raises(DockFormatError, match="format 3"):
        ld.Dock(path)


def test_a_creation_that_was_cut_off_is_made_anew(path):
    ld.Dock(path).close()
    (path / "dock.json").unlink()
    with ld.Dock(path) as dock:
        assert len(dock) == 0


def test_a_damaged_segment_is_an_error_that_names_it(dock):
    points, weights = made_specs(5, 3)
    dock.ingest(points=points, weights=weights, gamma=0.1)
    dock.optimize()
    tiles = next((dock.path / "specs").iterdir()) / "tiles.npy"
    tiles.write_bytes(tiles.read_bytes()[:100])
    with ld.Dock(dock.path) as fresh, pytest.raises(DockError, match="damaged"):
        found(fresh, user_spec(3, 0.1))


@pytest.mark.sqlite
def test_a_file_that_is_no_catalog_is_an_error(path):
    ld.Dock(path).close()
    (path / "catalog.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(DockError, match=r"catalog\.sqlite"), ld.Dock(path) as dock:
        len(dock)


def test_another_process_sees_a_change_at_its_next_search(path):
    user = user_spec(3, 0.1)
    with ld.Dock(path) as dock:
        assert found(dock, user) == []
        code = (
            "import learndock as ld, numpy as np, sys\n"
            "from spec_batches import made_specs\n"
            "points, weights = made_specs(5, 3)\n"
            "ld.Dock(sys.argv[1]).ingest(points=points, weights=weights, gamma=0.1)\n"
        )
        subprocess.run([sys.executable, "-c", code, str(path)], check=True, cwd=Path(__file__).parent)
        assert len(found(dock, user)) == 5


def test_two_writers_wait_for_each_other(path):
    points, weights = made_specs(20, 3)
    docks = [ld.Dock(path) for _ in range(3)]

    def write(dock):
        for i in range(0, 20, 5):
            dock.ingest(points=points[i : i + 5], weights=weights[i : i + 5], gamma=0.1)

    threads = [threading.Thread(target=write, args=(dock,)) for dock in docks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(docks[0]) == 60
    assert len({entry.id for entry in docks[0].list()}) == 60
    for dock in docks:
        dock.close()


def test_a_writer_that_waits_too_long_says_so(path, monkeypatch):
    monkeypatch.setattr(writer, "_LOCK_SECONDS", 0.2)
    points, weights = made_specs(2, 3)
    with ld.Dock(path) as holder, ld.Dock(path) as other:
        with holder._writer._lock.held(), pytest.raises(DockError, match="another writer"):
            other.ingest(points=points, weights=weights, gamma=0.1)
        other.ingest(points=points, weights=weights, gamma=0.1)


def test_searches_go_on_while_a_writer_folds(path, monkeypatch):
    monkeypatch.setattr(folding, "SEGMENT_SPECS", 8)
    points, weights = made_specs(8, 3)
    user = user_spec(3, 0.1)
    wrong = []
    with ld.Dock(path) as dock, ld.Dock(path) as reader:
        dock.ingest(points=points, weights=weights, gamma=0.1)
        done = threading.Event()

        def read():
            while not done.is_set():
                count = len(reader.search(user, k=1000, mixture=0).singles)
                if count % 8:
                    wrong.append(count)

        thread = threading.Thread(target=read)
        thread.start()
        for _ in range(15):
            dock.ingest(points=points, weights=weights, gamma=0.1)
            dock.optimize()
        done.set()
        thread.join()
        assert wrong == []
        assert len(found(reader, user, k=1000)) == 128


def test_there_are_no_files_per_specification(dock):
    points, weights = made_specs(300, 3)
    for start in range(0, 300, 10):
        dock.ingest(points=points[start : start + 10], weights=weights[start : start + 10], gamma=0.1)
    dock.optimize()
    assert sum(1 for file in dock.path.rglob("*") if file.is_file()) < 20


@pytest.mark.parametrize("commit", [1, 2])
def test_ctrl_c_around_the_commit_of_a_batch_leaves_all_of_it_or_nothing(
    dock, monkeypatch, interrupt_after_commit, commit
):
    monkeypatch.setattr(folding, "SEGMENT_SPECS", 10)
    points, weights = made_specs(20, 3)
    interrupt_after_commit(dock, commit)
    with pytest.raises(KeyboardInterrupt):
        dock.ingest(points=points, weights=weights, gamma=0.1)
    count = len(dock)
    assert count in (0, 20)
    assert len(found(dock, user_spec(3, 0.1), k=99)) == count


def test_ctrl_c_after_the_commit_of_a_compaction_loses_nothing(dock, interrupt_after_commit):
    points, weights = made_specs(20, 3)
    dock.ingest(points=points, weights=weights, gamma=0.1)
    before = found(dock, user_spec(3, 0.1), k=99)
    interrupt_after_commit(dock, 1)
    with pytest.raises(KeyboardInterrupt):
        dock.optimize()
    assert found(dock, user_spec(3, 0.1), k=99) == before
    dock.optimize()
    assert found(dock, user_spec(3, 0.1), k=99) == before


def test_a_small_batch_of_large_specifications_is_wholly_there(dock, monkeypatch):
    monkeypatch.setattr(folding, "LARGEST_SEGMENT_BYTES", 4 * 6 * 3 * 5)
    points, weights = made_specs(23, 3)
    for batch in ((points, weights), (np.array(points), np.array(weights))):
        dock.ingest(points=batch[0], weights=batch[1], gamma=0.1)
    expected = np.sort(distances_to(user_spec(3, 0.1), points * 2, weights * 2))
    assert np.allclose([mmd2 for _, mmd2 in found(dock, user_spec(3, 0.1), k=99)], expected, atol=1e-12)
    dock.optimize()
    assert np.allclose([mmd2 for _, mmd2 in found(dock, user_spec(3, 0.1), k=99)], expected, atol=1e-12)


def test_many_segments_are_merged_by_themselves(dock, monkeypatch):
    monkeypatch.setattr(folding, "SEGMENT_SPECS", 5)
    monkeypatch.setattr(folding, "MOST_SEGMENTS", 8)
    points, weights = made_specs(5, 3)
    for _ in range(30):
        dock.ingest(points=points, weights=weights, gamma=0.1)
    assert len(list((dock.path / "specs").iterdir())) < 8
    assert len(found(dock, user_spec(3, 0.1), k=999)) == 150


def test_a_failure_to_fold_is_no_failure_to_add(dock, monkeypatch, caplog):
    monkeypatch.setattr(folding, "SEGMENT_SPECS", 8)
    points, weights = made_specs(6, 3)
    dock.ingest(points=points, weights=weights, gamma=0.1)

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writer, "write_segment", full)
    assert len(dock.ingest(points=points, weights=weights, gamma=0.1)) == 6
    assert "No space" in caplog.text
    assert len(found(dock, user_spec(3, 0.1), k=99)) == 12


def test_a_full_disk_during_a_batch_is_an_error_and_nothing_is_added(dock, monkeypatch):
    monkeypatch.setattr(folding, "SEGMENT_SPECS", 5)

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    points, weights = made_specs(6, 3)
    with pytest.raises(DockError, match="No space"):
        dock.ingest(points=points, weights=weights, gamma=0.1)
    assert len(dock) == 0
    assert list((dock.path / "specs").iterdir()) == []


@pytest.mark.parametrize("name", ["a?b", "a#b", "a%41", "a b", "ä"])
def test_any_folder_name_will_do(tmp_path, name):
    points, weights = made_specs(3, 3)
    with ld.Dock(tmp_path / name) as dock:
        dock.ingest(points=points, weights=weights, gamma=0.1)
    assert os.listdir(tmp_path) == [name]
    with ld.Dock(tmp_path / name, readonly=True) as dock:
        assert len(dock) == 3


def test_a_forked_child_and_its_parent_never_hand_out_an_id_twice(path):
    points, weights = made_specs(3, 3)
    with ld.Dock(path) as dock:
        ids = dock.ingest(points=points, weights=weights, gamma=0.1)
        found(dock, user_spec(3, 0.1))
        receive, send = multiprocessing.get_context("fork").Pipe(duplex=False)
        child = os.fork()
        if child == 0:
            try:
                send.send(dock.ingest(points=points, weights=weights, gamma=0.1))
            finally:
                os._exit(0)
    ids += receive.recv()
    os.waitpid(child, 0)
    with ld.Dock(path) as dock:
        ids += dock.ingest(points=points, weights=weights, gamma=0.1)
        assert len(dock) == len(ids) == len(set(ids)) == 9


def test_a_closed_dock_is_closed(path):
    dock = ld.Dock(path)
    dock.close()
    dock.close()
    for call in (lambda: len(dock), lambda: list(dock.list()), lambda: dock.search(user_spec(3, 0.1))):
        with pytest.raises(DockError, match="closed"):
            call()


def test_a_reader_lets_go_of_segments_that_another_process_compacted_away(path):
    points, weights = made_specs(20, 3)
    with ld.Dock(path) as reader, ld.Dock(path) as other:
        for _ in range(4):
            other.delete(other.ingest(points=points, weights=weights, gamma=0.1)[0])
            other.optimize()
            found(reader, user_spec(3, 0.1))
        gc.collect()
        maps = Path("/proc/self/maps").read_text()
        assert "(deleted)" not in "".join(line for line in maps.splitlines() if str(path) in line)


def test_files_of_a_dock_are_as_readable_as_any_new_file(dock):
    (dock.path.parent / "other").touch()
    expected = stat.S_IMODE((dock.path.parent / "other").stat().st_mode)
    points, weights = made_specs(3, 3)
    dock.ingest(points=points, weights=weights, gamma=0.1)
    dock.optimize()
    for file in dock.path.rglob("*"):
        if file.is_file() and file.suffix in (".json", ".npy"):
            assert stat.S_IMODE(file.stat().st_mode) == expected


@pytest.mark.parametrize("call", ["get", "delete"])
@pytest.mark.parametrize("ids", [3, None, [3], {"a"}], ids=repr)
def test_what_is_no_id_is_an_error(dock, call, ids):
    with pytest.raises(InvalidArgument, match="ids"):
        getattr(dock, call)(ids)


def test_what_is_no_path_is_an_error():
    with pytest.raises(InvalidArgument, match="path"):
        ld.Dock(None)


def test_status_of_usable_learnwares_is_the_checkers():
    from learndock.checker import Status
    from learndock.dock import tables

    assert Status.USABLE == tables.USABLE


def test_progress_of_an_ingest_is_told_and_stopping_it_changes_nothing(dock, monkeypatch):
    monkeypatch.setattr(folding, "SEGMENT_SPECS", 10)
    monkeypatch.setattr(folding, "LARGEST_SEGMENT_BYTES", 4 * 6 * 3 * 16)
    points, weights = made_specs(40, 3)
    told = []

    def heard(what, done, total):
        told.append((what, done, total))
        if len(told) == 5:
            raise KeyboardInterrupt

    dock.ingest(points=points, weights=weights, gamma=0.1, on_progress=heard)
    assert told == [("ingest", done, 40) for done in (16, 32, 40)]
    with pytest.raises(KeyboardInterrupt):
        dock.ingest(points=points, weights=weights, gamma=0.1, on_progress=heard)
    assert len(dock) == 40
    assert len(list((dock.path / "specs").iterdir())) == 3


def test_progress_of_optimizing_is_told_in_spaces(dock):
    for gamma in (0.1, 0.2):
        points, weights = made_specs(3, 3)
        dock.ingest(points=points, weights=weights, gamma=gamma)
    told = []
    dock.optimize(on_progress=lambda *heard: told.append(heard))
    assert told == [("optimize", done, 2) for done in range(3)]


def test_folding_keeps_every_number(dock, monkeypatch):
    """Dead copies between living ones, pieces smaller than a segment, sizes that differ, ids that interleave."""
    monkeypatch.setattr(folding, "_POINTS_AT_A_TIME", 7)
    monkeypatch.setattr(folding, "SEGMENT_SPECS", 30)
    kept = {}
    for seed in range(4):
        points, weights = made_specs(35, 3, seed=seed, ragged=True)
        ids = dock.ingest(points=points, weights=weights, gamma=0.1)
        kept |= dict(zip(ids, zip(points, weights, strict=True), strict=True))
        gone = ids[seed::3]
        dock.delete(gone)
        for id in gone:
            del kept[id]
    before = dict(found(dock, user_spec(3, 0.1), k=999))
    dock.optimize()
    assert dict(found(dock, user_spec(3, 0.1), k=999)) == before
    assert set(before) == set(kept)
    for id, (z, beta) in kept.items():
        spec = dock.specification(id)
        assert np.array_equal(spec.points, np.float32(z))
        assert np.array_equal(spec.weights, np.float32(beta))
    assert dock.verify().ok


@pytest.mark.parametrize("path", [None, 3, "with\0nul"])
def test_what_is_no_path_is_an_error_everywhere(tmp_path, path):
    with ld.Dock(tmp_path / "dock") as dock:
        for call in (ld.Dock, ld.Learnware.open, check_learnware, dock.submit, dock.backup):
            with pytest.raises(InvalidArgument, match="^path: expected a path"):
                call(path)
