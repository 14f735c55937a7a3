"""Inner products, squared MMD, packing and embeddings at points, by hand, exact, and against float64 NumPy."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kernel_ladder
import reference
from kernel_ladder import DIMS, SIZES, assert_inner, assert_mmd2_float32, random_embedding
from learndock import _core, kernels

THREADS = (1, 4, 7)


# --- by hand ---------------------------------------------------------------------------------------------------------


def test_two_points_by_hand():
    """P: weight 2 at 0. Q: weights 3 at 1 and -1 at 2. gamma = 1.

    <P, Q> = 2 * 3 exp(-1) - 2 exp(-4), <P, P> = 4, <Q, Q> = 9 - 2 * 3 exp(-1) + 1 = 10 - 6 exp(-1).
    mmd2 = 4 - 2 (6 exp(-1) - 2 exp(-4)) + 10 - 6 exp(-1) = 14 - 18 exp(-1) + 4 exp(-4).
    """
    p, q = ([[0.0]], [2.0]), ([[1.0], [2.0]], [3.0, -1.0])
    e = np.exp
    assert kernels.inner(*p, *q, gamma=1.0) == pytest.approx(6 * e(-1) - 2 * e(-4), rel=1e-15)
    packed = kernels.pack([q[0]], [q[1]], dtype="float64")
    assert packed.self_inner(gamma=1.0) == pytest.approx([10 - 6 * e(-1)], rel=1e-15)
    expected = 14 - 18 * e(-1) + 4 * e(-4)
    assert kernels.mmd2([p], packed, gamma=1.0, precision="float64")[0, 0] == pytest.approx(expected, rel=1e-15)
    narrow = kernels.pack([q[0]], [q[1]])
    # Points and weights are exact in float32; what is left is a few roundings of numbers up to 6.
    assert kernels.mmd2([p], narrow, gamma=1.0)[0, 0] == pytest.approx(expected, abs=1e-5)
    assert kernels.embed(*q, [[0.0], [1.0]], gamma=1.0) == pytest.approx([3 * e(-1) - e(-4), 3 - e(-1)], rel=1e-15)


def test_gamma_multiplies_the_squared_distance():
    """Distance 3, gamma 0.25: exp(-0.25 * 9), not exp(-0.25 * 3) and not exp(-9 / (2 * 0.25^2))."""
    assert kernels.inner([[0.0]], [1.0], [[3.0]], [1.0], gamma=0.25) == pytest.approx(np.exp(-2.25), rel=1e-15)


# --- exact -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_integers_far_apart_are_counted_exactly(dim, dtype):
    """At gamma = 1, integer points 100 apart have k = 0 (exp(-10,000) is no float64) and equal ones k = 1.

    So <P, Q> = sum over points in common of the product of their integer weights, without rounding in float64. A value
    that underflows may be the smallest normal number of its type: it vanishes beside an integer; 0 may be off by it.
    The float32 kernel carries weights as logarithms: relative 1e-6 of the product of the two sums of weights.
    """

    def assert_exact(got, expected):
        np.testing.assert_array_equal(np.where(np.abs(got) < 1e-30, 0.0, got), expected)

    rng = np.random.default_rng(dim)
    grid = np.zeros((40, dim))
    grid[:, -1] = 100.0 * np.arange(40)
    batch = []
    for size in (1, 2, 5, 16, 17, 33, 40):
        chosen = rng.permutation(40)[:size]
        batch.append((grid[chosen], rng.integers(-9, 10, size=size).astype(float), chosen))
    dense = np.zeros((len(batch), 40))
    for row, (_, weights, chosen) in zip(dense, batch, strict=True):
        row[chosen] = weights
    expected = ((dense[:, None] - dense[None]) ** 2).sum(axis=2)
    packed = kernels.pack([z for z, _, _ in batch], [w for _, w, _ in batch], dtype=dtype)
    got = kernels.mmd2([(z, w) for z, w, _ in batch], packed, gamma=1.0, precision=dtype)
    if dtype == "float64":
        assert_exact(got, expected)
    else:
        total = np.abs(dense).sum(axis=1)
        assert (np.abs(got - expected) <= 2 * 1e-6 * np.outer(total, total)).all()
    assert_exact(packed.self_inner(gamma=1.0), (dense**2).sum(axis=1))
    for (z, w, _), row in zip(batch, dense, strict=True):
        assert_exact(kernels.embed(z, w, grid, gamma=1.0), row)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [1, 2, 5, 15, 16, 17, 31, 32, 33, 100])
def test_packing_keeps_every_number_in_its_place(size, dtype):
    rng = np.random.default_rng(size)
    points = [rng.normal(size=(size + i, 5)).astype(dtype) for i in range(4)]
    weights = [rng.normal(size=size + i).astype(dtype) for i in range(4)]
    packed = kernels.pack(points, weights, dtype=dtype)
    assert len(packed) == 4
    assert packed.dim == 5
    assert packed.dtype == np.dtype(dtype)
    assert packed.tiles.shape == (-(-sum(map(len, points)) // 16), 5, 16)
    assert np.isfinite(packed.tiles).all()
    assert packed.offsets.tolist() == np.cumsum([0, *map(len, points)]).tolist()
    for i in range(4):
        z, beta = packed.embedding(i)
        np.testing.assert_array_equal(z, points[i])
        np.testing.assert_array_equal(beta, weights[i])
        assert z.dtype == beta.dtype == np.float64


def test_the_three_forms_of_pack_are_one():
    rng = np.random.default_rng(0)
    points, weights = rng.normal(size=(6, 17, 3)), rng.normal(size=(6, 17))
    stacked = kernels.pack(points.reshape(-1, 3), weights.reshape(-1), offsets=np.arange(7) * 17)
    for other in (kernels.pack(points, weights), kernels.pack(list(points), list(weights))):
        np.testing.assert_array_equal(stacked.tiles, other.tiles)
        np.testing.assert_array_equal(stacked.weights, other.weights)
        np.testing.assert_array_equal(stacked.offsets, other.offsets)


def test_a_packed_batch_does_not_change_when_the_callers_arrays_do():
    points, weights = np.ones((3, 2), dtype=np.float32), np.ones(3, dtype=np.float32)
    offsets = np.array([0, 1, 3])
    packed = kernels.pack(points, weights, offsets=offsets)
    points[:], weights[:], offsets[1] = 9, 9, 2
    assert packed.weights.tolist() == [1, 1, 1]
    assert packed.offsets.tolist() == [0, 1, 3]
    assert packed.embedding(1)[0].tolist() == [[1, 1], [1, 1]]


@pytest.mark.parametrize("index", [-3, -1, 2, 3, 10**9])
def test_an_embedding_outside_the_batch_is_an_error(index):
    packed = kernels.pack(np.zeros((2, 3, 1)), np.ones((2, 3)))
    with pytest.raises((IndexError, ValueError), match="index|embedding"):
        packed.embedding(index)


# --- against the reference -------------------------------------------------------------------------------------------


def test_all_sums_at_all_shapes_agree_with_the_reference():
    """d in DIMS x sizes in SIZES, mixed signs: inner, mmd2 in both precisions, self_inner, embed."""
    kernel_ladder.climb()


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("offset", [10.0, 1e3, 1e6])
def test_float64_loses_nothing_far_from_the_origin(dim, offset):
    """The inputs are rounded when they are made; the reference sees the same numbers, so no more may be lost."""
    rng = np.random.default_rng(dim)
    for size, other in ((1, 100), (17, 16), (100, 5)):
        p = random_embedding(rng, size, dim, offset=offset)
        q = random_embedding(rng, other, dim, offset=offset)
        assert_inner(p, q, 1 / dim, kernels.inner(*p, *q, gamma=1 / dim))


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("offset", [10.0, 1e3, 1e6])
def test_float32_loses_only_what_its_storage_loses(dim, offset):
    """Against the reference at the stored numbers (at 1e6 a float32 has steps of 1/16), not at the original ones."""
    rng = np.random.default_rng(dim)
    for size, other in ((1, 100), (17, 16), (100, 5)):
        p = random_embedding(rng, size, dim, offset=offset)
        q = random_embedding(rng, other, dim, offset=offset)
        got = kernels.mmd2([p], kernels.pack([q[0]], [q[1]]), gamma=1 / dim)[0, 0]
        assert_mmd2_float32(p, q, 1 / dim, got)


@pytest.mark.parametrize("apart", [5.0, 50.0, 1e3, 1e6])
@pytest.mark.parametrize("dim", [1, 3, 17, 97])
def test_rows_far_apart_are_cut_into_groups_and_stay_exact(dim, apart):
    rng = np.random.default_rng(int(apart) + dim)
    centres = apart * rng.normal(size=(6, dim))
    p = (centres.repeat(8, axis=0) + 0.3 * rng.normal(size=(48, dim)), rng.normal(size=48))
    q = (centres.repeat(5, axis=0) + 0.3 * rng.normal(size=(30, dim)), rng.normal(size=30))
    prepared = _core.PreparedQuery(*p, 1.0)
    if apart > 10:
        assert prepared.group_count >= 6
    got = kernels.mmd2([p], kernels.pack([q[0]], [q[1]]), gamma=1.0)[0, 0]
    assert_mmd2_float32(p, q, 1.0, got)


def test_a_query_of_equal_rows_and_one_of_zero_weights():
    z = np.full((20, 3), 0.1)
    packed = kernels.pack([z], [np.full(20, 0.05)])
    assert kernels.mmd2([(z, np.full(20, 0.05))], packed, gamma=1e3)[0, 0] == pytest.approx(0, abs=2e-6)
    zero = np.zeros(20)
    assert kernels.mmd2([(z, zero)], packed, gamma=1.0)[0, 0] == pytest.approx(1.0, rel=1e-6)
    assert kernels.inner(z, zero, z, zero, gamma=1.0) == 0.0


def test_mmd2_of_an_embedding_to_itself_is_zero_within_rounding():
    rng = np.random.default_rng(0)
    batch = [random_embedding(rng, size, 8, signed=False) for size in SIZES]
    packed = kernels.pack([z for z, _ in batch], [w for _, w in batch], dtype="float64")
    got = kernels.mmd2(packed, packed, gamma=0.1, precision="float64")
    assert np.abs(np.diag(got)).max() < 1e-14
    np.testing.assert_allclose(got, got.T, rtol=0, atol=1e-14)
    assert got.min() > -1e-14


def test_offsets_give_the_matrix_of_single_products():
    rng = np.random.default_rng(1)
    z, a = random_embedding(rng, 40, 7)
    y, b = random_embedding(rng, 29, 7)
    starts, other_starts = [0, 1, 17, 18, 40], [0, 16, 29]
    got = kernels.inner(z, a, y, b, gamma=0.2, offsets=starts, other_offsets=other_starts)
    assert got.shape == (4, 2)
    for i, (begin, end) in enumerate(itertools.pairwise(starts)):
        for j, (other_begin, other_end) in enumerate(itertools.pairwise(other_starts)):
            single = (z[begin:end], a[begin:end]), (y[other_begin:other_end], b[other_begin:other_end])
            assert_inner(*single, 0.2, got[i, j])
    one_side = kernels.inner(z, a, y, b, gamma=0.2, offsets=[0, 40])
    assert isinstance(kernels.inner(z, a, y, b, gamma=0.2), float)
    assert one_side.shape == (1, 1)


def test_chosen_products_are_those_of_the_whole_batch():
    rng = np.random.default_rng(2)
    batch = [random_embedding(rng, size, 7) for size in (1, 17, 5, 100, 16, 3)]
    queries = [random_embedding(rng, size, 7) for size in (33, 4)]
    asking, chosen = np.array([0, 0, 1, 0, 1]), np.array([3, 0, 3, 5, 1])
    whole = kernels.pack([z for z, _ in batch], [w for _, w in batch])
    for cuts in ([6], [1, 5], [2, 3, 1]):
        stacks = np.split(np.arange(6), np.cumsum(cuts)[:-1])
        packed = [kernels.pack([batch[i][0] for i in part], [batch[i][1] for i in part]) for part in stacks]
        several = embedding_set(*packed)
        got = _core.chosen_inner_products(*zip(*queries, strict=True), several, asking, chosen, 0.1, 2)
        for value, q, i in zip(got, asking, chosen, strict=True):
            assert_inner(queries[q], whole.embedding(i), 0.1, value)
        points, weights = queries[0]
        alone = _core.chosen_inner_products([points], [weights], several, asking[:2], chosen[:2], 0.1, 1)
        np.testing.assert_array_equal(alone, got[:2])


def embedding_set(*packed):
    return _core.EmbeddingSet([(each.tiles, each.weights, each.offsets) for each in packed])


@pytest.mark.parametrize("place", [-1, 2, 1 << 40])
def test_a_place_that_there_is_not_is_an_error(place):
    one = kernels.pack([[[0.0]]], [[1.0]])
    asking, chosen = np.array([0, 0]), np.array([0, place])
    with pytest.raises(ValueError, match="chosen"):
        _core.chosen_inner_products([np.zeros((1, 1))], [np.ones(1)], embedding_set(one, one), asking, chosen, 0.1, 1)


@pytest.mark.parametrize("offsets", [[0, 5, 3, 6], [0, 2, 1 << 40, 6], [0, -3, 4, 6], [0, 2, 2, 6]])
def test_damaged_offsets_are_an_error_where_they_are_read(offsets):
    packed = kernels.pack(np.zeros((3, 2, 1)), np.ones((3, 2)))
    damaged = _core.EmbeddingSet([(packed.tiles, packed.weights, np.array(offsets))])
    query = _core.PreparedQuery(np.zeros((1, 1)), np.ones(1), 0.1)
    with pytest.raises(ValueError, match="offsets"):
        _core.chosen_inner_products_float(query, damaged, np.arange(3), 1)


def test_sets_of_embeddings_are_of_one_dim_and_not_empty():
    with pytest.raises(ValueError, match="dim"):
        embedding_set(kernels.pack([[[0.0]]], [[1.0]]), kernels.pack([[[0.0, 0.0]]], [[1.0]]))
    with pytest.raises(ValueError, match="batches"):
        embedding_set()


@pytest.mark.parametrize("query", [-1, 2])
def test_a_query_that_there_is_not_is_an_error(query):
    packed = kernels.pack([[[0.0]]], [[1.0]])
    points, weights = [np.zeros((1, 1))] * 2, [np.ones(1)] * 2
    with pytest.raises(ValueError, match="asking"):
        _core.chosen_inner_products(points, weights, embedding_set(packed), np.array([query]), np.array([0]), 0.1, 1)


def test_many_embeddings_over_many_chunks_of_work():
    """Batches are cut where about 4,096 points are full: sizes around that, and one embedding larger than it."""
    rng = np.random.default_rng(3)
    sizes = [*rng.integers(1, 200, size=60), 4095, 4096, 4097, 9000, 1, 1]
    batch = [random_embedding(rng, int(size), 3) for size in sizes]
    packed = kernels.pack([z for z, _ in batch], [w for _, w in batch])
    query = random_embedding(rng, 19, 3)
    arrays = (packed.tiles, packed.weights, packed.offsets)
    wide = _core.inner_products([query[0]], [query[1]], *arrays, 0.3, 2)[0]
    narrow, errors = _core.inner_products_float([_core.PreparedQuery(*query, 0.3)], *arrays, 2)
    own = packed.self_inner(gamma=0.3)
    for i, size in enumerate(sizes):
        stored = packed.embedding(i)
        assert_inner(query, stored, 0.3, wide[i])
        assert abs(narrow[0, i] - wide[i]) <= errors[0, i]
        if size < 500:
            assert_inner(stored, stored, 0.3, own[i])


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_weights_that_cancel(precision):
    """A point with weights 1 and -1 is no embedding at all: <P, P> = 0 but for rounding, which may be negative."""
    rng = np.random.default_rng(9)
    for dim in (1, 3, 8):
        z = rng.normal(size=(7, dim)).repeat(2, axis=0)
        w = np.tile([1.0, -1.0], 7) * rng.normal(size=7).repeat(2)
        packed = kernels.pack([z, z], [w, np.abs(w)], dtype=precision)
        got = kernels.mmd2([(z, w)], packed, gamma=0.7, precision=precision)[0]
        stored = packed.embedding(1)
        assert got[0] == pytest.approx(0, abs=1e-5)
        assert got[1] == pytest.approx(reference.inner(*stored, *stored, 0.7), abs=1e-5)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_results_do_not_depend_on_threads(precision):
    rng = np.random.default_rng(4)
    batch = [random_embedding(rng, int(size), 17) for size in rng.integers(1, 300, size=90)]
    packed = kernels.pack([z for z, _ in batch], [w for _, w in batch], dtype=precision)
    at = rng.normal(size=(1003, 17))
    seen = set()
    for threads in THREADS:
        distances = kernels.mmd2(batch[:9], packed, gamma=0.05, precision=precision, threads=threads)
        products = kernels.inner(*batch[0], *batch[1], gamma=0.05, threads=threads)
        own = packed.self_inner(gamma=0.05, threads=threads)
        values = kernels.embed(*batch[2], at, gamma=0.05, threads=threads)
        seen.add(distances.tobytes() + np.float64(products).tobytes() + own.tobytes() + values.tobytes())
    assert len(seen) == 1


def test_a_result_does_not_depend_on_its_neighbours_in_the_batch():
    rng = np.random.default_rng(5)
    batch = [random_embedding(rng, size, 5) for size in (3, 17, 16, 1, 40)]
    queries = [random_embedding(rng, size, 5) for size in (7, 20)]
    packed = kernels.pack([z for z, _ in batch], [w for _, w in batch])
    whole = kernels.mmd2(queries, packed, gamma=0.1)
    for q, query in enumerate(queries):
        for i, (z, w) in enumerate(batch):
            assert kernels.mmd2([query], kernels.pack([z], [w]), gamma=0.1)[0, 0] == whole[q, i]


# --- float32: the range, and the bound -------------------------------------------------------------------------------


@pytest.mark.parametrize("exponent", [-100, -70, -40, 0, 40, 63, 70, 100])
def test_the_unit_of_length_does_not_matter(exponent):
    """Points times 2^e with gamma times 4^-e are the same problem; all numbers stored are normal float32."""
    rng = np.random.default_rng(6)
    z, a = random_embedding(rng, 20, 3, signed=False)
    z = np.float32(z).astype(np.float64)
    y, b = np.float32(z[::2] + 0.25), np.full(10, 0.1, dtype=np.float32)
    expected = reference.mmd2((z, a), (y, b), 0.1)
    packed = kernels.pack([y.astype(np.float64) * 2.0**exponent], [b])
    for precision, allowed in (("float32", 1e-5), ("float64", 1e-14)):
        got = kernels.mmd2([(z * 2.0**exponent, a)], packed, gamma=0.1 * 4.0**-exponent, precision=precision)
        assert got[0, 0] == pytest.approx(expected, abs=allowed), precision


@pytest.mark.parametrize("far", [1e10, 1e19, 1e20, 1e30, 3e38])
@pytest.mark.parametrize("where", ["stored", "query", "both"])
def test_one_point_far_away_does_not_hide_the_others(far, where):
    """Half the weight at 0, half at a number that stands for "missing": <P, Q> = 1/4 where only one has it.

    <P, P> = 1/2 with two points so far apart, 1 with both at 0.
    """
    near, away = np.zeros((2, 3)), np.zeros((2, 3))
    away[1] = np.float32(far)
    p = away if where in ("query", "both") else near
    q = away if where in ("stored", "both") else near
    half = np.full(2, 0.5)
    got = kernels.mmd2([(p, half)], kernels.pack([q], [half]), gamma=1.0)[0, 0]
    assert got == pytest.approx(0.0 if where == "both" else 0.5, abs=1e-6)


@pytest.mark.parametrize("gamma", [1e-300, 1e-46, 1e-40, 1e-30, 1e30, 1e39, 1e300])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_gammas_beyond_the_range_of_float32(gamma, precision):
    """Two points 1 apart: k is 1 at all tiny gammas and 0 at all huge ones; a point with itself is always 1."""
    packed = kernels.pack([[[0.0]], [[1.0]]], [[1.0], [1.0]], dtype=precision)
    got = kernels.mmd2([([[0.0]], [1.0])], packed, gamma=gamma, precision=precision)
    assert got[0].tolist() == pytest.approx([0.0, 0.0 if gamma < 1 else 2.0], abs=1e-6)


@pytest.fixture(scope="module", params=list(kernel_ladder.BOUNDED))
def bounded(request):
    """A pass over stored embeddings that knows a bound on its error."""
    if request.param == "integers" and not _core.CoarseQuery(np.zeros((1, 1)), np.ones(1), 1.0).possible:
        pytest.skip("this instruction set has no products of pairs of integers")
    return request.param


shapes = st.tuples(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 2, 3, 8, 17, 33]))


@given(shapes, st.integers(0, 2**32), st.floats(-6, 3), st.floats(-4, 2), st.floats(-4, 1.3), st.floats(-3, 6))
def test_bound_holds(bounded, shape, seed, log_gamma, log_spread, log_distance, log_offset):
    """Rows of any spread, some together and some far, stored points at any distance of them, any offset."""
    size, other, dim = shape
    rng = np.random.default_rng(seed)
    gamma = 10.0**log_gamma
    length = 1 / np.sqrt(gamma)
    offset = rng.normal(size=dim) * 10.0**log_offset * length * rng.integers(0, 2)
    scales = 10.0 ** (rng.uniform(-2, 1, size=(size, 1)) * rng.integers(0, 2))
    z = offset + length * 10.0**log_spread * scales * rng.normal(size=(size, dim))
    steps = 10.0 ** rng.uniform(-4, log_distance, size=(other, 1))
    y = z[rng.integers(size, size=other)] + length * steps * rng.normal(size=(other, dim))
    kernel_ladder.assert_bound_holds(bounded, (z, rng.normal(size=size)), (y, rng.normal(size=other)), gamma)


coordinates = st.floats(-(2.0**100), 2.0**100, width=32)  # up to 1e30: 0, denormals, all between
weights32 = st.floats(-1e3, 1e3, width=32)


@given(
    st.lists(st.tuples(coordinates, coordinates, weights32), min_size=1, max_size=5),
    st.lists(st.tuples(coordinates, coordinates, weights32), min_size=1, max_size=5),
    st.floats(1e-6, 1e3),
)
def test_bound_holds_for_any_numbers(bounded, rows, others, gamma):
    rows, others = np.array(rows, dtype=np.float64), np.array(others, dtype=np.float64)
    kernel_ladder.assert_bound_holds(
        bounded, (rows[:, :2].copy(), rows[:, 2].copy()), (others[:, :2], others[:, 2]), gamma
    )


@pytest.mark.parametrize("weight", [1.0, 1e30])
@pytest.mark.parametrize("exponent", [86.0, 87.3, 87.5, 88.0, 100.0, 1e4])
def test_bound_holds_where_kernel_values_underflow(bounded, exponent, weight):
    """exp(-88) is below float32's smallest normal number: what is returned in its place is an error like any other."""
    p = (np.zeros((1, 1)), np.array([1.0]))
    q = (np.full((1, 1), np.sqrt(exponent)), np.array([weight]))
    kernel_ladder.assert_bound_holds(bounded, p, q, 1.0)


