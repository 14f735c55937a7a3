"""A learnware is checked before a dock takes it: a bad one is a report, never an exception."""

from __future__ import annotations

import json
import os
import re
import textwrap
import zipfile

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leaks import nothing_left
from learndock import RKMETableSpecification, SemanticSpecification
from learndock.checker import (
    CheckResult,
    EnvironmentChecker,
    RequirementsChecker,
    SemanticChecker,
    StatisticalChecker,
    Status,
    check_learnware,
)
from learndock.environment import build as environment_build
from learndock.errors import EnvironmentBuildError, InvalidArgument, IsolationUnavailable, SemanticError
from learndock.learnware import ArchiveLimits, Learnware
from learndock.runtime import Isolation, ModelLimits, ModelProcess, available_isolation
from model_folders import write_model
from wheels import index, network

__all__ = ["index", "network"]

SPECIFICATION = RKMETableSpecification(np.arange(6.0).reshape(2, 3), [0.5, 0.5], gamma=0.1)
LIMITS = ModelLimits(seconds=20)


def semantic(task="Classification", *, columns=3, outputs=4, **changes):
    output = None if outputs is None else {"Dimension": outputs, "Description": {}}
    return SemanticSpecification(
        **{
            "name": "Checked",
            "description": "A learnware to check.",
            "data": "Table",
            "task": task,
            "library": "Others",
            "scenario": ["Others"],
            "license": "MIT",
            "input": {"Dimension": columns, "Description": {}},
            "output": output,
            **changes,
        }
    )


@pytest.fixture(autouse=True)
def _tidy(tmp_path):  # made before, so that it does not count
    with nothing_left():
        yield


@pytest.fixture
def build(tmp_path):
    """Write a learnware's zip: a model with the given methods, a specification, a description."""

    def build(body="def predict(self, X): return [0] * len(X)", *, specification=SPECIFICATION, shapes=None, **files):
        if shapes is not None:
            body = textwrap.dedent(body) + f"\ndef __init__(self): super().__init__{shapes}"
        folder = write_model(tmp_path / "learnware", body)
        description = {"model": {"class_name": "Model"}, "stat_specifications": []}
        if specification is not None:
            specification.save(folder / "stat.json")
            description["stat_specifications"] = [{"class_name": "RKMETableSpecification", "file_name": "stat.json"}]
        (folder / "learnware.yaml").write_text(yaml.safe_dump(description))
        for name, text in files.items():
            (folder / name.replace("__", ".")).write_text(text)
        path = tmp_path / "learnware.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for file in folder.iterdir():
                archive.write(file, file.name)
        return path

    return build


def details(report, name="statistical"):
    (found,) = (check.details for check in report.checks if check.name == name)
    return dict(found)


def test_a_good_learnware_is_usable_and_every_check_is_named(build):
    report = check_learnware(build(), semantic(), limits=LIMITS)
    assert report.status == Status.USABLE, report
    assert [check.name for check in report.checks] == ["archive", "semantic", "requirements", "statistical"]
    found = details(report)
    assert found.pop("isolation") == report.isolation.name.lower()
    assert found == dict.fromkeys(
        [
            "specification",
            "self_distance",
            "instantiation",
            "input_shape",
            "prediction",
            "output_length",
            "output_type",
            "output_shape",
            "output_values",
            "labels",
        ],
        "passed",
    )
    with report.learnware as learnware:
        assert learnware.predict(np.zeros((2, 3))).tolist() == [0, 0]


def test_statuses_have_the_numbers_of_the_reference():
    assert [int(status) for status in (Status.INVALID, Status.NONUSABLE, Status.USABLE)] == [-1, 0, 1]


def test_results_can_not_be_changed():
    result = CheckResult("a", Status.USABLE, "", {"x": 1})
    with pytest.raises(TypeError):
        result.details["x"] = 2
    with pytest.raises(AttributeError):
        result.status = Status.INVALID


