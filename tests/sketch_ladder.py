"""Sketches against distances written out in float64: a module of its own, for it also runs in processes that force an
instruction set."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

import reference
from learndock import _core, kernels

EPSILON32 = float(np.finfo(np.float32).eps)


def _room(sketch_set, queries):
    return np.empty(len(queries) * sketch_set.ball_lanes, np.int16)


def promising_of(sketch_set, queries, hidden, correlation, count, threads):
    return sketch_set.promising(queries, hidden, correlation, count, _room(sketch_set, queries), threads)


def within_of(sketch_set, queries, hidden, reach, threads):
    bounds = _room(sketch_set, queries)
    sketch_set.promising(queries, hidden, 0.5, 0, bounds, threads)
    return [places for places, _ in sketch_set.within(queries, hidden, bounds, reach, threads)]


@dataclass
class Made:
    """Embeddings as a dock stores them, a map, and their sketches in one set of several batches."""

    points: list
    weights: list
    gamma: float
    landmarks: np.ndarray
    map: np.ndarray
    offsets: np.ndarray
    scales: np.ndarray
    stages: tuple
    core: _core.SketchMap
    batches: list
    sketches: list
    sketch_set: _core.SketchSet

    @property
    def self_inner(self):
        return np.concatenate([inner for _, inner in self.batches])

    def query(self, points, weights, *, threads=1):
        """The sketch of a user, and <user, user>."""
        points, weights = np.asarray(points, dtype=np.float64), np.asarray(weights, dtype=np.float64)
        own = kernels.inner(points, weights, points, weights, gamma=self.gamma)
        return self.core.query(points, weights, own, threads), own

    def bounds(self, query, stage, *, threads=1):
        """Lower bounds of all, by a stage."""
        every = np.arange(self.sketch_set.total)
        return self.sketch_set.refine(query, 0.5, stage, every, threads)[0].astype(np.float64)

    def searched(self, points, weights, own):
        """The distances that an exact search computes."""
        products = [
            _core.inner_products([points], [weights], packed.tiles, packed.weights, packed.offsets, self.gamma, 1)[0]
            for packed, _ in self.batches
        ]
        return own - 2 * np.concatenate(products) + self.self_inner


def bounding_map(rng, landmarks, gamma, width, *, good):
    """A [width, D] with A K A^T <= I: any is, whose largest eigenvalue is brought down to 1."""
    K = reference.kernel(landmarks, landmarks, gamma)
    if good:  # along the principal directions of the landmarks
        values, vectors = np.linalg.eigh(K)
        A = (vectors[:, ::-1] / np.sqrt(np.maximum(values[::-1], 0) + 1e-3)).T[:width]
    else:
        A = rng.normal(size=(width, len(landmarks)))
    largest = float(np.linalg.eigvalsh(A @ K @ A.T).max())
    return np.ascontiguousarray(A * ((1 - 1e-8) / np.sqrt(largest)))


def made(rng, points, weights, gamma, landmarks, *, width, stages, cuts=(), good=True, seen=None):
    """Sketches of embeddings, in batches that end at the cuts; steps as for the coordinates of the first `seen`."""
    points = [np.float32(z) for z in points]
    weights = [np.float32(beta) for beta in weights]
    landmarks = np.asarray(landmarks, dtype=np.float64)
    A = bounding_map(rng, landmarks, gamma, width, good=good)
    coordinates = np.array(
        [A @ reference.embed(z, beta, landmarks, gamma) for z, beta in zip(points[:seen], weights[:seen], strict=True)]
    )
    low, high = coordinates.min(axis=0), coordinates.max(axis=0)
    offsets, scales = (low + high) / 2, np.maximum((high - low) / 250, 1e-9).astype(np.float32)
    core = _core.SketchMap(landmarks, A, offsets, scales, list(stages), gamma)
    batches, sketches, parts = [], [], []
    for begin, end in itertools.pairwise([0, *cuts, len(points)]):
        packed = kernels.pack(points[begin:end], weights[begin:end])
        inner = packed.self_inner(gamma=gamma)
        sketch = core.encode(packed.tiles, packed.weights, packed.offsets, inner, 1)
        batches.append((packed, inner))
        sketches.append(sketch)
        parts.append((*sketch, end - begin))
    return Made(
        points, weights, gamma, landmarks, A, offsets, scales, tuple(stages), core, batches, sketches,
        _core.SketchSet(core, parts),
    )  # fmt: skip


def true_distances(of, points, weights):
    """MMD^2 of a user to all embeddings in float64, squared distances of points by differences."""
    own = reference.inner(points, weights, points, weights, of.gamma)
    sizes = [len(z) for z in of.points]
    K = reference.kernel(points, np.concatenate(of.points), of.gamma)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    docked = np.concatenate(of.weights, dtype=np.float64)
    cross = np.add.reduceat((np.asarray(weights, dtype=np.float64) @ K) * docked, starts)
    inner = np.array([reference.inner(z, b, z, b, of.gamma) for z, b in zip(of.points, of.weights, strict=True)])
    return own - 2 * cross + inner


def assert_bounds_hold(of, points, weights):
    """No bound of any stage is above a distance: not above the search's, and not above NumPy's."""
    points, weights = np.asarray(points, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    query, own = of.query(points, weights)
    # Rounding can make a distance of 0 negative; a bound never is.
    least = np.maximum(0, np.minimum(true_distances(of, points, weights), of.searched(points, weights, own)))
    for stage in range(len(of.stages)):
        bounds = of.bounds(query, stage)
        assert (bounds >= 0).all()
        above = np.flatnonzero(bounds > least)
        assert not above.size, (stage, above, bounds[above], least[above])
    assert_passes_agree(of, query)


def assert_passes_agree(of, query):
    """What the passes over all find near, and how they rank, is what bounds and guesses one by one say."""
    every = np.arange(of.sketch_set.total)
    bounds, guesses = of.sketch_set.refine(query, 0.5, 0, every, 1)
    kept = _room(of.sketch_set, [query])
    of.sketch_set.promising([query], [None], 0.5, 0, kept, 1)
    assert of.sketch_set.within([query], [None], kept, [-1.0], 1)[0][0].size == 0
    for reach in (-0.0, 0.0, *np.quantile(bounds, [0.3, 0.8]).astype(np.float32), 3.2e38):
        ((places, found),) = of.sketch_set.within([query], [None], kept, [float(reach)], 1)
        assert np.array_equal(found, bounds[places])
        assert (np.diff(places) > 0).all()
        assert (found <= reach).all()
        # A ball's bound is below those of all in it, but for roundings.
        missed = np.setdiff1d(np.flatnonzero(bounds <= reach), places)
        assert (bounds[missed] >= reach * (1 - 1e-5)).all(), (missed, bounds[missed], reach)
    best = promising_of(of.sketch_set, [query], [None], 0.5, len(every), 1)[0]
    assert np.array_equal(best, np.lexsort((every, guesses)))


def formula(of, points, weights, stage):
    """The bound of a stage in float64, as if nothing was rounded but the codes; and the codes' share of the error."""
    width = of.stages[stage]
    A = of.map[:width]

    def sketch(z, beta):
        c = A @ reference.embed(z, beta, of.landmarks, of.gamma)
        return c, np.sqrt(max(0.0, reference.inner(z, beta, z, beta, of.gamma) - c @ c))

    user, r = sketch(points, weights)
    bounds, errors = [], []
    for z, beta in zip(of.points, of.weights, strict=True):
        c, residual = sketch(z, beta)
        bounds.append((user - c) @ (user - c) + (r - residual) ** 2)
        errors.append(np.linalg.norm(of.scales / 2))
    return np.array(bounds), np.array(errors)


