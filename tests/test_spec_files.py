"""Specification files: the reference's formats, and files that are broken or hostile."""

import io
import json
import os
import stat
import zipfile

import numpy as np
import pytest

import learndock as ld
from learndock.errors import SpecificationFileError

GOOD = {"z": [[0.1, 0.2], [0.3, 0.4]], "beta": [0.25, 0.75], "gamma": 0.1, "num_points": 7}


@pytest.fixture
def spec():
    rng = np.random.default_rng(0)
    return ld.RKMETableSpecification(
        rng.normal(size=(7, 3)), rng.normal(size=7), gamma=0.3, num_points=9, fit_mmd2=1e-5
    )


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize("name", ["stat.json", "stat.npz"])
def test_a_saved_specification_comes_back_bit_for_bit(spec, tmp_path, name):
    spec.save(tmp_path / name)
    loaded = ld.load_spec(tmp_path / name)
    assert loaded == spec
    assert loaded.fit_mmd2 == spec.fit_mmd2
    assert os.listdir(tmp_path) == [name]


def test_json_has_the_references_fields(spec, tmp_path):
    spec.save(tmp_path / "stat.json")
    fields = json.loads((tmp_path / "stat.json").read_text())
    assert fields["type"] == "RKMETableSpecification"
    assert fields["num_points"] == 9
    assert fields["gamma"] == 0.3
    assert np.array_equal(fields["z"], spec.points)
    assert np.array_equal(fields["beta"], spec.weights)
    assert fields["fit_mmd2"] == 1e-5


@pytest.mark.parametrize(
    "extra",
    [
        {"type": "RKMETableSpecification"},
        {"type": "RKMEStatSpecification"},
        {},
        {"type": "RKMETableSpecification", "cuda_idx": -1, "device": "cpu"},
    ],
    ids=["new", "old name", "no type", "the reference's own fields"],
)
def test_files_of_the_reference_are_read(tmp_path, extra):
    loaded = ld.load_spec(write(tmp_path / "stat.json", {**GOOD, **extra}))
    assert loaded.points.tolist() == GOOD["z"]
    assert loaded.num_points == 7
    assert loaded.fit_mmd2 is None


@pytest.mark.parametrize("num_points", [None, 0], ids=["absent", "zero"])
def test_old_files_need_no_num_points(tmp_path, num_points):
    fields = {**GOOD, "num_points": num_points}
    if num_points is None:
        del fields["num_points"]
    assert ld.load_spec(write(tmp_path / "stat.json", fields)).num_points is None


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "JSON"),
        (json.dumps(GOOD)[:-9], "JSON"),
        ("[1, 2]", "object"),
        ("[    " * 100_000, "nested"),
        ('{"z": [' + "[]," * 2_000_000 + "[]]}", "2000000 of"),
        ('{"z": [' + '{"":1},' * 100 + "1]}", "100 of"),
        ('{"z": [' + '"ab",' * 1_000 + "1]}", "2000 of"),
        ('{"z": [[1]], "beta": [1], "gamma": 1' + "0" * 5000 + "}", "JSON"),
        ({**GOOD, "z": [[float("nan"), 0], [0, 0]]}, "z"),
        ({**GOOD, "beta": [float("inf"), 0]}, "beta"),
        ('{"z": [[1e999, 0]], "beta": [1], "gamma": 1}', "z"),
        ({**GOOD, "beta": [1.0]}, "weights"),
        ({**GOOD, "z": [[1.0], [1.0, 2.0]]}, "z"),
        ({**GOOD, "z": [1.0, 2.0]}, "z"),
        ({**GOOD, "z": []}, "z"),
        ({**GOOD, "z": [["a", "b"], ["c", "d"]]}, "z"),
        ({**GOOD, "z": {"shape": [1000000000, 1000000000]}}, "z"),
        ({**GOOD, "z": [[10**400, 0], [0, 0]]}, "z"),
        ({**GOOD, "gamma": 0}, "gamma"),
        ({**GOOD, "gamma": None}, "gamma"),
        ({**GOOD, "gamma": [0.1]}, "gamma"),
        ({**GOOD, "num_points": -3}, "num_points"),
        ({**GOOD, "num_points": 2**63}, "num_points"),
        ({**GOOD, "num_points": []}, "num_points"),
        ({**GOOD, "gamma": True}, "gamma"),
        ({**GOOD, "num_points": "many"}, "num_points"),
        ({**GOOD, "type": "os.system"}, "type"),
        ({**GOOD, "type": ["RKMETableSpecification"]}, "type"),
        ({"z": [[1.0]]}, "beta"),
    ],
)
def test_a_json_file_that_makes_no_sense_is_an_error_that_says_where_and_what(tmp_path, content, says):
    path = write(tmp_path / "stat.json", content)
    with pytest.raises(SpecificationFileError, match=says) as caught:
        ld.load_spec(path)
    assert "stat.json" in str(caught.value)