@pytest.mark.parametrize(
    ("body", "shapes", "semantics"),
    [
        ("def predict(self, X): return X[:, 0] > 0", "((3,), (1,))", semantic()),
        ("def predict(self, X): return np.full((len(X), 1), 3.0)", "((3,), (1,))", semantic()),
        ("def predict(self, X): return np.zeros((len(X), 4))", "((3,), (4,))", semantic()),
        ("def predict(self, X): return np.log(np.full((len(X), 4), 0.1))", "([3], [4])", semantic()),
        ("def predict(self, X): return X[:, 0]", "((3,), (1,))", semantic("Regression", outputs=1)),
        ("def predict(self, X): return X[:, :2]", "((3,), (2,))", semantic("Regression", outputs=2)),
        ("def predict(self, X): return X @ X.T", "((3,), (10,))", semantic("Feature Extraction", outputs=None)),
        ("def predict(self, X): return ['a'] * len(X)", "((3,), None)", semantic("Others", outputs=None)),
    ],
)
def test_models_that_predict_as_they_say_are_usable(build, body, shapes, semantics):
    report = check_learnware(build(body, shapes=shapes), semantics, limits=LIMITS)
    assert report.status == Status.USABLE, report
    report.learnware.close()


@pytest.mark.parametrize(
    ("body", "shapes", "semantics", "failed"),
    [
        ("def predict(self, X): return [0] * 3", None, semantic(), {"output_length": "expected 10 rows"}),
        ("def predict(self, X): return 0", None, semantic(), {"output_length": "expected 10 rows"}),
        ("def predict(self, X): return ['0'] * len(X)", None, semantic(), {"output_type": "dtype <U1"}),
        ("def predict(self, X): return [object()] * len(X)", None, semantic(), {"prediction": "dtype object"}),
        ("def predict(self, X): raise ValueError('no')", None, semantic(), {"prediction": "ValueError: no"}),
        (
            "def predict(self, X): return [4] * len(X)",
            None,
            semantic(),
            {"labels": "label 4 is none of the integers 0 to 3"},
        ),
        ("def predict(self, X): return [-1] * len(X)", None, semantic(), {"labels": "label -1 is none of the"}),
        (
            "def predict(self, X): return X[:, 0] * np.nan",
            None,
            semantic(),
            {"labels": "label nan is none", "output_values": "NaN or infinity"},
        ),
        ("def predict(self, X): return [2.5] * len(X)", None, semantic(), {"labels": "label 2.5 is none"}),
        (
            "def predict(self, X): return np.full((len(X), 4), np.nan)",
            "((3,), (4,))",
            semantic(),
            {"output_values": "NaN"},
        ),
        (
            "def predict(self, X): return X[:, 0] / 0",
            "((3,), (1,))",
            semantic("Regression", outputs=1),
            {"output_values": "NaN or infinity"},
        ),
        (
            "def predict(self, X): return X",
            "((3,), (3,))",
            semantic(),
            {"labels": r"shape \(3,\), expected one label or 4 numbers"},
        ),
        (
            "def predict(self, X): return X[:, :2]",
            "((3,), (1,))",
            semantic("Regression", outputs=1),
            {"output_shape": r"shape \(2,\), the model's output_shape is \(1,\)", "output_dimension": "says 1"},
        ),
        (
            "def predict(self, X): return X[:, 0]",
            "((3,), None)",
            semantic("Regression", outputs=2),
            {"output_shape": "output_shape is missing", "output_dimension": "says 2"},
        ),
        (
            "def predict(self, X): return [7] * len(X)",
            "((5,), (2,))",
            semantic(),
            {
                "input_shape": r"has \(5,\), the semantic specification's Input \(3,\) and the statistical .* \(3,\)",
                "output_shape": "output_shape",
                "labels": "label 7",
            },
        ),
        ("def predict(self, X): return [0]", "('abc', 1)", semantic(), {"input_shape": "missing", "output_length": ""}),
    ],
)
def test_every_failed_check_is_reported(build, body, shapes, semantics, failed):
    report = check_learnware(build(body, shapes=shapes), semantics, limits=LIMITS)
    assert report.status == Status.INVALID
    assert report.learnware is None
    found = {name: fault for name, fault in details(report).items() if fault != "passed" and name != "isolation"}
    assert found.keys() == failed.keys()
    for name, fault in failed.items():
        assert re.search(fault, found[name])
        assert f"{name}: {found[name]}" in report.checks[-1].message


