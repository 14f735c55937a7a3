"""Choosing gamma of the kernel by the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from learndock._validation import random_generator
from learndock.errors import InvalidArgument
from learndock.specification._rows import rows_of

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["median_gamma"]

# Half a million pairs: the median of their squared distances is within some 1 % of that of all pairs.
_ROWS = 1000


def median_gamma(X: Any, *, random_state: int | np.random.Generator | None = 0) -> float:
    """Gamma by the median heuristic: 1 / median(||x - y||^2) over pairs of rows.

    A kernel so wide tells distributions apart that differ on the scale of the data itself (Gretton et al., JMLR 2012,
    section 8). Specifications of different gamma can't be compared, so a dock's users have to agree on one.

    Parameters
    ----------
    X : array, DataFrame or tensor of shape (n, d)
        As `RKMETableSpecification.fit` takes it; of more than 1,000 rows, a random 1,000 are looked at.
    random_state : int or numpy.random.Generator, default 0
        Which rows.

    Returns
    -------
    float

    Raises
    ------
    InvalidArgument
        As `fit` for the data; for a single row; or where more than half of the pairs are of equal rows, which have no
        scale.

    Examples
    --------
    Squared distances 1, 4 and 9:

    >>> import learndock as ld
    >>> ld.median_gamma([[0.0], [1.0], [3.0]])
    0.25
    """
    rows = rows_of(X)
    generator = random_generator(random_state)
    if len(rows) < 2:
        raise InvalidArgument("X: expected at least two rows, got one")
    if len(rows) > _ROWS:
        rows = rows[generator.choice(len(rows), size=_ROWS, replace=False)]
    median = float(np.median(_squared_distances(rows)))
    if not median > 0:
        raise InvalidArgument("X: expected rows that differ, got equal ones in more than half of all pairs")
    return 1 / median


def _squared_distances(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Of each pair once; from the differences, so that equal rows are at 0."""
    return np.concatenate([((rows[i + 1 :] - rows[i]) ** 2).sum(axis=1) for i in range(len(rows) - 1)])
