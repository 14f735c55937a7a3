"""The audit log and the log messages: what was done, when, and by whom."""

import logging
import os
import pwd
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

import learndock as ld
from catalogs import change_catalog
from filled_docks import add, checks, described, dock, spec, written_zip  # noqa: F401
from learndock.checker import Status
from learndock.dock import audit
from learndock.errors import DockError, InvalidArgument
from spec_batches import made_specs

pytestmark = pytest.mark.usefixtures("either_catalog")


def told(dock, id=None):  # noqa: F811
    return [(record.action, record.status.name, record.id, record.count) for record in dock.history(id)]


def test_every_change_is_told_newest_first(dock, add, checks, tmp_path):  # noqa: F811
    first = add()
    old = next(dock.list()).zip_sha256
    second = add(status=Status.NONUSABLE)
    checks.status = Status.USABLE
    dock.update(first, path=written_zip(tmp_path / "new.zip", spec(50), note="new"))
    new = next(dock.list()).zip_sha256
    dock.update(first, semantic=described("Renamed"))
    points, weights = made_specs(5, 3)
    ids = dock.ingest(points=points, weights=weights, gamma=0.1)
    dock.delete([second, *ids[1:4]])
    dock.optimize()
    assert told(dock) == [
        ("delete", "USABLE", ids[1], 3),
        ("delete", "NONUSABLE", second, 1),
        ("ingest", "USABLE", ids[0], 5),
        ("update", "USABLE", first, 1),
        ("update", "USABLE", first, 1),
        ("submit", "NONUSABLE", second, 1),
        ("submit", "USABLE", first, 1),
    ]
    records = dock.history(first)
    assert [(record.sha256_before, record.sha256_after) for record in records] == [(new, new), (old, new), (None, old)]
    assert dock.history(second)[0].sha256_before == dock.history(second)[1].sha256_after
    sequence = [record.sequence for record in dock.history()]
    assert sequence == sorted(sequence, reverse=True)
    assert {record.actor for record in dock.history()} == {"tester"}
    for record in dock.history():
        time = datetime.fromisoformat(record.time)
        assert time.utcoffset() == timedelta(0)
        assert abs(datetime.now(UTC) - time) < timedelta(minutes=5)


def test_the_history_of_one_learnware_has_the_batches_that_it_was_in(dock):  # noqa: F811
    points, weights = made_specs(5, 3)
    ids = dock.ingest(points=points, weights=weights, gamma=0.1)
    dock.ingest(points=points, weights=weights, gamma=0.1)
    dock.delete([ids[1], ids[2], ids[4]])
    assert told(dock, ids[2]) == [("delete", "USABLE", ids[1], 2), ("ingest", "USABLE", ids[0], 5)]
    assert told(dock, ids[3]) == [("ingest", "USABLE", ids[0], 5)]
    assert told(dock, "00000099") == []
    assert len(dock.history(limit=2)) == 2
    assert [record.action for record in dock.history(limit=1)] == ["delete"]


def test_a_refused_submission_is_told_and_changes_nothing_else(dock, add, checks, tmp_path, monkeypatch):  # noqa: F811
    id = add()
    entries, files = list(dock.list()), sorted(os.listdir(dock.path / "zips"))
    view = dock._store.view(next(iter(dock.spaces())))
    checks.status = Status.INVALID
    monkeypatch.setattr(audit, "_LONGEST_MESSAGE", 20)
    assert dock.submit(written_zip(tmp_path / "bad.zip", spec(9), described())).status == Status.INVALID
    assert dock.update(id, path=tmp_path / "bad.zip").status == Status.INVALID
    update, submit = dock.history(limit=2)
    assert (submit.action, submit.status, submit.id) == ("submit", Status.INVALID, None)
    assert (update.action, update.status, update.id) == ("update", Status.INVALID, id)
    assert submit.message == "statistical: it is -1"[:20]
    assert submit.sha256_after == update.sha256_after
    assert list(dock.list()) == entries
    assert sorted(os.listdir(dock.path / "zips")) == files
    # A reader does not even look again.
    assert dock._store.view(next(iter(dock.spaces()))) is view


