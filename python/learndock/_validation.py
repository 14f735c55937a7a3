"""Checks of what callers pass in. Every error names the argument, says what came and what was expected."""

from __future__ import annotations

import operator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from learndock._columns import require_numbers
from learndock.errors import InvalidArgument

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

# exp(-gamma d^2) stays meaningful in float64 well inside these; beyond them norms overflow.
_LARGEST_COORDINATE = 1e150
_LARGEST_GAMMA = 1e300
# What fits the core's integers with room to spare; nothing in a computer's memory is counted higher.
LARGEST_COUNT = 2**31 - 1


def as_array(value: Any, name: str) -> npt.NDArray[Any]:
    """`value` as a NumPy array of numbers, whatever holds them; no package is imported for that.

    Arrays, lists, tensors of any device; pandas; polars, Arrow and other tables by their Arrow stream or the dataframe
    interchange protocol. Never a view that a later step could write through; the caller's data is only read.
    """
    if hasattr(value, "detach") and hasattr(value, "cpu"):  # a torch tensor, on any device, with or without gradient
        value = value.detach().cpu().numpy()
    elif isinstance(value, np.ma.MaskedArray):
        value = np.ma.filled(value.astype(np.float64), np.nan)  # masked means missing
    elif hasattr(value, "to_numpy") and hasattr(value, "isna"):
        value = _pandas(value, name)
    elif hasattr(value, "__arrow_c_stream__"):
        from learndock._arrow_stream import from_arrow_stream

        value = from_arrow_stream(value, name)
    elif hasattr(value, "__dataframe__"):
        from learndock._dataframe import from_dataframe

        value = from_dataframe(value, name)
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise InvalidArgument(f"{name}: expected a rectangular array of numbers ({error})") from None
    if array.dtype == object:
        if any(isinstance(item, str | bytes) for item in array.flat):
            raise InvalidArgument(f"{name}: expected numbers, got text among them")
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            got = type(value).__name__ if array.ndim == 0 else f"an array of objects ({error})"
            raise InvalidArgument(f"{name}: expected numbers, got {got}") from None
    if array.dtype.kind not in "biuf":
        raise InvalidArgument(f"{name}: expected numbers, got dtype {array.dtype}")
    return array


def column_names(table: Any) -> list[str]:
    """The names of a table's columns, in their order; none where it has none."""
    names = getattr(table, "column_names", None)  # pyarrow, whose `columns` are the columns themselves
    if names is None or callable(names):
        names = getattr(table, "columns", [])
    return [str(name) for name in names]


def _pandas(value: Any, name: str) -> Any:
    """The numbers of a pandas DataFrame, Series or array; columns of text or dates are named in the error."""
    if hasattr(value, "columns"):
        columns = list(zip(value.columns, value.dtypes, strict=True))
    else:
        columns = [(getattr(value, "name", None), value.dtype)]
    kinds = [str(dtype.kind) for _, dtype in columns]
    require_numbers(name, [column for column, _ in columns], [kind in "biufO" for kind in kinds])
    if "O" in kinds:
        return value.to_numpy()
    return value.to_numpy(dtype=np.float64, na_value=np.nan)


def float64(value: Any, name: str, *, ndim: int | None = None) -> FloatArray:
    """`value` as a C-contiguous float64 array of `ndim` axes, none of them empty."""
    array = as_array(value, name)
    if ndim is not None and array.ndim != ndim:
        raise InvalidArgument(f"{name}: expected {ndim} dimensions, got shape {array.shape}")
    if array.size == 0:
        raise InvalidArgument(f"{name}: expected at least one number, got shape {array.shape}")
    # A long double beyond float64 becomes infinity, which `finite` refuses, as it does a signalling NaN.
    with np.errstate(over="ignore", invalid="ignore"):
        return np.require(array, np.float64, ["C", "A"])


