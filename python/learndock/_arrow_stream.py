"""Numbers out of an Arrow stream: what polars, pyarrow and other tables hand over through `__arrow_c_stream__`.

The structs are those of the Arrow C data and C stream interfaces (arrow.apache.org/docs/format/CDataInterface.html);
read here with ctypes, so that no Arrow library is needed.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from learndock._columns import assembled, bits_at, bytes_at, require_numbers
from learndock.errors import InvalidArgument

if TYPE_CHECKING:
    import numpy.typing as npt

    from learndock._columns import Column

__all__ = ["from_arrow_stream"]

# Format strings of the types that are numbers. "b" holds a bit a value.
_DTYPES = {
    "c": np.int8,
    "C": np.uint8,
    "s": np.int16,
    "S": np.uint16,
    "i": np.int32,
    "I": np.uint32,
    "l": np.int64,
    "L": np.uint64,
    "e": np.float16,
    "f": np.float32,
    "g": np.float64,
    "b": np.bool_,
}
_ALL_MISSING = "n"
_STRUCT = "+s"


class _Schema(ctypes.Structure):
    pass


_Schema._fields_ = [
    ("format", ctypes.c_char_p),
    ("name", ctypes.c_char_p),
    ("metadata", ctypes.c_void_p),
    ("flags", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("children", ctypes.POINTER(ctypes.POINTER(_Schema))),
    ("dictionary", ctypes.POINTER(_Schema)),
    ("release", ctypes.CFUNCTYPE(None, ctypes.POINTER(_Schema))),
    ("private_data", ctypes.c_void_p),
]


class _Array(ctypes.Structure):
    pass


_Array._fields_ = [
    ("length", ctypes.c_int64),
    ("null_count", ctypes.c_int64),
    ("offset", ctypes.c_int64),
    ("n_buffers", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.POINTER(ctypes.POINTER(_Array))),
    ("dictionary", ctypes.POINTER(_Array)),
    ("release", ctypes.CFUNCTYPE(None, ctypes.POINTER(_Array))),
    ("private_data", ctypes.c_void_p),
]


class _Stream(ctypes.Structure):
    pass


_Stream._fields_ = [
    ("get_schema", ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Stream), ctypes.POINTER(_Schema))),
    ("get_next", ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Stream), ctypes.POINTER(_Array))),
    ("get_last_error", ctypes.CFUNCTYPE(ctypes.c_char_p, ctypes.POINTER(_Stream))),
    ("release", ctypes.CFUNCTYPE(None, ctypes.POINTER(_Stream))),
    ("private_data", ctypes.c_void_p),
]

# Prototypes of our own: the attributes of ctypes.pythonapi's functions are everybody's.
_capsule_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)


def from_arrow_stream(value: Any, name: str) -> npt.NDArray[Any]:
    """Copy a table of numbers into an array (n, d), or one column into (n,); what is missing becomes NaN.

    Parameters
    ----------
    value : object with `__arrow_c_stream__`
    name : str
        Of the argument, for errors.

    Raises
    ------
    InvalidArgument
        If a column does not hold numbers, or the stream fails.
    """
    capsule = value.__arrow_c_stream__()
    stream = ctypes.cast(_capsule_pointer(capsule, b"arrow_array_stream"), ctypes.POINTER(_Stream)).contents
    try:
        with _schema_of(stream, name) as schema:
            is_table = _text(schema.format) == _STRUCT
            fields = [schema.children[i].contents for i in range(schema.n_children)] if is_table else [schema]
            formats = ["dictionary" if field.dictionary else _text(field.format) for field in fields]
            require_numbers(
                name,
                [_text(field.name) for field in fields],
                [form in _DTYPES or form == _ALL_MISSING for form in formats],
            )
            batches = [_columns(batch, formats, is_table) for batch in _batches(stream, name)]
    finally:
        stream.release(ctypes.byref(stream))
    if not batches:  # a table without rows may come as no batch at all
        batches = [[(np.empty(0, _DTYPES.get(form, np.float64)), None) for form in formats]]
    table = assembled(batches)
    return table if is_table else table[:, 0]


@contextmanager
def _schema_of(stream: _Stream, name: str) -> Iterator[_Schema]:
    schema = _Schema()
    _require_success(stream, stream.get_schema(ctypes.byref(stream), ctypes.byref(schema)), name)
    try:
        yield schema
    finally:
        schema.release(ctypes.byref(schema))


def _batches(stream: _Stream, name: str) -> Iterator[_Array]:
    """Each batch, released after it was looked at."""
    while True:
        batch = _Array()
        _require_success(stream, stream.get_next(ctypes.byref(stream), ctypes.byref(batch)), name)
        if not batch.release:  # a null pointer: the end
            return
        try:
            yield batch
        finally:
            batch.release(ctypes.byref(batch))


def _require_success(stream: _Stream, code: int, name: str) -> None:
    if code:
        message = stream.get_last_error(ctypes.byref(stream))
        raise InvalidArgument(f"{name}: the table's Arrow stream failed: {_text(message) or f'error {code}'}")


def _columns(batch: _Array, formats: list[str], is_table: bool) -> list[Column]:
    """Values and missing marks of a batch's columns, copied: the batch's memory ends with it."""
    if not is_table:
        return [_column(batch, formats[0], 0, batch.length)]
    columns = [_column(batch.children[i].contents, form, batch.offset, batch.length) for i, form in enumerate(formats)]
    row_missing = _missing(batch, batch.offset, batch.length)
    if row_missing is None:
        return columns
    return [(values, row_missing if missing is None else missing | row_missing) for values, missing in columns]


def _column(array: _Array, form: str, first: int, length: int) -> Column:
    start = array.offset + first
    if form == _ALL_MISSING:
        return np.zeros(length), np.ones(length, dtype=np.bool_)
    if form == "b":
        return bits_at(array.buffers[1], start, length), _missing(array, start, length)
    dtype = np.dtype(_DTYPES[form])
    values = bytes_at(array.buffers[1], (start + length) * dtype.itemsize).view(dtype)[start:].copy()
    return values, _missing(array, start, length)


def _missing(array: _Array, start: int, length: int) -> npt.NDArray[np.bool_] | None:
    """Which values are missing; None where none is."""
    if array.null_count == 0 or not array.buffers[0]:
        return None
    return ~bits_at(array.buffers[0], start, length)


def _text(raw: bytes | None) -> str:
    return "" if raw is None else raw.decode("utf-8", "replace")
