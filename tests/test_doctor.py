"""Verification: what is wrong with a dock is said, and what is right is not blamed."""

import contextlib
import hashlib
import json
import shutil
import sqlite3
import threading

import numpy as np
import pytest

import learndock as ld
from catalogs import change_catalog
from filled_docks import add, checks, dock, spec, written_zip  # noqa: F401
from learndock.dock import doctor, strays
from learndock.dock.incoming import incoming_copy
from spec_batches import made_specs

pytestmark = pytest.mark.usefixtures("either_catalog")


@pytest.fixture
def filled(dock, add, tmp_path):  # noqa: F811
    """A dock with zips, a segment with dead copies, and what waits in the catalog."""
    ids = [add(seed=seed) for seed in range(3)]
    points, weights = made_specs(60, 3, ragged=True)
    ids += dock.ingest(points=points, weights=weights, gamma=0.1)
    dock.optimize()
    dock.update(ids[1], path=written_zip(tmp_path / "new.zip", spec(50), note="new"))
    dock.delete(ids[10])
    return dock


def segment(dock):  # noqa: F811
    (folder,) = (dock.path / "specs").iterdir()
    return folder


def only(report):
    (problem,) = report.problems
    assert not report.ok
    return problem.part, problem.subject, problem.message


def resealed(dock, label, array):  # noqa: F811
    """Write another array into a segment with checksums that fit, as a writer with a defect would."""
    folder = segment(dock)
    np.save(folder / f"{label}.npy", array)
    about = json.loads((folder / "segment.json").read_text())
    about["sha256"][label] = hashlib.sha256((folder / f"{label}.npy").read_bytes()).hexdigest()
    (folder / "segment.json").write_text(json.dumps(about))
    sha256 = hashlib.sha256((folder / "segment.json").read_bytes()).hexdigest()
    change_catalog(dock, f"update segments set sha256 = '{sha256}'")


def test_a_whole_dock_has_no_problem(filled):
    told = []
    report = filled.verify(on_progress=lambda *heard: told.append(heard))
    assert report.ok
    assert report.problems == report.orphans == ()
    assert (report.learnwares, report.zips, report.segments) == (62, 3, 1)
    files = [*(filled.path / "zips").iterdir(), *segment(filled).iterdir()]
    assert report.bytes == sum(file.stat().st_size for file in files)
    assert told == [("verify", done, 4) for done in range(5)]
    filled.close()
    with ld.Dock(filled.path, readonly=True) as reader:
        assert reader.verify() == report


def test_an_empty_dock_has_no_problem(dock):  # noqa: F811
    assert dock.verify().ok


def test_a_changed_zip_is_named(filled):
    id = next(filled.list()).id
    path = filled.zip_path(id)
    content = bytearray(path.read_bytes())
    content[40] ^= 1
    path.write_bytes(content)
    part, subject, message = only(filled.verify())
    assert (part, subject) == ("zip", id)
    assert path.name in message
    assert "sha256" in message
    path.write_bytes(content[:-1])
    assert f"{len(content) - 1} bytes" in only(filled.verify())[2]
    path.unlink()
    assert "can't be read" in only(filled.verify())[2]


@pytest.mark.parametrize(
    "file", ["tiles.npy", "weights.npy", "offsets.npy", "self_inner.npy", "ids.npy", "segment.json"]
)
def test_a_changed_bit_of_a_segment_is_found(filled, file):
    path = segment(filled) / file
    content = bytearray(path.read_bytes())
    content[-2] ^= 4
    path.write_bytes(content)
    with ld.Dock(filled.path) as fresh:
        report = fresh.verify()
    said = [problem.message for problem in report.problems if problem.part == "segment"]
    assert any(file in message and "sha256" in message for message in said)
    assert {problem.subject for problem in report.problems if problem.part == "segment"} == {segment(filled).name}


@pytest.mark.parametrize("file", ["tiles.npy", "segment.json"])
def test_a_missing_file_of_a_segment_is_found(filled, file):
    (segment(filled) / file).unlink()
    part, _, message = only(filled.verify())
    assert part == "segment"
    assert file in message


def test_a_missing_segment_is_found_and_blamed_once(filled):
    name = segment(filled).name
    shutil.rmtree(segment(filled))
    assert only(filled.verify())[:2] == ("segment", name)


