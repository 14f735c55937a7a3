"""What a learnware says of how well its model does: numbers from rows that the model has not seen."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

import numpy as np

from learndock._validation import LARGEST_COUNT
from learndock.errors import LearnwareError
from learndock.learnware.class_shares import class_shares

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["Validation"]

Measure = Literal["brier score", "error rate", "mean squared error"]
# The largest value of each.
_WORST: dict[Measure, float] = {"brier score": 2.0, "error rate": 1.0, "mean squared error": math.inf}
# Above every confidence: the threshold of a model that is never right.
_ABOVE_ALL = math.nextafter(1.0, 2.0)


@dataclass(frozen=True, slots=True)
class Validation:
    """Summary numbers of a model on its developer's labelled rows, as learnware.yaml holds them under `validation`.

    They come from its developer and are as true as their developer is.

    Attributes
    ----------
    rows : int
        How many rows there were.
    measure : {"brier score", "error rate", "mean squared error"}
        What `loss` is: of probabilities sum_c (p_c - y_c)^2, of numbers of classes the share of wrong ones, of a
        regression the mean over rows and targets of (f - y)^2, in the target's unit squared.
    loss : float
        The mean over the rows.
    accuracy : float or None
        Share of rows whose class is right; None for a regression.
    variance : float or None
        Of the targets, a mean over them; None for a classification.
    threshold : float or None
        Of the largest probability of a row: as large a share of the rows lies below as is wrong (ATC, Garg et al.,
        "Leveraging unlabeled data to predict out-of-distribution performance", ICLR 2022). None without probabilities.
    above : float or None
        The share of the rows that reaches it. The accuracy, but for rows of equal confidence, such as a tree gives.
    """

    rows: int
    measure: Measure
    loss: float
    accuracy: float | None = None
    variance: float | None = None
    threshold: float | None = None
    above: float | None = None

    @property
    def r2(self) -> float | None:
        """1 - loss / variance of a regression; None for a classification, or where all targets are equal."""
        return None if not self.variance else 1 - self.loss / self.variance

    @classmethod
    def of_classes(cls, output: npt.NDArray[Any], classes: npt.NDArray[np.int64]) -> Self:
        """Measure probabilities (n, C), or numbers of classes (n,), against the numbers of the true classes (n,)."""
        if output.ndim == 1:
            wrong = float(np.mean(output != classes))
            return cls(rows=len(classes), measure="error rate", loss=wrong, accuracy=1 - wrong)
        probabilities = class_shares(output)
        true = np.zeros_like(probabilities)
        true[np.arange(len(classes)), classes] = 1.0
        right = probabilities.argmax(axis=1) == classes
        threshold = _threshold(probabilities.max(axis=1), int((~right).sum()))
        return cls(
            rows=len(classes),
            measure="brier score",
            loss=float(np.square(probabilities - true).sum(axis=1).mean()),
            accuracy=float(right.mean()),
            threshold=threshold,
            above=float(np.mean(probabilities.max(axis=1) >= threshold)),
        )

    @classmethod
    def of_targets(cls, output: npt.NDArray[np.float64], targets: npt.NDArray[np.float64]) -> Self:
        """Measure a regression's output against the true targets, both of shape (n,) or both (n, D)."""
        return cls(
            rows=len(targets),
            measure="mean squared error",
            loss=float(np.square(output - targets).mean()),
            variance=float(targets.var(axis=0).mean()),
        )

    @classmethod
    def read(cls, section: object) -> Self:
        """Read what stands under `validation` in learnware.yaml; keys that are not known are left out.

        Raises
        ------
        LearnwareError
            It is no mapping, lacks a number, or one is not finite, out of range or of another measure.
        """
        if not isinstance(section, Mapping):
            raise LearnwareError(f"validation: expected a mapping, got {type(section).__name__}")
        rows, measure = section.get("rows"), section.get("measure")
        if not isinstance(rows, int) or isinstance(rows, bool) or not 1 <= rows <= LARGEST_COUNT:
            raise LearnwareError(f"validation.rows: expected an integer from 1 to {LARGEST_COUNT}, got {rows!r:.200}")
        known: Measure | None = next((name for name in get_args(Measure) if name == measure), None)
        if known is None:
            allowed = ", ".join(get_args(Measure))
            raise LearnwareError(f"validation.measure: expected one of {allowed}, got {measure!r:.200}")
        loss = _number(section, "loss", _WORST[known])
        if known == "mean squared error":
            return cls(rows, known, loss, variance=_number(section, "variance", math.inf))
        accuracy = _number(section, "accuracy", 1.0)
        if known == "error rate" or section.get("threshold") is None:
            return cls(rows, known, loss, accuracy)
        threshold, above = _number(section, "threshold", _ABOVE_ALL), _number(section, "above", 1.0)
        return cls(rows, known, loss, accuracy, threshold=threshold, above=above)

    def to_dict(self) -> dict[str, Any]:
        """What stands under `validation` in learnware.yaml."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in values.items() if value is not None}


def _threshold(confidences: npt.NDArray[np.float64], wrong: int) -> float:
    """A value that as many confidences lie below as predictions are wrong, or nearly so where several are equal.

    It lies between two confidences, on neither: the next row of the same confidence, rounded otherwise, stays on its
    side.
    """
    values, counts = np.unique(confidences.round(9), return_counts=True)
    below = np.concatenate([[0], np.cumsum(counts)])
    # Of two that are as near, the one that promises less.
    place = len(values) - int(np.abs(below - wrong)[::-1].argmin())
    if place == len(values):
        return _ABOVE_ALL
    if place == 0:
        return float(values[0] * (1 - 1e-6))
    return float((values[place - 1] + values[place]) / 2)


def _number(section: Mapping[Any, Any], key: str, most: float) -> float:
    value = section.get(key)
    good = isinstance(value, int | float) and not isinstance(value, bool)
    # An integer may be longer than any float.
    if not good or not 0 <= value <= min(most, sys.float_info.max):  # type: ignore[operator]
        limits = f"from 0 to {most:g}" if math.isfinite(most) else "not below 0"
        raise LearnwareError(f"validation.{key}: expected a finite number {limits}, got {value!r:.200}")
    return float(value)  # type: ignore[arg-type]
