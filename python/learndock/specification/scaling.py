"""A scaling: what all sides standardise their columns by, so that their specifications can be compared."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from learndock._durable import replaced_file
from learndock._json import load_json
from learndock._printable import printable
from learndock._validation import as_path, finite_float64, float64
from learndock.errors import InvalidArgument, SpecificationFileError
from learndock.specification._rows import rows_of
from learndock.specification.moments import column_moments

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

__all__ = ["Scaling"]

_NAMES = {"mean", "scale"}
_MOST_BYTES = 16 * 2**20
# Of two flat lists in an object.
_MOST_OF_A_KIND = {b"{": 1, b"[": 2, b'"': 4}


class Scaling:
    """Means and scales of columns: (x - mean) / scale, the same on all sides.

    Raw columns count by their units: one in thousands decides every distance, and none is left at the usual gamma.
    Standardised by each side for itself, the differences between sides are gone, and these are what a search looks for.
    So a dock has one scaling for all: `Dock.scaling`. Immutable.

    Parameters
    ----------
    mean : array of shape (d,)
    scale : array of shape (d,)
        Positive.

    Raises
    ------
    InvalidArgument
        For wrong shapes, NaN or infinity, or a scale that is not positive.

    Examples
    --------
    >>> import learndock as ld
    >>> scaling = ld.Scaling([100.0, 0.0], [10.0, 0.5])
    >>> scaling.apply([[110.0, 1.0]]).tolist()
    [[1.0, 2.0]]
    """

    __slots__ = ("_mean", "_scale")

    def __init__(self, mean: Any, scale: Any) -> None:
        self._mean = finite_float64(mean, "mean", ndim=1).copy()
        self._scale = finite_float64(scale, "scale", ndim=1).copy()
        if len(self._mean) != len(self._scale):
            raise InvalidArgument(
                f"scale: expected {len(self._mean)} numbers, as many as means, got {len(self._scale)}"
            )
        # Of what is smaller the inverse is beyond float64.
        if not (self._scale >= np.finfo(np.float64).tiny).all():
            raise InvalidArgument(f"scale: expected positive numbers, got {self._scale.min():g}")
        self._mean.setflags(write=False)
        self._scale.setflags(write=False)

    @property
    def mean(self) -> FloatArray:
        """What is taken from each column, shape (d,), float64, read-only."""
        return self._mean

    @property
    def scale(self) -> FloatArray:
        """What each column is divided by, shape (d,), float64, read-only."""
        return self._scale

    def __len__(self) -> int:
        """Number of columns."""
        return len(self._mean)

    @classmethod
    def of(cls, X: Any) -> Scaling:
        """The scaling that one table of raw rows suggests.

        Its winsorised means and standard deviations: the lowest and the highest twentieth of each column count as the
        value next to them, so that a few wild rows move nothing. A constant column has scale 1. Of more than 4,096
        rows, those are looked at that a fixed seed draws.

        For what all sides have agreed on, such as a public table of the same columns. What each side makes of its own
        rows is no common scaling, and a dock refuses it.

        Parameters
        ----------
        X : array, DataFrame or tensor of shape (n, d)
            As `RKMETableSpecification.fit` takes it.

        Raises
        ------
        InvalidArgument
            As `fit` for the data.
        """
        return cls.from_moments(column_moments(rows_of(X)))

    @classmethod
    def from_moments(cls, moments: FloatArray) -> Scaling:
        """A scaling of means and deviations, shape (2, d), such as `RKMETableSpecification.moments`."""
        mean, deviation = moments
        return cls(mean, np.where(deviation >= np.finfo(np.float64).tiny, deviation, 1.0))

    def apply(self, X: Any) -> FloatArray:
        """Rows, standardised: (X - mean) / scale. Shape (n, d), float64; NaN stays.

        Parameters
        ----------
        X : array, DataFrame or tensor of shape (n, d)

        Raises
        ------
        InvalidArgument
            For another number of columns, or numbers that are beyond float64 then.
        """
        rows = self._rows(X)
        with np.errstate(over="ignore", invalid="ignore"):
            standardised: FloatArray = (rows - self._mean) / self._scale
        if np.isinf(standardised).any() and not np.isinf(rows).any():
            raise InvalidArgument("X: expected rows that suit the scaling, got numbers beyond float64 in its units")
        return standardised

    def inverse(self, X: Any) -> FloatArray:
        """Standardised rows in the units of the data: X * scale + mean. Shape (n, d), float64.

        Parameters
        ----------
        X : array, DataFrame or tensor of shape (n, d)

        Raises
        ------
        InvalidArgument
            For another number of columns.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            restored: FloatArray = self._rows(X) * self._scale + self._mean
        return restored

    def _rows(self, X: Any) -> FloatArray:
        rows = float64(X, "X", ndim=2)
        if rows.shape[1] != len(self):
            raise InvalidArgument(f"X: expected {len(self)} columns, as the scaling has, got {rows.shape[1]}")
        return rows

    def to_dict(self) -> dict[str, list[float]]:
        """Mean and scale as lists: what JSON takes."""
        return {"mean": self._mean.tolist(), "scale": self._scale.tolist()}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Scaling:
        """The opposite of `to_dict`.

        Raises
        ------
        InvalidArgument
            If there are other fields, or their values make no sense.
        """
        if not isinstance(fields, Mapping):
            raise InvalidArgument(f"scaling: expected mean and scale, got {type(fields).__name__}")
        if set(fields) != _NAMES:
            got = ", ".join(sorted(str(name)[:80] for name in fields)) or "nothing"
            raise InvalidArgument(f"scaling: expected mean and scale, got {printable(got[:500])}")
        return cls(fields["mean"], fields["scale"])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it as JSON; the file is whole, or as it was before.

        Raises
        ------
        SpecificationFileError
            If it can't be written.
        """
        target = as_path(path, "path")
        try:
            with replaced_file(target) as file:
                file.write(json.dumps(self.to_dict(), separators=(",", ":")).encode())
        except OSError as error:
            raise SpecificationFileError(f"{target}: can't be written ({error.strerror or error})") from error

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Scaling:
        """Read what `save` or ``learndock scaling`` have written.

        Raises
        ------
        SpecificationFileError
            If the file is missing, of more than 16 MiB, not JSON, or its values make no sense.
        """
        source = as_path(path, "path")
        try:
            with source.open("rb") as file:
                content = file.read(_MOST_BYTES + 1)
        except OSError as error:
            raise SpecificationFileError(f"{source}: can't be read ({error.strerror or error})") from None
        if len(content) > _MOST_BYTES:
            raise SpecificationFileError(f"{source}: expected at most {_MOST_BYTES} bytes, got more")
        try:
            return cls.from_dict(load_json(content, most=_MOST_OF_A_KIND))
        except InvalidArgument as error:
            raise SpecificationFileError(f"{source}: {error!s:.500}") from None
        except ValueError as error:
            raise SpecificationFileError(f"{source}: expected JSON of a scaling ({error!s:.500})") from None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Scaling):
            return NotImplemented
        return np.array_equal(self._mean, other._mean) and np.array_equal(self._scale, other._scale)

    def __hash__(self) -> int:
        # 0.0: negative zero equals it.
        return hash(((self._mean + 0.0).tobytes(), self._scale.tobytes()))

    def __reduce__(self) -> tuple[Any, ...]:
        return (Scaling, (self._mean, self._scale))

    def __repr__(self) -> str:
        return f"Scaling({len(self)} columns)"
