"""The search of one space: by sketches that leave out most of it with a proof, or by a scan of all of it.

A scan looks at every specification, so its result is proven. Where all are wanted, or few are let through, it computes
them in float64; else:

1. Inner products of the user with all specifications, in 16-bit integers where that pays, else in float32, each with a
   bound on its error.
2. Whatever could be among the nearest by those bounds is computed again, in float32 where it is much, then in float64.
3. The nearest are ordered by (mmd2, id); a mixture is built of them.

See learndock.dock.certified for the search by sketches. Both give the same ids and the same values.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from learndock.config import resolve_threads
from learndock.dock.certified import Found, certified_nearest
from learndock.dock.chance import chance_warning
from learndock.dock.greedy_dock import greedy_over_dock
from learndock.dock.ids import learnware_name
from learndock.dock.mixtures import Nearest, Spread, Wish, find_mixtures
from learndock.dock.noise import ranking_warning
from learndock.dock.results import Hit, Mixture, SearchResult
from learndock.dock.scan import (
    MANY_SURVIVORS,
    Scan,
    exact_products_of_many,
    exact_scan,
    scan,
    squared_distances,
    thin_out,
)
from learndock.dock.score import reference_scores
from learndock.memory import at_once, certified_bytes, search_bytes

if TYPE_CHECKING:
    import numpy.typing as npt

    from learndock.dock.progress import Progress
    from learndock.dock.store import SpaceView
    from learndock.specification import RKMETableSpecification

    FloatArray = npt.NDArray[np.float64]
    IndexArray = npt.NDArray[np.int64]

# Below this share of the space a filter's survivors are computed in float64 one by one; above, the whole space is
# scanned in float32, which costs about an eighth a specification.
_NARROW_FILTER = 1 / 8

# Up to so many candidates are computed one by one: that takes less than bounds of all.
_FEW = 256

# Where more than these could be the farthest by their bounds, those that seem so are compared.
_MOST_FARTHEST = 16


SearchMethod = Literal["certified", "exact", "approximate"]
Certificate = Literal["proof", "chance"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a search of one space is asked for, beside its users.

    Attributes
    ----------
    wish : Wish
    method : {"certified", "exact", "approximate"}
    budget : int
        Specifications that "approximate" computes.
    allowed : ndarray of int64, optional
        Ids that the semantic filter lets through, ascending; None for all.
    any_status : bool
        Whether learnwares that are not usable are candidates too.
    skipped : int
        Reported as it is.
    threads : int, optional
    max_memory : int, optional
        Bytes to work with; so many users are searched together as have room.
    on_progress : callable
        Told after each group of users.
    delta : float, optional
        The chance with which "certified" may lose one of the nearest; None for a proof.
    excluded : tuple of int
        Ids that are left out.
    """

    wish: Wish
    method: SearchMethod
    budget: int
    allowed: IndexArray | None
    any_status: bool
    skipped: int
    threads: int | None
    max_memory: int | None
    on_progress: Progress
    delta: float | None = None
    excluded: tuple[int, ...] = ()


@dataclass(slots=True)
class _Work:
    """Counts and seconds by stage."""

    amounts: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        taken = time.perf_counter() - start
        self.amounts[f"{name}_seconds"] = self.amounts.get(f"{name}_seconds", 0.0) + taken


def search_space(view: SpaceView, specs: Sequence[RKMETableSpecification], asked: Asked) -> list[SearchResult]:
    """Search one space for many users.

    Parameters
    ----------
    view : SpaceView
    specs : sequence of RKMETableSpecification
        Users; all of the view's space.
    asked : Asked
    """
    hidden = view.hidden(any_status=asked.any_status)
    if asked.allowed is not None:
        hidden = np.isin(view.ids, asked.allowed, invert=True) | (False if hidden is None else hidden)
    if asked.excluded:
        hidden = view.without(asked.excluded, hidden)
    visible = len(view.ids) - (0 if hidden is None else int(np.count_nonzero(hidden)))
    # A scan it is, too, where nothing is left of a dock: all was deleted, or nothing is usable.
    if asked.method == "exact" or not _has_bounds(view, asked) or visible <= _FEW:
        return _scan_all(view, specs, asked, hidden, range(len(specs)))
    each, fixed = certified_bytes(len(view.ids), chance=asked.delta is not None)
    group = at_once(len(specs), each=each, fixed=fixed, max_memory=asked.max_memory)
    results: list[SearchResult] = []
    for start in range(0, len(specs), group):
        results += _certify_group(view, specs[start : start + group], asked, hidden, visible)
        asked.on_progress("search", len(results), len(specs))
    return results


def _has_bounds(view: SpaceView, asked: Asked) -> bool:
    """Whether sketches can help: a search of the whole dock for each member of a mixture needs all products anyway."""
    if view.model is None or not view.sketches or asked.wish.rule == "greedy_dock":
        return False
    if view.model.facts.pays or asked.method == "approximate":
        return True
    return asked.delta is not None and view.feature_set is not None


