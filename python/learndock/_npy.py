"""Arrays in NumPy's format that strangers have written: claims of the header are checked before memory is taken.

Headers are read without NumPy's own reader: it has Python's compiler parse them, which up to Python 3.12 raises
SystemError where several threads do so at once, and takes more than a header's few words.
"""

from __future__ import annotations

import io
import math
import re
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from learndock._printable import printable

__all__ = ["BadArray", "array_header", "bounded_array", "strangers_array"]

_LONGEST_HEADER = 10_000
# Three items in any order, as the format's description says. Python 2 wrote an L behind a number.
_ITEM = re.compile(
    r"""\s*(['"])(\w+)\1\s*:\s*(?:(['"])([<>=|]?[b-zA-Z]\d*)\3|(True|False)|\(\s*((?:\d{1,30}L?\s*,\s*)*(?:\d{1,30}L?\s*)?)\))\s*(,|$)"""
)


class BadArray(Exception):
    """An array that is not as it must be; the message says how."""


def array_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read the beginning of the .npy format: shape, whether columns come one after the other, and dtype.

    Raises
    ------
    ValueError
        If it is none, or that of an array of records.
    """
    version = np.lib.format.read_magic(file)
    length_bytes = 2 if version == (1, 0) else 4
    length = int.from_bytes(file.read(length_bytes), "little")
    if length > _LONGEST_HEADER:
        raise ValueError(f"a header of {length} bytes: expected at most {_LONGEST_HEADER}")
    text = file.read(length)
    if len(text) != length:
        raise ValueError(f"a header of {len(text)} bytes, which says {length}")
    described = text.decode("latin-1").strip()
    found: dict[str, Any] = {}
    at, end = 1, len(described) - 1
    while at < end and (item := _ITEM.match(described, at, end)):
        _, name, _, dtype, order, shape, _ = item.groups()
        found[name] = dtype or (order == "True" if order else tuple(map(int, re.findall(r"\d+", shape))))
        at = item.end()
    kinds = {name: type(value) for name, value in found.items()}
    whole = described[:1] + described[-1:] == "{}" and not described[at:end].strip()
    if not whole or kinds != {"descr": str, "fortran_order": bool, "shape": tuple}:
        raise ValueError(f"the header {described!r:.200} describes no array of numbers")
    return found["shape"], found["fortran_order"], np.dtype(found["descr"])


def bounded_array(file: IO[bytes], *, size: int, most_numbers: int, name: str) -> npt.NDArray[Any]:
    """Read an array of numbers or text. Objects, which would be pickles, are refused.

    Parameters
    ----------
    file : binary file
        At the beginning of the .npy format.
    size : int
        Bytes that it has.
    most_numbers : int
        That the array may have.
    name : str
        For messages.

    Raises
    ------
    BadArray
        If it is of another dtype, larger than `size` or `most_numbers`, or cut off.
    ValueError, TypeError
        If its header is none.
    """
    shape, fortran, dtype = array_header(file)
    if dtype.kind not in "biufU":
        raise BadArray(f"expected numbers in {name}, got dtype {dtype!s:.200}")
    numbers = math.prod(shape)
    claimed = dtype.itemsize * numbers
    if claimed < 0 or claimed > size:
        raise BadArray(f"{name} claims shape {str(shape)[:200]} in {size} bytes")
    if numbers > most_numbers:
        raise BadArray(f"expected at most {most_numbers} numbers in an array, got {numbers}")
    data = file.read(claimed)
    if len(data) != claimed:
        raise BadArray(f"{name} is truncated")
    return np.frombuffer(data, dtype=dtype).reshape(shape, order="F" if fortran else "C")


def strangers_array(content: bytes, *, name: str) -> npt.NDArray[Any]:
    """Read an array from the bytes of a .npy file.

    Raises
    ------
    BadArray
        Whatever is wrong with it.
    """
    try:
        return bounded_array(io.BytesIO(content), size=len(content), most_numbers=len(content), name=name)
    except (ValueError, TypeError) as error:
        raise BadArray(f"expected {name} in NumPy's format ({printable(str(error)[:500])})") from None
