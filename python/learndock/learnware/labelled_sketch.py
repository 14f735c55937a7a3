"""A labelled sketch: what labels are on average at the points of a specification, for the dock's peer review."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from learndock._npy import BadArray, strangers_array
from learndock._validation import finite
from learndock.errors import InvalidArgument, LearnwareError
from learndock.specification._rows_behind import FEWEST_BEHIND

if TYPE_CHECKING:
    import numpy.typing as npt

    from learndock.specification import RKMETableSpecification, SemanticSpecification

    FloatArray = npt.NDArray[np.float64]

__all__ = ["LabelledSketch", "read_labelled_sketch"]

# Shares of classes are added up by whoever wrote the file.
_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class LabelledSketch:
    """Mean labels at the points of a specification, as a learnware may ship them, and how many rows are in each.

    Attributes
    ----------
    means : ndarray of shape (K, columns)
        Shares of classes or means of targets, in the order of the semantic specification's Output. A row of NaN where
        fewer than 10 effective rows are behind a point: no mean of few people's labels is given.
    rows : int
        Labelled rows that there were.
    rows_behind : ndarray of shape (K,)
        Effective number of rows in the mean at each point, (sum w)^2 / sum w^2.
    """

    means: FloatArray
    rows: int
    rows_behind: FloatArray

    @property
    def given(self) -> npt.NDArray[np.bool_]:
        """Whether there is a mean at each point, shape (K,)."""
        return ~np.isnan(self.means[:, 0])

    @property
    def message(self) -> str:
        """What leaves the machine, in a sentence."""
        given = self.given
        if not given.any():
            return f"no mean label is given: no point has {FEWEST_BEHIND} effective rows behind it, of {self.rows:,}"
        return (
            f"mean labels are given at {given.sum():,} of {len(given):,} points, each of "
            f"{self.rows_behind[given].min():.0f} effective rows or more of {self.rows:,}"
        )

    def __repr__(self) -> str:
        return f"LabelledSketch({self.message})"


def read_labelled_sketch(
    content: bytes,
    *,
    name: str,
    specification: RKMETableSpecification | None,
    semantic: SemanticSpecification | None,
) -> FloatArray:
    """The means in a .npy file, shape (K, columns), rows of NaN where there are none.

    Parameters
    ----------
    content : bytes
        Of the file.
    name : str
        Of the file, for messages.
    specification : RKMETableSpecification or None
        That has K points.
    semantic : SemanticSpecification or None
        That says how many columns there are, and whether they are shares of classes.

    Raises
    ------
    LearnwareError
        There is no specification, its task has no such labels, or the file does not hold a row of finite numbers, or
        of NaN, for each of its points: of a classification shares, none negative, of sum 1.
    """
    if specification is None:
        raise LearnwareError("labelled_sketch: expected a specification, whose points it is of")
    try:
        array = strangers_array(content, name=name)
    except BadArray as error:
        raise LearnwareError(f"labelled_sketch: {error}") from None
    points = len(specification.points)
    if array.dtype not in (np.float32, np.float64) or array.ndim != 2 or not array.size or len(array) != points:
        raise LearnwareError(
            f"labelled_sketch: expected a table of float32 or float64 with {points} rows in {name}, one for each point"
            f", got {array.dtype!s:.200} of shape {str(array.shape)[:200]}"
        )
    with np.errstate(invalid="ignore"):  # of a signalling NaN
        means = np.ascontiguousarray(array, dtype=np.float64)
    missing = np.isnan(means)
    given = ~missing.any(axis=1)
    if (missing.any(axis=1) != missing.all(axis=1)).any():
        raise LearnwareError(f"labelled_sketch: expected rows of numbers or of NaN alone in {name}, got some of both")
    try:
        finite(means[given], name)
    except InvalidArgument as error:
        raise LearnwareError(f"labelled_sketch: {error}") from None
    if semantic is not None:
        _require_meaning(means[given], semantic, name)
    return means


def _require_meaning(means: FloatArray, semantic: SemanticSpecification, name: str) -> None:
    if semantic.task not in ("Classification", "Regression"):
        raise LearnwareError(f"labelled_sketch: expected a Classification or a Regression, got {semantic.task}")
    columns = semantic.output_dimension
    if columns is not None and means.shape[1] != columns:
        raise LearnwareError(
            f"labelled_sketch: expected {columns} columns in {name}, as the semantic specification's Output has, got "
            f"{means.shape[1]}"
        )
    if semantic.task == "Classification":
        off = np.abs(means.sum(axis=1) - 1) > _TOLERANCE
        if (means < 0).any() or off.any():
            raise LearnwareError(f"labelled_sketch: expected shares of classes, none negative, of sum 1 in {name}")
