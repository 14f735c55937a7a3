"""Random features against float64 NumPy, as one function: it also runs in processes that force an instruction set."""

from __future__ import annotations

import numpy as np

import reference
from learndock import _core, kernels


class Residuals:
    """The formulas of cpp/include/learndock/residual_features.hpp, written out."""

    def __init__(self, landmarks, map, frequencies, gamma):
        self.landmarks, self.map, self.frequencies, self.gamma = landmarks, map, frequencies, gamma
        self.gram = map @ reference.kernel(landmarks, landmarks, gamma) @ map.T

    def coordinates(self, points, weights):
        return self.map @ reference.embed(points, weights, self.landmarks, self.gamma)

    def element(self, points, weights):
        """P - T P as points and weights: the landmarks have those of the projection, negative."""
        share = self.map.T @ self.coordinates(points, weights)
        return np.vstack([points, self.landmarks]), np.concatenate([weights, -share])

    def features(self, points, weights):
        at, of = self.element(points, weights)
        return np.exp(1j * self.frequencies @ at.T) @ of

    def estimate(self, p, q):
        """Of MMD^2, from below but for chance, and its standard deviation."""
        distance2 = float(((self.coordinates(*p) - self.coordinates(*q)) ** 2).sum())
        norms = sum(reference.inner(*self.element(*r), *self.element(*r), self.gamma) for r in (p, q))
        f, g = self.features(*p), self.features(*q)
        count = len(self.frequencies)
        estimate = distance2 + norms - 2 * float(np.real(f @ g.conj())) / count
        return estimate, 2 * float(np.sqrt(np.mean(np.real(f * g.conj()) ** 2) / count))


def case(rng, *, dim, count, width=5, frequencies=32, offset=0.0, signed=True):
    """Sketched embeddings with features: what computes them, what they are, and the reference."""
    gamma = 0.3 / dim
    sizes = rng.integers(1, 9, size=count)
    points = [np.float32(offset + rng.normal(size=(size, dim))) for size in sizes]
    weights = [np.float32(rng.normal(size=n) if signed else rng.dirichlet(np.ones(n))) for n in sizes]
    landmarks = offset + rng.normal(size=(12, dim))
    whitened = np.linalg.cholesky(reference.kernel(landmarks, landmarks, gamma) + 1e-3 * np.eye(12))
    directions = np.linalg.qr(rng.normal(size=(12, width)))[0]
    map = np.ascontiguousarray(np.linalg.solve(whitened.T, directions).T)
    chosen = np.sqrt(2 * gamma) * rng.normal(size=(frequencies, dim))
    plain = Residuals(landmarks, map, chosen, gamma)
    coordinates = np.array([plain.coordinates(*pair) for pair in zip(points, weights, strict=True)])
    low, high = coordinates.min(axis=0), coordinates.max(axis=0)
    steps = np.float32(np.maximum(high - low, 1e-3) / 250)
    sketches = _core.SketchMap(landmarks, map, (low + high) / 2, steps, [2, width], gamma)
    features = _core.ResidualFeatures(sketches, chosen, np.ascontiguousarray(plain.gram))
    return features, sketches, points, weights, plain


def encoded(features, points, weights, gamma):
    packed = kernels.pack(points, weights)
    own = np.array([reference.inner(*pair, *pair, gamma) for pair in zip(points, weights, strict=True)])
    return features.encode(packed.tiles, packed.weights, packed.offsets, own, 1)


def feature_set(features, sketches, batches):
    sketch_set = _core.SketchSet(sketches, [(*made[:6], count) for made, count in batches])
    return _core.FeatureSet(features, sketch_set, [made[6:] for made, _ in batches])


def asked(features, sketches, points, weights, gamma):
    own = reference.inner(points, weights, points, weights, gamma)
    sketch = sketches.query(points, weights, own, 1)
    return sketch, features.query(points, weights, sketch, own)


def climb() -> None:
    """At all shapes: bounds stay below the reference's, by no more than what is stored explains; audits agree."""
    rng = np.random.default_rng(3)
    for dim, count, offset in [(1, 3, 0.0), (2, 16, 1e3), (7, 17, 0.0), (16, 33, 0.0), (33, 40, 50.0)]:
        features, sketches, points, weights, plain = case(rng, dim=dim, count=count, offset=offset)
        cut = count // 2
        parts = [(points[:cut], weights[:cut]), (points[cut:], weights[cut:])]
        stored = feature_set(
            features, sketches, [(encoded(features, *part, plain.gamma), len(part[0])) for part in parts]
        )
        assert stored.total == count
        user = offset + rng.normal(size=(6, dim)), rng.normal(size=6)
        sketch, query = asked(features, sketches, *user, plain.gamma)
        every = np.arange(count)
        centre = plain.landmarks.mean(axis=0)
        waves = query.waves.reshape(-1, 2)
        expected = plain.features(*user) * np.exp(-1j * plain.frequencies @ centre)
        size = np.abs(user[1]).sum()
        assert np.abs(waves[:, 0] + 1j * waves[:, 1] - expected).max() < 1e-6 * size, dim
        for deviations in (0.0, 3.0):
            bounds = stored.bounds(sketch, query, deviations, every, 1)
            chosen = np.array(sorted({count - 1, count // 3, 0}))
            assert (stored.bounds(sketch, query, deviations, chosen, 2) == bounds[chosen]).all()
            for i in every:
                estimate, sigma = plain.estimate((points[i], weights[i]), user)
                plainly = max(0.0, estimate - deviations * sigma)
                scale = (np.abs(weights[i]).sum() + size) ** 2
                assert plainly - 0.03 * scale <= bounds[i] <= plainly + 1e-9 * scale, (dim, i, bounds[i], plainly)
        mmd2 = np.array([reference.mmd2(pair, user, plain.gamma) for pair in zip(points, weights, strict=True)])
        found = stored.deviations(sketch, query, every, mmd2, 1)
        for i in every:
            estimate, sigma = plain.estimate((points[i], weights[i]), user)
            z = (estimate - mmd2[i]) / sigma
            least = abs(z) - 0.03 * (np.abs(weights[i]).sum() + size) ** 2 / sigma
            assert least <= abs(found[i]) <= abs(z) * (1 + 1e-6), (dim, i)
            assert found[i] * z >= 0


if __name__ == "__main__":
    climb()
