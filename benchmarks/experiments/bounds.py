"""Lower bounds of sketches against float64 distances, over as many pairs as one likes: `... bounds PAIRS SEED`.

Each round draws embeddings in families, some of them duplicates, outliers or of weights of both signs, a gamma from
1e-4 to 10, a map of random landmarks, and users near the embeddings, far from them and among them. Every bound of every
stage is compared with the distance that an exact search computes, in float64 and by differences of points. Prints how
many bounds were above it, which must be none, and how near the bounds come.

    python -m benchmarks.experiments.bounds 100000000 0
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from learndock import _core, kernels

FloatArray = npt.NDArray[np.float64]

# Of a round: 2.1 million pairs.
_DOCKED, _USERS = 8192, 256
_LARGEST_LANDMARKS = 128


@dataclass
class Count:
    """What was seen so far."""

    pairs: int = 0
    bounds: int = 0
    violated: int = 0
    positive: int = 0
    share: float = 0.0  # of the distance that bounds make up, summed over the last stage of all pairs


def main(pairs: int, seed: int) -> int:
    """Go over so many pairs; returns the number of violated bounds."""
    rng = np.random.default_rng(seed)
    count, started, told = Count(), time.monotonic(), 0
    while count.pairs < pairs:
        _round(rng, count)
        if count.pairs // 20_000_000 > told:
            told = count.pairs // 20_000_000
            print(f"{count.pairs:,} pairs, {count.violated} violated, {time.monotonic() - started:.0f} s", flush=True)
    print(
        f"{count.pairs:,} pairs, {count.bounds:,} bounds, {count.violated} violated; "
        f"{count.positive / count.bounds:.3f} of them above 0, in the mean {count.share / count.pairs:.3f} of the "
        f"distance by all coordinates; {time.monotonic() - started:.0f} s, seed {seed}"
    )
    return count.violated


def _round(rng: np.random.Generator, count: Count) -> None:
    gamma, dim = float(10 ** rng.uniform(-4, 1)), int(rng.integers(1, 25))
    scale = 1 / np.sqrt(gamma * dim)
    signed = rng.random() < 0.2
    points, weights = _embeddings(rng, _DOCKED, dim, scale, signed=signed)
    packed = kernels.pack(points.astype(np.float32), weights.astype(np.float32))
    own = packed.self_inner(gamma=gamma)
    core, stages = _model(rng, packed, gamma)
    sketches = core.encode(packed.tiles, packed.weights, packed.offsets, own, 0)
    sketch_set = _core.SketchSet(core, [(*sketches, _DOCKED)])
    users, shares = _users(rng, points, weights, scale)
    every = np.arange(_DOCKED)
    products = _core.inner_products(list(users), list(shares), packed.tiles, packed.weights, packed.offsets, gamma, 0)
    for user, share, product in zip(users, shares, products, strict=True):
        inner = kernels.inner(user, share, user, share, gamma=gamma)
        query = core.query(user, share, inner, 0)
        # Rounding can make a distance of 0 negative; a bound never is.
        exact = np.maximum(0, inner - 2 * product + own)
        for stage in range(len(stages)):
            bounds = sketch_set.refine(query, 0.5, stage, every, 0)[0].astype(np.float64)
            count.violated += int(np.count_nonzero(bounds > exact))
            count.positive += int(np.count_nonzero(bounds))
            count.bounds += _DOCKED
        # And all that is as near as half of them is found by a pass, through the bounds of balls.
        reach = np.float32(np.median(exact))
        kept = np.empty(sketch_set.ball_lanes, np.int16)
        sketch_set.promising([query], [None], 0.5, 0, kept, 0)
        ((within, _),) = sketch_set.within([query], [None], kept, [float(reach)], 0)
        count.violated += int(np.count_nonzero(np.delete(exact, within) < reach))
        count.share += float(np.sum(np.minimum(1, bounds / np.maximum(exact, 1e-300))))
        count.pairs += _DOCKED


def _embeddings(
    rng: np.random.Generator, number: int, dim: int, scale: float, *, signed: bool
) -> tuple[FloatArray, FloatArray]:
    size = int(rng.integers(1, 7))
    centres = scale * rng.normal(size=(20, dim))
    spread = scale * 10 ** rng.uniform(-2, 0)
    points = centres[rng.integers(20, size=number), None] + spread * rng.normal(size=(number, size, dim))
    weights = rng.dirichlet(np.ones(size), number)
    if signed:
        weights = rng.normal(size=weights.shape)
    copies = rng.random(number) < 0.1
    points[copies], weights[copies] = points[0], weights[0]
    far = rng.random(number) < 0.02
    points[far] += scale * 10.0 ** rng.choice([1, 3, 6])
    return points, weights


def _model(
    rng: np.random.Generator, packed: kernels.PackedEmbeddings, gamma: float
) -> tuple[_core.SketchMap, list[int]]:
    """A map with A K A^T <= I along principal directions of the landmarks, and steps as for some of the embeddings."""
    total = int(packed.offsets[-1])
    chosen = rng.choice(total, min(total, int(rng.integers(1, _LARGEST_LANDMARKS + 1))), replace=False)
    landmarks = np.unique(np.array([_core.unpack_points(packed.tiles, int(i), int(i) + 1)[0] for i in chosen]), axis=0)
    differences = landmarks[:, None] - landmarks
    kernel = np.exp(-gamma * np.einsum("ijk,ijk->ij", differences, differences))
    values, vectors = np.linalg.eigh(kernel)
    width = int(rng.integers(1, len(landmarks) + 1))
    map = (vectors[:, ::-1] / np.sqrt(np.maximum(values[::-1], 0) + 1e-3)).T[:width]
    map = np.ascontiguousarray(map * ((1 - 1e-8) / np.sqrt(np.linalg.eigvalsh(map @ kernel @ map.T).max())))
    sample = _core.values_at_points(packed.tiles, packed.weights, packed.offsets, landmarks, gamma, 0)[:500] @ map.T
    low, high = sample.min(axis=0), sample.max(axis=0)
    steps = np.maximum((high - low) / 250, 1e-9).astype(np.float32)
    stages = sorted({*rng.integers(1, width + 1, int(rng.integers(0, 3))).tolist(), width})
    return _core.SketchMap(landmarks, map, (low + high) / 2, steps, stages, gamma), stages


def _users(
    rng: np.random.Generator, points: FloatArray, weights: FloatArray, scale: float
) -> tuple[FloatArray, FloatArray]:
    """Some of the embeddings as they are stored, some a little or much changed."""
    at = rng.integers(len(points), size=_USERS)
    moved = scale * np.choose(rng.integers(4, size=_USERS), [0.0, 1e-4, 0.1, 1.0])
    shifted = moved[:, None, None] * rng.normal(size=(_USERS, *points.shape[1:]))
    stored, shares = points[at].astype(np.float32), weights[at].astype(np.float32)
    return stored.astype(np.float64) + shifted, shares.astype(np.float64)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])) > 0)
