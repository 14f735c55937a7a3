"""A space searched under another gamma than its own: as if its specifications had that one, and never silent."""

import contextlib
import sqlite3
import stat

import numpy as np
import pytest

import learndock as ld
import reference
from command_line import json_of, learndock
from filled_docks import add, checks, described, dock, spec, written_zip  # noqa: F401
from learndock.checker import Status
from learndock.dock import folding
from learndock.errors import DockError, InvalidArgument, ReadOnlyDock, SketchWarning
from sketched_views import answer, small_numbers
from spec_batches import distances_to, made_specs

OWN, SEARCH, DIM = 50.0, 0.1, 3


@pytest.fixture
def small():
    """Spaces of a few specifications are sketched when the dock is optimized."""
    with small_numbers() as patch:
        patch.setattr(folding, "SEGMENT_SPECS", 50)
        patch.setattr("learndock.dock.writer.SKETCHED_AT_ONCE", 10**6)
        yield patch


@pytest.fixture
def twin(tmp_path):
    """A dock whose specifications have the search gamma for their own."""
    with ld.Dock(tmp_path / "twin") as opened:
        yield opened


def ingested(docks, count=80, *, seed=0):
    """The same specifications in the first dock under OWN, in the second under SEARCH; ids are the same."""
    points, weights = made_specs(count, DIM, seed=seed, ragged=True)
    gammas = (OWN, SEARCH)[: len(docks)]
    ids = [one.ingest(points=points, weights=weights, gamma=gamma) for one, gamma in zip(docks, gammas, strict=True)]
    assert ids[0] == ids[-1]
    return ids[0]


def set_gamma(dock, value=SEARCH):  # noqa: F811
    dock.set_search_gamma(value, gamma=OWN, input_shape=DIM)


def users(gamma, count=3):
    made = []
    for seed in range(count):
        rng = np.random.default_rng(100 + seed)
        made.append(ld.RKMETableSpecification(rng.normal(size=(7, DIM)), rng.dirichlet(np.ones(7)), gamma=gamma))
    return made


def assert_searched_as(dock, twin, **asked):  # noqa: F811
    """Each result is that of the other dock to the last bit, and has the sentence."""
    results = dock.search_many(users(OWN), **asked)
    for found, expected in zip(results, twin.search_many(users(SEARCH), **asked), strict=True):
        assert answer(found) == answer(expected)
        assert [hit.score for hit in found.singles] == [hit.score for hit in expected.singles]
        facts = ("method", "certified", "proven_ranks", "gap", "chance", "compared")
        assert [getattr(found, name) for name in facts] == [getattr(expected, name) for name in facts]
        assert_said(found)
        assert found.warnings[1:] == expected.warnings
    return results


def assert_said(result, gamma=SEARCH):
    assert (
        f"compared under gamma {gamma:g}, which the dock's owner set for searches of gamma {OWN:g}"
        in (result.warnings[0])
    )
    assert result.warnings[0] in repr(result)


def table_is_there(dock):  # noqa: F811
    with contextlib.closing(sqlite3.connect(dock.path / "catalog.sqlite")) as catalog:
        return bool(catalog.execute("SELECT 1 FROM sqlite_master WHERE name = 'search_gammas'").fetchall())


@pytest.mark.parametrize("rule", ["distance", "greedy", "auto", "greedy_dock"])
def test_searches_are_those_of_a_dock_of_that_gamma(dock, twin, rule):  # noqa: F811
    ingested((dock, twin))
    before = dock.search(users(OWN)[0], rule=rule)
    assert before.warnings == ()
    set_gamma(dock)
    results = assert_searched_as(dock, twin, rule=rule, mixture=4)
    assert any(found.mixture is not None for found in results)
    assert answer(dock.search(users(OWN)[0], rule=rule)) != answer(before)


def test_distances_are_those_written_out(dock):  # noqa: F811
    points, weights = made_specs(40, DIM)
    ids = dock.ingest(points=points, weights=weights, gamma=OWN)
    set_gamma(dock)
    found = dock.search(users(OWN)[0], k=40)
    expected = distances_to(users(SEARCH)[0], points, weights)
    np.testing.assert_allclose([hit.mmd2 for hit in found.singles], np.sort(expected), rtol=0, atol=1e-12)
    assert [hit.id for hit in found.singles] == [ids[i] for i in np.argsort(expected)]


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"method": "exact"},
        {"method": "approximate", "budget": 6},
        {"certificate": "chance", "delta": 1e-3},
        {"rule": "greedy", "mixture": 3},
    ],
)
def test_searches_by_sketches_too(dock, twin, small, asked):  # noqa: F811
    ids = ingested((dock, twin), 120)
    ingested((dock, twin), 30, seed=1)
    set_gamma(dock)
    for one in (dock, twin):
        one.optimize()
        one.delete(ids[3:9])
    ingested((dock, twin), 9, seed=2)
    results = assert_searched_as(dock, twin, **asked)
    if not asked:
        assert {found.method for found in results} == {"certified"}
        assert {found.work["unsketched"] for found in results} == {9}
    report = dock.verify()
    assert report.problems == report.orphans == ()


