"""A search of a dock whose segments are damaged ends in an error that says so."""

from __future__ import annotations

import numpy as np
import pytest

import learndock as ld
from learndock.dock.store import SpaceView
from learndock.errors import DockError
from sketched_views import searched, segment, small_numbers, user

GAMMA = 0.5


@pytest.fixture(name="folder")
def a_dock_with_one_segment(tmp_path):
    rng = np.random.default_rng(0)
    with ld.Dock(tmp_path / "dock") as dock:
        dock.ingest(points=rng.normal(size=(40, 3, 2)), weights=np.full((40, 3), 1 / 3), gamma=GAMMA)
        dock.optimize()
    (found,) = (tmp_path / "dock" / "specs").iterdir()
    return found


def change(folder, label, at, value):
    array = np.load(folder / f"{label}.npy")
    array.reshape(-1)[at] = value
    np.save(folder / f"{label}.npy", array)


@pytest.mark.parametrize("method", ["exact", "certified", "approximate"])
@pytest.mark.parametrize(
    ("label", "at", "value", "says"),
    [
        ("self_inner", slice(None), np.nan, "hold NaN or infinity"),
        ("self_inner", 3, np.inf, "hold NaN or infinity"),
        ("weights", slice(None), np.nan, "hold NaN or infinity"),
        ("tiles", slice(None), np.nan, "hold NaN or infinity"),
        ("offsets", 3, 2**40, "expected increasing numbers"),
        ("offsets", 0, 1, "from 0"),
        ("ids", 5, 0, "expected increasing numbers"),
        ("ids", 0, -1, "expected 0 or more"),
    ],
)
def test_a_search_says_that_the_dock_is_damaged(folder, method, label, at, value, says):
    change(folder, label, at, value)
    spec = user(np.zeros((1, 2)), [1.0], GAMMA)
    with ld.Dock(folder.parent.parent, readonly=True) as dock, pytest.raises(DockError, match=says):
        dock.search(spec, method=method, k=40)


@pytest.mark.parametrize("rule", ["distance", "greedy", "auto", "greedy_dock"])
@pytest.mark.parametrize("value", [0.0, 1e-300, -1.0, 1e-8, 1.0, 1e30, 1e300, -1e300, 1.7e308, -1.7e308])
@pytest.mark.parametrize("at", [slice(None), slice(None, None, 2), 3])
def test_wrong_norms_never_make_weights_that_are_no_numbers(folder, rule, value, at):
    change(folder, "self_inner", at, value)
    spec = user(np.zeros((1, 2)), [1.0], GAMMA)
    # The mean of all distances, of which scores are made, may overflow.
    with ld.Dock(folder.parent.parent, readonly=True) as dock, np.errstate(over="ignore"):
        found = dock.search(spec, rule=rule, mixture=5)
    assert all(np.isfinite(hit.mmd2) for hit in found.singles)
    if found.mixture is not None:
        assert np.isfinite(found.mixture.weights).all()
        assert np.isfinite(found.mixture.mmd2)


def test_a_segment_of_another_space_is_damaged(folder):
    tiles = np.load(folder / "tiles.npy")
    np.save(folder / "tiles.npy", np.ascontiguousarray(tiles[:, :1]))
    with ld.Dock(folder.parent.parent, readonly=True) as dock, pytest.raises(DockError, match="expected shape"):
        dock.search(user(np.zeros((1, 2)), [1.0], GAMMA))


def test_distances_whose_sum_overflows_are_no_damage():
    points = np.random.default_rng(0).normal(size=(40, 3, 2))
    held = segment(points, np.ones((40, 3)), range(40), GAMMA)
    view = SpaceView(1, {"s": held}, None, {}, np.empty(0, np.int64))
    spec = user(np.zeros((3000, 2)), np.full(3000, 1e150), GAMMA)
    assert spec.inner(spec) > np.finfo(float).max / 40
    with small_numbers(), np.errstate(over="ignore"):  # the mean of all, of which scores are made
        (result,) = searched(view, [spec], "exact")
    assert len(result.singles) == 5
    assert all(np.isfinite(hit.mmd2) for hit in result.singles)
