"""Weighted averages and votes of several learnwares."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from learndock._validation import finite_float64
from learndock.errors import InvalidArgument, LearnwareError

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["AveragingReuser"]

Mode = Literal["mean", "vote_by_label", "vote_by_prob"]
_MODES = ("mean", "vote_by_label", "vote_by_prob")

# Models that predict at the same time; each has a process of its own.
_CONCURRENT_MODELS = 2


class Predictor(Protocol):
    """What has `predict`: a Learnware, or any model."""

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Predictions, one per row."""


class AveragingReuser:
    """Combine learnwares by a weighted mean of what they predict, or by a vote.

    Parameters
    ----------
    learnwares : sequence of Learnware
        Anything with `predict` will do.
    weights : sequence of float, optional
        One for each learnware, none negative, not all 0; used as shares. Equal by default.
    mode : {"mean", "vote_by_label", "vote_by_prob"}, default "mean"
        mean: the weighted mean of the outputs (regression). vote_by_label: each learnware votes for one label a row
        (its largest class where it returns one column per class); ties go to the smaller label. vote_by_prob: the
        weighted mean of class probabilities; outputs that are no probabilities count as logits.

    Raises
    ------
    InvalidArgument
        For an unknown mode, no learnwares, or weights that do not fit.

    Notes
    -----
    Differs from `learnware.reuse.AveragingReuser` in that there are weights, that probabilities are not put through a
    softmax a second time, and that `predict` returns labels in both votes (`predict_proba` has the probabilities).
    """

    def __init__(
        self, learnwares: Sequence[Predictor], *, weights: Sequence[float] | None = None, mode: Mode = "mean"
    ) -> None:
        if not isinstance(learnwares, Sequence):
            raise InvalidArgument(f"learnwares: expected a sequence, got {type(learnwares).__name__}")
        self.learnwares = list(learnwares)
        if not self.learnwares:
            raise InvalidArgument("learnwares: expected at least one, got none")
        for i, learnware in enumerate(self.learnwares):
            if not callable(getattr(learnware, "predict", None)):
                raise InvalidArgument(f"learnwares[{i}]: expected a predict method, got {type(learnware).__name__}")
        if mode not in _MODES:
            raise InvalidArgument(f"mode: expected one of {', '.join(_MODES)}, got {mode!r}")
        self.mode = mode
        self.weights = _shares(weights, len(self.learnwares))

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Predict for each row.

        Parameters
        ----------
        X : array, DataFrame or tensor of shape (n, d)

        Returns
        -------
        ndarray of shape (n,), or (n, D) for a mean of D outputs
            Means in mode "mean", else labels.

        Raises
        ------
        LearnwareError
            If a model fails, an output is no array of finite numbers or text with one row per row of X, or the outputs
            of two learnwares do not fit together; the message names them.
        """
        if self.mode == "vote_by_prob":
            best: npt.NDArray[Any] = self.predict_proba(X).argmax(axis=1)
            return best
        names, outputs, shares = self._outputs(X)
        if self.mode == "vote_by_label":
            return _vote(names, [_labels(name, output) for name, output in zip(names, outputs, strict=True)], shares)
        return _weighted_mean(
            names, [_numbers(name, output) for name, output in zip(names, outputs, strict=True)], shares
        )

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Class probabilities of the mixture, in mode "vote_by_prob". Shape (n, C), rows sum to 1.

        Parameters
        ----------
        X : array, DataFrame or tensor of shape (n, d)

        Raises
        ------
        InvalidArgument
            In another mode.
        LearnwareError
            If a model fails, or returns no column per class, or another number of them than the first.
        """
        if self.mode != "vote_by_prob":
            raise InvalidArgument(f'mode: probabilities need "vote_by_prob", got {self.mode!r}')
        names, outputs, shares = self._outputs(X)
        probabilities = [_probabilities(name, output) for name, output in zip(names, outputs, strict=True)]
        return _weighted_mean(names, probabilities, shares)

    def _outputs(self, X: Any) -> tuple[list[str], list[npt.NDArray[Any]], npt.NDArray[np.float64]]:
        """Names, predictions and shares of the learnwares that have a weight."""
        asked = np.flatnonzero(self.weights)
        # Each waits for a process of its own, so threads serve.
        with ThreadPoolExecutor(max_workers=min(_CONCURRENT_MODELS, len(asked))) as pool:
            predictions = list(pool.map(lambda i: self.learnwares[i].predict(X), asked))
        names = [f"learnwares[{i}]" for i in asked]
        answers = [_checked(name, output) for name, output in zip(names, predictions, strict=True)]
        for name, answer in zip(names, answers, strict=True):
            if len(answer) != len(answers[0]):
                raise LearnwareError(f"{name}: expected {len(answers[0])} predictions, got shape {answer.shape}")
        return names, answers, self.weights[asked]

    def __repr__(self) -> str:
        return f"AveragingReuser({len(self.learnwares)} learnwares, mode={self.mode!r})"


