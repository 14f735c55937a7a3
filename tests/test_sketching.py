"""The life of a dock's sketches: when they are made, made again and dropped, and what damages and stops do to them."""

import contextlib
import hashlib
import json
import re
import shutil
import sqlite3
import threading

import numpy as np
import pytest

import learndock as ld
import reference
from filled_docks import add, checks, dock, spec  # noqa: F401
from learndock.checker import Status
from learndock.dock import folding, sketching, store
from learndock.dock.sketch_model import SketchFacts
from learndock.dock.sketch_training import train_model
from learndock.dock.sketches import open_sketches
from learndock.errors import DockError, SketchWarning
from sketched_views import (
    answer,
    assert_approximate_is_true,
    assert_certified_is_exact,
    searched,
    small_numbers,
    user,
)
from spec_batches import made_specs, user_spec

GAMMA = 0.1
# Of a model, and of sketches.
FILES = [f"sketches/*/{name}.npy" for name in ("landmarks", "map", "offsets", "scales")]
FILES += [f"specs/*/sketch-*/{name}.npy" for name in ("codes", "residuals", "errors", "order", "ball_codes", "balls")]


@pytest.fixture(autouse=True)
def small():
    """Spaces of a few specifications are sketched, and those of more become several segments."""
    with small_numbers() as patch:
        patch.setattr(folding, "SEGMENT_SPECS", 50)
        yield patch


@pytest.fixture
def filled(dock):  # noqa: F811
    """A dock with one sketched segment of 100 specifications."""
    dock.ids = ingested(dock, 100, seed=0)
    return dock


def ingested(dock, count, *, seed, dim=3, gamma=GAMMA):  # noqa: F811
    points, weights = made_specs(count, dim, seed=seed, ragged=True)
    return dock.ingest(points=points, weights=weights, gamma=gamma)


def users(dim=3, gamma=GAMMA):
    return [user_spec(dim, gamma, seed=seed) for seed in range(3)]


def models(dock):  # noqa: F811
    return sorted(path.name for path in (dock.path / "sketches").glob("*"))


def sketches(dock):  # noqa: F811
    """The folders of sketches, by the name of their segment."""
    return {
        segment.name: sorted(path.name for path in segment.iterdir() if path.is_dir())
        for segment in (dock.path / "specs").iterdir()
    }


def view(dock, space=None):  # noqa: F811
    return dock._store.view(space or next(iter(dock.spaces())))


def assert_sketched(dock):  # noqa: F811
    """One model, one folder of sketches in each segment, nothing else; and searches by them are exact."""
    (model,) = models(dock)
    assert list(sketches(dock).values()) == [[f"sketch-{model}"]] * len(sketches(dock))
    assert_searches(dock)
    assert dock.search(users()[0]).method == "certified"
    report = dock.verify()
    assert report.problems == report.orphans == ()


def assert_searches(dock, **asked):  # noqa: F811
    exact = dock.search_many(users(), method="exact", **asked)
    found = dock.search_many(users(), **asked)
    assert_certified_is_exact(found, exact)
    assert_approximate_is_true(dock.search_many(users(), method="approximate", budget=5, **asked), exact)
    return found


def assert_searched_without(fresh, count, *texts, asking=None):
    """The damage costs work alone: every method's answer is that of the scan, and says what was not read."""
    one = asking or users()[0]
    exact = fresh.search(one, method="exact")
    assert "damaged" not in exact.work
    assert exact.warnings == ()
    for method in ("approximate", "certified"):
        with pytest.warns(SketchWarning) as caught:
            found = fresh.search(one, method=method, budget=5)
        said = [str(warning.message) for warning in caught]
        assert {warning.filename for warning in caught} == {__file__}
        assert all(text in sentence for text in (*texts, "`Dock.optimize`") for sentence in said)
        assert found.warnings == tuple(said)
        assert found.work["damaged"] == count
        assert found.work.get("unsketched", found.work.get("scanned")) >= count
        if method == "certified":
            assert_certified_is_exact([found], [exact])
        else:
            assert_approximate_is_true([found], [exact])
    assert sum(one.damaged for one in fresh.stats().spaces) == count
    return found


def change(dock, statement):  # noqa: F811
    with contextlib.closing(sqlite3.connect(dock.path / "catalog.sqlite")) as catalog, catalog:
        catalog.execute(statement)


# When they are made