@pytest.mark.parametrize("gamma", [1e-45, 1e-42, 1e-38, 1e-30, 1e30, 1e38, 3e38, 1e41, 1e45])
def test_bound_holds_for_gammas_outside_float32(bounded, gamma):
    """With points of matching size: where gamma is no normal float32, neither infinity nor lost digits are silent."""
    rng = np.random.default_rng(10)
    length = 1 / np.sqrt(gamma)
    z, a = random_embedding(rng, 9, 3, spread=length)
    y, b = random_embedding(rng, 9, 3, spread=length)
    kernel_ladder.assert_bound_holds(bounded, (z, a), (y, b), gamma)


@pytest.mark.parametrize("scale", [1e-20, 1e-37, 1e-40, 1e-44, 1e-50, 1e-200])
def test_bound_holds_for_tiny_weights(bounded, scale):
    """Weights that are denormal in float32, or 0, or whose product with a kernel value is."""
    rng = np.random.default_rng(7)
    z, a = random_embedding(rng, 9, 3, spread=3)
    y, b = random_embedding(rng, 9, 3, spread=3)
    kernel_ladder.assert_bound_holds(bounded, (z, scale * a), (y, b), 1.0)


@pytest.mark.parametrize("dim", DIMS)
def test_float32_bound_is_no_more_than_the_header_states(dim):
    """A bound of infinity would hold, too. X and Y are the squared norms about the query's centroid."""
    rng = np.random.default_rng(dim)
    p, q = random_embedding(rng, 100, dim, signed=False), random_embedding(rng, 100, dim, signed=False)
    gamma, centre = 1 / dim, p[0].mean(axis=0)
    X, Y = (gamma * ((rows - centre) ** 2).sum(axis=1).max() for rows in (p[0], np.float32(q[0])))
    value, error, _ = kernel_ladder.bounded_product("float32", p, q, gamma)
    assert X < 16
    W = np.log(p[1].max() / p[1][p[1] > p[1].max() / 2**30].min())
    unit = kernel_ladder.FLOAT32_UNIT
    split = (3 / 2**16 + 6 * unit * dim) * (X + Y) if "amx" in kernels.instruction_sets()["active"] else 0
    assert 0 < error <= 1.001 * (unit * (3 * (dim + 4) * (X + Y) + (dim + 4) * W + 100 + 20) + split) * value