def test_set_changed_and_unset(dock, twin, small):  # noqa: F811
    ingested((dock, twin), 100)
    dock.optimize()
    twin.optimize()
    plain = [answer(found) for found in dock.search_many(users(OWN))]
    set_gamma(dock, 0.7)
    assert_said(dock.search(users(OWN)[0]), 0.7)
    assert dock.search(users(OWN)[0]).method == "exact"
    assert not any((dock.path / "sketches").iterdir())
    assert not [path for path in (dock.path / "specs").glob("*/*") if path.is_dir()]
    dock.optimize()
    assert dock.search(users(OWN)[0]).method == "certified"
    assert dock.stats().spaces[0].search_gamma == 0.7
    set_gamma(dock)
    dock.optimize()
    assert_searched_as(dock, twin)
    generation = dock._store.view(next(iter(dock.spaces()))).generation
    set_gamma(dock)  # as it is: sketches stay
    assert dock._store.view(next(iter(dock.spaces()))).generation == generation
    assert dock.search(users(OWN)[0]).method == "certified"
    set_gamma(dock, None)
    results = dock.search_many(users(OWN))
    assert [answer(found) for found in results] == plain
    assert not any(found.warnings for found in results)
    dock.optimize()
    assert [answer(found) for found in dock.search_many(users(OWN))] == plain
    report = dock.verify()
    assert report.problems == report.orphans == ()


def test_folds_and_files_keep_their_own_gamma(dock, twin, small):  # noqa: F811
    ids = ingested((dock, twin), 60)
    set_gamma(dock)
    for seed in (1, 2):
        ingested((dock, twin), 20, seed=seed)
        assert_searched_as(dock, twin)
    for one in (dock, twin):
        one.delete(ids[:30])
        one.optimize()
    assert_searched_as(dock, twin)
    assert dock.specification(ids[40]).gamma == OWN
    assert dock.verify().problems == ()
    (segment,) = (dock.path / "specs").iterdir()
    held = dock.specification(ids[30])
    own = reference.inner(held.points, held.weights, held.points, held.weights, OWN)
    assert np.load(segment / "self_inner.npy")[0] == pytest.approx(own, rel=1e-12)
    set_gamma(dock, None)
    with ld.Dock(dock.path.parent / "fresh") as fresh:
        kept = [dock.specification(id) for id in ids[30:]]
        fresh.ingest(points=[one.points for one in kept], weights=[one.weights for one in kept], gamma=OWN)
        expected = {hit.mmd2 for hit in fresh.search(users(OWN)[0], k=30).singles}
    assert expected <= {hit.mmd2 for hit in dock.search(users(OWN)[0], k=70).singles}


def test_norms_lie_with_the_sketches_and_damage_is_found(dock, twin, small, monkeypatch):  # noqa: F811
    ingested((dock, twin), 100)
    set_gamma(dock)
    dock.optimize()
    twin.optimize()
    (file,) = (dock.path / "specs").glob("*/sketch-*/self_inner.npy")
    np.testing.assert_array_equal(np.load(file), np.load(next((twin.path / "specs").glob("*/self_inner.npy"))))
    with monkeypatch.context() as patch, ld.Dock(dock.path, readonly=True) as reader:
        patch.setattr("learndock.kernels.PackedEmbeddings.self_inner", None)  # nothing is computed again
        assert_searched_as(reader, twin)
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert any("self_inner" in problem.message for problem in dock.verify().problems)
    np.save(file, np.zeros(3))
    with ld.Dock(dock.path, readonly=True) as reader, pytest.warns(SketchWarning, match="self_inner"):
        assert answer(reader.search(users(OWN)[0])) == answer(twin.search(users(SEARCH)[0]))
    dock.optimize()
    assert dock.verify().problems == ()
    next((dock.path / "specs").glob("*/sketch-*/self_inner.npy")).unlink()
    with ld.Dock(dock.path, readonly=True) as reader:
        assert_searched_as(reader, twin)


def test_a_space_of_its_own(dock):  # noqa: F811
    ingested((dock,), 20)
    points, weights = made_specs(20, DIM, seed=5)
    dock.ingest(points=points, weights=weights, gamma=1.0)
    set_gamma(dock)
    plain, said = dock.search_many([users(1.0)[0], users(OWN)[0]])
    assert plain.warnings == ()
    assert_said(said)
    assert plain.skipped == said.skipped == 20
    nothing = dock.search(users(SEARCH)[0])
    assert nothing.singles == nothing.warnings == ()


