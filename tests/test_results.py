"""What results look like: in a terminal, in a notebook, as a DataFrame."""

import builtins

import numpy as np
import pytest

import learndock as ld
from filled_docks import add, checks, described, dock, spec  # noqa: F401
from learndock.checker import CheckResult, Status
from learndock.dock import AuditRecord, Entry, Mixture, SubmitReport
from learndock.errors import MissingDependency
from learndock.market import ImportStatus, MarketEntry, MarketReport
from spec_batches import made_specs, user_spec

STRANGE = "<script>alert('x')</script> & \"more\""


@pytest.fixture
def result(dock):  # noqa: F811
    points, weights = made_specs(40, 3)
    dock.ingest(points=points, weights=weights, gamma=0.1)
    return dock.search(user_spec(3, 0.1), k=5)


def test_a_search_is_a_table_of_its_singles(result):
    table = result.to_frame()
    assert list(table.columns) == ["id", "mmd2", "similarity", "score", "fits", "p_value", "predicted_loss", "weight"]
    assert table["id"].tolist() == [hit.id for hit in result.singles]
    assert table["mmd2"].tolist() == [hit.mmd2 for hit in result.singles]
    shares = dict(zip(result.mixture.ids, result.mixture.weights, strict=True))
    assert table["weight"].tolist() == [shares[hit.id] for hit in result.singles]
    html = result._repr_html_()
    assert html.count("<table>") == 2
    assert all(hit.id in html for hit in result.singles)
    assert result.singles[0].id in repr(result)


def test_a_mixture_is_a_table_of_its_members(result):
    table = result.mixture.to_frame()
    assert table["id"].tolist() == list(result.mixture.ids)
    assert table["weight"].sum() == pytest.approx(1)


def test_a_search_that_found_nothing_is_a_table_without_rows(dock):  # noqa: F811
    nothing = dock.search(user_spec(3, 0.1))
    assert len(nothing.to_frame()) == 0
    assert list(nothing.to_frame().columns) == [
        "id",
        "mmd2",
        "similarity",
        "score",
        "fits",
        "p_value",
        "predicted_loss",
        "weight",
    ]
    assert nothing._repr_html_().count("<table>") == 1
    assert len(dock.list().to_frame()) == 0


def test_a_list_is_a_table_of_what_was_not_read_yet(dock, add):  # noqa: F811
    ids = [add(f"Model {i}") for i in range(3)]
    entries = dock.list()
    next(entries)
    table = entries.to_frame()
    assert table["id"].tolist() == ids[1:]
    assert table["name"].tolist() == ["Model 1", "Model 2"]
    assert table["status"].tolist() == ["USABLE", "USABLE"]
    assert set(table.columns) == set(Entry.__dataclass_fields__)


def test_what_semantics_found_is_a_table_with_scores(dock, add):  # noqa: F811
    id = add("House prices")
    result = dock.search_semantic(ld.SemanticQuery(name="house prizes"))
    table = result.to_frame()
    assert table["id"].tolist() == [id]
    assert table["score"].tolist() == [result.hits[0].score]
    assert "similar" in repr(result)
    assert "House prices" in repr(result)


def test_names_from_strangers_are_text_in_html(dock, add):  # noqa: F811
    add(STRANGE, STRANGE)
    for html in (
        dock.search_semantic(ld.SemanticQuery(name="script"))._repr_html_(),
        next(dock.list())._repr_html_(),
        Mixture((STRANGE,), (1.0,), 0.5)._repr_html_(),
    ):
        assert "<script" not in html
        assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt; &amp; &quot;more&quot;" in html


def test_a_history_is_what_pandas_takes_as_a_table(dock, add):  # noqa: F811
    import pandas as pd

    add()
    table = pd.DataFrame(dock.history())
    assert list(table.columns) == list(AuditRecord.__dataclass_fields__)


def test_without_pandas_the_error_says_what_to_install(dock, result, monkeypatch):  # noqa: F811
    import_ = builtins.__import__

    def without(name, *args, **options):
        if name == "pandas":
            raise ImportError(name)
        return import_(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    semantic = dock.search_semantic({})
    for table in (result, result.mixture, dock.list(), semantic, dock.verify()):
        with pytest.raises(MissingDependency, match="pip install pandas"):
            table.to_frame()


def test_results_are_frozen_and_compare_by_value(dock):  # noqa: F811
    points, weights = made_specs(4, 3)
    dock.ingest(points=points, weights=weights, gamma=0.1)
    user = user_spec(3, 0.1)
    one, two = dock.search(user), dock.search(user)
    assert one.singles == two.singles
    assert one.mixture == two.mixture
    assert np.isfinite([hit.mmd2 for hit in one.singles]).all()
    for value in (one, one.singles[0], one.mixture, dock.search_semantic({}), dock.history()[0], dock.verify()):
        with pytest.raises(AttributeError):
            setattr(value, next(iter(value.__dataclass_fields__)), None)


def test_a_report_of_an_import_is_a_table_of_its_learnwares():
    entries = (
        MarketEntry("<b>", "00000000", ImportStatus.USABLE, ""),
        MarketEntry("1", None, ImportStatus.INVALID, "<i>why</i>"),
    )
    report = MarketReport("default", entries)
    assert report.to_frame().to_dict("list")["status"] == ["usable", "invalid"]
    assert report.to_frame().shape == (2, 4)
    assert "&lt;b&gt;" in report._repr_html_()
    assert "&lt;i&gt;why" in report._repr_html_()


def test_a_report_of_a_submission_shows_its_checks_in_a_notebook():
    check = CheckResult("statistical", Status.INVALID, "<b>output</b>", {})
    html = SubmitReport(Status.INVALID, None, (check,))._repr_html_()
    assert "INVALID" in html
    assert "&lt;b&gt;output" in html
