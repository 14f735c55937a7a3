"""The demo: its tasks are real splits, its numbers are what it says, and the whole path runs."""

from __future__ import annotations

import io
import json
import math
import sys

import numpy as np
import pytest

from learndock.demo import DemoResult, TaskResult, diabetes, digits, run
from learndock.demo.measures import METHODS
from learndock.demo.picture import draw
from learndock.demo.table import table
from learndock.demo.tasks import LABELLED_ROWS
from learndock.errors import DockError, InvalidArgument, MissingDependency


@pytest.fixture(scope="module", params=[digits, diabetes], ids=["digits", "diabetes"])
def task(request):
    return request.param(developers=4, users=5, seed=3)


def test_no_row_of_a_user_is_a_row_of_a_developer(task):
    developers = {row for site in task.developers for row in site.rows}
    users = {row for site in task.users for row in site.rows}
    assert developers
    assert users
    assert not developers & users


def test_no_site_holds_a_row_twice_and_users_keep_rows_to_be_judged_on(task):
    for site in task.developers + task.users:
        assert len(set(site.rows)) == len(site.rows) == len(site.X) == len(site.y)
    assert all(len(user.rows) >= LABELLED_ROWS + 50 for user in task.users)


def test_sites_are_shifted_against_one_another(task):
    # Means of the columns differ by more than chance would make them: 5 standard errors in some column.
    first, second = task.developers[:2]
    error = np.sqrt(first.X.var(axis=0) / len(first.X) + second.X.var(axis=0) / len(second.X))
    gap = np.abs(first.X.mean(axis=0) - second.X.mean(axis=0))
    assert np.max(gap[error > 0] / error[error > 0]) > 5


def test_the_seed_decides_the_tasks():
    def rows(seed):
        return [site.rows.tolist() for site in digits(developers=2, users=1, seed=seed).developers]

    assert rows(0) == rows(0)
    assert rows(0) != rows(1)


def test_semantic_specifications_speak_of_the_tasks_own_columns(task):
    semantic = task.semantic("site")
    assert semantic.task == task.kind
    assert semantic.input_dimension == task.users[0].X.shape[1]
    assert len(semantic.input_description) == semantic.input_dimension


def small_result():
    accuracy = TaskResult(
        task="digits",
        measure="accuracy",
        developers=3,
        values={
            "random": (0.5, 0.5),
            "mean": (0.4, 0.6),
            "top_1": (0.6, 0.8),
            "mixture": (0.8, 1.0),
            "best": (0.7, 0.9),
            "own": (0.9, 0.9),
        },
        mmd2=(0.1, 0.2),
    )
    values = {method: (float(10 * i),) for i, method in enumerate(METHODS)}
    error = TaskResult(task="diabetes", measure="RMSE", developers=2, values=values, mmd2=(0.3,))
    return DemoResult((accuracy, error), {"all": 1.0}, None)


def test_mean_deviation_and_unit_r_by_hand():
    accuracy, error = small_result().tasks
    assert accuracy.mean("mixture") == pytest.approx(0.9)
    assert accuracy.deviation("mixture") == pytest.approx(math.sqrt(0.02))
    # Losses: mean of the dock 0.5, best 0.2, top 1 0.3, mixture 0.1.
    assert accuracy.regret("mean") == pytest.approx(1.0)
    assert accuracy.regret("best") == pytest.approx(0.0)
    assert accuracy.regret("top_1") == pytest.approx(1 / 3)
    assert accuracy.regret("mixture") == pytest.approx(-1 / 3)
    # An error is its own loss; here mean 10 lies below best 40, so there is no room and no unit.
    assert error.loss("mixture") == 30.0
    assert error.deviation("mixture") == 0.0
    assert math.isnan(error.regret("mixture"))


def test_result_is_json():
    facts = json.loads(json.dumps(small_result().to_dict(), allow_nan=False))
    assert facts["tasks"][0]["methods"]["mixture"]["values"] == [0.8, 1.0]
    assert facts["tasks"][1]["methods"]["mixture"]["R"] is None


def test_table_has_a_row_for_every_method():
    from rich.console import Console

    # As wide as a terminal usually is.
    console = Console(width=80, file=io.StringIO())
    console.print(table(small_result()))
    text = console.file.getvalue()
    assert all(words in text for words in METHODS.values())
    assert "0.900 ± 0.141" in text


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_picture_is_written(tmp_path, suffix):
    pytest.importorskip("matplotlib")
    file = draw(small_result(), tmp_path / f"demo.{suffix}")
    assert file.stat().st_size > 1_000


def test_picture_of_another_kind_or_into_no_folder_is_an_error(tmp_path):
    with pytest.raises(InvalidArgument, match=r"ends in \.png, \.svg or \.pdf"):
        draw(small_result(), tmp_path / "demo.xls")
    pytest.importorskip("matplotlib")
    with pytest.raises(InvalidArgument, match="can't write"):
        draw(small_result(), tmp_path / "absent" / "demo.png")


def test_picture_without_matplotlib_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingDependency, match=r"pip install 'learndock\[plot\]'"):
        draw(small_result(), tmp_path / "demo.png")


def test_run_refuses_bad_arguments_before_it_does_anything(tmp_path):
    with pytest.raises(InvalidArgument, match="users: got 0"):
        run(users=0)
    with pytest.raises(InvalidArgument, match="seed: got -1"):
        run(seed=-1)
    (tmp_path / "mine.txt").write_text("kept")
    with pytest.raises(DockError, match="is not empty"):
        run(dock=tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_the_whole_path_runs_on_both_tasks_and_leaves_its_dock(tmp_path):
    from learndock import Dock

    told = []
    result = run(
        tasks=(digits(developers=2, users=2), diabetes(developers=2, users=2)),
        dock=tmp_path / "dock",
        progress=lambda what, done, total: told.append((what, done, total)),
    )
    accuracy, error = result.tasks
    assert (accuracy.measure, accuracy.users, accuracy.developers) == ("accuracy", 2, 2)
    assert (error.measure, error.users, error.developers) == ("RMSE", 2, 2)
    assert all(0 <= value <= 1 for values in accuracy.values.values() for value in values)
    # The best single learnware is at least as good as any other single one.
    for method in ("random", "mean", "top_1"):
        assert accuracy.loss(method) >= accuracy.loss("best")
        assert error.loss(method) >= error.loss("best")
    # Every stage was told from 0 to its end.
    for what in {what for what, _, _ in told}:
        steps = [(done, total) for stage, done, total in told if stage == what]
        assert steps == [(done, steps[0][1]) for done in range(steps[0][1] + 1)]
    with Dock(tmp_path / "dock", readonly=True) as dock:
        assert len(dock) == 4
