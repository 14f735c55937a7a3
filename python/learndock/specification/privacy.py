"""How near the points of a specification, which leaves its owner's machine, come to rows of the data behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from learndock.specification._rows import members, row_hashes, rows_of
from learndock.specification._rows_behind import FEWEST_BEHIND, rows_behind

if TYPE_CHECKING:
    import numpy.typing as npt

    from learndock.specification.table import RKMETableSpecification

    FloatArray = npt.NDArray[np.float64]

__all__ = ["PrivacyReport", "privacy_report"]

# A point that is this part of the usual distance between rows away from one tells its reader about that row.
_CLOSE = 0.1
# Rows whose distance to the next is looked at: the median of so many is right to some 3 % of the spread.
_SPACED_ROWS = 2000


@dataclass(frozen=True, slots=True, eq=False)
class PrivacyReport:
    """How near points come to rows.

    Distances are in units of `spacing`, what rows usually keep from each other, and in the specification's scaling
    where it has one. What they can't say is what an attacker learns who knows other rows of the data already: this is
    a measurement of one specification, no guarantee in the sense of differential privacy.

    Attributes
    ----------
    rows : int
        Rows of the data.
    copies : int
        Points that equal a row, number by number.
    copies_in_float32 : int
        Points that equal a row when both are rounded to float32, as a dock stores them; those of `copies` included.
    spacing : float
        Median distance of a row to the nearest other row, of different rows; where there are more than 2,000, of as
        many drawn by a fixed seed. 0 where all rows are equal.
    distances : ndarray of shape (K,)
        Of each point to its nearest row, in units of `spacing`; 0 for copies, infinite where all rows are equal.
    rows_behind : ndarray of shape (K,)
        Effective number of rows around each point, (sum w)^2 / sum w^2 with the kernel's values w = k(z, x).
    """

    rows: int
    copies: int
    copies_in_float32: int
    spacing: float
    distances: FloatArray
    rows_behind: FloatArray

    @property
    def points(self) -> int:
        """Points of the specification."""
        return len(self.distances)

    @property
    def nearest(self) -> float:
        """The smallest of `distances`."""
        return float(self.distances.min())

    @property
    def lowest_twentieth(self) -> float:
        """What a twentieth of `distances` lies below."""
        # An element: between two that are infinite there is nothing.
        return float(np.quantile(self.distances, 0.05, method="lower"))

    @property
    def median(self) -> float:
        """The median of `distances`."""
        return float(np.quantile(self.distances, 0.5, method="lower"))

    @property
    def close(self) -> int:
        """Points nearer to a row than a tenth of what rows usually keep from each other."""
        return int((self.distances < _CLOSE).sum())

    @property
    def lonely(self) -> int:
        """Points with fewer than 10 effective rows around them: they speak of few."""
        return int((self.rows_behind < FEWEST_BEHIND).sum())

    @property
    def message(self) -> str:
        """All of it in plain sentences."""
        if self.copies_in_float32:
            said = (
                f"{self.copies_in_float32:,} of {self.points:,} points are rows of the data as they are: whoever gets "
                "the specification has these rows"
            )
        else:
            said = f"none of the {self.points:,} points equals one of the {self.rows:,} rows"
        parts = [
            f"{said}; the nearest point to a row is {self.nearest:.2g} of the usual distance between rows away, a "
            f"twentieth of the points at most {self.lowest_twentieth:.2g}, half of them at most {self.median:.2g}"
        ]
        if self.close:
            parts.append(f"{_counted(self.close, 'is', 'are')} nearer than {_CLOSE:g} of it")
        if self.lonely:
            parts.append(
                f"{_counted(self.lonely, 'has', 'have')} fewer than {FEWEST_BEHIND} rows around and may stand for "
                "single ones"
            )
        return "; ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """The numbers, and the message; distances of single points are left out."""
        names = ("points", "rows", "copies", "copies_in_float32", "spacing", "nearest", "lowest_twentieth", "median")
        return {name: getattr(self, name) for name in (*names, "close", "lonely", "message")}

    def __repr__(self) -> str:
        return f"PrivacyReport({self.message})"


def privacy_report(spec: RKMETableSpecification, X: Any, *, threads: int | None = None) -> PrivacyReport:
    """Compare the points of a specification with the rows that it was made of.

    Takes about the time of a nearest-neighbour search of K + 2,000 rows among n; memory for the rows
    three times.

    Parameters
    ----------
    spec : RKMETableSpecification
    X : array, DataFrame or tensor of shape (n, d)
        The data, as `RKMETableSpecification.fit` takes it, in its own units.
    threads : int, optional
        For kernels; the search of neighbours takes what scikit-learn takes.

    Returns
    -------
    PrivacyReport

    Raises
    ------
    InvalidArgument
        For data that `fit` would refuse, or another number of columns.

    Examples
    --------
    Four rows on a line, a point on the last one and one between the first two:

    >>> from learndock import RKMETableSpecification
    >>> from learndock.specification import privacy_report
    >>> spec = RKMETableSpecification([[0.5], [3.0]], [0.5, 0.5], gamma=0.1)
    >>> report = privacy_report(spec, [[0.0], [1.0], [2.0], [3.0]])
    >>> report.copies, report.spacing, report.distances.tolist()
    (1, 1.0, [0.5, 0.0])
    """
    rows = spec.standardised(rows_of(X))
    hashes = row_hashes(rows, np.float64)
    exact = members(row_hashes(spec.points, np.float64), hashes)
    rounded = exact | members(row_hashes(spec.points, np.float32), row_hashes(rows, np.float32))
    first = np.unique(hashes, return_index=True)[1]
    different = rows if len(first) == len(rows) else rows[first]
    distances, spacing = _distances(spec.points, different)
    distances[exact] = 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(distances > 0, distances / spacing, 0.0)
    return PrivacyReport(
        rows=len(rows),
        copies=int(exact.sum()),
        copies_in_float32=int(rounded.sum()),
        spacing=spacing,
        distances=relative,
        rows_behind=rows_behind(spec.points, rows, gamma=spec.gamma, threads=threads),
    )


def _distances(points: FloatArray, rows: FloatArray) -> tuple[FloatArray, float]:
    """Of points to the nearest of different rows, and what these keep from each other."""
    from sklearn.neighbors import NearestNeighbors

    centre = rows.mean(axis=0)
    # Between -1 and 1, around 0: what scikit-learn adds up neither overflows nor cancels more than it must.
    placed = rows - centre
    largest = float(max(-placed.min(), placed.max())) or 1.0
    placed /= largest
    near = NearestNeighbors(n_neighbors=1).fit(placed)
    nearest = near.kneighbors((points - centre) / largest, return_distance=False)[:, 0]
    distances = np.linalg.norm(points - rows[nearest], axis=1)
    if len(rows) < 2:
        return distances, 0.0
    some = np.arange(len(rows))
    if len(some) > _SPACED_ROWS:
        some = np.random.default_rng(0).choice(len(rows), size=_SPACED_ROWS, replace=False)
    pairs = near.kneighbors(placed[some], n_neighbors=2, return_distance=False)
    other = np.where(pairs[:, 0] == some, pairs[:, 1], pairs[:, 0])
    return distances, float(np.median(np.linalg.norm(rows[some] - rows[other], axis=1)))


def _counted(count: int, one: str, many: str) -> str:
    return f"1 point {one}" if count == 1 else f"{count:,} points {many}"
