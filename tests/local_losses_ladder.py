"""The ladder of the losses near rows, as one function: it also runs in processes that force an instruction set."""

from __future__ import annotations

import numpy as np

from learndock import kernels


def direct(X, sketches, gamma):
    """The sums as they are written, in float64."""
    models = np.shape(sketches[0][3])[1]
    losses, masses = np.zeros((len(X), models)), np.zeros((len(X), models))
    embeddings = []
    for points, weights, shares, lost in sketches:
        kernel = np.exp(-gamma * np.square(X[:, None] - points[None]).sum(axis=2))
        near = kernel**4 * shares
        tried = ~np.isnan(lost[0])
        losses += near @ np.where(tried, lost, 0)
        masses += near.sum(axis=1, keepdims=True) * tried
        embeddings.append(kernel @ weights)
    return losses, masses, np.array(embeddings).T


def problem(rng, *, n, d, sizes, models, offset=0.0):
    """Rows and sketches around an offset; of each sketch three models in ten are not tried on it."""
    sketches = []
    for size in sizes:
        lost = rng.exponential(size=(size, models))
        lost[:, rng.random(models) < 0.3] = np.nan
        sketches.append((offset + rng.normal(size=(size, d)), rng.normal(size=size), rng.random(size), lost))
    return offset + rng.normal(size=(n, d)), sketches


def assert_sums(X, sketches, gamma):
    for got, expected in zip(kernels.local_losses(X, sketches, gamma=gamma), direct(X, sketches, gamma), strict=True):
        assert got.shape == expected.shape
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def climb():
    for d in (1, 3, 8, 17, 64):
        for n, sizes, models in ((1, (1,), 1), (15, (3, 8), 2), (17, (100, 1, 33), 20), (300, (9,), 9)):
            rng = np.random.default_rng(d)
            assert_sums(*problem(rng, n=n, d=d, sizes=sizes, models=models), 0.5 / d)
