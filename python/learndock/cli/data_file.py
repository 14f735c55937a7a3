"""Tables of numbers from files: .csv, .npy, .npz and .parquet."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from learndock.errors import InvalidArgument, MissingDependency

if TYPE_CHECKING:
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

    def without(self, unwanted: Sequence[str]) -> DataTable:
        """Leave out columns, named by their name or by their index from 0."""
        names = list(self.columns)
        left_out = set()
        for column in unwanted:
            if column in names:
                left_out.add(names.index(column))
            elif column.isdecimal() and self.values.ndim == 2 and int(column) < self.values.shape[1]:
                left_out.add(int(column))
            else:
                known = ", ".join(names) if names else f"0 to {self.values.shape[-1] - 1}"
                raise InvalidArgument(f"drop: no column {column!r}; there are {known}")
        if not left_out:
            return self
        kept = [index for index in range(self.values.shape[1]) if index not in left_out]
        return DataTable(self.values[:, kept], tuple(names[index] for index in kept) if names else ())


def read_data_file(path: Path) -> DataTable:
    """Read a table of numbers; missing values become NaN.

    Parameters
    ----------
    path : pathlib.Path
        .csv (comma, semicolon or tab; a first row that is no numbers is taken for names), .npy, .npz (with one array,
        or one called X) or .parquet (needs pandas with pyarrow).

    Returns
    -------
    DataTable

    Raises
    ------
    InvalidArgument
        The file is not there, of another kind, broken, or holds something else than numbers; the message says where.
    MissingDependency
        A .parquet file without pandas or its reader.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InvalidArgument(f"data: {path.name} is none of {', '.join(_READERS)}")
    if not path.is_file():
        raise InvalidArgument(f"data: no such file: {path}")
    return reader(path)


def _read_csv(path: Path) -> DataTable:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            return _parsed(path, stream)
    except UnicodeDecodeError as error:
        raise InvalidArgument(f"data: {path.name} is no UTF-8 text: {error}") from error
    except csv.Error as error:
        raise InvalidArgument(f"data: {path.name}: {error}") from error


def _parsed(path: Path, stream: Any) -> DataTable:
    first_line = stream.readline()
    stream.seek(0)
    delimiter = max(_DELIMITERS, key=first_line.count)
    reader = csv.reader(stream, delimiter=delimiter, strict=True)
    # Blank lines, often the last one, are no rows.
    lines: Iterator[tuple[int, list[str]]] = ((reader.line_num, cells) for cells in reader if cells)
    first = next(lines, None)
    if first is None:
        raise InvalidArgument(f"data: {path.name} is empty")
    _, cells = first
    names = tuple(cell.strip() for cell in cells) if any(_number(cell) is None for cell in cells) else ()
    rows = [] if names else [_row(path, names, len(cells), *first)]
    rows.extend(_row(path, names, len(cells), *line) for line in lines)
    if not rows:
        raise InvalidArgument(f"data: {path.name} has names of columns and no rows")
    return DataTable(np.array(rows, dtype=np.float64), names)


def _row(path: Path, names: tuple[str, ...], width: int, line: int, cells: list[str]) -> list[float]:
    if len(cells) != width:
        raise InvalidArgument(f"data: {path.name}, line {line}: got {len(cells)} columns, expected {width}")
    row = []
    for index, cell in enumerate(cells):
        number = _number(cell)
        if number is None:
            where = f"{path.name}, line {line}, column {repr(names[index]) if names else index}"
            raise InvalidArgument(f"data: {where}: got {cell[:40]!r}, expected a number")
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


def _read_npy(path: Path) -> DataTable:
    with path.open("rb") as stream:
        try:
            # Not np.load, which would also take a zip or a pickle; a pickle could run code.
            array = np.lib.format.read_array(stream, allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise InvalidArgument(f"data: {path.name} is no array of numbers: {error}") from error
    return DataTable(_as_numbers(path, array), ())


def _read_npz(path: Path) -> DataTable:
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
    return DataTable(_as_numbers(path, array), ())


def _read_parquet(path: Path) -> DataTable:
    try:
        import pandas as pd

        frame = pd.read_parquet(path)
    except ImportError as error:
        raise MissingDependency("reading .parquet needs pandas and pyarrow: pip install pandas pyarrow") from error
    except (ValueError, OSError) as error:
        raise InvalidArgument(f"data: {path.name} is no .parquet file: {error}") from error
    return DataTable(_as_numbers(path, frame.to_numpy()), tuple(str(name) for name in frame.columns))


def _as_numbers(path: Path, array: Any) -> NDArray[np.float64]:
    if not isinstance(array, np.ndarray) or (array.dtype.kind not in "biuf" and array.dtype != object):
        raise InvalidArgument(f"data: {path.name} holds {getattr(array, 'dtype', 'bytes')}, expected numbers")
    try:
        return np.asarray(array, dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise InvalidArgument(f"data: {path.name} holds something else than numbers: {error}") from error


_READERS: dict[str, Callable[[Path], DataTable]] = {
    ".csv": _read_csv,
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".parquet": _read_parquet,
}
