"""Arrays in NumPy's format that strangers have written: claims of the header are checked before memory is taken."""

from __future__ import annotations

import io
import math
import warnings
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from learndock._printable import printable

__all__ = ["BadArray", "bounded_array", "strangers_array"]


class BadArray(Exception):
    """An array that is not as it must be; the message says how."""


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
    Exception
        NumPy and ast let exceptions of many kinds out of a header that is none.
    """
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    else:
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
    if dtype.kind not in "biufU":
        raise BadArray(f"expected numbers in {name}, got dtype {dtype!s:.200}")
    # In Python's integers: a claim of 2^62 rows does not overflow.
    numbers = math.prod(map(int, shape))
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
        # What NumPy and ast have to say about a header is no concern of the reader's.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return bounded_array(io.BytesIO(content), size=len(content), most_numbers=len(content), name=name)
    except BadArray:
        raise
    except Exception as error:
        raise BadArray(f"expected {name} in NumPy's format ({printable(str(error)[:500])})") from None
