"""The formulas in float64 NumPy: slow, obvious, and nothing of learndock's own."""

from __future__ import annotations

import itertools

import numpy as np

EPSILON = np.finfo(np.float64).eps


def kernel(x, y, gamma):
    """exp(-gamma ||x_i - y_j||^2) by explicit differences: no digit is lost to an offset. Shape (n, m)."""
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    values = np.empty((len(x), len(y)))
    for i, row in enumerate(x):
        values[i] = np.exp(-gamma * ((row - y) ** 2).sum(axis=1))
    return values


def inner(points, weights, other_points, other_weights, gamma):
    """<P, Q> = sum_ij a_i b_j k(x_i, y_j)."""
    weights, other_weights = np.asarray(weights, dtype=np.float64), np.asarray(other_weights, dtype=np.float64)
    return float(weights @ kernel(points, other_points, gamma) @ other_weights)


def magnitude(points, weights, other_points, other_weights, gamma):
    """sum_ij |a_i b_j| k(x_i, y_j): what the rounding errors of an inner product are relative to."""
    return inner(points, np.abs(weights), other_points, np.abs(other_weights), gamma)


def rounding(dim, *counts, unit=EPSILON):
    """Relative error, to first order, of a sum of kernel values over `counts` points.

    A squared distance rounds dim + 2 times, and exp(-t) turns a relative error of t into t times as much; t < 40
    wherever the value counts beside a sum of 1. Then exp itself, the weights, and one addition a point.
    """
    return unit * (40 * (dim + 2) + sum(counts) + 8)


def mmd2(p, q, gamma):
    """||mu_P - mu_Q||^2 of two pairs (points, weights)."""
    return inner(*p, *p, gamma) - 2 * inner(*p, *q, gamma) + inner(*q, *q, gamma)


def embed(points, weights, at, gamma):
    """mu(x) = sum_j weights[j] k(points[j], x) at each row x."""
    return np.asarray(weights, dtype=np.float64) @ kernel(points, at, gamma)


def _blocks(X):
    return (X[begin : begin + 256] for begin in range(0, len(X), 256))


def kernel_mean(X, at, gamma):
    """1/n sum_i k(x_i, y) at each row y: the kernel mean embedding of the rows of X."""
    return sum(kernel(block, at, gamma).sum(axis=0) for block in _blocks(X)) / len(X)


def mean_kernel(X, gamma):
    """<mu_X, mu_X> = 1/n^2 sum_ij k(x_i, x_j)."""
    return float(sum(kernel(block, X, gamma).sum() for block in _blocks(X)) / len(X) ** 2)


def mmd2_to_data(points, weights, X, gamma):
    """|| 1/n sum_i k(x_i, .) - sum_j weights[j] k(points[j], .) ||^2."""
    return (
        mean_kernel(X, gamma)
        - 2 * float(np.asarray(weights) @ kernel_mean(X, points, gamma))
        + inner(points, weights, points, weights, gamma)
    )


def qp_objective(K, c, w):
    """1/2 w' K w - c' w."""
    return float(w @ K @ w / 2 - c @ w)


def simplex_gap(K, c, w):
    """An upper bound on how far w is above the minimum over the simplex (Frank & Wolfe's duality gap).

    f is convex: f(v) >= f(w) + g'(v - w) with g = K w - c, and over the simplex g'v >= min g. So
    f(w) - min f <= g'w - min g; it is 0 exactly where the optimality conditions hold.
    """
    gradient = K @ w - c
    return float(gradient @ w - gradient.min())


def simplex_residual(K, c, w):
    """The largest violation of the optimality conditions over the simplex, in units of the gradient g = K w - c.

    Where w_i > 0, g_i is the level g'w; elsewhere it is no less.
    """
    K, c, w = (np.asarray(array, dtype=np.longdouble) for array in (K, c, w))
    gradient = K @ w - c
    level = gradient @ w
    return float(np.where(w > 0, np.abs(gradient - level), level - gradient).max())


def simplex_qp(K, c):
    """The minimum over the simplex by trying every support: for at most about ten weights.

    Where K is positive semidefinite, some solution has a support on which the equations K w - c = level, sum w = 1
    determine it (a vertex of the set of solutions), and least squares finds it.
    """
    n = len(c)
    best, best_value = None, np.inf
    for size in range(1, n + 1):
        for support in itertools.combinations(range(n), size):
            S = list(support)
            system = np.block([[K[np.ix_(S, S)], -np.ones((size, 1))], [np.ones((1, size)), np.zeros((1, 1))]])
            solved = np.linalg.lstsq(system, np.append(c[S], 1.0), rcond=None)[0][:size]
            if solved.min() < -1e-12:
                continue
            w = np.zeros(n)
            w[S] = np.maximum(solved, 0.0)
            w /= w.sum()
            value = qp_objective(K, c, w)
            if value < best_value - 1e-15:
                best, best_value = w, value
    return best


def mixture_mmd2(gram, cross, self_inner, w):
    """||sum_i w_i mu_i - mu_u||^2 = w' gram w - 2 cross' w + <mu_u, mu_u>."""
    return float(w @ gram @ w - 2 * cross @ w + self_inner)


def herd_values(candidates, mean, chosen, gamma):
    """mu(x) - 1/(t+1) sum_{s <= t} k(x_s, x) of all candidates x after the t choices `chosen`."""
    candidates, mean = np.asarray(candidates, dtype=np.float64), np.asarray(mean, dtype=np.float64)
    if not len(chosen):
        return mean.copy()
    return mean - kernel(candidates[list(chosen)], candidates, gamma).sum(axis=0) / (len(chosen) + 1)


def herd(candidates, mean, n, gamma, replace=True):
    """Kernel herding with the running sum; ties go to the lower index."""
    candidates, mean = np.asarray(candidates, dtype=np.float64), np.asarray(mean, dtype=np.float64)
    sums, allowed, chosen = np.zeros(len(mean)), np.ones(len(mean), dtype=bool), []
    for t in range(n):
        best = int(np.where(allowed, (t + 1) * mean - sums, -np.inf).argmax())
        chosen.append(best)
        allowed[best] = replace
        sums += kernel(candidates[best : best + 1], candidates, gamma)[0]
    return chosen
