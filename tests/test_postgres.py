"""A dock whose catalog is on a PostgreSQL server: many writers, lost connections, passwords, moving in and out.

What docks do over either catalog is in their own tests; see `either_catalog`.
"""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

import learndock as ld
from catalogs import change_catalog
from command_line import error_of, json_of, learndock
from filled_docks import QuickChecks, described, spec, written_zip
from learndock.dock import audit, folding, postgresql_catalog, writer
from learndock.dock.tables import texts
from learndock.dock.text_index import text_index
from learndock.errors import DockError, DockFormatError, InvalidArgument, MissingDependency, ReadOnlyDock
from postgres_server import PASSWORD
from spec_batches import made_specs
from test_market import Market

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent


@pytest.fixture
def url(postgres_server, monkeypatch):
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    return postgres_server.url()


@pytest.fixture
def dock(tmp_path, url):
    with ld.Dock(tmp_path / "dock", catalog=url, actor="tester") as opened:
        yield opened


@pytest.fixture
def batch():
    points, weights = made_specs(5, 3)
    return {"points": points, "weights": weights, "gamma": 0.1}


def schema_of(dock):
    return json.loads((dock.path / "catalog.json").read_text())["schema"]


def python(code, *arguments, **options):
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], cwd=HERE, **options)


WRITING = """
import sys
import learndock as ld
from spec_batches import made_specs

points, weights = made_specs(5, 3)
with ld.Dock(sys.argv[1], actor=sys.argv[2]) as dock:
    for _ in range(int(sys.argv[3])):
        ids = dock.ingest(points=points, weights=weights, gamma=0.1)
        dock.delete(ids[:2])
"""


def test_writers_in_several_processes_queue_and_all_land(dock):
    writers = [python(WRITING, dock.path, f"writer {i}", 15) for i in range(3)]
    assert [one.wait(120) for one in writers] == [0, 0, 0]
    assert len(dock) == 3 * 15 * 3
    told = [(record.actor, record.action) for record in dock.history()]
    for i in range(3):
        assert told.count((f"writer {i}", "ingest")) == told.count((f"writer {i}", "delete")) == 15
    assert dock.verify().problems == ()


# Stops for ever inside the transaction of a submission, when all but the commit is done.
DYING = """
import sys, time
import learndock as ld
from learndock.dock import audit
from filled_docks import QuickChecks

import learndock.checker
learndock.checker.check_learnware = QuickChecks()
record = audit.record

def stop(*args, **options):
    record(*args, **options)
    print("inside", flush=True)
    time.sleep(600)

audit.record = stop
with ld.Dock(sys.argv[1], actor="the dying") as dock:
    dock.submit(sys.argv[2])
"""


def test_a_writer_that_is_killed_leaves_nothing_half_and_lets_the_next_one_write(dock, batch, tmp_path, monkeypatch):
    dock.ingest(**batch)
    before = (list(dock.list()), dock.history())
    zip_path = written_zip(tmp_path / "a.zip", spec(), described())
    dying = python(DYING, dock.path, zip_path, stdout=subprocess.PIPE)
    try:
        assert dying.stdout.readline() == b"inside\n"
        monkeypatch.setattr(writer, "_LOCK_SECONDS", 0.3)
        with ld.Dock(dock.path) as other, pytest.raises(DockError, match=r"another writer \(learndock the dying on "):
            other.ingest(**batch)
        assert dock.verify().orphans is None  # its files may be named yet
    finally:
        dying.send_signal(signal.SIGKILL)
        dying.wait()
        dying.stdout.close()
    started = time.monotonic()
    dock.optimize()
    assert time.monotonic() - started < 10
    assert (list(dock.list()), dock.history()) == before
    report = dock.verify()
    assert report.problems == ()
    assert report.orphans == ()
    assert os.listdir(dock.path / "zips") == []


