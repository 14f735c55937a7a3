"""Search in names and descriptions, against the reference's rule written out."""

import random

import pytest
from rapidfuzz import fuzz

import learndock as ld
from filled_docks import add, checks, described, dock, spec, written_zip  # noqa: F401
from learndock.checker import Status
from learndock.dock import text_index, text_search
from learndock.errors import InvalidArgument, SemanticError

pytestmark = pytest.mark.usefixtures("either_catalog")

TEXT = "readmission risk of diabetes patients house price model forest gradient Ärzte naïve 30-day hospital"
WORDS = TEXT.split()


def by_the_references_rule(texts, wanted):
    """(id, score) of the learnwares that the reference's searcher would find; texts by id: (name, description)."""
    wanted = wanted.lower()
    folded = {id: (name.lower(), description.lower()) for id, (name, description) in texts.items()}
    exact = [(id, 100.0) for id, held in folded.items() if wanted in held[0] or wanted in held[1]]
    if exact:
        return sorted(exact)
    scores = {id: max(fuzz.partial_ratio(wanted, text) for text in held) for id, held in folded.items()}
    return sorted(((id, score) for id, score in scores.items() if score >= 75), key=lambda pair: (-pair[1], pair[0]))


def share_a_trigram(wanted, held):
    trigrams = [{text[i : i + 3].lower() for i in range(len(text) - 2)} for text in (wanted, *held)]
    return bool(trigrams[0] & (trigrams[1] | trigrams[2]))


def found(result):
    return [(hit.id, hit.score) for hit in result.hits]


@pytest.fixture(params=["few", "indexed", "read", "plain"])
def table(request, monkeypatch):
    """Few texts, and many: with an index, read in their order, and as a database without trigrams has them."""
    if request.param != "few":
        monkeypatch.setattr(text_search, "_FEW", 0)
        # All trigrams count.
        monkeypatch.setattr(text_search, "_LEAST_LISTS", 32)
        monkeypatch.setattr(text_search, "_READ", 0.0 if request.param == "read" else 1e6)
    if request.param == "plain":
        monkeypatch.setattr(text_index, "_FTS5", "CREATE VIRTUAL TABLE texts USING fts5(name, tokenize = 'absent')")
        monkeypatch.setattr(text_index, "_PG_TRGM_SCHEMA", "SELECT NULL")
    return request.param


def test_any_text_is_found_as_the_reference_finds_it(table, add, dock):  # noqa: F811
    rng = random.Random(0)
    texts = {}
    for _ in range(60):
        name, description = " ".join(rng.choices(WORDS, k=3)), " ".join(rng.choices(WORDS, k=6))
        texts[add(name, description)] = (name, description)
    asked = [" ".join(rng.choices(WORDS, k=2)) for _ in range(20)]
    asked += ["readmision rsk", "HOUSE PRICE", "ä", "30", "-", "a", "diabets patient", "zzzzzz", "of dia", "naive"]
    asked += [name[2:11] for name, _ in list(texts.values())[:5]]
    kinds = set()
    for wanted in asked:
        result = dock.search_semantic(ld.SemanticQuery(name=wanted), k=100)
        expected = by_the_references_rule(texts, wanted)
        if table in ("indexed", "read") and len(wanted) >= 3:
            expected = [(id, score) for id, score in expected if share_a_trigram(wanted, texts[id])]
        assert found(result) == expected, wanted
        assert result.total == len(expected)
        kinds.add(result.kind)
    assert kinds == {"exact", "similar"}


@pytest.mark.parametrize("wanted", ["100%", "a_b", 'say "hi"', "it's", "AND", "*", "ﬀ", "日本語", "İ"])
def test_signs_that_mean_something_to_a_database_are_text(table, add, dock, wanted):  # noqa: F811
    id = add(f"before {wanted} after")
    add("before something after")
    assert found(dock.search_semantic(ld.SemanticQuery(name=wanted))) == [(id, 100.0)]


def test_a_long_text_is_found_whole_or_not_at_all(table, add, dock):  # noqa: F811
    text = "".join(random.Random(1).choices("abcdef ", k=3000))
    id = add("long", text)
    assert found(dock.search_semantic(ld.SemanticQuery(description=text[10:2900]))) == [(id, 100.0)]
    changed = text[10:1500] + "#" + text[1501:2900]
    result = dock.search_semantic(ld.SemanticQuery(description=changed))
    assert result.kind == "similar"


def test_two_texts_must_both_be_held_by_name_or_description(table, add, dock):  # noqa: F811
    both = add("Readmission of patients", "Gradient boosting.")
    swapped = add("Gradient boosting", "Readmission of patients.")
    add("Readmission of patients", "A forest.")
    query = ld.SemanticQuery(name="readmission", description="gradient")
    assert [hit.id for hit in dock.search_semantic(query).hits] == [both, swapped]
    similar = dock.search_semantic(ld.SemanticQuery(name="readmision", description="gradient"))
    assert similar.kind == "similar"
    assert [hit.id for hit in similar.hits] == [both, swapped]
    expected = fuzz.partial_ratio("readmision", "readmission of patients")
    assert [hit.score for hit in similar.hits] == [expected, expected]


