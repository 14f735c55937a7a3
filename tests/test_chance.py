"""The chance certificate: what random features estimate, what it may lose, and what happens where it does not hold."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import feature_ladder
import learndock as ld
import reference
from learndock import _core
from learndock.dock.chance import Chance, deviations_for
from learndock.dock.mixtures import Wish
from learndock.dock.progress import unheard
from learndock.dock.search import Asked, search_space
from learndock.dock.space import Space
from learndock.errors import InvalidArgument, SketchWarning
from learndock.memory import certified_bytes
from test_instruction_sets import BUILT, run_forced, skip_if_absent

GAMMA, POINTS, FAMILIES, SIBLINGS = 0.1, 50, 110, 40


@pytest.mark.parametrize("instruction_set", BUILT)
def test_features_are_the_references_in_every_instruction_set(instruction_set):
    skip_if_absent(instruction_set)
    done = run_forced(instruction_set, "import feature_ladder; feature_ladder.climb()")
    assert done.returncode == 0, done.stderr


def test_sketches_made_with_features_are_those_made_without():
    features, sketches, points, weights, plain = feature_ladder.case(np.random.default_rng(0), dim=3, count=20)
    packed = ld.kernels.pack(points, weights)
    own = np.array([reference.inner(*pair, *pair, plain.gamma) for pair in zip(points, weights, strict=True)])
    alone = sketches.encode(packed.tiles, packed.weights, packed.offsets, own, 1)
    both = features.encode(packed.tiles, packed.weights, packed.offsets, own, 2)
    for one, other in zip(alone, both, strict=False):
        assert (one == other).all()


def test_nothing_is_said_of_what_lies_too_far_away_for_phases():
    features, sketches, points, weights, plain = feature_ladder.case(np.random.default_rng(1), dim=2, count=3)
    points[1] = points[1] + np.float32(1e12)
    stored = feature_ladder.feature_set(
        features, sketches, [(feature_ladder.encoded(features, points, weights, plain.gamma), 3)]
    )
    every, far = np.arange(3), np.array([1])
    sketch, query = feature_ladder.asked(features, sketches, np.zeros((1, 2)), np.ones(1), plain.gamma)
    assert stored.bounds(sketch, query, 0.0, far, 1) == [0]
    assert stored.deviations(sketch, query, far, np.array([1e3]), 1) == [0]
    assert stored.deviations(sketch, query, np.array([0]), np.array([1e3]), 1) < -1
    sketch, query = feature_ladder.asked(features, sketches, np.full((1, 2), 1e12), np.ones(1), plain.gamma)
    assert (stored.bounds(sketch, query, 0.0, every, 1) == 0).all()


def test_the_core_refuses_arrays_that_do_not_fit():
    features, sketches, points, weights, plain = feature_ladder.case(np.random.default_rng(2), dim=2, count=3)
    made = feature_ladder.encoded(features, points, weights, plain.gamma)
    stored = feature_ladder.feature_set(features, sketches, [(made, 3)])
    sketch_set, good = _core.SketchSet(sketches, [(*made[:6], 3)]), made[6:]
    for place, name in enumerate(("feature codes", "measures")):
        bad = [*good]
        bad[place] = np.ascontiguousarray(good[place][..., 1:])
        with pytest.raises(ValueError, match=name):
            _core.FeatureSet(features, sketch_set, [tuple(bad)])
    for batches in ([], [good, good], [good[:1]]):
        with pytest.raises(ValueError, match="batches"):
            _core.FeatureSet(features, sketch_set, batches)
    with pytest.raises(ValueError, match="multiple of 16"):
        _core.ResidualFeatures(sketches, plain.frequencies[:5], plain.gram)
    with pytest.raises(ValueError, match="gram"):
        _core.ResidualFeatures(sketches, plain.frequencies, plain.gram[:, 1:].copy())
    sketch, query = feature_ladder.asked(features, sketches, np.zeros((1, 2)), np.ones(1), plain.gamma)
    with pytest.raises(ValueError, match="chosen"):
        stored.bounds(sketch, query, 1.0, np.array([3]), 1)
    with pytest.raises(ValueError, match="mmd2"):
        stored.deviations(sketch, query, np.array([0]), np.zeros(2), 1)


def test_deviations_grow_as_delta_falls_and_are_those_of_the_normal_law():
    assert deviations_for(1e-6, 1) == pytest.approx(4.753424309, abs=1e-8)
    assert deviations_for(1e-6, 10) == pytest.approx(5.199337582, abs=1e-8)
    found = [deviations_for(delta, 20) for delta in (0.1, 1e-2, 1e-6, 1e-12, 1e-300)]
    assert found == sorted(found)
    assert len(set(found)) == 5
    assert deviations_for(0.1, 0) > 0


class Raw:
    """Specifications of raw drawn points in families, and further members of those that ask."""

    def __init__(self, dim, seed=0):
        self.random = np.random.default_rng([seed, dim])
        self.means = 0.44 * self.random.normal(size=(FAMILIES, dim))
        self.factors = self.random.normal(size=(FAMILIES, dim, dim // 4)) / np.sqrt(dim // 4)

    def drawn(self, of):
        along = self.random.normal(size=(len(of), POINTS, self.factors.shape[2])) @ self.factors[of].transpose(0, 2, 1)
        shifts = self.means[of] + 0.11 * self.random.normal(size=self.means[of].shape)
        return shifts[:, None] + 0.77 * along + 0.55 * self.random.normal(size=along.shape)

    def users(self, count):
        points = self.drawn(self.random.integers(FAMILIES, size=count))
        return [ld.RKMETableSpecification(z, np.full(POINTS, 1 / POINTS), gamma=GAMMA) for z in points]


@pytest.fixture(scope="module", params=[(32, 1.0), (16, 2.0)], ids=["d32", "d16"])
def weak(request, tmp_path_factory):
    """A dock where no proof helps, and its users."""
    dim, scale = request.param
    raw = Raw(dim)
    raw.means, raw.factors = scale * raw.means, scale * raw.factors
    count = FAMILIES * SIBLINGS
    points = raw.drawn(np.repeat(np.arange(FAMILIES), SIBLINGS)).astype(np.float32)
    with ld.Dock(tmp_path_factory.mktemp("weak") / "dock") as dock:
        ids = dock.ingest(points=points, weights=np.full((count, POINTS), 1 / POINTS), gamma=GAMMA)
        dock.optimize()
        yield SimpleNamespace(dock=dock, raw=raw, users=raw.users(12), ids=ids, count=count)


def view_of(weak):
    return weak.dock._store.view(Space.of(weak.users[0]))


def pairs(result):
    return [(hit.id, hit.mmd2) for hit in result.singles]


def assert_same(result, exact):
    assert pairs(result) == pairs(exact)
    assert result.mixture == exact.mixture


def test_the_weak_case_is_known_and_gets_features(weak):
    facts = view_of(weak).model.facts
    assert 0.2 < facts.noise_share < 0.8
    assert not facts.pays
    assert facts.features == (1024 if facts.noise_share >= 0.5 else 512)
    folder = next((weak.dock.path / "specs").glob("*/sketch-*"))
    arrays = [np.load(file) for file in folder.glob("*.npy")]
    assert len(arrays) == 8
    taken = sum(array.nbytes for array in arrays)
    assert taken == pytest.approx(weak.count * facts.bytes_a_spec, rel=1e-3)  # of balls there is a multiple of 16
    (space,) = weak.dock.stats().spaces
    assert space.sketch_bytes == taken
    sums = json.loads((folder / "sketch.json").read_bytes())["sha256"]
    assert {*sums} == {file.stem for file in folder.glob("*.npy")}


def test_a_chance_gives_the_exact_result_and_computes_few(weak):
    evaluated = []
    for user in weak.users:
        exact = weak.dock.search(user, method="exact")
        result = weak.dock.search(user, certificate="chance")
        assert_same(result, exact)
        evaluated.append(weak.count if result.method == "exact" else result.work["evaluated"])
        if result.method != "chance":
            continue
        assert result.certified is False
        assert result.chance == 1e-6
        assert result.warnings == ()
        assert 10 <= result.work["audited"] <= result.work["evaluated"]
        assert 0 < result.work["largest_z"] <= deviations_for(1e-6, 20)
        assert result.gap > 0
        assert result.proven_ranks < 10
        assert "'chance', certified False, delta 1e-06" in repr(result)
        assert "lost with a chance of 1e-06" in result._repr_html_()
    assert np.median(evaluated) < 0.05 * weak.count


def test_many_users_at_once_are_searched_as_each_alone(weak):
    alone = [weak.dock.search(user, certificate="chance", threads=1) for user in weak.users]
    for result, other in zip(weak.dock.search_many(weak.users, certificate="chance", threads=3), alone, strict=True):
        assert_same(result, other)
        assert result.method == other.method


def test_without_asking_for_it_nothing_rests_on_chance(weak):
    result = weak.dock.search(weak.users[0])
    assert (result.method, result.certified, result.chance, result.warnings) == ("exact", True, None, ())
    assert "audited" not in result.work


def test_no_true_member_is_lost(weak):
    view, limit = view_of(weak), deviations_for(1e-6, 10)
    found = []
    for user in weak.raw.users(60):
        mmd2 = user.inner(user) - 2 * products(view, user) + view.self_inner
        members = np.sort(np.argsort(mmd2)[:10])
        sketch = view.model.core.query(user.points, user.weights, user.inner(user), 0)
        query = view.model.features.query(user.points, user.weights, sketch, user.inner(user))
        assert (view.feature_set.bounds(sketch, query, limit, members, 0) <= mmd2[members]).all()
        found.append(view.feature_set.deviations(sketch, query, members, mmd2[members], 0))
    # sigma is the root of a second moment, which is more than the variance: a normal law of at most its width.
    assert 0.1 < np.sqrt(np.mean(np.square(found))) < 1
    assert np.max(np.abs(found)) < 4.5


def products(view, user):
    return np.concatenate(
        [
            _core.inner_products([user.points], [user.weights], one.tiles, one.weights, one.offsets, user.gamma, 0)[0]
            for one in (segment.packed for segment in view.segments)
        ]
    )


def test_bounds_fall_as_delta_falls(weak):
    view, user = view_of(weak), weak.users[0]
    sketch = view.model.core.query(user.points, user.weights, user.inner(user), 0)
    query = view.model.features.query(user.points, user.weights, sketch, user.inner(user))
    at = np.arange(0, weak.count, 7)
    bounds = [view.feature_set.bounds(sketch, query, deviations_for(delta, 10), at, 0) for delta in (1e-2, 1e-6, 1e-9)]
    assert (bounds[0] >= bounds[1]).all()
    assert (bounds[1] >= bounds[2]).all()
    assert (bounds[0] > bounds[2]).any()


def test_hidden_specifications_and_filters_are_kept_out(weak):
    view, random = view_of(weak), np.random.default_rng(5)
    for user in weak.users[:3]:
        best = [hit.id for hit in first(weak, user)]
        allowed = view.ids[random.random(len(view.ids)) < 0.5]
        options = (Wish(10, "distance", 20), "certified", 100, allowed, False, 0, None, None, unheard, 1e-6)
        result = search_space(view, [user], Asked(*options))[0]
        exact = search_space(view, [user], replace(Asked(*options), method="exact"))[0]
        assert_same(result, exact)
        assert len(result.singles) == 10
        assert {hit.id for hit in result.singles} != set(best)


def first(weak, user):
    return weak.dock.search(user, method="exact").singles


def test_deleted_and_new_specifications_are_seen(weak):
    user = weak.users[1]
    gone = [hit.id for hit in first(weak, user)[:3]]
    weak.dock.delete(gone)
    new = weak.dock.ingest(points=[user.points + 0.01], weights=[user.weights], gamma=GAMMA)
    result = weak.dock.search(user, certificate="chance")
    assert_same(result, weak.dock.search(user, method="exact"))
    assert result.singles[0].id == new[0]
    assert not {hit.id for hit in result.singles} & set(gone)
    assert result.work["unsketched"] == 1


@pytest.mark.parametrize("calls", [1, 2])
def test_an_exact_value_that_is_too_far_off_turns_the_chance_off(weak, monkeypatch, calls):
    """At once, and when more was computed."""
    view = view_of(weak)
    true, seen = view.feature_set, []

    class Off:
        total, bounds = true.total, true.bounds

        def deviations(self, sketch, query, at, mmd2, threads):
            seen.append(len(at))
            z = true.deviations(sketch, query, at, mmd2, threads)
            return np.full(len(at), 99.0) if len(seen) == calls else z

    monkeypatch.setitem(view.__dict__, "feature_set", Off())  # where the property keeps it
    for user in weak.users:
        seen.clear()
        result = weak.dock.search(user, certificate="chance")
        if len(seen) == calls and seen[-1]:
            break
    assert_same(result, weak.dock.search(user, method="exact"))
    assert (result.method, result.certified, result.chance, result.proven_ranks) == ("exact", True, None, 10)
    assert result.work["audited"] == sum(seen)
    assert result.work["largest_z"] == 99
    (warning,) = result.warnings
    assert "turned off" in warning
    assert warning in repr(result)


def test_files_without_features_are_searched_as_before(weak, tmp_path):
    weak.dock.backup(tmp_path / "copy")
    with ld.Dock(tmp_path / "copy") as copy:
        copy.optimize()
        folder = next((copy.path / "specs").glob("*/sketch-*"))
        (folder / "feature_codes.npy").unlink()
    with ld.Dock(tmp_path / "copy") as copy:
        result = copy.search(weak.users[0], certificate="chance")
        assert_same(result, weak.dock.search(weak.users[0], method="exact"))
        assert (result.method, result.certified, result.chance) == ("exact", True, None)
    np.save(folder / "feature_codes.npy", np.zeros(16, np.int8))
    with ld.Dock(tmp_path / "copy") as copy:
        with pytest.warns(SketchWarning, match="features"):
            result = copy.search(weak.users[0], certificate="chance")
        assert_same(result, weak.dock.search(weak.users[0], method="exact"))
        (space,) = copy.stats().spaces
        assert 0 < result.work["damaged"] == space.damaged <= len(np.load(folder.parent / "ids.npy"))  # with the dead
    with ld.Dock(tmp_path / "copy") as copy:
        assert any("feature_codes" in problem.message for problem in copy.verify().problems)
        copy.optimize()
        assert not copy.verify().problems
        assert copy.search(weak.users[0], certificate="chance").method == "chance"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"certificate": "luck"}, "certificate: expected one of proof, chance, got 'luck'"),
        ({"certificate": "chance", "method": "exact"}, "method 'certified', got method 'exact'"),
        ({"certificate": "chance", "method": "approximate"}, "method 'certified'"),
        ({"certificate": "chance", "delta": 0}, "delta: expected a number above 0"),
        ({"certificate": "chance", "delta": 0.2}, "at most 0.1, got 0.2"),
        ({"delta": float("nan")}, "delta"),
        ({"delta": True}, "delta"),
        ({"delta": "1e-6"}, "delta"),
    ],
)
def test_bad_arguments_are_named(tmp_path, options, message):
    with ld.Dock(tmp_path / "dock") as dock, pytest.raises(InvalidArgument, match=message):
        dock.search(ld.RKMETableSpecification([[0.0]], [1.0], gamma=1.0), **options)


def test_a_gamma_that_does_not_rank_is_named_and_gets_no_features(tmp_path):
    random = np.random.default_rng(0)
    with ld.Dock(tmp_path / "dock") as dock:
        dock.ingest(points=random.normal(size=(4100, 4, 8)), weights=np.full((4100, 4), 0.25), gamma=100.0)
        user = ld.RKMETableSpecification(random.normal(size=(4, 8)), np.full(4, 0.25), gamma=100.0)
        assert dock.search(user).warnings == ()  # nothing is known yet
        dock.optimize()
        assert dock._store.view(Space.of(user)).model.facts.features == 0
        for options in ({}, {"method": "exact"}, {"certificate": "chance"}):
            result = dock.search(user, **options)
            (warning,) = result.warnings
            assert warning.startswith("gamma 100 does not rank: points are strangers to each other (noise share 1.00)")
            assert f"warning: {warning}" in repr(result)
            assert "does not rank" in result._repr_html_()
            assert result.certified


def test_a_cheap_proof_is_preferred_to_a_chance(tmp_path):
    random = np.random.default_rng(0)
    centres = random.normal(size=(4100, 1, 3))
    with ld.Dock(tmp_path / "dock") as dock:
        points = centres + 0.3 * random.normal(size=(4100, 5, 3))
        dock.ingest(points=points, weights=np.full((4100, 5), 0.2), gamma=0.1)
        dock.optimize()
        user = ld.RKMETableSpecification(points[0] + 0.1, np.full(5, 0.2), gamma=0.1)
        result = dock.search(user, certificate="chance", k=3, mixture=0)
        assert (result.method, result.certified, result.chance) == ("certified", True, None)
        assert "audited" not in result.work


def test_values_are_audited_once():
    class Counting:
        total = 10

        def deviations(self, sketch, query, at, mmd2, threads):
            assert (at < 10).all()
            seen.extend(at.tolist())
            return mmd2

    seen: list[int] = []
    chance = Chance(Counting(), None, None, 1e-6, 5.0)
    chance.audit(np.array([3, 11]), np.array([1.0, 99.0]), 1)
    chance.audit(np.array([3, 11, 4]), np.array([1.0, 99.0, 5.0]), 1)
    assert seen == [3, 4]
    assert (chance.audited, chance.largest_z, chance.holds) == (2, 5.0, True)
    chance.audit(np.array([3, 11, 4, 5]), np.array([1.0, 99.0, 5.0, -5.1]), 1)
    assert chance.holds  # estimates that are too low let specifications through
    chance.audit(np.array([3, 11, 4, 5, 6]), np.array([1.0, 99.0, 5.0, -5.1, 5.1]), 1)
    assert not chance.holds
    chance = Chance(Counting(), None, None, 1e-6, 5.0)
    chance.audit(np.array([3]), np.array([-5.1]), 1)
    assert not chance.holds


def test_a_chance_takes_more_memory_than_a_proof():
    assert certified_bytes(1000, chance=True)[0] > certified_bytes(1000)[0]
