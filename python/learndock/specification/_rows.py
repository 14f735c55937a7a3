"""Data into the rows that a specification is fitted to, and points kept off those rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from learndock._validation import as_array, column_names, finite
from learndock.errors import InvalidArgument

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

# How far a point that fell on a row is moved, in units of 1 / sqrt(gamma): its kernel changes by about 1e-6.
_NUDGE = 1e-3


def rows_of(X: Any, name: str = "X") -> FloatArray:
    """The table as float64 (n, d), NaN replaced by the mean of its column. Never a view of the caller's array."""
    names = column_names(X)
    array = as_array(X, name)
    if array.ndim != 2:
        raise InvalidArgument(f"{name}: expected 2 dimensions (rows, features), got shape {array.shape}")
    if array.size == 0:
        raise InvalidArgument(f"{name}: expected at least one row and one feature, got shape {array.shape}")
    rows = np.array(array, dtype=np.float64, order="C")
    missing = np.isnan(rows)
    if missing.any():
        empty = np.flatnonzero(missing.all(axis=0))
        if empty.size:
            column = int(empty[0])
            label = f"{column} ({names[column]!r})" if names else str(column)
            raise InvalidArgument(f"{name}: expected a number in every column, got only NaN in column {label}")
        with np.errstate(invalid="ignore"):
            means = np.nanmean(np.where(np.isinf(rows), np.nan, rows), axis=0)
        rows = np.where(missing, means, rows)
    finite(rows, name)
    return rows


def move_off_rows(
    points: FloatArray, rows: FloatArray, *, length: float, generator: np.random.Generator
) -> tuple[FloatArray, bool]:
    """Move every point that equals a row, in float64 or as the float32 of a dock, a little away.

    A specification leaves its owner's machine; a point that is a row would give the row away.

    Returns the points and whether any was moved.
    """
    points = points.copy()
    of_rows = row_hashes(rows, np.float32)
    distance = _NUDGE * length
    moved = False
    while (on_row := members(row_hashes(points, np.float32), of_rows)).any():
        moved = True
        direction = generator.normal(size=(int(on_row.sum()), points.shape[1]))
        points[on_row] += distance * direction / np.linalg.norm(direction, axis=1, keepdims=True)
        distance *= 4  # far from the origin a small step is lost in float32
    return points, moved


def row_hashes(rows: FloatArray, scalar: type[np.float32 | np.float64]) -> npt.NDArray[np.uint64]:
    """A number for each row as it is in float32 or float64: rows of equal hash are equal, but for an accident of 2^-64.

    Column by column, so that many rows are not copied.
    """
    hashes = np.zeros(len(rows), dtype=np.uint64)
    # Random odd multipliers.
    halves = np.random.default_rng(0).integers(1 << 62, size=rows.shape[1], dtype=np.int64)
    with np.errstate(over="ignore"):
        for column, multiplier in zip(rows.T, np.asarray(2 * halves + 1, dtype=np.uint64), strict=True):
            bits = (column.astype(scalar) + scalar(0)).view(f"u{scalar().nbytes}")  # -0 becomes 0
            hashes = (hashes ^ bits) * multiplier
            hashes ^= hashes >> np.uint64(29)  # a product's high bits know of all: those of small integers are high
    return hashes


def members(few: npt.NDArray[np.uint64], many: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """np.isin, which would sort the many."""
    ordered = np.sort(few)
    nearest = ordered[np.minimum(np.searchsorted(ordered, many), len(few) - 1)]
    # By sorting: NumPy 2.0's other way takes differences of hashes for numbers of 64 bits with a sign.
    return np.isin(few, many[nearest == many], kind="sort")
