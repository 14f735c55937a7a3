"""How much each of the nearest learnwares counts for a user."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

__all__ = ["LARGEST_SHARE", "NEAREST", "capped_shares", "distance_weights"]

# Learnwares that count: those farther away change a mixture's loss by less than what its users differ in.
NEAREST = 20
# The rank whose distance is the unit.
_UNIT_RANK = 5

# Of what is known about models near a user, so much may come of one submitter, where there are five or more. Less than
# what a trimmed mean takes off at each end, so that it takes off all of it.
LARGEST_SHARE = 0.2


def distance_weights(mmd2: FloatArray) -> FloatArray:
    """The rule "distance": v_i ~ (1 + d_i / d_(5))^-4 over the 20 nearest, d_i = MMD^2, d_(5) the fifth smallest.

    Parameters
    ----------
    mmd2 : ndarray of shape (n,)
        Infinite for what does not count.

    Returns
    -------
    ndarray of shape (n,)
        Sum 1; 0 for what does not count.
    """
    distances = np.maximum(mmd2, 0.0)
    nearest = np.argsort(distances, kind="stable")[:NEAREST]
    nearest = nearest[np.isfinite(distances[nearest])]
    weights = np.zeros(len(distances))
    if not len(nearest):
        return weights
    unit = distances[nearest[min(_UNIT_RANK, len(nearest)) - 1]]
    near = distances[nearest]
    weights[nearest] = (1 + near / unit) ** -4.0 if unit > 0 else (near == 0).astype(float)
    shares: FloatArray = weights / weights.sum()
    return shares


def capped_shares(weights: FloatArray, owners: Sequence[str | None], most: float = LARGEST_SHARE) -> FloatArray:
    """The weights as shares, of which none of the owners has more than `most`, or their equal part where they are few.

    What is taken from some goes to the others in proportion. None stands for an owner who is not known: each such entry
    counts as one of its own.

    Parameters
    ----------
    weights : ndarray of shape (n,)
        None negative, not all 0.
    owners : sequence of str or None
    most : float
    """
    shares: FloatArray = weights / weights.sum()
    names = [f"={owner}" if owner is not None else f"?{i}" for i, owner in enumerate(owners)]
    _, owner_of = np.unique(names, return_inverse=True)
    count = len(np.unique(owner_of[shares > 0]))
    limit = max(most, 1 / count)
    while True:
        held = np.bincount(owner_of, shares)
        at_limit = held >= limit * (1 - 1e-12)
        if not (held > limit * (1 + 1e-12)).any():
            return shares
        capped = at_limit[owner_of]
        free = shares[~capped].sum()
        shares = np.where(
            capped,
            shares * limit / np.maximum(held[owner_of], np.finfo(float).tiny),
            shares * ((1 - limit * at_limit.sum()) / free if free > 0 else 1.0),
        )