def test_of_many_texts_those_that_share_most_trigrams_are_compared(add, dock, monkeypatch):  # noqa: F811
    monkeypatch.setattr(text_search, "_FEW", 0)
    monkeypatch.setattr(text_search, "_MOST_COMPARED", 3)
    rng = random.Random(0)
    for _ in range(30):
        add(" ".join(rng.choices(["house", "price", "forest"], k=4)))
    near = [add("Readmission within 30 days", f"Site {i}") for i in range(2)]
    result = dock.search_semantic(ld.SemanticQuery(name="readmision within 30 days"))
    assert ([hit.id for hit in result.hits], result.kind) == (near, "similar")
    narrower = ld.SemanticQuery(name="readmision within 30 days", description="site 1x")
    assert {hit.id for hit in dock.search_semantic(narrower).hits} >= {near[1]}
    with_filter = ld.SemanticQuery(name="readmision within 30 days", scenario="Education")
    assert [hit.id for hit in dock.search_semantic(with_filter).hits] == near


def test_filters_come_before_the_rule(add, dock):  # noqa: F811
    elsewhere = add("House prices", scenario=["Business"])
    near = add("House pricing", scenario=["Education"])
    assert [hit.id for hit in dock.search_semantic(ld.SemanticQuery(name="house prices")).hits] == [elsewhere]
    result = dock.search_semantic(ld.SemanticQuery(name="house prices", scenario="Education"))
    assert [hit.id for hit in result.hits] == [near]
    assert result.kind == "similar"


def test_what_is_not_usable_is_found_only_with_any_status_and_hides_nothing(add, dock):  # noqa: F811
    never_started = add("House prices", status=Status.NONUSABLE)
    near = add("House pricing")
    query = ld.SemanticQuery(name="house prices")
    assert [hit.id for hit in dock.search_semantic(query).hits] == [near]
    assert [hit.id for hit in dock.search_semantic(query, status="any").hits] == [never_started]
    assert dock.count(semantic=query, status="usable") == 1


def test_without_a_text_all_that_pass_the_filters_are_found_by_id(add, dock):  # noqa: F811
    ids = [add(f"Model {i}", scenario=["Health"] if i % 2 else ["Nature"]) for i in range(6)]
    result = dock.search_semantic(ld.SemanticQuery(scenario="Nature"), k=2)
    assert found(result) == [(ids[0], None), (ids[2], None)]
    assert (result.total, result.kind) == (3, "all")
    assert dock.search_semantic({}).total == 6


def test_a_search_by_specification_keeps_to_what_holds_the_text(add, dock):  # noqa: F811
    ids = [add(name) for name in ("Readmission, site A", "House prices", "readmission, site B")]
    user = spec(99)
    assert {hit.id for hit in dock.search(user, semantic=ld.SemanticQuery(name="READMISSION")).singles} == {
        ids[0],
        ids[2],
    }
    as_the_reference_asks = {"Name": {"Type": "String", "Values": "house"}, "Task": {"Type": "Class", "Values": []}}
    assert [hit.id for hit in dock.search(user, semantic=as_the_reference_asks).singles] == [ids[1]]
    assert dock.search(user, semantic=ld.SemanticQuery(name="qqqqqqqq")).singles == ()
    # A specification given as what is asked for is called something, and asks for no text.
    assert len(dock.search(user, semantic=described("qqqqqqqq")).singles) == 3


def test_texts_go_with_their_learnware_and_change_with_it(table, add, dock):  # noqa: F811
    first, second = add("House prices"), add("House prices too")
    dock.update(second, semantic=described("Readmission"))
    assert [hit.id for hit in dock.search_semantic(ld.SemanticQuery(name="house prices")).hits] == [first]
    dock.delete(first)
    assert dock.search_semantic(ld.SemanticQuery(name="house prices")).hits == ()
    assert [hit.id for hit in dock.search_semantic(ld.SemanticQuery(name="readmission")).hits] == [second]


def test_specifications_alone_have_no_text(dock):  # noqa: F811
    dock.ingest(points=[[[0.0, 0.0]]], weights=[[1.0]], gamma=0.1)
    assert dock.search_semantic(ld.SemanticQuery(name="a")).hits == ()
    assert dock.search_semantic({}).total == 1


def test_the_index_is_made_where_the_database_has_one(dock):  # noqa: F811
    with dock._catalog.reading() as connection:
        assert text_index.text_index(connection).exists(connection)


@pytest.mark.parametrize(
    ("query", "options", "error", "named"),
    [
        (None, {}, InvalidArgument, "semantic"),
        (["a"], {}, SemanticError, "semantic"),
        ({}, {"k": 0}, InvalidArgument, "k"),
        ({}, {"status": "nonusable"}, InvalidArgument, "status"),
        ({"Name": 3}, {}, SemanticError, "Name"),
    ],
)
def test_a_bad_question_is_an_error_that_names_it(dock, query, options, error, named):  # noqa: F811
    with pytest.raises(error, match=f"^{named}"):
        dock.search_semantic(query, **options)
