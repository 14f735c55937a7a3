"""Arrays between the host and a model's process, through memory files.

The host's arrays go out sealed: the model can neither change nor shrink them, and writes to a private copy. A model's
arrays are copied out before anybody looks at them. They must lie in a sealed memory file too: nobody can
then cut it short under the reader, and no other kind of file (a pipe, a file system in user space) can make the
reader wait.
"""

from __future__ import annotations

import fcntl
import math
import os
import re
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from learndock.runtime.channel import ProtocolError

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["from_memory", "to_memory"]

_DTYPE = re.compile(r"\|b1|\|[iu]1|<[iu][248]|<f[248]|<U[1-9][0-9]{0,6}")
_MOST_AXES = 8
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_BLOCK = 64 * 2**20
_LARGEST_CODE_POINT = 0x10FFFF


def to_memory(array: npt.NDArray[Any]) -> tuple[int, dict[str, Any]]:
    """Write an array into a sealed memory file.

    Returns
    -------
    descriptor : int
        The caller closes it.
    header : dict
        dtype and shape.
    """
    plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    descriptor = os.memfd_create("learndock-input", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        data = plain.reshape(-1).view(np.uint8).data if plain.nbytes else memoryview(b"")
        while data:
            data = data[os.write(descriptor, data[:_BLOCK]) :]
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS | fcntl.F_SEAL_SEAL)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, {"dtype": plain.dtype.str, "shape": list(array.shape)}


def from_memory(descriptor: int, header: dict[str, Any], *, most_bytes: int) -> npt.NDArray[Any]:
    """Copy an array out of a memory file that a model's process has sent.

    Raises
    ------
    ProtocolError
        The header or the file is not as it must be.
    """
    dtype = _checked_dtype(header.get("dtype"))
    shape = _checked_shape(header.get("shape"))
    # Axes of length 0 count as 1: an empty array must not claim an absurd shape either.
    claimed = math.prod(max(length, 1) for length in shape) * dtype.itemsize
    if claimed > most_bytes:
        raise ProtocolError(f"an array of {claimed} bytes, at most {most_bytes} are allowed")
    size = math.prod(shape) * dtype.itemsize
    try:
        seals = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
    except OSError as error:
        raise ProtocolError("an array in something that is no memory file") from error
    if seals & _SEALS != _SEALS:
        raise ProtocolError("an array in a memory file that is not sealed")
    found = os.fstat(descriptor).st_size
    if found != size:
        raise ProtocolError(f"an array of {size} bytes in a memory file of {found}")
    array = _read(descriptor, size).view(dtype).reshape(shape)
    return _normal(array)


def _checked_dtype(text: object) -> np.dtype[Any]:
    if not isinstance(text, str) or not _DTYPE.fullmatch(text):
        raise ProtocolError("an array of a dtype that is neither number, truth value nor string")
    return np.dtype(text)


def _checked_shape(lengths: object) -> tuple[int, ...]:
    if not isinstance(lengths, list) or len(lengths) > _MOST_AXES:
        raise ProtocolError(f"an array whose shape is no list of at most {_MOST_AXES} lengths")
    # type, not isinstance: True is no length. Nor is what no array has: the product could not even be printed.
    if not all(type(length) is int and 0 <= length <= sys.maxsize for length in lengths):
        raise ProtocolError("an array whose shape holds something else than lengths")
    return tuple(lengths)


def _read(descriptor: int, size: int) -> npt.NDArray[np.uint8]:
    content = np.empty(size, dtype=np.uint8)
    view = content.data
    position = 0
    while position < size:
        # pread: the position of the file belongs to the model's process as well.
        count = os.preadv(descriptor, [view[position : position + _BLOCK]], position)
        if count == 0:
            raise ProtocolError(f"an array of {size} bytes that ends after {position}")
        position += count
    return content


def _normal(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Refuse or mend bytes that NumPy would take for values that the dtype does not have."""
    if array.dtype.kind == "b":
        return np.asarray(array.view(np.uint8) != 0)
    if array.dtype.kind == "U" and array.size:
        points = array.reshape(-1).view(np.uint32)
        if bool(((points > _LARGEST_CODE_POINT) | ((points >= 0xD800) & (points <= 0xDFFF))).any()):
            raise ProtocolError("an array of strings with code points that do not exist")
    return array
