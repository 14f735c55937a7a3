"""Probabilities of classes from what a model returns per class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["class_shares"]


def class_shares(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Rows of sum 1, shape (n, C): as they are where they are probabilities, else by a softmax."""
    are_probabilities = (logits >= 0).all() and np.allclose(logits.sum(axis=1), 1, atol=1e-3)
    with np.errstate(over="ignore"):  # a difference beyond float64 is -inf, and its share 0
        shares = logits if are_probabilities else np.exp(logits - logits.max(axis=1, keepdims=True))
    values: npt.NDArray[np.float64] = shares / shares.sum(axis=1, keepdims=True)
    return values