def _shares(weights: Sequence[float] | None, count: int) -> npt.NDArray[np.float64]:
    if weights is None:
        return np.full(count, 1 / count)
    array = finite_float64(weights, "weights", ndim=1)
    if len(array) != count:
        raise InvalidArgument(f"weights: expected one for each of the {count} learnwares, got {len(array)}")
    if (array < 0).any() or not array.sum() > 0:
        raise InvalidArgument(f"weights: expected none negative and not all 0, got {array.tolist()}")
    shares: npt.NDArray[np.float64] = array / array.sum()
    return shares


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


def _numbers(name: str, output: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    if output.dtype.kind == "U":
        raise LearnwareError(f"{name}: expected numbers, got predictions of dtype {output.dtype}")
    return output.astype(np.float64)


def _labels(name: str, output: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if output.ndim == 1:
        return output
    largest: npt.NDArray[Any] = _numbers(name, output).argmax(axis=1)
    return largest


def _probabilities(name: str, output: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    numbers = _numbers(name, output)
    if numbers.ndim != 2:
        raise LearnwareError(
            f"{name}: expected one column per class, got predictions of shape {output.shape}; "
            'mode="vote_by_label" takes labels'
        )
    are_probabilities = (numbers >= 0).all() and np.allclose(numbers.sum(axis=1), 1, atol=1e-3)
    with np.errstate(over="ignore"):  # a difference beyond float64 is -inf, and its share 0
        shares = numbers if are_probabilities else np.exp(numbers - numbers.max(axis=1, keepdims=True))
    probabilities: npt.NDArray[np.float64] = shares / shares.sum(axis=1, keepdims=True)
    return probabilities


def _weighted_mean(
    names: Sequence[str], outputs: Sequence[npt.NDArray[np.float64]], shares: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    for name, output in zip(names, outputs, strict=True):
        if output.shape != outputs[0].shape:
            raise LearnwareError(
                f"{name}: expected predictions of shape {outputs[0].shape} as {names[0]}'s, got {output.shape}"
            )
    mean: npt.NDArray[np.float64] = np.tensordot(shares, np.stack(outputs), axes=1)
    return mean


def _vote(
    names: Sequence[str], labels: Sequence[npt.NDArray[Any]], shares: npt.NDArray[np.float64]
) -> npt.NDArray[Any]:
    for name, own in zip(names, labels, strict=True):
        # Together they would all become text, and "1" and 1 the same label.
        if (own.dtype.kind == "U") != (labels[0].dtype.kind == "U"):
            kinds = ["text" if array.dtype.kind == "U" else "numbers" for array in (labels[0], own)]
            raise LearnwareError(f"{name}: expected labels that are {kinds[0]} as {names[0]}'s, got {kinds[1]}")
    classes, indices = np.unique(np.stack(labels), return_inverse=True)
    indices = indices.reshape(len(labels), -1)
    votes = np.zeros((indices.shape[1], len(classes)))
    for row, share in zip(indices, shares, strict=True):
        votes[np.arange(len(row)), row] += share
    winners: npt.NDArray[Any] = classes[votes.argmax(axis=1)]
    return winners
