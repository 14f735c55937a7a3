"""The examples in the docstrings print what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import learndock

# Modules that are no part of this process: they begin to work when they are imported, or only do inside a model's.
LEFT_OUT = {"learndock.learnware.packed_model"}


def modules():
    """Every module of the package, by name."""

    def fail(name):
        raise AssertionError(f"{name} can't be imported")

    found = [each.name for each in pkgutil.walk_packages(learndock.__path__, "learndock.", onerror=fail)]
    return ["learndock", *(name for name in found if name not in LEFT_OUT and not name.endswith(".__main__"))]


FINDER = doctest.DocTestFinder(exclude_empty=True)
EXAMPLES = {
    test.name: test for name in modules() for test in FINDER.find(importlib.import_module(name), name) if test.examples
}


@pytest.mark.parametrize("test", EXAMPLES.values(), ids=EXAMPLES)
def test_examples_of(test, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    report = []
    runner = doctest.DocTestRunner(optionflags=doctest.REPORT_NDIFF)
    runner.run(test, out=report.append, clear_globs=False)
    assert runner.failures == 0, "".join(report)


def test_what_people_meet_first_has_an_example():
    """None may be lost to a module that is not found, or to a docstring that says it in another way."""
    first_met = {
        "learndock",
        "learndock.dock.dock.Dock",
        "learndock.reuse.averaging.AveragingReuser",
        "learndock.reuse.job_selector.JobSelectorReuser",
        "learndock.specification.semantic.SemanticSpecification",
        "learndock.specification.semantic_query.SemanticQuery",
        "learndock.specification.table.RKMETableSpecification",
        "learndock.specification.table.RKMETableSpecification.fit",
    }
    of_kernels = {f"learndock.kernels.{name}" for name in learndock.kernels.__all__ if name[0].islower()}
    assert first_met | of_kernels <= set(EXAMPLES)
    assert sum(len(test.examples) for test in EXAMPLES.values()) >= 45
