"""Searches that keep to a semantic filter, against the list of the dock gone through one by one."""

from __future__ import annotations

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import learndock as ld
from filled_docks import add, checks, described, dock, spec  # noqa: F401
from learndock.checker import Status
from learndock.dock import semantic_index
from learndock.dock.tables import tags
from learndock.errors import InvalidArgument, SemanticError

pytestmark = pytest.mark.usefixtures("either_catalog")

SCENARIOS = ("Business", "Health", "Nature", "Politics")
LICENSES = ("MIT", "Apache-2.0")
NAMES = ("House prices", "Readmission risk", "Forest cover")
QUERIES = [
    ld.SemanticQuery(scenario="Health"),
    ld.SemanticQuery(scenario=["Business", "Politics"], license="MIT"),
    ld.SemanticQuery(data="Table"),
    ld.SemanticQuery(data="Image"),
    ld.SemanticQuery(license="Apache-2.0", name="house"),
    ld.SemanticQuery(name="readmision risk"),
    ld.SemanticQuery(name="forest", scenario="Nature"),
]
USER = spec(99)


def ids(result):
    return [hit.id for hit in result.singles]


def fits(entry, query):
    """Whether classes and tags of an entry are those asked for, by the reference's rule."""
    if entry.semantic is None:
        return False
    held = {key: entry.semantic[key]["Values"] for key in (*query.classes, *query.tags)}
    return all(set(held[key]) & set(asked) for key, asked in {**query.classes, **query.tags}.items())


def held(entry, text):
    """Whether name or description of an entry hold a text, whatever its case."""
    return any(text.lower() in part.lower() for part in (entry.name, entry.semantic["Description"]["Values"]))


def expected(dock, query, status="usable"):  # noqa: F811
    """Ids that a search with the query may return."""
    if query is None:
        return {entry.id for entry in dock.list(status=status)}
    if not query.texts:
        return {entry.id for entry in dock.list(status=status) if fits(entry, query)}
    return {hit.id for hit in dock.search_semantic(query, k=1000, status=status).hits}


def change(dock, add, rng):  # noqa: F811
    """Add, update or delete something, or fold."""
    there = [entry.id for entry in dock.list() if entry.semantic is not None]
    what = rng.choice(["add", "add", "update", "delete", "ingest", "optimize"])
    parts = {"scenario": rng.sample(SCENARIOS, rng.choice([1, 2])), "license": rng.choice(LICENSES)}
    if what == "ingest":
        dock.ingest(points=[USER.points] * 2, weights=[USER.weights] * 2, gamma=0.1)
    elif what == "optimize":
        dock.optimize()
    elif what == "add" or not there:
        add(rng.choice(NAMES), status=rng.choice([Status.USABLE, Status.USABLE, Status.NONUSABLE]), **parts)
    elif what == "update":
        dock.update(rng.choice(there), semantic=described(rng.choice(NAMES), **parts))
    else:
        dock.delete(rng.choice(there))


@pytest.mark.parametrize("most_changed", [0, 10_000], ids=["made anew", "changed"])
def test_filters_stay_true_through_changes(dock, add, checks, monkeypatch, most_changed):  # noqa: F811
    monkeypatch.setattr(semantic_index, "_MOST_CHANGED", most_changed)
    rng = random.Random(0)
    for _ in range(20):
        change(dock, add, rng)
    for _ in range(25):
        change(dock, add, rng)
        for query in QUERIES:
            for status in ("usable", "any"):
                found = ids(dock.search(USER, semantic=query, status=status, k=1000, mixture=0))
                assert len(found) == len(set(found))
                assert set(found) == expected(dock, query, status), (query, status)