def test_a_large_batch_is_sketched_before_ingest_returns(dock, small):  # noqa: F811
    small.setattr("learndock.dock.writer.SKETCHED_AT_ONCE", 100)
    ingested(dock, 99, seed=0)
    assert models(dock) == []
    assert dock.search(users()[0]).method == "exact"
    told = []
    points, weights = made_specs(100, 3, seed=1, ragged=True)
    dock.ingest(points=points, weights=weights, gamma=GAMMA, on_progress=lambda *heard: told.append(heard))
    assert ("sketch", 0, 199) in told
    assert told[-1] == ("sketch", 199, 199)
    assert_sketched(dock)
    assert dock.search(users()[0]).work["unsketched"] == 0


def test_small_batches_and_submissions_are_found_by_scans_until_optimize_sketches_them(filled, add):  # noqa: F811
    ingested(filled, 7, seed=1)
    add(seed=3)
    found = assert_searches(filled, k=20)
    assert {one.work["unsketched"] for one in found} == {8}
    filled.optimize()
    assert_sketched(filled)
    assert filled.search(users()[0]).work["unsketched"] == 0


def test_a_small_space_has_no_sketches(dock, small):  # noqa: F811
    small.setattr(sketching, "_FEWEST", 101)
    ingested(dock, 100, seed=0)
    dock.optimize()
    assert models(dock) == []
    assert dock.search(users()[0]).method == "exact"
    ingested(dock, 1, seed=1)
    dock.optimize()
    assert_sketched(dock)


def test_segments_beside_sketched_ones_are_computed_until_they_are_sketched(filled, small):
    small.setattr("learndock.dock.writer.SKETCHED_AT_ONCE", 10**6)
    ingested(filled, 60, seed=1)
    assert sorted(map(len, sketches(filled).values())) == [0, 1]
    found = assert_searches(filled)
    assert {one.work["unsketched"] for one in found} == {60}
    before, told = models(filled), []
    filled.optimize(on_progress=lambda *heard: told.append(heard))
    assert told == [("optimize", 0, 1), ("sketch", 0, 60), ("sketch", 60, 60), ("optimize", 1, 1)]
    assert models(filled) == before
    assert_sketched(filled)


def test_each_space_has_a_model_of_its_own(filled):
    ingested(filled, 80, seed=1, dim=5)
    ingested(filled, 90, seed=2, gamma=0.7)
    assert len(models(filled)) == 3
    mixed = [*users(), *users(dim=5), *users(gamma=0.7), *users(dim=9)]
    found = filled.search_many(mixed, k=20)
    exact = filled.search_many(mixed, k=20, method="exact")
    assert_certified_is_exact(found, exact)
    assert [one.method for one in found] == ["certified"] * 9 + ["exact"] * 3
    assert filled.verify().ok


# Deletions, updates, folding, growth


def test_deleted_and_updated_ones_are_not_found_and_go_with_the_next_fold(filled, tmp_path):
    before = sketches(filled)
    filled.delete(filled.ids[::4])
    found = assert_searches(filled, k=100)
    gone = set(filled.ids[::4])
    assert all({hit.id for hit in one.singles} == set(filled.ids) - gone for one in found)
    filled.optimize()
    assert not set(before) & set(sketches(filled))
    assert_sketched(filled)
    assert_searches(filled, k=100)


def test_a_dock_in_which_all_were_deleted_answers_with_nothing(filled):
    filled.delete(filled.ids)
    for method in ("certified", "exact", "approximate"):
        result = filled.search(users()[0], method=method)
        assert result.singles == ()
        assert result.certified
    filled.optimize()
    assert sketches(filled) == {}
    ingested(filled, 100, seed=1)
    assert_sketched(filled)


def test_growth_by_four_makes_another_model_and_the_old_files_go(filled):
    first = models(filled)
    ingested(filled, 299, seed=1)
    assert models(filled) == first
    ingested(filled, 1, seed=2)
    filled.optimize()
    second = models(filled)
    assert len(second) == 1
    assert second != first
    assert_sketched(filled)
    assert view(filled).model.facts.specs == 400
    ingested(filled, 1300, seed=3)
    assert len(models(filled)) == 1
    assert models(filled) != second
    assert_sketched(filled)


