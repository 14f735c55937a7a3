"""The files of statistical specifications: the reference's JSON, and .npz.

A file may come from a stranger. Its size is limited before it is read, claims of its headers are checked before memory
is taken, and nothing in it is executed.
"""

from __future__ import annotations

import json
import lzma
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from learndock._durable import replaced_file
from learndock.errors import SpecificationFileError

DEFAULT_MAX_BYTES = 256 * 2**20

# What zipfile and NumPy raise for files that are not what they say.
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    ValueError,
    EOFError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
    SyntaxError,
)
_MOST_MEMBERS = 32
# Objects, lists and text take up to fifty bytes of memory a byte of file; numbers, which a specification is made of, a
# few. A list for every point of a million rows is let through.
_MOST_OF_A_KIND = {b"{": 100, b"[": 2_000_000, b'"': 2_000}


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
        return _read_npz(path, max_bytes) if path.suffix == ".npz" else _read_json(path)
    except OSError as error:
        raise SpecificationFileError(f"{path}: can't be read ({error.strerror or error})") from None


def _read_json(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    for sign, most in _MOST_OF_A_KIND.items():
        if content.count(sign) > most:
            raise SpecificationFileError(f"{path}: expected lists of numbers, got more than {most} of {sign.decode()}")
    try:
        fields = json.loads(content)
    except RecursionError:
        raise SpecificationFileError(f"{path}: expected a JSON object, got one nested too deeply") from None
    except ValueError as error:  # broken JSON, not UTF-8, or an integer of thousands of digits
        raise SpecificationFileError(f"{path}: expected JSON, got a file that is none ({error})") from None
    if not isinstance(fields, dict):
        raise SpecificationFileError(f"{path}: expected a JSON object, got {type(fields).__name__}")
    return fields


def _read_npz(path: Path, max_bytes: int) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    left = max_bytes
    try:
        with zipfile.ZipFile(path) as archive:
            if len(archive.infolist()) > _MOST_MEMBERS:
                raise SpecificationFileError(f"{path}: expected at most {_MOST_MEMBERS} arrays, got more")
            for member in archive.infolist():
                left -= member.file_size
                if left < 0:
                    raise SpecificationFileError(f"{path}: expected at most {max_bytes} bytes in all, got more")
                with archive.open(member) as file:
                    fields[member.filename.removesuffix(".npy")] = _read_array(file, member, path)
    except (
        zipfile.BadZipFile,
        zlib.error,
        ValueError,
        EOFError,
        NotImplementedError,
        RuntimeError,
        SyntaxError,
    ) as error:
        raise SpecificationFileError(f"{path}: expected an .npz file, got one that can't be read ({error})") from None
    return fields


def _read_array(file: Any, member: zipfile.ZipInfo, path: Path) -> Any:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    else:
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
    if dtype.kind not in "biufU":
        raise SpecificationFileError(f"{path}: expected numbers in {member.filename}, got dtype {dtype}")
    # In Python's integers: a claim of 2^62 rows does not overflow.
    claimed = dtype.itemsize
    for length in shape:
        claimed *= int(length)
    if claimed < 0 or claimed > member.file_size:
        raise SpecificationFileError(f"{path}: {member.filename} claims shape {shape} in {member.file_size} bytes")
    data = file.read(claimed)
    if len(data) != claimed:
        raise SpecificationFileError(f"{path}: {member.filename} is truncated")
    array = np.frombuffer(data, dtype=dtype).reshape(shape, order="F" if fortran else "C")
    return array.item() if array.ndim == 0 else array