def test_bytes_that_are_no_text_are_an_error(tmp_path):
    (tmp_path / "stat.json").write_bytes(b"\xff\xfe\x00{")
    with pytest.raises(SpecificationFileError):
        ld.load_spec(tmp_path / "stat.json")


def test_a_missing_file_and_a_folder_are_errors(tmp_path):
    with pytest.raises(SpecificationFileError, match="can't be read"):
        ld.load_spec(tmp_path / "absent.json")
    with pytest.raises(SpecificationFileError):
        ld.load_spec(tmp_path)


def test_a_file_over_the_limit_is_refused_before_it_is_read(tmp_path):
    path = write(tmp_path / "stat.json", GOOD)
    with pytest.raises(SpecificationFileError, match="at most 10 bytes"):
        ld.load_spec(path, max_bytes=10)


def npy(header: str, data: bytes = b"") -> bytes:
    header = header + " " * (118 - len(header) - 1) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + data


def write_npz(path, **members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def plain(array) -> bytes:
    file = io.BytesIO()
    np.save(file, np.asarray(array))
    return file.getvalue()


BETA, GAMMA = plain([0.5, 0.5]), plain(0.1)


@pytest.mark.parametrize(
    "z",
    [
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000, 1000000000), }"),
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (4611686018427387904, 4), }"),
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 2), }", b"\0" * 32),
        npy("{'descr': '|O', 'fortran_order': False, 'shape': (2, 2), }", b"\0" * 32),
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (2, 2), }", b"\0" * 31),
        npy("__import__('os').system('true')"),
        plain(np.zeros((2, 2)))[:-8],
        b"no array",
        b"",
    ],
    ids=["huge", "overflow", "negative", "objects", "short", "code", "truncated", "text", "empty"],
)
def test_an_npz_file_with_a_hostile_array_is_an_error(tmp_path, z):
    path = write_npz(tmp_path / "stat.npz", z=z, beta=BETA, gamma=GAMMA)
    with pytest.raises(SpecificationFileError):
        ld.load_spec(path)


def test_an_npz_bomb_is_refused_by_its_unpacked_size(tmp_path):
    path = tmp_path / "stat.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("z.npy", plain(np.zeros((10_000, 100))))
    assert path.stat().st_size < 100_000
    with pytest.raises(SpecificationFileError, match="at most 1000000 bytes"):
        ld.load_spec(path, max_bytes=1_000_000)


def test_an_npz_whose_compressed_data_is_broken_is_an_error(tmp_path):
    path = tmp_path / "stat.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("z.npy", plain(np.random.default_rng(0).normal(size=(50, 3))))
    content = bytearray(path.read_bytes())
    content[60:90] = bytes(30)
    path.write_bytes(content)
    with pytest.raises(SpecificationFileError):
        ld.load_spec(path)


def test_a_file_that_is_no_zip_is_an_error(tmp_path):
    (tmp_path / "stat.npz").write_bytes(b"PK\x03\x04 and nothing")
    with pytest.raises(SpecificationFileError):
        ld.load_spec(tmp_path / "stat.npz")


def test_a_failed_write_leaves_the_old_file_and_no_other(spec, tmp_path, monkeypatch):
    spec.save(tmp_path / "stat.json")
    before = (tmp_path / "stat.json").read_bytes()

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SpecificationFileError, match="No space"):
        spec.save(tmp_path / "stat.json")
    assert os.listdir(tmp_path) == ["stat.json"]
    assert (tmp_path / "stat.json").read_bytes() == before


def test_saving_into_a_missing_folder_is_an_error(spec, tmp_path):
    with pytest.raises(SpecificationFileError, match="existing folder"):
        spec.save(tmp_path / "absent" / "stat.json")


def test_saved_files_are_as_readable_as_any_new_file(spec, tmp_path):
    spec.save(tmp_path / "stat.json")
    (tmp_path / "other").touch()
    mode = stat.S_IMODE((tmp_path / "stat.json").stat().st_mode)
    assert mode == stat.S_IMODE((tmp_path / "other").stat().st_mode)