def test_while_the_server_is_away_calls_fail_and_then_go_on(dock, batch, postgres_server):
    dock.ingest(**batch)
    user = spec(1)
    nearest = dock.search(user).singles
    postgres_server.stop()
    try:
        for call in (
            lambda: len(dock),
            lambda: dock.search(user),
            lambda: dock.ingest(**batch),
            lambda: ld.Dock(dock.path),
        ):
            with pytest.raises(
                DockError, match=r"postgresql\+psycopg://tester@127\.0\.0\.1.*(refused|closed|terminat)"
            ):
                call()
    finally:
        postgres_server.start()
    assert dock.search(user).singles == nearest
    assert len(dock.ingest(**batch)) == 5
    assert len(dock) == 10
    assert dock.verify().ok


def test_a_server_that_goes_away_inside_a_transaction_undoes_it(dock, batch, postgres_server, monkeypatch):
    monkeypatch.setattr(folding, "SEGMENT_SPECS", 5)
    dock.ingest(**batch)
    record = audit.record

    def restarted(*args, **options):
        postgres_server.stop()
        postgres_server.start()
        return record(*args, **options)

    monkeypatch.setattr(audit, "record", restarted)
    with pytest.raises(DockError):
        dock.ingest(**batch)
    monkeypatch.setattr(audit, "record", record)
    assert len(dock) == 5
    report = dock.verify()
    assert report.problems == ()
    assert report.orphans == ()  # the segment that was written for it is deleted
    assert len(dock.ingest(**batch)) == 5


def test_who_has_lost_the_lock_writes_no_more(dock, batch, postgres_server):
    """An administrator ends the session that holds it: another may have it by now."""
    with dock._writer._lock.held():
        postgres_server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
        )
        with ld.Dock(dock.path) as other:
            other.ingest(**batch)
        for _ in range(2):
            with pytest.raises(DockError, match="terminating connection|was lost"):
                dock.ingest(**batch)
    assert len(dock) == 5
    assert len(dock.ingest(**batch)) == 5


