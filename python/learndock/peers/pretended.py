"""Docked learnwares taken as pretended users, whose labels are their own models' outputs.

For such a user the loss of every other model is known, and can be predicted as for a true one, by what the models lost
on the other sketches: how far predictions can be relied on shows in what they miss.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from learndock.peers.evidence import trimmed_means
from learndock.peers.weights import distance_weights

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

__all__ = ["prediction_errors"]


def prediction_errors(
    losses: FloatArray, mmd2: FloatArray, measure: Callable[[FloatArray], FloatArray], *, fewest: int
) -> list[FloatArray]:
    """What predictions of losses miss, for each pretended user of whom enough models are known.

    Actual and predicted losses are each taken relative to their median over the models, since only differences between
    models choose.

    Parameters
    ----------
    losses : ndarray of shape (n, n)
        Mean losses of model i on sketch j; NaN where not known. Those on a model's own sketch do not count.
    mmd2 : ndarray of shape (n, n)
        Distances between the sketches; NaN where not known.
    measure : callable
        In what losses are compared, such as their logarithm.
    fewest : int
        Models below which a user says nothing.
    """
    count = len(losses)
    own = np.eye(count, dtype=bool)
    tried = np.where(own, np.nan, losses)
    away = np.where(np.isnan(mmd2) | own, np.inf, mmd2)
    shares = np.array([distance_weights(row) for row in away]).reshape(count, count)
    # For each user the rows of all models, without what is to be predicted.
    others = np.where(own[:, None, :], np.nan, tried[None])
    predicted, _ = trimmed_means(others.reshape(count * count, count), np.repeat(shares, count, axis=0))
    expected = predicted.reshape(count, count).T
    errors = []
    for actual, guess in zip(tried.T, expected.T, strict=True):
        known = ~(np.isnan(actual) | np.isnan(guess))
        if np.count_nonzero(known) < fewest:
            continue
        found, hoped = measure(actual[known]), measure(guess[known])
        errors.append((found - np.median(found)) - (hoped - np.median(hoped)))
    return errors