BAD_MODELS = {
    "has no such class": ("Other = Model\ndel Model", "has no attribute 'Model'"),
    "has a constructor that raises": ("Model.__init__ = lambda self: 1 / 0", "ZeroDivisionError"),
    "never ends its import": ("time.sleep(60)", "took too long at its start"),
    "never predicts": ("Model.predict = lambda self, X: time.sleep(60)", "took too long in predict"),
    "crashes": ("Model.predict = lambda self, X: os.kill(os.getpid(), signal.SIGSEGV)", "killed by SIGSEGV"),
    "leaves": ("Model.predict = lambda self, X: os._exit(0)", "exit status 0"),
    "eats memory": ("Model.predict = lambda self, X: [bytearray(2 ** 26) for _ in range(100)]", "MemoryError"),
    "prints without end": (
        "def predict(self, X):\n    while True: print('x' * 10_000)\nModel.predict = predict",
        "took too long in predict",
    ),
    "kills its session": ("Model.predict = lambda self, X: os.kill(0, signal.SIGKILL)", "killed by SIGKILL"),
    "has no predict": ("Model.predict = None", "no method predict"),
    "closes its descriptors": (
        "Model.predict = lambda self, X: os.closerange(3, 100)",
        "channel is closed|Bad file|exit",
    ),
    "is a syntax error": ("def (", "SyntaxError"),
    "imports what is not there": ("import no_such_module", "no_such_module"),
}


@pytest.mark.parametrize("model", BAD_MODELS)
def test_a_model_that_misbehaves_is_a_report_and_leaves_nothing(build, tmp_path, model):
    statement, complaint = BAD_MODELS[model]
    path = build()
    code = (tmp_path / "learnware" / "__init__.py").read_text() + "\n" + statement + "\n"
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**files, "__init__.py": code}.items():
            archive.writestr(name, content)
    limits = ModelLimits(seconds=1.0 if "too long" in complaint else 20.0, memory_bytes=2**30)
    report = check_learnware(path, semantic(), limits=limits)
    assert report.status == Status.INVALID
    assert report.learnware is None
    assert re.search(complaint, report.checks[-1].message)


def test_the_time_limit_is_for_start_and_prediction_together(build):
    body = """
    def __init__(self): super().__init__((3,), (1,)); time.sleep(0.7)
    def predict(self, X): time.sleep(0.7); return [0] * len(X)
    """
    report = check_learnware(build(body), semantic(), limits=ModelLimits(seconds=1.2))
    assert details(report)["instantiation"] == "passed"
    assert "took too long in predict" in details(report)["prediction"]


def test_a_model_writes_to_its_own_folder_only_where_nothing_can_forbid_it(build):
    body = """
    def predict(self, X):
        os.mkdir(os.path.join(os.path.dirname(__file__), "d"))
        return [0] * len(X)
    """
    report = check_learnware(build(body), semantic(), limits=LIMITS)
    if report.isolation == Isolation.PROCESS:
        assert report.status == Status.USABLE, report
        report.learnware.close()
    else:
        assert report.status == Status.INVALID
        assert re.search("Read-only file system|Permission denied", details(report)["prediction"])


def test_an_unpacked_folder_is_removed_however_deep_it_has_become(build):
    with Learnware.open(build()) as learnware:
        here = os.open(learnware.folder, os.O_RDONLY)
        for _ in range(3000):
            os.mkdir("d", dir_fd=here)
            below = os.open("d", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        os.close(here)


def test_the_inputs_are_the_same_every_time(build):
    body = "def predict(self, X): raise ValueError(float(X.sum()))"
    path = build(body)
    first, second = (check_learnware(path, semantic(), limits=LIMITS) for _ in range(2))
    line = details(first)["prediction"].splitlines()[-1]
    assert line.startswith("ValueError: ")
    assert details(second)["prediction"].splitlines()[-1] == line


# Before the model is started.


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({"learnware__yaml": "model: ["}, "learnware.yaml can't be read"),
        ({"learnware__yaml": "model: {module_path: no.py}"}, "no file 'no.py'"),
        ({"stat__json": "{"}, "stat.json"),
        (
            {"stat__json": '{"z": [[1, 2]], "beta": [1, 2], "gamma": 0.1, "type": "RKMETableSpecification"}'},
            "stat.json|weights",
        ),
        ({"requirements__txt": "\0" * 2_000_000}, "requirements.txt is larger"),
    ],
)
def test_a_part_that_can_not_be_read_is_a_report(build, files, complaint):
    report = check_learnware(build(**files), semantic())
    assert report.status == Status.INVALID
    assert [check.name for check in report.checks] == ["archive"]
    assert re.search(complaint, report.checks[0].message)


def test_a_hostile_or_damaged_zip_is_a_report(build, tmp_path):
    path = build()
    assert check_learnware(path, semantic(), archive_limits=ArchiveLimits(files=2)).status == Status.INVALID
    path.write_bytes(path.read_bytes()[:-30])
    report = check_learnware(path, semantic())
    assert report.status == Status.INVALID
    assert "can't be opened as a zip" in report.checks[0].message
    (tmp_path / "empty").mkdir()
    assert "learnware.yaml is missing" in check_learnware(tmp_path / "empty", semantic()).checks[0].message


