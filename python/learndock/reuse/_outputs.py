"""What learnwares predict: asked for, checked, and read as numbers, labels or probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from learndock.errors import LearnwareError
from learndock.learnware.class_shares import class_shares

if TYPE_CHECKING:
    import numpy.typing as npt

    from learndock.reuse._learnwares import Predictor

    Outputs = dict[str, npt.NDArray[Any]]

__all__ = ["ask", "labels", "numbers", "probabilities", "require_same_kind", "require_same_width"]

# Models that predict at the same time; each has a process of its own.
_CONCURRENT_MODELS = 2


def ask(learnwares: Sequence[Predictor], inputs: dict[int, Any]) -> Outputs:
    """Predictions of some of the learnwares, each for rows of its own.

    Parameters
    ----------
    learnwares : sequence
    inputs : dict
        What to predict on, by the index of the learnware.

    Returns
    -------
    dict of ndarray of shape (n,) or (n, columns), columns > 1
        By the names that errors use, such as "learnwares[3]". Numbers are finite.

    Raises
    ------
    LearnwareError
        If a model fails, or an output is no array of finite numbers or text.
    """
    # Each waits for a process of its own, so threads serve.
    with ThreadPoolExecutor(max_workers=min(_CONCURRENT_MODELS, len(inputs))) as pool:
        predictions = list(pool.map(lambda i: learnwares[i].predict(inputs[i]), inputs))
    names = [f"learnwares[{i}]" for i in inputs]
    return {name: _checked(name, output) for name, output in zip(names, predictions, strict=True)}


def numbers(name: str, output: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """The output as float64; text is an error."""
    if output.dtype.kind == "U":
        raise LearnwareError(f"{name}: expected numbers, got predictions of dtype {output.dtype}")
    return output.astype(np.float64)


def labels(name: str, output: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The output where it is one label a row, else the column of the largest number."""
    if output.ndim == 1:
        return output
    largest: npt.NDArray[Any] = numbers(name, output).argmax(axis=1)
    return largest


def probabilities(name: str, output: npt.NDArray[Any], *, instead: str) -> npt.NDArray[np.float64]:
    """The output as probabilities, one column per class; what is no probability counts as logits.

    `instead` ends the error for labels: what takes them.
    """
    logits = numbers(name, output)
    if logits.ndim != 2:
        raise LearnwareError(
            f"{name}: expected one column per class, got predictions of shape {output.shape}; {instead}"
        )
    return class_shares(logits)


def require_same_width(outputs: Outputs) -> None:
    """Raise LearnwareError where two outputs have different columns; the message names both."""
    first, *others = outputs.items()
    for name, output in others:
        if output.shape[1:] != first[1].shape[1:]:
            raise LearnwareError(
                f"{name}: expected {_columns(first[1])} as {first[0]}'s predictions have, got {_columns(output)}"
            )


def require_same_kind(outputs: Outputs) -> None:
    """Raise LearnwareError where one output is text and another numbers; the message names both."""
    first, *others = outputs.items()
    for name, output in others:
        # Together they would all become text, and "1" and 1 the same label.
        if (output.dtype.kind == "U") != (first[1].dtype.kind == "U"):
            kinds = ["text" if array.dtype.kind == "U" else "numbers" for array in (first[1], output)]
            raise LearnwareError(f"{name}: expected labels that are {kinds[0]} as {first[0]}'s, got {kinds[1]}")


def _columns(output: npt.NDArray[Any]) -> str:
    return "one number a row" if output.ndim == 1 else f"{output.shape[1]} columns"


def _checked(name: str, output: Any) -> npt.NDArray[Any]:
    """Make an array of finite numbers or text, of shape (n,) or (n, D) with D > 0; of shape (n,) where D is 1."""
    try:
        array = np.asarray(output)
        if array.dtype == object and array.size:
            # Numbers and text side by side would all become text.
            texts = {isinstance(value, str) for value in array.flat}
            array = np.array(array.tolist()) if len(texts) == 1 else array
    except ValueError as error:
        raise LearnwareError(f"{name}: expected an array of predictions, got a ragged list ({error})") from None
    if array.dtype.kind not in "biufU":
        raise LearnwareError(f"{name}: expected numbers or text, got predictions of dtype {array.dtype}")
    if array.ndim not in (1, 2) or array.shape[1:] == (0,):
        raise LearnwareError(f"{name}: expected predictions of shape (n,) or (n, columns), got {array.shape}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        bad = array[~np.isfinite(array)][0]
        raise LearnwareError(f"{name}: expected finite numbers, got {bad} among its predictions")
    return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
