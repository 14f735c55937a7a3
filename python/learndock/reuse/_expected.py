"""How often a combination of classifiers is right, estimated without a label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from learndock.errors import InvalidArgument

if TYPE_CHECKING:
    import numpy.typing as npt

    from learndock.learnware.validation import Validation

    FloatArray = npt.NDArray[np.float64]

__all__ = ["ExpectedAccuracy", "expected_accuracy"]

# Of the Wilson intervals: 95 %.
_DEVIATIONS = 1.96
_MOST_NAMED = 10
# Of fewer, the interval held the true accuracy of 71 to 90 % of the users where each knew some of the digits only.
_FEW = 5


@dataclass(frozen=True, slots=True)
class ExpectedAccuracy:
    """What share of a user's rows a combination of classifiers gets right, as far as can be told without labels.

    Attributes
    ----------
    value : float
        The estimate.
    low, high : float
        An interval around it, of about 95 % where the estimate's assumptions hold.
    message : str
        The same in a sentence, with what it rests on.
    """

    value: float
    low: float
    high: float
    message: str

    def __repr__(self) -> str:
        return f"ExpectedAccuracy({self.value:.3f}, from {self.low:.3f} to {self.high:.3f})"


def expected_accuracy(
    probabilities: Mapping[str, FloatArray],
    validations: Mapping[str, Validation | None],
    weights: FloatArray,
    *,
    answers: npt.NDArray[np.int64] | None = None,
) -> ExpectedAccuracy:
    """Estimate the accuracy of a combination of classifiers from their confidence.

    Average thresholded confidence (ATC; Garg et al., "Leveraging unlabeled data to predict out-of-distribution
    performance", ICLR 2022): a learnware ships a threshold of its largest probability, below which as large a share of
    its developer's validation rows lies as it got wrong; on other rows, the share that reaches the threshold estimates
    its accuracy. Of a combination, the answer to a row counts as right as often as the learnwares that give this answer
    reach their thresholds, by weight:

        mean over x of  sum_i w_i(x) [a_i(x) = a(x)] [c_i(x) >= t_i]  /  sum_i w_i(x) [a_i(x) = a(x)]

    with a the combination's answer, a_i and c_i learnware i's and its confidence. What learnwares say that answer
    otherwise tells little of a(x): counting it as well takes 0.08 to 0.15 off the estimate where each knows some of the
    classes only. A threshold that several rows share is corrected by what it is off on the validation rows.

    The interval joins the Wilson intervals (95 %) of the validation rows and of the user's, and is widened on both
    sides by the larger of two numbers: how far the learnwares' own estimates spread, and how far the estimate is from
    their accuracies at home, which it extrapolates from; below also by how much the learnwares that answer otherwise
    would lower the estimate. Rows where no learnware with a threshold gives the answer
    count as wrong for the low end, and as right for the high end.

    Where it was tried (real digits in other mixes, adults of another occupation or education; 222 users of seeds that
    nothing was chosen by), the interval of all learnwares together held the true accuracy of 96 to 100 % of the users
    of each task, that of five learnwares 93 to 100 %. The estimate was 0.03 to 0.07 off on average; where learnwares
    lack some of the classes, it tends to promise too much.

    It assumes that a confidence means the same here as at the developers': where y given x differs, or rows are of
    classes that no learnware has seen, it is wrong, and nothing in it shows that. One learnware alone, or two, can be
    sure of the wrong class without a doubt from the rest, and the interval may be too narrow then; the message says so.

    Parameters
    ----------
    probabilities : mapping of str to ndarray of shape (n, C)
        Each learnware's on the user's rows, in one order of classes, by the names that errors use.
    validations : mapping of str to Validation or None
        What each ships.
    weights : ndarray of shape (n, len(probabilities))
        Of each learnware at each row, in their order, none negative.
    answers : ndarray of int, shape (n,), optional
        The combination's classes; those of the largest weighted mean of the probabilities by default.

    Returns
    -------
    ExpectedAccuracy

    Raises
    ------
    InvalidArgument
        No learnware that has weight ships a threshold; the message names them.
    """
    weighted = [name for name, share in zip(probabilities, weights.mean(axis=0), strict=True) if share > 0]
    shipping = {
        name: validation
        for name in weighted
        if (validation := validations[name]) is not None and validation.threshold is not None
    }
    if not shipping:
        raise InvalidArgument(
            "learnwares: expected one or more that ship a threshold of confidence, as "
            f"Learnware.pack(..., validation=(X, y)) makes it of a classifier with probabilities; {_listed(weighted)} "
            "ship none"
        )
    if answers is None:
        answers = sum(weights[:, i, None] * values for i, values in enumerate(probabilities.values())).argmax(axis=1)  # type: ignore[union-attr]
    columns = [i for i, name in enumerate(probabilities) if name in shipping]
    estimate = _estimate(
        np.stack([probabilities[name] for name in shipping]), list(shipping.values()), weights[:, columns], answers
    )
    silent = [name for name in weighted if name not in shipping]
    return ExpectedAccuracy(*estimate, message=_message(*estimate, len(answers), list(shipping), silent))


def _estimate(
    probabilities: FloatArray, validations: list[Validation], weights: FloatArray, answers: npt.NDArray[np.int64]
) -> tuple[float, float, float]:
    thresholds = np.array([validation.threshold for validation in validations], dtype=np.float64)
    accuracies = np.array([validation.accuracy for validation in validations], dtype=np.float64)
    above = np.array([validation.above for validation in validations], dtype=np.float64)
    rows = np.array([validation.rows for validation in validations], dtype=np.float64)
    # (n, members), 1 or 0 but for what a shared threshold is off.
    reaching = probabilities.max(axis=2) >= thresholds[:, None]
    sure = reaching.T + (accuracies - above)
    agreeing = probabilities.argmax(axis=2) == answers
    votes = weights * agreeing.T
    support = votes.sum(axis=1)
    answered = support > 0
    if not answered.any():
        return 0.5, 0.0, 1.0
    shares = votes[answered] / support[answered, None]
    share = shares.mean(axis=0)
    value = float(np.clip((shares * sure[answered]).sum(axis=1).mean(), 0, 1))
    # Of each learnware by itself, where it has a say.
    says = votes.sum(axis=0)
    own = np.divide((votes * sure).sum(axis=0), says, out=np.full(len(says), value), where=says > 0)
    spread = float(np.sqrt(share @ np.square(own - value)))
    extrapolated = abs(value - float(share @ accuracies))
    counted = weights.sum(axis=1) > 0
    all_counted = (weights[counted] * sure[counted]).sum(axis=1) / weights[counted].sum(axis=1)
    doubted = value - float(all_counted.mean())
    here, home = _wilson(value, int(answered.sum())), _wilson(value, float(1 / (np.square(share) / rows).sum()))
    wide = max(spread, extrapolated)
    low = value - np.hypot(value - here[0], value - home[0]) - wide - max(0.0, doubted)
    high = value + np.hypot(here[1] - value, home[1] - value) + wide
    known = float(answered.mean())
    return value, max(0.0, float(low) * known), min(1.0, float(high) * known + 1 - known)


def _wilson(share: float, count: float) -> tuple[float, float]:
    """Wilson's interval of a share of `count` independent rows (Wilson, JASA 1927)."""
    squared = _DEVIATIONS**2 / count
    middle = (share + squared / 2) / (1 + squared)
    half = float(np.sqrt(squared * (share * (1 - share) + squared / 4)) / (1 + squared))
    return min(share, middle - half), max(share, middle + half)


def _message(value: float, low: float, high: float, rows: int, shipping: list[str], silent: list[str]) -> str:
    parts = [
        f"about {value:.0%} of the {rows} rows are expected to be right ({low:.0%} to {high:.0%}), by the confidence "
        f"of {_listed(shipping)}",
        "it is off where the same rows have other labels here than at the developers'",
    ]
    if len(shipping) < _FEW:
        parts.append("so few learnwares may all be sure of a wrong class: the interval may be too narrow")
    if silent:
        parts.append(f"not counted, for want of a threshold: {_listed(silent)}")
    return "; ".join(parts)


def _listed(names: list[str]) -> str:
    left = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {left} more" if left > 0 else "")