@pytest.mark.sqlite  # seconds, of what is above the catalog
def test_any_query_lets_through_what_the_rule_written_out_does(dock, add):  # noqa: F811
    rng = random.Random(3)
    values = {"task": ("Classification", "Regression"), "license": LICENSES, "library": ("PyTorch", "Scikit-learn")}
    for i in range(40):
        parts = {key: rng.choice(all_of_it) for key, all_of_it in values.items()}
        scenarios = rng.sample(SCENARIOS, rng.choice([1, 2, 3]))
        status = Status.NONUSABLE if i % 7 == 3 else Status.USABLE
        add(rng.choice(NAMES), rng.choice(NAMES), scenario=scenarios, status=status, **parts)
    values |= {"scenario": SCENARIOS, "data": ("Table", "Image"), "model": ("Base Model", "Others")}
    sizes = set()
    for _ in range(80):
        asked = {key: rng.sample(all_of_it, rng.choice([1, 1, 2])) for key, all_of_it in values.items()}
        asked = {key: asked[key] for key in rng.sample(sorted(asked), rng.choice([0, 1, 1, 2, 3]))}
        texts = {key: rng.choice(["", "house", "RISK", "e", "Forest cover"]) for key in ("name", "description")}
        query = ld.SemanticQuery(**asked, **texts)
        for status in ("usable", "any"):
            allowed = [entry for entry in dock.list(status=status) if fits(entry, query)]
            exact = {entry.id for entry in allowed if all(held(entry, text) for text in query.texts)}
            result = dock.search_semantic(query, k=1000, status=status)
            if not exact and result.hits:  # what is similar is looked for, and test_text_search tells how
                assert result.kind == "similar"
                assert {hit.id for hit in result.hits} <= {entry.id for entry in allowed}
                continue
            assert {hit.id for hit in result.hits} == exact, query
            assert {entry.id for entry in dock.list(semantic=query, status=status)} == exact
            assert dock.count(semantic=query, status=status) == len(exact)
            assert set(ids(dock.search(USER, semantic=query, status=status, k=1000, mixture=0))) == exact
            sizes.add(len(exact))
    assert {0, 1, 40} < sizes
    assert len(sizes) > 15


def test_another_process_changes_what_a_filter_lets_through(dock, add):  # noqa: F811
    moved, stays = (add(scenario=["Health"]) for _ in range(2))
    query = ld.SemanticQuery(scenario="Health")
    assert set(ids(dock.search(USER, semantic=query))) == {moved, stays}
    with ld.Dock(dock.path) as other:
        other.update(moved, semantic=described(scenario=["Nature"]))
    assert ids(dock.search(USER, semantic=query)) == [stays]


def test_a_change_reads_only_what_changed(dock, add, monkeypatch):  # noqa: F811
    for _ in range(3):
        add(scenario=["Health"])
    query = ld.SemanticQuery(scenario="Health")
    dock.search(USER, semantic=query)
    asked = []

    def holders(key, value, made=semantic_index._holders):
        asked.append((key, value))
        return made(key, value)

    monkeypatch.setattr(semantic_index, "_holders", holders)
    dock.ingest(points=[USER.points], weights=[USER.weights], gamma=0.1)
    dock.delete(ids(dock.search(USER, semantic=query))[0])
    assert len(ids(dock.search(USER, semantic=query))) == 2
    assert asked == []
    added = add(scenario=["Health"])
    assert added in ids(dock.search(USER, semantic=query))
    assert asked == [("Scenario", "Health")]


def test_never_fewer_than_k_where_k_match(dock, add):  # noqa: F811
    for i in range(40):
        add(seed=i, scenario=["Health"] if i % 8 == 0 else ["Nature"])
    everywhere = ids(dock.search(USER, k=40))
    for scenario, count in (("Health", 5), ("Nature", 35), (["Health", "Nature"], 40)):
        query = ld.SemanticQuery(scenario=scenario)
        matching = expected(dock, query)
        assert len(matching) == count
        for k in (1, 3, count, 100):
            found = ids(dock.search(USER, semantic=query, k=k))
            assert found == [id for id in everywhere if id in matching][:k]


@pytest.mark.sqlite  # seconds, of what is above the catalog
def test_filters_hold_where_bounds_leave_out_most(tmp_path):
    rng = np.random.default_rng(0)
    points = (4 * rng.normal(size=(10_000, 1, 2)) + 0.3 * rng.normal(size=(10_000, 4, 2))).astype(np.float32)
    with ld.Dock(tmp_path / "dock") as made:
        names = made.ingest(points=points, weights=np.full((10_000, 4), 0.25), gamma=0.5)
        held = np.array(["Politics", "Health", "Business"])[np.searchsorted([0.001, 0.02], rng.random(10_000))]
        with made._catalog.writing() as connection:
            rows = [
                {"key": "Scenario", "value": value, "learnware_id": int(id)}
                for id, value in zip(names, held, strict=True)
            ]
            connection.execute(tags.insert(), rows)
    users = [ld.RKMETableSpecification(points[i] + 0.05, np.full(4, 0.25), gamma=0.5) for i in range(6)]
    asked = [None, *(ld.SemanticQuery(scenario=value) for value in ("Politics", "Health", "Business")), None, None]
    with ld.Dock(tmp_path / "dock") as opened:
        deleted = ids(opened.search(users[3], semantic=asked[3], k=3))
        opened.delete(deleted)
        left = {value: int((held == value).sum()) - 3 * (value == "Business") for value in set(held)}
        for k in (1, 10, 300):
            certified = opened.search_many(users, semantic=asked, k=k, mixture=0)
            exact = opened.search_many(users, semantic=asked, k=k, mixture=0, method="exact")
            for query, one, other in zip(asked, certified, exact, strict=True):
                assert one.certified
                assert ids(one) == ids(other)
                assert [hit.mmd2 for hit in one.singles] == [hit.mmd2 for hit in other.singles]
                assert not set(ids(one)) & set(deleted)
                if query is not None:
                    (value,) = query.scenario
                    assert len(one.singles) == min(k, left[value])
                    assert {held[names.index(id)] for id in ids(one)} == {value}


