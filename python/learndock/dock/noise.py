"""Where distances of a space mean little: most points of its specifications are strangers to each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from learndock.errors import InvalidArgument
from learndock.specification import median_gamma

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from learndock.dock.sketch_model import SketchModel

__all__ = ["gamma_advice", "gamma_of_points", "ranking_warning"]

# Shares of noise above which bounds are weak, and above which distances say nothing: measured on made and real docks.
_WEAK, _MEANINGLESS = 0.5, 0.8


def gamma_of_points(points: npt.NDArray[np.float32]) -> float | None:
    """`learndock.median_gamma`, None of points that do not differ."""
    try:
        return median_gamma(points)
    except InvalidArgument:
        return None


def gamma_advice(gamma: float, noise_share: float, median: float | None) -> str | None:
    """What to know before trusting a search at this gamma, and what to do; None where all is well.

    Parameters
    ----------
    gamma, noise_share : float
        Of the space; see `SketchFacts`.
    median : float, optional
        `gamma_of_points` of its points.
    """
    # Of specifications with hardly more than one point the share is high at any gamma.
    if noise_share <= _WEAK or median is None or median >= gamma:
        return None
    instead = f"gamma={median:.2g}, 1 / the median squared distance of its points"
    if noise_share > _MEANINGLESS:
        return (
            f"gamma {gamma:g} does not rank: points are strangers to each other (noise share {noise_share:.2f}), so "
            "that distances tell the size of embeddings and not how alike they are. Fit specifications with a smaller "
            f"gamma, such as {instead}; or have the dock's owner let searches compare under it, by "
            "`Dock.set_search_gamma`."
        )
    return (
        f"bounds are weak at gamma {gamma:g} (noise share {noise_share:.2f}): a proof takes many exact values, or a "
        f"scan. A smaller gamma makes them stronger, such as {instead}."
    )


def ranking_warning(model: SketchModel | None) -> tuple[str, ...]:
    """What to say with the result of a search where the space's gamma does not rank."""
    if model is None or model.facts.noise_share <= _MEANINGLESS:
        return ()
    advice = gamma_advice(model.facts.gamma, model.facts.noise_share, model.median_gamma)
    return () if advice is None else (advice,)
