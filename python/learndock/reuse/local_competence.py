"""Learnwares weighted row by row, by what each lost on its peers' sketches near that row."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from learndock._validation import as_array
from learndock.errors import InvalidArgument, LearnwareError, UnreviewedWarning
from learndock.learnware.class_shares import certain, no_classes
from learndock.peers import distance_weights
from learndock.reuse import _outputs, _selection
from learndock.reuse._alignment import Alignment
from learndock.reuse._calibration import factors, posterior_shift
from learndock.reuse._competence import Competence
from learndock.reuse._learnwares import Predictor, checked_learnwares, html_table, size_of
from learndock.reuse._reuser import Reuser, tags_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from learndock.dock import Mixture, SearchResult
    from learndock.learnware.meaning import OutputMeaning
    from learndock.reuse._expected import ExpectedAccuracy

    FloatArray = npt.NDArray[np.float64]

__all__ = ["LocalCompetence"]

_MODES = ("mean", "vote_by_prob")
_FEWEST_LABELS = 5


@dataclass(frozen=True, slots=True, eq=False)
class _Members:
    """The learnwares that have a weight, what their outputs mean, and what is known of them."""

    indices: tuple[int, ...]
    competence: Competence
    alignment: Alignment
    regression: bool


class LocalCompetence(Reuser):
    """Combine the learnwares of a search with weights of each row's own; no label is needed.

    A learnware counts at a row by how near the row is to the data it learnt from, and by how little its model lost near
    there on the sketches of its peers, which the dock knows from its peer review (`Dock.peer_review`):

        pi_i(x) ~ sqrt(v_i) mu_i(x)^2 exp(-z_i(x))

    with v_i the mixture's weight, mu_i the embedding, and z_i(x) what the model loses near x, from 0 for the best to 1
    for the median (kernel regression of the losses at the sketches' points; see `learndock.kernels.local_losses`).
    Where the dock has no review of these learnwares, the weights are v_i mu_i(x)^2, and an `UnreviewedWarning` says so.

    A few labelled rows make it better where the same inputs go with different outputs: `calibrate`. They stay here.

    Follows scikit-learn's conventions: arguments are stored as they come and checked when they are used; it can be
    cloned (the clone combines the same learnwares, without what was calibrated) and be the last step of a Pipeline.

    Parameters
    ----------
    hits : SearchResult or Mixture
        Of `Dock.search`, by its default rule "distance".
    learnwares : sequence of Learnware
        ``dock.get(hits.mixture.ids)``, or some of them; from `Dock.get`, since they bring the dock's record along. What
        has no `id` is taken in the order of the mixture.
    mode : {"mean", "vote_by_prob"}, optional
        mean: the weighted mean of the outputs. vote_by_prob: of class probabilities. By default what the learnwares'
        task asks for.

    Attributes
    ----------
    classes_ : ndarray
        After a `fit` with labels of a classification: the numbers of the columns of `predict_proba`.
    factors_ : ndarray of shape (members,)
        After `calibrate`: by what the learnwares' weights are multiplied.
    shift_ : ndarray of shape (members,), or None
        After `calibrate`: what was added to the loss predicted of each; None without a peer review.

    Notes
    -----
    On shifted real tasks (see the README's table) this is the best rule without labels. The weights are computed here:
    no row leaves the machine.

    Examples
    --------
    ::

        hits = dock.search(spec)
        reuser = ld.reuse.LocalCompetence(hits, dock.get(hits.mixture.ids))
        reuser.predict(X)
        reuser.calibrate(X[:20], y[:20]).predict(X)  # where hits.reliability asks for labels
    """

    hits: SearchResult | Mixture
    learnwares: Sequence[Predictor]
    mode: Literal["mean", "vote_by_prob"] | None
    classes_: npt.NDArray[np.int64]
    factors_: FloatArray
    shift_: FloatArray | None

    def __init__(
        self,
        hits: SearchResult | Mixture,
        learnwares: Sequence[Predictor],
        *,
        mode: Literal["mean", "vote_by_prob"] | None = None,
    ) -> None:
        self.hits = hits
        self.learnwares = learnwares
        self.mode = mode

    @property
    def reviewed(self) -> bool:
        """Whether the dock has tried the learnwares on enough of each other's sketches to weight them by that."""
        return self._members().competence.reviewed

    def fit(self, X: Any = None, y: Any = None) -> Self:
        """Check the arguments, and forget what was calibrated; there is nothing to train.

        Parameters
        ----------
        X : ignored
            Here because a Pipeline passes it.
        y : array of shape (n,), optional
            Labels, for `classes_` alone; what is to be learnt from them is for `calibrate`.

        Returns
        -------
        self

        Raises
        ------
        InvalidArgument
            For an unknown mode, no learnwares, learnwares that are not in the mixture, or ones without a specification.
        SpecificationMismatch
            If specifications can't be compared, or outputs do not mean the same.
        """
        members = self._members()
        for name in ("classes_", "factors_", "shift_"):
            if hasattr(self, name):
                delattr(self, name)
        classes = members.alignment.common.dimension
        if y is not None and not members.regression and classes is not None:
            self.classes_ = np.arange(classes)
        return self

    def calibrate(self, X: Any, y: Any) -> Self:
        """Let a few labelled rows of the user's own say more about the learnwares. They stay in this process.

        Each learnware's loss on these rows is joined with the one that peers predict, as far as either is reliable; and
        factors of the learnwares' weights are fitted to the rows, held near 1 as by 20 rows more. So five rows change
        little where the inputs identify the model, and much where they don't. Labels alone never rank.

        Parameters
        ----------
        X : array, DataFrame or tensor of shape (m, d)
            m >= 5.
        y : array of shape (m,), or (m, D) for D targets
            Numbers, of any scale; of a classification, numbers of classes in the order of `meaning`, or their names.

        Returns
        -------
        self

        Raises
        ------
        InvalidArgument
            For fewer than 5 rows, other lengths of X and y, NaN or infinity, or labels that are no class.
        LearnwareError
            As `predict`.
        """
        members = self._members()
        rows = _rows(X, members)
        if len(rows) < _FEWEST_LABELS:
            raise InvalidArgument(f"X: expected at least {_FEWEST_LABELS} labelled rows, got {len(rows)}")
        outputs = self._stacked(members, rows)
        truth = _truth(y, len(rows), outputs.shape[2], members)
        competence = members.competence
        shift = None
        if competence.reviewed:
            squared = np.square(outputs - truth)
            lost = squared.mean(axis=2) if members.regression else squared.sum(axis=2)
            shift = posterior_shift(lost, competence.predicted, competence.losses, competence.mmd2)
        weights = competence.row_weights(rows, shift=shift)
        self.factors_ = factors(outputs, truth, weights)
        self.shift_ = shift
        return self

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Predict for each row; `fit` need not come first.

        Parameters
        ----------
        X : array, DataFrame or tensor of shape (n, d)

        Returns
        -------
        ndarray of shape (n,), or (n, D) for D targets
            Means, or numbers of classes.

        Raises
        ------
        InvalidArgument, SpecificationMismatch
            As `fit`, and for rows of another shape than the specifications'.
        LearnwareError
            If a model fails, or its output is no array of finite numbers with one row per row of X.
        """
        members = self._members()
        rows = _rows(X, members)
        combined = self._combined(members, rows, self._weights(members, rows))
        if not members.regression:
            best: npt.NDArray[Any] = combined.argmax(axis=1)
            return best
        return combined[:, 0] if combined.shape[1] == 1 else combined

    def predict_proba(self, X: Any) -> FloatArray:
        """Class probabilities of the combination. Shape (n, C), rows sum to 1.

        Parameters
        ----------
        X : array, DataFrame or tensor of shape (n, d)

        Raises
        ------
        InvalidArgument
            For a regression, and as `predict`.
        LearnwareError
            As `predict`.
        """
        members = self._members()
        if members.regression:
            raise InvalidArgument("mode: a regression has no probabilities")
        rows = _rows(X, members)
        return self._combined(members, rows, self._weights(members, rows))

    def row_weights(self, X: Any) -> FloatArray:
        """Each learnware's share of the prediction at each row. Shape (n, len(learnwares)), rows sum to 1.

        Parameters
        ----------
        X : array, DataFrame or tensor of shape (n, d)
        """
        members = self._members()
        weights = np.zeros((len(rows := _rows(X, members)), len(self.learnwares)))
        weights[:, members.indices] = self._weights(members, rows)
        return weights

    def covered(self, X: Any) -> npt.NDArray[np.bool_]:
        """Whether any learnware has seen rows like these. Shape (n,).

        A row is covered where the mixture's embedding sum_i v_i mu_i(x) is at least what it is at 99 % of the mixture's
        own points. Predictions for other rows rest on nothing.

        Parameters
        ----------
        X : array, DataFrame or tensor of shape (n, d)
        """
        members = self._members()
        return members.competence.covered(_rows(X, members))

    def expected_accuracy(self, X: Any) -> ExpectedAccuracy:
        """What share of the rows `predict` gets right, estimated from the models' confidence; no label is needed.

        See `AveragingReuser.expected_accuracy`; here with the weights of each row.

        Parameters
        ----------
        X : array, DataFrame or tensor of shape (n, d)

        Raises
        ------
        InvalidArgument
            For a regression, which has no such confidence, or if no learnware ships a threshold.
        LearnwareError
            As `predict`.
        """
        from learndock.reuse._expected import expected_accuracy

        members = self._members()
        if members.regression:
            raise InvalidArgument("mode: an expected accuracy needs classifiers; a regression has no confidence")
        rows = _rows(X, members)
        values = dict(zip(members.alignment.meanings, self._stacked(members, rows), strict=True))
        weights = self._weights(members, rows)
        answers = np.einsum("rn,nrc->rc", weights, np.stack(list(values.values()))).argmax(axis=1)
        validations = self._validations(members.indices)
        return expected_accuracy(values, validations, weights, answers=answers)

    def __repr__(self) -> str:
        return f"LocalCompetence({size_of(self.learnwares)}, mode={self.mode!r})"

    def _repr_html_(self) -> str:
        return html_table(repr(self), self.learnwares, None)

    def __sklearn_tags__(self) -> Any:
        return tags_of(regression=self._members().regression)

    def _alignment(self) -> Alignment:
        return self._members().alignment

    def _members(self) -> _Members:
        learnwares = checked_learnwares(self.learnwares)
        if self.mode is not None and self.mode not in _MODES:
            raise InvalidArgument(f"mode: expected one of {', '.join(_MODES)} or None, got {self.mode!r}")
        weights = _weights_of(self.hits, learnwares)
        indices = np.flatnonzero(weights)
        specifications = _selection.specifications_of(learnwares, indices)
        alignment = Alignment.of(learnwares, indices.tolist())
        competence = Competence(
            [specifications[i] for i in indices.tolist()],
            weights[indices],
            [getattr(learnwares[i], "peers", None) for i in indices.tolist()],
            [getattr(learnwares[i], "id", None) for i in indices.tolist()],
        )
        regression = not alignment.classifies if self.mode is None else self.mode == "mean"
        return _Members(tuple(indices.tolist()), competence, alignment, regression)

    def _weights(self, members: _Members, rows: npt.NDArray[Any]) -> FloatArray:
        competence = members.competence
        if not competence.reviewed and len(members.indices) > 1:
            warnings.warn(
                "the dock has not tried these learnwares on enough of each other's sketches (Dock.peer_review): they "
                "are weighted by the specifications alone",
                UnreviewedWarning,
                stacklevel=3,
            )
        calibrated = getattr(self, "factors_", None)
        if calibrated is None:
            return competence.row_weights(rows)
        if len(calibrated) != len(members.indices):
            raise InvalidArgument(
                f"learnwares: expected the {len(calibrated)} that calibrate saw, got {len(members.indices)}"
            )
        weights = competence.row_weights(rows, shift=self.shift_) * calibrated
        shares: FloatArray = weights / weights.sum(axis=1, keepdims=True)
        return shares

    def _combined(self, members: _Members, rows: npt.NDArray[Any], weights: FloatArray) -> FloatArray:
        combined: FloatArray = np.einsum("rn,nrc->rc", weights, self._stacked(members, rows))
        return combined

    def _stacked(self, members: _Members, rows: npt.NDArray[Any]) -> FloatArray:
        """Outputs of the members, shape (members, n, columns): numbers, or probabilities."""
        outputs = _outputs.ask(self.learnwares, dict.fromkeys(members.indices, rows))
        values = []
        for name, output in outputs.items():
            if len(output) != len(rows):
                raise LearnwareError(f"{name}: expected {len(rows)} predictions, got shape {output.shape}")
            value = members.alignment.numbers(name, output) if members.regression else _shares(name, output, members)
            values.append(value.reshape(len(rows), -1))
        _outputs.require_same_width(dict(zip(outputs, values, strict=True)))
        return np.stack(values)


def _weights_of(hits: Any, learnwares: Sequence[Predictor]) -> FloatArray:
    """The weight in the mixture of each learnware."""
    mixture = getattr(hits, "mixture", hits)
    if mixture is None:  # fewer than two help
        singles = hits.singles
        ids = [hit.id for hit in singles]
        given = distance_weights(np.array([hit.mmd2 for hit in singles])) if singles else np.empty(0)
    elif hasattr(mixture, "ids") and hasattr(mixture, "weights"):
        ids, given = list(mixture.ids), np.array(mixture.weights, dtype=np.float64)
    else:
        raise InvalidArgument(f"hits: expected a SearchResult or a Mixture, got {type(hits).__name__}")
    weight_of = dict(zip(ids, given.tolist(), strict=True))
    named = [getattr(learnware, "id", None) for learnware in learnwares]
    if all(name is None for name in named):
        if len(learnwares) != len(ids):
            raise InvalidArgument(
                f"learnwares: expected the {len(ids)} of the mixture, in its order, since they have no id; "
                f"got {len(learnwares)}"
            )
        named = list(ids)
    strange = [i for i, name in enumerate(named) if name not in weight_of]
    if strange:
        raise InvalidArgument(f"learnwares[{strange[0]}]: {named[strange[0]]!r} is none of the mixture's")
    weights = np.array([weight_of[name] for name in named])
    if not weights.sum() > 0:
        raise InvalidArgument("learnwares: expected one that has a weight in the mixture")
    return weights


def _shares(name: str, output: npt.NDArray[Any], members: _Members) -> FloatArray:
    """Probabilities in the common order; of one class a row, 1 for that."""
    if output.ndim == 2:
        return members.alignment.probabilities(name, output, instead="")
    classes = members.alignment.common.dimension
    labels = members.alignment.labels(name, output)
    if classes is None or labels.dtype.kind == "U":
        raise LearnwareError(
            f"{name}: expected probabilities, or numbers of the classes that its semantic specification describes, got "
            f"predictions of dtype {labels.dtype} and shape {output.shape}"
        )
    if (wrong := no_classes(labels, classes)).any():
        raise LearnwareError(f"{name}: expected numbers of classes from 0 to {classes - 1}, got {labels[wrong][0]}")
    return certain(labels, classes)


def _truth(y: Any, rows: int, columns: int, members: _Members) -> FloatArray:
    """Labels as the outputs are: numbers, or one 1 in each row. Shape (rows, columns)."""
    try:
        labels = np.asarray(y)
    except ValueError as error:
        raise InvalidArgument(f"y: expected an array, got a ragged list ({error})") from None
    if labels.shape == (rows, 1) and columns == 1:
        labels = labels[:, 0]
    expected = (rows,) if not members.regression or columns == 1 else (rows, columns)
    if labels.shape != expected:
        raise InvalidArgument(f"y: expected shape {expected}, got {labels.shape}")
    if members.regression:
        if labels.dtype.kind not in "biuf" or not np.isfinite(labels).all():
            raise InvalidArgument("y: expected finite numbers")
        return labels.astype(np.float64).reshape(rows, columns)
    if labels.dtype.kind in "UO":
        labels = _numbered([str(label) for label in labels], members.alignment.common)
    if labels.dtype.kind not in "biuf":
        raise InvalidArgument(f"y: expected numbers or names of classes, got dtype {labels.dtype}")
    if (wrong := no_classes(labels, columns)).any():
        raise InvalidArgument(f"y: expected numbers of classes from 0 to {columns - 1}, got {labels[wrong][0]}")
    return certain(labels, columns)


def _numbered(names: Sequence[str], common: OutputMeaning) -> npt.NDArray[np.int64]:
    number_of = {name: number for number, name in enumerate(common.shown or ())}
    unknown = [name for name in names if name not in number_of]
    if unknown:
        raise InvalidArgument(f"y: expected classes of {common}, got {unknown[0]!r}")
    return np.array([number_of[name] for name in names])


def _rows(X: Any, members: _Members) -> npt.NDArray[Any]:
    """Rows as models take them; what the specifications can't take is an error before a model is asked."""
    rows = as_array(X, "X")
    if rows.ndim == 0 or len(rows) == 0:
        raise InvalidArgument(f"X: expected at least one row, got shape {rows.shape}")
    members.competence.specifications[0].standardised(rows)
    return rows
