"""Segments: thousands of specifications in a few memory-mapped arrays.

A segment is a folder of .npy files that never change: tiles and weights of the points in the order in which the kernels
read them (float32), offsets, self inner products <P, P> (float64), and the learnwares' ids, ascending; segment.json
says which layout. It is written under a temporary name, synced and renamed before the catalog names it.
"""

from __future__ import annotations

import json
import shutil
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from learndock._durable import new_file, sync_folder
from learndock.errors import DockError
from learndock.kernels import PackedEmbeddings

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

# Layout 1: tiles of 16 points, [tile][coordinate][point].
LAYOUT = 1
_TEMPORARY = ".incoming-"


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


def write_segment(specs: Path, segment: Segment) -> str:
    """Write a segment into the folder of segments; returns its name."""
    name = uuid.uuid4().hex
    temporary = specs / f"{_TEMPORARY}{name}"
    temporary.mkdir()
    try:
        arrays = {
            "tiles": segment.packed.tiles,
            "weights": segment.packed.weights,
            "offsets": segment.packed.offsets,
            "self_inner": segment.self_inner,
            "ids": segment.ids,
        }
        for label, array in arrays.items():
            with new_file(temporary / f"{label}.npy") as file:
                np.save(file, array, allow_pickle=False)
        with new_file(temporary / "segment.json") as file:
            file.write(json.dumps({"layout": LAYOUT, "specs": len(segment)}).encode())
        sync_folder(temporary)
        temporary.rename(specs / name)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(specs)
    return name


def open_segment(folder: Path) -> Segment:
    """Map a segment. FileNotFoundError where it is gone: a writer has compacted it away, the catalog names another."""
    try:
        layout = json.loads((folder / "segment.json").read_bytes())["layout"]
        if layout != LAYOUT:
            raise DockError(f"{folder}: layout: expected {LAYOUT}, got {layout!r}")
        packed = PackedEmbeddings(
            _mapped(folder, "tiles", np.float32, 3),
            _mapped(folder, "weights", np.float32, 1),
            _mapped(folder, "offsets", np.int64, 1),
        )
        segment = Segment(_mapped(folder, "ids", np.int64, 1), packed, _mapped(folder, "self_inner", np.float64, 1))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DockError(f"{folder}: the segment can't be opened ({error.strerror or error})") from None
    except (ValueError, KeyError, TypeError) as error:
        raise DockError(f"{folder}: the segment is damaged ({error})") from None
    points = int(packed.offsets[-1]) if len(packed.offsets) else -1
    if not (len(segment.ids) == len(segment.self_inner) == len(packed) and len(packed.weights) == points):
        raise DockError(f"{folder}: the segment is damaged (its arrays disagree on their lengths)")
    return segment


def _mapped(folder: Path, label: str, dtype: type[np.generic], ndim: int) -> npt.NDArray[Any]:
    array = np.load(folder / f"{label}.npy", mmap_mode="r", allow_pickle=False)
    if array.dtype != dtype or array.ndim != ndim:
        raise ValueError(f"{label}: got {array.dtype} of {array.ndim} dimensions")
    # A plain view of the map: np.memmap's bookkeeping costs more than a small search.
    plain: npt.NDArray[Any] = array.view(np.ndarray)
    return plain


def remove_segment(specs: Path, name: str) -> None:
    """Delete a segment that the catalog no longer names. Readers that have mapped it keep their maps."""
    shutil.rmtree(specs / name, ignore_errors=True)


def remove_orphans(specs: Path, named: set[str]) -> None:
    """Delete what a writer left that died before the catalog named it. Call only with the write lock held."""
    for name in {entry.name for entry in specs.iterdir()} - named:
        remove_segment(specs, name)
