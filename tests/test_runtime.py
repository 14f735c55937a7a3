"""A model in its own process: what comes back, what is contained, and that nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from learndock.errors import InvalidArgument, ModelError, ModelTimeout
from learndock.runtime import ModelDescription, ModelInfo, ModelLimits, ModelProcess
from model_folders import QUICK, model_maker  # noqa: F401 (a fixture)

ROWS = np.arange(12.0).reshape(4, 3)


def test_start_tells_the_shapes_and_call_returns_what_the_model_returns(make):
    with make() as model:
        assert model.start() == ModelInfo(input_shape=(3,), output_shape=(1,))
        np.testing.assert_array_equal(model.call("predict", ROWS), ROWS.sum(axis=1))


@pytest.mark.parametrize(
    "array",
    [
        np.array([True, False]),
        np.arange(5, dtype=np.int8),
        np.arange(5, dtype=np.uint64),
        np.arange(6, dtype=np.float16).reshape(2, 3),
        np.arange(6, dtype=np.float32).reshape(1, 2, 3),
        np.array([np.nan, np.inf, -0.0]),
        np.array([["age", "größe"], ["", "年"]]),
        np.array(["", ""]),
        np.empty((0, 3)),
        np.empty((2, 0), dtype="<U4"),
        np.asfortranarray(np.arange(12).reshape(3, 4)),
        np.arange(20.0)[::3],
        np.arange(4, dtype=">i4"),
    ],
    ids=lambda array: f"{array.dtype.str}{array.shape}",
)
def test_arrays_travel_there_and_back_unchanged(make, array):
    with make("def predict(self, X): return X") as model:
        back = model.call("predict", array)
    assert back.shape == array.shape
    assert back.dtype == array.dtype.newbyteorder("=") or array.dtype.itemsize == 0
    np.testing.assert_array_equal(back, array)


@pytest.mark.parametrize("rows", [np.array([object()]), np.array([1j]), [[1.0]], None])
def test_an_input_that_can_not_travel_names_the_argument_and_the_process_lives_on(make, rows):
    with make() as model:
        with pytest.raises(InvalidArgument, match="X: expected an array"):
            model.call("predict", rows)
        assert model.alive


def test_a_model_that_writes_to_its_input_does_not_change_the_callers(make):
    rows = ROWS.copy()
    with make("def predict(self, X): X *= 2; return X") as model:
        np.testing.assert_array_equal(model.call("predict", rows), 2 * ROWS)
    np.testing.assert_array_equal(rows, ROWS)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("[1, 2, 3, 4]", np.array([1, 2, 3, 4])),
        ("[[1.5], [2.5]]", np.array([[1.5], [2.5]])),
        ("np.longdouble([1, 2])", np.array([1.0, 2.0])),
        ("np.matrix([[1, 2]])", np.array([[1, 2]])),
        ("np.float64(3)", np.array(3.0)),
        ("__import__('pandas').DataFrame({'a': [1.0, 2.0]})", np.array([[1.0], [2.0]])),
        ("__import__('scipy.sparse').sparse.csr_array(np.eye(2))", np.eye(2)),
        ("Tensor()", np.array([7.0, 8.0])),
    ],
)
def test_what_is_no_array_is_converted_in_the_models_process(make, answer, expected):
    tensor = """
    class Tensor:
        dtype = "torch.bfloat16"
        def detach(self): return self
        def cpu(self): return self
        def float(self): return self
        def numpy(self): return np.array([7.0, 8.0])
    """
    body = f"def predict(self, X):\n{textwrap.indent(textwrap.dedent(tensor), '    ')}\n    return {answer}"
    with make(body) as model:
        result = model.call("predict", ROWS)
    np.testing.assert_array_equal(result, expected)
    assert result.dtype == expected.dtype


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        ("np.array([object()])", "dtype object"),
        ("['a', None]", "dtype object"),
        ("None", "returned None"),
        ("[[1], [1, 2]]", "no rectangular array"),
        ("np.array([1j])", "dtype complex128"),
        ("np.array(['2020-01-01'], dtype='M8[D]')", "dtype datetime64"),
        ("np.zeros(2, dtype=[('a', int)])", "expected numbers"),
        ("{'a': 1}", "dtype object"),
    ],
)
def test_an_answer_without_numbers_is_an_error_and_the_process_lives_on(make, answer, complaint):
    with make(f"def predict(self, X): return {answer}\ndef other(self, X): return X") as model:
        with pytest.raises(ModelError, match=complaint):
            model.call("predict", ROWS)
        np.testing.assert_array_equal(model.call("other", ROWS), ROWS)


def test_helper_modules_are_imported_relatively_and_by_plain_name(make):
    init = """
        from learnware.model.base import BaseModel
        from .first import ONE
        from second import TWO
        from .inner.third import THREE
        class Model(BaseModel):
            def __init__(self): super().__init__((3,), (1,))
            def predict(self, X): return [ONE, TWO, THREE]
    """
    helpers = {
        "first.py": "ONE = 1",
        "second.py": "TWO = 2",
        "inner/third.py": "from ..first import ONE; THREE = ONE + 2",
    }
    with make(files={"__init__.py": init, **helpers}) as model:
        assert model.call("predict", ROWS).tolist() == [1, 2, 3]


@pytest.mark.parametrize("module_path", ["deep/my-model.py", "plain"])
def test_the_model_may_be_in_another_module(make, module_path):
    code = """
        from learnware.model import BaseModel
        from {helper} import BONUS
        class Net(BaseModel):
            def __init__(self, scale): super().__init__((3,), ()); self.scale = scale
            def predict(self, X): return X * self.scale + BONUS
    """
    files = {
        "__init__.py": "raise RuntimeError('not asked for')",
        "helper.py": "BONUS = 1",
        "deep/my-model.py": code.format(helper="..helper"),
        "plain.py": code.format(helper="helper"),
    }
    with make(files=files, class_name="Net", module_path=module_path, kwargs={"scale": 2.0}) as model:
        np.testing.assert_array_equal(model.call("predict", ROWS), 2 * ROWS + 1)


def test_a_pickle_that_names_its_class_by_main_is_found(make):
    body = """
    def predict(self, X):
        import pickle
        return [pickle.loads(pickle.dumps(self, protocol=0).replace(b"learnware_model", b"__main__")).input_shape[0]]
    """
    with make(body) as model:
        assert model.call("predict", ROWS).tolist() == [3]


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({"__init__.py": ""}, "has no attribute 'Model'"),
        ({"__init__.py": "def (:"}, "SyntaxError"),
        ({"__init__.py": "import no_such_module_here"}, "No module named 'no_such_module_here'"),
        ({"__init__.py": "class Model:\n    def __init__(self): raise ValueError('no weights')"}, "no weights"),
        ({"__init__.py": "class Model:\n    def __init__(self): raise SystemExit"}, "SystemExit"),
        ({"__init__.py": "class Model:\n    def __init__(self, size): pass"}, "missing 1 required"),
        ({"__init__.py": "class Model: pass"}, "has no method predict"),
        ({"__init__.py": "Model = 3"}, "not callable"),
        ({"__init__.py": "import os; os._exit(7)"}, "exit status 7"),
    ],
)
def test_a_model_that_can_not_be_made_is_an_error_with_its_cause(make, files, complaint):
    model = make(files=files)
    with pytest.raises(ModelError, match=complaint):
        model.start()
    assert model.ended
    with pytest.raises(ModelError, match="has ended"):
        model.call("predict", ROWS)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("7", (7,)),
        ("np.int64(7)", (7,)),
        ("[2, 3]", (2, 3)),
        ("()", ()),
        ("None", None),
        ("'abc'", None),
        ("(1.5,)", None),
    ],
)
def test_shapes_that_are_no_tuples_of_integers_are_read_where_they_can_be(make, shape, expected):
    with make(f"input_shape = property(lambda self: {shape}, lambda self, value: None)") as model:
        assert model.start().input_shape == expected


def test_an_exception_in_predict_comes_with_its_traceback_and_the_process_lives_on(make):
    body = """
    def predict(self, X): return self.inner()
    def inner(self): raise KeyError("no such column\\x1b[31m")
    def leave(self, X): sys.exit("enough")
    def other(self, X): return X
    """
    with make(body) as model:
        with pytest.raises(ModelError, match=r"(?s)predict failed.*in inner.*KeyError: 'no such column") as caught:
            model.call("predict", ROWS)
        assert "\x1b" not in str(caught.value)
        with pytest.raises(ModelError, match="SystemExit: enough"):
            model.call("leave", ROWS)
        with pytest.raises(ModelError, match="no attribute 'missing'"):
            model.call("missing", ROWS)
        np.testing.assert_array_equal(model.call("other", ROWS), ROWS)


@pytest.mark.parametrize(
    ("statement", "cause"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "killed by SIGSEGV"),
        ("import ctypes; ctypes.string_at(0)", "killed by SIGSEGV"),
        ("os.abort()", "killed by SIGABRT"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "killed by SIGKILL"),
        ("os._exit(3)", "exit status 3"),
        ("os.killpg(0, signal.SIGTERM)", "killed by SIGTERM"),
    ],
)
def test_a_crash_is_an_error_with_its_signal_and_what_was_printed(make, statement, cause):
    with make(f"def predict(self, X): print('on my way'); {statement}") as model:
        with pytest.raises(ModelError, match=f"(?s){cause}.*on my way"):
            model.call("predict", ROWS)
        assert model.ended
        with pytest.raises(ModelError, match="has ended"):
            model.call("predict", ROWS)


@pytest.mark.parametrize("where", ["import", "__init__", "predict", "predict, stopped"])
def test_a_model_that_does_not_answer_is_ended_in_time(make, where):
    lines = "print('here', flush=True)\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: pass"
    hang = textwrap.indent(lines, "    ")
    bodies = {
        "import": "while True: pass\npredict = None",
        "__init__": f"def __init__(self):\n{hang}",
        "predict": f"def predict(self, X):\n{hang}",
        "predict, stopped": "def predict(self, X): os.kill(os.getpid(), signal.SIGSTOP)",
    }
    model = make(bodies[where], limits=ModelLimits(seconds=1.0))
    start = time.monotonic()
    with pytest.raises(ModelTimeout, match="took too long"):
        model.call("predict", ROWS)
    assert time.monotonic() - start < 4.0
    assert model.ended


def test_a_call_may_have_less_time_than_the_limits_give(make):
    with make("def predict(self, X): time.sleep(60)") as model, pytest.raises(ModelTimeout):
        model.call("predict", ROWS, seconds=0.2)


def test_the_process_has_an_environment_of_its_own(make, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    body = """
    def predict(self, X):
        import resource
        status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
        facts = {
            "environment": dict(os.environ), "cwd": os.getcwd(), "session": os.getsid(0), "pid": os.getpid(),
            "umask": os.umask(0), "stdin": os.readlink("/proc/self/fd/0"),
            "core": resource.getrlimit(resource.RLIMIT_CORE), "files": resource.getrlimit(resource.RLIMIT_NOFILE)[1],
            "no_new_privileges": int(status["NoNewPrivs"]), "modules": sorted(sys.modules), "path": sys.path,
            "descriptors": sorted(os.readlink(f"/proc/self/fd/{n}").split(":")[0] for n in os.listdir("/proc/self/fd")
                                  if os.path.exists(f"/proc/self/fd/{n}")),
        }
        return [json.dumps(facts)]
    """
    read_end, write_end = os.pipe()
    os.set_inheritable(read_end, True)
    try:
        with make(body) as model:
            facts = json.loads(str(model.call("predict", ROWS)[0]))
    finally:
        os.close(read_end)
        os.close(write_end)
    assert "hunter2" not in json.dumps(facts)
    home = facts["environment"]["HOME"]
    assert {facts["environment"][name] for name in ("TMPDIR", "TMP", "TEMP")} == {home}
    assert facts["cwd"] == home
    assert not Path(home).exists()
    assert facts["session"] == facts["pid"] != os.getsid(0)
    assert facts["umask"] == 0o077
    assert facts["stdin"] == "/dev/null"
    assert facts["core"] == [1, 1]
    assert facts["files"] <= 512
    assert facts["no_new_privileges"] == 1
    assert not [name for name in facts["modules"] if name.startswith("learndock")]
    # The mapped array of the host, standard input, output and error, and the socket.
    assert facts["descriptors"] == ["/dev/null", "/memfd", "pipe", "pipe", "socket"]


def test_calls_from_many_threads_are_all_answered(make):
    results = {}
    with make("def predict(self, X): return X * 2") as model:

        def work(number):
            for _ in range(5):
                rows = np.full((2, 3), float(number))
                results.setdefault(number, []).append(np.array_equal(model.call("predict", rows), rows * 2))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert results == {number: [True] * 5 for number in range(6)}


def test_a_process_outlives_the_thread_that_started_it(make):
    model = make("def predict(self, X): return X")
    thread = threading.Thread(target=model.start)
    thread.start()
    thread.join()
    time.sleep(0.3)
    np.testing.assert_array_equal(model.call("predict", ROWS), ROWS)


def test_close_from_another_thread_ends_a_call(make):
    model = make("def predict(self, X): open('begun', 'w'); time.sleep(60)")
    model.start()
    timer = threading.Timer(0.3, model.close)
    timer.start()
    start = time.monotonic()
    with pytest.raises(ModelError, match="closed"):
        model.call("predict", ROWS)
    timer.join()
    assert time.monotonic() - start < 5.0


def test_an_interrupted_call_ends_the_process(make):
    model = make("def predict(self, X): time.sleep(60)")
    model.start()
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        model.call("predict", ROWS)
    assert model.ended


def test_a_closed_process_does_not_start(make):
    model = make()
    model.close()
    with pytest.raises(ModelError, match="has ended"):
        model.start()
    assert repr(model) == "ModelProcess('Model', ended)"


def test_an_interpreter_that_is_not_there_is_an_error(make, tmp_path):
    folder = make()._folder
    with pytest.raises(ModelError, match="exit status 127"):
        ModelProcess(folder, ModelDescription(), limits=QUICK, python=tmp_path / "no-python").start()


@pytest.mark.parametrize(
    "limit",
    [
        {"seconds": 0},
        {"seconds": float("nan")},
        {"seconds": "60"},
        {"memory_bytes": -1},
        {"processes": 1.5},
        {"file_bytes": True},
    ],
)
def test_limits_that_make_no_sense_name_themselves(limit):
    with pytest.raises(InvalidArgument, match=next(iter(limit))):
        ModelLimits(**limit)
