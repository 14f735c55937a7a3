"""The command line: each verb, its JSON, its exit codes, and one run as a user's shell would do it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest

import learndock as ld
from command_line import error_of, json_of, learndock

VERBS = (
    "demo",
    "spec",
    "pack",
    "check",
    "submit",
    "update",
    "review",
    "search",
    "get",
    "rm",
    "ls",
    "info",
    "stats",
    "scaling",
    "history",
    "doctor",
    "optimize",
    "backup",
    "import-market",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cli")


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(0).normal(size=(80, 3))


@pytest.fixture(scope="module")
def stat(folder, rows):
    file = folder / "stat.json"
    ld.RKMETableSpecification.fit(rows, n_points=10, random_state=0).save(file)
    return file


@pytest.fixture(scope="module")
def semantic(folder):
    file = folder / "semantic.json"
    ld.SemanticSpecification(
        name="Sign [bold]of the first column",
        description="One where it is positive.",
        data="Table",
        task="Classification",
        library="Scikit-learn",
        scenario=["Education"],
        license="MIT",
        input={"Dimension": 3},
        output={"Dimension": 2, "Description": {"0": "no", "1": "yes"}},
    ).save(file)
    return file


@pytest.fixture(scope="module")
def model(folder, rows):
    import joblib
    from sklearn.linear_model import LogisticRegression

    file = folder / "model.joblib"
    joblib.dump(LogisticRegression().fit(rows, (rows[:, 0] > 0).astype(int)), file)
    return file


@pytest.fixture(scope="module")
def archive(folder, model, stat, semantic):
    file = folder / "model.zip"
    facts = json_of("pack", model, "--spec", stat, "--semantic", semantic, "-o", file)
    assert facts == {"path": str(file), "bytes": file.stat().st_size}
    return file


@pytest.fixture(scope="module")
def submitted(folder, archive):
    """A dock with one learnware, and what its submission printed."""
    facts = json_of("submit", folder / "dock", archive)
    return folder / "dock", facts


@pytest.fixture
def specs_alone(tmp_path):
    """A dock of thirty ingested specifications, and their ids."""
    random = np.random.default_rng(1)
    points = random.normal(size=(30, 10, 3)) + random.normal(size=(30, 1, 3))
    with ld.Dock(tmp_path / "specs") as dock:
        ids = dock.ingest(points=points, weights=np.full((30, 10), 0.1), gamma=0.1)
    return tmp_path / "specs", ids


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb):
    result = learndock(verb, "--help")
    assert result.exit_code == 0
    assert verb in result.stdout
    assert "--json" in result.stdout


def test_help_of_pack_warns_of_pickles():
    assert "runs whatever code" in " ".join(learndock("pack", "--help").stdout.replace("│", " ").split())


@pytest.mark.parametrize(
    "arguments",
    [["search"], ["submit", "dock"], ["search", "dock", "spec", "--rule", "none"], ["demo", "--users", "0"], ["fly"]],
)
def test_wrong_usage_ends_with_2(arguments):
    result = learndock(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""


def test_spec_of_a_csv_equals_the_one_of_the_array(tmp_path, rows):
    lines = ["a,b,c,label", *(",".join(map(repr, row.tolist())) + ",yes" for row in rows)]
    (tmp_path / "data.csv").write_text("\n".join(lines))
    np.save(tmp_path / "data.npy", rows)
    options = ["--points", 10, "--gamma", 0.2, "--seed", 7]
    facts = json_of("spec", tmp_path / "data.csv", "--drop", "label", "-o", tmp_path / "csv.json", *options)
    json_of("spec", tmp_path / "data.npy", "-o", tmp_path / "npy.npz", *options)
    expected = ld.RKMETableSpecification.fit(rows, n_points=10, gamma=0.2, random_state=7)
    assert facts == {
        "path": str(tmp_path / "csv.json"),
        "rows": 80,
        "features": 3,
        "points": 10,
        "gamma": 0.2,
        "fit_mmd2": expected.fit_mmd2,
    }
    for name in ("csv.json", "npy.npz"):
        spec = ld.load_spec(tmp_path / name)
        assert np.array_equal(spec.points, expected.points)
        assert np.array_equal(spec.weights, expected.weights)


def test_spec_with_free_weights_and_without_reduction(tmp_path, rows):
    np.savez(tmp_path / "data.npz", X=rows, y=np.zeros(80))
    json_of("spec", tmp_path / "data.npz", "-o", tmp_path / "free.json", "--points", 10, "--free-weights")
    free = ld.RKMETableSpecification.fit(rows, n_points=10, weights="free", random_state=0)
    assert np.array_equal(ld.load_spec(tmp_path / "free.json").weights, free.weights)
    assert json_of("spec", tmp_path / "data.npz", "-o", tmp_path / "all.json", "--no-reduce")["points"] == 80
    assert np.array_equal(ld.load_spec(tmp_path / "all.json").points, rows)


def test_spec_names_what_is_wrong_and_writes_nothing(tmp_path):
    (tmp_path / "data.csv").write_text("age,bmi\n1,\n2,\n")
    assert "bmi" in error_of("spec", tmp_path / "data.csv", "-o", tmp_path / "stat.json")
    assert "no such file" in error_of("spec", tmp_path / "absent.csv", "-o", tmp_path / "stat.json")
    (tmp_path / "data.csv").write_text("1,2\n3,4\n")
    assert "gamma" in error_of("spec", tmp_path / "data.csv", "-o", tmp_path / "stat.json", "--gamma", -1)
    assert not (tmp_path / "stat.json").exists()


def test_spec_into_a_folder_is_an_error_before_any_work(tmp_path, rows):
    np.save(tmp_path / "data.npy", rows)
    assert f"output: {tmp_path} is a folder" in error_of("spec", tmp_path / "data.npy", "-o", tmp_path)
    absent = tmp_path / "absent"
    assert f"the folder {absent} does not exist" in error_of("spec", tmp_path / "data.npy", "-o", absent / "stat.json")
    # Said though there is nothing to read either.
    assert "is a folder" in error_of("spec", tmp_path / "no-data.npy", "-o", tmp_path)


def test_packed_zip_predicts_what_the_model_does(archive, model, rows):
    import joblib

    with ld.Learnware.open(archive) as learnware:
        # Another process may add up in another order: a few units in the last place of a probability.
        np.testing.assert_allclose(learnware.predict(rows), joblib.load(model).predict_proba(rows), rtol=1e-12)


def test_pack_reads_skops_and_does_not_overwrite(tmp_path, model, stat, semantic, archive):
    import joblib
    from skops import io

    io.dump(joblib.load(model), tmp_path / "model.skops")
    arguments = ("pack", tmp_path / "model.skops", "--spec", stat, "--semantic", semantic, "-o")
    assert json_of(*arguments, tmp_path / "model.zip")["bytes"] > 0
    assert error_of(*arguments, archive) == f"output: {archive} exists already; --overwrite replaces it"
    assert "is a folder" in error_of(*arguments, tmp_path, "--overwrite")
    assert "does not exist" in error_of(*arguments, tmp_path / "absent" / "model.zip")


def test_pack_names_a_model_file_that_it_cant_load(tmp_path, stat, semantic):
    (tmp_path / "model.pkl").write_bytes(b"no pickle")
    (tmp_path / "model.skops").write_bytes(b"no zip")
    (tmp_path / "model.onnx").write_bytes(b"")
    for name, said in {"model.pkl": "can't load", "model.skops": "can't load", "model.onnx": "got model.onnx"}.items():
        message = error_of("pack", tmp_path / name, "--spec", stat, "--semantic", semantic, "-o", tmp_path / "m.zip")
        assert said in message
    assert not (tmp_path / "m.zip").exists()


def test_submit_reports_every_check(submitted):
    _, facts = submitted
    assert facts["status"] == "USABLE"
    assert facts["id"]
    assert all(check["status"] == "USABLE" for check in facts["checks"])
    assert {"name", "status", "message", "details"} == set(facts["checks"][0])


def test_submit_of_an_invalid_zip_prints_the_report_and_ends_with_3(submitted, tmp_path):
    dock, _ = submitted
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as bad:
        bad.writestr("readme.txt", "nothing else")
    result = learndock("submit", dock, tmp_path / "bad.zip")
    assert result.exit_code == 3
    assert "INVALID: not added" in result.stdout
    assert "learnware.yaml" in result.stdout
    result = learndock("submit", dock, tmp_path / "bad.zip", "--json")
    assert result.exit_code == 3
    facts = json.loads(result.stdout)
    assert facts["status"] == "INVALID"
    assert facts["id"] is None
    with ld.Dock(dock, readonly=True) as shelf:
        assert len(shelf) == 1


def test_submit_takes_a_semantic_specification_of_its_own(archive, semantic, tmp_path):
    other = json.loads(semantic.read_text())
    other["Name"]["Values"] = "another name"
    (tmp_path / "other.json").write_text(json.dumps(other))
    json_of("submit", tmp_path / "dock", archive, "--semantic", tmp_path / "other.json")
    assert [entry["name"] for entry in json_of("ls", tmp_path / "dock")] == ["another name"]


def test_submit_of_no_file_is_an_error(submitted, tmp_path):
    assert "absent.zip" in error_of("submit", submitted[0], tmp_path / "absent.zip")


def test_submit_of_no_file_makes_no_dock(tmp_path):
    assert "no such file" in error_of("submit", tmp_path / "new", tmp_path / "absent.zip")
    assert "is a folder" in error_of("submit", tmp_path / "new", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_search_prints_what_the_dock_answers(specs_alone, stat):
    folder, _ = specs_alone
    facts = json_of("search", folder, stat, "-k", 4, "--rule", "greedy", "--mixture", 3)
    with ld.Dock(folder, readonly=True) as dock:
        expected = dock.search(ld.load_spec(stat), k=4, rule="greedy", mixture=3)
    assert [hit["id"] for hit in facts["singles"]] == [hit.id for hit in expected.singles]
    assert [hit["mmd2"] for hit in facts["singles"]] == [hit.mmd2 for hit in expected.singles]
    assert facts["mixture"]["ids"] == list(expected.mixture.ids)
    assert facts["mixture"]["mmd2"] == expected.mixture.mmd2
    assert facts["certified"] is True
    table = learndock("search", folder, stat, "-k", 4, "--rule", "greedy", "--mixture", 3).stdout
    assert all(hit.id in table for hit in expected.singles)
    assert "proven" in table


def test_search_by_either_method_finds_the_same(specs_alone, stat):
    folder, _ = specs_alone
    found = {method: json_of("search", folder, stat, "--method", method) for method in ("certified", "exact")}
    assert found["exact"]["method"] == "exact"
    assert found["certified"]["certified"]
    assert found["certified"]["mixture"] == found["exact"]["mixture"]
    assert found["certified"]["singles"] == found["exact"]["singles"]
    refused = learndock("search", folder, stat, "--method", "approximate")
    assert refused.exit_code == 2
    assert "--method" in refused.stderr


def test_search_without_a_mixture(specs_alone, stat):
    assert json_of("search", specs_alone[0], stat, "--mixture", 0)["mixture"] is None


def test_search_filters_by_options_and_file(submitted, stat, semantic, tmp_path):
    dock, facts = submitted

    def found(*options):
        return [hit["id"] for hit in json_of("search", dock, stat, *options)["singles"]]

    assert found() == [facts["id"]]
    assert found("--task", "Classification", "--data", "Table", "--license", "MIT") == [facts["id"]]
    assert found("--scenario", "Health", "--scenario", "Education") == [facts["id"]]
    assert found("--scenario", "Health") == []
    assert found("--semantic", semantic) == [facts["id"]]
    # An option replaces the file's value of its key.
    assert found("--semantic", semantic, "--library", "PyTorch") == []
    assert "nothing found" in learndock("search", dock, stat, "--task", "Regression").stdout
    assert "Task: got 'Clustering', expected one of" in error_of("search", dock, stat, "--task", "Clustering")
    (tmp_path / "list.json").write_text("[]")
    assert "expected a dict" in error_of("search", dock, stat, "--semantic", tmp_path / "list.json")
    (tmp_path / "list.json").write_text("[")
    assert "is not JSON" in error_of("search", dock, stat, "--semantic", tmp_path / "list.json")


def test_search_says_how_many_were_of_another_gamma(specs_alone, tmp_path, rows):
    ld.RKMETableSpecification.fit(rows, n_points=10, gamma=0.5, random_state=0).save(tmp_path / "other.json")
    assert json_of("search", specs_alone[0], tmp_path / "other.json")["skipped"] == 30
    assert "30 skipped" in learndock("search", specs_alone[0], tmp_path / "other.json").stdout


def test_get_copies_the_zip_as_it_was_submitted(submitted, archive, tmp_path):
    dock, facts = submitted
    json_of("get", dock, facts["id"], "-o", tmp_path / "copy.zip")
    assert (tmp_path / "copy.zip").read_bytes() == archive.read_bytes()
    assert "exists already" in error_of("get", dock, facts["id"], "-o", tmp_path / "copy.zip")
    assert learndock("get", dock, facts["id"], "-o", tmp_path / "copy.zip", "--overwrite").exit_code == 0
    assert "no-such" in error_of("get", dock, "no-such", "-o", tmp_path / "other.zip")
    assert "does not exist" in error_of("get", dock, facts["id"], "-o", tmp_path / "absent" / "copy.zip")


def test_ls_shows_names_as_they_are(submitted):
    dock, facts = submitted
    text = learndock("ls", dock).stdout
    assert facts["id"] in text
    assert "Sign [bold]of the first column" in text
    (entry,) = json_of("ls", dock)
    assert entry["id"] == facts["id"]
    assert entry["status"] == "USABLE"
    assert entry["input_shape"] == [3]
    assert entry["semantic"]["Data"]["Values"] == ["Table"]


def test_ls_json_of_an_empty_dock_is_an_empty_list(tmp_path):
    ld.Dock(tmp_path / "dock").close()
    assert json_of("ls", tmp_path / "dock") == []


def test_json_of_many_is_written_one_by_one_and_equals_that_of_a_list(capsys):
    from learndock.cli.output import print_json, print_json_list

    # What a line break in a text, or what Unicode takes for one, must not disturb.
    entries = [{"name": "two\nlines", "list": [1, {"a": None}]}, {"name": "\u2028 \x85"}]
    print_json(entries)
    at_once = capsys.readouterr().out

    def told():
        yield entries[0]
        assert "lines" in capsys.readouterr().out
        yield entries[1]

    print_json_list(entries)
    assert capsys.readouterr().out == at_once
    print_json_list(told())
    assert "\u2028" in capsys.readouterr().out


def test_rm_removes_all_or_none(specs_alone):
    folder, ids = specs_alone
    assert "no-such" in error_of("rm", folder, ids[0], "no-such")
    assert json_of("rm", folder, ids[0], ids[1]) == {"removed": ids[:2]}
    assert [entry["id"] for entry in json_of("ls", folder)] == ids[2:]


def test_info_of_the_installation_and_of_a_dock(submitted):
    facts = json_of("info")
    assert facts["version"] == ld.__version__
    assert "instruction_set" in facts
    facts = json_of("info", submitted[0])
    assert facts["learnwares"] == 1
    assert facts["by_status"] == {"USABLE": 1, "NONUSABLE": 0}
    assert facts["spaces"] == [{"type": "RKMETableSpecification", "input_shape": [3], "gamma": 0.1, "usable": 1}]
    assert facts["bytes"]["zips"] > 1_000
    assert "learnwares: 1" in learndock("info", submitted[0]).stdout


@pytest.mark.parametrize("verb", ["search", "get", "rm", "ls", "info"])
def test_no_verb_that_reads_makes_a_dock(verb, tmp_path, stat):
    rest = {"search": [stat], "get": ["1"], "rm": ["1"]}.get(verb, [])
    assert "holds no dock" in error_of(verb, tmp_path / "mistyped", *rest)
    assert not (tmp_path / "mistyped").exists()


READERS = {"search": ["stat"], "get": ["id"], "ls": [], "info": []}


@pytest.mark.parametrize("writable", [True, False])
@pytest.mark.parametrize("verb", READERS)
def test_verbs_that_read_take_part_in_the_locks_wherever_they_can(
    verb, writable, submitted, stat, tmp_path, monkeypatch
):
    """readonly=True is for file systems that can't be written to: beside a living writer it may be stale or torn."""
    from learndock.dock import Dock

    dock, facts = submitted
    opened = []

    class Watched(Dock):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            opened.append(self.readonly)

    monkeypatch.setattr("learndock.dock.Dock", Watched)
    monkeypatch.setattr("learndock.cli.arguments.os.access", lambda path, mode: writable or not mode & os.W_OK)
    monkeypatch.chdir(tmp_path)
    given = {"stat": stat, "id": facts["id"]}
    json_of(verb, dock, *(given[name] for name in READERS[verb]))
    assert opened == [not writable]


