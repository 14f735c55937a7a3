"""Made specifications for tests of the dock, and distances written out."""

from __future__ import annotations

import numpy as np

import learndock as ld


def made_specs(count: int, dim: int, *, seed: int = 0, ragged: bool = False) -> tuple[list, list]:
    """Points and weights of `count` specifications in a few families; sizes differ where `ragged`."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(8, dim))
    points, weights = [], []
    for _ in range(count):
        size = int(rng.integers(1, 12)) if ragged else 6
        centre = centres[rng.integers(8)] + 0.2 * rng.normal(size=dim)
        points.append(centre + rng.normal(size=(size, dim)))
        shares = rng.random(size)
        weights.append(shares / shares.sum())
    return points, weights


def user_spec(dim: int, gamma: float, *, seed: int = 100) -> ld.RKMETableSpecification:
    rng = np.random.default_rng(seed)
    return ld.RKMETableSpecification(rng.normal(size=(7, dim)), rng.dirichlet(np.ones(7)), gamma=gamma)


def inner(x, a, y, b, gamma):
    x, a, y, b = (np.asarray(array, dtype=np.float64) for array in (x, a, y, b))
    distances = ((x[:, None, :] - y[None, :, :]) ** 2).sum(axis=2)
    return a @ np.exp(-gamma * distances) @ b


def distances_to(user, points, weights):
    """MMD^2 of a user to specifications as a dock holds them (float32), in plain float64."""
    gamma = user.gamma
    values = []
    for z, beta in zip(points, weights, strict=True):
        z, beta = np.float32(z), np.float32(beta)
        values.append(
            inner(user.points, user.weights, user.points, user.weights, gamma)
            - 2 * inner(user.points, user.weights, z, beta, gamma)
            + inner(z, beta, z, beta, gamma)
        )
    return np.array(values)
