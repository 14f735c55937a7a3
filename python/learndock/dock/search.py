"""The exact search: every specification of the space is looked at, so the result is proven.

1. Inner products of the user with all specifications, in 16-bit integers where that pays, else in float32, each with a
   bound on its error.
2. Whatever could be among the nearest by those bounds is computed again, in float32 where it is much, then in float64.
3. The nearest are ordered by (mmd2, id); a mixture is built of them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from learndock.config import resolve_threads
from learndock.dock.greedy_dock import greedy_over_dock
from learndock.dock.ids import learnware_name
from learndock.dock.mixtures import Nearest, Spread, Wish, find_mixtures
from learndock.dock.results import Hit, Mixture, SearchResult
from learndock.dock.scan import MANY_SURVIVORS, Scan, exact_products, scan, thin_out
from learndock.dock.score import reference_scores
from learndock.memory import at_once, search_bytes

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

# Where more than these could be the farthest by their bounds, those that seem so are compared.
_MOST_FARTHEST = 16


@dataclass(slots=True)
class _Work:
    """Counts and seconds by stage."""

    amounts: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.amounts[f"{name}_seconds"] = time.perf_counter() - start


def exact_search(
    view: SpaceView,
    specs: Sequence[RKMETableSpecification],
    wish: Wish,
    *,
    allowed: IndexArray | None,
    any_status: bool,
    skipped: int,
    threads: int | None,
    max_memory: int | None,
    on_progress: Progress,
) -> list[SearchResult]:
    """Search one space for many users.

    Parameters
    ----------
    view : SpaceView
    specs : sequence of RKMETableSpecification
        Users; all of the view's space.
    wish : Wish
    allowed : ndarray of int64, optional
        Ids that the semantic filter lets through, ascending; None for all.
    any_status : bool
        Whether learnwares that are not usable are candidates too.
    skipped : int
        Reported as it is.
    threads : int, optional
    max_memory : int, optional
        Bytes to work with; so many users are scanned together as have room.
    on_progress : callable
        Told after each group of users.
    """
    visible = view.visible(any_status=any_status)
    if allowed is not None:
        visible = visible & np.isin(view.ids, allowed)
    at = np.flatnonzero(visible)
    each, fixed = search_bytes(max(1, len(view.ids)))
    group = at_once(len(specs), each=each, fixed=fixed, max_memory=max_memory)
    results: list[SearchResult] = []
    for start in range(0, len(specs), group):
        results += _search_group(view, specs[start : start + group], wish, at, skipped, resolve_threads(threads))
        on_progress("search", len(results), len(specs))
    return results


def _search_group(
    view: SpaceView,
    specs: Sequence[RKMETableSpecification],
    wish: Wish,
    at: IndexArray,
    skipped: int,
    threads: int,
) -> list[SearchResult]:
    work = _Work({"scanned": float(len(at))})
    self_inner = [spec.inner(spec, threads=threads or None) for spec in specs]
    if not len(at):
        return [SearchResult((), None, True, "exact", dict(work.amounts), skipped) for _ in specs]
    with work.stage("scan"):
        if len(at) <= _NARROW_FILTER * len(view.ids):
            scans = [
                Scan(at, user - 2 * exact_products(view, spec, at, threads) + view.self_inner[at], np.zeros(len(at)))
                for spec, user in zip(specs, self_inner, strict=True)
            ]
        else:
            scans = scan(view, specs, self_inner, at, threads)
    with work.stage("rank"):
        ranked = [
            _rank(view, spec, user, found, wish, threads)
            for spec, user, found in zip(specs, self_inner, scans, strict=True)
        ]
    with work.stage("mixture"):
        mixtures = find_mixtures(view, ranked, self_inner, specs[0].gamma, wish, threads)
        if wish.rule == "greedy_dock":
            mixtures = [
                greedy_over_dock(view, spec, user, found, nearest, mixture, wish.mixture, threads)
                for spec, user, found, nearest, mixture in zip(specs, self_inner, scans, ranked, mixtures, strict=True)
            ]
    return [
        _result(view, user, nearest, mixture, wish, skipped, {**work.amounts, "evaluated": float(nearest.evaluated)})
        for user, nearest, mixture in zip(self_inner, ranked, mixtures, strict=True)
    ]


def _rank(view: SpaceView, spec: RKMETableSpecification, user: float, found: Scan, wish: Wish, threads: int) -> Nearest:
    wanted = min(max(wish.k, wish.candidates), len(found.at))
    near = found.nearest(wanted)
    if len(near) > wanted + MANY_SURVIVORS:
        near = thin_out(view, spec, user, found, near, wanted, threads)
    at = found.at[near]
    products = exact_products(view, spec, at, threads)
    mmd2 = user - 2 * products + view.self_inner[at]
    order = np.lexsort((view.ids[at], mmd2))[:wanted]
    spread = Spread(float(found.mmd2.sum()), _largest(view, spec, user, found, threads), len(found.mmd2))
    return Nearest(at[order], mmd2[order], products[order], len(near), spread)


def _largest(view: SpaceView, spec: RKMETableSpecification, user: float, found: Scan, threads: int) -> float:
    """The largest distance, in float64: scores are relative to it."""
    farthest = np.sort(found.farthest(_MOST_FARTHEST))
    at = found.at[farthest]
    exact = user - 2 * exact_products(view, spec, at, threads) + view.self_inner[at]
    return float(exact.max())


def _result(
    view: SpaceView,
    user: float,
    nearest: Nearest,
    mixture: Mixture | None,
    wish: Wish,
    skipped: int,
    work: dict[str, float],
) -> SearchResult:
    at, mmd2 = nearest.at[: wish.k], nearest.mmd2[: wish.k]
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
    return SearchResult(singles, mixture, True, "exact", work, skipped)
