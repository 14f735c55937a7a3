"""Which random features a space's sketches get beside them, and what those are made with.

See learndock.dock.chance and cpp/include/learndock/residual_features.hpp.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from learndock.dock.sketch_model import SketchModel

if TYPE_CHECKING:
    import numpy.typing as npt

    from learndock.dock.sketch_model import SketchFacts

    FloatArray = npt.NDArray[np.float64]

__all__ = ["feature_count", "with_features"]

# Noise shares above which proofs are weak, and very weak, and the numbers stored for each specification then. Above the
# third distances are noise, and estimates of a few hundred numbers do not tell them apart.
_WEAK, _VERY_WEAK, _NOISE = 0.2, 0.5, 0.8
_FEATURES, _MORE_FEATURES = 512, 1024


def with_features(model: SketchModel, kernel: Callable[[], FloatArray], rng: np.random.Generator) -> SketchModel:
    """A model with features where its bounds are weak, and the model as it is where they are not.

    Parameters
    ----------
    model : SketchModel
    kernel : callable
        Gives the kernel matrix of the landmarks, shape (D, D).
    rng : Generator
        Draws the frequencies. They are stored: another version of NumPy may draw others.
    """
    count = feature_count(model.facts)
    if not count:
        return model
    deviation = np.sqrt(2 * model.facts.gamma)
    frequencies = rng.normal(scale=deviation, size=(count // 2, model.landmarks.shape[1]))
    gram = np.ascontiguousarray(model.map @ kernel() @ model.map.T)
    return replace(model, facts=replace(model.facts, features=count), frequencies=frequencies, gram=gram)


def feature_count(facts: SketchFacts) -> int:
    """Real numbers of features for each specification, two for each frequency; 0 where they are not worth it."""
    if (facts.pays and facts.noise_share <= _WEAK) or facts.noise_share > _NOISE:
        return 0
    return _MORE_FEATURES if facts.noise_share >= _VERY_WEAK else _FEATURES
