"""Tables of numbers from files: .csv, .npy, .npz and .parquet."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from learndock.errors import InvalidArgument, MissingDependency

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["DataTable", "read_data_file"]

# What spreadsheets and pandas write where a value is missing; compared in lower case.
_MISSING = frozenset({"", "na", "n/a", "nan", "null", "none"})
_DELIMITERS = ",;\t"


@dataclass(frozen=True, slots=True, eq=False)
class DataTable:
    """Numbers with the names of their columns, where the file has any.

    NumPy takes it for an array, and whoever looks for `columns`, as with a DataFrame, finds them.
    """

    values: NDArray[np.float64]
    columns: tuple[str, ...]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.values, dtype=dtype, copy=copy)


def read_data_file(path: Path, *, drop: Sequence[str] = ()) -> DataTable:
    """Read a table of numbers; missing values become NaN.

    Columns that are left out are not parsed: they may hold anything, such as labels in words.

    Parameters
    ----------
    path : pathlib.Path
        .csv (comma, semicolon or tab; a first row that is no numbers is taken for names), .npy, .npz (with one array,
        or one called X) or .parquet (needs pandas with pyarrow).
    drop : sequence of str
        Columns to leave out, each by its name or by its index from 0. A .csv's first row that has text only in columns
        given by their index, where the second row has text too, is taken for data, unless all else in it is its index.

    Returns
    -------
    DataTable

    Raises
    ------
    InvalidArgument
        The file is not there, of another kind, broken, or holds something else than numbers; the message says where.
        A column of `drop` is not there, or none is left.
    MissingDependency
        A .parquet file without pandas or its reader.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InvalidArgument(f"data: {path.name} is none of {', '.join(_READERS)}")
    if not path.is_file():
        raise InvalidArgument(f"data: no such file: {path}")
    return reader(path, drop)


def _kept(drop: Sequence[str], names: Sequence[str], width: int) -> list[int]:
    """Indices of the columns that stay; a name comes before an index."""
    left_out: set[int] = set()
    indices = [str(index) for index in range(width)]
    for column in drop:
        if column in names:
            left_out.update(index for index, name in enumerate(names) if name == column)
        elif column in indices:
            left_out.add(int(column))
        else:
            known = ", ".join(names) if names else f"0 to {width - 1}"
            raise InvalidArgument(f"drop: no column {column!r}; there are {known}")
    kept = [index for index in range(width) if index not in left_out]
    if drop and not kept:
        raise InvalidArgument("drop: no column is left")
    return kept


def _read_csv(path: Path, drop: Sequence[str]) -> DataTable:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            return _parsed(path, stream, drop)
    except UnicodeDecodeError as error:
        raise InvalidArgument(f"data: {path.name} is no UTF-8 text: {error}") from error
    except csv.Error as error:
        raise InvalidArgument(f"data: {path.name}: {error}") from error


def _parsed(path: Path, stream: Any, drop: Sequence[str]) -> DataTable:
    first_line = stream.readline()
    stream.seek(0)
    delimiter = max(_DELIMITERS, key=first_line.count)
    reader = csv.reader(stream, delimiter=delimiter, strict=True)
    # Blank lines, often the last one, are no rows.
    lines: Iterator[tuple[int, list[str]]] = ((reader.line_num, cells) for cells in reader if cells)
    head = list(islice(lines, 2))
    if not head:
        raise InvalidArgument(f"data: {path.name} is empty")
    names = _names([cells for _, cells in head], drop)
    width = len(head[0][1])
    kept = _kept(drop, names, width)
    rows = [_row(path, names, kept, width, *line) for line in chain(head[1:] if names else head, lines)]
    if not rows:
        raise InvalidArgument(f"data: {path.name} has names of columns and no rows")
    return DataTable(np.array(rows, dtype=np.float64), tuple(names[index] for index in kept) if names else ())


def _names(head: Sequence[Sequence[str]], drop: Sequence[str]) -> tuple[str, ...]:
    """Take the first row for the columns' names, or find that it is data."""
    first = [cell.strip() for cell in head[0]]
    text = _columns_of_text(first)
    indices = [str(index) for index in range(len(first))]
    left_out = {int(column) for column in drop if column in indices}
    named = any(column in first for column in drop if column not in indices)
    numbered = all(first[index] == indices[index] for index in range(len(first)) if index not in left_out)
    has_labels = not named and not numbered and text <= left_out and len(head) > 1 and text <= _columns_of_text(head[1])
    return tuple(first) if text and not has_labels else ()