def test_a_signal_when_the_lock_was_just_taken_does_not_keep_it(dock, batch, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(postgresql_catalog, "_Session", interrupted)
        with pytest.raises(KeyboardInterrupt):
            dock.ingest(**batch)
    monkeypatch.setattr(writer, "_LOCK_SECONDS", 5)
    with ld.Dock(dock.path) as other:
        assert len(other.ingest(**batch)) == 5


def test_a_lost_connection_at_the_commit_waits_for_what_the_server_makes_of_it(dock, batch, monkeypatch):
    """The commit is done, but its answer lost: the segment that it names must not be deleted."""
    monkeypatch.setattr(folding, "SEGMENT_SPECS", 5)
    dialect = dock._catalog._engine.dialect
    commit, left = dialect.do_commit, [2]

    def lost(connection):
        commit(connection)
        left[0] -= 1
        if left[0] == 0:
            connection.dbapi_connection.close()
            commit(connection)

    dialect.do_commit = lost
    with pytest.raises(DockError, match="closed"):
        dock.ingest(**batch)
    dialect.do_commit = commit
    assert len(dock) == 5
    assert dock.verify().problems == ()
    assert len(dock.search(spec(1), k=9).singles) == 5


def test_the_writers_of_one_process_queue_too(dock, batch):
    docks = [ld.Dock(dock.path) for _ in range(3)]
    threads = [threading.Thread(target=lambda each=each: [each.ingest(**batch) for _ in range(4)]) for each in docks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(dock) == 60
    for each in docks:
        each.close()


def test_docks_share_a_database_and_know_nothing_of_each_other(dock, batch, tmp_path, url):
    dock.ingest(**batch)
    with ld.Dock(tmp_path / "other", catalog=url) as other:
        assert len(other) == 0
        with dock._writer._lock.held():
            assert other.ingest(**batch)[0] == "00000000"
        assert schema_of(other) != schema_of(dock)
    assert len(dock) == 5


def test_the_folder_says_where_its_catalog_is(dock, url):
    with ld.Dock(dock.path) as same, ld.Dock(dock.path, catalog=sa.make_url(url)) as named:
        assert same.catalog == named.catalog == dock.catalog
    assert json.loads((dock.path / "dock.json").read_text())["format"] == 2
    assert not (dock.path / "catalog.sqlite").exists()
    assert dock.catalog.startswith("postgresql+psycopg://tester@127.0.0.1:")


def test_the_command_line_makes_docks_there_and_finds_them_again(tmp_path, url):
    path, archive = tmp_path / "dock", written_zip(tmp_path / "one.zip", spec(1), described("Prices of houses"))
    assert json_of("submit", path, archive, "--catalog", url)["id"] == "00000000"
    assert not (path / "catalog.sqlite").exists()
    assert [each["id"] for each in json_of("ls", path)] == ["00000000"]
    assert learndock("doctor", path).exit_code == 0

    market = Market(tmp_path / "market")
    market.add("brought")
    assert json_of("import-market", tmp_path / "second", market.root, "--catalog", url)["counts"] == {"usable": 1}
    assert json_of("backup", path, tmp_path / "copy")["learnwares"] == 1
    assert json_of("backup", path, tmp_path / "there", "--catalog", url)["learnwares"] == 1
    for folder, there in (("second", True), ("copy", False), ("there", True)):
        with ld.Dock(tmp_path / folder) as dock:
            assert len(dock) == 1
            assert dock.catalog.startswith("postgresql") == there


def test_the_command_line_refuses_a_catalog_that_is_none(tmp_path):
    archive = written_zip(tmp_path / "one.zip", spec(1), described("Prices of houses"))
    error = error_of("submit", tmp_path / "dock", archive, "--catalog", "mysql://host/db")
    assert error.startswith("catalog: expected a URL such as postgresql+psycopg://")
    assert not (tmp_path / "dock").exists()


def test_another_catalog_than_its_own_is_refused(dock, postgres_server, tmp_path, url):
    postgres_server.execute("CREATE DATABASE another")
    with pytest.raises(DockError, match=f"its catalog is the schema {schema_of(dock)}, and there is none at "):
        ld.Dock(dock.path, catalog=postgres_server.url("another"))
    with ld.Dock(tmp_path / "sqlite"):
        pass
    with pytest.raises(DockError, match="^catalog: .* has its catalog in its folder"):
        ld.Dock(tmp_path / "sqlite", catalog=url)
    postgres_server.execute("DROP DATABASE another")


@pytest.mark.parametrize(
    ("catalog", "error", "said"),
    [
        (3, InvalidArgument, "^catalog: expected a URL .* got int"),
        (f"no url with {PASSWORD}", InvalidArgument, "^catalog: expected a URL"),
        ("postgresql://a:b@c:port/d", InvalidArgument, "^catalog: expected a URL"),
        (f"mysql://tester:{PASSWORD}@127.0.0.1/db", InvalidArgument, "^catalog: .* got one of 'mysql'"),
        ("sqlite:///catalog.sqlite", InvalidArgument, "^catalog: .* got one of 'sqlite'"),
        (f"postgresql://tester:{PASSWORD}@127.0.0.1:1/db", DockError, "^catalog: .*127.0.0.1:1/db"),
        (f"postgresql://127.0.0.1:1/db?password={PASSWORD}", DockError, "^catalog: .*127.0.0.1:1/db:"),
    ],
)
def test_what_is_no_catalog_is_refused_before_anything_is_made(tmp_path, catalog, error, said):
    pytest.importorskip("psycopg") if error is DockError else None
    with pytest.raises(error, match=said) as caught:
        ld.Dock(tmp_path / "dock", catalog=catalog)
    assert not (tmp_path / "dock").exists()
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))