def test_empty_results_say_it_too(dock):  # noqa: F811
    ids = ingested((dock,), 5)
    set_gamma(dock)
    dock.delete(ids)
    found = dock.search(users(OWN)[0])
    assert found.singles == ()
    assert_said(found)


def test_readonly_docks_and_copies(dock, twin, small, tmp_path):  # noqa: F811
    ingested((dock, twin), 70)
    ingested((dock, twin), 7, seed=1)
    set_gamma(dock)
    dock.optimize()
    twin.optimize()
    ingested((dock, twin), 3, seed=2)
    copy = dock.backup(tmp_path / "copy")
    with ld.Dock(copy) as opened:
        # A copy has no sketches until it is optimized.
        exact = twin.search_many(users(SEARCH), method="exact")
        found = opened.search_many(users(OWN))
        assert [answer(one) for one in found] == [answer(one) for one in exact]
        assert {one.method for one in found} == {"exact"}
        opened.optimize()
        twin.optimize()
        assert_searched_as(opened, twin)
        assert opened.stats().spaces[0].search_gamma == SEARCH
    dock.close()
    for path in sorted(copy.rglob("*")):
        path.chmod(stat.S_IRUSR | (stat.S_IXUSR if path.is_dir() else 0))
    with ld.Dock(copy, readonly=True) as reader:
        assert_searched_as(reader, twin)
        with pytest.raises(ReadOnlyDock):
            set_gamma(reader, None)
    for path in sorted(copy.rglob("*")):
        path.chmod(0o700)


def test_an_older_catalog_has_none(dock):  # noqa: F811
    ingested((dock,), 20)
    with contextlib.closing(sqlite3.connect(dock.path / "catalog.sqlite")) as catalog, catalog:
        catalog.execute("DROP TABLE search_gammas")
    dock.close()
    with ld.Dock(dock.path, readonly=True) as reader:
        assert reader.search(users(OWN)[0]).warnings == ()
    with ld.Dock(dock.path) as opened:
        opened.search(users(OWN)[0])
        assert not table_is_there(opened)
        set_gamma(opened)
        assert table_is_there(opened)
        assert_said(opened.search(users(OWN)[0]))


def test_other_processes_see_it(dock, twin):  # noqa: F811
    ingested((dock, twin))
    with ld.Dock(dock.path) as other:
        assert other.search(users(OWN)[0]).warnings == ()
        set_gamma(dock)
        assert_searched_as(other, twin)
        set_gamma(dock, None)
        assert other.search(users(OWN)[0]).warnings == ()


def test_submissions_and_updates(dock, add, checks, tmp_path):  # noqa: F811
    def submitted(seed, gamma=OWN):
        return written_zip(tmp_path / f"{seed}.zip", spec(seed, gamma=gamma), described(), note=f"{seed}")

    first = dock.submit(submitted(1)).id
    set_gamma(dock)
    second = dock.submit(submitted(2)).id

    def found(user):
        return {hit.id: hit.mmd2 for hit in dock.search(user).singles}

    def expected(user, docked):
        return reference.mmd2(*((one.points, one.weights) for one in (spec(user), spec(docked))), SEARCH)

    near = found(spec(7, gamma=OWN))
    assert near == pytest.approx({first: expected(7, 1), second: expected(7, 2)}, abs=1e-6)
    dock.update(first, path=submitted(3))
    assert found(spec(7, gamma=OWN))[first] == pytest.approx(expected(7, 3), abs=1e-6)
    dock.optimize()
    assert found(spec(7, gamma=OWN)) == pytest.approx({first: expected(7, 3), second: expected(7, 2)}, abs=1e-6)
    checks.status = Status.NONUSABLE
    dock.update(second)
    assert list(found(spec(7, gamma=OWN))) == [first]
    assert dock.verify().problems == ()


@pytest.mark.filterwarnings("ignore::learndock.errors.ScaleWarning")
def test_fits_is_not_said(dock, checks, tmp_path):  # noqa: F811
    def drawn(seed):
        rows = np.random.default_rng(seed).normal(scale=0.1, size=(300, DIM))  # near each other, even under OWN
        return ld.RKMETableSpecification.fit(rows, n_points=10, gamma=OWN, random_state=seed)

    dock.submit(written_zip(tmp_path / "one.zip", drawn(1), described(), note="1"))
    assert dock.search(drawn(2)).singles[0].fits is not None
    set_gamma(dock)
    found = dock.search(drawn(2))
    assert found.singles[0].fits is None
    assert "whether anything fits is not said" in found.warnings[0]
    set_gamma(dock, None)
    assert dock.search(drawn(2)).singles[0].fits is not None


