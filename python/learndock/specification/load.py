"""Specifications from files, by their type."""

from __future__ import annotations

import os

import numpy as np

from learndock._validation import as_path
from learndock.errors import InvalidArgument, SpecificationFileError
from learndock.specification._file import DEFAULT_MAX_BYTES, read_spec_file
from learndock.specification.table import RKMETableSpecification

__all__ = ["load_spec"]

# The closed list of what a file may call itself. RKMEStatSpecification is the reference's old name.
_TYPES = {"RKMETableSpecification": RKMETableSpecification, "RKMEStatSpecification": RKMETableSpecification}

_NO_LISTS = ("gamma", "num_points", "fit_mmd2")


def load_spec(path: str | os.PathLike[str], *, max_bytes: int = DEFAULT_MAX_BYTES) -> RKMETableSpecification:
    """Read a statistical specification: the reference's JSON (old files too), or the .npz that `save` writes.

    Parameters
    ----------
    path : str or path
    max_bytes : int, default 256 MiB
        Larger files are refused before they are read.

    Returns
    -------
    RKMETableSpecification
        With the file's float64 numbers, bit for bit.

    Raises
    ------
    SpecificationFileError
        If the file is missing, too large, truncated, not JSON, of an unknown type, or its values make no sense.
    """
    path = as_path(path, "path")
    fields = read_spec_file(path, max_bytes=max_bytes)
    kind = fields.get("type", RKMETableSpecification.type)
    if not isinstance(kind, str) or kind not in _TYPES:
        raise SpecificationFileError(f"{path}: type: expected one of {', '.join(_TYPES)}, got {kind!r:.200}")
    for name in _NO_LISTS:
        # Before an error quotes it.
        if isinstance(fields.get(name), list | dict | np.ndarray):
            raise SpecificationFileError(f"{path}: {name}: expected a number, got {type(fields[name]).__name__}")
    try:
        return _TYPES[kind].from_dict(fields)
    except InvalidArgument as error:
        raise SpecificationFileError(f"{path}: {error!s:.500}") from None