def test_searches_go_on_with_the_old_sketches_while_new_ones_are_made(filled, small):
    """At every step of another model's making, by one who has just opened the dock, too."""
    methods = []

    def looked(*_):
        with ld.Dock(filled.path) as other:
            methods.append(other.search(users()[0]).method)
            assert_searches(other)
        assert_searches(filled)

    points, weights = made_specs(400, 3, seed=1, ragged=True)
    filled.ingest(points=points, weights=weights, gamma=GAMMA, on_progress=looked)
    assert len(methods) >= 4
    assert set(methods) == {"certified"}
    assert_sketched(filled)


def test_reads_during_writes_are_exact(filled):
    """Ingests, deletions, folds and new models by one thread; searches by others see one state or the next."""
    done, failed = threading.Event(), []

    def write():
        try:
            with ld.Dock(filled.path) as writer:
                for round_ in range(6):
                    ids = ingested(writer, 60 + 100 * round_, seed=round_)
                    writer.delete(ids[::5])
                    writer.optimize()
        except Exception as error:
            failed.append(error)
        finally:
            done.set()

    def read(dock):  # noqa: F811
        try:
            while not done.is_set():
                state = view(dock)
                found = searched(state, users(), "certified", k=8)
                assert_certified_is_exact(found, searched(state, users(), "exact", k=8))
                assert {len(one.singles) for one in dock.search_many(users(), k=8)} == {8}
        except Exception as error:
            failed.append(error)

    with ld.Dock(filled.path) as second, ld.Dock(filled.path) as third:
        threads = [
            threading.Thread(target=write),
            *(threading.Thread(target=read, args=(one,)) for one in (second, third)),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        assert_searches(second)
    assert_sketched(filled)


def test_a_model_of_few_points_is_outgrown_and_one_of_many_is_kept(filled):
    """Deleting most of a dock leaves its model, which still bounds."""
    kept = models(filled)
    filled.delete(filled.ids[5:])
    filled.optimize()
    assert models(filled) == kept
    assert_sketched(filled)


# Filters and who may be found


def test_status_and_semantic_filters(dock, add):  # noqa: F811
    for i in range(12):
        add(f"Learnware {i}", seed=i, status=Status(i % 2), license="MIT" if i % 3 else "GPL-3.0")
    ingested(dock, 60, seed=0)
    dock.optimize()
    assert_sketched(dock)
    mit = {entry.id for entry in dock.list(semantic=ld.SemanticQuery(license="MIT"))}
    licensed = {"semantic": ld.SemanticQuery(license="MIT")}
    assert_searches(dock, k=100, status="any")
    for status in ("usable", "any"):
        found = assert_searches(dock, k=100, status=status, **licensed)
        assert all({hit.id for hit in one.singles} <= mit for one in found)
    assert len(dock.search(users()[0], k=100, status="any", **licensed).singles) == len(mit) == 8
    assert dock.search(users()[0], semantic=ld.SemanticQuery(name="no such thing")).singles == ()
    # A dock in which nothing is usable.
    change(dock, "update learnwares set status = 0")
    with ld.Dock(dock.path) as again:
        assert again.search(users()[0]).singles == ()
        assert len(again.search(users()[0], status="any", k=100).singles) == 72


def test_a_dock_opened_for_reading_is_searched_by_its_sketches(filled):
    expected = [(hit.id, hit.mmd2) for hit in filled.search(users()[0], method="exact").singles]
    filled.close()
    files = sorted(path for path in filled.path.rglob("*"))
    with ld.Dock(filled.path, readonly=True) as reader:
        result = reader.search(users()[0])
        assert result.method == "certified"
        assert [(hit.id, hit.mmd2) for hit in result.singles] == expected
        assert reader.verify().ok
    assert sorted(path for path in filled.path.rglob("*")) == files


# Copies, old docks, missing and damaged files


def test_a_backup_has_no_sketches_and_optimize_makes_them(filled, tmp_path):
    filled.backup(tmp_path / "backup")
    with ld.Dock(tmp_path / "backup") as copy:
        assert models(copy) == []
        assert copy.search(users()[0]).method == "exact"
        assert_searches(copy)
        assert copy.verify().ok
        copy.optimize()
        assert_sketched(copy)
    assert_sketched(filled)


@pytest.mark.parametrize("readonly", [False, True])
def test_a_catalog_older_than_sketches_opens(dock, small, readonly):  # noqa: F811
    small.setattr("learndock.dock.writer.SKETCHED_AT_ONCE", 10**6)
    ingested(dock, 100, seed=0)
    change(dock, "drop table sketch_models")
    dock.close()
    with ld.Dock(dock.path, readonly=readonly) as old:
        assert old.search(users()[0]).method == "exact"
        assert_searches(old)
        assert old.verify().ok
        if not readonly:
            old.optimize()
            assert_sketched(old)


@pytest.mark.parametrize("gone", ["sketches", "sketches/*", "specs/*/sketch-*"])
def test_sketches_that_are_missing_are_made_again_and_till_then_all_is_scanned(filled, gone):
    for path in list(filled.path.glob(gone)):
        shutil.rmtree(path)
    with ld.Dock(filled.path) as fresh:
        assert fresh.search(users()[0]).method == "exact"
        assert_searches(fresh)
        assert fresh.verify().problems == ()
        fresh.optimize()
        assert_sketched(fresh)


@pytest.mark.parametrize("file", FILES)
def test_one_file_that_is_missing_is_a_problem_and_no_error_of_a_search(filled, file):
    (path,) = filled.path.glob(file)
    path.unlink()
    with ld.Dock(filled.path) as fresh:
        assert assert_searched_without(fresh, 100, str(path)).method == "exact"
        (problem,) = fresh.verify().problems
        assert problem.part == "sketch"
        assert problem.subject == str(path.parent.relative_to(filled.path))
        assert path.name in problem.message
        fresh.optimize()
        assert_sketched(fresh)


def header(shape, dtype="<f4", order="False"):
    text = f"{{'descr': {dtype!r}, 'fortran_order': {order}, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


# What is no array, or none that anybody has written.
HOSTILE = {
    "a zip": b"PK\x03\x04" + bytes(100),
    "a pickle": b"\x80\x04N.",
    "text": b"[1, 2]",
    "no header": b"\x93NUMPY\x01\x00\xff\xff{",
    "a version of nobody": b"\x93NUMPY\x09\x09" + bytes(100),
    "more than memory": header("(2**62,)".replace("2**62", str(2**62))),
    "more than an int": header(f"({2**80},)"),
    "a negative shape": header("(-16,)") + bytes(64),
    "objects": header("(16,)", "|O") + bytes(128),
    "deep signs": header("(" + "-" * 5000 + "1,)"),
    "deep brackets": header("(" + "[" * 3000 + "]" * 3000 + ",)"),
    "a header of code": header("__import__('os').getpid()"),
    "columns first": header("(1, 112)", "<f4", "True") + bytes(4 * 112),
    "the other byte order": header("(112,)", ">f4") + bytes(4 * 112),
}


def damaged(path, how):
    if how == "a bit":
        content = bytearray(path.read_bytes())
        content[-3] ^= 4
        path.write_bytes(content)
    elif how == "cut":
        path.write_bytes(path.read_bytes()[:-1] if path.suffix == ".npy" else path.read_bytes()[:-3])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "another shape":
        array = np.load(path)
        np.save(path, np.concatenate([array, array], axis=-1))
    elif how == "another type":
        np.save(path, np.load(path).astype(np.complex64))
    elif how == "columns first":
        np.save(path, np.asfortranarray(np.tile(np.load(path), (2, 1)))[:2])
    elif how == "a folder":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(HOSTILE[how])


@pytest.mark.parametrize(
    ("file", "how"),
    [
        *((file, "a bit") for file in FILES),
        *((FILES[i], how) for i in (1, 5) for how in ("cut", "empty", "another shape", "another type", "a folder")),
        *((FILES[i], how) for i in (3, 6) for how in HOSTILE),
    ],
)
def test_damage_is_found_and_optimize_repairs_it(filled, file, how):
    (path,) = filled.path.glob(file)
    damaged(path, how)
    with ld.Dock(filled.path, readonly=True) as reader:
        if how != "a bit":  # a search takes the numbers for what they are, as it does those of a segment
            assert_searched_without(reader, 100, str(path.parent))
    with ld.Dock(filled.path) as fresh:
        if how != "a bit":
            assert_searched_without(fresh, 100, str(path.parent))
        problems = fresh.verify().problems
        assert {problem.part for problem in problems} == {"sketch"}
        assert all(problem.subject == str(path.parent.relative_to(filled.path)) for problem in problems)
        assert any(path.name in problem.message for problem in problems)
        assert all("learndock optimize" in problem.message for problem in problems)
        fresh.optimize()
        assert_sketched(fresh)
    assert_sketched(filled)


def test_segments_beside_a_damaged_one_are_searched_by_their_sketches(filled, small):
    for seed in (1, 2):
        ingested(filled, 60, seed=seed)
    (first, second, _) = sorted((filled.path / "specs").iterdir(), key=lambda path: len(np.load(path / "ids.npy")))
    assert [len(np.load(path / "ids.npy")) for path in (first, second)] == [60, 60]
    filled.delete(filled.ids[:10])
    filled.delete([f"{number:08d}" for number in np.load(first / "ids.npy")[:5]])
    paths = [next(path.glob("sketch-*/codes.npy")) for path in (first, second)]
    damaged(paths[0], "cut")
    with ld.Dock(filled.path, readonly=True) as reader:
        found = assert_searched_without(reader, 55, str(paths[0].parent), "55 specifications", "codes.npy")
        assert found.method == "certified"
        assert found.work["unsketched"] == 60  # with the dead
        assert found.work["bounds"] == 160
    paths[1].unlink()
    with ld.Dock(filled.path) as fresh:
        with pytest.warns(SketchWarning) as caught:
            found = fresh.search_many(users())
        assert len(caught) == 2
        assert_certified_is_exact(found, fresh.search_many(users(), method="exact"))
        assert {one.work["damaged"] for one in found} == {115.0}
        (space,) = fresh.stats().spaces
        assert (space.sketched, space.damaged) == (90, 115)
        assert "damaged 115" in repr(fresh.stats())
        # Whoever adds more mends it, too.
        ingested(fresh, 60, seed=3)
        assert fresh.stats().spaces[0].damaged == 0
        assert_sketched(fresh)


@pytest.mark.parametrize("name", ["feature_codes", "measures", "frequencies", "gram", "self_inner"])
def test_damage_of_what_few_docks_have(filled, small, name):
    """Random features, whose space's proofs do not pay; and norms under a search gamma."""
    filled.set_search_gamma(0.3, gamma=GAMMA, input_shape=3)
    small.setattr(SketchFacts, "pays", property(lambda self: False))
    filled.optimize()
    small.setattr(SketchFacts, "pays", property(lambda self: True))
    (path,) = filled.path.rglob(f"sketch*/**/{name}.npy")
    # Another shape; of float64 and of integers alike.
    np.save(path, np.load(path)[..., 1:])
    with ld.Dock(filled.path) as fresh:
        exact = fresh.search(users()[0], method="exact")
        with pytest.warns(SketchWarning, match=re.escape(str(path.parent))):
            found = fresh.search(users()[0], certificate="chance", delta=1e-9)
        assert answer(found) == answer(exact)
        assert found.work["damaged"] == 100
        assert not fresh.verify().ok
        fresh.optimize()
        assert_sketched(fresh)


def test_what_a_writer_has_replaced_meanwhile_is_no_damage(filled, monkeypatch):
    """Files go when the catalog names others: one who has read the catalog before sees some of them."""
    opened = []

    def gone(*arguments):
        opened.append(arguments)
        if len(opened) == 1:
            with ld.Dock(filled.path) as writer:
                writer.delete(filled.ids[0])
            raise DockError("codes.npy: can't be opened")
        return open_sketches(*arguments)

    monkeypatch.setattr(store, "open_sketches", gone)
    with ld.Dock(filled.path) as fresh:
        found = fresh.search(users()[0])
        assert "damaged" not in found.work
        assert found.method == "certified"
        assert_certified_is_exact([found], [fresh.search(users()[0], method="exact")])


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("sketches/*/model.json", "["),
        ("sketches/*/model.json", "[]"),
        ("sketches/*/model.json", "{}"),
        ("sketches/*/model.json", "[" * 100_000),
        ("sketches/*/model.json", '{"layout": 3}'),
        ("sketches/*/model.json", '{"layout": 3, "sha256": {}, "gamma": 0.1}'),
        ("sketches/*/model.json", '{"layout": 3, "sha256": {}, "gamma": 1' + "0" * 5000 + "}"),
    ],
)
def test_a_models_facts_that_make_no_sense_are_damage(filled, pattern, text):
    (path,) = filled.path.glob(pattern)
    path.write_text(text)
    with ld.Dock(filled.path) as fresh:
        assert_searched_without(fresh, 100, str(path.parent))
        assert not fresh.verify().ok
        fresh.optimize()
        assert_sketched(fresh)


