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
from typing import TYPE_CHECKING, Any

import numpy as np

from learndock import _core, kernels
from learndock.config import resolve_threads
from learndock.dock.ids import learnware_name
from learndock.dock.mixtures import Nearest, Spread, Wish, find_mixtures
from learndock.dock.results import Hit, Mixture, SearchResult
from learndock.dock.score import reference_scores

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

# Survivors of a coarse scan beyond which float32 thins them out before float64, which costs eight times as much.
_MANY_SURVIVORS = 64

# Users scanned together: results of all of them are in memory at once.
_MOST_PRODUCTS = 1 << 24


@dataclass(slots=True)
class _Work:
    """Counts and seconds by stage."""

    amounts: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.amounts[f"{name}_seconds"] = time.perf_counter() - start


@dataclass(frozen=True, slots=True)
class _Scan:
    """Distances of one user to the specifications at `at` (places in the view), and bounds on their errors."""

    at: IndexArray
    mmd2: FloatArray
    error: FloatArray

    def nearest(self, count: int) -> IndexArray:
        """What may be among the nearest: lower bounds of at most the count-th smallest upper bound."""
        upper = self.mmd2 + self.error
        threshold = upper[_core.top_k(upper, count)[-1]]
        near: IndexArray = np.flatnonzero(self.mmd2 - self.error <= threshold)
        return near


def exact_search(
    view: SpaceView,
    specs: Sequence[RKMETableSpecification],
    wish: Wish,
    *,
    allowed: IndexArray | None,
    any_status: bool,
    skipped: int,
    threads: int | None,
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
    on_progress : callable
        Told after each group of users.
    """
    visible = view.visible(any_status=any_status)
    if allowed is not None:
        visible = visible & np.isin(view.ids, allowed)
    at = np.flatnonzero(visible)
    group = max(1, _MOST_PRODUCTS // max(1, len(view.ids)))
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
                _Scan(at, user - 2 * _exact_products(view, spec, at, threads) + view.self_inner[at], np.zeros(len(at)))
                for spec, user in zip(specs, self_inner, strict=True)
            ]
        else:
            scans = _scan(view, specs, self_inner, at, threads)
    with work.stage("rank"):
        ranked = [
            _rank(view, spec, user, scan, wish, threads)
            for spec, user, scan in zip(specs, self_inner, scans, strict=True)
        ]
    with work.stage("mixture"):
        mixtures = find_mixtures(view, ranked, self_inner, specs[0].gamma, wish, threads)
    return [
        _result(view, user, nearest, mixture, wish, skipped, {**work.amounts, "evaluated": float(nearest.evaluated)})
        for user, nearest, mixture in zip(self_inner, ranked, mixtures, strict=True)
    ]


def _scan(
    view: SpaceView, specs: Sequence[RKMETableSpecification], self_inner: Sequence[float], at: IndexArray, threads: int
) -> list[_Scan]:
    products = np.empty((len(specs), len(view.ids)))
    errors = np.empty_like(products)
    coarse = [_core.CoarseQuery(spec.points, spec.weights, spec.gamma) for spec in specs]
    for rows, queries, inner_products in _passes(specs, coarse):
        for segment, start, end in zip(view.segments, view.starts[:-1], view.starts[1:], strict=True):
            batch = segment.packed
            products[rows, start:end], errors[rows, start:end] = inner_products(
                queries, batch.tiles, batch.weights, batch.offsets, threads
            )
    if len(at) < len(view.ids):
        products, errors = products[:, at], errors[:, at]
    docked = view.self_inner[at]
    return [
        _Scan(at, user - 2 * product + docked, 2 * error)
        for user, product, error in zip(self_inner, products, errors, strict=True)
    ]


def _passes(
    specs: Sequence[RKMETableSpecification], coarse: Sequence[_core.CoarseQuery]
) -> Iterator[tuple[list[int], Sequence[Any], Any]]:
    """Users scanned in integers and users scanned in float32: their places, their queries, and what scans."""
    paying = [i for i, query in enumerate(coarse) if query.pays]
    if paying:
        yield paying, [coarse[i] for i in paying], _core.inner_products_coarse
    rest = [i for i, query in enumerate(coarse) if not query.pays]
    if rest:
        prepared = [_core.PreparedQuery(specs[i].points, specs[i].weights, specs[i].gamma) for i in rest]
        yield rest, prepared, _core.inner_products_float


def _thin_out(
    view: SpaceView, spec: RKMETableSpecification, user: float, scan: _Scan, near: IndexArray, count: int, threads: int
) -> IndexArray:
    """Those of the places `near` in the scan that may be among the nearest by float32's bounds."""
    query = _core.PreparedQuery(spec.points, spec.weights, spec.gamma)
    at = scan.at[near]
    products, errors = np.empty(len(at)), np.empty(len(at))
    for here, batch, chosen in _by_segment(view, at):
        products[here], errors[here] = _core.chosen_inner_products_float(
            query, batch.tiles, batch.weights, batch.offsets, chosen, threads
        )
    finer = _Scan(at, user - 2 * products + view.self_inner[at], 2 * errors)
    return near[finer.nearest(count)]


def _by_segment(view: SpaceView, at: IndexArray) -> Iterator[tuple[slice, kernels.PackedEmbeddings, IndexArray]]:
    """For each segment: which of the ascending places lie in it, its embeddings, and the places within it."""
    bounds = np.searchsorted(at, view.starts)
    for i, segment in enumerate(view.segments):
        here = slice(int(bounds[i]), int(bounds[i + 1]))
        if here.start < here.stop:
            yield here, segment.packed, at[here] - view.starts[i]


def _exact_products(view: SpaceView, spec: RKMETableSpecification, at: IndexArray, threads: int) -> FloatArray:
    """<user, P> in float64 for the specifications at the given ascending places."""
    products = np.empty(len(at))
    for here, batch, chosen in _by_segment(view, at):
        products[here] = _core.chosen_inner_products(
            spec.points, spec.weights, batch.tiles, batch.weights, batch.offsets, chosen, spec.gamma, threads
        )
    return products


def _rank(view: SpaceView, spec: RKMETableSpecification, user: float, scan: _Scan, wish: Wish, threads: int) -> Nearest:
    wanted = min(max(wish.k, wish.candidates), len(scan.at))
    near = scan.nearest(wanted)
    if len(near) > wanted + _MANY_SURVIVORS:
        near = _thin_out(view, spec, user, scan, near, wanted, threads)
    at = scan.at[near]
    products = _exact_products(view, spec, at, threads)
    mmd2 = user - 2 * products + view.self_inner[at]
    order = np.lexsort((view.ids[at], mmd2))[:wanted]
    spread = Spread(float(scan.mmd2.sum()), float(scan.mmd2.max()), len(scan.mmd2))
    return Nearest(at[order], mmd2[order], products[order], len(near), spread)


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
