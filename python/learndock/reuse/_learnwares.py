"""The learnwares that a reuser combines, and their shares."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from numbers import Real
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from learndock._validation import finite_float64
from learndock.errors import InvalidArgument

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["Predictor", "checked_learnwares", "html_table", "shares_of", "size_of"]


class Predictor(Protocol):
    """What has `predict`: a Learnware, or any model."""

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Predictions, one per row."""


def checked_learnwares(learnwares: Any) -> Sequence[Predictor]:
    """Raise InvalidArgument unless it is a sequence of one or more that predict."""
    if not isinstance(learnwares, Sequence) or isinstance(learnwares, str):
        raise InvalidArgument(f"learnwares: expected a sequence, got {type(learnwares).__name__}")
    if not learnwares:
        raise InvalidArgument("learnwares: expected at least one, got none")
    for i, learnware in enumerate(learnwares):
        if not callable(getattr(learnware, "predict", None)):
            raise InvalidArgument(f"learnwares[{i}]: expected a predict method, got {type(learnware).__name__}")
    return learnwares


def shares_of(weights: Any, count: int) -> npt.NDArray[np.float64]:
    """`weights` scaled to sum 1; equal where there are none."""
    if weights is None:
        return np.full(count, 1 / count)
    array = finite_float64(weights, "weights", ndim=1)
    if len(array) != count:
        raise InvalidArgument(f"weights: expected one for each of the {count} learnwares, got {len(array)}")
    if (array < 0).any() or not array.sum() > 0:
        raise InvalidArgument(f"weights: expected none negative and not all 0, got {array.tolist()}")
    shares: npt.NDArray[np.float64] = array / array.sum()
    return shares


def size_of(learnwares: Any) -> str:
    """How many there are, for a repr: of whatever the constructor was given."""
    return f"{len(learnwares)} learnwares" if isinstance(learnwares, Sequence) else repr(learnwares)


def html_table(title: str, learnwares: Any, weights: Any) -> str:
    """A title over a table of learnwares and weights, as notebooks show it."""
    names = [_name(learnware) for learnware in learnwares] if isinstance(learnwares, Sequence) else []
    fitting = isinstance(weights, Sequence | np.ndarray) and len(weights) == len(names)
    given = list(weights) if fitting else [None] * len(names)
    rows = "".join(
        f"<tr><td>{i}</td><td>{escape(name)}</td><td>{f'{weight:.4g}' if isinstance(weight, Real) else ''}</td></tr>"
        for i, (name, weight) in enumerate(zip(names, given, strict=True))
    )
    head = "<thead><tr><th></th><th>learnware</th><th>weight</th></tr></thead>"
    return f"<p>{escape(title)}</p><table>{head}<tbody>{rows}</tbody></table>"


def _name(learnware: Any) -> str:
    """What it is called: as in a dock, as its owner calls it, or as Python does."""
    named = (getattr(learnware, "id", None), getattr(getattr(learnware, "semantic", None), "name", None))
    return next((name for name in named if isinstance(name, str)), type(learnware).__name__)