def test_a_broken_semantic_file_is_a_report_but_a_broken_argument_the_callers_fault(build):
    path = build(semantic_specification__json="{}")
    report = check_learnware(path)
    assert report.status == Status.INVALID
    assert report.checks[0].details["error"] == "SemanticError"
    with pytest.raises(SemanticError):
        check_learnware(path, {"Data": {}})


def test_a_missing_file_or_semantic_part_is_the_callers_fault(build, tmp_path):
    with pytest.raises(InvalidArgument, match="path"):
        check_learnware(tmp_path / "no.zip", semantic())
    with pytest.raises(InvalidArgument, match="semantic"):
        check_learnware(build())


def test_a_learnware_without_a_statistical_specification_is_invalid(build):
    report = check_learnware(build(specification=None), semantic(), limits=LIMITS)
    assert report.status == Status.INVALID
    assert details(report)["specification"] == "there is no statistical specification"
    # The model is checked all the same.
    assert details(report)["prediction"] == "passed"


@pytest.mark.parametrize("shape", ["(10 ** 12,)", "(2 ** 62, 2 ** 62)", "(3 * 10 ** 8,)", "(10 ** 4000,) * 8", "(3,)"])
@pytest.mark.parametrize("semantics", [semantic(), semantic(data="Image", input=None)], ids=["table", "image"])
def test_the_models_word_for_its_shape_takes_no_memory_of_the_host(build, shape, semantics):
    path = build("def predict(self, X): return [0] * len(X)", specification=None, shapes=f"({shape}, (1,))")
    report = check_learnware(path, semantics, limits=LIMITS)
    assert report.status == Status.INVALID
    assert details(report).get("prediction", "passed") == "passed"
    assert ("prediction" in details(report)) == (semantics.data == "Table")
    assert len(report.checks[-1].message) < 1000


def test_rows_too_wide_to_try_are_a_fault(build):
    columns = 2**20
    path = build(
        specification=RKMETableSpecification(np.zeros((1, columns)), [1.0], gamma=0.1), shapes=f"(({columns},), (1,))"
    )
    report = check_learnware(path, semantic(columns=columns), limits=LIMITS)
    assert report.status == Status.INVALID
    assert "10 rows of shape (1048576,) take 83886080 bytes, at most 67108864" in details(report)["prediction"]


def test_a_specification_of_too_many_points_is_a_fault(build):
    count = 200_000
    specification = RKMETableSpecification(np.zeros((count, 3)), np.full(count, 1 / count), gamma=0.1)
    report = check_learnware(build(specification=specification), semantic(), limits=LIMITS)
    assert report.status == Status.INVALID
    assert "200000 points, at most" in details(report)["self_distance"]


def test_the_specifications_file_has_a_limit_of_its_own(build):
    limits = ArchiveLimits(specification_bytes=50)
    report = check_learnware(build(), semantic(), archive_limits=limits)
    assert report.status == Status.INVALID
    assert report.checks[0].message.startswith("stat.json: expected at most 50 bytes")
    assert ArchiveLimits().specification_bytes == 64 * 2**20


@pytest.mark.parametrize("count", [2**63, 10**400, -1, 1.5, True, "3"])
def test_a_number_of_rows_that_makes_no_sense_is_a_report(build, count):
    fields = {"z": [[1, 2, 3]], "beta": [1], "gamma": 0.1, "num_points": count, "type": "RKMETableSpecification"}
    report = check_learnware(build(stat__json=json.dumps(fields)), semantic())
    assert report.status == Status.INVALID
    assert report.checks[0].message.startswith("stat.json: num_points")


