"""How a space's sketches are made: landmarks, principal coordinates of the embeddings, and how many of each.

Landmarks are drawn from the docked points; where they lie hardly matters, their number D does. The values of the
embeddings at them, whitened by the landmarks' kernel matrix, have principal directions: a few coordinates along those
prove nearly what all D would. A probe tries several D and prefixes on a sample: some of its specifications ask for
their neighbours in it, and the true distances tell what each choice would have to evaluate.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from learndock import _core, kernels
from learndock.dock.feature_training import feature_count, with_features
from learndock.dock.sketch_model import SketchFacts, SketchModel

if TYPE_CHECKING:
    import numpy.typing as npt

    from learndock.dock.store import SpaceView
    from learndock.kernels import PackedEmbeddings

    FloatArray = npt.NDArray[np.float64]
    IndexArray = npt.NDArray[np.int64]

__all__ = ["is_weak", "train_model"]

# Numbers of landmarks, tried in turn while that helps; the last, a minute's training, only where nothing else does.
_LANDMARKS = (256, 1024, 4096, 8192)
# Prefixes of the coordinates that are tried: 72 and 140 bytes a specification in all are two of them. The last is the
# most that is stored.
_PREFIXES = (16, 32, 56, 120, 256)
# Where none proves enough: random features estimate the rest of 64 coordinates of 1,024 landmarks well.
_LANDMARKS_OF_FEATURES, _COORDINATES_OF_FEATURES = 1024, 64
_SAMPLE, _QUERIES, _NEIGHBOURS = 4096, 32, 10
# On the diagonal of the landmarks' kernel matrix. It costs nothing: any A with A K A^T <= I bounds.
_JITTER = 1e-3
# Room beyond the sample's extremes for the coordinates of what comes later; what lies beyond is stored with its error.
_MARGIN, _STEPS = 1.25, 254
# Nanoseconds, roughly: of a byte read in a pass over sketches, a sketch looked up, a kernel value in float64. A pass
# reads the ball of each sixteen, and of what its bounds leave so many sketches for each.
_BYTE, _LOOKUP, _PAIR, _PAIR_DIM, _LOOKED = 0.06, 40.0, 0.7, 0.025, 4
# Of a specification from anywhere in memory, and of a kernel value in 16 or 32 bits.
_FOUND, _SHORT_PAIR, _SHORT_PAIR_DIM = 400.0, 0.12, 0.006
# More landmarks must bring a search to this share of its cost, or else no more are tried. But where the best ones
# leave more than so much of the dock, more are tried all the same, and where those no longer do, the first share need
# not be reached: proofs begin at some number of them, at once.
_WORTH, _WEAK = 0.8, 0.02
# A dock of so many specifications for each landmark has as many as are tried: they cost each query, and training.
_SPECS_A_LANDMARK = 8
# More bytes must bring a search to this share of its cost; to the second one above so many coordinates, which are not
# tried in a space of a smaller noise share than this where fewer prove enough. Above the last nothing proves much.
_WORTH_BYTES, _WORTH_MANY, _MANY, _NOISY, _NOISE = 0.95, 0.75, 120, 0.17, 0.5
# A model has become weak where it leaves so many times what was predicted, and more than so much of the dock.
_WEAKER, _WEAKER_SHARE = 2.0, 0.01


@dataclass(frozen=True, slots=True)
class _Sample:
    """Specifications of the space, and what is true of some that ask."""

    packed: PackedEmbeddings
    self_inner: FloatArray
    queries: IndexArray
    mmd2: FloatArray  # (queries, sample), infinite for each to itself
    nearest: FloatArray  # (queries,) the distance of the last neighbour that a search of the space would want


@dataclass(frozen=True, slots=True)
class _Trial:
    """A map, and what a search by prefixes of it would cost."""

    landmarks: FloatArray
    map: FloatArray
    coordinates: FloatArray  # (sample, m)
    stages: tuple[int, ...]
    evaluated: float
    cost: float


def train_model(view: SpaceView, gamma: float, *, most_coordinates: int, seed: int = 0) -> SketchModel:
    """Make a model for the specifications of a space.

    Parameters
    ----------
    view : SpaceView
        With at least one segment.
    gamma : float
    most_coordinates : int
        At most so many are stored for each specification, a byte each.
    seed : int, default 0
        Of the landmarks and the sample.
    """
    rng = np.random.default_rng(seed)
    total = int(view.starts[-1])
    sample = _sample(view, gamma, rng)
    most = _most_landmarks(sample, total)
    points = _landmarks(view, most, rng)
    weak = _WEAK * total
    best: _Trial | None = None
    for trial in _trials(sample, points, most, gamma, total, most_coordinates, seed):
        if best is None or trial.cost < (_WORTH if best.evaluated <= weak or trial.evaluated > weak else 1) * best.cost:
            best = trial
        if best.evaluated <= weak and (best is not trial or len(trial.landmarks) == _LANDMARKS[-2]):
            break
    if best is None:
        raise ValueError("no landmarks")
    model = _model(best, sample, gamma, total)
    if not model.facts.pays and feature_count(model.facts):
        # Then features are to prove nothing but estimate much: the less they have to, the better.
        landmarks = points[:_LANDMARKS_OF_FEATURES]
        width = min(_COORDINATES_OF_FEATURES, most_coordinates, len(landmarks))
        model = _model(_trial(sample, landmarks, width, gamma, total, seed), sample, gamma, total)
    return with_features(model, lambda: _kernel_matrix(model.landmarks.astype(np.float64), gamma), rng)


def is_weak(model: SketchModel, view: SpaceView, *, seed: int = 1) -> bool:
    """Whether a space has got specifications of which its model proves less than of those that it was made for."""
    facts, total = model.facts, int(view.starts[-1])
    sample = _sample(view, facts.gamma, np.random.default_rng(seed))
    batch, landmarks = sample.packed, model.landmarks.astype(np.float64)
    values = _core.values_at_points(batch.tiles, batch.weights, batch.offsets, landmarks, facts.gamma, 0)
    now, _ = _survivors(sample, values @ model.map.T, total)
    expected = min(total, facts.predicted * np.sqrt(total / facts.specs))
    return bool(now > _WEAKER * expected and now > _WEAKER_SHARE * total)


def _sample(view: SpaceView, gamma: float, rng: np.random.Generator) -> _Sample:
    at = np.sort(rng.choice(int(view.starts[-1]), min(_SAMPLE, int(view.starts[-1])), replace=False))
    packed, self_inner = gathered(view, at), view.self_inner[at]
    queries = np.sort(rng.choice(len(at), min(_QUERIES, len(at)), replace=False))
    prepared = [_core.PreparedQuery(*packed.embedding(int(i)), gamma) for i in queries]
    products, _ = _core.inner_products_float(prepared, packed.tiles, packed.weights, packed.offsets, 0)
    mmd2 = np.maximum(self_inner[queries][:, None] - 2 * products + self_inner, 0)
    mmd2[np.arange(len(queries)), queries] = np.inf
    # As near as the last of the ten of the whole space, or the nearest there is: further ones say too little.
    last = min(max(1, round(_NEIGHBOURS * len(at) / int(view.starts[-1]))), len(at) - 1) - 1
    nearest = np.partition(mmd2, last)[:, last]
    return _Sample(packed, self_inner, queries, mmd2, nearest)


def gathered(view: SpaceView, at: IndexArray) -> PackedEmbeddings:
    """The specifications at ascending places of a view, copied together."""
    of_segment = np.searchsorted(view.starts, at, side="right") - 1
    pairs = [
        view.segments[segment].packed.embedding(int(place - view.starts[segment]))
        for segment, place in zip(of_segment.tolist(), at.tolist(), strict=True)
    ]
    return kernels.pack(
        [points.astype(np.float32) for points, _ in pairs], [weights.astype(np.float32) for _, weights in pairs]
    )


def _most_landmarks(sample: _Sample, total: int) -> int:
    most = max(_LANDMARKS[0], total // _SPECS_A_LANDMARK)
    return min(most, _LANDMARKS[-2] if _noise_share(sample) > _NOISE else _LANDMARKS[-1])


def _landmarks(view: SpaceView, most: int, rng: np.random.Generator) -> FloatArray:
    """Different points of the space, one each of specifications drawn at random."""
    total = int(view.starts[-1])
    most = max(most, _LANDMARKS_OF_FEATURES)
    at = rng.choice(total, min(2 * most, total), replace=False)
    packed = gathered(view, np.sort(at))
    counts = np.diff(packed.offsets)
    chosen = packed.offsets[:-1] + rng.integers(0, counts)
    points = np.array([_core.unpack_points(packed.tiles, int(i), int(i) + 1)[0] for i in chosen])
    distinct: FloatArray = rng.permutation(np.unique(points, axis=0))
    return distinct[:most]


def _trials(
    sample: _Sample, points: FloatArray, most: int, gamma: float, total: int, most_coordinates: int, seed: int
) -> Iterator[_Trial]:
    """One for each number of landmarks."""
    values = np.empty((len(sample.packed), 0))
    for count in sorted({min(count, len(points)) for count in _LANDMARKS if count <= most}):
        landmarks = points[:count]
        more = np.ascontiguousarray(landmarks[values.shape[1] :])
        batch = sample.packed
        values = np.hstack([values, _core.values_at_points(batch.tiles, batch.weights, batch.offsets, more, gamma, 0)])
        map = _principal_map(values, landmarks, gamma, min(most_coordinates, count), seed)
        yield _tried(sample, landmarks, map, values @ map.T, total)


def _trial(sample: _Sample, landmarks: FloatArray, width: int, gamma: float, total: int, seed: int) -> _Trial:
    """One of so many coordinates, in one stage."""
    batch = sample.packed
    values = _core.values_at_points(batch.tiles, batch.weights, batch.offsets, landmarks, gamma, 0)
    map = _principal_map(values, landmarks, gamma, width, seed)
    coordinates = values @ map.T
    return _Trial(landmarks, map, coordinates, (len(map),), _survivors(sample, coordinates, total)[0], 0.0)


def _principal_map(values: FloatArray, landmarks: FloatArray, gamma: float, width: int, seed: int) -> FloatArray:
    """A [width, D] with A K A^T <= I, its rows along the principal directions of the whitened values."""
    from scipy.linalg import cholesky, solve_triangular

    count = len(landmarks)
    kernel = _kernel_matrix(landmarks, gamma)
    shifted = kernel.copy(order="F")
    shifted.flat[:: count + 1] += _JITTER
    factor = cholesky(shifted, overwrite_a=True, check_finite=False)
    whitened = solve_triangular(factor, values.T, trans="T", check_finite=False)
    if count <= _LANDMARKS[1]:
        # All of them: LAPACK's way to only some ends with an internal error where values are all 0, or nearly.
        directions = np.linalg.eigh(whitened @ whitened.T)[1][:, : -width - 1 : -1]
    else:
        from sklearn.utils.extmath import randomized_svd

        _, _, rows = randomized_svd(whitened.T, n_components=width, n_iter=3, random_state=seed)
        directions = rows.T
    map = solve_triangular(factor, directions, check_finite=False).T
    # Whatever was rounded above: this makes it a map that bounds.
    largest = float(np.linalg.eigvalsh(map @ kernel @ map.T)[-1])
    return np.ascontiguousarray(map * ((1 - 1e-8) / np.sqrt(max(1.0, largest))))


def _kernel_matrix(points: FloatArray, gamma: float) -> FloatArray:
    """In float64, from differences: a matrix that is only nearly that of the landmarks bounds nothing."""
    single = kernels.pack(
        points.astype(np.float32), np.ones(len(points), np.float32), offsets=np.arange(len(points) + 1)
    )
    return _core.values_at_points(single.tiles, single.weights, single.offsets, points, gamma, 0)


def _tried(sample: _Sample, landmarks: FloatArray, map: FloatArray, coordinates: FloatArray, total: int) -> _Trial:
    """The prefixes that make a search cheapest."""
    points, dim = len(sample.packed.weights) / len(sample.packed), landmarks.shape[1]
    pair = _PAIR + _PAIR_DIM * dim
    found = _FOUND + points * points * (_SHORT_PAIR + _SHORT_PAIR_DIM * dim)
    width = map.shape[0]
    prefixes = sorted({min(prefix, width) for prefix in _PREFIXES})
    survivors = {prefix: _survivors(sample, coordinates[:, :prefix], total) for prefix in prefixes}
    best, best_stages = np.inf, (0,)
    frugal = _noise_share(sample) <= _NOISY
    for last in prefixes:
        if frugal and last > _MANY and survivors[best_stages[-1]][0] <= _WEAK * total:
            break
        for stages in [(last,), *((first, last) for first in prefixes if first < last)]:
            cost = (
                len(landmarks) * points * pair
                + min(total, total / 16 + _LOOKED * survivors[stages[0]][1]) * (stages[0] + 8) * _BYTE
                + (survivors[stages[0]][1] * _LOOKUP * (last / 64) if len(stages) > 1 else 0)
                + survivors[last][1] * found
            )
            worth = 1.0 if last == best_stages[-1] else _WORTH_BYTES if last <= _MANY else _WORTH_MANY
            if cost < worth * best:
                best, best_stages = cost, stages
    last = best_stages[-1]
    return _Trial(landmarks, map[:last], coordinates[:, :last], best_stages, survivors[last][0], best)


def _survivors(sample: _Sample, coordinates: FloatArray, total: int) -> tuple[float, float]:
    """How many of all a search would have to evaluate, the median and the mean of the sample's."""
    residuals = np.sqrt(np.maximum(sample.self_inner - np.sum(coordinates**2, axis=1), 0))
    norms = np.sum(coordinates**2, axis=1)
    counts = []
    for query, nearest in zip(sample.queries, sample.nearest, strict=True):
        distances = norms + norms[query] - 2 * coordinates @ coordinates[query]
        bounds = distances + (residuals - residuals[query]) ** 2
        counts.append(int(np.count_nonzero(bounds <= nearest)) - 1)
    size = len(sample.packed)
    # So many specifications have ten that are as near as the sample's nearest.
    known = min(total, _NEIGHBOURS * size)

    def of_all(count: float) -> float:
        # In a larger dock the neighbours are nearer: what must be evaluated grows as its root, but not where it is all.
        of_known = max(count * known / size, _NEIGHBOURS)
        return float(min(total, of_known * (total / known) ** (0.5 + 0.5 * count / size)))

    return of_all(float(np.median(counts))), of_all(float(np.mean(counts)))


