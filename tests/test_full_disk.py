"""Disks that are full, at any moment, and disks that can't be written to."""

import os
import random
import resource
import signal

import pytest

import learndock as ld
from crashing import (
    KINDS,
    State,
    assert_searches,
    assert_whole,
    forked,
    perform,
    planned,
    prepare_writer,
    small_docks,
)
from learndock.errors import DockError, ReadOnlyDock
from mounts import in_own_mounts, mount_readonly, mount_small
from spec_batches import made_specs

pytestmark = pytest.mark.slow

ROUNDS = 39
FULL = ("No space left", "disk is full", "File too large", "disk I/O error", "unable to open database file")


@pytest.fixture(autouse=True)
def small():
    with small_docks():
        yield


def work_on_a_disk_with_limits(path, scratch, limited):
    """Do one thing after the other, each while `limited` holds: it is done, or an error says why it was not."""
    checks, rng, state, refused = prepare_writer(), random.Random(0), State(), []
    for round_ in range(ROUNDS):
        with ld.Dock(path) as dock:
            deed = planned(dock, KINDS[round_ % len(KINDS)], rng, scratch)
        done = False
        with limited(rng):
            try:
                with ld.Dock(path) as dock:
                    ids = perform(dock, deed, checks)
                    done = True
            except DockError as error:
                refused.append((deed["kind"], str(error)))
        if done:
            state = state.after(deed, ids)
            assert_whole(path, state, None, optimized=False)
        else:
            state = assert_whole(path, state, deed, optimized=round_ % 3 == 0)
    # Some of all were refused, and there was room for others.
    assert len({kind for kind, _ in refused}) > 3
    assert [said for _, said in refused if not any(text in said for text in FULL)] == []
    assert len(refused) < ROUNDS - 5
    assert len(state.learnwares) > 5


class FullDisk:
    """A disk with little room or none, until the block ends."""

    def __init__(self, folder):
        self._ballast = folder / "ballast"

    def __call__(self, rng):
        self._free = rng.choice([0, rng.randrange(16_384), rng.randrange(200_000), rng.randrange(1_000_000)])
        return self

    def __enter__(self):
        with self._ballast.open("wb") as file:
            free = os.statvfs(file.name).f_bavail * os.statvfs(file.name).f_frsize
            os.posix_fallocate(file.fileno(), 0, max(1, free - self._free))

    def __exit__(self, *_):
        self._ballast.unlink()


def test_a_full_disk_is_an_error_that_says_so_and_nothing_is_half_done(tmp_path):
    (tmp_path / "small").mkdir()

    def work():
        mount_small(tmp_path / "small", 8 * 2**20)
        (tmp_path / "scratch").mkdir()
        work_on_a_disk_with_limits(tmp_path / "small" / "dock", tmp_path / "scratch", FullDisk(tmp_path / "small"))

    in_own_mounts(work)


class SmallFiles:
    """No file may grow beyond some kilobytes, until the block ends."""

    def __call__(self, rng):
        self._size = rng.choice([rng.randrange(4096), rng.randrange(20_000), rng.randrange(400_000)])
        return self

    def __enter__(self):
        resource.setrlimit(resource.RLIMIT_FSIZE, (self._size, resource.RLIM_INFINITY))

    def __exit__(self, *_):
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def test_files_that_may_not_grow_are_an_error_that_says_so_and_nothing_is_half_done(quick_folder):
    scratch = quick_folder / "scratch"
    scratch.mkdir()
    child = forked(lambda: work_on_a_disk_with_limits(quick_folder / "dock", scratch, SmallFiles()))
    assert os.waitpid(child, 0)[1] == 0


@pytest.fixture
def filled(tmp_path):
    with ld.Dock(tmp_path / "dock") as dock:
        points, weights = made_specs(30, 3, ragged=True)
        ids = dock.ingest(points=points, weights=weights, gamma=0.1)
        dock.optimize()
        dock.delete(ids[:2])
        points, weights = made_specs(4, 3, seed=1)
        dock.ingest(points=points, weights=weights, gamma=0.1)
        state = State.of(dock)
    return tmp_path / "dock", state


def read(path, state):
    with ld.Dock(path, readonly=True) as dock:
        assert State.of(dock) == state
        assert_searches(dock, state)
        assert dock.verify().ok
        with pytest.raises(ReadOnlyDock):
            dock.optimize()


def test_a_dock_on_a_read_only_disk_is_read_and_a_change_is_a_clear_error(filled):
    path, state = filled
    before = sorted((file, file.stat().st_mtime_ns) for file in path.rglob("*"))

    def work():
        mount_readonly(path)
        read(path, state)
        with pytest.raises(ReadOnlyDock, match="can't be written to; readonly=True"):
            ld.Dock(path)

    in_own_mounts(work)
    assert sorted((file, file.stat().st_mtime_ns) for file in path.rglob("*")) == before


def test_what_a_killed_writer_has_left_is_read_from_a_read_only_disk(filled):
    path, _ = filled

    def die():
        dock = ld.Dock(path)
        points, weights = made_specs(5, 3, seed=2)
        dock.ingest(points=points, weights=weights, gamma=0.1)
        os.kill(os.getpid(), signal.SIGKILL)

    os.waitpid(forked(die), 0)
    assert (path / "catalog.sqlite-wal").stat().st_size

    def work():
        mount_readonly(path)
        with ld.Dock(path, readonly=True) as dock:
            state = State.of(dock)
            assert len(state.learnwares) == 37
        read(path, state)

    in_own_mounts(work)
