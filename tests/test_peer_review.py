"""Peer review in a dock: which models are started, what is kept, and what searches tell of it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys

import numpy as np
import pytest

import learndock as ld
from leaks import nothing_left
from learndock import runtime
from learndock.checker import Status
from learndock.dock import peer_reviewing
from learndock.errors import InvalidArgument, IsolationUnavailable, ReadOnlyDock, UnknownLearnware
from learndock.reuse import AveragingReuser, LocalCompetence
from learndock.runtime import ModelLimits
from learndock.runtime.guard.processes import descendants
from reviewed_docks import (
    GAMMA,
    body_of,
    classification,
    concept,
    model_zip,
    regression,
    rows_of,
    sketch,
    submitted,
)

pytestmark = pytest.mark.slow

# Of the eight models of the dock that most tests copy: what each errs by.
ERRORS = [0.25, 0.45, 0.28, 0.38, 0.3, 0.5, 0.33, 0.42]


@pytest.fixture
def starts(monkeypatch):
    """The processes of models that are started, one entry each."""
    started = []
    original = runtime.process.ProcessTree

    class Counted(original):
        def __init__(self, *args, **options):
            started.append(args)
            super().__init__(*args, **options)

    monkeypatch.setattr(runtime.process, "ProcessTree", Counted)
    return started


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two closed docks of the same eight models: as submitted, and reviewed."""
    folder = tmp_path_factory.mktemp("made")
    with nothing_left():
        for site, error in enumerate(ERRORS):
            with ld.Dock(folder / "submitted", actor=f"site {site}") as dock:
                submitted(dock, folder, site, error)
    shutil.copytree(folder / "submitted", folder / "reviewed")
    with nothing_left(), ld.Dock(folder / "reviewed") as dock:
        dock.peer_review()
    return folder


@pytest.fixture
def fresh(made, tmp_path):
    """A copy of the dock as submitted."""
    shutil.copytree(made / "submitted", tmp_path / "fresh")
    with ld.Dock(tmp_path / "fresh") as dock:
        yield dock


@pytest.fixture
def reviewed(made, tmp_path):
    """A copy of the reviewed dock."""
    shutil.copytree(made / "reviewed", tmp_path / "reviewed")
    with ld.Dock(tmp_path / "reviewed") as dock:
        yield dock


def rows(dock, query):
    with sqlite3.connect(dock.path / "catalog.sqlite") as connection:
        return connection.execute(query).fetchall()


def pairs(dock):
    return set(rows(dock, "select model_id, sketch_id from peer_losses"))


def kept(dock):
    """All that is kept of peer reviews."""
    losses = rows(dock, "select model_id, sketch_id, mean, variance, mmd2, losses from peer_losses")
    outputs = rows(dock, "select learnware_id, meaning, columns, outputs, variance, failure from own_outputs")
    return sorted(losses), sorted(outputs, key=lambda row: row[0])


EVERY_PAIR = {(i, j) for i in range(8) for j in range(8) if i != j}


# Which models are tried, and when


def test_submission_tries_the_new_model_on_its_peers_in_the_process_of_the_check(fresh, tmp_path, starts):
    before = pairs(fresh)
    assert before == {(model, sketch) for model, sketch in EVERY_PAIR if sketch < model}
    id = submitted(fresh, tmp_path, 3, 0.2)
    assert len(starts) == 1
    assert pairs(fresh) - before == {(int(id), sketch) for sketch in range(8)}


