"""`learndock review`, and what a search shows of it."""

from __future__ import annotations

import shutil

import pytest

import learndock as ld
from command_line import error_of, json_of, learndock
from reviewed_docks import model_zip, sketch, submitted


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A closed dock of four models and one that fails, and a user's specification."""
    folder = tmp_path_factory.mktemp("made")
    with ld.Dock(folder / "dock") as dock:
        for site in range(4):
            submitted(dock, folder, site, 0.3)
        submitted(dock, folder, 9, body="if len(X) > 50: raise ValueError('[bold]no[/bold]')\nreturn X[:, 0]")
    sketch(2).save(folder / "user.json")
    return folder


@pytest.fixture
def dock(made, tmp_path):
    shutil.copytree(made / "dock", tmp_path / "dock")
    return tmp_path / "dock"


def test_review_tries_what_is_left_and_says_what_it_found(dock, tmp_path):
    facts = json_of("review", dock)
    assert facts["ids"] == [f"{n:08d}" for n in range(4)]
    assert facts["pairs"] == 12
    assert list(facts["failures"]) == ["00000004"]
    assert facts["twins"] == facts["doubtful"] == []
    assert json_of("review", dock) == facts
    shown = learndock("review", dock).stdout
    assert "4 models tried, 12 pairs known, 1 failed" in shown
    # What a stranger's model says is no markup.
    assert "could not be tried" in shown
    assert "[bold]no[/bold]" in shown


def test_review_of_some_with_limits(dock, tmp_path):
    facts = json_of("review", dock, "--id", "00000003", "--id", "00000004", "--seconds", "20", "--isolation", "auto")
    assert facts["pairs"] == 9  # the six of submission, and the others on the sketch of 3
    twin = json_of("submit", dock, model_zip(tmp_path / "twin.zip", sketch(1), _body_of_site_1()))["id"]
    facts = json_of("review", dock)
    assert facts["twins"] == [["00000001", twin]]
    shown = learndock("review", dock).stdout
    assert f"says nearly the same as {twin}" in shown


def _body_of_site_1():
    from reviewed_docks import body_of

    return body_of(1, 0.3) + "  # once more"


def test_review_of_what_is_none_is_an_error(dock, tmp_path):
    assert "'00000099'" in error_of("review", dock, "--id", "00000099")
    assert "holds no dock" in error_of("review", tmp_path)


def test_search_shows_predicted_losses_and_how_far_to_rely_on_them(dock, made):
    user = made / "user.json"
    before = json_of("search", dock, user)
    assert "predicted_loss" in before["singles"][0]
    json_of("review", dock)
    facts = json_of("search", dock, user)
    losses = {hit["id"]: hit["predicted_loss"] for hit in facts["singles"]}
    with ld.Dock(dock) as opened:
        found = opened.search(sketch(2))
    assert losses == {hit.id: hit.predicted_loss for hit in found.singles}
    assert losses["00000004"] is None
    assert losses["00000002"] > 0
    assert facts["reliability"]["message"] == found.reliability.message
    assert set(facts["reliability"]) == {"kappa", "disagreement", "peer_ratio", "alarm", "message"}
    shown = learndock("search", dock, user).stdout
    assert "predicted loss" in shown
    assert f"{losses['00000002']:.3g}" in shown
    assert found.reliability.message in shown


def test_search_of_a_dock_without_reviews_shows_none(tmp_path, made):
    spec = sketch(0)
    with ld.Dock(tmp_path / "dock") as dock:
        dock.ingest(points=[spec.points] * 2, weights=[spec.weights] * 2, gamma=spec.gamma)
    facts = json_of("search", tmp_path / "dock", made / "user.json")
    assert facts["reliability"] is None
    assert [hit["predicted_loss"] for hit in facts["singles"]] == [None, None]
    assert "predicted loss" not in learndock("search", tmp_path / "dock", made / "user.json").stdout


def test_search_leaves_out_what_it_is_told_to(dock, made):
    user = made / "user.json"
    all_ids = [hit["id"] for hit in json_of("search", dock, user)["singles"]]
    assert all_ids[0] == "00000002"
    some = json_of("search", dock, user, "--exclude", "00000002", "--exclude", "00000000")
    assert [hit["id"] for hit in some["singles"]] == [id for id in all_ids if id not in ("00000002", "00000000")]
    assert some["certified"]
    assert "'00000042'" in error_of("search", dock, user, "--exclude", "00000042")
    wrong = learndock("search", dock, "--name", "model", "--exclude", "00000000")
    assert wrong.exit_code == 2
    assert "--exclude" in wrong.output