@pytest.mark.parametrize(
    ("key", "value"), [("gamma", 0.2), ("stages", [3, 16]), ("correlation", 0.01), ("predicted", 1.0), ("specs", 5)]
)
def test_a_changed_fact_is_damage(filled, key, value):
    """A bound by another gamma would be none."""
    (path,) = filled.path.glob("sketches/*/model.json")
    about = json.loads(path.read_text())
    assert about[key] != value
    path.write_text(json.dumps({**about, key: value}))
    with ld.Dock(filled.path) as fresh:
        assert_searched_without(fresh, 100, "not what was written")
        fresh.optimize()
        assert_sketched(fresh)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("correlation", "0.1"),
        ("noise_share", None),
        ("predicted", float("inf")),
        ("specs", True),
        ("stages", [2**70]),
        ("stages", "ab"),
        ("features", [512]),
    ],
)
def test_facts_that_are_no_numbers_are_damage(filled, key, value):
    """Though their checksum is right, as one who means harm writes it."""
    (path,) = filled.path.glob("sketches/*/model.json")
    about = {**json.loads(path.read_text()), key: value}
    facts = {label: about[label] for label in about if label not in ("layout", "sha256")}
    about["sha256"]["facts"] = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    path.write_text(json.dumps(about))
    with ld.Dock(filled.path) as fresh:
        assert_searched_without(fresh, 100, str(path.parent))
        assert not fresh.verify().ok
        fresh.optimize()
        assert_sketched(fresh)


