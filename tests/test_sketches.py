"""Sketches: lower bounds of MMD^2 that never exceed it, whatever the numbers are."""

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

import reference
from learndock import _core, kernels
from sketch_ladder import assert_bounds_are_close, assert_bounds_hold, ladder_case, made, promising_of, within_of
from test_instruction_sets import BUILT, run_forced, skip_if_absent

# Of a case drawn at random: how the embeddings lie, what their weights are, and where the landmarks are.
ARRANGEMENTS = ("families", "duplicates", "all alike", "outliers 1e3", "outliers 1e6", "far from zero")
WEIGHTS = ("simplex", "signed", "cancelling", "1e15", "1e-15", "1e-22", "1e18", "1e30", "sizes apart")
LANDMARKS = ("points", "all points", "elsewhere", "one")


def drawn_weights(rng, kind, size):
    simplex = rng.dirichlet(np.ones(size))
    if kind == "simplex":
        return simplex
    if kind == "signed":
        return rng.normal(size=size)
    if kind == "cancelling":
        signs = np.where(np.arange(size) % 2, -1.0, 1.0)
        return signs * 10.0 ** rng.integers(-3, 4)
    if kind == "sizes apart":
        return simplex * 10.0 ** rng.integers(-30, 31)
    return simplex * float(kind)


