"""Zips as the reference's own templates, examples and documentation make them, opened without the reference."""

from __future__ import annotations

import ast
import importlib.util
import io
import json
import pickle
import sys
import textwrap
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import yaml
from sklearn.linear_model import LinearRegression, LogisticRegression

import learndock as ld
from leaks import nothing_left
from learndock.checker import Status, check_learnware
from learndock.errors import LearnwareError
from learndock.learnware import LearnwareDescription

ROWS = np.random.default_rng(0).normal(size=(30, 3))
TARGET = ROWS @ [1.0, -2.0, 0.5]
LABEL = (ROWS[:, 0] > 0).astype(int)
REGRESSOR = LinearRegression().fit(ROWS, TARGET)
CLASSIFIER = LogisticRegression().fit(ROWS, LABEL)

# As RKMETableSpecification.save of 0.3.2 writes it.
SPECIFICATION = {
    "z": ROWS[:5].tolist(),
    "beta": [0.2] * 5,
    "gamma": 0.1,
    "num_points": 30,
    "type": "RKMETableSpecification",
}
STATISTICS = [
    {
        "module_path": "learnware.specification",
        "class_name": "RKMETableSpecification",
        "file_name": "stat.json",
        "kwargs": {},
    }
]


def semantic(task: str = "Regression", *, outputs: int = 1, **keys: Any) -> dict[str, Any]:
    """A semantic dict as generate_semantic_spec of 0.3.2 makes it."""
    return {
        "Data": {"Type": "Class", "Values": ["Table"]},
        "Task": {"Type": "Class", "Values": [task]},
        "Library": {"Type": "Class", "Values": ["Scikit-learn"]},
        "License": {"Type": "Class", "Values": ["Apache-2.0"]},
        "Scenario": {"Type": "Tag", "Values": ["Business"]},
        "Name": {"Type": "String", "Values": "sales"},
        "Description": {"Type": "String", "Values": "just a model"},
        "Input": {"Dimension": 3, "Description": {"0": "shop", "1": "day", "2": "item"}},
        "Output": {"Dimension": outputs, "Description": {str(i): f"out {i}" for i in range(outputs)}},
        **keys,
    }


@dataclass
class Variant:
    """A zip of one style: its files by name, the semantic dict that is submitted with it, and what it predicts."""

    files: dict[str, bytes | str]
    expected: Any = field(default_factory=lambda: TARGET)
    semantic: dict[str, Any] | None = field(default_factory=semantic)
    class_name: str = "Model"
    statistics: list[dict[str, Any]] | None = field(default_factory=lambda: STATISTICS)
    model: dict[str, Any] = field(default_factory=dict)
    description: dict[str, Any] = field(default_factory=dict)
    specification_file: str = "stat.json"
    specification: dict[str, Any] = field(default_factory=lambda: SPECIFICATION)
    top: str = ""
    stored: bool = False

    def write(self, path: Path) -> Path:
        description: dict[str, Any] = {"model": {"class_name": self.class_name, "kwargs": {}, **self.model}}
        if self.statistics is not None:
            description["stat_specifications"] = self.statistics
        files = {
            # save_dict_to_yaml of the reference: tuples become !!python/tuple.
            "learnware.yaml": yaml.dump({**description, **self.description}, allow_unicode=True),
            self.specification_file: json.dumps(self.specification, separators=(",", ":")),
            **self.files,
        }
        method = zipfile.ZIP_STORED if self.stored else zipfile.ZIP_DEFLATED
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, content in files.items():
                text = textwrap.dedent(content).encode() if isinstance(content, str) else content
                archive.writestr(zipfile.ZipInfo(f"{self.top}{name}"), text, method)
        return path


PICKLED = pickle.dumps(REGRESSOR)


def _joblib(model: Any) -> bytes:
    stream = io.BytesIO()
    joblib.dump(model, stream)
    return stream.getvalue()