def test_a_database_and_a_user_that_are_not_there_are_errors(postgres_server, tmp_path):
    for url in (postgres_server.url("absent"), postgres_server.url(password="wrong-horse")):
        with pytest.raises(DockError, match=r"^catalog: .*(does not exist|authentication failed)") as caught:
            ld.Dock(tmp_path / "dock", catalog=url)
        assert "wrong-horse" not in "".join(traceback.format_exception(caught.value))
    postgres_server.execute("CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0 LOCALE 'C'")
    with pytest.raises(DockError, match="expected a database in UTF8, got one in SQL_ASCII"):
        ld.Dock(tmp_path / "dock", catalog=postgres_server.url("ascii"))
    assert not (tmp_path / "dock").exists()
    postgres_server.execute("DROP DATABASE ascii")


def test_without_psycopg_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingDependency, match=r"learndock\[postgres\]"):
        ld.Dock(tmp_path / "dock", catalog="postgresql://127.0.0.1/db")
    assert not (tmp_path / "dock").exists()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"url": "sqlite://", "schema": "x"}', None], ids=repr)
def test_a_broken_record_is_a_clear_error(dock, content):
    record = json.loads((dock.path / "catalog.json").read_text())
    for text in (content, content and json.dumps({**record, "schema": 'x"; DROP TABLE state; --'})):
        (dock.path / "catalog.json").unlink() if text is None else (dock.path / "catalog.json").write_text(text)
        with pytest.raises(DockFormatError, match=r"catalog\.json"):
            ld.Dock(dock.path)
        (dock.path / "catalog.json").touch()


def test_the_password_is_nowhere(tmp_path, url, batch, caplog):
    caplog.set_level(logging.DEBUG)
    with ld.Dock(tmp_path / "dock", catalog=f"{url}?password={PASSWORD}") as dock:
        dock.ingest(**batch)
        dock.optimize()
        dock.backup(tmp_path / "backup", catalog=url)
        seen = [repr(dock), dock.catalog, repr(dock.__dict__), repr(vars(dock._catalog)), repr(dock.verify())]
        change_catalog(dock, "DROP TABLE state")
        with pytest.raises(DockError) as caught:
            dock.search(spec(1))
        seen += [str(caught.value), *traceback.format_exception(caught.value)]
    files = [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]
    assert len(files) > 8
    assert not [text for text in [*seen, caplog.text] if PASSWORD in text]
    assert not [content for content in files if PASSWORD.encode() in content]


def test_the_command_line_opens_it_and_says_where_it_is(dock, batch, url):
    dock.ingest(**batch)
    command = [sys.executable, "-m", "learndock.cli", "info", str(dock.path), "--json"]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert (told["catalog"], told["format"], told["learnwares"]) == (dock.catalog, 2, 5)
    assert set(told["bytes"]) == {"zips", "specs"}
    assert told["catalog"].startswith(url.replace(f":{PASSWORD}", ""))


def test_a_readonly_dock_is_so_at_the_server(dock, batch):
    dock.ingest(**batch)
    with ld.Dock(dock.path, readonly=True) as reader:
        assert len(reader) == 5
        with pytest.raises(ReadOnlyDock):
            reader.ingest(**batch)
        with pytest.raises(DockError, match="read-only transaction"), reader._catalog.writing() as connection:
            connection.exec_driver_sql("DELETE FROM audit")
        dock.ingest(**batch)
        assert len(reader) == 10


