"""Tables of numbers as `learndock spec` reads them."""

from __future__ import annotations

import sys
import zipfile

import numpy as np
import pytest

from learndock.cli.data_file import read_data_file
from learndock.errors import InvalidArgument, MissingDependency

ROWS = [[1.0, 2.5], [-3.0, 4e-3], [0.0, 6.0]]


def written(tmp_path, text, name="data.csv", encoding="utf-8"):
    file = tmp_path / name
    file.write_bytes(text.encode(encoding))
    return file


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("header", [False, True])
@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n"])
def test_csv_with_and_without_names(tmp_path, delimiter, header, end):
    lines = [delimiter.join(str(number) for number in row) for row in ROWS]
    if header:
        lines.insert(0, delimiter.join(['"age"', "b m i"]))
    table = read_data_file(written(tmp_path, "\n".join(lines) + end))
    assert np.asarray(table).tolist() == ROWS
    assert table.columns == (("age", "b m i") if header else ())


def test_csv_of_a_spreadsheet_with_a_byte_order_mark_and_quotes(tmp_path):
    table = read_data_file(written(tmp_path, '"a","b, or c"\r\n"1","2"\r\n', encoding="utf-8-sig"))
    assert table.columns == ("a", "b, or c")
    assert table.values.tolist() == [[1.0, 2.0]]


@pytest.mark.parametrize("cell", ["", " ", "NA", "n/a", "NaN", "null", "None"])
def test_csv_missing_values_become_nan(tmp_path, cell):
    values = read_data_file(written(tmp_path, f"a,b\n1,{cell}\n3,4\n")).values
    assert np.isnan(values[0, 1])
    assert values[1].tolist() == [3.0, 4.0]


def test_csv_of_one_column(tmp_path):
    assert read_data_file(written(tmp_path, "x\n1\n2\n")).values.tolist() == [[1.0], [2.0]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("a,b\n", "no rows"),
        ("a,b\n1,2\n3\n", "line 3: got 1 columns, expected 2"),
        ("a,b\n1,2\n3,four\n", "line 3, column 'b': got 'four'"),
        ("1,2\n3,four\n", "line 2, column 1: got 'four'"),
        ('1,"2\n', "data.csv"),
    ],
)
def test_csv_that_is_no_table_of_numbers_says_where(tmp_path, text, said):
    with pytest.raises(InvalidArgument, match=r"^data: data\.csv") as caught:
        read_data_file(written(tmp_path, text))
    assert said in str(caught.value)


def test_csv_in_another_encoding_is_refused(tmp_path):
    with pytest.raises(InvalidArgument, match="no UTF-8"):
        read_data_file(written(tmp_path, "größe\n1\n", encoding="latin-1"))


def test_npy_and_npz(tmp_path):
    array = np.array(ROWS, dtype=np.float32)
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "one.npz", anything=array)
    np.savez(tmp_path / "several.npz", X=array, y=np.arange(3))
    for name in ("a.npy", "one.npz", "several.npz"):
        values = read_data_file(tmp_path / name).values
        assert values.dtype == np.float64
        assert values.tolist() == array.tolist()


def test_npz_of_several_arrays_without_x_names_them(tmp_path):
    np.savez(tmp_path / "a.npz", train=np.ones(2), test=np.ones(2))
    with pytest.raises(InvalidArgument, match="holds train, test; expected one array, or X"):
        read_data_file(tmp_path / "a.npz")


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
@pytest.mark.parametrize("content", [b"", b"no array", b"\x93NUMPY\x01\x00v\x00", b"PK\x03\x04"])
def test_broken_arrays_are_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidArgument, match=f"data: {name}"):
        read_data_file(tmp_path / name)


def test_pickled_objects_and_texts_are_refused(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([{}, []], dtype=object), allow_pickle=True)
    np.save(tmp_path / "texts.npy", np.array(["a", "b"]))
    for name in ("objects.npy", "texts.npy"):
        with pytest.raises(InvalidArgument, match=f"data: {name}"):
            read_data_file(tmp_path / name)


def test_an_npz_of_another_zip_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("X.npy", "text")
    with pytest.raises(InvalidArgument, match=r"data: a\.npz"):
        read_data_file(tmp_path / "a.npz")


def test_parquet_needs_a_package_that_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(MissingDependency, match="pip install pandas pyarrow"):
        read_data_file(tmp_path / "a.parquet")


def test_other_kinds_and_absent_files_are_refused(tmp_path):
    with pytest.raises(InvalidArgument, match=r"data\.xlsx is none of \.csv, \.npy, \.npz, \.parquet"):
        read_data_file(tmp_path / "data.xlsx")
    with pytest.raises(InvalidArgument, match="no such file"):
        read_data_file(tmp_path / "data.csv")


