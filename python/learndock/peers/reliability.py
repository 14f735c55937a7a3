"""Whether the inputs tell which model is right for a user, or only labels can.

Each docked learnware near the user is taken as a pretended user, whose labels are its own model's outputs: for it the
loss that every other model is predicted to have, by distances and peers, can be compared with the loss that it has.
Losses are compared as logarithms, since a user's level of noise is nobody's merit. With tau^2 the mean square of what
the predictions miss, and sigma^2 the variance of the loss in one row, relative to its mean,

    kappa = sigma^2 / tau^2

is the number of labelled rows whose mean loss would be as good a prediction. What a mean over a sketch's few points
misses by chance is taken off tau^2. Measured, in the median of a task's users: 18 to 1,300 where learnwares share a
concept, 6.6 where the same inputs go with other functions. A small kappa alone is no alarm: models that say nearly the
same everywhere need not be told apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from learndock.peers.pretended import prediction_errors

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

__all__ = ["LABELS_WANTED", "Reliability", "missed_variance", "reliability"]

# Rows that one who is asked for labels will give; below this kappa they tell more than the inputs.
LABELS_WANTED = 10
# What models near a user lose by each other's judgement matters from this part of the variance of what they say.
_DISAGREEMENT = 0.1
# Below so many models nothing can be said of how well they are told apart.
_FEWEST = 4
# Twins lose nothing on each other's points; the logarithm of that is not infinite evidence.
_SMALLEST = 1e-3
# No prediction of a loss is better than to a thousandth of it.
_LEAST_MISSED = 1e-6
# A mean over fewer points says too little to tell models apart by.
_FEWEST_POINTS = 25
_TOO_FEW = "too few models near you have been tried on each other's sketches: see Dock.peer_review"


@dataclass(frozen=True, slots=True)
class Reliability:
    """How far the choice of models for a user can be relied on.

    Attributes
    ----------
    kappa : float or None
        The number of labelled rows that would tell as much about which model is right as the inputs do; None where too
        few models have been tried on each other.
    disagreement : float or None
        What the models near the user are predicted to lose by each other's judgement, as a part of the variance of what
        they say; 1 for models that know nothing of each other's outputs.
    peer_ratio : float or None
        What the models near the user are predicted to lose by each other's judgement, over what they lose on
        validation rows of their own; None where they ship none. About 1: they agree as far as they are right. Far
        above: they contradict each other, or the user is none of their domain.
    alarm : bool
        Whether the inputs do not identify the model.
    message : str
        The same in a sentence.
    """

    kappa: float | None
    disagreement: float | None
    peer_ratio: float | None
    alarm: bool
    message: str


def reliability(
    losses: FloatArray,
    variances: FloatArray,
    mmd2: FloatArray,
    *,
    points: float,
    disagreement: float | None = None,
    peer_ratio: float | None = None,
) -> Reliability:
    """Judge how well the models near a user can be told apart by inputs.

    Parameters
    ----------
    losses, variances : ndarray of shape (n, n)
        Mean and variance of the losses of model i at the points of sketch j; NaN where not known.
    mmd2 : ndarray of shape (n, n)
        Distances between the sketches; NaN where not known.
    points : float
        Of a sketch, in the median: losses on it are means over so many, and as far as that they miss each other by
        chance.
    disagreement, peer_ratio : float, optional
        See `Reliability`.
    """
    found = missed_variance(losses, mmd2)
    if found is None or points < _FEWEST_POINTS:
        return Reliability(None, disagreement, peer_ratio, False, _TOO_FEW)
    known = ~(np.isnan(losses) | np.isnan(variances) | np.eye(len(losses), dtype=bool))
    relative = np.square(np.sqrt(variances[known]) / np.maximum(losses[known], _floor(losses)))
    if not relative.size:
        return Reliability(None, disagreement, peer_ratio, False, _TOO_FEW)
    variance = float(np.median(relative))
    # By chance they miss by a mean's variance; a part is left, since that is not known to the last digit.
    kappa = variance / max(found - variance / points, found / 10, _LEAST_MISSED)
    matters = bool(losses[known].any()) if disagreement is None else disagreement > _DISAGREEMENT
    if kappa < LABELS_WANTED and matters:
        message = (
            f"the inputs do not identify the model: give {LABELS_WANTED} labelled rows (calibrate); what is known "
            f"without labels is worth {kappa:.2g}"
        )
        return Reliability(kappa, disagreement, peer_ratio, True, message)
    if kappa < LABELS_WANTED:
        message = "the models near you say nearly the same: which of them is right matters little"
    else:
        message = f"the inputs tell as much about which model is right as {kappa:.2g} labelled rows would"
    return Reliability(kappa, disagreement, peer_ratio, False, message)


def missed_variance(losses: FloatArray, mmd2: FloatArray) -> float | None:
    """tau^2: what predictions of log losses miss, over pretended users; None where they are too few."""
    floor = _floor(losses)
    errors = prediction_errors(losses, mmd2, lambda values: np.log(np.maximum(values, floor)), fewest=_FEWEST)
    return float(np.mean([np.mean(error**2) for error in errors])) if len(errors) >= _FEWEST else None


def _floor(losses: FloatArray) -> float:
    known = losses[~np.isnan(losses)]
    # Where most are twins the mean, and where all are, any number: all logarithms are equal then.
    usual = next((value for value in (np.median(known), known.mean()) if value > 0), 1.0) if known.size else 1.0
    return float(_SMALLEST * usual)
