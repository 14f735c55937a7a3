"""Backups: a dock in one state, though writers are at work, or nothing."""

import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

import learndock as ld
from filled_docks import add, checks, described, dock, spec, written_zip  # noqa: F401
from learndock.dock import backup
from learndock.errors import DockError, DockFormatError, InvalidArgument
from spec_batches import made_specs

pytestmark = pytest.mark.usefixtures("either_catalog")


def contents(dock):  # noqa: F811
    return (
        list(dock.list()),
        [(hit.id, hit.mmd2) for hit in dock.search(spec(99), k=999, status="any").singles],
        dock.history(),
        {entry.id: dock.zip_path(entry.id).read_bytes() for entry in dock.list() if entry.zip_sha256},
    )


@pytest.fixture
def filled(dock, add, tmp_path):  # noqa: F811
    """A dock with a segment that has dead copies, what waits in the catalog, and zips."""
    ids = [add(seed=seed) for seed in range(4)]
    points, weights = made_specs(30, 3)
    ids += dock.ingest(points=points, weights=weights, gamma=0.1)
    dock.optimize()
    dock.update(ids[1], path=written_zip(tmp_path / "new.zip", spec(50), note="new"))
    dock.delete(ids[2])
    add(seed=9)
    return dock


@pytest.mark.parametrize("link", [True, False])
@pytest.mark.parametrize("there", [False, True], ids=["no folder", "an empty folder"])
def test_a_backup_is_the_dock(filled, tmp_path, link, there):
    target = tmp_path / "a" / "backup"
    if there:
        target.mkdir(parents=True)
    told = []
    assert filled.backup(target, link=link, on_progress=lambda *heard: told.append(heard)) == target
    assert told == [("backup", done, 5) for done in range(6)]
    assert sorted(os.listdir(target)) == ["catalog.sqlite", "dock.json", "specs", "zips"]
    with ld.Dock(target) as copy:
        assert contents(copy) == contents(filled)
        report = copy.verify()
        assert report.problems == ()
        assert report.orphans == ()
    for entry in filled.list():
        if entry.zip_sha256:
            copied = target / "zips" / filled.zip_path(entry.id).name
            assert copied.samefile(filled.zip_path(entry.id)) == link


def test_a_backup_lives_on_by_itself(filled, tmp_path):
    filled.backup(tmp_path / "backup")
    before = contents(filled)
    everything = [entry.id for entry in filled.list()]
    filled.delete(everything)
    filled.optimize()
    shutil.rmtree(filled.path)
    with ld.Dock(tmp_path / "backup") as copy:
        assert contents(copy) == before
        assert not set(copy.ingest(points=[[[0.0] * 3]], weights=[[1.0]], gamma=0.1)) & set(everything)
        copy.optimize()
        assert copy.verify().ok


def test_a_dock_opened_for_reading_can_be_backed_up(filled, tmp_path):
    before = contents(filled)
    filled.close()
    with ld.Dock(filled.path, readonly=True) as reader:
        reader.backup(tmp_path / "backup")
    with ld.Dock(tmp_path / "backup", readonly=True) as copy:
        assert contents(copy) == before


def test_an_empty_dock_can_be_backed_up(dock, tmp_path):  # noqa: F811
    dock.backup(tmp_path / "backup")
    with ld.Dock(tmp_path / "backup") as copy:
        assert len(copy) == 0


@pytest.mark.parametrize("link", [True, False])
def test_a_backup_is_of_one_state_while_writers_write(dock, tmp_path, link):  # noqa: F811
    """Pairs are added and removed together; a backup with half a pair would be of no state that ever was."""
    points, weights = made_specs(2, 3)
    dock.ingest(points=points, weights=weights, gamma=0.1)
    done, failed = threading.Event(), []

    def write():
        try:
            with ld.Dock(dock.path) as writer:
                while not done.is_set():
                    ids = writer.ingest(points=points, weights=weights, gamma=0.1)
                    writer.optimize()
                    writer.delete(ids)
                    writer.optimize()
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for i in range(8):
            dock.backup(tmp_path / f"backup{i}", link=link)
            with ld.Dock(tmp_path / f"backup{i}") as copy:
                assert len(copy) in (2, 4)
                assert len(copy.search(spec(99), k=99).singles) == len(copy)
                assert copy.verify().problems == ()
    finally:
        done.set()
        thread.join()
    assert failed == []