def _model(imports: str, load: str, predict: str, *, name: str = "Model", base: str = "BaseModel") -> str:
    """An __init__.py as the documentation shows it."""
    head = f"""\
    import os
    import numpy as np
    {imports}

    class {name}({base}):
        def __init__(self):
            super({name}, self).__init__(input_shape=(3,), output_shape=(1,))
            dir_path = os.path.dirname(os.path.abspath(__file__))
            self.model = {load}

        def fit(self, X: np.ndarray, y: np.ndarray):
            pass

        def predict(self, X: np.ndarray) -> np.ndarray:
            return {predict}

        def finetune(self, X: np.ndarray, y: np.ndarray):
            pass
    """
    return textwrap.dedent(head)


_FROM_JOBLIB = 'joblib.load(os.path.join(dir_path, "model.out"))'
_JOBLIB = "import joblib\n    from learnware.model import BaseModel"
_FILES = {"__init__.py": _model(_JOBLIB, _FROM_JOBLIB, "self.model.predict(X)"), "model.out": _joblib(REGRESSOR)}

VARIANTS: dict[str, Callable[[], Variant]] = {}


def variant(build: Callable[[], Variant]) -> Callable[[], Variant]:
    VARIANTS[build.__name__.strip("_")] = build
    return build


@variant
def _the_references_own_template() -> Variant:
    # PickleModelTemplate of 0.3.2: shapes are tuples, which its YAML says with a tag of Python.
    code = """
    import os
    import pickle

    import numpy as np

    from learnware.model.base import BaseModel


    class PickleLoadedModel(BaseModel):
        def __init__(
            self, input_shape, output_shape, predict_method="predict", fit_method="fit", finetune_method="finetune",
            pickle_filename="model.pkl",
        ):
            super(PickleLoadedModel, self).__init__(input_shape=input_shape, output_shape=output_shape)
            if type(input_shape) is not tuple:
                raise TypeError("a tuple went in")
            dir_path = os.path.dirname(os.path.abspath(__file__))
            with open(os.path.join(dir_path, pickle_filename), "rb") as fd:
                self.model = pickle.load(fd)
            self.predict_method = predict_method

        def predict(self, X: np.ndarray) -> np.ndarray:
            return getattr(self.model, self.predict_method)(X)
    """
    kwargs = {
        "input_shape": (3,),
        "output_shape": (2,),
        "predict_method": "predict_proba",
        "fit_method": "fit",
        "finetune_method": "finetune",
        "pickle_filename": "model.pkl",
    }
    return Variant(
        {"__init__.py": code, "model.pkl": pickle.dumps(CLASSIFIER), "requirements.txt": ""},
        expected=CLASSIFIER.predict_proba(ROWS),
        semantic=semantic("Classification", outputs=2),
        class_name="PickleLoadedModel",
        model={"kwargs": kwargs},
        statistics=[{**STATISTICS[0], "file_name": "stat_spec.json"}],
        specification_file="stat_spec.json",
        stored=True,
    )


@variant
def _the_template_for_download_with_old_spec_names() -> Variant:
    code = _model(
        "import pickle\n    from learnware.model import BaseModel",
        'pickle.load(open(os.path.join(dir_path, "model.pkl"), "rb"))',
        "self.model.predict(X)",
        name="MyModel",
    )
    return Variant(
        {"__init__.py": code, "model.pkl": PICKLED},
        class_name="MyModel",
        statistics=[{**STATISTICS[0], "class_name": "RKMEStatSpecification"}],
        specification={**SPECIFICATION, "type": "RKMEStatSpecification", "cuda_idx": -1},
    )


@variant
def _stat_specifications_missing() -> Variant:
    # Then 0.3 looked for stat_spec.json. The oldest files know neither type nor num_points.
    specification = {name: SPECIFICATION[name] for name in ("z", "beta", "gamma")}
    return Variant(_FILES, statistics=None, specification_file="stat_spec.json", specification=specification)


