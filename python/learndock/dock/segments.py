"""Segments: thousands of specifications in a few memory-mapped arrays.

A segment is a folder of .npy files that never change: tiles and weights of the points in the order in which the kernels
read them (float32), offsets, self inner products <P, P> (float64), and the learnwares' ids, ascending; segment.json
says which layout, and holds the sha256 of each array's file. It is written under a temporary name, synced and renamed
before the catalog names it, with the sha256 of segment.json.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from learndock._mapped import mapped_file
from learndock._npy import array_header
from learndock.dock.zips import sha256_of
from learndock.errors import DockError
from learndock.kernels import PackedEmbeddings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import BinaryIO

    import numpy.typing as npt

# Layout 1: tiles of 16 points, [tile][coordinate][point].
LAYOUT = 1
LANES = 16
ARRAYS = ("tiles", "weights", "offsets", "self_inner", "ids")
SEGMENT_FILES = ("segment.json", *(f"{label}.npy" for label in ARRAYS))
# What the name of a segment begins with until it is complete.
TEMPORARY = ".incoming-"


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """Specifications of one space, in memory or mapped from a file.

    Attributes
    ----------
    ids : ndarray of int64, shape (N,)
        Ascending.
    packed : PackedEmbeddings
        N embeddings in float32.
    self_inner : ndarray of float64, shape (N,)
        <P, P>.
    """

    ids: npt.NDArray[np.int64]
    packed: PackedEmbeddings
    self_inner: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.ids)

    def position(self, learnware_id: int) -> int | None:
        """Where an id lies, None where it doesn't."""
        at = int(np.searchsorted(self.ids, learnware_id))
        return at if at < len(self.ids) and self.ids[at] == learnware_id else None


@dataclass(frozen=True, slots=True, eq=False)
class WrittenSegment:
    """A segment on disk, to be named in the catalog.

    Attributes
    ----------
    name : str
    first_id : int
        The smallest of its learnwares.
    specs : int
        How many it holds.
    sha256 : str
        Of its segment.json.
    """

    name: str
    first_id: int
    specs: int
    sha256: str


class HashedFile:
    """A file that takes the sha256 of what is written to it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def write(self, content: bytes) -> int:
        """Write, and count."""
        self.digest.update(content)
        return self._file.write(content)


def open_segment(folder: Path) -> Segment:
    """Map a segment. FileNotFoundError where it is gone: a writer has compacted it away, the catalog names another."""
    try:
        layout = json.loads((folder / "segment.json").read_bytes())["layout"]
        if layout != LAYOUT:
            raise DockError(f"{folder}: layout: expected {LAYOUT}, got {layout!r}")
        packed = PackedEmbeddings(
            mapped_array(folder, "tiles", np.float32, 3),
            mapped_array(folder, "weights", np.float32, 1),
            mapped_array(folder, "offsets", np.int64, 1),
        )
        segment = Segment(
            mapped_array(folder, "ids", np.int64, 1), packed, mapped_array(folder, "self_inner", np.float64, 1)
        )
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DockError(f"{folder}: the segment can't be opened ({error.strerror or error})") from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DockError(f"{folder}: the segment is damaged ({error})") from None
    points = int(packed.offsets[-1]) if len(packed.offsets) else -1
    if not (len(segment.ids) == len(segment.self_inner) == len(packed) and len(packed.weights) == points):
        raise DockError(f"{folder}: the segment is damaged (its arrays disagree on their lengths)")
    return segment


def open_searchable_segment(folder: Path, dim: int) -> Segment:
    """`open_segment` for a search, whose kernels and results rest on shapes and on the order of offsets and ids.

    Numbers are not looked at: that would read the whole segment.
    """
    segment = open_segment(folder)
    offsets, tiles = segment.packed.offsets, segment.packed.tiles
    expected = (-(-int(offsets[-1]) // LANES), dim, LANES)
    if tiles.shape != expected:
        raise DockError(f"{folder}: the segment is damaged (tiles.npy: expected shape {expected}, got {tiles.shape})")
    if offsets[0] != 0 or not len(segment):
        raise DockError(f"{folder}: the segment is damaged (offsets.npy: expected two numbers or more, from 0)")
    if segment.ids[0] < 0:
        raise DockError(f"{folder}: the segment is damaged (ids.npy: expected 0 or more, got {segment.ids[0]})")
    for label, array in (("offsets", offsets), ("ids", segment.ids)):
        if not (array[1:] > array[:-1]).all():
            raise DockError(f"{folder}: the segment is damaged ({label}.npy: expected increasing numbers)")
    return segment


def mapped_array(folder: Path, label: str, dtype: type[np.generic], ndim: int) -> npt.NDArray[Any]:
    """Map the .npy file of an array in a folder; ValueError where it is no such array."""
    path = folder / f"{label}.npy"
    try:
        with path.open("rb") as file:
            shape, fortran, found = array_header(file)
            offset = file.tell()
        if found != dtype or len(shape) != ndim:
            raise ValueError(f"got {found} of {len(shape)} dimensions")
        numbers = np.frombuffer(mapped_file(path), dtype, count=math.prod(shape), offset=offset)
        array: npt.NDArray[Any] = numbers.reshape(shape, order="F" if fortran else "C")
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"{path.name}: {error}") from None
    if not array.flags.c_contiguous:
        raise ValueError(f"{path.name}: got columns one after the other")
    return array


def checksum_faults(folder: Path, about_file: str, labels: Iterable[str]) -> Iterator[str]:
    """What is wrong with arrays in a folder, by the sha256 of each in its JSON file; OSError where one is missing."""
    try:
        sums = json.loads((folder / about_file).read_bytes())["sha256"]
        expected = {label: sums[label] for label in labels}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        yield f"{about_file} can't be understood ({error})"
        return
    for label, wanted in expected.items():
        found = sha256_of(folder / f"{label}.npy")
        if found != wanted:
            yield f"{label}.npy has the sha256 {found}, expected {wanted}"


def segment_checksum_faults(folder: Path, sha256: str) -> Iterator[str]:
    """What is wrong with the files of a segment, by the sha256 that the catalog has; OSError where one is missing."""
    found = sha256_of(folder / "segment.json")
    if found != sha256:
        yield f"segment.json has the sha256 {found}, expected {sha256}"
    yield from checksum_faults(folder, "segment.json", ARRAYS)


def remove_segment(folder: Path) -> None:
    """Delete a segment that the catalog does not name. Readers that have mapped it keep their maps."""
    shutil.rmtree(folder, ignore_errors=True)


def orphans(specs: Path, named: Iterable[str]) -> list[Path]:
    """Folders that the catalog doesn't name. Where no writer is at work, they are what one left that died."""
    known = set(named)
    return sorted(entry for entry in specs.glob("*") if entry.name not in known)