def test_columns_are_left_out_by_name_or_index(tmp_path):
    file = written(tmp_path, "a,b,label\n1,2,3\n4,5,6\n")
    assert read_data_file(file, drop=["label"]).columns == ("a", "b")
    assert read_data_file(file, drop=["label", "0", "a"]).values.tolist() == [[2.0], [5.0]]
    with pytest.raises(InvalidArgument, match="no column 'c'; there are a, b, label"):
        read_data_file(file, drop=["c"])
    for index in ("3", "-1", "9" * 5000):  # Python refuses to read so many digits
        with pytest.raises(InvalidArgument, match=f"no column '{index}'"):
            read_data_file(file, drop=[index])
    with pytest.raises(InvalidArgument, match="drop: no column is left"):
        read_data_file(file, drop=["a", "b", "label"])


@pytest.mark.parametrize("label", ["label", "1"])
def test_a_column_that_is_left_out_may_hold_text(tmp_path, label):
    file = written(tmp_path, 'age,label,bmi\n1,yes,2.5\n3,"no, or so",4\n')
    table = read_data_file(file, drop=[label])
    assert table.columns == ("age", "bmi")
    assert table.values.tolist() == [[1.0, 2.5], [3.0, 4.0]]
    with pytest.raises(InvalidArgument, match="line 2, column 'label': got 'yes'"):
        read_data_file(file)
    # What stays is still read as numbers, and named by its own place.
    with pytest.raises(InvalidArgument, match="line 2, column 'label': got 'yes'"):
        read_data_file(file, drop=["age"])


def test_all_columns_of_a_name_are_left_out(tmp_path):
    file = written(tmp_path, "y,x,y\nno,1,yes\n")
    assert read_data_file(file, drop=["y"]).values.tolist() == [[1.0]]


@pytest.mark.parametrize(
    ("first", "drop", "names"),
    [
        # No names: the text is a label like the ones below.
        ("5,3,cat", "2", ()),
        ("5,2,cat", "2", ()),
        # Names, though those of the columns that stay are numbers: pandas writes such where none were given.
        ("0,1,label", "2", ("0", "1")),
        ("0,1,label", "label", ("0", "1")),
        ("2019,2020,label", "label", ("2019", "2020")),
        ("a,b,label", "2", ("a", "b")),
    ],
)
def test_a_first_row_is_told_from_names_where_labels_are_text(tmp_path, first, drop, names):
    table = read_data_file(written(tmp_path, f"{first}\n1,2,dog\n3,4,cat\n"), drop=[drop])
    assert table.columns == names
    assert len(table.values) == (2 if names else 3)


def test_a_name_above_labels_that_are_numbers_is_no_row(tmp_path):
    table = read_data_file(written(tmp_path, "2019,2020,label\n1,2,0\n3,4,1\n"), drop=["2"])
    assert table.columns == ("2019", "2020")
    assert table.values.tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_columns_of_arrays_are_left_out_by_index(tmp_path):
    np.save(tmp_path / "a.npy", np.array(ROWS))
    assert read_data_file(tmp_path / "a.npy", drop=["1"]).values.tolist() == [[1.0], [-3.0], [0.0]]
    with pytest.raises(InvalidArgument, match="no column '2'; there are 0 to 1"):
        read_data_file(tmp_path / "a.npy", drop=["2"])
    np.save(tmp_path / "row.npy", np.arange(3.0))
    with pytest.raises(InvalidArgument, match=r"drop: row\.npy has no columns: its shape is \(3,\)"):
        read_data_file(tmp_path / "row.npy", drop=["0"])


def parquet(tmp_path, monkeypatch, **columns):
    """A file that pandas, whose reader is an optional package of its own, is made to read as these columns."""
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(columns)
    monkeypatch.setattr(pd, "read_parquet", lambda path: frame)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    return tmp_path / "a.parquet"


@pytest.mark.parametrize("label", ["label", "1"])
def test_parquet_leaves_out_a_column_of_text(tmp_path, monkeypatch, label):
    pd = pytest.importorskip("pandas")
    many = pd.array([3, None], dtype="Int64")
    file = parquet(tmp_path, monkeypatch, age=[1.0, 2.0], label=["yes", "no"], many=many, old=[True, False])
    table = read_data_file(file, drop=[label])
    assert table.columns == ("age", "many", "old")
    assert table.values.tolist()[0] == [1.0, 3.0, 1.0]
    assert np.isnan(table.values[1, 1])
    with pytest.raises(InvalidArgument, match="column 'label'"):
        read_data_file(file)


def test_parquet_of_dates_is_refused_by_column(tmp_path, monkeypatch):
    pd = pytest.importorskip("pandas")
    file = parquet(tmp_path, monkeypatch, age=[1.0], born=pd.to_datetime(["2001-02-03"]))
    with pytest.raises(InvalidArgument, match="column 'born': got datetime64"):
        read_data_file(file)
    assert read_data_file(file, drop=["born"]).values.tolist() == [[1.0]]
