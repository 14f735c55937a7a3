"""Columns of numbers, some of them missing, put together to one array."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import numpy as np

from learndock.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    # Values, and which of them are missing; None where none is.
    Column = tuple[npt.NDArray[Any], npt.NDArray[np.bool_] | None]

__all__ = ["assembled", "bits_at", "bytes_at", "require_numbers"]


def require_numbers(name: str, columns: Sequence[Any], are_numbers: Sequence[bool]) -> None:
    """Raise InvalidArgument that lists the columns which do not hold numbers."""
    others = [str(column) for column, good in zip(columns, are_numbers, strict=True) if not good]
    if others:
        raise InvalidArgument(f"{name}: expected columns of numbers, got others: {', '.join(others)}")


def assembled(batches: Sequence[Sequence[Column]]) -> npt.NDArray[Any]:
    """The rows of all batches, shape (n, d), in a dtype that holds every column; what is missing becomes NaN."""
    dtypes = [values.dtype for columns in batches for values, _ in columns]
    if any(missing is not None and missing.any() for columns in batches for _, missing in columns):
        dtypes.append(np.dtype(np.float32) if all(dtype.kind == "f" for dtype in dtypes) else np.dtype(np.float64))
    counts = [len(columns[0][0]) if columns else 0 for columns in batches]
    table = np.empty((sum(counts), len(batches[0])), dtype=np.result_type(*dtypes) if dtypes else np.float64)
    start = 0
    for columns, count in zip(batches, counts, strict=True):
        for j, (values, missing) in enumerate(columns):
            table[start : start + count, j] = values
            if missing is not None:
                table[start : start + count, j][missing] = np.nan
        start += count
    return table


def bytes_at(address: int | None, size: int) -> npt.NDArray[np.uint8]:
    """Memory of another library as an array: a view, good for as long as its owner keeps it."""
    if not address or not size:
        return np.empty(0, dtype=np.uint8)
    return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))


def bits_at(address: int | None, first: int, count: int) -> npt.NDArray[np.bool_]:
    """`count` truth values of a bit each, lowest bit first, copied."""
    whole = np.unpackbits(bytes_at(address, -(-(first + count) // 8)), bitorder="little")
    return whole[first : first + count].astype(np.bool_)
