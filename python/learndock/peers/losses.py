"""What a model loses at a point where another's output counts as the truth.

Outputs are numbers, one column per target, or probabilities, one column per class; in the order of the columns' names,
so that two models whose outputs mean the same can be compared whatever their own order is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from learndock.errors import LearnwareError
from learndock.learnware.class_shares import certain, class_shares, no_classes

if TYPE_CHECKING:
    import numpy.typing as npt

    from learndock.learnware.meaning import OutputMeaning

    FloatArray = npt.NDArray[np.float64]

__all__ = ["in_order_of_names", "point_losses", "reviewable", "truth_of", "weighted_mean", "weighted_moments"]


def reviewable(meaning: OutputMeaning) -> bool:
    """Whether outputs of this meaning can be compared by numbers."""
    return meaning.task in ("Classification", "Regression") and bool(meaning.dimension)


def truth_of(name: str, output: npt.NDArray[Any], meaning: OutputMeaning) -> FloatArray:
    """A model's output as comparable columns, shape (n, columns): probabilities of classes, or numbers.

    Parameters
    ----------
    name : str
        The model's, for errors.
    output : ndarray of shape (n,) or (n, columns)
    meaning : OutputMeaning
        One that is `reviewable`.

    Raises
    ------
    LearnwareError
        If the output is none such, or not finite.
    """
    columns = meaning.dimension or 0
    if output.dtype.kind not in "biuf":
        raise LearnwareError(f"{name}: expected numbers, got predictions of dtype {output.dtype}")
    if not np.isfinite(output).all():
        raise LearnwareError(f"{name}: expected finite numbers, got NaN or infinity among its predictions")
    values = output.astype(np.float64)
    if meaning.task == "Classification" and (values.ndim == 1 or values.shape[1:] == (1,)):
        labels = values.reshape(len(values))
        if no_classes(labels, columns).any():
            raise LearnwareError(f"{name}: expected the integers 0 to {columns - 1}, got other labels")
        values = certain(labels, columns)
    else:
        values = values[:, None] if values.ndim == 1 else values
        if values.ndim != 2 or values.shape[1] != columns:
            raise LearnwareError(f"{name}: expected {columns} columns, got predictions of shape {output.shape}")
        if meaning.task == "Classification":
            values = class_shares(values)
    return in_order_of_names(values, meaning)


def in_order_of_names(values: FloatArray, meaning: OutputMeaning) -> FloatArray:
    """Columns that are in the order of a semantic specification's Output, in that of their names where it has any."""
    if meaning.names is not None:
        values = values[:, np.argsort(np.array(meaning.names), kind="stable")]
    return np.ascontiguousarray(values)


def point_losses(outputs: FloatArray, truth: FloatArray, meaning: OutputMeaning) -> FloatArray:
    """Losses of some outputs, row by row, shape (n,).

    Classification: the Brier score sum_c (p_c - q_c)^2, from 0 to 2. Regression: the squared difference, in squared
    units of the target; the mean over the targets where there are several.
    """
    squared = np.square(outputs - truth)
    losses: FloatArray = squared.sum(axis=1) if meaning.task == "Classification" else squared.mean(axis=1)
    return losses


def weighted_mean(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Mean of rows at the points of a sketch, whose weights count where they are positive."""
    mean: FloatArray = _shares(weights) @ values
    return mean


def weighted_moments(losses: FloatArray, weights: FloatArray) -> tuple[float, float]:
    """Mean and variance of losses at the points of a sketch."""
    shares = _shares(weights)
    mean = float(shares @ losses)
    return mean, float(shares @ np.square(losses - mean))


def _shares(weights: FloatArray) -> FloatArray:
    positive = np.maximum(weights, 0.0)
    total = positive.sum()
    return positive / total if total > 0 else np.full(len(weights), 1 / len(weights))
