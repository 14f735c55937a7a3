"""The list of a dock, filtered and sorted; zips on their way out."""

import hashlib
import os

import pytest

import learndock as ld
from filled_docks import add, checks, described, dock, spec, written_zip  # noqa: F401
from learndock.checker import Status
from learndock.dock import listing
from learndock.errors import DamagedLearnware, DockError, InvalidArgument, SemanticError, UnknownLearnware
from spec_batches import made_specs

pytestmark = pytest.mark.usefixtures("either_catalog")


@pytest.fixture
def filled(dock, add):  # noqa: F811
    """A dock with six learnwares and three specifications alone."""
    add("banana", "x" * 90, scenario=["Health"])
    add("Apple", status=Status.NONUSABLE)
    add("cherry", "y" * 400, scenario=["Nature", "Health"])
    add("apple", "z" * 10, license="Apache-2.0")
    points, weights = made_specs(3, 3)
    dock.ingest(points=points, weights=weights, gamma=0.1)
    add("Banana split", status=Status.NONUSABLE, scenario=["Nature"])
    last = add("date")
    dock.update(last, semantic=described("Date palm"))
    return dock


def ids(entries):
    return [entry.id for entry in entries]


@pytest.mark.parametrize("page", [2, 1000])
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("sort", ["id", "name", "status", "submitted_at", "updated_at", "num_points", "zip_bytes"])
def test_the_list_is_in_the_order_asked_for_with_ties_by_id(filled, monkeypatch, sort, descending, page):
    monkeypatch.setattr(listing, "_PAGE", page)
    entries = list(filled.list())
    assert len(entries) == 9

    def value(entry):
        return entry.name.lower() if sort == "name" and entry.name is not None else getattr(entry, sort)

    present = [entry for entry in entries if value(entry) is not None]
    absent = [entry for entry in entries if value(entry) is None]
    key = lambda entry: (value(entry), entry.id)  # noqa: E731
    expected = sorted(present, key=key, reverse=descending) + sorted(
        absent, key=lambda entry: entry.id, reverse=descending
    )
    assert ids(filled.list(sort=sort, descending=descending)) == ids(expected)
    assert ids(filled.list(sort=sort, descending=descending, limit=4)) == ids(expected[:4])


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, 9),
        ({"status": "any"}, 9),
        ({"status": "usable"}, 7),
        ({"status": Status.NONUSABLE}, 2),
        ({"status": "nonusable", "name": "an"}, 1),
        ({"name": "APPLE"}, 2),
        ({"name": "an"}, 2),
        ({"name": "palm"}, 1),
        ({"name": ""}, 9),
        ({"name": "kiwi"}, 0),
        ({"semantic": ld.SemanticQuery(scenario="Nature")}, 2),
        ({"semantic": ld.SemanticQuery(scenario="Nature"), "status": "usable"}, 1),
        ({"semantic": ld.SemanticQuery(scenario=["Nature", "Health"], license="MIT")}, 3),
        ({"semantic": ld.SemanticQuery(name="banana")}, 2),
        ({"semantic": ld.SemanticQuery(name="bananna"), "status": "usable"}, 1),
        ({"semantic": {"License": {"Values": ["Apache-2.0"]}}, "name": "apple"}, 1),
    ],
    ids=repr,
)
def test_filters_and_count_agree(filled, filters, expected):
    assert len(list(filled.list(**filters))) == filled.count(**filters) == expected
    assert len(list(filled.list(**filters, limit=1, sort="name"))) == min(1, expected)


def test_an_update_is_dated_and_the_submission_keeps_its_date(filled):
    entry = next(filled.list(name="date palm"))
    assert entry.updated_at >= entry.submitted_at
    assert [other.updated_at for other in filled.list() if other.id != entry.id] == [None] * 8


def test_what_is_deleted_while_the_list_is_read_is_passed_over(filled, monkeypatch):
    monkeypatch.setattr(listing, "_PAGE", 2)
    everything = ids(filled.list())
    entries = filled.list()
    seen = [next(entries).id]
    filled.delete(everything[5])
    seen += ids(entries)
    assert seen == everything[:5] + everything[6:]


