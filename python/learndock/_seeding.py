"""Rows to start from that lie apart: the seeding of k-means++."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

# Rows looked at for each one chosen: more change nothing that the descent does not.
_ROWS_A_CHOICE = 20


def spread_rows(rows: FloatArray, count: int, *, gamma: float, generator: np.random.Generator) -> FloatArray:
    """`count` different rows, each drawn with probability proportional to its squared distance to those before it.

    Arthur & Vassilvitskii, SODA 2007, with the distance in the kernel's space, 1 - k(x, z): it has a largest value, so
    a few outliers do not draw all choices to themselves. O(count^2 d): a random subset of 20 count rows is looked at.

    Parameters
    ----------
    rows : ndarray of float64, shape (n, d)
    count : int
        At most n.
    gamma : float
    generator : numpy.random.Generator

    Returns
    -------
    ndarray of float64, shape (count, d)
    """
    total = min(len(rows), _ROWS_A_CHOICE * count)
    candidates = rows[generator.choice(len(rows), size=total, replace=False)]
    chosen = np.empty(count, dtype=np.int64)
    free = np.ones(total, dtype=bool)
    nearest = np.ones(total)
    for i in range(count):
        cumulative = np.cumsum(np.where(free, nearest, 0.0))
        if cumulative[-1] > 0:
            at = min(int(np.searchsorted(cumulative, generator.random() * cumulative[-1], side="right")), total - 1)
        else:  # every row left equals one already chosen
            at = int(np.flatnonzero(free)[0])
        chosen[i] = at
        free[at] = False
        with np.errstate(over="ignore"):
            distances = ((candidates - candidates[at]) ** 2).sum(axis=1)
        np.minimum(nearest, -np.expm1(-gamma * distances), out=nearest)
    return np.ascontiguousarray(candidates[chosen])
