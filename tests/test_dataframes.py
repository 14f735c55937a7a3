"""Tables of other libraries: what is in them arrives, missing is NaN, and what is no number is named."""

from __future__ import annotations

import gc
import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import learndock as ld
from learndock._validation import as_array
from learndock.errors import InvalidArgument

COLUMNS = {
    "age": np.array([31, 47, 25, 62, 58], dtype=np.int16),
    "height": np.array([1.7, 1.6, 1.8, 1.5, 1.9]),
    "weight": np.array([70.5, 61.25, 80.0, 55.5, 90.75], dtype=np.float32),
    "smoker": np.array([True, False, False, True, True]),
    "visits": np.array([1, 2**31, 3, 4, 5], dtype=np.uint32),
}
EXPECTED = np.column_stack([column.astype(np.float64) for column in COLUMNS.values()])


class OnlyInterchange:
    """A table that offers `__dataframe__` and nothing else."""

    def __init__(self, table):
        self.table = table

    def __dataframe__(self, nan_as_null=False, allow_copy=True):
        return self.table.__dataframe__(nan_as_null=nan_as_null, allow_copy=allow_copy)


class OnlyStream:
    """A table that offers `__arrow_c_stream__` and nothing else."""

    def __init__(self, table):
        self.table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self.table.__arrow_c_stream__(requested_schema)


MAKERS = {
    "pandas": pd.DataFrame,
    "polars": pl.DataFrame,
    "arrow table": pa.table,
    "record batch": pa.RecordBatch.from_pydict,
    "stream": lambda columns: OnlyStream(pl.DataFrame(columns)),
    "interchange": lambda columns: OnlyInterchange(pa.table(columns)),
}
# Those that know a missing value from NaN.
NULLABLE = {name: make for name, make in MAKERS.items() if name != "pandas"}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_numbers_of_every_type_arrive(make):
    array = as_array(make(COLUMNS), "X")
    assert array.dtype == np.float64
    assert array.tolist() == EXPECTED.tolist()


@pytest.mark.parametrize("make", NULLABLE.values(), ids=NULLABLE)
@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ([1, None, 3], [1.0, np.nan, 3.0]),
        ([0.5, None, np.nan], [0.5, np.nan, np.nan]),
        ([True, None, False], [1.0, np.nan, 0.0]),
    ],
    ids=["integers", "floats", "truth values"],
)
def test_missing_is_nan(make, column, expected):
    assert np.array_equal(as_array(make({"a": column, "b": [7, 8, 9]}), "X")[:, 0], expected, equal_nan=True)


@pytest.mark.parametrize("make", [pl.DataFrame, pa.table], ids=["polars", "arrow table"])
def test_a_column_of_nothing_but_missing_values(make):
    array = as_array(make({"a": [None, None], "b": [1, 2]}), "X")
    assert np.array_equal(array, [[np.nan, 1.0], [np.nan, 2.0]], equal_nan=True)


@pytest.mark.parametrize("make", NULLABLE.values(), ids=NULLABLE)
def test_one_dtype_stays_what_it_is(make):
    for dtype in (np.float32, np.float64, np.int64, np.uint8):
        array = as_array(make({"a": np.arange(3, dtype=dtype), "b": np.arange(3, dtype=dtype)}), "X")
        assert array.dtype == dtype
        assert array.tolist() == [[0, 0], [1, 1], [2, 2]]


@pytest.mark.parametrize("wrap", [OnlyStream, OnlyInterchange], ids=["stream", "interchange"])
def test_slices_and_chunks_start_where_they_say(wrap):
    """Offsets that are no whole byte of a bitmap, in several chunks, with missing values on their edges."""
    numbers = [None if i % 7 == 0 else i for i in range(100)]
    flags = [None if i % 5 == 0 else i % 3 == 0 for i in range(100)]
    whole = pa.table({"a": pa.array(numbers), "b": pa.array(flags)})
    table = pa.concat_tables([whole.slice(3, 11), whole.slice(14, 1), whole.slice(15, 0), whole.slice(21, 50)])
    assert table.column(0).num_chunks > 2
    kept = [*range(3, 15), *range(21, 71)]
    expected = np.array([[numbers[i], flags[i]] for i in kept], dtype=np.float64)
    assert np.array_equal(as_array(wrap(table), "X"), expected, equal_nan=True)


