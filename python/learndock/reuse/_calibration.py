"""What a few labelled rows tell about the learnwares of a mixture: never more than they can, and never alone.

Labels give each learnware's mean loss, with an error; peers gave a prediction, with another. With tau^2 the mean square
of what predictions miss over the docked learnwares taken as pretended users, and sigma_i^2 / m the variance of a mean
over m rows,

    posterior_i = s_i (label mean)_i + (1 - s_i) L_i,   s_i = tau^2 / (tau^2 + sigma_i^2 / m),

both relative to their median. Then the learnwares' weights are multiplied by factors that minimise the loss of the
combination on the labelled rows, held near 1 by a Kullback-Leibler term (exponentiated gradient's prior).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from learndock.peers.evidence import trimmed_means
from learndock.peers.pretended import prediction_errors

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

__all__ = ["factors", "posterior_shift"]

# Labelled rows that the prior weighs as much as.
_STRENGTH = 20.0
# A learnware that the rows speak against keeps this part of its weight: where no other has one, it decides still.
_SMALLEST_FACTOR = 1e-12
# Rows that the models' common variance counts for beside each model's own.
_COMMON_ROWS = 5.0


def posterior_shift(
    label_losses: FloatArray, predicted: FloatArray, losses: FloatArray, mmd2: FloatArray
) -> FloatArray:
    """What labels add to the losses predicted without them, relative to the median, shape (n,).

    Parameters
    ----------
    label_losses : ndarray of shape (n, m)
        Of each learnware at each labelled row.
    predicted : ndarray of shape (n,)
    losses, mmd2 : ndarray of shape (n, n)
        Mean losses of model i on sketch j, NaN where not known, and distances between the sketches.
    """
    rows = label_losses.shape[1]
    means = label_losses.mean(axis=1)
    relative = label_losses - np.median(label_losses, axis=0)
    own = relative.var(axis=1, ddof=1)
    variance = (own * rows + np.median(own) * _COMMON_ROWS) / (rows + _COMMON_ROWS)
    missed = _missed_variance(losses, mmd2)
    if missed is None:  # nothing says how far predictions can be relied on, and labels alone never rank
        return np.zeros(len(means))
    with np.errstate(over="ignore"):  # of a miss next to 0
        share = 1 / (1 + (variance / missed if missed > 0 else np.where(variance > 0, np.inf, 0.0)) / rows)
    shift: FloatArray = share * ((means - np.median(means)) - (predicted - np.median(predicted)))
    return shift


def _missed_variance(losses: FloatArray, mmd2: FloatArray) -> float | None:
    """tau^2 in units of squared losses: the trimmed mean over pretended users; None where none can be made."""
    errors = prediction_errors(losses, mmd2, lambda values: values, fewest=2)
    if not errors:
        return None
    missed = np.array([np.mean(error**2) for error in errors])
    return float(trimmed_means(missed[None], np.ones(len(missed)))[0][0])


def factors(outputs: FloatArray, truth: FloatArray, weights: FloatArray) -> FloatArray:
    """Factors of the learnwares' weights that the labelled rows ask for, shape (n,).

    Minimises mean_r ||sum_i q_i(r) f_i(r) - y(r)||^2 / scale + (strength / m) KL(w || mean weights), with
    q_i(r) ~ factor_i pi_i(r) and w ~ factor times the mean weights.

    Parameters
    ----------
    outputs : ndarray of shape (n, m, columns)
        f: numbers, or probabilities.
    truth : ndarray of shape (m, columns)
        y: numbers, or one 1 in each row.
    weights : ndarray of shape (m, n)
        pi.
    """
    from scipy.optimize import minimize

    count, rows = outputs.shape[:2]
    prior = np.maximum(weights.mean(axis=0), 1e-12)
    prior /= prior.sum()
    lost = np.square(outputs - truth).sum(axis=2).mean(axis=1)
    # Where most learnwares are right in all rows the mean is the unit, and where all are, any number.
    scale = next((value for value in (float(np.median(lost)), float(lost.mean())) if value > 0), 1.0)

    def objective(logs: FloatArray) -> tuple[float, FloatArray]:
        raised = np.exp(logs - logs.max())
        shares = weights * raised
        shares /= np.maximum(shares.sum(axis=1, keepdims=True), np.finfo(float).tiny)
        combined = np.einsum("rn,nrc->rc", shares, outputs)
        residual = combined - truth
        pull = np.einsum("rc,nrc->rn", 2 * residual / scale, outputs - combined)
        held = raised * prior
        held /= held.sum()
        ratio = np.log(np.maximum(held, np.finfo(float).tiny) / prior)
        divergence = float(held @ ratio)
        value = float(np.square(residual).sum()) / (rows * scale) + _STRENGTH / rows * divergence
        return value, (shares * pull).mean(axis=0) + _STRENGTH / rows * held * (ratio - divergence)

    found = minimize(objective, np.zeros(count), jac=True, method="L-BFGS-B")
    logs: FloatArray = found.x
    found_factors: FloatArray = np.maximum(np.exp(logs - logs.max()), _SMALLEST_FACTOR)
    return found_factors