def finite(array: npt.NDArray[Any], name: str) -> None:
    """Raise if the array holds NaN or infinity, or numbers so large that their squares overflow."""
    if not array.size:
        return
    with np.errstate(invalid="ignore"):  # of a signalling NaN
        lowest, highest = array.min(), array.max()
    if not (np.isfinite(lowest) and np.isfinite(highest)):
        first = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise InvalidArgument(f"{name}: expected finite numbers, got {array[first]} at index {first}")
    if array.dtype == np.float64 and max(-lowest, highest) > _LARGEST_COORDINATE:
        raise InvalidArgument(f"{name}: expected magnitudes up to {_LARGEST_COORDINATE:g}, got {np.abs(array).max():g}")


def finite_float64(value: Any, name: str, *, ndim: int | None = None) -> FloatArray:
    """`float64` and `finite` in one."""
    array = float64(value, name, ndim=ndim)
    finite(array, name)
    return array


def embedding(
    points: Any, weights: Any, *, names: tuple[str, str] = ("points", "weights")
) -> tuple[FloatArray, FloatArray]:
    """Points (K, d) and weights (K,) of one embedding, as float64."""
    z = finite_float64(points, names[0], ndim=2)
    beta = finite_float64(weights, names[1], ndim=1)
    if len(z) != len(beta):
        raise InvalidArgument(f"{names[1]}: expected one weight for each of the {len(z)} {names[0]}, got {len(beta)}")
    return z, beta


def as_path(value: Any, name: str) -> Path:
    """A path from text or a path object."""
    try:
        path = Path(value)
    except TypeError:
        raise InvalidArgument(f"{name}: expected a path, got {type(value).__name__}") from None
    if "\0" in str(path):
        raise InvalidArgument(f"{name}: expected a path without NUL, got {str(path)!r:.200}")
    return path


def positive_gamma(value: Any) -> float:
    """Gamma of exp(-gamma ||x - y||^2): a finite number above 0."""
    try:
        # An array of one number is a number only to some versions of NumPy.
        no_number = isinstance(value, str | bytes | bool) or getattr(value, "ndim", 0) > 0
        gamma = float("nan") if no_number else float(value)
    except (TypeError, ValueError, OverflowError):
        raise InvalidArgument(f"gamma: expected a positive number, got {value!r}") from None
    if not 0 < gamma <= _LARGEST_GAMMA:
        raise InvalidArgument(f"gamma: expected a positive number up to {_LARGEST_GAMMA:g}, got {value!r}")
    return gamma


def positive_integer(value: Any, name: str, *, most: int | None = None) -> int:
    """An integer from 1 to `most`."""
    try:
        number = operator.index(value)
    except TypeError:
        raise InvalidArgument(f"{name}: expected a positive integer, got {value!r}") from None
    if isinstance(value, bool) or number < 1:
        raise InvalidArgument(f"{name}: expected a positive integer, got {value!r}")
    if most is not None and number > most:
        raise InvalidArgument(f"{name}: expected at most {most}, got {number}")
    return number


def limit(value: Any, name: str) -> int:
    """A positive integer that is an upper bound: whatever exceeds all counts is the largest of them."""
    return min(positive_integer(value, name), LARGEST_COUNT)


def random_generator(random_state: Any) -> np.random.Generator:
    """The generator behind a `random_state`."""
    try:
        return np.random.default_rng(random_state)
    except (TypeError, ValueError) as error:
        raise InvalidArgument(
            f"random_state: expected a non-negative integer, a Generator or None, got {random_state!r} ({error})"
        ) from None


def offsets(value: Any, point_count: int, name: str = "offsets") -> npt.NDArray[np.int64]:
    """Starts of the embeddings in stacked points: increasing, from 0 to the number of points."""
    try:
        array = np.asarray(value)
    except ValueError:
        raise InvalidArgument(f"{name}: expected integers of shape (N + 1,), got a ragged list") from None
    if array.ndim != 1 or array.size < 2 or array.dtype.kind not in "iu":
        raise InvalidArgument(
            f"{name}: expected integers of shape (N + 1,), got dtype {array.dtype}, shape {array.shape}"
        )
    array = np.array(array, dtype=np.int64)
    if array[0] != 0 or array[-1] != point_count or (np.diff(array) < 1).any():
        raise InvalidArgument(f"{name}: expected increasing integers from 0 to {point_count} (the number of points)")
    return array
