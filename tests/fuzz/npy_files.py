"""Files in NumPy's format to begin with."""

from __future__ import annotations

import io

import numpy as np

__all__ = ["npy"]


def npy(array: np.ndarray, version: tuple[int, int] | None = None) -> bytes:
    """The array's file, in a version of the format."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, version=version)
    return stream.getvalue()