def test_what_is_kept_are_the_losses_against_the_owners_outputs(reviewed):
    """Computed here from the models' formulas, at the points that the dock holds."""
    assert pairs(reviewed) == EVERY_PAIR
    namespace = {"np": np}

    def model(site, X):
        code = body_of(site, ERRORS[site]).removeprefix("return ")
        return eval(code, namespace | {"X": X})

    for i, j, mean, variance, mmd2, losses in kept(reviewed)[0]:
        one, other = (reviewed.specification(f"{n:08d}") for n in (i, j))
        expected = (model(i, other.points) - model(j, other.points)) ** 2
        np.testing.assert_allclose(np.frombuffer(losses, np.float32), expected, rtol=1e-5, atol=1e-7)
        shares = np.maximum(other.weights, 0) / np.maximum(other.weights, 0).sum()
        assert mean == pytest.approx(shares @ expected, rel=1e-5)
        assert variance == pytest.approx(shares @ (expected - shares @ expected) ** 2, rel=1e-5)
        assert mmd2 == pytest.approx(one.mmd2(other), abs=1e-6)


def test_a_review_completes_what_submission_left_and_starts_each_model_once(fresh, starts):
    told = []
    report = fresh.peer_review(on_progress=lambda *state: told.append(state))
    assert pairs(fresh) == EVERY_PAIR
    # The last has been tried on all others, and all others have something left.
    assert len(starts) == 7
    assert told == [("peer review", done, 7) for done in range(1, 8)]
    assert (report.pairs, report.failures) == (56, {})
    assert report.ids == tuple(f"{n:08d}" for n in range(8))


def test_a_second_review_does_nothing(reviewed, starts):
    before = kept(reviewed)
    report = reviewed.peer_review()
    reviewed.peer_review([f"{n:08d}" for n in range(8)])
    assert not starts
    assert kept(reviewed) == before
    assert report.pairs == 56


def test_a_review_of_one_tries_it_and_its_peers_alone(fresh, starts):
    fresh.peer_review("00000001")
    assert pairs(fresh) == {(i, j) for i, j in EVERY_PAIR if j < i or 1 in (i, j)}
    # Itself, and those that were submitted before it; those after it were tried on its sketch already.
    assert len(starts) == 2


