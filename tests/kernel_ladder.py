"""The ladder of the kernel sums, as one function: it also runs in processes that force an instruction set."""

from __future__ import annotations

import itertools

import numpy as np

import reference
from learndock import _core, kernels

# Off and on the widths of vectors (2, 4, 8, 16 numbers), of tiles (16 points) and of the rows worked on together.
DIMS = (1, 3, 7, 8, 15, 16, 17, 31, 33, 97, 256)
SIZES = (1, 2, 7, 16, 17, 100)

FLOAT32_UNIT = float(np.finfo(np.float32).eps) / 2


def random_embedding(rng, size, dim, *, spread=1.0, offset=0.0, signed=True):
    """Points around an offset, in the units in which gamma = 1 / dim sees them at distance about 1."""
    weights = rng.normal(size=size) if signed else rng.dirichlet(np.ones(size))
    return offset + spread * rng.normal(size=(size, dim)), weights


def assert_inner(p, q, gamma, got):
    """Against the reference, within the rounding of float64; a kernel value may stop at the smallest normal number."""
    expected = reference.inner(*p, *q, gamma)
    dim, counts = p[0].shape[1], (len(p[0]), len(q[0]))
    allowed = reference.rounding(dim, *counts) * reference.magnitude(*p, *q, gamma)
    allowed += 2 * np.finfo(np.float64).tiny * np.abs(p[1]).sum() * np.abs(q[1]).sum()
    assert abs(got - expected) <= allowed, f"d {dim}, sizes {counts}: {got} for {expected}, allowed {allowed}"


def assert_mmd2_float32(p, q, gamma, got):
    """Against the reference at the stored float32 numbers, within the bound that the header states.

    cpp/include/learndock/kernel_sums.hpp: relative u [3 (d + 4) (X + Y) + (d + 4) W + count + 20] a kernel value, and
    3 * 2^-16 (X + Y) more where products are of split bfloat16. A query's group has X <= 16, W is the logarithm of a
    ratio of its weights, at most 2^30, and Y is at most (4 + sqrt(t))^2 < 2 (16 + t) for a kernel value exp(-t); t < 24
    where the value is above u itself.
    """
    stored = (np.float32(q[0]), np.float32(q[1]))
    expected = reference.mmd2(p, stored, gamma)
    dim = p[0].shape[1]
    active = kernels.instruction_sets()["active"]
    unit = FLOAT32_UNIT * (3 * (dim + 4) * (16 + 2 * (16 + 24)) + (dim + 4) * 21 + len(p[0]) + 20)
    unit += (3 / 2**16 + FLOAT32_UNIT * 6 * dim) * (16 + 2 * (16 + 24)) if "amx" in active else 0
    allowed = 2 * unit * reference.magnitude(*p, *stored, gamma) + 1e-12 * np.abs(p[1]).sum() ** 2
    assert abs(got - expected) <= allowed, f"d {dim}: {got} for {expected}, allowed {allowed}"


# Passes over stored embeddings that know a bound on their error.
BOUNDED = {
    "float32": (_core.PreparedQuery, _core.inner_products_float, _core.chosen_inner_products_float),
    "integers": (_core.CoarseQuery, _core.inner_products_coarse, _core.chosen_inner_products_coarse),
}


def bounded_product(which, p, q, gamma):
    """The product of a query with one stored embedding by a pass, its error bound, and the exact value."""
    query, inner_products, _ = BOUNDED[which]
    packed = kernels.pack([q[0]], [q[1]])
    products, errors = inner_products([query(*p, gamma)], packed.tiles, packed.weights, packed.offsets, 1)
    return products[0, 0], errors[0, 0], reference.inner(*p, *packed.embedding(0), gamma)


def assert_bound_holds(which, p, q, gamma):
    """|value - exact| <= error, beyond what float64 itself rounds in the reference, and its underflow."""
    value, error, exact = bounded_product(which, p, q, gamma)
    assert np.isfinite(value)
    assert error >= 0
    stored = np.float32(q[0]), np.float32(q[1])
    own = reference.rounding(p[0].shape[1], len(p[0]), len(q[0])) * reference.magnitude(*p, *stored, gamma)
    own += 2 * np.finfo(np.float64).tiny * np.abs(p[1]).sum() * np.abs(q[1]).sum()
    assert abs(value - exact) <= error + own, f"{which}: off by {abs(value - exact)}, bound {error}"


def climb_bounds() -> None:
    """Every pass with a bound, at all shapes; its bound holds, and is of use: within a hundredth of the terms."""
    rng = np.random.default_rng(1)
    for which, dim, size in itertools.product(BOUNDED, DIMS, SIZES):
        if which == "integers" and not _core.CoarseQuery(np.zeros((1, dim)), np.ones(1), 1.0).possible:
            continue
        gamma = 1 / dim
        p, q = random_embedding(rng, size, dim), random_embedding(rng, 37, dim)
        assert_bound_holds(which, p, q, gamma)
        _, error, _ = bounded_product(which, p, q, gamma)
        assert error <= 0.01 * reference.magnitude(*p, *q, gamma), (which, dim, size, error)
        assert_chosen_are_those_of_all(
            which, p, [random_embedding(rng, own, dim) for own in (*SIZES, 1, 16, 37)], gamma
        )


