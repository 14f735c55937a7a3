"""The stub of the compiled core says what the core is: names, parameters in their order, members, properties."""

from __future__ import annotations

import ast
import enum
import inspect
import re
from pathlib import Path

import pytest

import learndock
from learndock import _core

FOLDER = Path(learndock.__file__).parent
STUB = ast.parse((FOLDER / "_core.pyi").read_text())
FUNCTIONS = {node.name: node for node in STUB.body if isinstance(node, ast.FunctionDef)}
CLASSES = {node.name: node for node in STUB.body if isinstance(node, ast.ClassDef)}


def public(names):
    return {name for name in names if not name.startswith("_")}


def parameters(function):
    return [argument.arg for argument in function.args.args]


def documented(signature):
    """The parameters in a signature as pybind11 writes it: `name(a: type, b: list[x, y]) -> type`."""
    inside = signature[signature.index("(") + 1 : signature.rindex(") ->")]
    return re.findall(r"(?:^|, )(\w+): ", inside)


def test_every_name_of_the_core_is_in_the_stub_and_the_other_way_round():
    variables = {node.target.id for node in STUB.body if isinstance(node, ast.AnnAssign)}
    assert public(vars(_core)) == {*FUNCTIONS, *CLASSES, *public(variables)}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_parameters_are_those_of_the_core(name):
    assert parameters(FUNCTIONS[name]) == documented(getattr(_core, name).__doc__)


@pytest.mark.parametrize("name", [name for name, node in CLASSES.items() if node.bases])
def test_enumerations_are_those_of_the_core(name):
    values = {node.targets[0].id: node.value.value for node in CLASSES[name].body}
    assert issubclass(getattr(_core, name), enum.Enum)
    assert values == {member: each.value for member, each in getattr(_core, name).__members__.items()}


@pytest.mark.parametrize("name", [name for name, node in CLASSES.items() if not node.bases])
def test_methods_and_properties_are_those_of_the_core(name):
    members, cls = {node.name: node for node in CLASSES[name].body}, getattr(_core, name)
    assert public(members) == public(dir(cls))
    for member, node in members.items():
        if node.decorator_list:
            assert [each.id for each in node.decorator_list] == ["property"]
            assert isinstance(inspect.getattr_static(cls, member), property)
        else:
            assert parameters(node) == documented(getattr(cls, member).__doc__)


def test_the_package_says_that_it_is_typed():
    assert (FOLDER / "py.typed").is_file()