def _certify_group(
    view: SpaceView,
    specs: Sequence[RKMETableSpecification],
    asked: Asked,
    hidden: npt.NDArray[np.bool_] | None,
    visible: int,
) -> list[SearchResult]:
    threads = resolve_threads(asked.threads)
    work = _Work()
    self_inner = [spec.inner(spec, threads=threads or None) for spec in specs]
    found = certified_nearest(
        view,
        specs,
        self_inner,
        asked.wish,
        hidden=hidden,
        visible=visible,
        budget=max(asked.budget, asked.wish.k, asked.wish.candidates) if asked.method == "approximate" else None,
        delta=asked.delta,
        threads=threads,
        stage=work.stage,
    )
    proven = [i for i, one in enumerate(found) if one.nearest is not None]
    ranked = [one.nearest for one in found if one.nearest is not None]
    results: dict[int, SearchResult] = {}
    if ranked:
        inner = [self_inner[i] for i in proven]
        with work.stage("mixture"):
            mixtures = find_mixtures(view, ranked, inner, specs[0].gamma, asked.wish, threads)
        for i, nearest, mixture in zip(proven, ranked, mixtures, strict=True):
            results[i] = _found_result(view, self_inner[i], found[i], nearest, mixture, asked, work.amounts, visible)
    weak = [i for i in range(len(specs)) if i not in results]
    if weak:
        # The bounds' seconds come on top.
        scanned = _scan_all(view, [specs[i] for i in weak], asked, hidden, ())
        for i, result in zip(weak, scanned, strict=True):
            results[i] = _audited(result, found[i])
    return [results[i] for i in range(len(specs))]


def _found_result(
    view: SpaceView,
    user: float,
    found: Found,
    nearest: Nearest,
    mixture: Mixture | None,
    asked: Asked,
    seconds: Mapping[str, float],
    compared: int,
) -> SearchResult:
    work = {
        **seconds,
        "bounds": float(found.bounds),
        "refined": float(found.refined),
        "evaluated": float(found.evaluated),
        "unsketched": float(len(view.ids) - view.sketched),
    }
    if asked.method == "certified" and found.unseen == np.inf:
        result = _result(view, user, nearest, mixture, asked, "certified", work, len(nearest.at), compared)
        return _audited(result, found)
    # A distance equal to the bound of what was not computed may be one of two of which the other has the smaller id. So
    # may one that rounding has made negative: bounds are not.
    proven = int(np.count_nonzero(np.maximum(nearest.mmd2, 0) < found.unseen))
    method = "approximate"
    if found.chance is not None:
        method = "certified" if proven == len(nearest.at) else "chance"
    result = _result(view, user, nearest, mixture, asked, method, work, proven, compared, unseen=found.unseen)
    return _audited(result, found)


def _audited(result: SearchResult, found: Found) -> SearchResult:
    """A result with what came of the bounds that hold with a chance, and the chance where it rests on them."""
    chance = found.chance
    if chance is None:
        return result
    return replace(
        result,
        work={**result.work, **chance.work},
        chance=chance.delta if result.method == "chance" else None,
        warnings=(*result.warnings, *chance_warning(chance)),
    )


def _scan_all(
    view: SpaceView,
    specs: Sequence[RKMETableSpecification],
    asked: Asked,
    hidden: npt.NDArray[np.bool_] | None,
    told: Sequence[int],
) -> list[SearchResult]:
    """Scan the space for many users; progress is told where `told` has all of them."""
    at = np.arange(len(view.ids)) if hidden is None else np.flatnonzero(~hidden)
    each, fixed = search_bytes(max(1, len(view.ids)))
    group = at_once(len(specs), each=each, fixed=fixed, max_memory=asked.max_memory)
    results: list[SearchResult] = []
    for start in range(0, len(specs), group):
        results += _search_group(view, specs[start : start + group], asked, at)
        if told:
            asked.on_progress("search", len(results), len(specs))
    return results