def test_a_dock_moves_to_postgresql_and_back_with_all_that_it_knows(tmp_path, url, batch, monkeypatch):
    checks = QuickChecks()
    monkeypatch.setattr("learndock.checker.check_learnware", checks)

    def contents(dock):
        return (
            list(dock.list()),
            [(hit.id, hit.mmd2) for hit in dock.search(spec(99), k=99, status="any").singles],
            dock.history(),
            [(hit.id, hit.score) for hit in dock.search_semantic(ld.SemanticQuery(name="Ünicode"), k=9).hits],
            {entry.id: dock.zip_path(entry.id).read_bytes() for entry in dock.list() if entry.zip_sha256},
        )

    with ld.Dock(tmp_path / "dock", actor="tester") as dock:
        ids = [
            dock.submit(written_zip(tmp_path / f"{i}.zip", spec(i), described(f"Ünicode {i}"), note=str(i))).id
            for i in range(4)
        ]
        ids += dock.ingest(**batch)
        dock.optimize()
        dock.delete(ids[2])
        dock.update(ids[1], path=written_zip(tmp_path / "new.zip", spec(50), note="new"))
        dock.set_search_gamma(0.5, gamma=0.1, input_shape=3)
        before = contents(dock)
        dock.backup(tmp_path / "moved", catalog=url)
    with ld.Dock(tmp_path / "moved", actor="tester") as moved:
        assert moved.catalog.startswith("postgresql")
        assert contents(moved) == before
        assert moved.verify().problems == ()
        # It goes on counting: ids, spaces and the audit log.
        other = spec(7, gamma=0.9)
        added = moved.submit(written_zip(tmp_path / "7.zip", other, described("Another"), note="7")).id
        assert added == f"{len(ids):08d}"
        assert [record.sequence for record in moved.history()] == list(range(len(before[2]) + 1, 0, -1))
        assert sorted(moved.spaces().values()) == [1, 8]
        after = contents(moved)
        moved.backup(tmp_path / "back")
    with ld.Dock(tmp_path / "back") as back:
        assert back.catalog == "catalog.sqlite"
        assert contents(back) == after
        assert back.verify().problems == ()


def test_a_backup_that_fails_leaves_no_schema(dock, batch, postgres_server, tmp_path, url, monkeypatch):
    dock.ingest(**batch)
    dock.optimize()

    def schemas():
        return postgres_server.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'learndock%' ORDER BY 1")

    before = schemas()

    def stopped(what, done, total):
        if done == total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dock.backup(tmp_path / "backup", catalog=url, on_progress=stopped)
    assert schemas() == before
    assert not (tmp_path / "backup").exists()


def test_rows_without_their_parent_and_broken_indexes_are_found(dock, batch):
    dock.ingest(**batch)
    change_catalog(dock, "UPDATE pending SET space_id = 77 WHERE learnware_id = 3")
    change_catalog(dock, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'learnwares_of_data'::regclass")
    said = {(problem.subject, problem.message) for problem in dock.verify().problems}
    assert ("pending", "a row names spaces 77, which is not there") in said
    assert ("learnwares_of_data", "the index is not whole") in said


def test_text_searches_are_answered_by_the_index(dock):
    with dock._catalog.writing() as connection:
        names = [f"name {i} {hash((i, 'x')) % 10**9}" for i in range(3000)]
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        connection.exec_driver_sql(
            "INSERT INTO texts (rowid, name, description) VALUES (%s, %s, 'something')", list(enumerate(names))
        )
        query = sa.text("EXPLAIN SELECT rowid FROM texts WHERE name LIKE '%me 77 %' OR description LIKE '%me 77 %'")
        plan = "\n".join(connection.execute(query).scalars())
        assert "texts_trigrams" in plan
        found = connection.execute(
            sa.select(texts.c.rowid).where(text_index(connection).narrowed(["me 77 "]))
        ).scalars()
        assert list(found) == [77]


def test_what_no_text_of_a_database_holds_is_recorded_without_it(dock, tmp_path, monkeypatch):
    checks = QuickChecks()
    checks.status, checks.message = ld.checker.Status.INVALID, "a\0b"
    monkeypatch.setattr("learndock.checker.check_learnware", checks)
    assert dock.submit(written_zip(tmp_path / "bad.zip", spec(), described())).id is None
    assert np.all(["\0" not in record.message for record in dock.history()])
