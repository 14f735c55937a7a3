"""Weighted averages and votes of several learnwares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from learndock.errors import InvalidArgument, LearnwareError
from learndock.reuse._alignment import Alignment
from learndock.reuse._expected import ExpectedAccuracy, expected_accuracy
from learndock.reuse._learnwares import Predictor, checked_learnwares, html_table, shares_of, size_of
from learndock.reuse._outputs import ask, require_same_kind, require_same_width
from learndock.reuse._reuser import Reuser, tags_of

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["AveragingReuser"]

Mode = Literal["mean", "vote_by_label", "vote_by_prob"]
_MODES = ("mean", "vote_by_label", "vote_by_prob")


class AveragingReuser(Reuser):
    """Combine learnwares by a weighted mean of what they predict, or by a vote.

    Outputs are combined by what they mean, as the Output of each learnware's semantic specification describes it:
    classes and targets in another order are permuted into the first learnware's, a class that a learnware does not know
    has probability 0 there, and different targets are an error. An output without descriptions, such as that of any
    object with `predict`, is read by position. `meaning` says what the columns and the numbers of classes are.

    Follows scikit-learn's conventions: arguments are stored as they come and checked when they are used; it can be
    cloned (the clone combines the same learnwares) and be the last step of a Pipeline. It needs no training.

    Parameters
    ----------
    learnwares : sequence of Learnware
        Anything with `predict` will do.
    weights : sequence of float, optional
        One for each learnware, none negative, not all 0; used as shares. Equal by default. A learnware of weight 0 is
        not asked.
    mode : {"mean", "vote_by_label", "vote_by_prob"}, default "mean"
        mean: the weighted mean of the outputs (regression). vote_by_label: each learnware votes for one label a row
        (its largest class where it returns one column per class); ties go to the smaller label. vote_by_prob: the
        weighted mean of class probabilities; outputs that are no probabilities count as logits.

    Attributes
    ----------
    classes_ : ndarray
        After a `fit` with labels, in the two votes: the labels, or in "vote_by_prob" the numbers of the columns.

    Notes
    -----
    Differs from `learnware.reuse.AveragingReuser` in that there are weights, that probabilities are not put through a
    softmax a second time, and that `predict` returns labels in both votes (`predict_proba` has the probabilities).

    Examples
    --------
    Two models that answer 1 and 3, the second with three times the weight: 1/4 · 1 + 3/4 · 3.

    >>> from learndock.reuse import AveragingReuser
    >>> class Constant:
    ...     def __init__(self, value):
    ...         self.value = value
    ...     def predict(self, X):
    ...         return [self.value] * len(X)
    >>> reuser = AveragingReuser([Constant(1.0), Constant(3.0)], weights=[1, 3])
    >>> reuser.predict([[0.0], [0.0]]).tolist()
    [2.5, 2.5]
    """

    learnwares: Sequence[Predictor]
    weights: Sequence[float] | None
    mode: Mode
    classes_: npt.NDArray[Any]

    def __init__(
        self, learnwares: Sequence[Predictor], *, weights: Sequence[float] | None = None, mode: Mode = "mean"
    ) -> None:
        self.learnwares = learnwares
        self.weights = weights
        self.mode = mode

    def fit(self, X: Any = None, y: Any = None) -> Self:
        """Check the arguments; there is nothing to train.

        Parameters
        ----------
        X : ignored
            Here because a Pipeline passes it.
        y : array of shape (n,), optional
            Labels, for `classes_`.

        Returns
        -------
        self

        Raises
        ------
        InvalidArgument
            For an unknown mode, no learnwares, weights that do not fit, or labels that are text in "vote_by_prob".
        SpecificationMismatch
            If the outputs of two learnwares do not mean the same; the message names both and what they describe.
        """
        self._alignment()
        if y is not None and self.mode != "mean":
            known = np.unique(np.asarray(y))
            self.classes_ = known if self.mode == "vote_by_label" else np.arange(self._class_count(known))
        return self

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Predict for each row; `fit` need not come first.

        Parameters
        ----------
        X : array, DataFrame or tensor of shape (n, d)

        Returns
        -------
        ndarray of shape (n,), or (n, D) for a mean of D outputs
            Means in mode "mean", else labels.

        Raises
        ------
        InvalidArgument
            For an unknown mode, no learnwares, or weights that do not fit.
        SpecificationMismatch
            If the outputs of two learnwares do not mean the same; the message names both and what they describe.
        LearnwareError
            If a model fails, an output is no array of finite numbers or text with one row per row of X, or the outputs
            of two learnwares do not fit together; the message names them.
        """
        shares = self._shares()
        if self.mode == "vote_by_prob":
            best: npt.NDArray[Any] = self.predict_proba(X).argmax(axis=1)
            return best
        alignment = self._alignment_of(shares)
        outputs = self._outputs(X, shares)
        if self.mode == "vote_by_label":
            return _vote({name: alignment.labels(name, output) for name, output in outputs.items()}, shares[shares > 0])
        values = {name: alignment.numbers(name, output) for name, output in outputs.items()}
        return _weighted_mean(values, shares[shares > 0])

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Class probabilities of the mixture, in mode "vote_by_prob". Shape (n, C), rows sum to 1.

        Parameters
        ----------
        X : array, DataFrame or tensor of shape (n, d)

        Raises
        ------
        InvalidArgument
            In another mode, or for no learnwares or weights that do not fit.
        SpecificationMismatch
            If the outputs of two learnwares do not mean the same; the message names both and what they describe.
        LearnwareError
            If a model fails, or returns no column per class, or another number of them than the first.
        """
        shares = self._shares()
        if self.mode != "vote_by_prob":
            raise InvalidArgument(f'mode: probabilities need "vote_by_prob", got {self.mode!r}')
        alignment = self._alignment_of(shares)
        outputs = self._outputs(X, shares)
        values = {
            name: alignment.probabilities(name, output, instead='mode="vote_by_label" takes labels')
            for name, output in outputs.items()
        }
        return _weighted_mean(values, shares[shares > 0])

    def expected_accuracy(self, X: Any) -> ExpectedAccuracy:
        """What share of the rows `predict` gets right, estimated from the models' confidence; no label is needed.

        In the two votes, by the thresholds that learnwares ship (``Learnware.pack(..., validation=(X, y))``): average
        thresholded confidence (Garg et al., "Leveraging unlabeled data to predict out-of-distribution performance",
        ICLR 2022). It takes for granted that a confidence means here what it means at the learnwares' developers: where
        the same rows have other labels, or are of classes that no learnware knows, the estimate is wrong.

        Parameters
        ----------
        X : array, DataFrame or tensor of shape (n, d)

        Returns
        -------
        ExpectedAccuracy
            `value`, `low`, `high`, and a `message` that says what it rests on.

        Raises
        ------
        InvalidArgument
            As `predict`; in mode "mean", for a regression, which has no such confidence; or if no learnware ships a
            threshold. The message names those that don't.
        SpecificationMismatch, LearnwareError
            As `predict_proba`.
        """
        shares = self._shares()
        alignment = self._alignment_of(shares)
        if self.mode == "mean" or alignment.common.task not in (None, "Classification"):
            raise InvalidArgument(
                "mode: an expected accuracy needs a vote of classifiers; a regression has no threshold of confidence, "
                f"got mode {self.mode!r} of {alignment.common}"
            )
        outputs = self._outputs(X, shares)
        values = {
            name: alignment.probabilities(name, output, instead="an expected accuracy needs probabilities")
            for name, output in outputs.items()
        }
        weights = shares[shares > 0]
        if self.mode == "vote_by_prob":
            answers = _weighted_mean(values, weights).argmax(axis=1)
        else:
            require_same_width(values)
            answers = _vote({name: value.argmax(axis=1) for name, value in values.items()}, weights)
        validations = self._validations(np.flatnonzero(shares).tolist())
        return expected_accuracy(values, validations, np.tile(weights, (len(answers), 1)), answers=answers)

    def __repr__(self) -> str:
        return f"AveragingReuser({size_of(self.learnwares)}, mode={self.mode!r})"

    def _repr_html_(self) -> str:
        return html_table(repr(self), self.learnwares, self.weights)

    def __sklearn_tags__(self) -> Any:
        return tags_of(regression=self.mode == "mean")

    def _shares(self) -> npt.NDArray[np.float64]:
        """Check the arguments, and return the weights as shares."""
        learnwares = checked_learnwares(self.learnwares)
        if self.mode not in _MODES:
            raise InvalidArgument(f"mode: expected one of {', '.join(_MODES)}, got {self.mode!r}")
        return shares_of(self.weights, len(learnwares))

    def _alignment(self) -> Alignment:
        return self._alignment_of(self._shares())

    def _alignment_of(self, shares: npt.NDArray[np.float64]) -> Alignment:
        return Alignment.of(self.learnwares, np.flatnonzero(shares).tolist())

    def _class_count(self, known: npt.NDArray[Any]) -> int:
        """How many columns there are: as the learnwares say, else as many as the labels need."""
        count = self.meaning.dimension
        if count is not None:
            return count
        if known.dtype.kind not in "biuf":
            raise InvalidArgument(
                f'y: expected numbers of columns, as mode "vote_by_prob" has, got dtype {known.dtype}'
            )
        return 1 + int(known.max()) if known.size else 0

    def _outputs(self, X: Any, shares: npt.NDArray[np.float64]) -> dict[str, npt.NDArray[Any]]:
        """Predictions of the learnwares that have a weight, equally many."""
        outputs = ask(self.learnwares, dict.fromkeys(np.flatnonzero(shares).tolist(), X))
        count = len(next(iter(outputs.values())))
        for name, output in outputs.items():
            if len(output) != count:
                raise LearnwareError(f"{name}: expected {count} predictions, got shape {output.shape}")
        return outputs


def _weighted_mean(
    outputs: dict[str, npt.NDArray[np.float64]], shares: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    require_same_width(outputs)
    mean: npt.NDArray[np.float64] = np.tensordot(shares, np.stack(list(outputs.values())), axes=1)
    return mean


def _vote(votes_for: dict[str, npt.NDArray[Any]], shares: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
    require_same_kind(votes_for)
    classes, indices = np.unique(np.stack(list(votes_for.values())), return_inverse=True)
    indices = indices.reshape(len(votes_for), -1)
    votes = np.zeros((indices.shape[1], len(classes)))
    for row, share in zip(indices, shares, strict=True):
        votes[np.arange(len(row)), row] += share
    winners: npt.NDArray[Any] = classes[votes.argmax(axis=1)]
    return winners
