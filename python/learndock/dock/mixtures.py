"""The mixture of a search: weights on some of the nearest learnwares, for many users in one call of the core."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from learndock import _core
from learndock.dock.ids import learnware_name
from learndock.dock.results import Mixture

if TYPE_CHECKING:
    import numpy.typing as npt

    from learndock.dock.store import SpaceView

    FloatArray = npt.NDArray[np.float64]
    IndexArray = npt.NDArray[np.int64]


# The rules of the kernels, and greedy over the whole dock.
SearchRule = Literal["distance", "greedy", "auto", "greedy_dock"]


@dataclass(frozen=True, slots=True)
class Wish:
    """What a search is asked for.

    Attributes
    ----------
    k : int
        Singles.
    rule : {"distance", "greedy", "auto", "greedy_dock"}
    mixture : int
        Most learnwares in the mixture; 0 for none.
    """

    k: int
    rule: SearchRule
    mixture: int

    @property
    def candidates(self) -> int:
        """How many of the nearest the mixture is chosen from: the reference's rules look at the square."""
        return self.mixture if self.rule == "distance" else self.mixture**2


@dataclass(frozen=True, slots=True)
class Spread:
    """Distances of all candidates of a search, as far as scores need them: their sum, maximum and number."""

    total: float
    largest: float
    count: int


@dataclass(frozen=True, slots=True)
class Nearest:
    """The nearest learnwares of one user, in order.

    Attributes
    ----------
    at : ndarray of int64
        Places in the view.
    mmd2, products : ndarray of float64
        Squared distances and inner products to the user.
    evaluated : int
        How many were computed in float64 to find them.
    spread : Spread or None
        None where the search did not look at all.
    """

    at: IndexArray
    mmd2: FloatArray
    products: FloatArray
    evaluated: int
    spread: Spread | None


def find_mixtures(
    view: SpaceView,
    ranked: Sequence[Nearest],
    self_inner: Sequence[float],
    gamma: float,
    wish: Wish,
    threads: int,
) -> list[Mixture | None]:
    """Mixtures of the users' candidates; None where fewer than two learnwares help.

    Parameters
    ----------
    view : SpaceView
    ranked : sequence of Nearest
        All of one length.
    self_inner : sequence of float
        <user, user>.
    gamma : float
    wish : Wish
    threads : int
    """
    count = min(wish.candidates, len(ranked[0].at))
    if count < 2:
        return [None] * len(ranked)
    at = np.array([nearest.at[:count] for nearest in ranked])
    weights, mmd2 = _core.search_mixtures(
        view.embeddings,
        at,
        np.array([nearest.products[:count] for nearest in ranked]),
        view.self_inner[at],
        np.array(self_inner, dtype=np.float64),
        gamma,
        _core.MixtureRule["greedy" if wish.rule == "greedy_dock" else wish.rule],
        wish.mixture,
        threads,
    )
    return [
        None
        # An exact match can't be bettered; the reference makes no mixture then either.
        if wish.rule != "distance" and nearest.mmd2[0] <= 0
        else mixture_of(view, nearest.at[:count], row, value)
        for nearest, row, value in zip(ranked, weights, mmd2.tolist(), strict=True)
    ]


def mixture_of(view: SpaceView, at: IndexArray, weights: FloatArray, mmd2: float) -> Mixture | None:
    """A mixture of the learnwares at the given places, heaviest first; None where fewer than two have weight."""
    members = np.argsort(-weights, kind="stable")[: int(np.count_nonzero(weights))]
    if len(members) < 2:
        return None
    ids = tuple(learnware_name(int(view.ids[at[member]])) for member in members)
    return Mixture(ids, tuple(weights[members].tolist()), mmd2)
