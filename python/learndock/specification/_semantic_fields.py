"""The rules of a semantic specification as a pydantic model of the reference's dict.

It is imported when the first specification is made, not before: pydantic costs a tenth of a second. Its errors
never leave this module; `validated` turns all of them at once into one `SemanticError`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Annotated, Any, NoReturn

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, ValidationInfo
from pydantic_core import PydanticCustomError

from learndock.errors import SemanticError
from learndock.specification.semantic_vocabulary import (
    DATA,
    KEY_TYPES,
    LIBRARIES,
    LICENSES,
    MODELS,
    SCENARIOS,
    TASKS,
    TASKS_OF_03,
    TASKS_OF_DATA,
    is_text,
    one_of,
    shown,
)

__all__ = ["Fields", "Side", "validated"]

# The catalog keeps a dimension as a 32-bit integer; no table has more columns.
_LARGEST_DIMENSION = 2**31 - 1


def _refuse(came: object, expected: str) -> NoReturn:
    raise PydanticCustomError("semantic", "{fault}", {"fault": f"got {shown(came)}, expected {expected}"})


def _values(key: str, entry: object) -> Any:
    """Read what stands under "Values" of one key's entry."""
    kind = KEY_TYPES[key]
    if not isinstance(entry, Mapping) or "Values" not in entry or entry.get("Type") != kind:
        _refuse(entry, f"a dict {{'Type': {kind!r}, 'Values': ...}}")
    return entry["Values"]


def _one(key: str, allowed: tuple[str, ...]) -> Callable[[object], str]:
    def read(entry: object) -> str:
        values = _values(key, entry)
        chosen = [values] if isinstance(values, str) else values
        if not isinstance(chosen, list | tuple) or len(chosen) != 1 or chosen[0] not in allowed:
            _refuse(values, f"exactly {one_of(allowed)}")
        return str(chosen[0])

    return read


def _tags(key: str, allowed: tuple[str, ...]) -> Callable[[object], tuple[str, ...]]:
    def read(entry: object) -> tuple[str, ...]:
        values = _values(key, entry)
        chosen = [values] if isinstance(values, str) else values
        if not isinstance(chosen, list | tuple) or not chosen or any(value not in allowed for value in chosen):
            _refuse(values, f"at least {one_of(allowed)}")
        # Each tag once, in the order given.
        return tuple(dict.fromkeys(str(value) for value in chosen))

    return read


def _text(key: str) -> Callable[[object], str]:
    def read(entry: object) -> str:
        values = _values(key, entry)
        if not values or not is_text(values):
            _refuse(values, "text of at least one character, in UTF-8 and without NUL")
        return str(values)

    return read


def _task(entry: object, info: ValidationInfo) -> str:
    task = _one("Task", TASKS)(entry)
    data = info.data.get("Data")
    if data is None:
        return task  # Data itself is at fault and reported
    # Model is read later; its absence marks a dict of 0.3, which tied no task to a kind of data.
    of_03 = bool(info.context and info.context["of_03"])
    allowed = tuple(dict.fromkeys(TASKS_OF_DATA[data] + (TASKS_OF_03 if of_03 else ())))
    if task not in allowed:
        _refuse(task, f"{one_of(allowed)} where Data is {data!r}")
    return task


def _model(entry: object, info: ValidationInfo) -> str:
    if _values("Model", entry) in ([], (), "", None):
        return "Others"
    model = _one("Model", MODELS)(entry)
    data = info.data.get("Data")
    if data in ("Table", "Image") and model != "Others":
        _refuse(model, f"'Others' where Data is {data!r}")
    return model


class Side(BaseModel):
    """Input or Output: how many numbers a row has, and what each (or each class) is called."""

    model_config = ConfigDict(frozen=True)

    Dimension: int
    Description: dict[str, str]


