"""Hostile files and models again, as a user of the command line and of import-market meets them."""

from __future__ import annotations

import json
import re
import sqlite3
import textwrap
import zipfile
from pathlib import Path

import pytest

import learndock as ld
from command_line import learndock
from filled_docks import described, spec, written_zip
from hostile_files import HOSTILE
from leaks import nothing_left
from learndock.cli.reports import ANSWER_IS_NO
from learndock.runtime import ModelLimits
from model_folders import write_model
from test_market import Market
from test_sandbox import USE_UP

pytestmark = pytest.mark.slow

# What steers a terminal, or makes a text read otherwise than it is.
_STEERS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def named(case):
    return case.name.replace(" ", "_")


def stored(dock: Path) -> list[str]:
    """Zips and segments of a dock, and what its catalog has of them."""
    files = [item.name for folder in ("zips", "specs") for item in (dock / folder).rglob("*")]
    connection = sqlite3.connect(dock / "catalog.sqlite")
    try:
        return [*files, *map(str, connection.execute("SELECT id FROM learnwares"))]
    finally:
        connection.close()


def require_safe(result) -> None:
    """That it ended as it should, and a terminal is shown nothing that steers it."""
    assert isinstance(result.exception, SystemExit)
    for output in (result.stdout, result.stderr):
        assert not _STEERS.search(output), output


@pytest.fixture(scope="module", name="shelf")
def dock_that_takes_nothing(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile") / "dock"
    ld.Dock(folder).close()
    return folder


@pytest.mark.parametrize("case", HOSTILE, ids=named)
def test_a_hostile_file_is_refused_by_check_and_by_submit(case, shelf, tmp_path):
    case.write(tmp_path / "a.zip")
    with nothing_left():
        shown = learndock("check", tmp_path / "a.zip")
        document = learndock("submit", shelf, tmp_path / "a.zip", "--json")
    for result in (shown, document):
        assert result.exit_code == ANSWER_IS_NO
        require_safe(result)
    assert shown.stdout.splitlines()[-1] == f"INVALID: {tmp_path / 'a.zip'}"
    (check,) = json.loads(document.stdout)["checks"]
    assert check["name"] == "archive"
    assert re.search(case.says, check["message"])
    assert issubclass(getattr(ld.errors, check["details"]["error"]), case.error)
    assert stored(shelf) == []
    assert [item.name for item in tmp_path.iterdir()] == ["a.zip"]


def test_import_market_refuses_every_hostile_file_and_brings_the_rest(tmp_path):
    market = Market(tmp_path / "market")
    for number, case in enumerate(HOSTILE):
        identifier = f"{number:08d}"
        path = market.pool / "zips" / f"{identifier}.zip"
        case.write(path)
        if case.name.endswith("(semantic)"):
            # A market's semantic parts lie in its database.
            with zipfile.ZipFile(path) as archive:
                market.insert(identifier, semantic=archive.read("semantic_specification.json"))
        else:
            market.insert(identifier)
    market.add("good")
    with nothing_left():
        result = learndock("import-market", tmp_path / "dock", market.root, "--json")
    assert result.exit_code == ANSWER_IS_NO
    require_safe(result)
    entries = json.loads(result.stdout)["entries"]
    assert [entry["old_id"] for entry in entries if entry["status"] == "USABLE"] == ["good"]
    assert sum(entry["status"] in ("INVALID", "REFUSED") for entry in entries) == len(HOSTILE)
    assert len(entries) == len(HOSTILE) + 1
    with ld.Dock(tmp_path / "dock", readonly=True) as dock:
        assert len(dock) == 1
    assert len(list((tmp_path / "dock" / "zips").iterdir())) == 1


@pytest.mark.parametrize("attack", USE_UP)
def test_submit_ends_a_hostile_model_and_does_not_add_it(attack, shelf, tmp_path, monkeypatch):
    statement, limits, message = USE_UP[attack]
    body = "def predict(self, X):\n" + textwrap.indent(statement, "    ")
    model = write_model(tmp_path, body) / "__init__.py"
    zip_path = written_zip(tmp_path / "a.zip", spec(), described(), model=model.read_text())
    monkeypatch.setattr("learndock.cli.submit.within", lambda seconds: ModelLimits(**{"seconds": 10.0, **limits}))
    with nothing_left():
        result = learndock("submit", shelf, zip_path, "--json")
    assert result.exit_code == ANSWER_IS_NO
    require_safe(result)
    check = json.loads(result.stdout)["checks"][-1]
    assert check["status"] == "INVALID"
    assert re.search(message, check["message"])
    assert stored(shelf) == []
