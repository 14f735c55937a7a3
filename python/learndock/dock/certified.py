"""Search by sketches: what can't be among the nearest is left out with a proof.

1. A pass over the balls of all sketches, for many users at a time, finds the most promising specifications by the
   first coordinates, and keeps the bounds of the balls.
2. The best of those by all coordinates are computed in float64; the last of the k nearest of them is the threshold.
3. All are left out whose bound, or their ball's, is above the threshold. The bounds of the others are refined by the
   rest of the coordinates.
4. What is left is computed in the order of the bounds, block after block, until the next bound is above the threshold:
   then the k nearest are proven. Specifications without sketches are all computed.

Where a proof would compute much and a chance is enough, bounds of random features leave out more in step 4: see
learndock.dock.chance.

Where that would leave too much, the whole space is scanned instead. With a budget, step 4 ends when it is spent; the
smallest bound of what was left out then says how much is proven.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from learndock import _core
from learndock.dock.chance import Chance, deviations_for
from learndock.dock.mixtures import Nearest, Wish
from learndock.dock.scan import chosen_scan, exact_products, squared_distances, thinning_queries

if TYPE_CHECKING:
    import numpy.typing as npt

    from learndock.dock.scan import HasEmbedding, Thinning
    from learndock.dock.sketch_model import SketchModel
    from learndock.dock.store import SpaceView

    FloatArray = npt.NDArray[np.float64]
    IndexArray = npt.NDArray[np.int64]

_T = TypeVar("_T")

__all__ = ["Found", "certified_nearest"]

# The most promising by the first stage. So many of those, and two for each that is wanted, set the threshold.
_PROMISING, _FIRST = 256, 10
# Specifications computed in one go; each go is so many times the last, or twice where bounds hold with a chance.
_BLOCK, _GROWTH = 128, 8
# Above, integers and float32 with bounds on their errors thin out a block before float64, which costs four times as
# much.
_MANY = 32
# Bounds end below.
_FARTHEST = 3.2e38
# Users whose bounds of balls are kept at a time: 4 MB in a dock of a million.
_TOGETHER = 32
# A search that would compute more than this share of the space scans it.
_SCANNED_SHARE = 1 / 3
# And up to here a proof is cheap enough where a chance would do.
_PROVEN_SHARE = 1 / 100


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
        Sketches bounded, alone or by their ball, those looked at with all coordinates, and specifications computed.
    chance : Chance, optional
        Where bounds of random features were looked at. What lies between `unseen` and the nearest was left out by them.
    """

    nearest: Nearest | None
    unseen: float
    bounds: int
    refined: int
    evaluated: int
    chance: Chance | None = None


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
    thinning: list[Thinning] = field(default_factory=list)

    @property
    def threshold(self) -> float:
        """Squared distance above which nothing is wanted. Rounding can make a distance negative, a bound never is."""
        if len(self.mmd2) < self.wanted:
            return np.inf
        return max(0.0, float(np.partition(self.mmd2, self.wanted - 1)[self.wanted - 1]))

    @property
    def reach(self) -> np.float32:
        """The threshold for bounds in float32, rounded up."""
        return min(np.nextafter(np.float32(min(self.threshold, _FARTHEST)), np.float32(np.inf)), np.float32(_FARTHEST))

    def compute(self, view: SpaceView, at: IndexArray, threads: int) -> None:
        """Compute the distances to the specifications at ascending places, as far as they can be wanted."""
        self.evaluated += len(at)
        if len(at) > _MANY and not self.thinning:
            self.thinning = thinning_queries(self.spec)
        for query in self.thinning:
            if len(at) > _MANY:
                at = self._thinned_out(view, query, at, threads)
        products = exact_products(view, self.spec, at, threads)
        self.at = np.concatenate([self.at, at])
        self.products = np.concatenate([self.products, products])
        mmd2 = squared_distances(self.self_inner, products, view.self_inner[at])
        self.mmd2 = np.concatenate([self.mmd2, mmd2])

    def _thinned_out(self, view: SpaceView, query: Thinning, at: IndexArray, threads: int) -> IndexArray:
        found = chosen_scan(view, query, self.self_inner, at, threads)
        threshold = self.threshold
        if len(at) >= self.wanted:
            upper = found.mmd2 + found.error
            threshold = min(threshold, float(np.partition(upper, self.wanted - 1)[self.wanted - 1]))
        return at[found.mmd2 - found.error <= max(0.0, threshold)]

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
    hidden: npt.NDArray[np.bool_] | None,
    visible: int,
    budget: int | None,
    delta: float | None,
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
    hidden : ndarray of bool, optional
        What may not be returned, in the order of the view; None where all may.
    visible : int
        How many may.
    budget : int, optional
        Specifications to compute at most, but for those without sketches; None for as many as a proof takes.
    delta : float, optional
        The chance with which one of the nearest may be lost; None for a proof.
    threads : int
    stage : callable
        Gives a context that takes the time of a stage.
    """
    model, sketched = view.model, view.sketched
    if model is None:
        raise ValueError("view: no sketches")
    wanted = min(max(wish.k, wish.candidates), visible)
    users = [_User(spec, inner, wanted) for spec, inner in zip(specs, self_inner, strict=True)]
    # Fewer than are wanted would set no threshold.
    count = min(sketched, max(_PROMISING, 2 * (wanted if budget is None else budget)))
    bounds = np.empty(min(_TOGETHER, len(users)) * view.sketch_set.ball_lanes, np.int16)
    found: list[Found] = []
    for start in range(0, len(users), _TOGETHER):
        with stage("bounds"):
            provers = [
                _Prover(
                    view,
                    model,
                    model.core.query(user.spec.points, user.spec.weights, user.self_inner, threads),
                    user,
                    hidden,
                    budget,
                    delta,
                )
                for user in users[start : start + _TOGETHER]
            ]
        found += _proven(provers, count, bounds[: len(provers) * view.sketch_set.ball_lanes], threads, stage)
    return found


def _proven(
    provers: Sequence[_Prover],
    count: int,
    bounds: npt.NDArray[np.int16],
    threads: int,
    stage: Callable[[str], AbstractContextManager[None]],
) -> list[Found]:
    """What is found for some users of a space together; `bounds` is room for those of the balls."""
    view, correlation = provers[0].view, provers[0].model.facts.correlation
    sketches, queries = view.sketch_set, [prover.query for prover in provers]
    masks = [None if prover.hidden is None else prover.hidden[: view.sketched] for prover in provers]
    with stage("bounds"):
        promising = sketches.promising(queries, masks, correlation, count, bounds, threads)
    with stage("evaluate"):
        _for_each(lambda i, own: provers[i].begin(promising[i], own), len(provers), threads)
    with stage("bounds"):
        reach = [float(prover.user.reach) for prover in provers]
        within = sketches.within(queries, masks, bounds, reach, threads)
    with stage("evaluate"):
        return _for_each(lambda i, own: provers[i].finish(within[i], own), len(provers), threads)


def _for_each(work: Callable[[int, int], _T], count: int, threads: int) -> list[_T]:
    """work(i, threads of its own) for each user: many users side by side, a single one with all threads."""
    workers = min(count, threads or _core.default_threads())
    if workers == 1:
        return [work(i, threads) for i in range(count)]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda i: work(i, 1), range(count)))


def _not_among(places: IndexArray, some: IndexArray) -> npt.NDArray[np.bool_]:
    """Which of the places are not some others; both ascend, and there are few of the others."""
    rest = np.ones(len(places), dtype=bool)
    at = np.searchsorted(places, some)
    inside = at < len(places)
    at = at[inside]
    rest[at[places[at] == some[inside]]] = False
    return rest


@dataclass(slots=True)
class _Prover:
    """What is done for one user alone."""

    view: SpaceView
    model: SketchModel
    query: _core.SketchQuery
    user: _User
    hidden: npt.NDArray[np.bool_] | None
    budget: int | None
    delta: float | None
    first: IndexArray = field(default_factory=lambda: np.empty(0, np.int64))

    def begin(self, promising: IndexArray, threads: int) -> None:
        """Compute what has no sketch, and what promises most."""
        bare = np.arange(self.view.sketched, len(self.view.ids))
        if self.hidden is not None:
            bare = bare[~self.hidden[self.view.sketched :]]
        if len(bare):
            self.user.compute(self.view, bare, threads)
        promising = promising[promising >= 0]
        if len(self.model.facts.stages) > 1:
            promising = np.sort(promising)
            _, guesses = self._refined(promising, threads)
            promising = promising[np.argsort(guesses, kind="stable")]
        count = _FIRST + 2 * self.user.wanted if self.budget is None else self.budget
        self.first = np.sort(promising[:count])
        self.user.compute(self.view, self.first, threads)

    def finish(self, within: tuple[IndexArray, npt.NDArray[np.float32]], threads: int) -> Found:
        """Compute what may be nearer than what was found, until nothing is or the budget is spent."""
        view, user, reach = self.view, self.user, self.user.reach
        rest = _not_among(within[0], self.first)
        left, lower = within[0][rest], within[1][rest]
        refined = len(left)
        if len(self.model.facts.stages) > 1:
            lower, _ = self._refined(left, threads)
            near = lower <= reach
            left, lower = left[near], lower[near]
        if self.budget is not None:
            # What was left out is farther than the reach; what is left may be as near as its bound.
            unseen = float(np.min(lower, initial=np.nextafter(reach, np.float32(np.inf))))
            return Found(user.nearest(view), unseen, view.sketched, refined, user.evaluated)
        chance = self._chance(len(left), threads)
        if chance is not None:
            bounds = np.maximum(lower, chance.bounds(left, threads))
            rest = ~self._compute_near(left, bounds, threads, chance)
            left, lower = left[rest], lower[rest]
            if chance.holds and not np.any(bounds[rest] <= user.reach):
                unseen = float(np.min(lower, initial=np.inf))
                return Found(user.nearest(view), unseen, view.sketched, refined, user.evaluated, chance)
        if len(left) > _SCANNED_SHARE * len(view.ids):
            return Found(None, 0.0, view.sketched, refined, user.evaluated, chance)
        self._compute_near(left, lower, threads)
        return Found(user.nearest(view), np.inf, view.sketched, refined, user.evaluated, chance)

    def _compute_near(
        self, left: IndexArray, bounds: npt.NDArray[np.float32], threads: int, chance: Chance | None = None
    ) -> npt.NDArray[np.bool_]:
        """Compute what may be near by these bounds, in their order, and tell which that were.

        Ends early where bounds that hold with a chance are refuted by an exact value, or too weak.
        """
        user, size = self.user, _BLOCK if chance is None else _MANY
        computed = np.zeros(len(left), dtype=bool)
        while len(near := np.flatnonzero(~computed & (bounds <= user.reach))):
            # The first go lowers the reach.
            weak = computed.any() and len(near) > _SCANNED_SHARE * len(self.view.ids)
            if chance is not None and (weak or not chance.holds):
                break
            if len(near) > size:
                near = np.sort(near[np.argpartition(bounds[near], size)[:size]])
            user.compute(self.view, left[near], threads)
            computed[near] = True
            if chance is not None:
                chance.audit(user.at, user.mmd2, threads)
            size *= _GROWTH if chance is None else 2
        return computed

    def _chance(self, left: int, threads: int) -> Chance | None:
        """Bounds of random features, where they may be used, there are some, and a proof is not cheap."""
        view, user = self.view, self.user
        if self.delta is None or left <= _PROVEN_SHARE * len(view.ids):
            return None
        if self.model.features is None or view.feature_set is None:
            return None
        query = self.model.features.query(user.spec.points, user.spec.weights, self.query, user.self_inner)
        chance = Chance(view.feature_set, self.query, query, self.delta, deviations_for(self.delta, user.wanted))
        chance.audit(user.at, user.mmd2, threads)
        return chance

    def _refined(self, at: IndexArray, threads: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Bounds and guesses by all coordinates."""
        facts = self.model.facts
        return self.view.sketch_set.refine(self.query, facts.correlation, len(facts.stages) - 1, at, threads)
