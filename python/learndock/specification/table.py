"""The statistical specification of table data: a reduced kernel mean embedding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from learndock import kernels
from learndock._printable import printable
from learndock._validation import (
    LARGEST_COUNT,
    as_path,
    embedding,
    finite,
    finite_float64,
    positive_gamma,
    positive_integer,
    random_generator,
)
from learndock.errors import InvalidArgument, SpecificationMismatch
from learndock.specification._file import write_spec_file
from learndock.specification._rows import move_off_rows, rows_of
from learndock.specification._scale_warning import warn_of_scale
from learndock.specification.moments import FEWEST_ROWS, checked_moments, column_moments
from learndock.specification.scaling import Scaling

if TYPE_CHECKING:
    import os

    import numpy.typing as npt

    from learndock.specification.privacy import PrivacyReport

    FloatArray = npt.NDArray[np.float64]

__all__ = ["RKMETableSpecification"]

# Herding candidates are drawn around the points with this deviation, in units of 1 / sqrt(gamma): at the reference's
# gamma of 0.1 it is the reference's 0.25.
_HERDING_SPREAD = 0.25 * 0.1**0.5
_CANDIDATES_A_SAMPLE = 100
# What every database's integers and every float64 hold.
_MOST_ROWS = 2**53
_MOST_CANDIDATES = 100_000


class RKMETableSpecification:
    """Reduced kernel mean embedding (RKME) of table data.

    mu_P = sum_j weights[j] k(points[j], .),  k(x, y) = exp(-gamma ||x - y||^2)   (Wu et al., TKDE 2023)

    Immutable. Made by `fit` from data, by `learndock.load_spec` from a file, or here from arrays.

    Parameters
    ----------
    points : array of shape (K, d)
    weights : array of shape (K,)
        Any sign, any sum (the reference's free weights need not sum to 1).
    gamma : float
        1 / length^2, positive.
    num_points : int, optional
        Rows of the data that the embedding stands for.
    fit_mmd2 : float, optional
        Squared MMD between the embedding and its data, where it is known.
    scaling : Scaling, optional
        What the rows were standardised by; points are in its units.
    moments : array of shape (2, d), optional
        Robust means and deviations of the columns of the data, as they were before `scaling`.

    Raises
    ------
    InvalidArgument
        For wrong shapes, NaN or infinity, differing numbers of points and weights, gamma <= 0, or a negative
        `fit_mmd2`.

    Examples
    --------
    Two single points at distance 1 with gamma = 1: 1 - 2/e + 1.

    >>> from learndock import RKMETableSpecification
    >>> here = RKMETableSpecification([[0.0]], [1.0], gamma=1.0)
    >>> there = RKMETableSpecification([[1.0]], [1.0], gamma=1.0)
    >>> round(here.mmd2(there), 6)
    1.264241
    >>> here.herd(3, random_state=0).shape
    (3, 1)
    """

    type: ClassVar[str] = "RKMETableSpecification"

    __slots__ = ("_fit_mmd2", "_gamma", "_moments", "_norm2", "_num_points", "_points", "_scaling", "_weights")

    def __init__(
        self,
        points: Any,
        weights: Any,
        *,
        gamma: float,
        num_points: int | None = None,
        fit_mmd2: float | None = None,
        scaling: Scaling | None = None,
        moments: Any = None,
    ) -> None:
        z, beta = embedding(points, weights)
        self._points, self._weights = z.copy(), beta.copy()
        self._points.setflags(write=False)
        self._weights.setflags(write=False)
        self._gamma = positive_gamma(gamma)
        self._num_points = None if num_points is None else positive_integer(num_points, "num_points", most=_MOST_ROWS)
        self._fit_mmd2 = None if fit_mmd2 is None else _squared_distance(fit_mmd2, "fit_mmd2")
        self._scaling = None if scaling is None else _scaling_of(scaling, z.shape[1])
        self._moments = None if moments is None else checked_moments(moments, z.shape[1])
        self._norm2: float | None = None

    @property
    def points(self) -> FloatArray:
        """The reduced set z, shape (K, d), float64, read-only; in units of `scaling` where there is one."""
        return self._points

    @property
    def weights(self) -> FloatArray:
        """The weights beta, shape (K,), float64, read-only."""
        return self._weights

    @property
    def gamma(self) -> float:
        """Gamma of the kernel exp(-gamma ||x - y||^2)."""
        return self._gamma

    @property
    def num_points(self) -> int | None:
        """Rows of the data behind the embedding, where known."""
        return self._num_points

    @property
    def fit_mmd2(self) -> float | None:
        """Squared MMD between the embedding and its data, ||mu_X - mu_P||^2, where known: what the reduction adds.

        `fit` records it; files that don't say (the reference's) leave it unknown, None.
        """
        return self._fit_mmd2

    @property
    def scaling(self) -> Scaling | None:
        """What the rows were standardised by, where `fit` was given a scaling."""
        return self._scaling

    @property
    def moments(self) -> FloatArray | None:
        """Means and deviations of the columns of the data, shape (2, d), where known; a deviation is 0 if constant.

        `fit` records them of ten rows or more: winsorised, see `Scaling.of`, and of the rows as they came, before any
        scaling. A dock makes its scaling of them.
        """
        return self._moments

    @property
    def raw_points(self) -> FloatArray:
        """The points in the units of the data, as a model takes them. Shape (K, d)."""
        return self._points if self._scaling is None else self._scaling.inverse(self._points)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape (d,) of one row."""
        return (int(self._points.shape[1]),)

    @classmethod
    def fit(
        cls,
        X: Any,
        *,
        n_points: int = 100,
        gamma: float = 0.1,
        random_state: int | np.random.Generator | None = None,
        weights: kernels.WeightRule = "nonnegative",
        reduce: bool = True,
        scaling: Scaling | None = None,
        threads: int | None = None,
    ) -> RKMETableSpecification:
        """Sketch data by a reduced set whose embedding is as close to the data's as K points allow.

        Parameters
        ----------
        X : array, DataFrame or tensor of shape (n, d)
            NaN counts as missing and is replaced by its column's mean; the caller's data is only read.
        n_points : int, default 100
            K. Where it is n or more, ceil(2 n / 3) points are used, as in the reference.
        gamma : float, default 0.1
        random_state : int or numpy.random.Generator, optional
        weights : {"nonnegative", "simplex", "free"}, default "nonnegative"
            nonnegative: >= 0, with the sum that fits the data best (1 or less, unless rows are few). simplex: >= 0 with
            sum 1, as the reference's. free: any real numbers.
        reduce : bool, default True
            False keeps every row as a point of weight 1/n: the specification then *is* the data.
        scaling : Scaling, optional
            Standardise the rows by this, which developers and users have to share: `Dock.scaling` has the dock's. The
            specification remembers it. By default the rows are taken as they are.
        threads : int, optional

        Returns
        -------
        RKMETableSpecification
            With `num_points` = n and `fit_mmd2`, above 3,000 rows an estimate (see `kernels.ReducedSet`). Unless
            `reduce=False`, no point equals a row of the data; how near they come, `privacy_report` says.

        Raises
        ------
        InvalidArgument
            For wrong shapes, an empty table, infinity, a column without any number, gamma <= 0 or n_points < 1, or a
            scaling of another number of columns.

        Warns
        -----
        ScaleWarning
            Where gamma times the median squared distance between rows is below 1/64 or above 16.

        Examples
        --------
        >>> import numpy as np
        >>> from learndock import RKMETableSpecification
        >>> X = np.random.default_rng(0).normal(size=(200, 3))
        >>> RKMETableSpecification.fit(X, n_points=10, random_state=0)
        RKMETableSpecification(10 points of 3 features, gamma 0.1, from 200 rows)
        """
        rows = rows_of(X)
        gamma = positive_gamma(gamma)
        count = positive_integer(n_points, "n_points")
        n = len(rows)
        kernels.require_weight_rule(weights)
        moments = column_moments(rows) if n >= FEWEST_ROWS else None
        if scaling is not None:
            rows = _scaling_of(scaling, rows.shape[1]).apply(rows)
            finite(rows, "X in units of the scaling")
        warn_of_scale(rows, gamma, scaled=scaling is not None, stacklevel=2)
        if not reduce:
            uniform = np.full(n, 1 / n)
            return cls(rows, uniform, gamma=gamma, num_points=n, fit_mmd2=0.0, scaling=scaling, moments=moments)
        if count >= n:
            count = -(-2 * n // 3)
        generator = random_generator(random_state)
        fitted = kernels.fit_reduced_set(
            rows, n_points=count, gamma=gamma, random_state=generator, weights=weights, threads=threads
        )
        points, moved = move_off_rows(fitted.points, rows, length=gamma**-0.5, generator=generator)
        spec = cls(
            points,
            fitted.weights,
            gamma=gamma,
            num_points=n,
            fit_mmd2=fitted.mmd2,
            scaling=scaling,
            moments=moments,
        )
        if moved:
            # What the move changes of <P, P> - 2 <P, X> + <X, X>: O(n K d), and <X, X> would be O(n^2 d).
            data = cls(rows, np.full(n, 1 / n), gamma=gamma)
            before = cls(fitted.points, fitted.weights, gamma=gamma)
            new, old = (p.inner(p, threads=threads) - 2 * p.inner(data, threads=threads) for p in (spec, before))
            spec._fit_mmd2 = max(0.0, fitted.mmd2 + new - old)
        return spec

    def inner(self, other: RKMETableSpecification, *, threads: int | None = None) -> float:
        """Inner product <P, Q> with another specification, in float64.

        Parameters
        ----------
        other : RKMETableSpecification
            Of the same input shape and gamma, and of the same scaling where both have one.
        threads : int, optional

        Raises
        ------
        SpecificationMismatch
            If type, input shape, gamma or scaling differ; the message says how.
        """
        self._require_comparable(other)
        if other is self and self._norm2 is not None:
            return self._norm2
        product = kernels.inner(
            self._points, self._weights, other._points, other._weights, gamma=self._gamma, threads=threads
        )
        if other is self:
            self._norm2 = product  # with a point for each of 10,000 rows it takes a tenth of a second
        return product

    def mmd2(self, other: RKMETableSpecification, *, threads: int | None = None) -> float:
        """Squared maximum mean discrepancy to another specification, in float64.

        ||mu_P - mu_Q||^2 = <P, P> - 2 <P, Q> + <Q, Q>   (Gretton et al., JMLR 2012, Lemma 6)

        Parameters
        ----------
        other : RKMETableSpecification
            Of the same input shape and gamma, and of the same scaling where both have one.
        threads : int, optional

        Returns
        -------
        float
            Not clamped: rounding can leave the distance of equal embeddings a little below 0.

        Raises
        ------
        SpecificationMismatch
            If type, input shape, gamma or scaling differ; the message says how.
        """
        return (
            self.inner(self, threads=threads)
            - 2 * self.inner(other, threads=threads)
            + other.inner(other, threads=threads)
        )

    def embedding(self, X: Any, *, threads: int | None = None) -> FloatArray:
        """mu(x) = sum_j weights[j] k(points[j], x) at each row. Shape (n,).

        Parameters
        ----------
        X : array of shape (n, d)
            In the units of the data: standardised here where the specification has a `scaling`.
        threads : int, optional

        Raises
        ------
        InvalidArgument
            For NaN, infinity or wrong shapes.
        """
        return kernels.embed(self._points, self._weights, self.standardised(X), gamma=self._gamma, threads=threads)

    def standardised(self, X: Any) -> FloatArray:
        """Rows in the units of `points`: standardised where the specification has a `scaling`. Shape (n, d), float64.

        Parameters
        ----------
        X : array of shape (n, d)
            In the units of the data.

        Raises
        ------
        InvalidArgument
            For NaN, infinity or wrong shapes.
        """
        rows = finite_float64(X, "X", ndim=2)
        if rows.shape[1:] != self.input_shape:
            raise InvalidArgument(f"X: expected rows of shape {self.input_shape}, got {rows.shape[1:]}")
        return rows if self._scaling is None else finite_float64(self._scaling.apply(rows), "X in units of the scaling")

    def herd(
        self,
        n: int,
        *,
        random_state: int | np.random.Generator | None = None,
        threads: int | None = None,
    ) -> FloatArray:
        """Made-up samples that follow the embedding, by kernel herding.

        Candidates are drawn around the points, by weight (negative weights draw none); then
        x_{t+1} = argmax_x mu(x) - 1/(t+1) sum_{s <= t} k(x_s, x)   (Chen, Welling & Smola, UAI 2010, equation 8).

        Parameters
        ----------
        n : int
            Number of samples.
        random_state : int or numpy.random.Generator, optional
        threads : int, optional

        Returns
        -------
        ndarray of float64, shape (n, d)
            In the units of the data.

        Raises
        ------
        InvalidArgument
            If n < 1, or no weight is positive.
        """
        candidates, mean = self.herding_candidates(n, random_state=random_state, threads=threads)
        samples = candidates[kernels.herd(candidates, mean, n=n, gamma=self._gamma, threads=threads)]
        return samples if self._scaling is None else self._scaling.inverse(samples)

    def herding_candidates(
        self,
        n: int,
        *,
        random_state: int | np.random.Generator | None = None,
        threads: int | None = None,
    ) -> tuple[FloatArray, FloatArray]:
        """What `herd` chooses n samples from: the input of `kernels.herd`, or of `kernels.herd_many` for many.

        Parameters
        ----------
        n : int
            Number of samples to be chosen.
        random_state : int or numpy.random.Generator, optional
        threads : int, optional

        Returns
        -------
        candidates : ndarray of float64, shape (N, d)
            In units of `scaling` where there is one.
        mean : ndarray of float64, shape (N,)
            The embedding at the candidates.

        Raises
        ------
        InvalidArgument
            As `herd`.
        """
        count = positive_integer(n, "n", most=LARGEST_COUNT)
        shares = np.maximum(self._weights, 0)
        if not shares.sum() > 0:
            raise InvalidArgument("weights: herding needs a positive weight, got none")
        generator = random_generator(random_state)
        total = max(count, min(_CANDIDATES_A_SAMPLE * count, _MOST_CANDIDATES))
        around = self._points[generator.choice(len(shares), size=total, p=shares / shares.sum())]
        candidates = around + generator.normal(scale=_HERDING_SPREAD * self._gamma**-0.5, size=around.shape)
        mean = kernels.embed(self._points, self._weights, candidates, gamma=self._gamma, threads=threads)
        return candidates, mean

    def privacy_report(self, X: Any, *, threads: int | None = None) -> PrivacyReport:
        """How near the points come to rows of the data: see `learndock.specification.privacy_report`.

        Parameters
        ----------
        X : array, DataFrame or tensor of shape (n, d)
            The data, in its own units.
        threads : int, optional
        """
        from learndock.specification.privacy import privacy_report

        return privacy_report(self, X, threads=threads)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the specification: the reference's JSON, or arrays where the name ends in .npz.

        The file is written beside its final name and renamed: it is whole or absent.

        Parameters
        ----------
        path : str or path
        """
        write_spec_file(as_path(path, "path"), self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """The reference's fields: z, beta, gamma, num_points, type; and fit_mmd2, scaling and moments where known.

        A scaling is an array of shape (2, d): means, and scales. The reference passes over what it does not know.
        """
        fields: dict[str, Any] = {"z": self._points, "beta": self._weights, "gamma": self._gamma}
        if self._num_points is not None:
            fields["num_points"] = self._num_points
        if self._fit_mmd2 is not None:
            fields["fit_mmd2"] = self._fit_mmd2
        if self._scaling is not None:
            fields["scaling"] = np.stack([self._scaling.mean, self._scaling.scale])
        if self._moments is not None:
            fields["moments"] = self._moments
        return {**fields, "type": self.type}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> RKMETableSpecification:
        """The opposite of `to_dict`; `num_points`, `fit_mmd2`, `scaling` and `moments` may be absent.

        Raises
        ------
        InvalidArgument
            If a field is missing or makes no sense.
        """
        for name in ("z", "beta", "gamma"):
            if name not in fields:
                raise InvalidArgument(
                    f"{name}: expected in a specification, got only {printable(', '.join(sorted(fields)))}"
                )
        return cls(
            finite_float64(fields["z"], "z", ndim=2),
            finite_float64(fields["beta"], "beta", ndim=1),
            gamma=fields["gamma"],
            # 0 is what the reference writes before it has seen data.
            num_points=None if fields.get("num_points") == 0 else fields.get("num_points"),
            fit_mmd2=fields.get("fit_mmd2"),
            scaling=None if fields.get("scaling") is None else _scaling_in(fields["scaling"]),
            moments=fields.get("moments"),
        )

    def _require_comparable(self, other: RKMETableSpecification) -> None:
        if not isinstance(other, RKMETableSpecification):
            raise SpecificationMismatch(f"other: expected an {self.type}, got {type(other).__name__}")
        if other.input_shape != self.input_shape:
            raise SpecificationMismatch(f"other: expected input shape {self.input_shape}, got {other.input_shape}")
        if other.gamma != self.gamma:
            raise SpecificationMismatch(f"other: expected gamma {self.gamma!r}, got {other.gamma!r}")
        # Without one nothing is known: rows may have been standardised before.
        if self._scaling is not None and other._scaling is not None and self._scaling != other._scaling:
            raise SpecificationMismatch(
                "other: expected the same scaling, got one of other means or scales; fit both with one `scaling`"
            )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RKMETableSpecification):
            return NotImplemented
        return (
            self._gamma == other._gamma
            and self._num_points == other._num_points
            and np.array_equal(self._points, other._points)
            and np.array_equal(self._weights, other._weights)
            and self._scaling == other._scaling
        )

    def __hash__(self) -> int:
        return hash((self._gamma, self._num_points, self._points.tobytes(), self._weights.tobytes(), self._scaling))

    def __reduce__(self) -> tuple[Any, ...]:
        return (_restore, (self.to_dict(),))

    def __repr__(self) -> str:
        count, dim = self._points.shape
        rows = "" if self._num_points is None else f", from {self._num_points} rows"
        return f"{self.type}({count} points of {dim} features, gamma {self._gamma:g}{rows})"


def _scaling_of(value: Any, columns: int) -> Scaling:
    if not isinstance(value, Scaling):
        raise InvalidArgument(f"scaling: expected a Scaling, got {type(value).__name__}")
    if len(value) != columns:
        raise InvalidArgument(f"scaling: expected {columns} columns, got one of {len(value)}")
    return value


def _scaling_in(value: Any) -> Scaling:
    rows = finite_float64(value, "scaling", ndim=2)
    if len(rows) != 2:
        raise InvalidArgument(f"scaling: expected means and scales, shape (2, d), got {rows.shape}")
    return Scaling(*rows)


def _squared_distance(value: Any, name: str) -> float:
    if isinstance(value, bool):
        raise InvalidArgument(f"{name}: expected a number, got {value}")
    number = float(finite_float64(value, name, ndim=0))
    if number < 0:
        raise InvalidArgument(f"{name}: expected a squared distance, 0 or more, got {number:g}")
    return number


def _restore(fields: dict[str, Any]) -> RKMETableSpecification:
    return RKMETableSpecification.from_dict(fields)