@pytest.mark.parametrize(
    ("options", "error", "named"),
    [
        ({"sort": "colour"}, InvalidArgument, "sort"),
        ({"status": "invalid"}, InvalidArgument, "status"),
        ({"status": Status.INVALID}, InvalidArgument, "status"),
        ({"status": 1.5}, InvalidArgument, "status"),
        ({"name": 3}, InvalidArgument, "name"),
        ({"name": "a\0b"}, InvalidArgument, "name"),
        ({"limit": 0}, InvalidArgument, "limit"),
        ({"semantic": {"Task": {"Values": ["Guess"]}}}, SemanticError, "Task"),
    ],
    ids=repr,
)
def test_a_bad_option_is_an_error_that_names_it_at_once(dock, options, error, named):  # noqa: F811
    with pytest.raises(error, match=f"^{named}"):
        dock.list(**options)


def test_any_status_is_searched_where_it_is_asked_for(filled):
    user = spec(99)
    usable, everything = filled.search(user, k=99), filled.search(user, k=99, status="any")
    not_usable = set(ids(filled.list(status="nonusable")))
    assert {hit.id for hit in usable.singles} == set(ids(filled.list(status="usable")))
    assert {hit.id for hit in everything.singles} - {hit.id for hit in usable.singles} == not_usable
    assert everything.work["scanned"] == 9
    # Of the space that is not searched, those count that would be searched.
    elsewhere = spec(99, gamma=0.5)
    assert filled.search(elsewhere).skipped == 7
    assert filled.search_many([elsewhere], status="any")[0].skipped == 9
    with pytest.raises(InvalidArgument, match="^status"):
        filled.search(user, status="nonusable")


def test_scores_are_relative_to_all_that_were_considered(dock, add):  # noqa: F811
    from learndock.dock.score import reference_scores
    from spec_batches import distances_to

    seeds = {add(seed=seed, status=Status.NONUSABLE if seed == 3 else Status.USABLE): seed for seed in range(5)}
    user = spec(99)
    for status, chosen in (("usable", [0, 1, 2, 4]), ("any", range(5))):
        distances = sorted(distances_to(user, [spec(i).points for i in chosen], [spec(i).weights for i in chosen]))
        scores = reference_scores(distances, None, total=sum(distances), largest=distances[-1], count=len(distances))
        hits = dock.search(user, k=9, mixture=0, status=status).singles
        assert {seeds[hit.id] for hit in hits} == set(chosen)
        assert [hit.score for hit in hits] == pytest.approx(scores, abs=1e-9)


def test_progress_of_many_users_is_told_in_users(filled):
    from learndock.memory import search_bytes

    each, fixed = search_bytes(9)
    told = []
    users = [spec(seed) for seed in range(5)] + [spec(9, gamma=0.5)]
    filled.search_many(users, max_memory=fixed + 2 * each, on_progress=lambda *heard: told.append(heard))
    assert told == [("search", done, 6) for done in (2, 4, 5, 6)]


# Zips


def damaged(dock, id):  # noqa: F811
    path = dock.zip_path(id)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    return path


def test_a_zip_is_verified_before_it_is_opened_or_copied(dock, add, tmp_path):  # noqa: F811
    id, whole = add("damaged"), add("whole")
    path = damaged(dock, id)
    for call in (lambda: dock.get(id), lambda: dock.get([whole, id]), lambda: dock.copy_zip(id, tmp_path / "out.zip")):
        with pytest.raises(DamagedLearnware, match=f"{id}.*sha256"):
            call()
    assert not (tmp_path / "out.zip").exists()
    path.unlink()
    for call in (lambda: dock.get(id), lambda: dock.copy_zip(id, tmp_path / "out.zip")):
        with pytest.raises(DamagedLearnware, match=id):
            call()


def test_a_zip_that_changes_while_it_is_opened_is_damaged(dock, add, monkeypatch):  # noqa: F811
    id = add()
    open_ = ld.Learnware.open

    def meddled(path, **options):
        damaged(dock, id)
        return open_(path.parent / "other.zip", **options)

    (dock.path / "zips" / "other.zip").write_bytes(dock.zip_path(id).read_bytes())
    monkeypatch.setattr(ld.Learnware, "open", meddled)
    with pytest.raises(DamagedLearnware, match="was changed|sha256"):
        dock.get(id)


