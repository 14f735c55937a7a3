"""The sketches of a segment's specifications: .npy files in a folder within the segment's, named by their model.

Six of them, two more of random features where the model has some, and <P, P> of a search gamma.

They are made of the segment and can be made again at any time, so the catalog names only the model; a segment that has
none of that model is searched exactly. sketch.json holds the sha256 of each array.
"""

from __future__ import annotations

import json
import shutil
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from learndock._durable import new_file, sync_folder
from learndock.dock.segments import HashedFile, checksum_faults, mapped_array
from learndock.errors import DockError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy.typing as npt

    from learndock.dock.segments import Segment
    from learndock.dock.sketch_model import SketchModel

__all__ = [
    "Sketches",
    "make_sketches",
    "open_sketches",
    "other_sketches",
    "remove_other_sketches",
    "sketch_faults",
    "sketches_folder",
    "write_sketches",
]

_ARRAYS: dict[str, tuple[type[np.generic], int]] = {
    "codes": (np.int8, 1),
    "residuals": (np.float32, 2),
    "errors": (np.float32, 1),
    "order": (np.int32, 1),
    "ball_codes": (np.int8, 1),
    "balls": (np.float32, 2),
}
# Of sketches with features; a search does without them where they are missing.
_FEATURE_ARRAYS: dict[str, tuple[type[np.generic], int]] = {"feature_codes": (np.int8, 1), "measures": (np.float32, 2)}
# Of a space with a search gamma; a search computes it where it is missing.
_SELF_INNER: dict[str, tuple[type[np.generic], int]] = {"self_inner": (np.float64, 1)}
_PREFIX, _TEMPORARY = "sketch-", ".incoming-"
_LANES = 16


@dataclass(frozen=True, slots=True, eq=False)
class Sketches:
    """Sketches of one segment, in memory or mapped from files: in lanes, near ones side by side.

    Attributes
    ----------
    codes : ndarray of int8, shape (m * padded,)
        [block of 16 lanes][coordinate][lane] of the first stage, then [stage][lane][coordinate] of the others.
    residuals : ndarray of float32, shape (stages, padded)
    errors : ndarray of float32, shape (padded,)
    order : ndarray of int32, shape (N,)
        Which specification of the segment each lane has.
    ball_codes : ndarray of int8, shape (m of the first stage * balls,)
        A centre for each block, as `codes` has sketches.
    balls : ndarray of float32, shape (2, balls)
        Residual of the centre, and the radius that reaches all in the block.
    feature_codes : ndarray of int8, shape (2M * padded,), optional
        Random features, [block of 16 lanes][frequency][cosine, sine][lane].
    measures : ndarray of float32, shape (3, padded), optional
        With them: squared norm of the residual, scale and error.
    self_inner : ndarray of float64, shape (N,), optional
        <P, P> under the model's gamma, where that is a search gamma: the segment holds it under the space's own.
    """

    codes: npt.NDArray[np.int8]
    residuals: npt.NDArray[np.float32]
    errors: npt.NDArray[np.float32]
    order: npt.NDArray[np.int32]
    ball_codes: npt.NDArray[np.int8]
    balls: npt.NDArray[np.float32]
    feature_codes: npt.NDArray[np.int8] | None = None
    measures: npt.NDArray[np.float32] | None = None
    self_inner: npt.NDArray[np.float64] | None = None

    @property
    def nbytes(self) -> int:
        """Of all arrays."""
        arrays = (getattr(self, label) for label in (*_ARRAYS, *_FEATURE_ARRAYS, *_SELF_INNER))
        return sum(array.nbytes for array in arrays if array is not None)

    def batch(self, count: int) -> tuple[Any, ...]:
        """As the core's SketchSet takes the sketches of `count` specifications."""
        return (*(getattr(self, label) for label in _ARRAYS), count)


def make_sketches(model: SketchModel, segment: Segment, *, threads: int = 0) -> Sketches:
    """Sketch all specifications of a segment."""
    batch = segment.packed
    maker = model.core if model.features is None else model.features
    return Sketches(*maker.encode(batch.tiles, batch.weights, batch.offsets, segment.self_inner, threads))


def sketches_folder(segment_folder: Path, model_name: str) -> Path:
    """Where the sketches of a segment lie."""
    return segment_folder / f"{_PREFIX}{model_name}"