def test_an_interrupted_review_goes_on_where_it_was(fresh, reviewed, starts, monkeypatch):
    monkeypatch.setattr(peer_reviewing, "_CONCURRENT_MODELS", 1)

    def stop(what, done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fresh.peer_review(on_progress=stop)
    assert not descendants(os.getpid())
    assert len(starts) == 2
    half = pairs(fresh)
    assert half < EVERY_PAIR
    fresh.peer_review()
    assert len(starts) == 7
    assert pairs(fresh) == EVERY_PAIR
    for one, other in zip(kept(fresh)[0], kept(reviewed)[0], strict=True):
        assert one[:5] == pytest.approx(other[:5], rel=1e-6)


def test_models_in_another_order_of_submission_are_reviewed_alike(made, tmp_path, reviewed):
    """What is found depends on the models, not on who came first."""
    with ld.Dock(tmp_path / "other") as dock:
        for site in reversed(range(8)):
            submitted(dock, tmp_path, site, ERRORS[site])
        dock.peer_review()
        swapped = {(7 - i, 7 - j): np.frombuffer(losses, np.float32) for i, j, *_, losses in kept(dock)[0]}
    expected = {(i, j): np.frombuffer(losses, np.float32) for i, j, *_, losses in kept(reviewed)[0]}
    assert set(swapped) == set(expected) == EVERY_PAIR
    for pair, losses in expected.items():
        # NumPy's products of matrices depend on how many rows there are, in the last digit.
        np.testing.assert_allclose(swapped[pair], losses, rtol=1e-4, atol=1e-9)


# Models that fail

BAD = {
    "raises": "if len(X) > 50: raise ValueError('not today')\nreturn X[:, 0]",
    "NaN": "return np.where(len(X) > 50, np.nan, X[:, 0])",
    "width": "return X if len(X) > 50 else X[:, :1]",
    "rows": "return X[:50, 0]",
    "dies": "if len(X) > 50: os._exit(1)\nreturn X[:, 0]",
    "slow": "if len(X) > 50: time.sleep(60)\nreturn X[:, 0]",
}


@pytest.fixture(scope="module")
def with_bad(made, tmp_path_factory):
    """A closed dock: the reviewed one, and models that fail on more rows than the checks have."""
    folder = tmp_path_factory.mktemp("bad")
    shutil.copytree(made / "reviewed", folder / "dock")
    with nothing_left(), ld.Dock(folder / "dock", actor="careless") as dock:
        ids = {
            kind: dock.submit(model_zip(folder / f"{kind}.zip", sketch(site), body), limits=ModelLimits(seconds=2)).id
            for site, (kind, body) in enumerate(BAD.items(), start=8)
        }
    return folder / "dock", ids


def test_a_model_that_fails_is_in_the_dock_and_its_failure_in_the_report(with_bad, tmp_path, starts):
    path, ids = with_bad
    shutil.copytree(path, tmp_path / "dock")
    with nothing_left(), ld.Dock(tmp_path / "dock") as dock:
        assert len(dock) == 14
        failures = dict(dock.peer_report().failures)
        assert set(failures) == set(ids.values())
        said = {
            "raises": "not today",
            "NaN": "NaN or infinity",
            "width": "expected 1 columns, got predictions of shape",
            "rows": "rows",
            "dies": "ended with exit status 1",
            "slow": "took too long",
        }
        for kind, part in said.items():
            assert part in failures[ids[kind]]
            assert "\n" not in failures[ids[kind]]
        # Not tried again, and nobody is tried on their sketches.
        report = dock.peer_review()
        assert not starts
        assert report.pairs == 56
        assert not {id for pair in pairs(dock) for id in pair} & {int(id) for id in ids.values()}
        report = dock.peer_review([ids["NaN"], ids["raises"]])
        assert len(starts) == 10  # the two, and those that were tried on their sketches meanwhile
        assert set(report.failures) == set(ids.values())
        assert repr(report).count("could not be tried") == 6
        hits = dock.search(sketch(3), k=20)
        losses = {hit.id: hit.predicted_loss for hit in hits.singles}
        assert {id for id in losses if losses[id] is None} == set(ids.values())


def test_a_failure_is_forgotten_with_the_zip_that_failed(with_bad, tmp_path):
    path, ids = with_bad
    shutil.copytree(path, tmp_path / "dock")
    with ld.Dock(tmp_path / "dock") as dock:
        id = ids["NaN"]
        assert dock.update(id, path=model_zip(tmp_path / "mended.zip", sketch(3), body_of(3, 0.2))).status == 1
        assert id not in dock.peer_report().failures
        dock.peer_review()
        assert {(int(id), other) for other in range(8)} | {(other, int(id)) for other in range(8)} < pairs(dock)


def test_a_failure_that_is_the_machines_is_not_kept(fresh, monkeypatch):
    from learndock.runtime import Isolation

    before = kept(fresh)
    monkeypatch.setattr("learndock.runtime.tree._MOST", Isolation.PROCESS)
    with pytest.raises(IsolationUnavailable):
        fresh.peer_review(isolation="require")
    assert kept(fresh) == before


def test_the_limits_of_a_review_hold_for_each_model(tmp_path):
    with ld.Dock(tmp_path / "dock") as dock:
        slow = submitted(dock, tmp_path, 2, body="time.sleep(1 if len(X) > 50 else 0)\nreturn X[:, 0]")
        submitted(dock, tmp_path, 3)
        report = dock.peer_review(limits=ModelLimits(seconds=0.5))
        assert list(report.failures) == [slow]
        assert "took too long" in report.failures[slow]
        assert not dock.peer_review(slow, limits=ModelLimits(seconds=10)).failures
        assert pairs(dock) == {(0, 1), (1, 0)}


# What is other than it was


def test_an_update_of_the_zip_forgets_what_concerned_it(reviewed, tmp_path, starts):
    before = {(i, j): losses for i, j, *_, losses in kept(reviewed)[0]}
    assert reviewed.update("00000002", path=model_zip(tmp_path / "new.zip", sketch(5), body_of(11, 0.5))).id
    assert len(starts) == 1
    after = {(i, j): losses for i, j, *_, losses in kept(reviewed)[0]}
    # It has been tried on its peers by its new process; they, on its new sketch, have not.
    assert set(after) == {(i, j) for i, j in EVERY_PAIR if j != 2}
    assert all(after[pair] == before[pair] for pair in after if pair[0] != 2)
    assert all(after[pair] != before[pair] for pair in after if pair[0] == 2)
    reviewed.peer_review()
    assert pairs(reviewed) == EVERY_PAIR


def test_another_description_changes_nothing(reviewed, starts):
    before = kept(reviewed)
    reviewed.update("00000002", semantic=regression(description="In other words."))
    assert kept(reviewed) == before
    assert not starts


def test_another_meaning_of_the_outputs_forgets(reviewed):
    assert reviewed.update("00000002", semantic=regression("O3")).status == Status.USABLE
    assert pairs(reviewed) == {(i, j) for i, j in EVERY_PAIR if 2 not in (i, j)}
    reviewed.peer_review()
    assert pairs(reviewed) == {(i, j) for i, j in EVERY_PAIR if 2 not in (i, j)}


def test_deletion_takes_the_rows_along(reviewed):
    reviewed.delete(["00000000", "00000005"])
    assert pairs(reviewed) == {(i, j) for i, j in EVERY_PAIR if not {0, 5} & {i, j}}
    assert {id for (id,) in rows(reviewed, "select learnware_id from own_outputs")} == {1, 2, 3, 4, 6, 7}
    assert reviewed.verify().problems == ()


def test_what_is_deleted_during_a_review_is_left_out(fresh):
    def delete(what, done, total):
        if done == 1:
            with ld.Dock(fresh.path, actor="another") as other:
                other.delete(["00000006"])

    report = fresh.peer_review(on_progress=delete)
    assert pairs(fresh) == {(i, j) for i, j in EVERY_PAIR if 6 not in (i, j)}
    assert "00000006" not in report.ids
    assert fresh.verify().problems == ()


def test_what_is_updated_during_a_review_keeps_nothing_of_before(fresh, tmp_path):
    def update(what, done, total):
        if done == 1:
            with ld.Dock(fresh.path, actor="another") as other:
                other.update("00000006", path=model_zip(tmp_path / "u.zip", sketch(6), body_of(6, 2.0)))

    fresh.peer_review(on_progress=update)
    fresh.peer_review()
    own = dict(rows(fresh, "select learnware_id, variance from own_outputs"))
    assert own[6] > 1  # its error alone varies by 2
    assert pairs(fresh) == EVERY_PAIR


# Docks that can't be written to, and older ones


def test_a_readonly_dock_tells_what_is_known_and_reviews_nothing(reviewed):
    found = reviewed.search(sketch(2))
    reviewed.close()
    with ld.Dock(reviewed.path, readonly=True) as dock:
        again = dock.search(sketch(2))
        assert (again.singles, again.reliability) == (found.singles, found.reliability)
        assert dock.peer_report().pairs == 56
        with dock.get("00000001") as learnware:
            assert len(learnware.peers.losses) == 7
        with pytest.raises(ReadOnlyDock):
            dock.peer_review()


def test_a_dock_from_before_peer_reviews(reviewed, tmp_path, starts):
    reviewed.close()
    with sqlite3.connect(reviewed.path / "catalog.sqlite") as connection:
        connection.execute("drop table own_outputs")
        connection.execute("drop table peer_losses")
    connection.close()
    with ld.Dock(reviewed.path, readonly=True) as dock:
        found = dock.search(sketch(2))
        assert {hit.predicted_loss for hit in found.singles} == {None}
        assert found.reliability is None
        assert dock.peer_report().pairs == 0
        with dock.get("00000001") as learnware:
            assert learnware.peers is None
    with ld.Dock(reviewed.path) as dock:
        dock.update("00000002", semantic=regression(description="In other words."))
        dock.delete(["00000007"])
        dock.peer_review()
        assert len(starts) == 7
        assert pairs(dock) == {(i, j) for i, j in EVERY_PAIR if 7 not in (i, j)}
        assert dock.verify().problems == ()


def test_a_dock_without_runnable_models_has_nothing_to_review(tmp_path):
    with ld.Dock(tmp_path / "dock") as dock:
        assert dock.peer_review().pairs == 0
        spec = sketch(0)
        dock.ingest(points=[spec.points] * 3, weights=[spec.weights] * 3, gamma=GAMMA)
        assert dock.peer_review().pairs == 0
        assert dock.search(sketch(0)).reliability is None


def test_ids_that_are_none_are_errors(reviewed):
    with pytest.raises(UnknownLearnware, match="00000099"):
        reviewed.peer_review(["00000001", "00000099"])
    with pytest.raises(InvalidArgument, match="^ids: "):
        reviewed.peer_review([1])


# Outputs and their meaning


def test_only_outputs_that_mean_the_same_are_compared(tmp_path):
    high = "p = 1 / (1 + np.exp(-X[:, 0]))\nreturn np.stack([1 - p, p], axis=1)"
    turned = "p = 1 / (1 + np.exp(-X[:, 0]))\nreturn np.stack([p, 1 - p], axis=1)"
    logits = "return np.stack([np.zeros(len(X)), X[:, 0]], axis=1)"
    numbers = "return (X[:, 0] > 0).astype(int)"
    with ld.Dock(tmp_path / "dock") as dock:

        def add(site, body, semantic, outputs=None):
            return int(submitted(dock, tmp_path, site, body=body, semantic=semantic, outputs=outputs))

        one = add(0, high, classification("low", "high"))
        other = add(1, turned, classification("High", "low"))
        of_logits = add(2, logits, classification("low", "high"))
        of_numbers = add(3, numbers, classification("low", "high"), outputs=1)
        elsewhere = add(0, high, classification("no", "yes"))
        pm = add(0, "return X[:, 0]", regression("PM2.5"))
        ozone = add(1, "return X[:, 1]", regression("O3"))
        both = add(0, "return X", regression("PM2.5", "O3"))
        swapped = add(1, "return X[:, ::-1]", regression("O3", "PM2.5"))
        report = dock.peer_review()
        assert not report.failures
        found = pairs(dock)
        means = {(i, j): mean for i, j, mean in rows(dock, "select model_id, sketch_id, mean from peer_losses")}
        hits = dock.search(sketch(0), k=20)
    alike = [{one, other, of_logits, of_numbers}, {both, swapped}]
    assert found == {(i, j) for group in alike for i in group for j in group if i != j}
    assert not {elsewhere, pm, ozone} & {id for pair in found for id in pair}
    # The same function under other names of columns loses nothing; whole classes lose something.
    for i, j in ((one, other), (other, one), (one, of_logits), (of_logits, other), (both, swapped)):
        assert means[i, j] == pytest.approx(0, abs=1e-12)
    assert 0.05 < means[of_numbers, one] < 1
    assert hits.reliability is not None
    assert {int(hit.id) for hit in hits.singles if hit.predicted_loss is None} == {elsewhere, pm, ozone}


def test_models_of_a_dock_with_a_scaling_get_raw_points(tmp_path):
    units = ld.Scaling([100.0, -3.0], [50.0, 0.01])

    def scaled(site):
        raw = rows_of(site) * [50.0, 0.01] + [100.0, -3.0]
        return ld.RKMETableSpecification.fit(raw, gamma=GAMMA, n_points=40, random_state=0, scaling=units)

    with ld.Dock(tmp_path / "dock") as dock:
        dock.set_scaling(units, space=2, gamma=GAMMA)
        for site in range(3):
            submitted(dock, tmp_path, site, spec=scaled(site), body=f"return X[:, 0] + {site} * 1000.0 * X[:, 1]")
        dock.peer_review()
        for model, on, losses in rows(dock, "select model_id, sketch_id, losses from peer_losses"):
            points = dock.specification(f"{on:08d}").raw_points
            expected = ((model - on) * 1000.0 * points[:, 1]) ** 2
            np.testing.assert_allclose(np.frombuffer(losses, np.float32), expected, rtol=1e-4)


def test_the_validation_loss_of_learnwares_gives_the_peer_ratio(reviewed, tmp_path):
    """In this dock of many, two ship one: noise of variance 1, which no model can predict."""
    said = {"rows": 100, "measure": "mean squared error", "loss": 1.0, "variance": 2.0}
    for site in (2, 3):
        path = model_zip(tmp_path / f"{site}.zip", sketch(site), body_of(site, ERRORS[site]), validation=said)
        reviewed.update(f"{site:08d}", path=path)
    reviewed.peer_review()
    hits = reviewed.search(sketch(2))
    weight_of = dict(zip(hits.mixture.ids, hits.mixture.weights, strict=True))
    lost = {hit.id: hit.predicted_loss for hit in hits.singles}
    ids = ["00000002", "00000003"]
    expected = sum(weight_of[id] * lost[id] for id in ids) / sum(weight_of[id] for id in ids)
    assert hits.reliability.peer_ratio == pytest.approx(expected)


def test_a_validation_by_numbers_of_classes_is_kept_as_their_brier_score(tmp_path):
    said = {"rows": 100, "measure": "error rate", "loss": 0.25, "accuracy": 0.75}
    with ld.Dock(tmp_path / "dock") as dock:
        body = "return (X[:, 0] > 0).astype(int)"
        options = {"semantic": classification("low", "high"), "outputs": 1}
        submitted(dock, tmp_path, 0, body=body, validation=said, **options)
        # A wrong class is 2 away from the right one.
        assert rows(dock, "select validation_loss from own_outputs") == [(0.5,)]


# Searches


def test_predicted_losses_are_in_the_order_of_the_actual_ones(reviewed):
    for site in (2, 4):
        hits = reviewed.search(sketch(site))
        X = rows_of(site, rows=400, seed=1)
        with reviewed.get(hits.singles[0].id) as first:
            assert first.id == hits.singles[0].id
        predicted = [hit.predicted_loss for hit in hits.singles]
        actual = []
        for hit in hits.singles:
            code = body_of(int(hit.id), ERRORS[int(hit.id)]).removeprefix("return ")
            actual.append(np.mean((eval(code, {"np": np, "X": X}) - concept(X)) ** 2))
        ranks = [np.argsort(np.argsort(values)) for values in (predicted, actual)]
        assert np.corrcoef(ranks)[0, 1] > 0.7
        assert not hits.reliability.alarm
        assert "predicted loss" in repr(hits)
        assert hits.reliability.message in repr(hits)
        assert hits.reliability.message in hits._repr_html_()
        assert hits.to_frame()["predicted_loss"].tolist() == predicted


def test_what_a_search_predicts_is_the_trimmed_mean_of_the_losses_near_the_user(reviewed):
    from learndock.peers import Evidence

    hits = reviewed.search(sketch(3))
    ids = [int(id) for id in hits.mixture.ids]
    mean_of = {(i, j): mean for i, j, mean in rows(reviewed, "select model_id, sketch_id, mean from peer_losses")}
    losses = np.array([[mean_of.get((i, j), np.nan) for j in ids] for i in ids])
    expected = Evidence(np.array(hits.mixture.weights), losses, [f"site {id}" for id in ids]).predicted
    predicted = {hit.id: hit.predicted_loss for hit in hits.singles}
    np.testing.assert_allclose([predicted[id] for id in hits.mixture.ids], expected, rtol=1e-12)


@pytest.mark.parametrize("rule", ["distance", "greedy", "auto", "greedy_dock"])
def test_every_rule_has_predicted_losses(reviewed, rule):
    hits = reviewed.search(sketch(3), rule=rule)
    assert all(hit.predicted_loss > 0 for hit in hits.singles)
    assert hits.reliability.kappa > 0


def test_learnwares_bring_their_record_along(reviewed):
    with reviewed.get("00000004") as learnware:
        record = learnware.peers
    assert record.submitter == "site 4"
    assert sorted(record.losses) == [f"{n:08d}" for n in range(8) if n != 4]
    (stored,) = rows(reviewed, "select losses from peer_losses where model_id = 4 and sketch_id = 1")
    assert record.losses["00000001"].tolist() == np.frombuffer(stored[0], np.float32).tolist()


def test_the_report_names_twins_and_what_is_covered_or_doubtful(reviewed, tmp_path):
    with ld.Dock(reviewed.path, actor="copycat") as dock:
        twin = submitted(dock, tmp_path, 2, ERRORS[2])
        wrong = submitted(dock, tmp_path, 3, body="return 50 - 30 * X[:, 0]")
        report = dock.peer_review()
    assert report.twins == (("00000002", twin),)
    assert report.covered_by[twin] == "00000002"
    assert report.doubtful[0].id == wrong
    assert report.doubtful[0].disagreement > 10
    assert "00000000" in report.good_at or "00000002" in report.good_at
    assert wrong not in report.good_at
    for text in (f"twins: 00000002 and {twin}", f"{twin} is covered by 00000002", f"doubtful: {wrong}"):
        assert text in repr(report)
    frame = report.to_frame()
    assert frame["id"].tolist() == list(report.ids)
    assert frame.set_index("id")["twins"].to_dict()[twin] == 1
    assert wrong in report._repr_html_()


# Learnwares that are left out


@pytest.mark.parametrize("rule", ["distance", "greedy", "greedy_dock"])
@pytest.mark.parametrize("method", ["certified", "exact"])
def test_a_search_without_some_is_that_of_a_dock_without_them(tmp_path, method, rule):
    rng = np.random.default_rng(0)
    count = 400
    points = [(rng.normal(size=(6, 2)) + rng.normal(size=2)).astype(np.float32) for _ in range(count)]
    weights = [np.full(6, 1 / 6)] * count
    gone = [*range(0, 40, 3), 399]
    user = sketch(0)
    with ld.Dock(tmp_path / "all") as whole, ld.Dock(tmp_path / "fewer") as fewer:
        ids = whole.ingest(points=points, weights=weights, gamma=GAMMA)
        left = [i for i in range(count) if i not in gone]
        names = dict(
            zip(
                fewer.ingest(points=[points[i] for i in left], weights=weights[: len(left)], gamma=GAMMA),
                [ids[i] for i in left],
                strict=True,
            )
        )
        for dock in (whole, fewer):
            dock.optimize()
        nearest = [hit.id for hit in whole.search(user, k=3).singles]
        out = list({*(ids[i] for i in gone)})
        expected = fewer.search(user, k=12, method=method, rule=rule)
        found = whole.search(user, k=12, method=method, rule=rule, exclude=out)
        assert [hit.id for hit in found.singles] == [names[hit.id] for hit in expected.singles]
        assert [hit.mmd2 for hit in found.singles] == [hit.mmd2 for hit in expected.singles]
        assert found.mixture.ids == tuple(names[id] for id in expected.mixture.ids)
        np.testing.assert_allclose(found.mixture.weights, expected.mixture.weights, atol=1e-9)
        assert (found.certified, found.proven_ranks) == (expected.certified, expected.proven_ranks)
        # The nearest itself is gone.
        one = whole.search(user, k=3, method=method, rule=rule, exclude=nearest[0])
        assert [hit.id for hit in one.singles][:2] == nearest[1:]


def test_each_user_leaves_out_his_own(reviewed):
    users = [sketch(1), sketch(1), sketch(5)]
    found = reviewed.search_many(users, exclude=[["00000001"], [], ["00000005", "00000004"]])
    assert [result.singles[0].id for result in found] == ["00000002", "00000001", "00000006"]
    for user, out, result in zip(users, (["00000001"], [], ["00000005", "00000004"]), found, strict=True):
        alone = reviewed.search(user, exclude=out)
        assert [hit.id for hit in result.singles] == [hit.id for hit in alone.singles]
    both = reviewed.search_many(users, exclude=["00000001", "00000005"])
    assert all({"00000001", "00000005"}.isdisjoint(hit.id for hit in result.singles) for result in both)
    assert "00000003" not in [
        hit.id for hit in reviewed.search_rows(rows_of(3), gamma=GAMMA, exclude="00000003", permutations=9).singles
    ]


def test_leaving_out_all_finds_nothing(reviewed):
    found = reviewed.search(sketch(1), exclude=[f"{n:08d}" for n in range(8)])
    assert (found.singles, found.mixture, found.reliability) == ((), None, None)


def test_leaving_out_what_is_none_is_an_error(reviewed):
    with pytest.raises(UnknownLearnware, match="'00000042'"):
        reviewed.search(sketch(1), exclude=["00000001", "00000042"])
    for wrong in (3, [3], [None]):
        with pytest.raises(InvalidArgument, match="^exclude: "):
            reviewed.search(sketch(1), exclude=wrong)
    with pytest.raises(InvalidArgument, match="^exclude: expected ids for all or for each of 1 specs, got 2"):
        reviewed.search(sketch(1), exclude=[["00000001"], ["00000002"]])


# The rest of the dock


def test_a_dock_with_reviews_is_verified_optimized_and_backed_up(reviewed, tmp_path):
    before = kept(reviewed)
    found = reviewed.search(sketch(3))
    reviewed.optimize()
    assert kept(reviewed) == before
    assert reviewed.verify().problems == ()
    reviewed.backup(tmp_path / "copy")
    with ld.Dock(tmp_path / "copy") as copy:
        assert kept(copy) == before
        assert copy.verify().problems == ()
        again = copy.search(sketch(3))
        assert [hit.predicted_loss for hit in again.singles] == [hit.predicted_loss for hit in found.singles]


# Hostile submitters


@pytest.mark.skipif(sys.platform != "linux", reason="starts a dozen models")
def test_a_fifth_of_hostile_models_changes_little(reviewed, tmp_path):
    """Two of ten, by one submitter, near the user: the one agrees with nobody, the other is wrong by a lot."""
    user, X = sketch(3), rows_of(3, rows=500, seed=2)
    y = concept(X)

    def outcome(dock):
        hits = dock.search(user)
        learnwares = dock.get(hits.mixture.ids)
        try:
            local = np.mean((LocalCompetence(hits, learnwares).predict(X) - y) ** 2)
            plain = np.mean((AveragingReuser(learnwares, weights=hits.mixture.weights).predict(X).ravel() - y) ** 2)
        finally:
            for learnware in learnwares:
                learnware.close()
        predicted = {hit.id: hit.predicted_loss for hit in hits.singles if int(hit.id) < 8}
        return predicted, local, plain

    before, local_before, plain_before = outcome(reviewed)
    with ld.Dock(reviewed.path, actor="hostile") as dock:
        submitted(dock, tmp_path, 3, body="return 20 * np.sin(50 * X[:, 1])")
        submitted(dock, tmp_path, 3, body="return np.full(len(X), 30.0)")
        dock.peer_review()
    after, local_after, plain_after = outcome(reviewed)
    ranked = [sorted(losses, key=losses.__getitem__) for losses in (before, after)]
    ranks = [[order.index(id) for id in sorted(before)] for order in ranked]
    assert np.corrcoef(ranks)[0, 1] > 0.9
    assert max(after[id] / before[id] for id in before) < 2
    # He can shift the weights of distances between the others, no more.
    assert local_after < 2.5 * local_before
    assert local_after < 0.6 * ERRORS[3] ** 2 / 2  # the loss of the nearest honest model
    assert plain_after > 1000 * plain_before