def test_the_model_of_another_space_is_none(filled):
    ingested(filled, 100, seed=0, gamma=0.3)
    ingested(filled, 100, seed=0, dim=4)
    change(filled, "update sketch_models set name = (select name from sketch_models where space_id = 1)")
    with ld.Dock(filled.path) as fresh:
        for one in (user_spec(3, 0.3), user_spec(4, GAMMA)):
            with pytest.warns(SketchWarning, match="it is one of gamma 0.1 and 3 coordinates"):
                found = fresh.search(one)
            assert found.method == "exact"
            assert_certified_is_exact([found], [fresh.search(one, method="exact")])
            assert sum(space.damaged for space in fresh.stats().spaces) == 200
        assert {problem.part for problem in fresh.verify().problems} == {"sketch"}
        fresh.optimize()
        assert fresh.verify().ok
        for one in (user_spec(3, GAMMA), user_spec(3, 0.3), user_spec(4, GAMMA)):
            result = fresh.search(one)
            assert result.method == "certified"
            assert_certified_is_exact([result], [fresh.search(one, method="exact")])


@pytest.mark.parametrize("layout", [1, 2, 99])
def test_a_model_of_another_layout_is_left_alone_until_it_is_due(filled, layout):
    (path,) = filled.path.glob("sketches/*/model.json")
    about = json.loads(path.read_text())
    path.write_text(json.dumps({**about, "layout": layout}))
    with ld.Dock(filled.path) as fresh:
        assert fresh.search(users()[0]).method == "exact"
        assert_searches(fresh)
        fresh.optimize()
        assert_sketched(fresh)


