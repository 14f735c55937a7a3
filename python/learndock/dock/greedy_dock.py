"""Mixtures chosen greedily among all learnwares of a space, not the nearest alone.

Two distributions far apart can each be far from a user who is a mix of both: neither is among the nearest, and together
they fit. So each step looks at the whole dock, for the learnware whose addition, all weights re-solved, lowers the
squared MMD most:

    min over w on the simplex of  || sum_{j in S} w_j mu_j + w_i mu_i - mu_u ||^2     for every i

The products <P_i, P_j> with the chosen P_j are kept, so a step is one scan of the dock and one small quadratic
programme a learnware. Scans know a bound on their error; what could be the best by these bounds is computed again in
float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from learndock import _core, kernels
from learndock.dock.mixtures import Nearest, mixture_of
from learndock.dock.scan import Scan, exact_products_of_many, scan

if TYPE_CHECKING:
    import numpy.typing as npt

    from learndock.dock.results import Mixture
    from learndock.dock.scan import HasEmbedding
    from learndock.dock.store import SpaceView

    FloatArray = npt.NDArray[np.float64]
    IndexArray = npt.NDArray[np.int64]

# A step must bring the squared MMD to this share of what it was: the reference's greedy rule.
_DECAY = 0.95


@dataclass(frozen=True, slots=True, eq=False)
class _Stored:
    """A stored embedding."""

    points: FloatArray
    weights: FloatArray
    gamma: float


def greedy_over_dock(
    view: SpaceView,
    spec: HasEmbedding,
    user: float,
    found: Scan,
    nearest: Nearest,
    of_nearest: Mixture | None,
    size: int,
    threads: int,
) -> Mixture | None:
    """Build a mixture from the whole dock; the better of it and the one made of the nearest alone.

    Greedy over more candidates can end worse: a step that is best by itself can lead away.

    Parameters
    ----------
    view : SpaceView
    spec : specification
        The user's.
    user : float
        <user, user>.
    found : Scan
        The user's scan of the space.
    nearest : Nearest
        The user's nearest learnwares.
    of_nearest : Mixture or None
        The greedy mixture of those.
    size : int
        Most learnwares in the mixture.
    threads : int
    """
    # An exact match can't be bettered.
    if size < 2 or len(found.at) < 2 or nearest.mmd2[0] <= 0:
        return of_nearest
    chosen = [int(nearest.at[0])]
    weights, value = np.ones(1), float(nearest.mmd2[0])
    products: list[FloatArray] = []
    errors: list[FloatArray] = []
    while len(chosen) < min(size, len(found.at)):
        last = scan(view, [_stored(view, chosen[-1], spec.gamma)], [0.0], found.at, threads)[0]
        # A scan gives 0 - 2 <P, P_i> + <P_i, P_i>.
        products.append((view.self_inner[found.at] - last.mmd2) / 2)
        errors.append(last.error / 2)
        near = _survivors(view, user, found, chosen, products, errors, spec.gamma, threads)
        exact = _exact_values(view, spec, user, [*chosen], near, threads)
        best = np.lexsort((view.ids[near], exact.mmd2))[0]
        if exact.mmd2[best] > _DECAY * value:
            break
        chosen.append(int(near[best]))
        weights, value = exact.weights[best], float(exact.mmd2[best])
    mixture = mixture_of(view, np.array(chosen), weights, value)
    if mixture is None or (of_nearest is not None and of_nearest.mmd2 <= mixture.mmd2):
        return of_nearest
    return mixture


def _survivors(
    view: SpaceView,
    user: float,
    found: Scan,
    chosen: list[int],
    products: list[FloatArray],
    errors: list[FloatArray],
    gamma: float,
    threads: int,
) -> IndexArray:
    """Places of what may be the best addition, by the bounds."""
    docked = view.self_inner[found.at]
    cross = (user + docked - found.mmd2) / 2
    stored = [_stored(view, place, gamma) for place in chosen]
    gram = np.array(
        [[kernels.inner(p.points, p.weights, q.points, q.weights, gamma=gamma) for q in stored] for p in stored]
    )
    at = np.searchsorted(found.at, chosen)
    values = _core.extended_mmd2(gram, cross[at], user, np.array(products), cross, docked, threads)
    # With weights on the simplex the value moves by at most twice each product's error.
    bound = found.error + found.error[at].max() + 2 * np.max(errors, axis=0)
    values[at] = np.inf
    threshold = float(np.min(values + bound))
    near: IndexArray = found.at[np.flatnonzero(values - bound <= threshold)]
    return near


@dataclass(frozen=True, slots=True)
class _Extended:
    mmd2: FloatArray
    weights: FloatArray


def _exact_values(
    view: SpaceView, spec: HasEmbedding, user: float, chosen: list[int], near: IndexArray, threads: int
) -> _Extended:
    """Squared MMD and weights of the chosen with each of the places `near`, in float64."""
    members = np.array(chosen)
    stored = [_stored(view, place, spec.gamma) for place in chosen]
    cross, near_cross = exact_products_of_many(view, [spec, spec], [members, near], threads)
    rows = exact_products_of_many(view, stored, [near] * len(stored), threads)
    inner = np.array(exact_products_of_many(view, stored, [members] * len(stored), threads))
    size = len(chosen) + 1
    gram = np.empty((len(near), size, size))
    gram[:, :-1, :-1] = (inner + inner.T) / 2
    gram[:, :-1, -1] = gram[:, -1, :-1] = np.array(rows).T
    gram[:, -1, -1] = view.self_inner[near]
    vector = np.empty((len(near), size))
    vector[:, :-1], vector[:, -1] = cross, near_cross
    # Norms may be as large as float64 holds, the numbers of a QP may not. A power of 2 rounds nothing that counts.
    unit = np.ldexp(1.0, int(np.frexp(np.abs(gram).max())[1]) - 1)
    weights, objective = kernels.simplex_qp(gram / unit, vector / unit, threads=threads or None)
    return _Extended(user + 2 * (unit * np.asarray(objective)), weights)


def _stored(view: SpaceView, place: int, gamma: float) -> _Stored:
    segment = int(np.searchsorted(view.starts, place, side="right")) - 1
    points, weights = view.segments[segment].packed.embedding(int(place - view.starts[segment]))
    return _Stored(points, weights, gamma)