def _model(trial: _Trial, sample: _Sample, gamma: float, total: int) -> SketchModel:
    low, high = trial.coordinates.min(axis=0), trial.coordinates.max(axis=0)
    # No step is so short that float32 could not hold it.
    steps = np.maximum((high - low) * _MARGIN / _STEPS, 1e-9).astype(np.float32)
    facts = SketchFacts(
        gamma, trial.stages, _correlation(trial, sample), _noise_share(sample), total, float(trial.evaluated)
    )
    return SketchModel("", facts, trial.landmarks.astype(np.float32), trial.map, (low + high) / 2, steps)


def _noise_share(sample: _Sample) -> float:
    """What share of ||P||^2 points have with themselves, in the mean."""
    own = np.add.reduceat(np.asarray(sample.packed.weights, dtype=np.float64) ** 2, sample.packed.offsets[:-1])
    # More than 1 where weights of both signs cancel each other out, and without end where nothing is left of ||P||.
    return float(np.mean(own / np.maximum(np.maximum(sample.self_inner, own), np.finfo(float).tiny)))


def _correlation(trial: _Trial, sample: _Sample) -> float:
    """Of the residuals of each query and its neighbours, the median: what distances to near ones have beyond."""
    norms = np.sum(trial.coordinates**2, axis=1)
    residuals = np.sqrt(np.maximum(sample.self_inner - norms, 0))
    found = []
    for row, query in enumerate(sample.queries):
        near = np.flatnonzero(sample.mmd2[row] <= sample.nearest[row])
        distances = norms[near] + norms[query] - 2 * trial.coordinates[near] @ trial.coordinates[query]
        both = residuals[near] * residuals[query]
        excess = distances + residuals[near] ** 2 + residuals[query] ** 2 - sample.mmd2[row, near]
        found.extend((excess / (2 * np.maximum(both, 1e-12)))[both > 1e-12])
    return float(np.clip(np.median(found), 0, 1)) if found else 0.0