@variant
def _one_top_folder() -> Variant:
    files = {**_FILES, "semantic_specification.json": json.dumps(semantic())}
    keys = {"id": "00000042", "name": "sales", "semantic_specification": {"file_name": "semantic_specification.json"}}
    return Variant(files, semantic=None, description=keys, top="my learnware/")


@variant
def _a_relative_helper_module() -> Variant:
    helper = """
    import numpy as np

    class ConvModel:
        def __init__(self, channel=3):
            self.weights = np.array([1.0, -2.0, 0.5])[:channel]

        def __call__(self, X):
            return X @ self.weights
    """
    code = _model(
        "from learnware.model import BaseModel\n    from .model import ConvModel", "ConvModel()", "self.model(X)"
    )
    return Variant({"__init__.py": code, "model.py": helper})


@variant
def _helper_modules_by_plain_name() -> Variant:
    # As an example has it: a folder without __init__.py, and names that the standard library and others have as well.
    imports = (
        "import random, utils\n    from learnware.model import BaseModel\n    from preprocess.model import weights"
    )
    code = _model(imports, "weights()", "utils.dot(X, self.model) + 0 * random.random()")
    helpers = {
        "preprocess/model.py": "import numpy as np\ndef weights(): return np.array([1.0, -2.0, 0.5])\n",
        "utils.py": "def dot(a, b): return a @ b\n",
        "random.py": "raise ImportError('the standard library was asked for')\n",
    }
    return Variant({"__init__.py": code, **helpers})


@variant
def _module_path_and_kwargs() -> Variant:
    code = """
    import numpy as np
    from learnware.model import BaseModel

    class Net(BaseModel):
        def __init__(self, device="cuda", weights=None, names=None, scale=None):
            super().__init__(input_shape=(3,), output_shape=(1,))
            assert device == "cpu" and names == {0: "a", 1: ("b", None)} and scale is None
            self.weights = np.array(weights)

        def predict(self, X):
            return X @ self.weights
    """
    kwargs = {"device": "cpu", "weights": [1.0, -2.0, 0.5], "names": {0: "a", 1: ("b", None)}}
    model = {"module_path": "src/net.py", "kwargs": kwargs}
    return Variant({"src/net.py": code, "src/__init__.py": ""}, class_name="Net", model=model)


@variant
def _environment_yaml_beside_requirements() -> Variant:
    # requirements.txt is what counts; the other one asks for what nobody has.
    files = {
        "requirements.txt": "numpy\nlearnware==0.3.2\nscikit-learn\n",
        "environment.yaml": "dependencies: [no-such]",
    }
    return Variant({**_FILES, **files})


@variant
def _environment_yaml_instead_of_requirements() -> Variant:
    # As `conda env export` writes it.
    environment = """
    name: learnware
    channels:
    - defaults
    dependencies:
    - _libgcc_mutex=0.1=main
    - ca-certificates=2023.08.22=h06a4308_0
    - python=3.8.17=h955ad1f_0
    - pip=23.2.1=py38h06a4308_0
    - pip:
      - numpy
      - learnware==0.2.0.9
    prefix: /home/user/miniconda3/envs/learnware
    """
    return Variant({**_FILES, "environment.yaml": environment})


@variant
def _pandas_output() -> Variant:
    predict = 'pd.DataFrame({"sales": self.model.predict(X)})'
    code = _model(
        "import joblib\n    import pandas as pd\n    from learnware.model import BaseModel", _FROM_JOBLIB, predict
    )
    return Variant({**_FILES, "__init__.py": code}, expected=TARGET[:, None])


@variant
def _pandas_output_of_objects() -> Variant:
    # Labels as nullable integers: pandas makes objects of them.
    predict = 'pd.DataFrame({"label": pd.array(self.model.predict(X), dtype="Int64")})'
    code = _model(
        "import joblib\n    import pandas as pd\n    from learnware.model import BaseModel", _FROM_JOBLIB, predict
    )
    files = {"__init__.py": code, "model.out": _joblib(CLASSIFIER)}
    return Variant(files, expected=LABEL[:, None], semantic=semantic("Classification", outputs=2))


