"""Float64 by NumPy, in blocks: what the quality of a result is measured against. Nothing of learndock's own."""

from __future__ import annotations

import numpy as np

from .generators import Array

_BLOCK = 2_000


def kernel(x: Array, y: Array, gamma: float) -> Array:
    """exp(-gamma ||x_i - y_j||^2), shape (n, m), in float64; around the centre of x, for its digits."""
    centre = np.asarray(x, dtype=np.float64).mean(axis=0)
    x, y = x - centre, y - centre
    squares = (x * x).sum(axis=1)[:, None] + (y * y).sum(axis=1) - 2 * x @ y.T
    return np.asarray(np.exp(-gamma * np.maximum(squares, 0)))


def inner(p: tuple[Array, Array], q: tuple[Array, Array], gamma: float) -> float:
    """<P, Q> of two pairs of points and weights."""
    return float(p[1] @ kernel(p[0], q[0], gamma) @ q[1])


def kernel_mean(X: Array, at: Array, gamma: float) -> Array:
    """1/n sum_i k(x_i, y) at each row y."""
    sums = np.zeros(len(at))
    for begin in range(0, len(at), _BLOCK):
        block = slice(begin, begin + _BLOCK)
        for i in range(0, len(X), _BLOCK):
            sums[block] += kernel(X[i : i + _BLOCK], at[block], gamma).sum(axis=0)
    return sums / len(X)


def mmd2_to_rows(points: Array, weights: Array, X: Array, gamma: float) -> float:
    """Squared MMD between weighted points and the rows of X.

    20,000 rows at most stand for all, evenly taken, which adds up to 1 / 20,000.
    """
    rows = X[:: max(1, len(X) // 20_000)]
    own = float(np.mean(kernel_mean(rows, rows, gamma)))
    return (
        own - 2 * float(weights @ kernel_mean(rows, points, gamma)) + inner((points, weights), (points, weights), gamma)
    )


def kkt_residual(K: Array, c: Array, weights: Array) -> float:
    """The largest violation of the optimality conditions over a batch of problems on the simplex.

    With the gradient g = K w - c: w >= 0, sum w = 1, and g'w <= g_i for all i.
    """
    gradient = np.einsum("bij,bj->bi", K, weights) - c
    level = np.einsum("bi,bi->b", gradient, weights)
    gap = (level[:, None] - gradient).max()
    return float(max(gap, -weights.min(), np.abs(weights.sum(axis=1) - 1).max()))
