"""Inner products of users with all specifications of a space, with bounds on their errors, and with some in float64."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from learndock import _core
from learndock.errors import DockError

if TYPE_CHECKING:
    import numpy.typing as npt

    from learndock.dock.store import SpaceView

    FloatArray = npt.NDArray[np.float64]
    IndexArray = npt.NDArray[np.int64]
    Thinning = _core.CoarseQuery | _core.PreparedQuery

# Survivors of a coarse scan beyond which float32 thins them out before float64, which costs four times as much.
MANY_SURVIVORS = 64
# Products in float64 that one call of the core computes, of as many users as it takes: threads are started once, and
# each product takes 70 bytes meanwhile.
_PAIRS_AT_ONCE = 4096


class HasEmbedding(Protocol):
    """A specification, or a stored embedding that is asked for its neighbours."""

    @property
    def points(self) -> FloatArray:
        """Shape (K, d)."""

    @property
    def weights(self) -> FloatArray:
        """Shape (K,)."""

    @property
    def gamma(self) -> float:
        """Of the kernel."""


@dataclass(frozen=True, slots=True)
class Scan:
    """Distances of one user to the specifications at `at` (places in the view), and bounds on their errors.

    `products` are <user, P>, where these were computed in float64.
    """

    at: IndexArray
    mmd2: FloatArray
    error: FloatArray
    products: FloatArray | None = None

    def nearest(self, count: int) -> IndexArray:
        """What may be among the nearest: lower bounds of at most the count-th smallest upper bound."""
        upper = self.mmd2 + self.error
        threshold = upper[_core.top_k(upper, count)[-1]]
        near: IndexArray = np.flatnonzero(self.mmd2 - self.error <= threshold)
        return near

    def farthest(self, most: int) -> IndexArray:
        """What may be the farthest; where that is more than `most`, those that seem the farthest."""
        far: IndexArray = np.flatnonzero(self.mmd2 + self.error >= float(np.max(self.mmd2 - self.error)))
        return far if len(far) <= most else far[_core.top_k(-self.mmd2[far], most)]


def squared_distances(user: float, products: FloatArray, docked: FloatArray) -> FloatArray:
    """Squared MMD from <user, user>, <user, P> and <P, P>.

    Raises
    ------
    DockError
        If one is no finite number: what was stored was, so the files are damaged.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        mmd2: FloatArray = user - 2 * products + docked
        total = mmd2.sum()
    # A sum alone may overflow.
    if not np.isfinite(total) and not np.isfinite(mmd2).all():
        raise DockError("the dock is damaged: specifications in it hold NaN or infinity; `Dock.verify` says which")
    return mmd2


def scan(
    view: SpaceView, specs: Sequence[HasEmbedding], self_inner: Sequence[float], at: IndexArray, threads: int
) -> list[Scan]:
    """Distances of users to the specifications at the given ascending places, each with a bound on its error.

    In 16-bit integers where that pays, else in float32; self_inner = <user, user>.
    """
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
        Scan(at, squared_distances(user, product, docked), 2 * error)
        for user, product, error in zip(self_inner, products, errors, strict=True)
    ]


def exact_scan(
    view: SpaceView, specs: Sequence[HasEmbedding], self_inner: Sequence[float], at: IndexArray, threads: int
) -> list[Scan]:
    """The same in float64, where there is nothing to leave out or little to look at."""
    products = exact_products_of_many(view, specs, [at] * len(specs), threads)
    docked, no_error = view.self_inner[at], np.zeros(len(at))
    return [
        Scan(at, squared_distances(user, product, docked), no_error, product)
        for user, product in zip(self_inner, products, strict=True)
    ]


def _passes(
    specs: Sequence[HasEmbedding], coarse: Sequence[_core.CoarseQuery]
) -> Iterator[tuple[list[int], Sequence[Any], Any]]:
    """Users scanned in integers and users scanned in float32: their places, their queries, and what scans."""
    paying = [i for i, query in enumerate(coarse) if query.pays]
    if paying:
        yield paying, [coarse[i] for i in paying], _core.inner_products_coarse
    rest = [i for i, query in enumerate(coarse) if not query.pays]
    if rest:
        prepared = [_core.PreparedQuery(specs[i].points, specs[i].weights, specs[i].gamma) for i in rest]
        yield rest, prepared, _core.inner_products_float


def thin_out(
    view: SpaceView, spec: HasEmbedding, user: float, of: Scan, near: IndexArray, count: int, threads: int
) -> IndexArray:
    """Those of the places `near` in a scan that may be among the nearest by float32's bounds."""
    query = _core.PreparedQuery(spec.points, spec.weights, spec.gamma)
    return near[chosen_scan(view, query, user, of.at[near], threads).nearest(count)]


def thinning_queries(spec: HasEmbedding) -> list[Thinning]:
    """What thins out many specifications before float64 is needed: integers where they pay, then float32."""
    coarse = _core.CoarseQuery(spec.points, spec.weights, spec.gamma)
    single = _core.PreparedQuery(spec.points, spec.weights, spec.gamma)
    return [coarse, single] if coarse.pays else [single]


def chosen_scan(view: SpaceView, query: Thinning, user: float, at: IndexArray, threads: int) -> Scan:
    """Distances to the specifications at some ascending places, with bounds on their errors; user = <user, user>."""
    if isinstance(query, _core.CoarseQuery):
        products, errors = _core.chosen_inner_products_coarse(query, view.embeddings, at, threads)
    else:
        products, errors = _core.chosen_inner_products_float(query, view.embeddings, at, threads)
    return Scan(at, squared_distances(user, products, view.self_inner[at]), 2 * errors)


def exact_products(view: SpaceView, spec: HasEmbedding, at: IndexArray, threads: int) -> FloatArray:
    """<user, P> in float64 for the specifications at the given places."""
    return exact_products_of_many(view, [spec], [at], threads)[0]


def exact_products_of_many(
    view: SpaceView, specs: Sequence[HasEmbedding], at: Sequence[IndexArray], threads: int
) -> list[FloatArray]:
    """<user, P> in float64 for each user and the specifications at this user's places.

    Values are those of one user at a time, to the bit.
    """
    products: list[FloatArray] = []
    start = pairs = 0
    for i, places in enumerate(at):
        pairs += len(places)
        if pairs >= _PAIRS_AT_ONCE or i + 1 == len(specs):
            some = slice(start, i + 1)
            products += _exact_products_at_once(view, specs[some], at[some], threads)
            start, pairs = i + 1, 0
    return products


def _exact_products_at_once(
    view: SpaceView, specs: Sequence[HasEmbedding], at: Sequence[IndexArray], threads: int
) -> list[FloatArray]:
    places = np.concatenate(at)
    asking = np.repeat(np.arange(len(specs)), [len(each) for each in at])
    order = np.argsort(places, kind="stable")  # what several users look at is read once
    products = np.empty(len(places))
    points, weights = [spec.points for spec in specs], [spec.weights for spec in specs]
    products[order] = _core.chosen_inner_products(
        points, weights, view.embeddings, asking[order], places[order], specs[0].gamma, threads
    )
    return np.split(products, np.cumsum([len(each) for each in at])[:-1])