def drawn_case(rng, *, count, dim, gamma, arrangement, weights, landmarks, stages, cuts, good, seen):
    """Sketched embeddings, and users that are near them, far from them, or among them."""
    scale = 1 / np.sqrt(gamma * dim)  # so that kernel values are neither all 0 nor all 1
    sizes = [1] * count if rng.random() < 0.2 else rng.integers(1, 9, count)
    centres = scale * rng.normal(size=(3, dim))
    if arrangement == "far from zero":
        centres += 1e4 * scale
    points = [centres[rng.integers(3)] + 0.3 * scale * rng.normal(size=(size, dim)) for size in sizes]
    betas = [drawn_weights(rng, weights, len(z)) for z in points]
    if weights == "cancelling":  # nearly or exactly
        points = [z[:1] + rng.choice([0.0, 1e-6, 1e-2]) * (z - z[:1]) for z in points]
    if arrangement == "all alike":
        points, betas = [points[0]] * count, [betas[0]] * count
    if arrangement == "duplicates":
        at = rng.integers(0, max(1, count // 3), count)
        points, betas = [points[i] for i in at], [betas[i] for i in at]
    if arrangement.startswith("outliers"):
        distance = float(arrangement.removeprefix("outliers ")) * scale
        for i in rng.integers(0, count, max(1, count // 8)):
            points[i] = points[i] + distance
    pool = np.unique(np.float32(np.concatenate(points)), axis=0)
    if landmarks == "points":
        pool = pool[rng.permutation(len(pool))[:12]]
    elif landmarks == "elsewhere":
        pool = np.float32(centres[rng.integers(3, size=10)] + scale * rng.normal(size=(10, dim)))
    elif landmarks == "one":
        pool = pool[:1]
    stages = tuple(sorted({min(stage, len(pool)) for stage in stages}))
    of = made(
        rng, points, betas, gamma, pool, width=stages[-1], stages=stages, cuts=cuts, good=good,
        seen=max(1, count // 4) if seen else None,
    )  # fmt: skip
    users = [(scale * rng.normal(size=(5, dim)) + centres[0], drawn_weights(rng, weights, 5))]
    at = int(rng.integers(count))
    users.append((of.points[at], of.weights[at]))
    users.append((np.concatenate([of.points[at], of.points[at]]), np.concatenate([of.weights[at]] * 2) / 2))
    users.append((points[at] + 1e3 * scale, betas[at]))
    return of, users


@st.composite
def shapes(draw):
    count = draw(st.integers(1, 40))
    return {
        "count": count,
        "dim": draw(st.sampled_from([1, 2, 3, 8, 17])),
        "gamma": 10 ** draw(st.floats(-4, 1)),
        "arrangement": draw(st.sampled_from(ARRANGEMENTS)),
        "weights": draw(st.sampled_from(WEIGHTS)),
        "landmarks": draw(st.sampled_from(LANDMARKS)),
        "stages": draw(st.lists(st.integers(1, 40), min_size=1, max_size=3)),
        "cuts": sorted(draw(st.sets(st.integers(1, count - 1), max_size=2))) if count > 1 else [],
        "good": draw(st.booleans()),
        "seen": draw(st.booleans()),
    }


@settings(max_examples=400)
@given(seed=st.integers(0, 2**32 - 1), shape=shapes())
def test_no_bound_is_above_a_distance(seed, shape):
    event(f"{shape['arrangement']}, {shape['weights']}")
    of, users = drawn_case(np.random.default_rng(seed), **shape)
    for points, weights in users:
        assert_bounds_hold(of, points, weights)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    dim=st.sampled_from([1, 3, 17]),
    stages=st.sampled_from([(3,), (2, 9), (1, 4, 16)]),
)
def test_bounds_are_as_high_as_the_formula_says(seed, dim, stages):
    rng = np.random.default_rng(seed)
    of = ladder_case(rng, dim=dim, count=int(rng.integers(1, 50)), stages=stages)
    assert_bounds_are_close(of, rng.normal(size=(4, dim)), rng.dirichlet(np.ones(4)))


def test_landmarks_that_hold_all_points_leave_no_residual_and_prove_nearly_everything():
    rng = np.random.default_rng(3)
    points = [rng.normal(size=(2, 4)) for _ in range(30)]
    weights = [rng.dirichlet(np.ones(2)) for _ in points]
    of = made(rng, points, weights, 0.3, np.float32(np.concatenate(points)), width=60, stages=(60,))
    for i in range(30):
        query, own = of.query(of.points[i], of.weights[i])
        # A jitter of 1e-3 on the diagonal leaves a little.
        assert query.residuals.max() < 0.1
        exact = of.searched(
            np.asarray(of.points[i], dtype=np.float64), np.asarray(of.weights[i], dtype=np.float64), own
        )
        bounds = of.bounds(query, 0)
        assert bounds[i] == 0
        others = np.arange(30) != i
        assert (bounds[others] > 0.7 * exact[others]).all()


@pytest.mark.parametrize("gamma", [1e-4, 1e-2, 0.3, 2.0, 10.0])
def test_a_quarter_of_a_million_pairs_of_each_gamma_hold(gamma):
    """5 x 1,024 users x 256 embeddings, each by all stages."""
    rng = np.random.default_rng(int(gamma * 1e4))
    dim, count, users = 3, 256, 1024
    centres = rng.normal(size=(4, dim))
    z = np.float32(centres[rng.integers(4, size=count), None] + 0.3 * rng.normal(size=(count, 5, dim)))
    beta = np.float32(rng.dirichlet(np.ones(5), count))
    of = made(rng, list(z), list(beta), gamma, z[:, 0][:40], width=24, stages=(6, 24), cuts=(100,))
    x = centres[rng.integers(4, size=users), None] + 0.3 * rng.normal(size=(users, 4, dim))
    x[:count, :4], a = z[:, :4], rng.dirichlet(np.ones(4), users)  # some are nearly the embeddings
    own = np.array([reference.inner(x[i], a[i], x[i], a[i], gamma) for i in range(users)])
    docked = np.array([reference.inner(z[i], beta[i], z[i], beta[i], gamma) for i in range(count)])
    queries = [of.core.query(np.ascontiguousarray(x[i]), a[i], float(own[i]), 1) for i in range(users)]
    proven = 0
    for i in range(users):
        K = reference.kernel(x[i], z.reshape(-1, dim), gamma).reshape(4, count, 5)
        cross = np.einsum("p,pnk,nk->n", a[i], K, beta)
        exact = np.maximum(0, own[i] - 2 * cross + docked)
        for stage in (0, 1):
            bounds = of.bounds(queries[i], stage)
            assert (bounds <= exact).all()
            proven += np.count_nonzero(bounds)
    assert proven > 0


@pytest.mark.parametrize("instruction_set", BUILT)
def test_bounds_hold_in_every_instruction_set(instruction_set):
    skip_if_absent(instruction_set)
    code = """
import sketch_ladder
from learndock import kernels
sketch_ladder.climb()
print(kernels.instruction_sets()["active"])
"""
    done = run_forced(instruction_set, code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [instruction_set]


@pytest.fixture
def of():
    return ladder_case(np.random.default_rng(5), dim=3, count=90, stages=(4, 12), cuts=(40, 41))


@pytest.fixture
def user(of):
    rng = np.random.default_rng(6)
    return of.query(rng.normal(size=(4, 3)), rng.dirichlet(np.ones(4)))[0]


def test_places_are_refined_in_any_order_and_more_than_once(of, user):
    every, guesses = of.sketch_set.refine(user, 0.3, 1, np.arange(90), 1)
    chosen = np.random.default_rng(0).integers(0, 90, 700)
    found = of.sketch_set.refine(user, 0.3, 1, chosen, 2)
    assert np.array_equal(found[0], every[chosen])
    assert np.array_equal(found[1], guesses[chosen])
    assert [len(one) for one in of.sketch_set.refine(user, 0.3, 1, np.arange(0), 2)] == [0, 0]


def test_what_is_hidden_is_never_found(of, user):
    (best,) = promising_of(of.sketch_set, [user], [None], 0.3, 90, 1)
    hidden = np.random.default_rng(1).random(90) < 0.5
    hidden[best[:3]] = True
    seen, everything = promising_of(of.sketch_set, [user, user], [hidden, None], 0.3, 90, 1)
    shown = [place for place in best if not hidden[place]]
    assert seen.tolist() == shown + [-1] * (90 - len(shown))
    assert np.array_equal(everything, best)
    seen, everything = within_of(of.sketch_set, [user, user], [hidden, None], [3.2e38, 3.2e38], 1)
    assert np.array_equal(seen, np.flatnonzero(~hidden))
    assert np.array_equal(everything, np.arange(90))
    none = [np.ones(90, dtype=bool)]
    assert promising_of(of.sketch_set, [user], none, 0.3, 5, 1).tolist() == [[-1] * 5]
    assert [len(one) for one in within_of(of.sketch_set, [user], none, [3.2e38], 1)] == [0]


def test_what_is_found_is_the_same_for_any_number_of_threads_ties_by_place():
    """Many pieces of a pass, and duplicates in all of them."""
    rng = np.random.default_rng(8)
    some = [rng.normal(size=(3, 2)) for _ in range(50)]
    at = rng.integers(0, 50, 20_000)
    of = made(
        rng, [some[i] for i in at], [np.full(3, 1 / 3)] * 20_000, 0.5, np.float32(np.concatenate(some))[:30],
        width=8, stages=(3, 8), cuts=(7000,),
    )  # fmt: skip
    users = [of.query(rng.normal(size=(3, 2)), np.full(3, 1 / 3))[0] for _ in range(40)]
    reach = [float(np.quantile(of.bounds(user, 0), 0.3)) for user in users]
    best = promising_of(of.sketch_set, users, [None] * 40, 0.3, 300, 1)
    within = within_of(of.sketch_set, users, [None] * 40, reach, 1)
    for threads in (2, 4, 7):
        assert np.array_equal(promising_of(of.sketch_set, users, [None] * 40, 0.3, 300, threads), best)
        again = within_of(of.sketch_set, users, [None] * 40, reach, threads)
        assert all(np.array_equal(one, other) for one, other in zip(again, within, strict=True))
    # Places of equal embeddings have equal guesses, and come in order.
    for row in best:
        for i in np.unique(at[row]):
            assert (np.diff(row[at[row] == i]) > 0).all()


def test_the_best_are_good_guesses():
    """What a user is a little different from is nearly always among the first tenth by the guess."""
    rng = np.random.default_rng(9)
    of = ladder_case(rng, dim=3, count=90, stages=(12,))
    found = 0
    for i in rng.integers(0, 90, 40):
        points = of.points[i] + 0.1 * rng.normal(size=of.points[i].shape)
        query, own = of.query(points, of.weights[i])
        nearest = int(np.argmin(of.searched(points, np.asarray(of.weights[i], dtype=np.float64), own)))
        found += nearest in promising_of(of.sketch_set, [query], [None], 0.3, 9, 1)
    assert found >= 36


@pytest.mark.parametrize("weight", [1e18, 1e20, 1e25, 1e38])
def test_a_bound_of_numbers_that_float32_has_no_squares_of_is_0(weight):
    """A dock of common weights is given an embedding of huge ones, and is asked for it."""
    rng = np.random.default_rng(10)
    points = [rng.normal(size=(2, 3)) for _ in range(40)]
    weights = [np.full(2, 0.5)] * 39 + [np.array([weight, weight / 3])]
    of = made(rng, points, weights, 0.5, np.float32(np.concatenate(points))[:20], width=8, stages=(4, 8), seen=39)
    for i in (0, 39):
        assert_bounds_hold(of, of.points[i], of.weights[i])


def test_a_model_of_huge_steps_gives_no_guess_that_is_no_number():
    """127 such steps are beyond float32."""
    rng = np.random.default_rng(11)
    points = [rng.normal(size=(2, 3)) for _ in range(40)]
    weights = [10.0 ** rng.uniform(0, 38) * np.full(2, 0.5) for _ in points]
    of = made(rng, points, weights, 0.5, np.float32(np.concatenate(points))[:20], width=8, stages=(4, 8))
    for i in range(40):
        assert_bounds_hold(of, of.points[i], of.weights[i])
        query, _ = of.query(of.points[i], of.weights[i])
        _, guesses = of.sketch_set.refine(query, 0.5, 1, np.arange(40), 1)
        assert not np.isnan(guesses).any()


def test_residuals_that_are_no_numbers_prove_nothing_and_are_never_among_the_best(of):
    """A damaged file can hold any bits."""
    codes, residuals, errors, order, ball_codes, balls = of.sketches[0]
    residuals, errors = residuals.copy(), errors.copy()
    residuals[:, :40][:, order % 3 == 0] = np.nan
    errors[:40][order % 3 == 1] = np.nan
    sketch_set = _core.SketchSet(of.core, [(codes, residuals, errors, order, ball_codes, balls, 40)])
    query, _ = of.query(of.points[0], of.weights[0])
    (best,) = promising_of(sketch_set, [query], [None], 0.5, 40, 2)
    assert sorted(best[best >= 0]) == [i for i in range(40) if i % 3]
    bounds, guesses = sketch_set.refine(query, float("nan"), 1, np.arange(40), 1)
    assert (bounds[::3] == 0).all()
    assert (bounds[1::3] == 0).all()
    assert np.isnan(guesses).all()
    assert promising_of(sketch_set, [query], [None], float("nan"), 40, 1).tolist() == [[-1] * 40]
    for damaged in (np.full_like(balls, np.nan), np.stack([balls[0], np.full_like(balls[1], np.nan)])):
        sketch_set = _core.SketchSet(of.core, [(codes, residuals, errors, order, ball_codes, damaged, 40)])
        assert set(range(0, 40, 3)) <= set(within_of(sketch_set, [query], [None], [0.0], 1)[0].tolist())


def arguments(**changes):
    rng = np.random.default_rng(12)
    return {
        "landmarks": rng.normal(size=(5, 3)),
        "map": 0.1 * rng.normal(size=(4, 5)),
        "offsets": np.zeros(4),
        "scales": np.ones(4, np.float32),
        "stages": [2, 4],
        "gamma": 0.5,
        **changes,
    }


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"landmarks": np.zeros((0, 3))}, "landmarks"),
        ({"landmarks": np.zeros((5, 0))}, "landmarks"),
        ({"landmarks": np.zeros(5)}, "landmarks"),
        ({"map": np.zeros((4, 6))}, "map"),
        ({"map": np.zeros((0, 5)), "offsets": np.zeros(0), "scales": np.ones(0, np.float32), "stages": []}, "stages"),
        ({"offsets": np.zeros(3)}, "offsets"),
        ({"scales": np.ones(3, np.float32)}, "scales"),
        ({"scales": np.float32([1, 0, 1, 1])}, "scales"),
        ({"scales": np.float32([1, np.nan, 1, 1])}, "scales"),
        ({"scales": np.float32([1, np.inf, 1, 1])}, "scales"),
        ({"stages": [4, 4]}, "stages"),
        ({"stages": [0, 4]}, "stages"),
        ({"stages": [3]}, "stages"),
        ({"stages": [4, 2]}, "stages"),
        ({"gamma": float("nan")}, "gamma"),
        ({"gamma": 0.0}, "gamma"),
    ],
)
def test_a_map_that_makes_no_sense_is_refused(changes, said):
    with pytest.raises((ValueError, TypeError), match=said):
        _core.SketchMap(**arguments(**changes))


def test_sketches_that_do_not_fit_are_refused(of, user):
    names = ("codes", "residuals", "errors", "order", "ball codes", "balls")
    good = of.sketches[0]
    for place, name in enumerate(names):
        bad = [*good, 40]
        bad[place] = np.ascontiguousarray(good[place][..., 1:])
        with pytest.raises(ValueError, match=name):
            _core.SketchSet(of.core, [tuple(bad)])
    twice, beyond, below = (good[3].copy() for _ in range(3))
    twice[0], beyond[0], below[0] = twice[1], 40, -1
    for parts, said in [
        ((good[0], good[1][:1], *good[2:], 40), "residuals"),
        ((*good[:3], twice, *good[4:], 40), "order"),
        ((*good[:3], beyond, *good[4:], 40), "order"),
        ((*good[:3], below, *good[4:], 40), "order"),
        ((*good, 60), "codes"),
        ((*good, 0), "count"),
        (good, "batches"),
    ]:
        with pytest.raises(ValueError, match=said):
            _core.SketchSet(of.core, [parts])
    for hidden in ([], [np.zeros(89, dtype=bool)]):
        with pytest.raises(ValueError, match="hidden"):
            promising_of(of.sketch_set, [user], hidden, 0.3, 1, 1)
        with pytest.raises(ValueError, match="hidden"):
            within_of(of.sketch_set, [user], hidden, [1.0], 1)
    with pytest.raises(ValueError, match="reach"):
        within_of(of.sketch_set, [user], [None], [], 1)
    with pytest.raises(ValueError, match="count"):
        promising_of(of.sketch_set, [user], [None], 0.3, -1, 1)
    read_only = np.empty(of.sketch_set.ball_lanes, np.int16)
    read_only.flags.writeable = False
    for bounds in (np.empty(of.sketch_set.ball_lanes - 1, np.int16), np.empty(of.sketch_set.ball_lanes), read_only):
        with pytest.raises((ValueError, TypeError), match="bounds"):
            of.sketch_set.promising([user], [None], 0.3, 1, bounds, 1)
    with pytest.raises(ValueError, match="bounds"):
        of.sketch_set.within([user], [None], np.empty(0, np.int16), [1.0], 1)
    with pytest.raises(ValueError, match="chosen"):
        of.sketch_set.refine(user, 0.3, 0, np.array([90]), 1)
    with pytest.raises(ValueError, match="chosen"):
        of.sketch_set.refine(user, 0.3, 0, np.array([-1]), 1)
    with pytest.raises(ValueError, match="stage"):
        of.sketch_set.refine(user, 0.3, 2, np.array([0]), 1)
    other = ladder_case(np.random.default_rng(1), dim=3, count=5, stages=(4,))
    strange = other.query(other.points[0], other.weights[0])[0]
    with pytest.raises(ValueError, match="queries"):
        promising_of(of.sketch_set, [strange], [None], 0.3, 1, 1)
    with pytest.raises(ValueError, match="queries"):
        within_of(of.sketch_set, [strange], [None], [1.0], 1)


def test_an_empty_set_and_no_users_are_no_error(of, user):
    empty = _core.SketchSet(of.core, [])
    assert promising_of(empty, [user], [None], 0.3, 3, 1).tolist() == [[-1] * 3]
    assert within_of(empty, [user], [None], [1.0], 1)[0].tolist() == []
    assert promising_of(of.sketch_set, [], [], 0.3, 3, 1).shape == (0, 3)
    assert within_of(of.sketch_set, [], [], [], 1) == []
    assert promising_of(of.sketch_set, [user], [None], 0.3, 0, 1).shape == (1, 0)


def first_points(of, sketches, count):
    """The sketches of a batch by the first stage, and the centres of its balls, as points with their residuals."""
    width = of.stages[0]

    def points(codes, residuals):
        blocks = codes[: len(residuals) * width].reshape(-1, width, 16).transpose(0, 2, 1).reshape(-1, width)
        return np.hstack([blocks * of.scales[:width].astype(np.float64), residuals[:, None].astype(np.float64)])

    codes, residuals, errors, order, ball_codes, balls = sketches
    return points(codes, residuals[0])[:count], errors[:count], points(ball_codes, balls[0]), balls[1], order


def test_a_ball_reaches_all_sketches_of_its_block(of):
    for sketches, (packed, _) in zip(of.sketches, of.batches, strict=True):
        found, errors, centres, radii, order = first_points(of, sketches, len(packed))
        assert sorted(order) == list(range(len(packed)))
        for lane, (point, error) in enumerate(zip(found, errors, strict=True)):
            reached = np.linalg.norm(point - centres[lane // 16]) + error
            assert reached <= radii[lane // 16]
            assert radii[lane // 16] <= 1e-5 + 1.0001 * max(
                np.linalg.norm(found[lane // 16 * 16 :][:16] - centres[lane // 16], axis=1)
                + errors[lane // 16 * 16 :][:16]
            )


def test_what_is_alike_lies_side_by_side():
    """Twenty families of fifty, in no order: nearly all balls are of one family, and a user looks into few of them."""
    rng = np.random.default_rng(15)
    centres = 3 * rng.normal(size=(20, 3, 4))
    family = rng.permutation(np.repeat(np.arange(20), 50))
    points = centres[family] + 0.02 * rng.normal(size=(1000, 3, 4))
    weights = np.full((1000, 3), 1 / 3)
    of = made(rng, points, weights, 0.25, np.float32(points[:60].reshape(-1, 4)), width=24, stages=(24,))
    order = of.sketches[0][3]
    blocks = [family[order[begin : begin + 16]] for begin in range(0, 1000, 16)]
    assert sum(len(set(block)) == 1 for block in blocks) >= 20
    assert sum(len(set(block)) <= 2 for block in blocks) >= 55
    query, own = of.query(points[0] + 0.001, weights[0])
    nearest = np.sort(of.searched(points[0] + 0.001, weights[0], own))[9]
    (places,) = within_of(of.sketch_set, [query], [None], [float(np.float32(nearest))], 1)
    assert set(family[places]) == {family[0]}


def test_as_many_are_promising_as_are_wanted_where_nearly_all_are_hidden():
    rng = np.random.default_rng(16)
    of = ladder_case(rng, dim=3, count=3000, stages=(8,), cuts=(1700,), ragged=False)
    query, _ = of.query(rng.normal(size=(3, 3)), np.full(3, 1 / 3))
    for shown in (1, 5, 40):
        hidden = np.ones(3000, dtype=bool)
        visible = rng.choice(3000, shown, replace=False)
        hidden[visible] = False
        (best,) = promising_of(of.sketch_set, [query], [hidden], 0.3, 30, 2)
        assert np.count_nonzero(best >= 0) == min(30, shown)
        assert set(best[best >= 0]) <= set(visible)
        (places,) = within_of(of.sketch_set, [query], [hidden], [3.2e38], 2)
        assert places.tolist() == sorted(visible)


def test_sketches_are_the_same_for_any_number_of_threads(of):
    packed, inner = of.batches[2]
    one = of.core.encode(packed.tiles, packed.weights, packed.offsets, inner, 1)
    for threads in (2, 7):
        again = of.core.encode(packed.tiles, packed.weights, packed.offsets, inner, threads)
        assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))


def test_values_at_points_are_those_of_the_embeddings():
    rng = np.random.default_rng(13)
    sizes = (1, 5, 17)
    points, weights = [rng.normal(size=(size, 3)) for size in sizes], [rng.normal(size=size) for size in sizes]
    packed = kernels.pack(points, weights)
    at = rng.normal(size=(21, 3))
    found = _core.values_at_points(packed.tiles, packed.weights, packed.offsets, at, 0.4, 2)
    for row, z, beta in zip(found, points, weights, strict=True):
        assert np.allclose(row, reference.embed(np.float32(z), np.float32(beta), at, 0.4), atol=1e-14, rtol=0)
