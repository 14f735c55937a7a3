"""What a dock says about its spaces."""

import numpy as np
import pytest

import learndock as ld
import reference
from command_line import json_of, learndock
from filled_docks import add, checks, dock, spec  # noqa: F401
from learndock.dock import DockStats, SpaceStats
from sketched_views import small_numbers
from spec_batches import made_specs


def filled(dock, *, count=60, dim=3, gamma=0.1, seed=0, optimize=True):  # noqa: F811
    points, weights = made_specs(count, dim, seed=seed)
    ids = dock.ingest(points=points, weights=weights, gamma=gamma)
    if optimize:
        with small_numbers(scans=True):
            dock.optimize()
    return ids, points, weights


def test_an_empty_dock_has_no_spaces(dock):  # noqa: F811
    stats = dock.stats()
    assert stats == DockStats(())
    assert repr(stats) == "DockStats(0 specifications in 0 spaces)"
    assert len(stats.to_frame()) == 0


def test_a_space_without_sketches_is_scanned(dock):  # noqa: F811
    filled(dock, optimize=False)
    (one,) = dock.stats().spaces
    assert (one.specs, one.segments, one.waiting, one.sketched, one.sketch_bytes) == (60, 0, 60, 0, 0)
    assert one.scanned
    # 60 x 6 points in tiles of 16 points, and their weights, in float32.
    assert one.point_bytes == -(-60 * 6 // 16) * 16 * 3 * 4 + 60 * 6 * 4
    unknown = ("sketch_bytes_a_spec", "landmarks", "coordinates", "stages", "noise_share", "predicted", "median_gamma")
    assert all(getattr(one, name) is None for name in (*unknown, "features", "advice"))


def test_the_facts_of_sketches(dock):  # noqa: F811
    ids, points, weights = filled(dock)
    dock.delete(ids[:4])
    filled(dock, count=7, seed=1, optimize=False)
    (one,) = dock.stats().spaces
    assert (one.space.input_shape, one.space.gamma) == ((3,), 0.1)
    assert (one.specs, one.segments, one.waiting, one.sketched) == (63, 1, 7, 56)
    facts = dock._store.view(one.space).model.facts
    assert one.stages == facts.stages
    assert one.coordinates == one.stages[-1]
    assert one.landmarks in (8, 16, 32)
    assert one.predicted == facts.predicted
    # A byte a coordinate, a float32 residual a stage and one for the error, a place in the order; of features three
    # numbers; all but the order in blocks of 16, and for each block a ball, in blocks of 16 likewise.
    assert one.features == 512
    ball = one.stages[0] + 2 * 4
    own = one.coordinates + 4 * len(one.stages) + 4 + one.features + 3 * 4
    assert one.sketch_bytes_a_spec == own + 4 + -(-ball // 16)
    assert one.sketch_bytes == 64 * own + 60 * 4 + 16 * ball
    files = (dock.path / "specs").glob("*/sketch-*/*.npy")
    assert one.sketch_bytes == sum(np.load(path).nbytes for path in files)
    stored = [(np.float32(z), np.float32(beta)) for z, beta in zip(points, weights, strict=True)]
    own = [np.float64(beta) @ beta / reference.inner(z, beta, z, beta, 0.1) for z, beta in stored]
    assert one.noise_share == pytest.approx(np.mean(own), rel=1e-6)


def test_the_gamma_that_is_advised_is_that_of_the_median_distance(dock):  # noqa: F811
    _, points, _ = filled(dock, count=200)
    (one,) = dock.stats().spaces
    every = np.concatenate(points)
    median = np.median(((every[:, None] - every) ** 2).sum(axis=2))
    # Of a few landmarks.
    assert one.median_gamma == pytest.approx(1 / median, rel=0.5)


def test_spaces_come_the_largest_first_and_empty_ones_not_at_all(dock):  # noqa: F811
    filled(dock, count=5)
    filled(dock, count=9, gamma=0.5)
    ids, _, _ = filled(dock, count=3, dim=4)
    filled(dock, count=2, dim=7)
    dock.delete(ids)
    assert [one.specs for one in dock.stats().spaces] == [9, 5, 2]


def test_what_is_not_usable_counts(dock, add):  # noqa: F811
    add(seed=1)
    add(seed=2, status=ld.checker.Status.NONUSABLE)
    assert [one.specs for one in dock.stats().spaces] == [2]


def stats_of(noise, *, gamma=0.1, median=0.01):
    space = ld.dock.Space("RKMETableSpecification", (3,), gamma)
    return SpaceStats(space, 9000, 2, 0, 9000, 10**6, 10**5, 76, 1024, 64, (16, 64), noise, 40.0, False, median)


def test_advice_is_given_where_bounds_are_weak_or_distances_say_nothing():
    assert stats_of(0.1).advice is None
    assert stats_of(0.5).advice is None
    weak = stats_of(0.6).advice
    assert "weak at gamma 0.1" in weak
    assert "gamma=0.01" in weak
    meaningless = stats_of(0.9).advice
    assert "gamma 0.1 does not rank" in meaningless
    assert "0.90" in meaningless
    assert "gamma=0.01" in meaningless
    # Of one point each the share is 1 at any gamma; a smaller one changes nothing.
    assert stats_of(1.0, gamma=0.005).advice is None
    assert stats_of(1.0, median=None).advice is None


@pytest.mark.parametrize(("gamma", "said"), [(1e-3, None), (50.0, "does not rank")])
def test_advice_of_a_dock(dock, gamma, said):  # noqa: F811
    filled(dock, gamma=gamma, dim=8)
    (one,) = dock.stats().spaces
    assert (one.advice is None) == (said is None)
    if said:
        assert said in one.advice
        assert said in repr(dock.stats())
        assert said in dock.stats()._repr_html_()
        assert said in learndock("stats", dock.path).stdout
        assert one.scanned
        # What is advised is of use.
        points, weights = made_specs(60, 8)
        with small_numbers(scans=True):
            dock.ingest(points=points, weights=weights, gamma=one.median_gamma)
            dock.optimize()
        better = next(other for other in dock.stats().spaces if other.space.gamma == one.median_gamma)
        assert better.noise_share < 0.5


def test_stats_can_be_looked_at(dock):  # noqa: F811
    filled(dock, count=100)
    filled(dock, count=10, gamma=0.7, optimize=False)
    stats = dock.stats()
    first = stats.spaces[0]
    table = stats.to_frame()
    assert table["specs"].tolist() == [100, 10]
    assert table["gamma"].tolist() == [0.1, 0.7]
    assert table["stages"].tolist() == [first.stages, None]
    assert list(table.columns)[:3] == ["type", "input_shape", "gamma"]
    lines = repr(stats).splitlines()
    assert lines[0] == "DockStats(110 specifications in 2 spaces)"
    assert f"landmarks {first.landmarks}" in lines[1]
    assert lines[2] == "  RKMETableSpecification 3: gamma 0.7, specs 10, sketched 0, search scan"
    assert stats._repr_html_().count("<tr>") == 3


def test_the_command_line_shows_them(dock):  # noqa: F811
    filled(dock)
    dock.close()
    (one,) = json_of("stats", dock.path)
    with ld.Dock(dock.path, readonly=True) as reader:
        (expected,) = reader.stats().spaces
    assert one["space"] == {"type": "RKMETableSpecification", "input_shape": [3], "gamma": 0.1}
    assert one["stages"] == list(expected.stages)
    assert one["noise_share"] == expected.noise_share
    assert one["predicted"] == expected.predicted
    assert one["advice"] == expected.advice
    lines = learndock("stats", dock.path).stdout.splitlines()
    assert lines[0] == "space: RKMETableSpecification 3"
    assert f"landmarks: {expected.landmarks}" in lines
