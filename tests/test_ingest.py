"""Bulk: what `ingest` writes piece by piece is what would be written at once, all of it or nothing."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

import learndock as ld
from learndock import kernels
from learndock.dock import folding, segment_stream, writer
from learndock.dock.segments import ARRAYS
from learndock.dock.space import Space
from learndock.errors import DockError, InvalidArgument, UnknownLearnware
from spec_batches import made_specs, user_spec

pytestmark = pytest.mark.usefixtures("either_catalog")


@pytest.fixture
def dock(tmp_path, monkeypatch):
    """One that writes segments of a few specifications in pieces of fewer."""
    monkeypatch.setattr(folding, "SEGMENT_SPECS", 10)
    monkeypatch.setattr(folding, "MOST_SEGMENTS", 1000)
    monkeypatch.setattr(writer, "_PIECE_BYTES", 4 * 6 * 3 * 20)
    monkeypatch.setattr(segment_stream, "_SYNCED_BYTES", 1000)
    with ld.Dock(tmp_path / "dock") as opened:
        yield opened


def folders(dock):
    return sorted((dock.path / "specs").iterdir())


def arrays(folder):
    return {label: np.load(folder / f"{label}.npy") for label in ARRAYS}


@pytest.mark.parametrize("form", ["float32", "float64", "lists", "ragged"])
@pytest.mark.parametrize("count", [10, 16, 57, 160])
def test_pieces_make_the_arrays_of_one_packing(dock, form, count):
    points, weights = made_specs(count, 3, ragged=form == "ragged")
    if form in ("float32", "float64"):
        points, weights = np.array(points, dtype=form), np.array(weights, dtype=form)
    ids = dock.ingest(points=points, weights=weights, gamma=0.1)
    (folder,) = folders(dock)
    packed = kernels.pack(points, weights)
    whole = {
        "tiles": packed.tiles,
        "weights": packed.weights,
        "offsets": packed.offsets,
        "self_inner": packed.self_inner(gamma=0.1),
        "ids": np.array([int(id) for id in ids]),
    }
    for label, array in arrays(folder).items():
        assert array.dtype == whole[label].dtype
        assert np.array_equal(array, whole[label]), label
    sums = json.loads((folder / "segment.json").read_bytes())["sha256"]
    assert sums == {label: hashlib.sha256((folder / f"{label}.npy").read_bytes()).hexdigest() for label in ARRAYS}
    assert dock.verify().ok


def test_files_are_those_that_numpy_writes(dock, tmp_path):
    points, weights = made_specs(50, 3, ragged=True)
    dock.ingest(points=points, weights=weights, gamma=0.1)
    (folder,) = folders(dock)
    for label, array in arrays(folder).items():
        np.save(tmp_path / "saved.npy", array)
        assert (folder / f"{label}.npy").read_bytes() == (tmp_path / "saved.npy").read_bytes()


def test_a_batch_of_several_segments_has_each_specification_once(dock, monkeypatch):
    monkeypatch.setattr(folding, "LARGEST_SEGMENT_BYTES", 4 * 6 * 3 * 45)
    points, weights = made_specs(200, 3)
    ids = dock.ingest(points=np.array(points), weights=np.array(weights), gamma=0.1)
    assert len(folders(dock)) == 5
    for i in (0, 44, 45, 63, 199):
        assert np.array_equal(dock.specification(ids[i]).points, np.float32(points[i]).astype(float))
    entries = list(dock.list())
    assert [entry.id for entry in entries] == ids
    assert {(entry.status.name, entry.gamma, entry.input_shape) for entry in entries} == {("USABLE", 0.1, (3,))}
    assert dock.verify().ok


@pytest.mark.parametrize("at", [0, 25, 199])
def test_an_error_in_a_later_piece_says_where_it_counts_from(dock, at):
    points, weights = made_specs(200, 3)
    points[at] = points[at] * np.nan
    start = at // 16 * 16
    where = f"; counted from specification {start} of the batch$" if start else r"index \(0, 0\)$"
    with pytest.raises(InvalidArgument, match=f"^points: expected finite numbers.*{where}"):
        dock.ingest(points=np.array(points), weights=np.array(weights), gamma=0.1)
    assert folders(dock) == []
    assert len(dock) == 0


def test_points_of_another_dimension_in_a_later_piece_are_an_error(dock):
    points, weights = made_specs(60, 3)
    points[32:] = [z[:, :2] for z in points[32:]]
    with pytest.raises(InvalidArgument, match=r"^points\[\d+\]: expected 3 coordinates"):
        dock.ingest(points=points, weights=weights, gamma=0.1)
    assert folders(dock) == []


@pytest.fixture
def near_by(dock, monkeypatch):
    """The same where fifty come at once as ten thousand do: near ones together."""
    monkeypatch.setattr(writer, "_NEAR_AT_ONCE", 50)
    return dock


def families(count, *, ragged=False):
    """Specifications of 12 families that lie apart, in no order, and the family of each."""
    rng = np.random.default_rng(5)
    family = rng.integers(12, size=count)
    centres = 10 * rng.permutation(12)[:, None] + rng.normal(size=(12, 3))
    sizes = rng.integers(1, 9, size=count) if ragged else np.full(count, 6)
    points = [centres[f] + rng.normal(size=(size, 3)) for f, size in zip(family, sizes, strict=True)]
    return points, [np.full(size, 1 / size) for size in sizes], family


@pytest.mark.parametrize("most", [None, 4 * 6 * 3 * 130])
@pytest.mark.parametrize("form", ["float32", "float64", "lists", "ragged"])
def test_many_at_once_lie_near_their_like_and_keep_their_ids(near_by, monkeypatch, form, most):
    if most is not None:
        monkeypatch.setattr(folding, "LARGEST_SEGMENT_BYTES", most)
    points, weights, family = families(400, ragged=form == "ragged")
    if form in ("float32", "float64"):
        points, weights = np.array(points, dtype=form), np.array(weights, dtype=form)
    ids = near_by.ingest(points=points, weights=weights, gamma=0.1)
    assert sorted(ids) == [entry.id for entry in near_by.list()]
    for i in range(0, 400, 13):
        assert np.array_equal(near_by.specification(ids[i]).points, np.float32(points[i]).astype(float))
    segments = len(folders(near_by))
    assert (segments > 1) == (most is not None)
    # A family here and there in two pieces: cuts are at the widest gap of codes.
    changes = np.count_nonzero(np.diff(family[np.argsort(ids)]))
    assert changes <= 20 * segments < 300
    assert near_by.verify().ok


def test_twins_keep_their_order(near_by):
    points, weights, _ = families(60)
    ids = near_by.ingest(points=points * 2, weights=weights * 2, gamma=0.1)
    assert all(first < second for first, second in zip(ids[:60], ids[60:], strict=True))


@pytest.mark.parametrize("form", ["nested", "frame", "tensor"])
def test_what_is_no_array_comes_as_it_is(near_by, form):
    points, weights, _ = families(60)
    if form == "nested":
        points = [z.tolist() for z in points]
    elif form == "frame":
        points, weights = np.array(points), pytest.importorskip("pandas").DataFrame(np.array(weights))
    else:
        points = pytest.importorskip("torch").tensor(np.array(points))
    ids = near_by.ingest(points=points, weights=weights, gamma=0.1)
    assert ids == sorted(ids)
    assert len(near_by) == 60


@pytest.mark.parametrize("form", ["flat", "flat weights", "short weights", "more weights", "empty", "text"])
def test_what_has_no_means_is_a_clear_error(near_by, form):
    points, weights, _ = families(60)
    points, weights = np.array(points), np.array(weights)
    if form == "flat":
        points = points[:, :, 0]
    elif form == "flat weights":
        weights = weights[:, 0]
    elif form == "short weights":
        weights = weights[:, :-1]
    elif form == "more weights":
        weights = weights[:, None, :]
    elif form == "empty":
        points, weights = points[:, :0], weights[:, :0]
    else:
        points = points.astype(str)
    with pytest.raises(InvalidArgument, match=r"points|weights"):
        near_by.ingest(points=points, weights=weights, gamma=0.1)
    assert folders(near_by) == []


def test_a_batch_that_lies_as_it_should_stays(near_by):
    points = np.arange(60.0)[:, None, None] * np.ones((1, 2, 3))
    assert near_by.ingest(points=points, weights=np.ones((60, 2)), gamma=0.1) == [entry.id for entry in near_by.list()]


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1e300])
@pytest.mark.parametrize("at", [0, 25, 199])
def test_errors_name_the_callers_place_though_near_ones_lie_together(near_by, at, wrong):
    points, weights, _ = families(200)
    points[at] = points[at] * 0 + wrong
    start = at // 16 * 16
    where = f"; counted from specification {start} of the batch$" if start else r"(index \(0, 0\)|got 1e\+300)$"
    with pytest.raises(InvalidArgument, match=f"^points: .*{where}"):
        near_by.ingest(points=np.array(points), weights=np.array(weights), gamma=0.1)
    assert folders(near_by) == []


def test_the_first_of_another_dimension_is_named_though_near_ones_lie_together(near_by):
    points, weights, _ = families(64)
    points[48:] = [z[:, :2] for z in points[48:]]
    with pytest.raises(InvalidArgument, match=r"^points\[48\]: expected 3 coordinates"):
        near_by.ingest(points=points, weights=weights, gamma=0.1)
    assert folders(near_by) == []


class Full:
    """Fails from the n-th call on."""

    def __init__(self, call, after):
        self._call = call
        self._left = after

    def __call__(self, *args):
        self._left -= 1
        if self._left < 0:
            raise OSError(28, "No space left on device")
        return self._call(*args)


@pytest.mark.parametrize("after", [0, 1, 5, 12])
@pytest.mark.parametrize("where", ["write", "sync"])
def test_a_disk_that_is_full_in_the_middle_leaves_nothing(dock, monkeypatch, where, after):
    monkeypatch.setattr(folding, "LARGEST_SEGMENT_BYTES", 4 * 6 * 3 * 45)
    points, weights = (np.array(made) for made in made_specs(200, 3))
    before = dock.ingest(points=points[:20], weights=weights[:20], gamma=0.1)
    there = folders(dock)
    with monkeypatch.context() as full:
        if where == "sync":
            full.setattr(os, "fsync", Full(os.fsync, after))
        else:
            write = Full(segment_stream._ArrayFile._write, after)
            full.setattr(segment_stream._ArrayFile, "_write", lambda self, content: write(self, content))
        with pytest.raises(DockError, match="No space"):
            dock.ingest(points=points, weights=weights, gamma=0.1)
    assert folders(dock) == there
    assert [entry.id for entry in dock.list()] == before
    assert len(dock.ingest(points=points, weights=weights, gamma=0.1)) == 200


def test_no_thread_and_no_file_outlives_a_batch(dock):
    points, weights = made_specs(100, 3)
    dock.ingest(points=points, weights=weights, gamma=0.1)
    with pytest.raises(InvalidArgument):
        dock.ingest(points=[*points, [[np.nan] * 3]], weights=[*weights, [1.0]], gamma=0.1)
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("learndock-")] == []
    opened = [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    assert [path for path in opened if path.endswith(".npy")] == []


def test_a_batch_holds_a_piece_at_a_time_and_not_itself(tmp_path):
    estimate = ld.estimate("ingest", n=1_000_000, dim=32, n_points=100)
    assert estimate.working < 2**28
    assert estimate.disk > 10 * 2**30


@pytest.mark.sqlite
def test_opening_and_searching_read_no_rows_of_learnwares(tmp_path, monkeypatch):
    monkeypatch.setattr(folding, "SEGMENT_SPECS", 10)
    points, weights = made_specs(40, 3)
    with ld.Dock(tmp_path / "dock") as dock:
        ids = dock.ingest(points=points, weights=weights, gamma=0.1)
        dock.ingest(points=points[:5], weights=weights[:5], gamma=0.1)
        dock.delete(ids[:2])
    with ld.Dock(tmp_path / "dock") as dock:
        asked = []
        sa.event.listen(dock._catalog._engine, "before_cursor_execute", lambda *args: asked.append(args[2:4]))
        assert len(dock.search(user_spec(3, 0.1), k=99).singles) == 43
        assert dock.spaces() == {Space("RKMETableSpecification", (3,), 0.1): 43}
        with dock._catalog.reading() as connection:
            plans = [
                row[3]
                for statement, parameters in list(asked)
                if statement.lstrip().startswith("SELECT")
                for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            ]
    assert plans
    assert not [plan for plan in plans if plan.startswith("SCAN learnwares") and "learnwares_not_usable" not in plan]


def test_many_are_deleted_at_once_all_or_none(dock):
    count = 40_000  # more than a statement of SQLite may have parameters
    ids = dock.ingest(points=np.zeros((count, 1, 1), np.float32), weights=np.ones((count, 1), np.float32), gamma=0.1)
    with pytest.raises(UnknownLearnware, match="no-such-id"):
        dock.delete([*ids, "no-such-id"])
    assert len(dock) == count
    dock.delete(ids[5:])
    assert [entry.id for entry in dock.list()] == ids[:5]
    assert dock.verify().ok
    with pytest.raises(UnknownLearnware, match=ids[-1]):
        dock.delete([ids[0], ids[-1]])
    assert len(dock) == 5