@pytest.mark.sqlite  # seconds, of what is above the catalog
def test_each_user_of_a_batch_may_ask_for_something_else(dock, add, checks):  # noqa: F811
    rng = random.Random(1)
    for _ in range(15):
        change(dock, add, rng)
    dock.ingest(points=[[[0.0]]], weights=[[1.0]], gamma=0.1)
    users = [spec(100 + i) for i in range(8)] + [spec(7, dim=1), spec(8, gamma=0.2)]
    for _ in range(6):
        change(dock, add, rng)
        asked = [rng.choice([None, *QUERIES]) for _ in users]
        for status in ("usable", "any"):
            together = dock.search_many(users, semantic=asked, status=status, k=5)
            for user, query, result in zip(users, asked, together, strict=True):
                alone = dock.search(user, semantic=query, status=status, k=5)
                assert (result.singles, result.mixture, result.skipped) == (
                    alone.singles,
                    alone.mixture,
                    alone.skipped,
                )


def test_one_filter_serves_all_users(dock, add):  # noqa: F811
    wanted = [add(scenario=["Health"]) for _ in range(3)]
    add(scenario=["Nature"])
    query = ld.SemanticQuery(scenario="Health")
    for semantic in (query, [query, query], ({"Scenario": {"Values": ["Health"]}}, query)):
        for result in dock.search_many([spec(100), spec(101)], semantic=semantic):
            assert set(ids(result)) == set(wanted)


def test_progress_is_counted_over_all_filters(dock, add):  # noqa: F811
    add()
    told = []
    asked = [None, ld.SemanticQuery(scenario="Health"), None]
    dock.search_many([spec(i) for i in range(3)], semantic=asked, on_progress=lambda *heard: told.append(heard))
    assert told == [("search", 2, 3), ("search", 3, 3)]


@pytest.mark.parametrize(
    ("semantic", "error", "message"),
    [
        ([None], InvalidArgument, "^semantic: expected one for all or one for each of 2 specs, got 1"),
        ([], InvalidArgument, "^semantic: expected one for all or one for each of 2 specs, got 0"),
        ([None, {"Name": 3}], SemanticError, r"^semantic\[1\]: Name"),
        ([None, 5], SemanticError, r"^semantic\[1\]: semantic: got int"),
        (["ab", None], SemanticError, r"^semantic\[0\]: semantic: got str"),
        ("ab", SemanticError, "^semantic: got str"),
    ],
)
def test_a_bad_filter_is_an_error_that_names_it(dock, semantic, error, message):  # noqa: F811
    with pytest.raises(error, match=message):
        dock.search_many([USER, USER], semantic=semantic)


def test_one_user_has_one_filter(dock):  # noqa: F811
    with pytest.raises(SemanticError, match="^semantic: got list"):
        dock.search(USER, semantic=[None])


def test_searches_at_once_with_filters_while_the_dock_changes(dock, add, checks):  # noqa: F811
    kept = [add(scenario=["Health"]) for _ in range(5)]
    queries = [ld.SemanticQuery(scenario="Health"), ld.SemanticQuery(name="a model", scenario="Health")]

    def search(i):
        return set(ids(dock.search(USER, semantic=queries[i % 2], k=1000, mixture=0)))

    with ThreadPoolExecutor(4) as pool:
        searches = [pool.submit(search, i) for i in range(40)]
        added = [add(scenario=["Health", "Nature"] if i % 2 else ["Nature"]) for i in range(10)]
        for found in searches:
            assert set(kept) <= found.result() <= {*kept, *added[1::2]}
    assert search(0) == search(1) == {*kept, *added[1::2]}


def test_counts_of_spaces_are_those_of_the_list(dock, add, checks):  # noqa: F811
    rng = random.Random(2)
    for i in range(30):
        change(dock, add, rng)
        if i == 15:
            dock.ingest(points=[[[0.0]]] * 3, weights=[[1.0]] * 3, gamma=0.1)
        for any_status, status in ((False, "usable"), (True, "any")):
            listed = Counter((entry.input_shape, entry.gamma) for entry in dock.list(status=status))
            counted = {
                (space.input_shape, space.gamma): count
                for space, count in dock._store.counts(any_status=any_status).items()
            }
            assert counted == listed