# Pieces of what a stranger may write, put together at random: whatever comes out, it is a report.
PIECES = {
    "requirements.txt": [
        *(
            "numpy",
            "no-such",
            "==",
            "~=",
            "===",
            "<",
            ">=",
            "1",
            "1.*",
            "abc",
            "9" * 5000,
            ";",
            "python_version",
            "extra",
        ),
        *(
            "'abc'",
            '"3"',
            "(",
            ")",
            "(" * 900,
            " and ",
            " in ",
            ",",
            "[",
            "]",
            "@",
            "://",
            "\\\n",
            "\n",
            "\x00",
            "\u2028",
        ),
    ],
    "environment.yaml": [
        *(
            "dependencies:\n",
            "- ",
            "- pip:\n  ",
            "numpy",
            "=",
            "==",
            "1.0",
            "::",
            "[",
            "]",
            "\n",
            " ",
            "~",
            "<",
            "*",
            "0x",
        ),
    ],
    "learnware.yaml": [
        *("model", "class_name", "module_path", "kwargs", "name", "id", "stat_specifications", "file_name", "Model"),
        *(": ", "\n", "- ", "  ", "{", "}", "[", "]", ",", "0x" + "f" * 5000, "9" * 5000, "1e999", ".nan", '"\\uD800"'),
        *(
            '"\\udc80.py"',
            "stat.json",
            "2020-99-99",
            "!!set",
            "!!omap",
            "!!binary",
            "&a",
            "*a",
            "? ",
            "~",
            "1:" * 3000 + "1",
        ),
    ],
    "stat.json": [
        *(
            '"z"',
            '"beta"',
            '"gamma"',
            '"num_points"',
            '"fit_mmd2"',
            '"type"',
            '"RKMETableSpecification"',
            ":",
            ",",
            "{",
        ),
        *(
            "}",
            "[",
            "]",
            "[[1, 2, 3]]",
            "[1]",
            "1",
            "-1",
            "1e999",
            "9" * 400,
            "9" * 5000,
            "NaN",
            "null",
            "true",
            '"\\ud800"',
        ),
    ],
}