def test_what_is_gone_before_its_turn_is_followed(filled, tmp_path, monkeypatch):
    copy_files, changed = backup._copy_files, []

    def late(*args, **options):
        if not changed:
            changed.append(filled.optimize())
            filled.delete(next(filled.list()).id)
        return copy_files(*args, **options)

    monkeypatch.setattr(backup, "_copy_files", late)
    filled.backup(tmp_path / "backup")
    with ld.Dock(tmp_path / "backup") as copy:
        assert contents(copy) == contents(filled)
        report = copy.verify()
        assert report.ok
        assert report.orphans == ()


def test_a_missing_zip_is_an_error_and_leaves_nothing(filled, tmp_path):
    path = filled.zip_path(next(filled.list()).id)
    path.unlink()
    with pytest.raises(DockError, match=path.name):
        filled.backup(tmp_path / "backup")
    assert not (tmp_path / "backup").exists()


@pytest.mark.parametrize("there", [False, True], ids=["no folder", "an empty folder"])
@pytest.mark.parametrize("at", ["copy", "move", "progress"])
def test_a_failure_leaves_nothing(filled, tmp_path, monkeypatch, at, there):
    target = tmp_path / "backup"
    if there:
        target.mkdir()

    def full(*args):
        raise OSError(28, "No space left on device")

    def stopped(what, done, total):
        if done == total:
            raise KeyboardInterrupt

    if at == "copy":
        monkeypatch.setattr(os, "fsync", full)
    elif at == "move":
        rename = Path.rename
        monkeypatch.setattr(Path, "rename", lambda self, to: full() if self.name == "dock.json" else rename(self, to))
    with pytest.raises(KeyboardInterrupt if at == "progress" else DockError):
        filled.backup(target, on_progress=stopped if at == "progress" else None)
    assert target.exists() == there
    assert not there or os.listdir(target) == []


@pytest.mark.parametrize("renames", range(4))
def test_a_killed_backup_is_not_taken_for_a_dock(filled, tmp_path, renames):
    child = os.fork()
    if child == 0:
        rename, left = Path.rename, [renames]

        def killed(self, to):
            if self.parent.name.startswith(".backup-"):
                if left[0] == 0:
                    os._exit(7)
                left[0] -= 1
            return rename(self, to)

        Path.rename = killed
        try:
            filled.backup(tmp_path / "backup", link=True)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    with pytest.raises(DockFormatError, match="expected a dock or an empty folder"):
        ld.Dock(tmp_path / "backup")
    with pytest.raises(InvalidArgument, match="^path: expected an empty folder"):
        filled.backup(tmp_path / "backup")


def test_only_an_empty_place_outside_of_the_dock_will_do(filled, tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    for path in (tmp_path / "file", tmp_path / "full", filled.path, filled.path / "backup", 3):
        with pytest.raises(InvalidArgument, match="^path"):
            filled.backup(path)
    with pytest.raises(DockError, match="^path"):
        filled.backup(tmp_path / "file" / "backup")
    assert (tmp_path / "full" / "file").read_text() == "mine"


def test_where_no_link_can_be_made_files_are_copied(filled, tmp_path, monkeypatch):
    def across(source, target):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", across)
    filled.backup(tmp_path / "backup")
    with ld.Dock(tmp_path / "backup") as copy:
        assert contents(copy) == contents(filled)
        assert np.all([file.stat().st_nlink == 1 for file in (tmp_path / "backup" / "zips").iterdir()])
