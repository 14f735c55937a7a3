"""The warning where rows and gamma don't go together."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from learndock.errors import ScaleWarning
from learndock.specification.moments import FEWEST_ROWS

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["warn_of_scale"]

# Of gamma times the median squared distance. At 1/64 the kernel is 0.98 for half of all pairs, and all data look alike;
# at 16 it is 1e-7 for half of them, and every row is alone.
_WIDEST, _NARROWEST = 1 / 64, 16.0
# Their median is right to a few per cent of itself; it takes 30 microseconds.
_PAIRS = 256


def warn_of_scale(rows: npt.NDArray[np.float64], gamma: float, *, scaled: bool, stacklevel: int) -> None:
    """Warn where gamma * median ||x - y||^2 of the rows lies outside 1/64 to 16, and say what to do.

    Parameters
    ----------
    rows : ndarray of shape (n, d)
        As the kernel sees them. Of fewer than ten, nothing is said.
    gamma : float
    scaled : bool
        Whether they were standardised by a `Scaling`.
    stacklevel : int
        1 is the caller of this function.
    """
    if len(rows) < FEWEST_ROWS:
        return
    first, second = np.random.default_rng(0).integers(len(rows), size=(2, _PAIRS))
    apart = first != second
    with np.errstate(over="ignore"):
        distances = ((rows[first[apart]] - rows[second[apart]]) ** 2).sum(axis=1)
        exponent = gamma * float(np.median(distances))
    # 0: most rows are equal, and no gamma tells them apart.
    if exponent == 0 or _WIDEST <= exponent <= _NARROWEST:
        return
    what = "all rows look alike" if exponent < _WIDEST else "every row looks alone"
    data = "scaling.apply(X)" if scaled else "X"
    advice = f"give gamma=learndock.median_gamma({data}), the same on all sides"
    if not scaled:
        advice = (
            "standardise the columns by a scaling that all sides share (scaling=, such as `Dock.scaling` gives), or "
            f"{advice}"
        )
    warnings.warn(
        f"gamma {gamma:g} times the median squared distance between rows is {exponent:.3g}, outside 1/64 to 16: {what}"
        f", and distances to other specifications say little; {advice}",
        ScaleWarning,
        stacklevel=stacklevel + 1,
    )
