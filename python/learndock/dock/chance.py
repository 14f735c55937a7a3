"""Bounds that hold with a stated chance, where those that are proven leave out too little.

Where most pairs of points are far apart, nearly all of an embedding lies beyond its sketch, and no proof of a few bytes
helps. Random features of what lies beyond estimate the distances instead. An estimate is a mean over M frequencies that
were drawn at random when the space was sketched, so it is off by a multiple of its standard deviation sigma that the
normal law bounds: only the specifications that are truly wanted can be lost by a bound that is too high, so with
`wanted` P(z > t) = delta none of them is, but for a chance of delta. That rests on the central limit theorem, and on
specifications that were not made for the frequencies of this dock. It is no proof.

So every exact value that a search computes is compared with its estimate. One that is off by more than t sigma refutes
the law, and the search goes on without it. Of specifications that are computed because their bounds are low, only
estimates that are too high say something: among many, those with the lowest estimates are there for being too low.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from learndock import _core

    FloatArray = npt.NDArray[np.float64]
    IndexArray = npt.NDArray[np.int64]

__all__ = ["Chance", "chance_warning", "deviations_for"]


def deviations_for(delta: float, wanted: int) -> float:
    """The t with wanted P(z > t) = delta for a standard normal z."""
    return -NormalDist().inv_cdf(min(0.5, delta / max(1, wanted)))


@dataclass(slots=True)
class Chance:
    """Bounds of one user, and what came of comparing them with exact values.

    Attributes
    ----------
    features : learndock._core.FeatureSet
    sketch : learndock._core.SketchQuery
    query : learndock._core.FeatureQuery
    delta : float
    deviations : float
        t, in standard deviations.
    audited : int
        How many exact values were compared.
    largest_z : float
        Of (estimate - exact) / sigma, beyond what known errors explain; without the sign where bounds chose nothing.
    """

    features: _core.FeatureSet
    sketch: _core.SketchQuery
    query: _core.FeatureQuery
    delta: float
    deviations: float
    audited: int = 0
    largest_z: float = 0.0
    _seen: int = 0

    @property
    def holds(self) -> bool:
        """Whether no exact value has refuted the law."""
        return self.largest_z <= self.deviations

    def bounds(self, at: IndexArray, threads: int) -> npt.NDArray[np.float32]:
        """Lower bounds of squared distances to the specifications at these places, which have sketches."""
        return self.features.bounds(self.sketch, self.query, self.deviations, at, threads)

    def audit(self, at: IndexArray, mmd2: FloatArray, threads: int) -> None:
        """Compare exact values; those of an earlier call come first and are not compared again.

        Those of the first call are taken as computed before there were bounds.
        """
        chosen_by_bounds = self._seen > 0
        at, mmd2 = at[self._seen :], mmd2[self._seen :]
        self._seen += len(at)
        sketched = at < self.features.total
        at, mmd2 = at[sketched], mmd2[sketched]
        self.audited += len(at)
        z = self.features.deviations(self.sketch, self.query, at, mmd2, threads)
        self.largest_z = max(self.largest_z, float(np.max(z if chosen_by_bounds else np.abs(z), initial=0.0)))

    @property
    def work(self) -> dict[str, float]:
        """For `SearchResult.work`."""
        return {"audited": float(self.audited), "largest_z": self.largest_z}


def chance_warning(chance: Chance | None) -> tuple[str, ...]:
    """What to say where the law was refuted."""
    if chance is None or chance.holds:
        return ()
    return (
        f"certificate 'chance' was turned off for this search: an exact value is {chance.largest_z:.3g} standard "
        f"deviations off its estimate, more than the {chance.deviations:.3g} that delta {chance.delta:g} allows",
    )