# Writers that are stopped


def left_behind(dock):  # noqa: F811
    """What writers leave that are killed."""
    (segment,) = (dock.path / "specs").iterdir()
    left = [
        dock.path / "sketches" / ".incoming-dead",
        dock.path / "sketches" / "unnamed",
        segment / ".incoming-dead",
        segment / "sketch-unnamed",
    ]
    for path in left:
        path.mkdir()
        (path / "codes.npy").write_bytes(b"left behind")
    return left


STEPS = {
    "train_model": "learndock.dock.sketch_training.train_model",
    "write_model": "learndock.dock.sketching.write_model",
    "make_sketches": "learndock.dock.sketching.make_sketches",
    "write_sketches": "learndock.dock.sketching.write_sketches",
    "set_sketch_model": "learndock.dock.rows.set_sketch_model",
}


def test_what_a_killed_writer_left_is_no_problem_and_optimize_clears_it(filled):
    left = left_behind(filled)
    report = filled.verify()
    assert report.ok
    assert report.orphans == tuple(sorted(left))
    assert_searches(filled)
    filled.optimize()
    assert_sketched(filled)


@pytest.mark.parametrize(
    ("step", "how"),
    [
        *((step, KeyboardInterrupt) for step in STEPS),
        ("train_model", MemoryError),
        ("train_model", ValueError),
        ("write_model", OSError(28, "No space left on device")),
        ("write_sketches", OSError(28, "No space left on device")),
    ],
)
def test_stopped_anywhere_an_ingest_stands_and_optimize_finishes_it(filled, small, step, how):
    """The second ingest makes another model; only a signal reaches the caller, who has no ids then."""

    def stopped(*_, **__):
        raise how

    points, weights = made_specs(400, 3, seed=1, ragged=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(STEPS[step], stopped)
        if how is KeyboardInterrupt:
            with pytest.raises(KeyboardInterrupt):
                filled.ingest(points=points, weights=weights, gamma=GAMMA)
        else:
            assert len(filled.ingest(points=points, weights=weights, gamma=GAMMA)) == 400
    assert len(filled) == 500
    found = assert_searches(filled, k=20)
    assert {one.method for one in found} == {"certified"}  # by the model before
    with ld.Dock(filled.path) as fresh:
        assert_searches(fresh, k=20)
        assert fresh.verify().ok
    filled.optimize()
    assert_sketched(filled)
    assert view(filled).model.facts.specs == 500


@pytest.mark.parametrize("after", [1, 2])
def test_stopped_between_two_sketches_of_one_model(filled, small, after):
    """What was written is in the way of nothing, in this process and in another."""
    small.setattr("learndock.dock.writer.SKETCHED_AT_ONCE", 10**6)
    for seed in (1, 2, 3):
        ingested(filled, 60, seed=seed)
    write, left = sketching.write_sketches, [after]

    def stopped(*args):
        write(*args)
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sketching, "write_sketches", stopped)
        with pytest.raises(KeyboardInterrupt):
            filled.optimize()
    assert_searches(filled)
    with ld.Dock(filled.path) as fresh:
        assert_searches(fresh)
        assert fresh.verify().ok
    filled.optimize()
    assert_sketched(filled)