@pytest.mark.parametrize(
    ("label", "changed", "said"),
    [
        ("self_inner", lambda array: array * (1 + 1e-9), "<P, P>"),
        ("self_inner", lambda array: np.where(np.arange(len(array)) == 5, np.nan, array), "NaN"),
        ("tiles", lambda array: np.where(np.arange(len(array))[:, None, None] == 3, np.inf, array), "tiles.npy"),
        ("weights", lambda array: np.where(np.arange(len(array)) == 3, np.nan, array), "weights.npy"),
        ("offsets", lambda array: array[[0, 2, 1, *range(3, len(array))]], "offsets"),
        ("ids", lambda array: array[[1, 0, *range(2, len(array))]], "ascend"),
        ("ids", lambda array: array[:-1], "disagree on their lengths"),
    ],
)
def test_numbers_that_make_no_sense_are_found_though_the_checksums_fit(filled, label, changed, said):
    array = np.load(segment(filled) / f"{label}.npy")
    resealed(filled, label, changed(array).astype(array.dtype))
    with ld.Dock(filled.path) as fresh:
        report = fresh.verify()
    assert any(said in problem.message for problem in report.problems if problem.part == "segment")


@pytest.mark.parametrize(
    ("statement", "part", "said"),
    [
        ("update segments set specs = specs + 1", "segment", "the catalog says 64"),
        ("update segments set first_id = 5", "segment", "begins with id 0"),
        ("update spaces set input_shape = '[4]'", "segment", "3 coordinates"),
        ("update spaces set gamma = 0.2", "segment", "<P, P>"),
        ("delete from spaces", "segment", "is of space 1, which the catalog does not have"),
        pytest.param("update spaces set input_shape = '['", "catalog", "catalog.sqlite", marks=pytest.mark.sqlite),
        ("insert into tombstones select name, 999 from segments", "segment", "00000999"),
        ("delete from tombstones where learnware_id = 10", "specification", "no learnware"),
        ("delete from tombstones where learnware_id = 1", "specification", "more than one"),
        ("delete from pending", "specification", "no specification"),
        ("insert into tombstones select name, 7 from segments", "specification", "no specification"),
        ("update pending set points = substr(points, 1, 24)", "specification", "can't be read"),
        ("update pending set self_inner = self_inner + 1e-6", "specification", "<P, P>"),
        pytest.param("update pending set weights = zeroblob(20)", "specification", "<P, P>", marks=pytest.mark.sqlite),
        pytest.param("update pending set points = 'text'", "specification", "can't be read", marks=pytest.mark.sqlite),
        pytest.param(
            "update pending set self_inner = 'text'", "specification", "can't be read", marks=pytest.mark.sqlite
        ),
        ("update learnwares set status = 7 where id = 2", "catalog", "its status"),
        ("delete from state", "catalog", "given out again"),
        ("update state set next_id = 5", "catalog", "given out again"),
        pytest.param("update semantics set semantic = '{'", "catalog", "no JSON", marks=pytest.mark.sqlite),
        ("delete from semantics where learnware_id = 2", "catalog", "no semantic part"),
        ("delete from texts where rowid = 2", "catalog", "do not know it"),
        ("insert into texts (rowid, name, description) values (999, 'x', 'x')", "catalog", "there is no such"),
        ("update tags set learnware_id = 999 where learnware_id = 2", "catalog", "not there"),
    ],
)
def test_a_catalog_that_does_not_fit_is_found(filled, statement, part, said):
    change_catalog(filled, statement)
    problems = [problem for problem in filled.verify().problems if problem.part == part]
    assert any(said in problem.message or said in problem.subject for problem in problems)


def test_a_specification_in_another_space_than_its_learnware_is_found(filled):
    points, weights = made_specs(1, 3)
    filled.ingest(points=points, weights=weights, gamma=0.9)
    change_catalog(filled, "update learnwares set space_id = 2 where id = 5")
    assert only(filled.verify()) == (
        "specification",
        "00000005",
        "its specification lies in another space than the catalog says",
    )


def test_ids_in_a_message_are_few(filled):
    change_catalog(
        filled, "insert into tombstones select name, id from segments, learnwares where id between 20 and 59"
    )
    _, subject, _ = only(filled.verify())
    assert subject.endswith("00000029 and 30 more")


@pytest.mark.sqlite
def test_a_catalog_that_cant_be_read_is_a_problem_and_no_exception(filled):
    path = filled.path
    filled.close()
    (path / "catalog.sqlite").write_bytes(b"no database" * 100)
    with ld.Dock(path) as broken:
        report = broken.verify()
    assert only(report)[:2] == ("catalog", "catalog.sqlite")
    assert report.orphans is None


