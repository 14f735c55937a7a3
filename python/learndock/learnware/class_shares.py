"""Probabilities of classes from what a model returns: per class, or as one class a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["certain", "class_shares", "no_classes"]


def class_shares(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Rows of sum 1, shape (n, C): as they are where they are probabilities, else by a softmax."""
    are_probabilities = (logits >= 0).all() and np.allclose(logits.sum(axis=1), 1, atol=1e-3)
    with np.errstate(over="ignore"):  # a difference beyond float64 is -inf, and its share 0
        shares = logits if are_probabilities else np.exp(logits - logits.max(axis=1, keepdims=True))
    values: npt.NDArray[np.float64] = shares / shares.sum(axis=1, keepdims=True)
    return values


def no_classes(labels: npt.NDArray[Any], classes: int) -> npt.NDArray[np.bool_]:
    """Which of some numbers are none of the integers from 0 to C - 1. Shape (n,)."""
    strange: npt.NDArray[np.bool_] = ~((labels >= 0) & (labels < classes) & (labels == np.floor(labels)))
    return strange


def certain(labels: npt.NDArray[Any], classes: int) -> npt.NDArray[np.float64]:
    """1 for the class of each row, and 0 for the others, shape (n, C); of numbers that are classes."""
    return np.eye(classes)[labels.astype(np.int64)]