@pytest.mark.parametrize("name", PIECES)
@given(data=st.data())
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
def test_whatever_strangers_write_is_a_report(tmp_path_factory, name, data):
    folder = tmp_path_factory.mktemp("fuzzed")
    write_model(folder, "predict = None")
    SPECIFICATION.save(folder / "stat.json")
    (folder / "learnware.yaml").write_text("stat_specifications: [{file_name: stat.json}]")
    text = "".join(data.draw(st.lists(st.sampled_from(PIECES[name]), max_size=12)))
    (folder / name).write_text(text)
    report = check_learnware(folder, semantic(), limits=LIMITS)
    assert all(len(check.message) < 10_000 for check in report.checks)
    repr(report)
    if report.learnware is not None:
        report.learnware.close()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**4000) | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(data=st.data())
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
def test_whatever_values_json_files_hold_is_a_report(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("fuzzed")
    write_model(folder, "predict = None")
    SPECIFICATION.save(folder / "stat.json")
    (folder / "learnware.yaml").write_text("stat_specifications: [{file_name: stat.json}]")
    semantic().save(folder / "semantic_specification.json")
    file = folder / data.draw(st.sampled_from(["stat.json", "semantic_specification.json"]))
    fields = json.loads(file.read_text())
    for key in data.draw(st.lists(st.sampled_from(sorted(fields)), min_size=1, max_size=2)):
        place, where = fields, key
        if isinstance(fields[key], dict) and fields[key] and data.draw(st.booleans()):
            place, where = fields[key], data.draw(st.sampled_from(sorted(fields[key])))
        place[where] = data.draw(VALUES)
    file.write_text(json.dumps(fields))
    report = check_learnware(folder, limits=LIMITS)
    repr(report)
    if report.learnware is not None:
        report.learnware.close()


def test_a_message_that_quotes_a_stranger_is_bounded(build):
    fields = {"z": [[1, 2, 3]], "beta": [1], "gamma": 0.1, "num_points": "x" * 10**6}
    report = check_learnware(build(stat__json=json.dumps(fields)), semantic())
    assert report.status == Status.INVALID
    assert len(report.checks[0].message) <= 4000


def test_messages_name_files_as_the_zip_does_and_no_folder_of_ours(build, tmp_path):
    report = check_learnware(build(stat__json="{"), semantic())
    assert report.checks[0].message.startswith("stat.json: ")
    report = check_learnware(build(semantic_specification__json="{"))
    assert "semantic_specification.json" in report.checks[0].message
    assert "learndock-private-" not in report.checks[0].message
    (tmp_path / "no.zip").write_bytes(b"no zip")
    report = check_learnware(tmp_path / "no.zip", semantic())
    assert report.checks[0].message.startswith("no.zip can't be opened as a zip")
    assert str(tmp_path) not in report.checks[0].message


def test_missing_requirements_are_nonusable_and_the_model_is_not_started(build, tmp_path):
    mark = tmp_path / "started"
    body = f"def __init__(self): open({str(mark)!r}, 'w')\npredict = None"
    report = check_learnware(build(body, requirements__txt="no-such-distribution==1.0\nnumpy\n"), semantic())
    assert report.status == Status.NONUSABLE
    assert details(report, "requirements")["missing"] == ("no-such-distribution==1.0 (not installed)",)
    assert details(report) == {"specification": "passed", "self_distance": "passed"}
    assert report.isolation is None
    assert not mark.exists()
    report.learnware.close()


def test_what_is_wrong_without_the_model_makes_missing_requirements_invalid(build):
    report = check_learnware(build(requirements__txt="no-such-distribution"), semantic(columns=4))
    assert report.status == Status.INVALID
    assert [check.status for check in report.checks] == [
        Status.USABLE,
        Status.INVALID,
        Status.NONUSABLE,
        Status.NONUSABLE,
    ]
    assert "Input has dimension 4" in report.checks[1].message


# Where the model runs.


def test_a_machine_that_can_not_contain_the_model_is_no_fault_of_the_learnware(build, monkeypatch):
    def start(self, **options):
        raise IsolationUnavailable("no Landlock here")

    monkeypatch.setattr(ModelProcess, "start", start)
    with pytest.raises(IsolationUnavailable, match="no Landlock here"):
        check_learnware(build(), semantic(), isolation="require")


@pytest.mark.parametrize("argument", [{"isolation": "chroot"}, {"environment": "docker"}])
def test_a_wrong_word_is_the_callers_fault_and_no_report(build, argument):
    (name,) = argument
    with pytest.raises(InvalidArgument, match=f"{name}: expected"):
        check_learnware(build(), semantic(), **argument)


def test_the_model_is_contained_as_was_asked_for(build):
    best = available_isolation().level
    if best < Isolation.LANDLOCK:
        pytest.skip("this machine has no Landlock")
    report = check_learnware(build(), semantic(), limits=LIMITS, isolation="require")
    assert report.isolation == best
    with report.learnware as learnware:
        learnware.predict(np.zeros((2, 3)))
        assert learnware._running.process().isolation == best


def test_an_environment_that_can_not_be_made_is_nonusable_with_the_resolvers_words(build, index, tmp_path, monkeypatch):
    monkeypatch.setenv("LEARNDOCK_CACHE", str(tmp_path / "cache"))
    mark = tmp_path / "started"
    body = f"def __init__(self): open({str(mark)!r}, 'w')\npredict = None"
    report = check_learnware(build(body, requirements__txt="no-such==1.0\n"), semantic(), environment="build")
    assert [(check.name, check.status) for check in report.checks][1:] == [
        ("semantic", Status.USABLE),
        ("environment", Status.NONUSABLE),
        ("statistical", Status.NONUSABLE),
    ]
    message = report.checks[2].message
    assert re.search(r"it wrote:\n(.*\n)*.*no-such==1\.0", message)
    assert len(message) < 5000
    assert report.status == Status.NONUSABLE
    assert report.isolation is None
    assert not mark.exists()
    # Once it can be made, the same learnware predicts; its environment is not asked for before.
    with report.learnware as learnware, pytest.raises(EnvironmentBuildError, match="no-such"):
        learnware.predict(np.zeros((2, 3)))


def test_notes_about_the_environment_are_in_the_report(build, index, tmp_path, monkeypatch):
    monkeypatch.setenv("LEARNDOCK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(environment_build, "conda_program", lambda: None)
    with Learnware.open(build(environment__yaml="dependencies: [python=3.8]")) as learnware:
        result = EnvironmentChecker().check(learnware)
    assert result.status == Status.USABLE
    assert "asks for python=3.8, this is" in result.message
    assert len(result.details["notes"]) == 2


def test_a_model_whose_requirements_are_not_the_hosts_is_usable_in_an_environment(
    build, network, tmp_path, monkeypatch
):
    monkeypatch.setenv("LEARNDOCK_CACHE", str(tmp_path / "cache"))
    path = build("def predict(self, X): import six; return [0] * len(X)", requirements__txt="six==1.16.0\nlearnware\n")
    report = check_learnware(path, semantic(), limits=LIMITS, environment="build")
    assert report.status == Status.USABLE, report
    assert report.checks[2].details["python"].startswith(str(tmp_path / "cache"))
    with report.learnware as learnware:
        assert learnware.predict(np.zeros((2, 3))).tolist() == [0, 0]


def test_each_checker_can_be_used_by_itself(build):
    with Learnware.open(build()) as learnware:
        assert SemanticChecker().check(learnware).status == Status.INVALID
        assert RequirementsChecker().check(learnware).status == Status.USABLE
        assert StatisticalChecker(start=False).check(learnware).status == Status.NONUSABLE
