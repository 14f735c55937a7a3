"""What `import learndock` costs and loads."""

import subprocess
import sys

HEAVY = (
    "torch",
    "sklearn",
    "scipy",
    "matplotlib",
    "sqlalchemy",
    "pydantic",
    "rapidfuzz",
    "typer",
    "pandas",
    "polars",
    "pyarrow",
)


def in_new_interpreter(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def test_import_loads_no_heavy_package():
    loaded = in_new_interpreter(f"import sys, learndock; print([name for name in {HEAVY!r} if name in sys.modules])")
    assert loaded == "[]"


def test_table_specification_and_kernels_need_no_heavy_package():
    loaded = in_new_interpreter(
        "import sys, learndock as ld, numpy as np;"
        "spec = ld.RKMETableSpecification.fit(np.arange(12.0).reshape(6, 2), n_points=2); spec.herd(3);"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    assert loaded == "[]"


def test_reusers_load_no_heavy_package():
    loaded = in_new_interpreter(
        "import sys, learndock as ld; [getattr(ld.reuse, name) for name in ld.reuse.__all__];"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    assert loaded == "[]"


def test_fixed_attributes_are_there_after_a_bare_import():
    names = in_new_interpreter(
        "import learndock as ld;"
        "print(ld.errors.LearndockError.__name__, ld.reuse.AveragingReuser.__name__,"
        " ld.reuse.JobSelectorReuser.__name__, ld.kernels.inner.__name__)"
    )
    assert names == "LearndockError AveragingReuser JobSelectorReuser inner"


def test_unknown_attribute_is_an_attribute_error():
    answer = in_new_interpreter("import learndock\ntry: learndock.nothing\nexcept AttributeError as e: print(e)")
    assert answer == "module 'learndock' has no attribute 'nothing'"


def test_every_public_name_is_importable():
    assert in_new_interpreter("import learndock; [getattr(learndock, name) for name in learndock.__all__]") == ""


def test_every_exception_derives_from_the_root():
    import learndock

    for name in learndock.errors.__all__:
        root = UserWarning if name.endswith("Warning") else learndock.errors.LearndockError
        assert issubclass(getattr(learndock.errors, name), root)
