"""Rows to start from that lie apart: the seeding of k-means++."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

# Rows looked at for each one chosen: more change nothing that the descent does not.
_ROWS_A_CHOICE = 20


def spread_rows(rows: FloatArray, count: int, generator: np.random.Generator) -> FloatArray:
    """`count` different rows, each drawn with probability proportional to its squared distance to those before it.

    Arthur & Vassilvitskii, SODA 2007. O(count^2 d): a random subset of 20 count rows is looked at.

    Parameters
    ----------
    rows : ndarray of float64, shape (n, d)
    count : int
        At most n.
    generator : numpy.random.Generator

    Returns
    -------
    ndarray of float64, shape (count, d)
    """
    total = min(len(rows), _ROWS_A_CHOICE * count)
    candidates = rows[generator.choice(len(rows), size=total, replace=False)]
    centred = candidates - candidates.mean(axis=0)
    norms = np.einsum("ij,ij->i", centred, centred)
    chosen = np.empty(count, dtype=np.int64)
    free = np.ones(total, dtype=bool)
    nearest = np.full(total, np.inf)
    for i in range(count):
        cumulative = np.cumsum(np.where(free, nearest if i else 1.0, 0.0))
        if cumulative[-1] > 0:
            at = int(np.searchsorted(cumulative, generator.random() * cumulative[-1], side="right"))
            at = min(at, total - 1)
        else:  # every row left equals one already chosen
            at = int(np.flatnonzero(free)[0])
        chosen[i] = at
        free[at] = False
        distances = norms + norms[at] - 2 * (centred @ centred[at])
        np.minimum(nearest, np.maximum(distances, 0.0), out=nearest)
    return candidates[chosen]
