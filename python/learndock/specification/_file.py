"""The files of statistical specifications: the reference's JSON, and .npz.

A file may come from a stranger. Its size is limited before it is read, claims of its headers are checked before memory
is taken, and nothing in it is executed.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from learndock._bounded_zip import ListTooLong, bounded_zip
from learndock._durable import replaced_file
from learndock._json import load_json
from learndock._npy import BadArray, bounded_array
from learndock._printable import printable
from learndock.errors import SpecificationFileError

DEFAULT_MAX_BYTES = 256 * 2**20

_MOST_MEMBERS = 32
# Objects, lists and text take up to sixty bytes of memory a byte of file; numbers, which a specification is made of, a
# few. A list for every point of a million rows is let through.
_MOST_OF_A_KIND = {b"{": 100, b"[": 2_000_000, b'"': 2_000}
# Of a byte or two each, numbers take up to thirty times their file.
_LEAST_BYTES_A_NUMBER = 4
_LISTS_OF_NUMBERS = {"z", "beta", "scaling", "moments"}
# What is no list: text that names something, or one number.
_LONGEST_TEXT = 1000


def write_spec_file(path: Path, fields: Mapping[str, Any]) -> None:
    """Write the fields: the file is whole, or as it was before."""
    if not path.parent.is_dir() or path.is_dir():
        raise SpecificationFileError(f"path: expected a file in an existing folder, got {path}")
    try:
        with replaced_file(path) as file:
            if path.suffix == ".npz":
                arrays = {name: np.asarray(value) for name, value in fields.items()}
                np.savez(file, allow_pickle=False, **arrays)
            else:
                plain = {
                    name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in fields.items()
                }
                file.write(json.dumps(plain, separators=(",", ":")).encode())
    except OSError as error:
        raise SpecificationFileError(f"{path}: can't be written ({error.strerror or error})") from error


def read_spec_file(path: Path, *, max_bytes: int) -> dict[str, Any]:
    """The fields of a file, as lists and numbers (JSON) or arrays (.npz)."""
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise SpecificationFileError(f"{path}: expected a file")
        if size > max_bytes:
            raise SpecificationFileError(f"{path}: expected at most {max_bytes} bytes, got {size}")
        fields = _read_npz(path, max_bytes) if path.suffix == ".npz" else _read_json(path, max_bytes)
    except OSError as error:
        raise SpecificationFileError(f"{path}: can't be read ({error.strerror or error})") from None
    for name, value in fields.items():
        if len(name) > _LONGEST_TEXT or (isinstance(value, str) and len(value) > _LONGEST_TEXT):
            raise SpecificationFileError(
                f"{path}: {printable(name[:80])}: expected at most {_LONGEST_TEXT} characters, got more"
            )
    return fields


def _read_json(path: Path, max_bytes: int) -> dict[str, Any]:
    with path.open("rb") as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:  # it has grown since it was measured
        raise SpecificationFileError(f"{path}: expected at most {max_bytes} bytes, got more")
    for sign, most in {**_MOST_OF_A_KIND, b",": max(2_000_000, max_bytes // _LEAST_BYTES_A_NUMBER)}.items():
        if content.count(sign) > most:
            raise SpecificationFileError(f"{path}: expected lists of numbers, got more than {most} of {sign.decode()}")
    try:
        fields = load_json(content)
    # Broken JSON, not UTF-8, an integer of thousands of digits, or nested too deeply.
    except ValueError as error:
        raise SpecificationFileError(
            f"{path}: expected JSON, got a file that is none ({printable(str(error)[:500])})"
        ) from None
    if not isinstance(fields, dict):
        raise SpecificationFileError(f"{path}: expected a JSON object, got {type(fields).__name__}")
    # Signs of text beyond the names of the fields and their own values.
    others = content.count(b'"') > 2 * (len(fields) + sum(isinstance(value, str) for value in fields.values()))
    for name in _LISTS_OF_NUMBERS & fields.keys():
        fields[name] = _numbers(fields[name], f"{path}: {name}", may_hold_text=others)
    return fields


def _numbers(rows: Any, name: str, *, may_hold_text: bool) -> Any:
    """Lists of numbers as float64.

    NumPy takes text for numbers where it can; where it chooses the type, it makes every item as long as the longest.
    """
    if may_hold_text and isinstance(rows, list):
        items = (item for row in rows for item in (row if isinstance(row, list) else (row,)))
        if any(isinstance(item, str) for item in items):
            raise SpecificationFileError(f"{name}: expected numbers, got text among them")
    try:
        return np.array(rows, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise SpecificationFileError(f"{name}: expected a rectangular list of numbers ({error!s:.200})") from None


def _read_npz(path: Path, max_bytes: int) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    left = max_bytes
    try:
        with bounded_zip(path, entries=_MOST_MEMBERS) as archive:
            if len(archive.infolist()) > _MOST_MEMBERS:
                raise SpecificationFileError(f"{path}: expected at most {_MOST_MEMBERS} arrays, got more")
            for member in archive.infolist():
                name = member.filename.removesuffix(".npy")
                if name in fields:
                    raise SpecificationFileError(f"{path}: expected each array once, got {name[:80]!r} twice")
                if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise SpecificationFileError(f"{path}: expected arrays stored or deflated, got another method")
                left -= member.file_size
                if left < 0:
                    raise SpecificationFileError(f"{path}: expected at most {max_bytes} bytes in all, got more")
                with archive.open(member) as file:
                    array = bounded_array(
                        file,
                        size=member.file_size,
                        most_numbers=max_bytes // _LEAST_BYTES_A_NUMBER,
                        name=member.filename[:80],
                    )
                fields[name] = array.item() if array.ndim == 0 else array
    except (SpecificationFileError, OSError):
        raise
    except (ListTooLong, BadArray) as error:
        raise SpecificationFileError(f"{path}: {printable(error)}") from None
    # zipfile lets exceptions of many kinds out of a file that is not what it says.
    except Exception as error:
        raise SpecificationFileError(
            f"{path}: expected an .npz file, got one that can't be read ({printable(str(error)[:500])})"
        ) from None
    return fields