def test_a_zip_that_an_update_deletes_before_it_is_opened_is_that_of_the_update(dock, add, tmp_path, monkeypatch):  # noqa: F811
    id = add()
    updates = [written_zip(tmp_path / "new.zip", spec(7), described("New"), note="new")]
    open_ = ld.Learnware.open

    def late(path, **options):
        if updates and path.parent.name == "zips":
            dock.update(id, path=updates.pop(), semantic=described("New"))
        return open_(path, **options)

    monkeypatch.setattr(ld.Learnware, "open", late)
    with dock.get(id) as learnware:
        assert learnware.semantic.name == "New"


def test_get_passes_on_how_to_run_the_model(dock, add, monkeypatch):  # noqa: F811
    id = add()
    seen = []
    monkeypatch.setattr(ld.Learnware, "open", lambda path, **options: seen.append(options))
    dock.get(id, isolation="require", environment="build")
    assert seen[0]["isolation"] == "require"
    assert seen[0]["environment"] == "build"


def test_an_update_between_the_answer_and_the_opening_is_followed(dock, add, checks, tmp_path, monkeypatch):  # noqa: F811
    id = add()
    path = written_zip(tmp_path / "new.zip", spec(7), note="new")
    verified = dock._zip
    updates = [path]

    def late(row):
        zip = verified(row)
        if updates:
            dock.update(id, path=updates.pop())
        return zip

    monkeypatch.setattr(dock, "_zip", late)
    dock.copy_zip(id, tmp_path / "copy.zip")
    assert (tmp_path / "copy.zip").read_bytes() == path.read_bytes()


def test_copy_zip_writes_the_zip_whole_and_replaces_only_where_told(dock, add, tmp_path):  # noqa: F811
    id = add()
    target = tmp_path / "copy.zip"
    assert dock.copy_zip(id, target) == target
    content = target.read_bytes()
    assert hashlib.sha256(content).hexdigest() == next(dock.list()).zip_sha256
    with pytest.raises(InvalidArgument, match="^target: .*exists"):
        dock.copy_zip(id, target)
    target.write_bytes(b"other")
    dock.copy_zip(id, target, overwrite=True)
    assert target.read_bytes() == content
    (tmp_path / "link.zip").symlink_to(target)
    target.write_bytes(b"other")
    dock.copy_zip(id, tmp_path / "link.zip", overwrite=True)
    assert (tmp_path / "link.zip").is_symlink()
    assert target.read_bytes() == content
    os.mkfifo(tmp_path / "pipe")
    for wrong in (tmp_path, tmp_path / "absent" / "copy.zip", tmp_path / "pipe"):
        with pytest.raises(InvalidArgument, match="^target"):
            dock.copy_zip(id, wrong, overwrite=True)
    with pytest.raises(UnknownLearnware):
        dock.copy_zip("00000099", tmp_path / "none.zip")
    alone = dock.ingest(points=[[[0.0]]], weights=[[1.0]], gamma=0.1)[0]
    with pytest.raises(DockError, match="specification alone"):
        dock.copy_zip(alone, tmp_path / "none.zip")
    assert sorted(name for name in os.listdir(tmp_path) if name.startswith(".")) == []


def test_a_zip_is_found_by_its_sha256(dock, add, checks, tmp_path):  # noqa: F811
    id = add()
    sha256 = next(dock.list()).zip_sha256
    again = dock.submit(tmp_path / "1.zip").id
    assert dock.find_zip(sha256) == dock.find_zip(sha256.upper()) == [id, again]
    assert dock.find_zip("0" * 64) == []
    with pytest.raises(InvalidArgument, match="^sha256"):
        dock.find_zip(3)


def test_a_limit_beyond_all_counts_is_no_limit(filled):
    assert ids(filled.list(sort="name", limit=2**70)) == ids(filled.list(sort="name"))
    assert filled.history(limit=2**70) == filled.history()