def _search_group(
    view: SpaceView,
    specs: Sequence[RKMETableSpecification],
    asked: Asked,
    at: IndexArray,
) -> list[SearchResult]:
    wish, threads = asked.wish, resolve_threads(asked.threads)
    work = _Work({"scanned": float(len(at))})
    self_inner = [spec.inner(spec, threads=threads or None) for spec in specs]
    if not len(at):
        return [SearchResult((), None, True, "exact", dict(work.amounts), asked.skipped, 0) for _ in specs]
    with work.stage("scan"):
        # Where all are wanted, a scan could leave out none.
        few = len(at) <= max(wish.k, wish.candidates) or len(at) <= _NARROW_FILTER * len(view.ids)
        scans = (exact_scan if few else scan)(view, specs, self_inner, at, threads)
    with work.stage("rank"):
        ranked = _rank(view, specs, self_inner, scans, wish, threads)
    with work.stage("mixture"):
        mixtures = find_mixtures(view, ranked, self_inner, specs[0].gamma, wish, threads)
        if wish.rule == "greedy_dock":
            mixtures = [
                greedy_over_dock(view, spec, user, found, nearest, mixture, wish.mixture, threads)
                for spec, user, found, nearest, mixture in zip(specs, self_inner, scans, ranked, mixtures, strict=True)
            ]
    return [
        _result(
            view,
            user,
            nearest,
            mixture,
            asked,
            "exact",
            {**work.amounts, "evaluated": float(nearest.evaluated)},
            len(nearest.at),
            len(at),
        )
        for user, nearest, mixture in zip(self_inner, ranked, mixtures, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class _Survivors:
    """What is computed in float64 for one user.

    Attributes
    ----------
    spec : RKMETableSpecification
    self_inner : float
    found : Scan
    among : ndarray of int64
        Which of those scanned may be among the nearest, then which may be the farthest.
    near : int
        How many may be among the nearest.
    """

    spec: RKMETableSpecification
    self_inner: float
    found: Scan
    among: IndexArray
    near: int

    @property
    def at(self) -> IndexArray:
        """Their places in the view."""
        return self.found.at[self.among]


def _rank(
    view: SpaceView,
    specs: Sequence[RKMETableSpecification],
    self_inner: Sequence[float],
    scans: Sequence[Scan],
    wish: Wish,
    threads: int,
) -> list[Nearest]:
    """The nearest of each user: in float64 what the scan left, of many users at once."""
    wanted = min(max(wish.k, wish.candidates), len(scans[0].at))
    survivors = [
        _survivors(view, spec, user, found, wanted, threads)
        for spec, user, found in zip(specs, self_inner, scans, strict=True)
    ]
    return list(_ranked(view, survivors, wanted, threads))


def _survivors(
    view: SpaceView, spec: RKMETableSpecification, user: float, found: Scan, wanted: int, threads: int
) -> _Survivors:
    near = found.nearest(wanted)
    if len(near) > wanted + MANY_SURVIVORS:
        near = thin_out(view, spec, user, found, near, wanted, threads)
    # Scores are relative to the largest distance.
    return _Survivors(spec, user, found, np.concatenate([near, found.farthest(_MOST_FARTHEST)]), len(near))


def _ranked(view: SpaceView, survivors: Sequence[_Survivors], wanted: int, threads: int) -> Iterator[Nearest]:
    places = [each.at for each in survivors]
    for each, at, products in zip(survivors, places, _products(view, survivors, places, threads), strict=True):
        mmd2 = squared_distances(each.self_inner, products, view.self_inner[at])
        near = slice(each.near)
        order = np.lexsort((view.ids[at[near]], mmd2[near]))[:wanted]
        distances = each.found.mmd2
        spread = Spread(float(distances.sum()), float(mmd2[each.near :].max()), len(distances))
        yield Nearest(at[order], mmd2[order], products[order], each.near, spread)


def _products(
    view: SpaceView, survivors: Sequence[_Survivors], places: Sequence[IndexArray], threads: int
) -> list[FloatArray]:
    """<user, P> in float64, which an exact scan has found."""
    known = [each.found.products[each.among] for each in survivors if each.found.products is not None]
    if len(known) == len(survivors):
        return known
    return exact_products_of_many(view, [each.spec for each in survivors], places, threads)


def _result(
    view: SpaceView,
    user: float,
    nearest: Nearest,
    mixture: Mixture | None,
    asked: Asked,
    method: str,
    work: Mapping[str, float],
    proven: int,
    compared: int,
    *,
    unseen: float = np.inf,
) -> SearchResult:
    """What the user is told; `proven` of the nearest are, and what was not computed is at least `unseen` away."""
    k = asked.wish.k
    at, mmd2 = nearest.at[:k], nearest.mmd2[:k]
    scores: Sequence[float | None] = [None] * len(at)
    if nearest.spread is not None:
        scores = reference_scores(
            mmd2.tolist(),
            None if mixture is None else mixture.mmd2,
            total=nearest.spread.total,
            largest=max(nearest.spread.largest, float(nearest.mmd2[-1])),
            count=nearest.spread.count,
        )
    norms = np.sqrt(np.maximum(user * view.self_inner[at], np.finfo(float).tiny))
    singles = tuple(
        Hit(learnware_name(int(view.ids[place])), float(mmd2[i]), float(nearest.products[i] / norms[i]), scores[i])
        for i, place in enumerate(at)
    )
    return SearchResult(
        singles,
        mixture,
        proven == len(nearest.at),
        method,
        work,
        asked.skipped,
        compared,
        proven_ranks=min(proven, len(singles)),
        gap=max(0.0, float(mmd2[-1]) - unseen) if len(mmd2) else 0.0,
        warnings=ranking_warning(view.model),
    )
