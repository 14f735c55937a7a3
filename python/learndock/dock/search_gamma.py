"""Search gammas: a space whose own gamma does not rank is searched under another, and every result says so.

Points and weights stay those of the specifications; <P, P>, <user, user> and <user, P> are of the search gamma.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from learndock._validation import positive_gamma
from learndock.errors import InvalidArgument
from learndock.specification import RKMETableSpecification, median_gamma

if TYPE_CHECKING:
    from learndock.dock.results import SearchResult
    from learndock.dock.space import Space
    from learndock.dock.store import SpaceView

__all__ = ["checked_search_gamma", "checked_shape", "median_of_points", "under_gamma", "with_sentence"]

# Of so many specifications the median of squared distances is taken.
_SAMPLE = 1000


def checked_search_gamma(value: object, space: Space) -> float | Literal["median"] | None:
    """What a space's search gamma is to be."""
    if value is None:
        return None
    if isinstance(value, str) and value == "median":
        return "median"
    try:
        gamma = positive_gamma(value)
    except InvalidArgument:
        raise InvalidArgument(f'search_gamma: expected a positive number, "median" or None, got {value!r}') from None
    if gamma == space.gamma:
        raise InvalidArgument(f"search_gamma: expected another than the specifications' own {gamma!r}, or None")
    return gamma


def checked_shape(value: Any) -> tuple[int, ...]:
    """An input shape, or the one number in it."""
    sizes = value if isinstance(value, Sequence) and not isinstance(value, str | bytes) else [value]
    try:
        shape = tuple(operator.index(size) for size in sizes)
    except TypeError:
        shape = ()
    if not shape or min(shape) < 1:
        raise InvalidArgument(f"input_shape: expected a positive integer or a sequence of them, got {value!r}")
    return shape


def median_of_points(view: SpaceView, *, seed: int = 0) -> float:
    """`learndock.median_gamma` of points of a sample of a space's specifications.

    Raises
    ------
    InvalidArgument
        If there are none, or more than half of the pairs are of equal points.
    """
    alive = np.flatnonzero(view.visible(any_status=True))
    chosen = np.sort(np.random.default_rng(seed).choice(alive, min(_SAMPLE, len(alive)), replace=False))
    of_segment = np.searchsorted(view.starts, chosen, side="right") - 1
    points = [
        view.segments[segment].packed.embedding(int(place - view.starts[segment]))[0]
        for segment, place in zip(of_segment.tolist(), chosen.tolist(), strict=True)
    ]
    if sum(map(len, points)) < 2:
        raise InvalidArgument('search_gamma: "median" takes at least two docked points of this space')
    try:
        return median_gamma(np.concatenate(points), random_state=seed)
    except InvalidArgument:
        raise InvalidArgument(
            'search_gamma: "median" takes points that differ, and more than half of all pairs are equal'
        ) from None


def under_gamma(spec: RKMETableSpecification, gamma: float | None) -> RKMETableSpecification:
    """The same points and weights under another gamma; as it is where there is none."""
    if gamma is None:
        return spec
    return RKMETableSpecification(
        spec.points, spec.weights, gamma=gamma, num_points=spec.num_points, scaling=spec.scaling, moments=spec.moments
    )


def with_sentence(results: Sequence[SearchResult], space: Space, gamma: float | None) -> list[SearchResult]:
    """Results that say first under which gamma they were found, where it is not the space's own."""
    if gamma is None:
        return list(results)
    said = (
        f"compared under gamma {gamma:g}, which the dock's owner set for searches of gamma {space.gamma:g}: scores and "
        "distances differ from those of the specifications' own gamma, and whether anything fits is not said."
    )
    return [replace(result, warnings=(said, *result.warnings)) for result in results]