def assert_bounds_are_close(of, points, weights):
    """A bound is what the formula says less the error of the codes, twice: they are off, and the bound allows for it.

    What the rounding of the float64 distances costs is less than 1e-4 of the absolute weights.
    """
    query, _ = of.query(points, weights)
    for stage in range(len(of.stages)):
        exact, error = formula(of, points, weights, stage)
        absolute = np.abs(weights).sum() + np.array([np.abs(beta).sum() for beta in of.weights])
        least = np.maximum(0, np.sqrt(exact) * (1 - 100 * EPSILON32) - 2 * error - 1e-4 * absolute) ** 2
        found = of.bounds(query, stage)
        assert (found >= least * (1 - 100 * EPSILON32)).all(), (stage, found, least)


def ladder_case(rng, *, dim, count, stages, gamma=None, cuts=(), ragged=True):
    """Embeddings in a few families, and landmarks among their points."""
    gamma = gamma or 1 / dim
    centres = rng.normal(size=(3, dim))
    sizes = rng.integers(1, 8, count) if ragged else np.full(count, 5)
    points = [centres[rng.integers(3)] + 0.5 * rng.normal(size=(size, dim)) for size in sizes]
    weights = [rng.dirichlet(np.ones(len(z))) for z in points]
    pool = np.float32(np.concatenate([*points, rng.normal(size=(stages[-1], dim))]))
    landmarks = pool[rng.permutation(len(pool))[: max(stages[-1], 20)]]
    return made(rng, points, weights, gamma, landmarks, width=stages[-1], stages=stages, cuts=cuts)


def climb() -> None:
    """Bounds at shapes on and off all widths: dims, counts, batches, stages, users at a time."""
    rng = np.random.default_rng(0)
    shapes = itertools.product((1, 3, 16, 33), (1, 15, 16, 17, 100), ((1,), (5,), (16,), (4, 20), (1, 2, 40)))
    for dim, count, stages in shapes:
        cuts = () if count < 3 else (count // 3,)
        of = ladder_case(rng, dim=dim, count=count, stages=stages, cuts=cuts)
        user = rng.normal(size=(6, dim)), rng.dirichlet(np.ones(6))
        assert_bounds_hold(of, *user)
        assert_bounds_are_close(of, *user)
        assert_bounds_hold(of, of.points[0], of.weights[0])
    # More than one chunk of a pass, and each number of users that the kernel takes at a time.
    of = ladder_case(rng, dim=2, count=2100, stages=(3, 8), cuts=(1030,), ragged=False)
    users = [of.query(rng.normal(size=(3, 2)), rng.dirichlet(np.ones(3)))[0] for _ in range(17)]
    reach = [float(of.bounds(user, 0)[i]) for i, user in enumerate(users)]
    best = [promising_of(of.sketch_set, [user], [None], 0.5, 9, 1)[0] for user in users]
    within = [within_of(of.sketch_set, [user], [None], [own], 1)[0] for user, own in zip(users, reach, strict=True)]
    for together in range(1, 18):
        asked = users[:together], [None] * together
        assert np.array_equal(promising_of(of.sketch_set, *asked, 0.5, 9, 2), best[:together])
        for one, alone in zip(within_of(of.sketch_set, *asked, reach[:together], 2), within, strict=False):
            assert np.array_equal(one, alone)
    for user in users:
        assert_passes_agree(of, user)