def test_without_a_change_there_is_no_record_and_the_other_way_round(dock, add, tmp_path, monkeypatch):  # noqa: F811
    id = add()

    def full(*args, **options):
        raise OSError(28, "No space left on device")

    points, weights = made_specs(2, 3)
    with monkeypatch.context() as patch:
        patch.setattr(audit, "record", full)
        patch.setattr(audit, "record_deletion", full)
        for change in (
            lambda: dock.submit(written_zip(tmp_path / "new.zip", spec(9), described())),
            lambda: dock.ingest(points=points, weights=weights, gamma=0.1),
            lambda: dock.delete(id),
        ):
            with pytest.raises(DockError, match="No space"):
                change()
    assert [entry.id for entry in dock.list()] == [id]
    assert told(dock) == [("submit", "USABLE", id, 1)]
    with pytest.raises(InvalidArgument):
        dock.ingest(points=points, weights=weights, gamma=-1)
    assert told(dock) == [("submit", "USABLE", id, 1)]


def test_deleting_nothing_is_no_record(dock):  # noqa: F811
    dock.delete([])
    assert dock.history() == []


def test_the_actor_is_the_user_of_the_process_whatever_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("LOGNAME", "somebody-else")
    with ld.Dock(tmp_path / "dock") as dock:  # noqa: F811
        dock.ingest(points=[[[0.0]]], weights=[[1.0]], gamma=0.1)
        assert dock.history()[0].actor == pwd.getpwuid(os.geteuid()).pw_name


def test_the_actor_of_a_process_without_a_name_is_its_number(monkeypatch):
    def unknown(uid):
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert audit.actor_name(None) == f"uid {os.geteuid()}"


@pytest.mark.parametrize("actor", ["", "  ", "a\nb", "\x1b[31m", "x" * 201, 3], ids=repr)
def test_what_is_no_name_is_no_actor_and_makes_no_dock(tmp_path, actor):
    with pytest.raises(InvalidArgument, match="^actor"):
        ld.Dock(tmp_path / "dock", actor=actor)
    assert not (tmp_path / "dock").exists()


@pytest.mark.parametrize(("id", "options"), [("abc", {}), (3, {}), ("00000000", {"limit": 0})])
def test_a_bad_question_is_an_error(dock, id, options):  # noqa: F811
    with pytest.raises(InvalidArgument, match="^(id|limit)"):
        dock.history(id, **options)


def test_records_are_numbered_on_after_all_are_gone(dock):  # noqa: F811
    """A hole in the numbers says that somebody has removed a record."""
    dock.ingest(points=[[[0.0]]], weights=[[1.0]], gamma=0.1)
    change_catalog(dock, "delete from audit")
    dock.ingest(points=[[[0.0]]], weights=[[1.0]], gamma=0.1)
    assert [record.sequence for record in dock.history()] == [2]


def test_changes_are_logged_as_information_and_refusals_as_warnings(dock, add, checks, tmp_path, caplog):  # noqa: F811
    caplog.set_level(logging.INFO, logger="learndock")
    id = add()
    dock.update(id, semantic=described("New"))
    points, weights = made_specs(3, 3)
    ids = dock.ingest(points=points, weights=weights, gamma=0.1)
    dock.delete(ids)
    dock.delete(id)
    dock.optimize()
    dock.backup(tmp_path / "backup")
    checks.status = Status.INVALID
    dock.submit(written_zip(tmp_path / "bad.zip", spec(9), described()))
    records = [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "learndock"]
    levels = [level for level, _ in records]
    assert levels == ["INFO"] * 7 + ["WARNING"]
    for (_, message), words in zip(
        records,
        (
            ("submitted", id, "USABLE"),
            ("updated", id),
            ("ingested 3", ids[0]),
            ("deleted 3", ids[0]),
            ("deleted", id),
            ("optimized",),
            ("backed up", "backup"),
            ("refused", "statistical"),
        ),
        strict=True,
    ):
        assert all(word in message for word in (str(dock.path), *words))


def test_what_a_model_wrote_is_one_line_of_the_log(dock, checks, tmp_path, caplog):  # noqa: F811
    checks.status, checks.message = Status.INVALID, "first\nERROR learndock: forged\x1b[2J"
    report = dock.submit(written_zip(tmp_path / "bad.zip", spec(9), described()))
    assert report.checks[-1].message == checks.message
    assert dock.history()[0].message == "statistical: first ERROR learndock: forged [2J"
    assert all(record.getMessage().isprintable() for record in caplog.records if record.name == "learndock")


def test_nothing_is_printed_where_no_logging_is_set_up(tmp_path):
    code = (
        "import learndock as ld, sys, zipfile\n"
        "with zipfile.ZipFile(sys.argv[1] + '.zip', 'w') as bad: bad.writestr('a', 'b')\n"
        "with ld.Dock(sys.argv[1]) as dock:\n"
        "    dock.ingest(points=[[[0.0]]], weights=[[1.0]], gamma=0.1)\n"
        "    assert dock.submit(sys.argv[1] + '.zip').id is None\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "dock")], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