def assert_products_do_not_depend_on_places(dim) -> None:
    """One embedding at each of the places that it can have among the lanes, alone and beside others: the same bits."""
    rng = np.random.default_rng(6)
    for size in (1, 3, 8, 21):
        z, w = random_embedding(rng, size, dim)
        packed = [
            kernels.pack([rng.normal(size=(before + 1, dim)), z], [np.ones(before + 1), w]) for before in range(16)
        ]
        for rows in (1, 2, 3, 4, 5, 7, 8, 12, 17, 40):
            p, a = random_embedding(rng, rows, dim)
            query = [p], [a]
            found = {
                _core.chosen_inner_products(
                    *query,
                    _core.EmbeddingSet([(each.tiles, each.weights, each.offsets)]),
                    np.array([0]),
                    np.array([1]),
                    1 / dim,
                    1,
                ).tobytes()
                for each in packed
            }
            whole = {
                _core.inner_products(*query, each.tiles, each.weights, each.offsets, 1 / dim, 1)[:, 1].tobytes()
                for each in packed
            }
            assert len(found | whole) == 1, (dim, size, rows)


def climb_down_to_the_smallest() -> None:
    """Kernel values around 2^-125, the smallest that float32's exponentials hold, and points that reach across it."""
    rng = np.random.default_rng(4)
    for dim, weight in itertools.product((1, 3, 8, 40), (1.0, 1e-6)):
        for powers in (*np.linspace(118, 132, 57)[:, None], (1.0, 124.9), (1.0, 125.1), (1.0, 200.0), (123.0, 126.5)):
            directions = rng.normal(size=(13, dim))
            directions /= np.linalg.norm(directions, axis=1, keepdims=True)
            far = np.sqrt(np.resize(powers, 13) * np.log(2) / 0.7)
            p = np.concatenate([np.zeros((5, dim)), 1e-3 * rng.normal(size=(8, dim))]), weight * np.ones(13)
            assert_bound_holds("float32", p, (far[:, None] * directions, np.ones(13)), 0.7)


def assert_chosen_are_those_of_all(which, p, batch, gamma):
    """Sums for chosen embeddings, in any order and more than once, are those of a pass over all, but for rounding."""
    query, inner_products, chosen_inner_products = BOUNDED[which]
    packed = kernels.pack([z for z, _ in batch], [w for _, w in batch])
    arrays = packed.tiles, packed.weights, packed.offsets
    asking = query(*p, gamma)
    products, errors = (found[0] for found in inner_products([asking], *arrays, 1))
    for chosen in (np.arange(len(batch))[::-1].copy(), np.zeros(11, np.int64), np.arange(len(batch)).repeat(3)):
        for threads in (1, 3):
            found, bounds = chosen_inner_products(asking, _core.EmbeddingSet([arrays]), chosen, threads)
            assert (np.abs(found - products[chosen]) <= errors[chosen] + bounds).all(), (which, p[0].shape)


def assert_exponentials() -> None:
    """Kernel values of one point, from 1 to where they stop at the smallest normal number; relative, not to a sum.

    t = gamma x^2 has three roundings, and the exponential is to be right within four units.
    """
    x = np.concatenate([[0.0], np.geomspace(1e-9, 30, 4000), np.linspace(0, 27, 4001)[1:]])
    got = kernels.embed([[0.0]], [1.0], x[:, None], gamma=1.0)
    t = np.longdouble(x) ** 2
    expected, unit = np.exp(-t), np.finfo(np.float64).eps / 2
    assert got[0] == 1
    inside = expected > 2 * np.finfo(np.float64).tiny
    np.testing.assert_array_less(np.abs(got / expected - 1)[inside], (unit * (3 * t + 4))[inside])
    assert np.all(got[~inside] <= 2 * np.finfo(np.float64).tiny)


def climb() -> None:
    """All sums at all shapes, on and off the widths; raises AssertionError where one is wrong."""
    assert_exponentials()
    climb_down_to_the_smallest()
    for dim in (1, 2, 9):
        assert_products_do_not_depend_on_places(dim)
    rng = np.random.default_rng(0)
    for dim in DIMS:
        gamma = 1 / dim
        batch = [random_embedding(rng, size, dim) for size in SIZES]
        packed32 = kernels.pack([z for z, _ in batch], [w for _, w in batch])
        packed64 = kernels.pack([z for z, _ in batch], [w for _, w in batch], dtype="float64")
        distances32 = kernels.mmd2(batch, packed32, gamma=gamma)
        distances64 = kernels.mmd2(batch, packed64, gamma=gamma, precision="float64")
        for i, p in enumerate(batch):
            for j, q in enumerate(batch):
                assert_inner(p, q, gamma, kernels.inner(*p, *q, gamma=gamma))
                assert_mmd2_float32(p, q, gamma, distances32[i, j])
                parts = [reference.magnitude(*a, *b, gamma) for a, b in ((p, p), (p, q), (q, q))]
                allowed = reference.rounding(dim, len(p[0]), len(q[0])) * (parts[0] + 2 * parts[1] + parts[2])
                assert abs(distances64[i, j] - reference.mmd2(p, q, gamma)) <= allowed
            assert_inner(p, p, gamma, packed64.self_inner(gamma=gamma)[i])
            stored = (np.float32(p[0]), np.float32(p[1]))
            assert_inner(stored, stored, gamma, packed32.self_inner(gamma=gamma)[i])
            at = rng.normal(size=(SIZES[i] + 3, dim))
            error = np.abs(kernels.embed(*p, at, gamma=gamma) - reference.embed(*p, at, gamma))
            magnitudes = reference.embed(p[0], np.abs(p[1]), at, gamma)
            assert (error <= reference.rounding(dim, len(p[0])) * magnitudes).all()