@pytest.mark.filterwarnings("ignore::learndock.errors.ScaleWarning")
def test_rows_are_compared_under_it(dock, twin):  # noqa: F811
    ingested((dock, twin))
    set_gamma(dock)
    rows = np.random.default_rng(3).normal(size=(40, DIM))
    found, expected = dock.search_rows(rows, gamma=OWN), twin.search_rows(rows, gamma=SEARCH)
    assert answer(found) == answer(expected)
    assert_said(found)


def test_median(dock):  # noqa: F811
    points, weights = made_specs(80, DIM)
    dock.ingest(points=points, weights=weights, gamma=OWN)
    set_gamma(dock, "median")
    every = np.concatenate(points)
    median = np.median(((every[:, None] - every) ** 2).sum(axis=2))
    (one,) = dock.stats().spaces
    assert one.search_gamma == pytest.approx(1 / median, rel=0.1)
    assert_said(dock.search(users(OWN)[0]), one.search_gamma)


def test_median_takes_points_that_differ(dock):  # noqa: F811
    ids = dock.ingest(points=np.zeros((6, 4, DIM)), weights=np.full((6, 4), 0.25), gamma=OWN)
    with pytest.raises(InvalidArgument, match="points that differ"):
        set_gamma(dock, "median")
    dock.delete(ids)
    with pytest.raises(InvalidArgument, match="at least two docked points"):
        set_gamma(dock, "median")
    assert dock.stats().spaces == ()


@pytest.mark.parametrize("value", [0, -1.0, np.nan, np.inf, "mean", True, [1.0], OWN, 1e301])
def test_what_is_no_search_gamma_is_refused(dock, value):  # noqa: F811
    ingested((dock,), 5)
    with pytest.raises(InvalidArgument, match="search_gamma"):
        set_gamma(dock, value)
    assert dock.search(users(OWN)[0]).warnings == ()
    assert dock.history()[0].action == "ingest"


def test_the_space_must_be_there(dock):  # noqa: F811
    ingested((dock,), 5)
    for gamma, shape in ((OWN * 2, DIM), (OWN, DIM + 1), (OWN, (DIM, 1))):
        with pytest.raises(InvalidArgument, match="no specifications of gamma"):
            dock.set_search_gamma(SEARCH, gamma=gamma, input_shape=shape)
    for shape in (0, -1, 2.5, "3", (), (3, 0), None):
        with pytest.raises(InvalidArgument, match="input_shape"):
            dock.set_search_gamma(SEARCH, gamma=OWN, input_shape=shape)
    with pytest.raises(InvalidArgument, match="gamma"):
        dock.set_search_gamma(SEARCH, gamma=-1, input_shape=DIM)
    dock.set_search_gamma(SEARCH, gamma=OWN, input_shape=[DIM])
    assert_said(dock.search(users(OWN)[0]))


def test_a_change_that_fails_changes_nothing(dock, small, monkeypatch):  # noqa: F811
    ingested((dock,), 60)
    dock.optimize()
    before = dock.search(users(OWN)[0])
    with monkeypatch.context() as patch:
        patch.setattr("learndock.dock.audit.record", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "full")))
        with pytest.raises(DockError, match="nothing was changed"):
            set_gamma(dock)
    after = dock.search(users(OWN)[0])
    assert answer(after) == answer(before)
    assert (after.method, after.warnings) == (before.method, before.warnings)
    assert not any("compared under" in warning for warning in after.warnings)


def test_history_and_stats_tell(dock, small):  # noqa: F811
    ingested((dock,), 60)
    set_gamma(dock)
    dock.optimize()
    record = dock.history()[0]
    assert (record.action, record.id, record.count, record.actor) == ("search_gamma", None, 0, "tester")
    assert record.message == "specifications 3 of gamma 50.0: searched under 0.1"
    stats = dock.stats()
    assert stats.to_frame()["search_gamma"].tolist() == [SEARCH]
    assert "gamma 50, search gamma 0.1" in repr(stats)
    assert "search gamma" in stats._repr_html_()
    # At its own gamma this space does not rank.
    assert stats.spaces[0].noise_share < 0.8
    assert stats.spaces[0].advice is None or f"gamma {SEARCH:g}" in stats.spaces[0].advice
    dock.close()
    (one,) = json_of("stats", dock.path)
    assert one["search_gamma"] == SEARCH
    assert "search gamma: 0.1" in learndock("stats", dock.path).stdout
    assert "search_gamma" in learndock("history", dock.path).stdout
    with ld.Dock(dock.path) as opened:
        set_gamma(opened, None)
        assert opened.history()[0].message == "specifications 3 of gamma 50.0: searched under their own"
        assert "search gamma" not in repr(opened.stats())