def test_an_interrupt_right_after_a_commit_leaves_a_whole_dock(filled, interrupt_after_commit):
    points, weights = made_specs(400, 3, seed=1, ragged=True)
    for commits in (3, 4):
        interrupt_after_commit(filled, commits)
        with contextlib.suppress(KeyboardInterrupt):
            filled.ingest(points=points, weights=weights, gamma=GAMMA)
        assert_searches(filled)
        assert filled.verify().ok
    filled.optimize()
    assert_sketched(filled)


# Spaces that are hard to sketch


def alike(points, weights, gamma, *, count=70):
    return [np.array(points)] * count, [np.array(weights)] * count, gamma


def drawn(dim, gamma, *, count=70, scale=1.0, weight=0.25):
    points = scale * np.random.default_rng(0).normal(size=(count, 4, dim))
    return list(points), [np.full(4, weight)] * count, gamma


DEGENERATE = {
    "all specifications identical": alike(np.ones((3, 2)), np.full(3, 1 / 3), 0.5),
    "one point each, the same": alike(np.zeros((1, 1)), np.ones(1), 0.5),
    "fewer points than landmarks": (list(np.round(drawn(1, 0.5)[0])), [np.full(4, 0.25)] * 70, 0.5),
    "one coordinate": drawn(1, 0.5),
    "one specification": drawn(3, 0.5, count=1),
    "two specifications": drawn(3, 0.5, count=2),
    "a huge gamma": drawn(3, 1e9),
    "a tiny gamma": drawn(3, 1e-12),
    "weights that cancel": alike(np.zeros((2, 3)), [1.0, -1.0], 0.5),
    "no weight at all": drawn(3, 0.5, weight=0.0),
    "huge weights": drawn(3, 0.5, weight=1e37),
    "far apart": drawn(3, 0.5, scale=1e30),
}


@pytest.mark.parametrize("what", DEGENERATE)
def test_a_degenerate_space_is_sketched_and_searched(dock, what):  # noqa: F811
    rng = np.random.default_rng(0)
    points, weights, gamma = DEGENERATE[what]
    dock.ingest(points=points, weights=weights, gamma=gamma)
    dock.optimize()
    facts = view(dock).model.facts
    assert 0 <= facts.noise_share <= 1
    assert 0 <= facts.correlation <= 1
    assert 1 <= facts.predicted <= max(10, len(points))
    dim = points[0].shape[1]
    asking = [
        user(np.float32(points[0]), np.float32(weights[0]), gamma),
        user(points[-1] + 0.1, weights[-1], gamma),
        user(rng.normal(size=(3, dim)), np.full(3, 1 / 3), gamma),
    ]
    for k in (1, 10, 100):
        exact = dock.search_many(asking, k=k, method="exact")
        assert_certified_is_exact(dock.search_many(asking, k=k), exact)
        assert_approximate_is_true(dock.search_many(asking, k=k, method="approximate", budget=3), exact)
    assert dock.verify().ok