def test_a_dock_opened_to_be_read_sees_what_a_writer_adds(specs_alone):
    from learndock.cli.arguments import dock_to_read

    with dock_to_read(specs_alone[0]) as reader, ld.Dock(specs_alone[0]) as writer:
        assert len(reader) == 30
        writer.ingest(points=np.zeros((1, 10, 3)), weights=np.full((1, 10), 0.1), gamma=0.1)
        assert len(reader) == 31


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_dock_without_permission_to_write_is_read_nevertheless(specs_alone):
    folder, ids = specs_alone
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode & ~0o222)
    try:
        assert [entry["id"] for entry in json_of("ls", folder)] == ids
    finally:
        for path in (folder, *folder.rglob("*")):
            path.chmod(path.stat().st_mode | 0o200)


def test_version_is_printed():
    result = learndock("--version")
    assert (result.exit_code, result.stdout) == (0, f"learndock {ld.__version__}\n")
    assert "find trained models" in learndock("--help").stdout


def test_demo_prints_json_alone_and_draws(tmp_path, monkeypatch):
    from learndock.demo import DemoResult, TaskResult
    from learndock.demo.measures import METHODS

    values = dict.fromkeys(METHODS, (0.5, 0.75))
    task = TaskResult(task="digits", measure="accuracy", developers=2, values=values, mmd2=(0.1, 0.2))
    asked = {}

    def run(**arguments):
        asked.update(arguments)
        return DemoResult((task,), {"all": 1.0}, None)

    monkeypatch.setattr("learndock.demo.run", run)
    monkeypatch.chdir(tmp_path)
    arguments = ("demo", "--users", 2, "--seed", 5, "--picture", tmp_path / "demo.svg")
    result = learndock(*arguments, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["tasks"][0]["methods"]["mixture"]["mean"] == 0.625
    assert (asked["users"], asked["seed"], asked["dock"]) == (2, 5, None)
    if "picture" in result.stderr:  # with matplotlib
        assert (tmp_path / "demo.svg").is_file()
    assert "default mixture" in learndock(*arguments).stdout


def test_demo_without_matplotlib_draws_only_what_was_asked_for(tmp_path, monkeypatch):
    from learndock.cli.demo import _draw
    from learndock.errors import MissingDependency

    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.chdir(tmp_path)
    _draw(None, None)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(MissingDependency):
        _draw(None, tmp_path / "demo.png")


def test_as_a_users_shell_runs_it(tmp_path, rows):
    np.savetxt(tmp_path / "data.csv", rows, delimiter=",")
    command = [sys.executable, "-m", "learndock.cli"]
    environment = {**os.environ, "NO_COLOR": "1"}

    def run(*arguments):
        return subprocess.run(
            [*command, *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    made = run("spec", "data.csv", "--points", "5")
    assert (made.returncode, made.stderr) == (0, "")
    assert "5 points for 80 rows of 3 features" in made.stdout
    assert (tmp_path / "stat.json").is_file()
    lost = run("search", "nowhere", "stat.json", "--json")
    assert (lost.returncode, lost.stdout) == (1, "")
    assert lost.stderr == "error: nowhere holds no dock\n"
    assert run("search").returncode == 2


def test_nothing_heavy_is_loaded_to_parse_arguments():
    code = "import sys; from learndock.cli.app import app; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"sklearn", "torch", "matplotlib", "sqlalchemy", "pydantic", "pandas", "scipy"} & set(loaded)


def test_the_package_of_the_command_loads_no_typer():
    code = "import sys, learndock.cli; sys.exit('typer' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