@variant
def _torch_output() -> Variant:
    # The interface of a tensor; with PyTorch itself it is tried below, where that is installed.
    tensor = """
    class Tensor:
        dtype = "torch.float32"

        def __init__(self, array, attached=True):
            self.array, self.attached = array, attached

        def detach(self):
            return Tensor(self.array, False)

        def cpu(self):
            return self

        def numpy(self):
            assert not self.attached, "Can't call numpy() on Tensor that requires grad"
            return self.array

        def __array__(self, *args, **kwargs):
            raise TypeError("use detach() first")
    """
    imports = "import joblib\n    from .tensor import Tensor\n    from learnware.model import BaseModel"
    return Variant(
        {**_FILES, "__init__.py": _model(imports, _FROM_JOBLIB, "Tensor(self.model.predict(X))"), "tensor.py": tensor}
    )


@variant
def _a_dict_of_04() -> Variant:
    of_04 = semantic(Model={"Type": "Optional", "Values": ["Others"]})
    model = {"weights_file_path": "weights", "required_learnware_ids": []}
    return Variant({**_FILES, "weights/README": ""}, semantic=of_04, model=model)


@variant
def _the_torch_model_of_04() -> Variant:
    code = """
    import numpy as np
    from learnware.model import BaseModel, TorchModel
    from learnware.model.torch_model import TorchModel as Same

    class Model(TorchModel):
        def __init__(self):
            super().__init__(np.array([1.0, -2.0, 0.5]), input_shape=(3,), output_shape=(1,))

        def predict(self, X):
            assert Same is TorchModel and BaseModel((3,), (1,)).get_model() is None
            return X @ self.nn_model
    """
    return Variant({"__init__.py": code})


@variant
def _small_functions_of_the_package() -> Variant:
    imports = """import joblib
    import learnware
    from learnware.logger import get_module_logger
    from learnware.model import BaseModel
    from learnware.utils import allocate_cuda_idx, get_module_by_module_path, is_torch_available, setup_seed

    logger = get_module_logger("model", level="INFO")
    setup_seed(0)
    allocate_cuda_idx()
    """
    predict = "get_module_by_module_path('numpy').asarray(self.model.predict(X)) + 0 * len(learnware.__version__)"
    return Variant({**_FILES, "__init__.py": _model(imports, _FROM_JOBLIB, predict)})


@variant
def _a_pickle_that_names_its_class_in_main() -> Variant:
    # A whole model, pickled by the script that defined its class.
    code = """
    import os, pickle
    import numpy as np
    from learnware.model import BaseModel

    class Model(BaseModel):
        def __new__(cls, weights=None):
            return super().__new__(cls)

        def __init__(self):
            super().__init__((3,), (1,))
            path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "whole.pkl")
            with open(path, "rb") as file:
                self.weights = pickle.load(file).weights

        def predict(self, X):
            return np.asarray(X) @ self.weights
    """
    return Variant({"__init__.py": code, "whole.pkl": _pickled_in_main()})


def _pickled_in_main() -> bytes:
    model = type("Model", (), {"__module__": "__main__"})
    main = sys.modules["__main__"]
    whole = model()
    whole.weights = [1.0, -2.0, 0.5]
    main.Model = model  # type: ignore[attr-defined]
    try:
        return pickle.dumps(whole, protocol=2)
    finally:
        del main.Model  # type: ignore[attr-defined]


@variant
def _leavings_of_editors_and_systems() -> Variant:
    leavings = {"__pycache__/__init__.cpython-38.pyc": b"\0", ".DS_Store": b"\0", "__MACOSX/._model.out": b"\0"}
    return Variant({**_FILES, **leavings, "learnware.yaml~": "old"}, top="top/")