def test_training_is_repeatable(filled):
    one, two = (train_model(view(filled), GAMMA, most_coordinates=16) for _ in range(2))
    assert one.facts == two.facts
    assert np.array_equal(one.map, two.map)
    assert np.array_equal(one.landmarks, two.landmarks)


@pytest.mark.parametrize(
    ("spread", "gamma", "tried"),
    [
        (0.01, 0.1, [8, 16, 32]),  # families: a few prove enough
        (0.3, 0.3, [8, 16, 32, 64]),  # points rather far apart: some prove too little
        (1.0, 1e3, [8, 16, 32]),  # strangers: nothing proves much
    ],
)
def test_the_last_number_of_landmarks_is_tried_only_where_it_may_help(dock, small, spread, gamma, tried):  # noqa: F811
    from learndock.dock import sketch_training

    counts, tries = [], sketch_training._tried
    small.setattr(sketch_training, "_LANDMARKS", (8, 16, 32, 64))
    small.setattr(sketch_training, "_tried", lambda *of: counts.append(len(of[1])) or tries(*of))
    rng = np.random.default_rng(4)
    centres = rng.normal(size=(5, 6, 3))
    points = centres[rng.integers(5, size=800)] + spread * rng.normal(size=(800, 6, 3))
    dock.ingest(points=points, weights=np.full((800, 6), 1 / 6), gamma=gamma)
    (space,) = dock.spaces()
    counts.clear()
    model = train_model(view(dock, space), gamma, most_coordinates=16)
    assert counts == tried[: len(counts)]
    assert (64 in counts) == (64 in tried)
    assert (model.facts.noise_share > 0.5) == (gamma == 1e3)


@pytest.mark.parametrize("gamma", [1e-8, 0.1, 10.0])
@pytest.mark.parametrize("landmarks", [8, 250])
def test_the_map_of_a_model_bounds(filled, small, gamma, landmarks):
    """A K A^T <= I for the kernel matrix K of the landmarks, so ill-conditioned as it may be."""
    small.setattr("learndock.dock.sketch_training._LANDMARKS", (landmarks,) * 3)
    ingested(filled, 400, seed=3, gamma=gamma)
    model = next(view(filled, space).model for space in filled.spaces() if space.gamma == gamma)
    assert len(model.landmarks) == landmarks
    K = reference.kernel(model.landmarks, model.landmarks, gamma)
    values = np.linalg.eigvalsh(model.map @ K @ model.map.T)
    assert values[-1] < 1
    assert values[0] > -1e-9


def test_a_model_whose_proofs_have_become_weak_is_replaced(small, tmp_path):
    from learndock.dock import sketch_training

    small.setattr(sketch_training, "_LANDMARKS", (16, 64))
    rng = np.random.default_rng(3)

    def families(centres, count):
        points = centres[rng.integers(len(centres), size=count)][:, None] + 0.3 * rng.normal(size=(count, 8, 3))
        return points, np.full((count, 8), 1 / 8)

    here = rng.normal(size=(5, 3))
    for moved, same in ((0.0, True), (20.0, False)):
        with ld.Dock(tmp_path / str(moved)) as dock:  # noqa: F811
            points, weights = families(here, 600)
            dock.ingest(points=points, weights=weights, gamma=1.0)
            dock.optimize()
            before = models(dock)
            # No landmark lies near those that are moved: of them the model proves nothing.
            points, weights = families(here + moved, 500)
            dock.ingest(points=points, weights=weights, gamma=1.0)
            dock.optimize()
            assert (models(dock) == before) is same
            asking = ld.RKMETableSpecification(points[0] + 0.01, weights[0], gamma=1.0)
            by_bounds, by_scan = (dock.search(asking, method=method) for method in ("certified", "exact"))
            assert by_bounds.method == "certified"
            assert [hit.id for hit in by_bounds.singles] == [hit.id for hit in by_scan.singles]
