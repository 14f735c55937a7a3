"""How many rows stand behind a kernel mean at a point."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from learndock import kernels

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

__all__ = ["FEWEST_BEHIND", "rows_behind"]

# Of a mean of ten effective rows no single row is more than 1 / sqrt(10), a third: the share p of one is at most
# (sum p^2)^(1/2).
FEWEST_BEHIND = 10


def rows_behind(points: FloatArray, rows: FloatArray, *, gamma: float, threads: int | None = None) -> FloatArray:
    """Effective number of rows in a mean weighted by w_i = k(z, x_i), shape (K,): (sum w)^2 / sum w^2.

    0 where all rows are so far that no weight is left.
    """
    ones = np.ones(len(rows))
    sums = kernels.embed(rows, ones, points, gamma=gamma, threads=threads)
    squares = kernels.embed(rows, ones, points, gamma=2 * gamma, threads=threads)
    effective: FloatArray = np.divide(sums**2, squares, out=np.zeros_like(sums), where=squares > 0)
    return effective