def _columns_of_text(cells: Sequence[str]) -> set[int]:
    return {index for index, cell in enumerate(cells) if _number(cell) is None}


def _row(
    path: Path, names: tuple[str, ...], kept: Sequence[int], width: int, line: int, cells: list[str]
) -> list[float]:
    if len(cells) != width:
        raise InvalidArgument(f"data: {path.name}, line {line}: got {len(cells)} columns, expected {width}")
    row = []
    for index in kept:
        number = _number(cells[index])
        if number is None:
            where = f"{path.name}, line {line}, column {repr(names[index]) if names else index}"
            raise InvalidArgument(f"data: {where}: got {cells[index][:40]!r}, expected a number")
        row.append(number)
    return row


def _number(cell: str) -> float | None:
    """Read a cell: its number, NaN where it is missing, None where it is something else."""
    text = cell.strip()
    if text.lower() in _MISSING:
        return float("nan")
    try:
        return float(text)
    except ValueError:
        return None


def _read_npy(path: Path, drop: Sequence[str]) -> DataTable:
    with path.open("rb") as stream:
        try:
            # Not np.load, which would also take a zip or a pickle; a pickle could run code.
            array = np.lib.format.read_array(stream, allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise InvalidArgument(f"data: {path.name} is no array of numbers: {error}") from error
    return _from_array(path, array, drop)


def _read_npz(path: Path, drop: Sequence[str]) -> DataTable:
    try:
        # Opened here, since np.load leaves the file open where it is broken.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            names = list(archive.files)
            chosen = names[0] if len(names) == 1 else "X"
            array = archive[chosen] if chosen in names else None
    except (ValueError, EOFError, zipfile.BadZipFile, AttributeError, TypeError) as error:
        raise InvalidArgument(f"data: {path.name} is no .npz of numbers: {error}") from error
    if array is None:
        raise InvalidArgument(f"data: {path.name} holds {', '.join(names) or 'nothing'}; expected one array, or X")
    return _from_array(path, array, drop)


def _from_array(path: Path, array: Any, drop: Sequence[str]) -> DataTable:
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        raise InvalidArgument(f"data: {path.name} holds {getattr(array, 'dtype', 'bytes')}, expected numbers")
    if drop and array.ndim != 2:
        raise InvalidArgument(f"drop: {path.name} has no columns: its shape is {array.shape}")
    values = np.asarray(array, dtype=np.float64)
    return DataTable(values[:, _kept(drop, (), array.shape[1])] if drop else values, ())


def _read_parquet(path: Path, drop: Sequence[str]) -> DataTable:
    try:
        import pandas as pd

        frame = pd.read_parquet(path)
    except ImportError as error:
        raise MissingDependency("reading .parquet needs pandas and pyarrow: pip install pandas pyarrow") from error
    except (ValueError, OSError) as error:
        raise InvalidArgument(f"data: {path.name} is no .parquet file: {error}") from error
    names = tuple(str(name) for name in frame.columns)
    kept = _kept(drop, names, len(names))
    values = np.empty((len(frame), len(kept)))
    for at, index in enumerate(kept):
        values[:, at] = _column(path, names[index], frame.iloc[:, index])
    return DataTable(values, tuple(names[index] for index in kept))


def _column(path: Path, name: str, column: pd.Series[Any]) -> NDArray[np.float64]:
    # Dates would become nanoseconds. Of objects, which may be numbers of whatever kind, NumPy is to say.
    if column.dtype.kind not in "biufO":
        raise InvalidArgument(f"data: {path.name}, column {name!r}: got {column.dtype}, expected numbers")
    try:
        return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
    except (ValueError, TypeError, OverflowError) as error:
        raise InvalidArgument(f"data: {path.name}, column {name!r}: expected numbers: {error}") from error


_READERS: dict[str, Callable[[Path, Sequence[str]], DataTable]] = {
    ".csv": _read_csv,
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".parquet": _read_parquet,
}
