"""What the sketches of a space are made with: landmarks, a map from values at them to coordinates, and their steps.

See CERTIFICATE in the documentation and cpp/include/learndock/sketch.hpp for the bound that sketches give. A model is a
folder of .npy files that never change, with model.json, which holds the sha256 of each and of the facts beside them; it
is written under a temporary name, synced and renamed before the catalog names it. It can be made again from the
specifications at any time.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import uuid
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from learndock import _core
from learndock._durable import make_folders, new_file, sync_folder
from learndock.dock.noise import gamma_of_points
from learndock.dock.segments import HashedFile, checksum_faults, mapped_array
from learndock.errors import DockError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import numpy.typing as npt

    from learndock.dock.space import Space

    FloatArray = npt.NDArray[np.float64]

__all__ = ["SketchFacts", "SketchModel", "model_faults", "open_model", "write_model"]

# Layout 3: sketches in lanes, near ones side by side: codes [block][coordinate][16] of the first stage, then
# [stage][lane][coordinate] of the others, residuals [stage][lane], errors [lane], and a ball for each block. In layout
# 2 they were in the order of the specifications, in layout 1 the other stages were as the first besides.
LAYOUT = 3
_ARRAYS: dict[str, tuple[type[np.generic], int]] = {
    "landmarks": (np.float32, 2),
    "map": (np.float64, 2),
    "offsets": (np.float64, 1),
    "scales": (np.float32, 1),
}
# Of a model with features: sqrt(2 gamma) times normal numbers, and A K A^T.
_FEATURE_ARRAYS: dict[str, tuple[type[np.generic], int]] = {"frequencies": (np.float64, 2), "gram": (np.float64, 2)}
_TEMPORARY = ".incoming-"


@dataclass(frozen=True, slots=True)
class SketchFacts:
    """What was found when a model was made.

    Attributes
    ----------
    gamma : float
    stages : tuple of int
        Prefixes of the coordinates whose bounds are looked at one after the other; the last one is all of them.
    correlation : float
        Of the residuals of near embeddings, 0 to 1: guesses of distances use it.
    noise_share : float
        The mean over specifications of sum_j w_j^2 / ||P||^2: the share of ||P||^2 that single points have with
        themselves. Above 0.5 no sketch proves much.
    specs : int
        How many the space held.
    predicted : float
        Exact evaluations of a search for 10, the median of leave-one-out searches, raised to that many.
    features : int
        Numbers of a specification's random features, which stand beside its sketch where bounds are weak; 0 for none.
    """

    gamma: float
    stages: tuple[int, ...]
    correlation: float
    noise_share: float
    specs: int
    predicted: float
    features: int = 0

    @property
    def pays(self) -> bool:
        """Whether bounds are likely to spare a search most of a scan."""
        return self.predicted <= self.specs / 3

    def require_numbers(self) -> None:
        """Raise ValueError where a value, read from a file, is no number."""
        for name in ("gamma", "correlation", "noise_share", "specs", "predicted", "features"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise ValueError(f"{name}: got {value!r:.80}")

    @property
    def bytes_a_spec(self) -> int:
        """Of codes, residuals and errors, the order and a share of a ball; of features and what is known of them."""
        ball = -(-(self.stages[0] + 8) // 16)
        return self.stages[-1] + 4 * len(self.stages) + 8 + ball + (self.features + 12 if self.features else 0)


@dataclass(frozen=True, eq=False)
class SketchModel:
    """A model, in memory or mapped from files.

    Attributes
    ----------
    name : str
        Empty for one that was not written yet.
    facts : SketchFacts
    landmarks : ndarray of float32, shape (D, d)
    map : ndarray of float64, shape (m, D)
        A, with A K A^T <= I for the kernel matrix K of the landmarks.
    offsets : ndarray of float64, shape (m,)
    scales : ndarray of float32, shape (m,)
        A coordinate is stored as the nearest of 255 steps of this length around the offset.
    frequencies : ndarray of float64, shape (M, d), optional
        Of the random features.
    gram : ndarray of float64, shape (m, m), optional
        A K A^T; with them.
    """

    name: str
    facts: SketchFacts
    landmarks: npt.NDArray[np.float32]
    map: FloatArray
    offsets: FloatArray
    scales: npt.NDArray[np.float32]
    frequencies: FloatArray | None = None
    gram: FloatArray | None = None

    @cached_property
    def core(self) -> _core.SketchMap:
        """The map as the core has it."""
        return _core.SketchMap(
            self.landmarks.astype(np.float64),
            self.map,
            self.offsets,
            self.scales,
            list(self.facts.stages),
            self.facts.gamma,
        )

    @cached_property
    def median_gamma(self) -> float | None:
        """`learndock.median_gamma` of the landmarks, None where they do not differ."""
        return gamma_of_points(self.landmarks)

    @cached_property
    def features(self) -> _core.ResidualFeatures | None:
        """What makes features, as the core has it."""
        if self.frequencies is None or self.gram is None:
            return None
        return _core.ResidualFeatures(self.core, self.frequencies, self.gram)


def _arrays_of(facts: SketchFacts) -> dict[str, tuple[type[np.generic], int]]:
    return {**_ARRAYS, **(_FEATURE_ARRAYS if facts.features else {})}


def write_model(sketches: Path, model: SketchModel) -> SketchModel:
    """Write a model into the folder of models, under a new name."""
    name = uuid.uuid4().hex
    temporary = sketches / f"{_TEMPORARY}{name}"
    try:
        make_folders(sketches)
        temporary.mkdir()
        sums = {}
        for label in _arrays_of(model.facts):
            with new_file(temporary / f"{label}.npy") as file:
                hashed = HashedFile(file)
                np.save(hashed, getattr(model, label), allow_pickle=False)
            sums[label] = hashed.digest.hexdigest()
        facts = asdict(model.facts)
        about = {"layout": LAYOUT, **facts, "sha256": {**sums, "facts": _facts_sha256(facts)}}
        with new_file(temporary / "model.json") as file:
            file.write(json.dumps(about).encode())
        sync_folder(temporary)
        temporary.rename(sketches / name)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(sketches)
    return replace(model, name=name)


def open_model(folder: Path, space: Space) -> SketchModel | None:
    """Map the model of a space; None where it is not there: a copy of a dock has none until it is optimized.

    Raises
    ------
    DockError
        If it is damaged.
    """
    try:
        if not folder.exists():
            return None
        about = json.loads((folder / "model.json").read_bytes())
        if about.pop("layout") != LAYOUT:
            return None
        if about.pop("sha256")["facts"] != _facts_sha256(about):
            raise ValueError("model.json is not what was written")
        about["stages"] = tuple(about["stages"])
        facts = SketchFacts(**about)
        facts.require_numbers()
        arrays: dict[str, Any] = {
            label: mapped_array(folder, label, dtype, ndim) for label, (dtype, ndim) in _arrays_of(facts).items()
        }
        for label, array in arrays.items():
            if not np.isfinite(array).all():
                raise ValueError(f"{label}.npy: expected finite numbers")
        model = SketchModel(folder.name, facts, **arrays)
        # Shapes that disagree are found here.
        _ = model.core, model.features
        dim = int(np.prod(space.input_shape))
        if (facts.gamma, model.landmarks.shape[1]) != (space.gamma, dim):
            raise ValueError(f"it is one of gamma {facts.gamma:g} and {model.landmarks.shape[1]} coordinates")
        if model.frequencies is not None and 2 * len(model.frequencies) != facts.features:
            raise ValueError(f"frequencies: got {len(model.frequencies)}")
    except OSError as error:
        raise DockError(f"{error.filename or folder}: can't be opened ({error.strerror or error})") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DockError(f"{folder}: the sketches' model is damaged ({error})") from None
    return model


def model_faults(folder: Path, space: Space) -> Iterator[str]:
    """What is wrong with the files of a model, where there are any."""
    if not folder.exists():
        return
    try:
        yield from checksum_faults(folder, "model.json", _ARRAYS)
        model = open_model(folder, space)
        if model is not None and model.facts.features:
            yield from checksum_faults(folder, "model.json", _FEATURE_ARRAYS)
    except (OSError, DockError) as error:
        yield f"can't be read ({error})"


def _facts_sha256(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
