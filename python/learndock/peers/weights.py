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
    """The weights as shares, of which none of the owners has more than `most`, as far as there are others to take it.

    What is taken from some goes to the others in proportion, and raises nobody above `most`: where owners are so few
    that they would have to be, a stranger with one learnware would otherwise count as much as the house with all
    others. None stands for an owner who is not known: each such entry counts as one of its own.

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
    held: FloatArray = np.bincount(owner_of, shares).astype(np.float64)
    # What is as good as nothing can't be raised.
    there = held > np.finfo(float).eps
    if not (held > most * (1 + 1e-12)).any():
        return shares
    allowed = _few(held[there], most) if np.count_nonzero(there) * most <= 1 else _many(held[there], most)
    factors = np.zeros(len(held))
    factors[there] = allowed / held[there]
    capped: FloatArray = shares * factors[owner_of]
    capped /= capped.sum()
    return capped


def _many(held: FloatArray, most: float) -> FloatArray:
    """min(f held, most) with the f that makes their sum 1."""
    allowed = held.copy()
    while (above := allowed > most * (1 + 1e-12)).any():
        limited = above | (allowed >= most * (1 - 1e-12))
        free = allowed[~limited].sum()
        raised = (1 - most * np.count_nonzero(limited)) / free if free > 0 else 1.0
        allowed = np.where(limited, most, allowed * raised)
    return allowed


def _few(held: FloatArray, most: float) -> FloatArray:
    """Those below `most` raised to it, and the largest lowered to one level t, with the t that makes their sum 1."""
    raised = np.maximum(held, most)
    descending = np.sort(raised)[::-1]
    counts = np.arange(1, len(held) + 1)
    rest = raised.sum() - np.cumsum(descending)
    levels = (1 - rest) / counts
    # The level at which those that are above it, and only those, are lowered.
    level = levels[np.argmax(levels >= np.append(descending[1:], most) - 1e-12)]
    lowered: FloatArray = np.minimum(raised, level)
    return lowered