def test_a_missing_row_of_a_struct_is_missing_in_every_column():
    rows = pl.Series([{"a": 1, "b": 2.5}, None, {"a": 3, "b": None}], dtype=pl.Struct({"a": pl.Int64, "b": pl.Float64}))
    expected = [[1, 2.5], [np.nan, np.nan], [3, np.nan]]
    assert np.array_equal(as_array(OnlyStream(rows), "X"), expected, equal_nan=True)


@pytest.mark.parametrize(
    "column",
    [pl.Series("w", [0.25, None]), pa.chunked_array([[0.25], [None]]), pa.array([0.25, None]), pd.array([0.25, None])],
    ids=["polars", "chunks", "arrow array", "pandas array"],
)
def test_single_columns_have_one_axis(column):
    assert np.array_equal(as_array(column, "weights"), [0.25, np.nan], equal_nan=True)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_columns_that_are_no_numbers_are_named(make):
    dates = np.array(["2001-02-03", "2001-02-04"], dtype="M8[ms]")
    table = make({"size": [1.0, 2.0], "when": dates, "until": dates})
    with pytest.raises(InvalidArgument, match=r"^X: expected columns of numbers, got others: when, until$"):
        as_array(table, "X")


@pytest.mark.parametrize("make", NULLABLE.values(), ids=NULLABLE)
def test_columns_of_text_are_named(make):
    with pytest.raises(InvalidArgument, match=r"^X: expected columns of numbers, got others: town$"):
        as_array(make({"size": [1.0, 2.0], "town": ["Ulm", "Bonn"]}), "X")


@pytest.mark.parametrize("make", [pl.DataFrame, pa.table], ids=["polars", "arrow table"])
def test_categories_are_no_numbers(make):
    codes = pa.array(["a", "b"]).dictionary_encode()
    with pytest.raises(InvalidArgument, match="town"):
        as_array(make({"size": [1.0, 2.0], "town": codes}), "X")


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_empty_tables_are_refused(make):
    for table in (make({"a": np.empty(0)}), make({})):
        with pytest.raises(InvalidArgument, match="^X: expected"):
            ld.RKMETableSpecification.fit(table)


def test_a_lazy_table_is_refused_by_name():
    with pytest.raises(InvalidArgument, match="LazyFrame"):
        as_array(pl.LazyFrame({"a": [1.0]}), "X")


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_specification_is_the_same_from_every_table(make):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    X[4, 1] = np.nan
    table = make({name: list(column) for name, column in zip("abc", X.T, strict=True)})
    expected = ld.RKMETableSpecification.fit(X, n_points=5, random_state=0)
    assert ld.RKMETableSpecification.fit(table, n_points=5, random_state=0) == expected


@pytest.mark.parametrize("make", [pl.DataFrame, pa.table], ids=["polars", "arrow table"])
def test_a_column_without_any_number_is_named(make):
    with pytest.raises(InvalidArgument, match="'income'"):
        ld.RKMETableSpecification.fit(make({"age": [1.0, 2.0], "income": [np.nan, np.nan]}))


def test_the_array_outlives_the_table_and_shares_nothing_with_it():
    for wrap in (OnlyStream, OnlyInterchange):
        source = np.arange(1000.0)
        table = pa.table({"a": pa.array(source), "b": pa.array(-source)})
        array = as_array(wrap(table), "X")
        array[:, 1] = 5.0
        assert table.column(1).to_pylist() == (-source).tolist()
        del table
        gc.collect()
        assert array[:, 0].tolist() == source.tolist()


def test_a_stream_is_released_and_so_is_its_memory():
    before = pa.total_allocated_bytes()
    for _ in range(20):
        as_array(OnlyStream(pa.table({"a": pa.array(np.arange(10_000.0) + 1, from_pandas=True)})), "X")
        with pytest.raises(InvalidArgument):
            as_array(OnlyStream(pa.table({"a": pa.array(["text"] * 10_000)})), "X")
    gc.collect()
    assert pa.total_allocated_bytes() - before < 10_000


def test_a_stream_that_fails_says_why():
    def batches():
        yield pa.record_batch({"a": [1.0]})
        raise OSError("the disk is gone")

    reader = pa.RecordBatchReader.from_batches(pa.schema({"a": pa.float64()}), batches())
    with pytest.raises(InvalidArgument, match=r"^X: the table's Arrow stream failed: .*the disk is gone"):
        as_array(OnlyStream(reader), "X")


def test_no_dataframe_library_is_imported_for_arrays():
    code = (
        "import sys, numpy as np, learndock as ld; ld.RKMETableSpecification.fit(np.eye(4), n_points=2);"
        "print([name for name in ('pandas', 'polars', 'pyarrow') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
