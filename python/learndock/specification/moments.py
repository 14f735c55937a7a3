"""Mean and deviation of each column of a developer's rows: what a dock makes a common scaling of.

Each column is winsorised: its lowest and its highest twentieth count as the value next to them, so that a few wild rows
move nothing. A column of which more than nine tenths are one value keeps its rare ones: they are what it is about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from learndock._validation import finite_float64
from learndock.errors import InvalidArgument

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

__all__ = ["FEWEST_ROWS", "checked_moments", "column_moments"]

# Of fewer rows a mean says too much about each of them to leave their owner's machine.
FEWEST_ROWS = 10
# Means of so many are within 2 % of a deviation of those of all; sorting them takes well below 1 % of a fit.
_MOST_ROWS = 4096
_TAIL = 20
# Relative to its values; what is left of a constant column by rounding.
_NO_DEVIATION = 1e-14


def column_moments(rows: FloatArray) -> FloatArray:
    """Winsorised means and deviations of the columns, shape (2, d); a deviation is 0 where a column is constant.

    Of more than 4,096 rows, those are looked at that a fixed seed draws.
    """
    if len(rows) > _MOST_ROWS:
        rows = rows[np.random.default_rng(0).choice(len(rows), size=_MOST_ROWS, replace=False)]
    columns = np.ascontiguousarray(rows.T)
    tail = len(rows) // _TAIL
    ordered = np.partition(columns, (tail, len(rows) - 1 - tail), axis=1)
    low, high = ordered[:, tail, np.newaxis], ordered[:, len(rows) - 1 - tail, np.newaxis]
    spread = low < high
    columns = np.clip(columns, np.where(spread, low, -np.inf), np.where(spread, high, np.inf))
    mean = columns.mean(axis=1)
    with np.errstate(over="ignore"):
        # In units of the largest, whose square may be beyond float64.
        largest = np.maximum(np.abs(columns).max(axis=1), np.finfo(np.float64).tiny)
        deviation = largest * (columns / largest[:, np.newaxis]).std(axis=1)
    return np.stack([mean, np.where(deviation > _NO_DEVIATION * largest, deviation, 0.0)])


def checked_moments(value: Any, columns: int) -> FloatArray:
    """Moments that a stranger has written, read-only.

    Raises
    ------
    InvalidArgument
        If they are no finite numbers of shape (2, columns), or a deviation is negative.
    """
    moments = finite_float64(value, "moments", ndim=2).copy()
    if moments.shape != (2, columns):
        raise InvalidArgument(f"moments: expected shape (2, {columns}), got {moments.shape}")
    if (moments[1] < 0).any():
        raise InvalidArgument(f"moments: expected deviations of 0 or more, got {moments[1].min():g}")
    moments.setflags(write=False)
    return moments