# --- values of the reference package ---------------------------------------------------------------------------------


@pytest.mark.parametrize("group", range(8))
def test_golden_inner_products_and_distances(golden, group):
    about = json.loads((golden / "mmd.json").read_text())[group]
    assert about["group"] == group
    arrays = np.load(golden / "mmd.npz")
    gamma, count = about["gamma"], len(about["sizes"])
    batch = [(arrays[f"g{group}_z{i}"], arrays[f"g{group}_beta{i}"]) for i in range(count)]
    expected_inner, expected_mmd2 = arrays[f"g{group}_inner"], arrays[f"g{group}_mmd2"]

    got_inner = np.array([[kernels.inner(*p, *q, gamma=gamma) for q in batch] for p in batch])
    # Group 6, far from the origin, was computed with ||x||^2 + ||y||^2 - 2 xy: it is 9e-12 off itself.
    relative = 1e-11 if group == 6 else 1e-12
    np.testing.assert_allclose(got_inner, expected_inner, rtol=relative, atol=1e-300)
    for i, p in enumerate(batch):
        for j, q in enumerate(batch):
            assert_inner(p, q, gamma, got_inner[i, j])
    wide = kernels.pack([z for z, _ in batch], [w for _, w in batch], dtype="float64")
    got = kernels.mmd2(batch, wide, gamma=gamma, precision="float64")
    np.testing.assert_allclose(got, expected_mmd2, rtol=0, atol=1e-12)
    np.testing.assert_allclose(wide.self_inner(gamma=gamma), np.diag(expected_inner), rtol=relative)

    narrow = kernels.pack([z for z, _ in batch], [w for _, w in batch])
    np.testing.assert_allclose(kernels.mmd2(batch, narrow, gamma=gamma), expected_mmd2, rtol=0, atol=1e-6)


@pytest.mark.parametrize("group", range(8))
def test_golden_inner_products_in_float32(golden, group):
    about = json.loads((golden / "mmd.json").read_text())[group]
    arrays = np.load(golden / "mmd.npz")
    gamma, count = about["gamma"], len(about["sizes"])
    batch = [(arrays[f"g{group}_z{i}"], arrays[f"g{group}_beta{i}"]) for i in range(count)]
    narrow = kernels.pack([z for z, _ in batch], [w for _, w in batch])
    prepared = [_core.PreparedQuery(*p, gamma) for p in batch]
    products, errors = _core.inner_products_float(prepared, narrow.tiles, narrow.weights, narrow.offsets, 1)
    np.testing.assert_allclose(products, arrays[f"g{group}_inner"], rtol=1e-6, atol=1e-30)
    for i, p in enumerate(batch):
        for j in range(count):
            stored = narrow.embedding(j)
            own = 1e-13 * reference.magnitude(*p, *stored, gamma)
            assert abs(products[i, j] - reference.inner(*p, *stored, gamma)) <= errors[i, j] + own