def _dimension(value: object, least: int) -> int:
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)  # type: ignore[arg-type]  # the except clause is the check
    except TypeError:
        _refuse(value, f"an integer of at least {least} as Dimension")
    if not least <= number <= _LARGEST_DIMENSION:
        _refuse(value, f"an integer from {least} to {_LARGEST_DIMENSION} as Dimension")
    return number


def _position(key: object, dimension: int) -> str:
    """Read the key of one description, in the reference's form: the decimal index as a string."""
    text = str(key)
    # Leading zeros are refused too: "1" and "01" would name the same column twice.
    if isinstance(key, bool) or not (text.isascii() and text.isdecimal()) or str(int(text[:12])) != text:
        _refuse(key, f"an index from 0 to {dimension - 1} as a key of Description")
    if int(text) >= dimension:
        _refuse(key, f"an index from 0 to {dimension - 1} as a key of Description")
    return text


def _side(value: object, *, needed_for: str | None, least: int = 1) -> Side | None:
    if value is None or (isinstance(value, Mapping) and not value):
        if needed_for is None:
            return None
        _refuse(value, f"a dict {{'Dimension': int, 'Description': {{'0': 'text', ...}}}} where {needed_for}")
    if not isinstance(value, Mapping) or "Dimension" not in value:
        _refuse(value, "a dict {'Dimension': int, 'Description': {'0': 'text', ...}}")
    dimension = _dimension(value["Dimension"], least)
    described = value.get("Description") or {}
    if not isinstance(described, Mapping):
        _refuse(described, "a dict {'0': 'text', ...} as Description")
    description = {}
    for key, words in described.items():
        position = _position(key, dimension)
        if not is_text(words):
            _refuse(words, f"text as Description of {position!r}")
        description[position] = words
    if len(description) != len(described):
        _refuse(described, "a Description that names each index once")
    return Side(Dimension=dimension, Description=description)


def _input(value: object, info: ValidationInfo) -> Side | None:
    return _side(value, needed_for="Data is 'Table'" if info.data.get("Data") == "Table" else None)


def _output(value: object, info: ValidationInfo) -> Side | None:
    task = info.data.get("Task")
    needed = task in ("Classification", "Regression")
    # A class more than one: the dimension of a classification is its number of classes.
    return _side(value, needed_for=f"Task is {task!r}" if needed else None, least=2 if task == "Classification" else 1)


class Fields(BaseModel):
    """The reference's dict, read. The order of the fields matters: a rule sees the fields before its own."""

    model_config = ConfigDict(frozen=True, extra="ignore", validate_default=True)

    Data: Annotated[str, BeforeValidator(_one("Data", DATA))]
    Task: Annotated[str, BeforeValidator(_task)]
    Model: Annotated[str, BeforeValidator(_model)] = {"Type": "Optional", "Values": ["Others"]}  # type: ignore[assignment]
    Library: Annotated[str, BeforeValidator(_one("Library", LIBRARIES))]
    Scenario: Annotated[tuple[str, ...], BeforeValidator(_tags("Scenario", SCENARIOS))]
    License: Annotated[str, BeforeValidator(_one("License", LICENSES))]
    Name: Annotated[str, BeforeValidator(_text("Name"))]
    Description: Annotated[str, BeforeValidator(_text("Description"))]
    Input: Annotated[Side | None, BeforeValidator(_input)] = None
    Output: Annotated[Side | None, BeforeValidator(_output)] = None


def validated(specification: Mapping[str, object]) -> Fields:
    """Read the dict, or raise one SemanticError that lists every fault, each with its key."""
    of_03 = "Model" not in specification
    try:
        return Fields.model_validate(dict(specification), context={"of_03": of_03})
    except ValidationError as error:
        faults = []
        for fault in error.errors(include_url=False, include_input=False):
            key = str(fault["loc"][0]) if fault["loc"] else "specification"
            missing = f"missing, expected a dict {{'Type': {KEY_TYPES.get(key)!r}, 'Values': ...}}"
            faults.append(f"{key}: {missing if fault['type'] == 'missing' else fault['msg']}")
    raise SemanticError("; ".join(faults))
