"""Numbers out of a table that follows the dataframe interchange protocol, `__dataframe__`.

The protocol is that of data-apis.org/dataframe-protocol; a column's buffers are read where they lie, so that no
dataframe library is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from learndock._columns import assembled, bits_at, bytes_at, require_numbers
from learndock.errors import InvalidArgument

if TYPE_CHECKING:
    import numpy.typing as npt

    from learndock._columns import Column

__all__ = ["from_dataframe"]

# The protocol's DtypeKind.
_KINDS = {0: "i", 1: "u", 2: "f", 20: "b"}
# The protocol's ColumnNullType.
_USE_SENTINEL, _USE_BITMASK, _USE_BYTEMASK = 2, 3, 4
# DLPack's name of the memory.
_CPU = 1


def from_dataframe(value: Any, name: str) -> npt.NDArray[Any]:
    """Copy a table of numbers into an array of shape (n, d); what is missing becomes NaN.

    Parameters
    ----------
    value : object with `__dataframe__`
    name : str
        Of the argument, for errors.

    Raises
    ------
    InvalidArgument
        If a column does not hold numbers, or lies in another device's memory.
    """
    frame = value.__dataframe__()
    count = frame.num_columns()
    kinds = [int(frame.get_column(j).dtype[0]) for j in range(count)]
    require_numbers(name, list(frame.column_names()), [kind in _KINDS for kind in kinds])
    return assembled(
        [[_column(chunk.get_column(j), name) for j in range(count)] for chunk in frame.get_chunks()]
        or [[(np.empty(0), None)] * count]
    )


def _column(column: Any, name: str) -> Column:
    """Values and missing marks, copied."""
    buffers = column.get_buffers()
    length, offset = int(column.size()), int(column.offset)
    values = _values(buffers["data"], offset, length, name)
    rule, null = column.describe_null
    if rule in (_USE_BITMASK, _USE_BYTEMASK):
        if buffers["validity"] is None:
            return values, None
        return values, _values(buffers["validity"], offset, length, name).astype(np.int64) == null
    return values, values == null if rule == _USE_SENTINEL else None


def _values(part: tuple[Any, tuple[int, int, str, str]], offset: int, length: int, name: str) -> npt.NDArray[Any]:
    buffer, (kind, width, _, order) = part
    if int(buffer.__dlpack_device__()[0]) != _CPU:
        raise InvalidArgument(f"{name}: expected a table in the memory of the CPU, got one on {buffer!r}")
    if width == 1:
        return bits_at(buffer.ptr, offset, length)
    dtype = np.dtype(f"{order if order in ('<', '>') else '='}{_KINDS[int(kind)]}{width // 8}")
    values: npt.NDArray[Any] = bytes_at(buffer.ptr, (offset + length) * dtype.itemsize).view(dtype)[offset:].copy()
    return values
