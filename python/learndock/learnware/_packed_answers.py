"""What a fitted model answers, as the packed model will."""

from __future__ import annotations

import contextlib
import threading
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from learndock.errors import InvalidArgument

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["in_columns", "predictions_of"]

# Two threads that both change the filters of warnings, and put them back, can leave them changed.
_WARNINGS = threading.Lock()


def predictions_of(
    model: Any, method: str, rows: npt.NDArray[Any], called: str
) -> tuple[npt.NDArray[Any], list[str] | None]:
    """Predictions on rows, and the names of the columns where the model can't do without them.

    `called` is what an error calls the rows.
    """
    names = getattr(model, "feature_names_in_", None)
    try:
        if names is None:
            return _checked_answer(getattr(model, method)(rows)), None
        # Such a model warns about arrays; that it may refuse them is what matters here.
        with _WARNINGS, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with contextlib.suppress(Exception):
                return _checked_answer(getattr(model, method)(rows)), None
        import pandas as pd

        frame = pd.DataFrame(rows, columns=list(names))
        return _checked_answer(getattr(model, method)(frame)), [str(name) for name in names]
    except InvalidArgument:
        raise
    except Exception as error:
        raise InvalidArgument(f"model: {method} fails on {called}: {error}") from error


def _checked_answer(answer: Any) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = np.asarray(answer.toarray() if hasattr(answer, "toarray") else answer)
    if array.ndim not in (1, 2):
        raise InvalidArgument(f"model: expected predictions of one or two axes, got shape {array.shape}")
    return array


def in_columns(answer: npt.NDArray[Any], classes: Any, columns: list[int], dimension: int) -> npt.NDArray[Any]:
    """A classifier's answer in the semantic specification's order of classes, as packed_model.py gives it."""
    if answer.ndim == 1:
        return np.array([columns[list(classes).index(label)] for label in answer], dtype=np.int64)
    if answer.shape[1] != len(columns):
        raise InvalidArgument(
            f"model: expected one probability for each of {len(columns)} classes, got {answer.shape[1]}"
        )
    probabilities = np.zeros((len(answer), dimension))
    probabilities[:, columns] = answer
    return probabilities
