"""The two-sample test by permutations: how unusual a distance is among random divisions of the same rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from learndock.learnware.held_out import MOST_ROWS

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

__all__ = ["p_value", "sampled"]

_AT_ONCE = 512
# Sums in another order differ so much; what is as far apart but for that counts as farther.
_ROUNDING = 1e-12


def sampled(rows: FloatArray, generator: np.random.Generator) -> FloatArray:
    """At most 1,000 of the rows, at random: a test then takes 32 MB and, of 999 divisions, an eighth of a second."""
    if len(rows) <= MOST_ROWS:
        return rows
    return rows[generator.choice(len(rows), size=MOST_ROWS, replace=False)]


def p_value(
    rows: FloatArray, other_rows: FloatArray, *, gamma: float, permutations: int, generator: np.random.Generator
) -> float:
    """Probability of a squared MMD as large as that of two samples, or larger, were their rows of one distribution.

    The rows of both are divided anew at random, into samples of the same sizes:

        p = (1 + divisions with MMD^2 >= that of the samples) / (1 + divisions)

    which is at most alpha with probability alpha or less, for every distribution (Gretton et al., JMLR 2012; the 1 is
    the division that was found: Phipson & Smyth, 2010).

    Parameters
    ----------
    rows, other_rows : ndarray of float64, shapes (n, d) and (m, d)
        At most 1,000 each: all kernel values are kept.
    gamma : float
    permutations : int
        Divisions.
    generator : numpy.random.Generator
    """
    kernel = _gram(np.concatenate([rows, other_rows]), gamma)
    weights = np.repeat([1 / len(rows), -1 / len(other_rows)], [len(rows), len(other_rows)])
    found = _mmd2(kernel, weights[:, None])[0]
    as_far = 0
    for start in range(0, permutations, _AT_ONCE):
        count = min(_AT_ONCE, permutations - start)
        divided = generator.permuted(np.broadcast_to(weights, (count, len(weights))), axis=1).T
        as_far += int(np.count_nonzero(_mmd2(kernel, divided) >= found - _ROUNDING))
    return (1 + as_far) / (1 + permutations)


def _gram(rows: FloatArray, gamma: float) -> FloatArray:
    centred = rows - rows.mean(axis=0)  # distances from norms lose digits far from the origin
    norms = (centred**2).sum(axis=1)
    distances = np.maximum(norms[:, None] + norms[None, :] - 2 * (centred @ centred.T), 0)
    np.fill_diagonal(distances, 0)
    kernel: FloatArray = np.exp(-gamma * distances)
    return kernel


def _mmd2(kernel: FloatArray, weights: FloatArray) -> FloatArray:
    """Squared MMD w' K w of the two samples whose weights differ in sign, for each column w of weights (N, count)."""
    squares: FloatArray = np.einsum("ij,ij->j", weights, kernel @ weights)
    return squares