def write_sketches(segment_folder: Path, model: SketchModel, sketches: Sketches) -> None:
    """Write the sketches of a segment into its folder."""
    temporary = segment_folder / f"{_TEMPORARY}{uuid.uuid4().hex}"
    try:
        temporary.mkdir()
        sums = {}
        with_features, with_norms = sketches.feature_codes is not None, sketches.self_inner is not None
        for label in _labels(with_features=with_features, with_norms=with_norms):
            with new_file(temporary / f"{label}.npy") as file:
                hashed = HashedFile(file)
                np.save(hashed, getattr(sketches, label), allow_pickle=False)
            sums[label] = hashed.digest.hexdigest()
        with new_file(temporary / "sketch.json") as file:
            file.write(json.dumps({"model": model.name, "sha256": sums}).encode())
        sync_folder(temporary)
        temporary.rename(sketches_folder(segment_folder, model.name))
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(segment_folder)


def open_sketches(segment_folder: Path, model: SketchModel, count: int) -> Sketches | None:
    """Map the sketches of a segment with `count` specifications; None where it has none of this model.

    Raises
    ------
    DockError
        If they are damaged.
    """
    folder = sketches_folder(segment_folder, model.name)
    try:
        if not folder.exists():
            return None
        sketches = Sketches(*_mapped(folder, _ARRAYS))
        if model.facts.features and (folder / "feature_codes.npy").exists():
            sketches = replace(sketches, **dict(zip(_FEATURE_ARRAYS, _mapped(folder, _FEATURE_ARRAYS), strict=True)))
        if _has_norms(folder):
            sketches = replace(sketches, self_inner=_mapped(folder, _SELF_INNER)[0])
    except OSError as error:
        raise DockError(f"{error.filename or folder}: can't be opened ({error.strerror or error})") from None
    except (ValueError, TypeError) as error:
        raise DockError(f"{folder}: the sketches are damaged ({error})") from None
    padded, stages = -(-count // _LANES) * _LANES, model.facts.stages
    balls = -(-padded // _LANES**2) * _LANES
    expected = ((padded * stages[-1],), (len(stages), padded), (padded,), (count,), (balls * stages[0],), (2, balls))
    shapes = tuple(getattr(sketches, label).shape for label in _ARRAYS)
    if shapes != expected:
        raise DockError(f"{folder}: the sketches are damaged (their shapes are {shapes})")
    if not np.array_equal(np.sort(sketches.order), np.arange(count)):
        raise DockError(f"{folder}: the sketches are damaged (order.npy: expected each specification once)")
    if sketches.feature_codes is not None and sketches.measures is not None:
        shapes = (sketches.feature_codes.shape, sketches.measures.shape)
        if shapes != ((padded * model.facts.features,), (3, padded)):
            raise DockError(f"{folder}: the sketches are damaged (the shapes of their features are {shapes})")
    if sketches.self_inner is not None and sketches.self_inner.shape != (count,):
        raise DockError(f"{folder}: the sketches are damaged (self_inner has the shape {sketches.self_inner.shape})")
    return sketches


def _labels(*, with_features: bool, with_norms: bool) -> tuple[str, ...]:
    return (*_ARRAYS, *(_FEATURE_ARRAYS if with_features else ()), *(_SELF_INNER if with_norms else ()))


def _has_norms(folder: Path) -> bool:
    return (folder / "self_inner.npy").exists()


def _mapped(folder: Path, arrays: dict[str, tuple[type[np.generic], int]]) -> list[npt.NDArray[Any]]:
    return [mapped_array(folder, label, dtype, ndim) for label, (dtype, ndim) in arrays.items()]


def sketch_faults(segment_folder: Path, model: SketchModel, count: int) -> Iterator[str]:
    """What is wrong with the files of a segment's sketches, where there are any."""
    folder = sketches_folder(segment_folder, model.name)
    if not folder.exists():
        return
    try:
        yield from checksum_faults(
            folder, "sketch.json", _labels(with_features=model.facts.features > 0, with_norms=_has_norms(folder))
        )
        open_sketches(segment_folder, model, count)
    except (OSError, DockError) as error:
        yield f"can't be read ({error})"


def other_sketches(segment_folder: Path, model_name: str | None) -> list[Path]:
    """Sketches of other models than this one, and what a killed writer left."""
    kept = None if model_name is None else sketches_folder(segment_folder, model_name)
    found = [folder for pattern in (f"{_PREFIX}*", f"{_TEMPORARY}*") for folder in segment_folder.glob(pattern)]
    return [folder for folder in found if folder != kept]


def remove_other_sketches(segment_folder: Path, model_name: str | None) -> None:
    """Delete `other_sketches`. Readers that have mapped them keep their maps."""
    for folder in other_sketches(segment_folder, model_name):
        shutil.rmtree(folder, ignore_errors=True)
