"""Held-out rows: data that a learnware ships, for a test of whether a user's rows are of the same distribution."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from learndock._npy import BadArray, strangers_array
from learndock._validation import finite
from learndock._yaml import parse_yaml
from learndock.errors import InvalidArgument, LearnwareError
from learndock.learnware.archive import ArchiveLimits, checked_zip, read_entry
from learndock.learnware.description import FILE as DESCRIPTION_FILE
from learndock.learnware.description import held_out_name

if TYPE_CHECKING:
    import zipfile
    from os import PathLike

    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

__all__ = ["MOST_ROWS", "held_out_in_zip", "read_held_out"]

# What a test looks at; more would be given away for nothing.
MOST_ROWS = 1000


def read_held_out(content: bytes, *, name: str, columns: int | None = None) -> FloatArray:
    """The rows in a .npy file, shape (n, d).

    Parameters
    ----------
    content : bytes
        Of the file.
    name : str
        Of the file, for messages.
    columns : int, optional
        That the rows must have.

    Raises
    ------
    LearnwareError
        If it holds no table of finite numbers of at most 1,000 rows.
    """
    try:
        array = strangers_array(content, name=name)
    except BadArray as error:
        raise LearnwareError(f"held_out: {error}") from None
    if array.dtype not in (np.float32, np.float64) or array.ndim != 2 or not array.size or len(array) > MOST_ROWS:
        raise LearnwareError(
            f"held_out: expected a table of float32 or float64 with 1 to {MOST_ROWS} rows in {name}, got "
            f"{array.dtype!s:.200} of shape {str(array.shape)[:200]}"
        )
    if columns is not None and array.shape[1] != columns:
        raise LearnwareError(
            f"held_out: expected {columns} columns in {name}, as the specification has, got {array.shape[1]}"
        )
    with np.errstate(invalid="ignore"):  # of a signalling NaN
        rows = np.ascontiguousarray(array, dtype=np.float64)
    try:
        finite(rows, name)
    except InvalidArgument as error:
        raise LearnwareError(f"held_out: {error}") from None
    return rows


def held_out_in_zip(
    path: str | PathLike[str], *, columns: int, limits: ArchiveLimits | None = None
) -> FloatArray | None:
    """The held-out rows of a learnware's zip, which is not unpacked for them; None where it ships none.

    Parameters
    ----------
    path : path
    columns : int
        That the rows must have.
    limits : ArchiveLimits, optional
        As in `extract`.

    Raises
    ------
    ArchiveRejected, LearnwareError
        As `extract` and `read_held_out`; and where learnware.yaml is missing or can't be read.
    """
    limits = limits or ArchiveLimits()
    with checked_zip(Path(path), limits) as (archive, entries):
        files = {parts: entry for entry, parts in entries if not entry.is_dir()}
        root = _root(files)
        yaml = read_entry(archive, files[(*root, DESCRIPTION_FILE)], most=limits.description_bytes)
        name = held_out_name(parse_yaml(yaml, DESCRIPTION_FILE))
        if name is None:
            return None
        entry = files.get((*root, *PurePosixPath(name).parts))
        if entry is None:
            raise LearnwareError(f"held_out.file_name: no file {name!r} in the zip")
        return read_held_out(read_entry(archive, entry, most=limits.specification_bytes), name=name, columns=columns)


def _root(files: Mapping[tuple[str, ...], zipfile.ZipInfo]) -> tuple[str, ...]:
    """Where learnware.yaml lies, as `find_root` finds it in a folder."""
    if (DESCRIPTION_FILE,) in files:
        return ()
    tops = {parts[0] for parts in files if not parts[0].startswith((".", "__MACOSX"))}
    if len(tops) == 1 and (*tops, DESCRIPTION_FILE) in files:
        return tuple(tops)
    raise LearnwareError(f"{DESCRIPTION_FILE} is missing")
