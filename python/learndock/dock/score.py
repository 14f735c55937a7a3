"""The reference's score of a search result: MMD^2 turned into 0 .. 1, relative to the whole dock."""

from __future__ import annotations

import math
from collections.abc import Sequence

# Constants of the reference, version 0.3.2.
_FLOOR_SHARE = 0.1
_LEAST_TOP_SCORE = 0.92
_LIFTED_BELOW = 0.7
_LEAST_SINGLE_SCORE = 0.6


def reference_scores(
    nearest: Sequence[float], mixture: float | None, *, total: float, largest: float, count: int
) -> list[float]:
    """Scores of the nearest learnwares, as the reference gives them.

    score = (largest - d) / (largest - floor), with the floor at the smallest distance where that is under a tenth of
    the mean, else such that the best score is at least 0.92; what is below 0.7 is lifted to its root, at most 0.7. The
    mixture's distance counts among the distances.

    Parameters
    ----------
    nearest : sequence of float
        MMD^2 of the best learnwares, ascending.
    mixture : float or None
        MMD^2 of the mixture.
    total, largest, count
        Sum, maximum and number of the distances of all candidates.
    """
    if not nearest:
        return []
    smallest = nearest[0]
    if mixture is not None:
        total, count = total + mixture, count + 1
        smallest, largest = min(smallest, mixture), max(largest, mixture)
    if smallest >= largest:
        return [1.0] * len(nearest)
    floor = _FLOOR_SHARE * total / count
    if smallest < floor:
        floor = smallest
    elif (largest - smallest) / (largest - floor) < _LEAST_TOP_SCORE:
        floor = largest - (largest - smallest) / _LEAST_TOP_SCORE
    scores = []
    for distance in nearest:
        score = max(0.0, (largest - distance) / (largest - floor))
        scores.append(min(math.sqrt(score), _LIFTED_BELOW) if score < _LIFTED_BELOW else score)
    # The reference hides what scores under 0.6, but never the best, which it then lifts to 0.6.
    scores[0] = max(scores[0], _LEAST_SINGLE_SCORE)
    return scores
