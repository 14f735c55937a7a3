"""Search by sketches: what can't be among the nearest is left out with a proof.

1. In one pass over all sketches: a lower bound of each specification's distance, and the most promising ones.
2. Those are computed in float64; the last of the k nearest of them is the threshold.
3. What has a bound above the threshold is out. The others' bounds are refined by the rest of their coordinates.
4. What is left is computed in the order of the bounds, block after block, until the next bound is above the threshold:
   then the k nearest are proven. Specifications without sketches count as ones of bound 0.

Where that would leave too much, the whole space is scanned instead. With a budget, step 4 ends when it is spent; the
smallest bound of what was left out then says how much is proven.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from learndock import _core
from learndock.dock.mixtures import Nearest, Wish
from learndock.dock.scan import by_segment, exact_products

if TYPE_CHECKING:
    import numpy.typing as npt

    from learndock.dock.scan import HasEmbedding
    from learndock.dock.sketch_model import SketchFacts
    from learndock.dock.store import SpaceView

    FloatArray = npt.NDArray[np.float64]
    IndexArray = npt.NDArray[np.int64]

__all__ = ["Found", "certified_nearest"]

# Of the most promising by the first stage, and of those by all coordinates: what sets the threshold.
_PROMISING, _FIRST = 256, 64
# Specifications computed in one go; each go is twice the last.
_BLOCK = 128
# Above, float32 with a bound on its error thins out a block before float64, which costs eight times as much.
_MANY = 32
# Bounds end below, and are infinite for what is hidden.
_FARTHEST = 3.2e38
# A search that would compute more than this share of the space scans it.
_SCANNED_SHARE = 1 / 3


@dataclass(slots=True)
class Found:
    """What was found for one user.

    Attributes
    ----------
    nearest : Nearest or None
        None where bounds are too weak: the space is to be scanned.
    unseen : float
        No specification that was not computed is nearer than that, squared.
    bounds, refined, evaluated : int
        Sketches looked at, those looked at with all coordinates, and specifications computed.
    """

    nearest: Nearest | None
    unseen: float
    bounds: int
    refined: int
    evaluated: int


@dataclass(slots=True)
class _User:
    """One user, and all that was computed exactly so far."""

    spec: HasEmbedding
    self_inner: float
    wanted: int
    at: IndexArray = field(default_factory=lambda: np.empty(0, np.int64))
    mmd2: FloatArray = field(default_factory=lambda: np.empty(0))
    products: FloatArray = field(default_factory=lambda: np.empty(0))
    evaluated: int = 0

    @property
    def threshold(self) -> float:
        """Squared distance above which nothing is wanted. Rounding can make a distance negative, a bound never is."""
        if len(self.mmd2) < self.wanted:
            return np.inf
        return max(0.0, float(np.partition(self.mmd2, self.wanted - 1)[self.wanted - 1]))

    @property
    def reach(self) -> np.float32:
        """The threshold for bounds in float32, rounded up, and below what hides a specification."""
        return min(np.nextafter(np.float32(min(self.threshold, _FARTHEST)), np.float32(np.inf)), np.float32(_FARTHEST))

    def compute(self, view: SpaceView, at: IndexArray, threads: int) -> None:
        """Compute the distances to the specifications at ascending places, as far as they can be wanted."""
        self.evaluated += len(at)
        if len(at) > _MANY:
            at = self._thinned_out(view, at, threads)
        products = exact_products(view, self.spec, at, threads)
        self.at = np.concatenate([self.at, at])
        self.products = np.concatenate([self.products, products])
        self.mmd2 = np.concatenate([self.mmd2, self.self_inner - 2 * products + view.self_inner[at]])

    def _thinned_out(self, view: SpaceView, at: IndexArray, threads: int) -> IndexArray:
        query = _core.PreparedQuery(self.spec.points, self.spec.weights, self.spec.gamma)
        products, errors = np.empty(len(at)), np.empty(len(at))
        for here, batch, chosen in by_segment(view, at):
            products[here], errors[here] = _core.chosen_inner_products_float(
                query, batch.tiles, batch.weights, batch.offsets, chosen, threads
            )
        mmd2 = self.self_inner - 2 * products + view.self_inner[at]
        upper = mmd2 + 2 * errors
        threshold = self.threshold
        if len(at) >= self.wanted:
            threshold = min(threshold, float(np.partition(upper, self.wanted - 1)[self.wanted - 1]))
        return at[mmd2 - 2 * errors <= max(0.0, threshold)]

    def nearest(self, view: SpaceView) -> Nearest:
        """The nearest of all that was computed, ties by id."""
        order = np.lexsort((view.ids[self.at], self.mmd2))[: self.wanted]
        return Nearest(self.at[order], self.mmd2[order], self.products[order], self.evaluated, None)


def certified_nearest(
    view: SpaceView,
    specs: Sequence[HasEmbedding],
    self_inner: Sequence[float],
    wish: Wish,
    *,
    hidden: Sequence[npt.NDArray[np.bool_] | None],
    budget: int | None,
    threads: int,
    stage: Callable[[str], AbstractContextManager[None]],
) -> list[Found]:
    """The nearest specifications of each user, by sketches.

    Parameters
    ----------
    view : SpaceView
        With a model and sketches.
    specs : sequence of specifications
    self_inner : sequence of float
        <user, user>.
    wish : Wish
    hidden : sequence of (ndarray of bool or None)
        For each user, what may not be returned, in the order of the view; None where all may.
    budget : int, optional
        Specifications to compute at most, but for those without sketches; None for as many as a proof takes.
    threads : int
    stage : callable
        Gives a context that takes the time of a stage.
    """
    model, sketched = view.model, view.sketched
    if model is None:
        raise ValueError("view: no sketches")
    with stage("bounds"):
        queries = [
            model.core.query(spec.points, spec.weights, inner, threads)
            for spec, inner in zip(specs, self_inner, strict=True)
        ]
        masks = [None if mask is None else np.ascontiguousarray(mask[:sketched]) for mask in hidden]
        promising = min(sketched, _PROMISING if budget is None else max(_PROMISING, 2 * budget))
        bounds, best = view.sketch_set.first(queries, masks, model.facts.correlation, promising, threads)
    with stage("evaluate"):
        found = []
        for i, mask in enumerate(hidden):
            user = _User(specs[i], self_inner[i], _wanted(wish, mask, len(view.ids)))
            found.append(_prove(view, model.facts, queries[i], user, bounds[i], best[i], mask, budget, threads))
        return found


def _wanted(wish: Wish, hidden: npt.NDArray[np.bool_] | None, count: int) -> int:
    visible = count if hidden is None else count - int(np.count_nonzero(hidden))
    return min(max(wish.k, wish.candidates), visible)


def _prove(
    view: SpaceView,
    facts: SketchFacts,
    query: _core.SketchQuery,
    user: _User,
    bounds: npt.NDArray[np.float32],
    promising: IndexArray,
    hidden: npt.NDArray[np.bool_] | None,
    budget: int | None,
    threads: int,
) -> Found:
    last, correlation = len(facts.stages) - 1, facts.correlation
    bare = np.arange(view.sketched, len(view.ids))
    if hidden is not None:
        bare = bare[~hidden[view.sketched :]]
    if len(bare):
        user.compute(view, bare, threads)

    promising = np.sort(promising[promising >= 0])
    _, guesses = view.sketch_set.refine(query, correlation, last, promising, threads)
    first = max(_FIRST, 2 * user.wanted) if budget is None else budget
    promising = promising[np.argsort(guesses, kind="stable")[:first]]
    user.compute(view, np.sort(promising), threads)

    reach = user.reach
    left = np.flatnonzero(bounds <= reach)
    left = left[np.isin(left, promising, assume_unique=True, invert=True)]
    lower, _ = view.sketch_set.refine(query, correlation, last, left, threads)
    near = lower <= reach
    refined = len(left)
    beyond = float(np.min(bounds, where=bounds > reach, initial=np.inf))
    beyond = min(beyond, float(np.min(lower, where=~near, initial=np.inf)))
    left, lower = left[near], lower[near]
    counts = (len(bounds), refined)
    if budget is not None:
        # What the threshold has left out is farther than it; what is left may be as near as its bound.
        unseen = float(np.min(lower, initial=beyond))
        return Found(user.nearest(view), unseen, *counts, user.evaluated)
    if len(left) > _SCANNED_SHARE * len(view.ids):
        return Found(None, 0.0, *counts, user.evaluated)
    order = np.argsort(lower, kind="stable")
    left, lower = left[order], lower[order]
    done, size = 0, _BLOCK
    while done < len(left) and lower[done] <= user.reach:
        end = min(done + size, int(np.searchsorted(lower, user.reach, side="right")))
        user.compute(view, np.sort(left[done:end]), threads)
        done, size = end, 2 * size
    return Found(user.nearest(view), user.threshold, *counts, user.evaluated)