@pytest.fixture(autouse=True)
def _tidy(tmp_path):  # made before, so that it does not count
    with nothing_left():
        yield


@pytest.mark.parametrize("style", VARIANTS)
def test_a_zip_of_the_references_style_passes_every_check_and_predicts(tmp_path, style):
    made = VARIANTS[style]()
    path = made.write(tmp_path / "a.zip")
    report = check_learnware(path, made.semantic)
    assert report.status == Status.USABLE, report.checks
    with report.learnware as learnware:
        np.testing.assert_allclose(np.squeeze(learnware.predict(ROWS)), np.squeeze(made.expected), atol=1e-6)
        np.testing.assert_array_equal(learnware.specification.points, ROWS[:5])
        assert learnware.specification.num_points in (30, None)
        assert learnware.semantic.name == "sales"


def test_the_reference_is_not_installed_here():
    assert importlib.util.find_spec("learnware") is None


def test_real_tensors_are_taken(tmp_path):
    pytest.importorskip("torch")
    imports = "import joblib, torch\n    from learnware.model import BaseModel"
    predict = "torch.nn.Parameter(torch.as_tensor(self.model.predict(X), dtype=torch.bfloat16))"
    made = Variant({**_FILES, "__init__.py": _model(imports, _FROM_JOBLIB, predict)})
    with ld.Learnware.open(made.write(tmp_path / "a.zip"), semantic=made.semantic) as learnware:
        np.testing.assert_allclose(learnware.predict(ROWS), TARGET, atol=0.05)


def test_what_a_zip_of_the_reference_needs_and_is_not_here_makes_it_nonusable(tmp_path):
    made = Variant({**_FILES, "environment.yaml": "dependencies: [python=3.8, pip: [no-such-package==1.0]]"})
    report = check_learnware(made.write(tmp_path / "a.zip"), made.semantic)
    assert report.status == Status.NONUSABLE
    report.learnware.close()


def test_the_tuples_tag_makes_tuples_and_no_other_tag_of_python_makes_anything(tmp_path):
    made = Variant(_FILES, model={"kwargs": {"shape": (3, (4, [5])), "names": {1: "a"}}})
    made.write(tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        archive.extractall(tmp_path / "folder")
    assert b"!!python/tuple" in (tmp_path / "folder" / "learnware.yaml").read_bytes()
    kwargs = LearnwareDescription.read(tmp_path / "folder").model.kwargs
    assert kwargs == {"shape": (3, (4, [5])), "names": {1: "a"}}
    for tag in ("complex", "bytes", "name:os.system", "module:os", "object:os.path", "object/new:os.error"):
        (tmp_path / "folder" / "learnware.yaml").write_text(f"model: {{kwargs: {{a: !!python/{tag} '1'}}}}")
        with pytest.raises(LearnwareError, match="can't be read"):
            LearnwareDescription.read(tmp_path / "folder")


def test_arguments_without_names_are_refused(tmp_path):
    made = Variant(_FILES, model={"kwargs": {1: "a"}})
    with pytest.raises(LearnwareError, match=r"model.kwargs: expected names as its keys, got \[1\]"):
        ld.Learnware.open(made.write(tmp_path / "a.zip"))


@pytest.mark.parametrize("file", ["worker.py", "standin"])
def test_what_runs_in_the_models_interpreter_is_python_38(file):
    # An environment may have an old interpreter. What the grammar does not say, a union in isinstance, is looked for.
    root = Path(ld.__file__).parent / "runtime" / file
    files = [root] if root.is_file() else sorted(root.rglob("*.py"))
    assert files
    for path in files:
        tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 8))
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
        checks = [call for call in calls if call.func.id in ("isinstance", "issubclass")]
        assert not any(isinstance(call.args[1], ast.BinOp) for call in checks)
        deferred = any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body)
        annotated = any(isinstance(node, ast.FunctionDef) for node in ast.walk(tree))
        assert deferred or not annotated
