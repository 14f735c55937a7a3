"""Files mapped for reading, which hold no descriptor: a dock may have hundreds, and a process 1,024 descriptors."""

from __future__ import annotations

import ctypes
import functools
import mmap
import os
import sys
import weakref
from collections.abc import Callable
from pathlib import Path

__all__ = ["mapped_file"]

_READ, _SHARED = 1, 1
_FAILED = ctypes.c_void_p(-1).value


def mapped_file(path: Path) -> memoryview:
    """Map a file that is not empty. It stays mapped as long as something refers to the view, or to what is made of it.

    Raises
    ------
    OSError
        If it can't be opened or mapped.
    ValueError
        If it is empty.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if not size:
            raise ValueError("the file is empty")
        if sys.version_info >= (3, 13):
            return memoryview(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ, trackfd=False))
        return _mapped(file.fileno(), size)


def _mapped(descriptor: int, size: int) -> memoryview:
    """As `mmap.mmap` does, which keeps a copy of the descriptor before Python 3.13."""
    map_pages, unmap_pages = _system_calls()
    address = map_pages(None, size, _READ, _SHARED, descriptor, 0)
    if address == _FAILED:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    pages = (ctypes.c_ubyte * size).from_address(address)
    # Not at the interpreter's end, when arrays may still be read.
    weakref.finalize(pages, unmap_pages, address, size).atexit = False
    return memoryview(pages).toreadonly().cast("B")


@functools.cache
def _system_calls() -> tuple[Callable[..., int], Callable[..., int]]:
    library = ctypes.CDLL(None, use_errno=True)
    map_pages, unmap_pages = library.mmap, library.munmap
    sizes = (ctypes.c_void_p, ctypes.c_size_t)
    # An offset is a long on all 64-bit machines.
    map_pages.argtypes = (*sizes, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
    map_pages.restype = ctypes.c_void_p
    unmap_pages.argtypes = sizes
    return map_pages, unmap_pages