def test_a_folder_that_is_gone_and_nonsense_in_its_place_are_problems(filled):
    file = segment(filled) / "segment.json"
    file.write_text("[" * 100_000)
    assert "can't be understood" in " ".join(problem.message for problem in filled.verify().problems)
    shutil.rmtree(filled.path / "specs")
    assert not filled.verify().ok


@pytest.mark.sqlite
def test_a_catalog_with_damaged_pages_is_found(filled):
    path = filled.path
    filled.close()
    with contextlib.closing(sqlite3.connect(path / "catalog.sqlite")) as catalog:
        ((page,),) = catalog.execute("select rootpage from sqlite_master where name = 'learnwares_not_usable'")
    content = bytearray((path / "catalog.sqlite").read_bytes())
    start = (page - 1) * int.from_bytes(content[16:18], "big")
    content[start : start + 8] = bytes(255 - byte for byte in content[start : start + 8])
    (path / "catalog.sqlite").write_bytes(content)
    with ld.Dock(path, readonly=True) as broken:
        assert "catalog" in {problem.part for problem in broken.verify().problems}


@pytest.mark.parametrize("together", [1, 1000])
def test_orphans_are_listed_and_no_problem_and_living_writers_are_none(filled, monkeypatch, together):
    monkeypatch.setattr(strays, "_TOGETHER", together)
    left = [
        filled.path / "specs" / ".incoming-dead",
        filled.path / "specs" / "unnamed",
        filled.path / "zips" / ".incoming-dead",
        *(filled.path / "zips" / f"{name}.0123456789abcdef.zip" for name in ("00000000", "00000099", "not-an-id")),
    ]
    for path in left[:3]:
        path.mkdir()
    for path in left[3:]:
        path.write_bytes(b"left behind")
    with incoming_copy(filled.zip_path("00000000"), filled.path / "zips"):
        report = filled.verify()
    assert report.ok
    assert report.orphans == tuple(sorted(left))
    assert "6 orphans" in repr(report)
    filled.optimize()
    assert filled.verify().orphans == ()
    assert len(list((filled.path / "zips").iterdir())) == 3


def test_without_the_folder_of_zips_there_are_no_orphans_in_it(tmp_path):
    with ld.Dock(tmp_path / "dock") as other:
        other.ingest(points=np.zeros((3, 2, 2)), weights=np.full((3, 2), 0.5), gamma=0.1)
        (other.path / "zips").rmdir()
        assert other.verify().orphans == ()
        other.optimize()
        assert len(other) == 3


def test_while_another_writes_its_files_are_no_orphans(filled):
    (filled.path / "specs" / "being-written").mkdir()
    with ld.Dock(filled.path) as other, other._writer._lock.held():
        report = filled.verify()
    assert report.ok
    assert report.orphans is None


def test_what_changes_during_the_verification_is_no_problem(dock, add, tmp_path, monkeypatch):  # noqa: F811
    ids = [add(seed=seed) for seed in range(6)]
    dock.optimize()
    done, failed = threading.Event(), []

    def write():
        try:
            with ld.Dock(dock.path) as writer:
                points, weights = made_specs(3, 3)
                for round_ in range(1000):
                    if done.is_set():
                        return
                    path = written_zip(tmp_path / "u.zip", spec(100 + round_), note=str(round_))
                    writer.update(ids[round_ % 6], path=path)
                    writer.delete(writer.ingest(points=points, weights=weights, gamma=0.1)[0])
                    writer.optimize()
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        reports = [dock.verify() for _ in range(15)]
    finally:
        done.set()
        thread.join()
    assert failed == []
    assert [problem for report in reports for problem in report.problems] == []


def test_a_large_segment_is_read_in_pieces(filled, monkeypatch):
    monkeypatch.setattr(doctor, "_POINTS_AT_A_TIME", 16)
    assert filled.verify().ok
    tiles = np.load(segment(filled) / "tiles.npy")
    tiles[-1, 0, 0] = np.nan
    resealed(filled, "tiles", tiles)
    with ld.Dock(filled.path) as fresh:
        assert any("tiles.npy holds NaN" in problem.message for problem in fresh.verify().problems)


def test_a_report_can_be_looked_at(filled):
    change_catalog(filled, "delete from pending")
    report = filled.verify()
    assert "no specification" in repr(report)
    assert "<table>" in report._repr_html_()
    assert list(report.to_frame().columns) == ["part", "subject", "message"]
    assert len(report.to_frame()) == 1
