"""The verbs around a dock: each does what it says, and ends with the exit code that is documented."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

import learndock as ld
from command_line import error_of, json_of, learndock
from filled_docks import described, spec, written_zip
from learndock.cli import contents
from learndock.runtime import available_isolation
from sketched_views import small_numbers
from spec_batches import made_specs
from test_market import Market

WRONG = """
from learnware.model import BaseModel
class Model(BaseModel):
    def __init__(self): super().__init__((9,), (2,))
"""


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """Zips: two that are fine, one whose model does not fit its specification."""
    folder = tmp_path_factory.mktemp("archives")
    return {
        "good": written_zip(folder / "good.zip", spec(1), described("Readmission of patients", "In 30 days.")),
        "other": written_zip(folder / "other.zip", spec(2), described("Prices of houses", scenario=["Business"])),
        "wrong": written_zip(folder / "wrong.zip", spec(3), described("Wrong"), model=WRONG),
    }


@pytest.fixture
def dock(tmp_path, archives):
    """A dock with the two good ones."""
    for name in ("good", "other"):
        assert json_of("submit", tmp_path / "dock", archives[name])["status"] == "USABLE"
    return tmp_path / "dock"


def test_check_says_what_submit_would_and_adds_nothing(tmp_path, archives):
    facts = json_of("check", archives["good"])
    assert facts["status"] == "USABLE"
    assert facts["isolation"] == available_isolation().level.name.lower()
    assert [check["name"] for check in facts["checks"]] == ["archive", "semantic", "requirements", "statistical"]
    result = learndock("check", archives["good"])
    assert f"USABLE: {archives['good']} (model contained by: {facts['isolation']})" in result.stdout.replace("\n", "")


def test_check_of_an_invalid_learnware_ends_with_3(archives):
    result = learndock("check", archives["wrong"], "--json")
    assert result.exit_code == 3
    assert json.loads(result.stdout)["status"] == "INVALID"
    assert "input_shape" in result.stdout
    assert "INVALID" in learndock("check", archives["wrong"]).stdout


def test_check_takes_a_folder_another_semantic_part_and_a_time(tmp_path, archives):
    import zipfile

    with zipfile.ZipFile(archives["good"]) as archive:
        archive.extractall(tmp_path / "folder")
    semantic = tmp_path / "semantic.json"
    described("Another", input={"Dimension": 4}).save(semantic)
    assert json_of("check", tmp_path / "folder")["status"] == "USABLE"
    result = learndock("check", tmp_path / "folder", "--semantic", semantic)
    assert result.exit_code == 3
    assert "Input has dimension 4" in result.stdout
    assert "seconds: expected a positive number, got -1" in error_of("check", archives["good"], "--seconds", "-1")
    assert "does not exist" in error_of("check", tmp_path / "absent.zip")


@pytest.mark.parametrize("verb", ["check", "submit", "update", "import-market"])
def test_a_model_is_not_started_below_the_isolation_that_is_required(tmp_path, dock, archives, monkeypatch, verb):
    from learndock.runtime import Isolation

    monkeypatch.setattr("learndock.runtime.tree._MOST", Isolation.PROCESS)
    market = Market(tmp_path / "market")
    market.add("0001")
    arguments = {
        "check": [archives["good"]],
        "submit": [dock, archives["good"]],
        "update": [dock, "00000000", "--zip", archives["other"]],
        "import-market": [dock, market.root],
    }[verb]
    complaint = error_of(verb, *arguments, "--isolation", "require")
    assert complaint.startswith("isolation: the model can't be contained here as required: ")
    assert json_of("ls", dock, "--count") == {"count": 2}
    assert learndock(verb, *arguments, "--isolation", "little").exit_code == 2


def test_update_puts_another_zip_in_the_place_and_keeps_the_id(dock, archives):
    facts = json_of("update", dock, "00000000", "--zip", archives["other"])
    assert (facts["id"], facts["status"]) == ("00000000", "USABLE")
    first, second = json_of("ls", dock)
    assert first["zip_sha256"] == second["zip_sha256"]
    # What is not given stays.
    assert (first["id"], first["name"]) == ("00000000", "Readmission of patients")
    assert "00000000 updated" in learndock("update", dock, "00000000", "--zip", archives["good"]).stdout


def test_update_of_the_semantic_part_alone(tmp_path, dock):
    described("A new name", "In 90 days.").save(tmp_path / "semantic.json")
    before = json_of("ls", dock)[0]["zip_sha256"]
    assert json_of("update", dock, "00000000", "--semantic", tmp_path / "semantic.json")["status"] == "USABLE"
    entry = json_of("ls", dock)[0]
    assert (entry["name"], entry["description"], entry["zip_sha256"]) == ("A new name", "In 90 days.", before)


def test_an_update_that_is_invalid_ends_with_3_and_changes_nothing(dock, archives):
    before = json_of("ls", dock)
    result = learndock("update", dock, "00000000", "--zip", archives["wrong"])
    assert result.exit_code == 3
    assert "00000000 not updated" in result.stdout
    assert json_of("ls", dock) == before


def test_what_update_is_asked_for_wrongly_is_an_error(tmp_path, dock, archives):
    assert "no learnware '00000009'" in error_of("update", dock, "00000009", "--zip", archives["good"])
    assert "no such file" in error_of("update", dock, "00000000", "--zip", tmp_path / "absent.zip")
    assert "holds no dock" in error_of("update", tmp_path / "absent", "00000000", "--zip", archives["good"])
    assert not (tmp_path / "absent").exists()


def test_an_update_without_anything_new_is_a_new_check(dock):
    assert json_of("update", dock, "00000000")["status"] == "USABLE"


def test_ls_filters_sorts_and_counts(dock):
    def ids(*options):
        return [entry["id"] for entry in json_of("ls", dock, *options)]

    assert ids() == ["00000000", "00000001"]
    assert ids("--name", "houses") == ["00000001"]
    assert ids("--scenario", "Business") == ["00000001"]
    assert ids("--scenario", "Business", "--scenario", "Education") == ["00000000", "00000001"]
    assert ids("--status", "nonusable") == []
    assert ids("--sort", "name") == ["00000001", "00000000"]
    assert ids("--sort", "name", "--descending", "--limit", 1) == ["00000000"]
    assert json_of("ls", dock, "--count", "--name", "houses") == {"count": 1}
    assert learndock("ls", dock, "--count").stdout == "2\n"
    assert learndock("ls", dock, "--sort", "colour").exit_code == 2


def test_a_long_list_is_printed_while_it_is_read(dock, monkeypatch):
    monkeypatch.setattr(contents, "_ROWS", 1)
    tables = []
    monkeypatch.setattr(contents, "print_table", lambda table: tables.append(table.row_count))
    assert learndock("ls", dock).exit_code == 0
    assert tables == [1, 1]
    tables.clear()
    learndock("ls", dock, "--name", "no such name")
    assert tables == [0]


def test_ls_shows_the_checksum_that_the_zip_has(dock):
    import hashlib

    entry = json_of("ls", dock)[0]
    with ld.Dock(dock, readonly=True) as shelf:
        assert entry["zip_sha256"] == hashlib.sha256(shelf.zip_path("00000000").read_bytes()).hexdigest()
    assert entry["zip_sha256"][:12] in learndock("ls", dock).stdout


def test_search_by_words_alone_and_beside_a_specification(tmp_path, dock):
    spec(1).save(tmp_path / "user.json")
    found = json_of("search", dock, "--name", "readmission")
    assert [hit["entry"]["id"] for hit in found["hits"]] == ["00000000"]
    assert found["kind"] == "exact"
    similar = json_of("search", dock, "--name", "readmision")
    assert (similar["kind"], [hit["entry"]["id"] for hit in similar["hits"]]) == ("similar", ["00000000"])
    assert "something similar" in learndock("search", dock, "--name", "readmision").stdout
    assert learndock("search", dock, "--description", "nothing of the kind").stdout == "nothing found\n"
    beside = json_of("search", dock, tmp_path / "user.json", "--name", "houses")
    assert [hit["id"] for hit in beside["singles"]] == ["00000001"]


def test_search_finds_what_can_not_run_here_only_where_any_status_will_do(tmp_path, dock):
    written = written_zip(tmp_path / "elsewhere.zip", spec(1), described("Elsewhere"))
    import zipfile

    with zipfile.ZipFile(written, "a") as archive:
        archive.writestr("requirements.txt", "no-such-distribution==1.0\n")
    assert json_of("submit", dock, written)["status"] == "NONUSABLE"
    spec(1).save(tmp_path / "user.json")
    ids = [hit["id"] for hit in json_of("search", dock, tmp_path / "user.json")["singles"]]
    assert "00000002" not in ids
    ids = [hit["id"] for hit in json_of("search", dock, tmp_path / "user.json", "--status", "any")["singles"]]
    assert "00000002" in ids


def test_search_says_once_which_sketches_can_not_be_read(tmp_path):
    with ld.Dock(tmp_path / "dock") as shelf, small_numbers():
        points, weights = made_specs(60, 3, seed=0)
        shelf.ingest(points=points, weights=weights, gamma=0.1)
        shelf.optimize()
    (path,) = (tmp_path / "dock").glob("specs/*/sketch-*/codes.npy")
    path.write_bytes(b"")
    spec(1, dim=3).save(tmp_path / "user.json")
    found = json_of("search", tmp_path / "dock", tmp_path / "user.json")
    (warning,) = found["warnings"]
    assert str(path.parent) in warning
    assert found["work"]["damaged"] == 60
    shown = learndock("search", tmp_path / "dock", tmp_path / "user.json")
    assert shown.stdout.count(f"warning: {path.parent}") == 1
    assert shown.stderr == ""
    assert "damaged: 60" in learndock("stats", tmp_path / "dock").stdout


def test_history_tells_who_did_what(dock, archives):
    learndock("submit", dock, archives["wrong"])
    learndock("rm", dock, "00000001")
    records = json_of("history", dock)
    assert [(record["action"], record["id"], record["status"]) for record in records] == [
        ("delete", "00000001", "USABLE"),
        ("submit", None, "INVALID"),
        ("submit", "00000001", "USABLE"),
        ("submit", "00000000", "USABLE"),
    ]
    assert len({record["actor"] for record in records}) == 1
    assert [record["action"] for record in json_of("history", dock, "00000001")] == ["delete", "submit"]
    assert len(json_of("history", dock, "--limit", 1)) == 1
    assert "delete" in learndock("history", dock).stdout
    assert "id: expected an id" in error_of("history", dock, "x")


def test_doctor_finds_nothing_wrong_with_a_good_dock(dock):
    facts = json_of("doctor", dock)
    assert facts["ok"] is True
    assert (facts["problems"], facts["zips"], facts["learnwares"]) == ([], 2, 2)
    assert "nothing is wrong: 2 learnwares, 2 zips" in learndock("doctor", dock).stdout


def test_doctor_names_what_is_wrong_and_ends_with_3(dock):
    with ld.Dock(dock, readonly=True) as shelf:
        damaged, missing = shelf.zip_path("00000000"), shelf.zip_path("00000001")
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    missing.unlink()
    (dock / "zips" / "00000009.zip").write_bytes(b"stray")
    result = learndock("doctor", dock, "--json")
    assert result.exit_code == 3
    facts = json.loads(result.stdout)
    assert {(problem["part"], problem["subject"]) for problem in facts["problems"]} == {
        ("zip", "00000000"),
        ("zip", "00000001"),
    }
    assert facts["orphans"] == [str(dock / "zips" / "00000009.zip")]
    text = learndock("doctor", dock).stdout
    assert "2 problems" in text
    assert "orphan" in text
    # It has repaired nothing, and what is damaged is not handed out.
    assert "00000000" in error_of("get", dock, "00000000", "-o", dock.parent / "out.zip")
    assert not (dock.parent / "out.zip").exists()


def test_doctor_repairs_what_it_can_and_drops_what_it_is_told_to(dock):
    with ld.Dock(dock, readonly=True) as shelf:
        damaged = shelf.zip_path("00000000")
    damaged.write_bytes(b"damaged")
    (dock / "zips" / "00000009.zip").write_bytes(b"stray")
    result = learndock("doctor", dock, "--repair")
    assert result.exit_code == 3
    assert "1 files and folders that a killed writer had left were deleted" in result.stdout
    assert "1 problems" in result.stdout
    assert "goes with --repair" in error_of("doctor", dock, "--drop-damaged")
    facts = json_of("doctor", dock, "--repair", "--drop-damaged")
    assert facts["ok"] is True
    assert facts["dropped"] == ["00000000"]
    assert facts["done"] == ["learnwares were dropped: 00000000"]
    assert [problem["subject"] for problem in facts["found"]] == ["00000000"]
    assert json_of("ls", dock, "--count") == {"count": 1}


def test_optimize_removes_what_a_killed_writer_has_left(dock):
    stray = dock / "zips" / "00000009.zip"
    stray.write_bytes(b"stray")
    assert json_of("optimize", dock) == {"path": str(dock), "learnwares": 2}
    assert not stray.exists()
    assert "optimized, 2 learnwares" in learndock("optimize", dock).stdout
    assert "holds no dock" in error_of("optimize", dock.parent)


def test_a_backup_is_a_dock_with_the_same_learnwares(tmp_path, dock):
    facts = json_of("backup", dock, tmp_path / "copy")
    assert facts == {"path": str(tmp_path / "copy"), "learnwares": 2}
    assert json_of("ls", tmp_path / "copy") == json_of("ls", dock)
    assert json_of("doctor", tmp_path / "copy")["ok"] is True
    assert "path" in error_of("backup", dock, tmp_path / "copy")
    assert "2 learnwares" in learndock("backup", dock, tmp_path / "whole", "--copy").stdout


def test_import_market_brings_what_is_good_and_says_what_is_not(tmp_path):
    market = Market(tmp_path / "market")
    market.add("0001")
    market.add("0002", files={"__init__.py": b"raise RuntimeError"})
    result = learndock("import-market", tmp_path / "dock", market.root, "--json")
    assert result.exit_code == 3
    facts = json.loads(result.stdout)
    assert [(entry["old_id"], entry["new_id"], entry["status"]) for entry in facts["entries"]] == [
        ("0001", "00000000", "USABLE"),
        ("0002", None, "INVALID"),
    ]
    again = learndock("import-market", tmp_path / "dock", market.root)
    assert "already there" in again.stdout
    assert json_of("ls", tmp_path / "dock", "--count") == {"count": 1}


def test_import_of_nothing_leaves_no_dock_behind(tmp_path):
    assert "expected the folder" in error_of("import-market", tmp_path / "dock", tmp_path / "absent")
    assert "no market" in error_of("import-market", tmp_path / "dock", tmp_path)
    assert not (tmp_path / "dock").exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_can_complete_the_verbs(shell):
    name = "_LEARNDOCK_COMPLETE"
    script = subprocess.run(
        [sys.executable, "-c", "import sys; sys.argv = ['learndock']; from learndock.cli import main; main()"],
        env={name: f"source_{shell}", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert name in script.stdout, script.stderr
    assert "learndock" in script.stdout


def test_completion_knows_the_verbs():
    answer = subprocess.run(
        [sys.executable, "-c", "import sys; sys.argv = ['learndock']; from learndock.cli import main; main()"],
        env={
            "_LEARNDOCK_COMPLETE": "complete_bash",
            "COMP_WORDS": "learndock im",
            "COMP_CWORD": "1",
            "PATH": "/usr/bin",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.stdout.split() == ["import-market"]


def test_the_exit_codes_are_documented():
    text = " ".join(learndock("--help").stdout.split())
    assert "Exit codes: 0 done; 1 an error, in one line on stderr; 2 wrong usage; 3 the work was done" in text


@pytest.mark.parametrize("arguments", [("ls",), ("search",), ("search", "--name", "red")])
def test_names_from_strangers_do_not_steer_a_terminal(tmp_path, archives, arguments):
    name = "\x1b[31mRed\x1b]0;title\x07 \u202e[bold]"
    described(name).save(tmp_path / "semantic.json")
    json_of("submit", tmp_path / "dock", archives["good"], "--semantic", tmp_path / "semantic.json")
    verb, *options = arguments
    text = learndock(verb, tmp_path / "dock", *options).stdout
    assert "\N{REPLACEMENT CHARACTER}[31mRed" in text
    assert "[bold]" in text
    assert not {"\x1b", "\x07", "\u202e"} & set(text)
    assert name in (entry["name"] for entry in json_of("ls", tmp_path / "dock"))


@pytest.mark.parametrize("encoding", ["utf-8:strict", "ascii:strict"])
def test_what_stdout_has_no_letters_for_ends_no_verb(tmp_path, archives, encoding):
    described("Größe \U0001f600").save(tmp_path / "semantic.json")
    odd = tmp_path / os.fsdecode(b"d\xffck")
    json_of("submit", odd, archives["good"], "--semantic", tmp_path / "semantic.json")

    def printed(*arguments):
        command = [sys.executable, "-m", "learndock.cli", *map(str, arguments)]
        environment = {**os.environ, "PYTHONIOENCODING": encoding}
        return subprocess.run(command, env=environment, check=True, capture_output=True).stdout

    assert b"Gr" in printed("ls", odd)
    assert b"USABLE 1" in printed("info", odd)
    assert json.loads(printed("ls", odd, "--json"))[0]["name"] == "Größe \U0001f600"
    assert json.loads(printed("info", odd, "--json"))["path"] == str(odd)
