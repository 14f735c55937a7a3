"""The semantic specification: what a learnware is for, in words from closed lists."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from learndock._durable import replaced_file
from learndock._json import load_json
from learndock._validation import as_path, positive_integer
from learndock.errors import InvalidArgument, SemanticError, SpecificationFileError
from learndock.specification.semantic_vocabulary import KEY_TYPES, TASKS_OF_DATA

if TYPE_CHECKING:
    from os import PathLike
    from typing import Any

    from learndock.specification._semantic_fields import Fields, Side

__all__ = ["SemanticSpecification"]

# Half a million feature names fit; what is larger is no semantic specification.
LARGEST_FILE = 16 * 2**20
# Beside text, a specification is a dozen lists and objects; lists within lists take twenty times their file in memory.
_MOST_OF_A_KIND = {b'"': 2_500_000, b"{": 1000, b"[": 1000}


@dataclass(frozen=True, slots=True, init=False, repr=False)
class SemanticSpecification:
    """What a learnware is for: its data, task, library, scenario and licence, and what its columns mean.

    Immutable and hashable; two are equal when all their values are. The words are those of the reference's dicts
    (`to_dict`, `from_dict`), checked against the lists in `learndock.specification.semantic_vocabulary`.

    Parameters
    ----------
    name, description : str
        At least one character each.
    data : str
        "Table", "Image" or "Text".
    task : str
        "Classification", "Regression", "Feature Extraction" or "Others"; for images also "Segmentation" and
        "Object Detection", for text also "Text Generation".
    library : str
        "Scikit-learn", "PyTorch", "TensorFlow" or "Others".
    scenario : str or sequence of str
        One or more, such as "Education".
    license : str or sequence of one str
        An SPDX name such as "MIT", or "Others".
    input : mapping, optional
        ``{"Dimension": d, "Description": {"0": "age", ...}}``: the number of columns and what some or all of them
        mean, by index. Needed where data is "Table".
    output : mapping, optional
        The same of the prediction. For a classification the dimension is the number of classes, at least two, and
        the descriptions are their names; for a regression the number of targets. Needed for both tasks.
    model : str
        "Base Model", "Fine-tuned Model" or "PEFT Model" for language models, else "Others".

    Raises
    ------
    SemanticError
        The message lists every fault with its key, what came and what is allowed.

    Examples
    --------
    >>> semantic = SemanticSpecification(
    ...     name="Iris", description="Three species from four lengths.", data="Table", task="Classification",
    ...     library="Scikit-learn", scenario=["Nature"], license="MIT",
    ...     input={"Dimension": 4, "Description": {"0": "sepal length in cm"}},
    ...     output={"Dimension": 3, "Description": {"0": "setosa", "1": "versicolor", "2": "virginica"}})
    >>> semantic.output_dimension
    3
    >>> semantic.to_dict()["Scenario"]
    {'Type': 'Tag', 'Values': ['Nature']}
    """

    name: str
    description: str
    data: str
    task: str
    library: str
    scenario: tuple[str, ...]
    license: str
    model: str
    # Tuples, not dicts, so that the whole is hashable: (dimension, ((index, text), ...)).
    _input: tuple[int, tuple[tuple[str, str], ...]] | None
    _output: tuple[int, tuple[tuple[str, str], ...]] | None

    def __init__(
        self,
        *,
        name: str,
        description: str,
        data: str,
        task: str,
        library: str,
        scenario: str | Sequence[str],
        license: str | Sequence[str],
        input: Mapping[str, Any] | None = None,
        output: Mapping[str, Any] | None = None,
        model: str = "Others",
    ) -> None:
        values: dict[str, object] = {
            "Data": data,
            "Task": task,
            "Model": model,
            "Library": library,
            "Scenario": scenario,
            "License": license,
            "Name": name,
            "Description": description,
        }
        entries: dict[str, object] = {key: {"Type": KEY_TYPES[key], "Values": value} for key, value in values.items()}
        self._fill({**entries, "Input": input, "Output": output})

    def _fill(self, specification: Mapping[str, object]) -> None:
        from learndock.specification._semantic_fields import validated

        fields: Fields = validated(specification)
        for attribute, value in {
            "name": fields.Name,
            "description": fields.Description,
            "data": fields.Data,
            "task": fields.Task,
            "library": fields.Library,
            "scenario": fields.Scenario,
            "license": fields.License,
            "model": fields.Model,
            "_input": _frozen(fields.Input),
            "_output": _frozen(fields.Output),
        }.items():
            object.__setattr__(self, attribute, value)

    @classmethod
    def from_dict(cls, specification: Mapping[str, Any]) -> SemanticSpecification:
        """Read the reference's dict, of version 0.3 or 0.4.

        Parameters
        ----------
        specification : mapping
            Keys Data, Task, Library, Scenario, License, Name and Description, each
            ``{"Type": "Class" | "Tag" | "String", "Values": ...}``; Model likewise (since 0.4; where it is missing,
            it is "Others" and any task of 0.3 may go with any data, as it could then); Input and Output. Other keys
            are ignored.

        Returns
        -------
        SemanticSpecification

        Raises
        ------
        SemanticError
            The message lists every fault with its key, what came and what is allowed.
        """
        if not isinstance(specification, Mapping):
            raise SemanticError(f"specification: got {type(specification).__name__}, expected a dict")
        semantic = cls.__new__(cls)
        semantic._fill(specification)
        return semantic

    def to_dict(self) -> dict[str, Any]:
        """Build the reference's dict, of version 0.4; it shares nothing with this object.

        A combination of data and task that only 0.3 knew is written without Model, as a dict of 0.3.
        """
        values: dict[str, Any] = {
            "Data": [self.data],
            "Task": [self.task],
            "Model": [self.model],
            "Library": [self.library],
            "Scenario": list(self.scenario),
            "License": [self.license],
            "Name": self.name,
            "Description": self.description,
        }
        if self.task not in TASKS_OF_DATA[self.data]:
            del values["Model"]
        entries = {key: {"Type": KEY_TYPES[key], "Values": value} for key, value in values.items()}
        # The reference writes an absent side as an empty dict.
        return {**entries, "Input": self.input or {}, "Output": self.output or {}}

    @classmethod
    def load(cls, path: str | PathLike[str], *, max_bytes: int = LARGEST_FILE) -> SemanticSpecification:
        """Read a JSON file that holds the reference's dict.

        Parameters
        ----------
        path : path
        max_bytes : int, default 16 MiB
            A larger file is refused.

        Returns
        -------
        SemanticSpecification

        Raises
        ------
        SpecificationFileError
            The file is not there, too large or no JSON.
        SemanticError
            It is JSON, but breaks a rule; the message lists every fault.
        """
        return cls.from_json(_content(as_path(path, "path"), positive_integer(max_bytes, "max_bytes")), name=str(path))

    @classmethod
    def from_json(cls, content: bytes, *, name: str = "the semantic specification") -> SemanticSpecification:
        """Read JSON that holds the reference's dict.

        Parameters
        ----------
        content : bytes
            UTF-8.
        name : str
            What an error calls it.

        Returns
        -------
        SemanticSpecification

        Raises
        ------
        SpecificationFileError
            It is no JSON, or holds more lists and objects than any semantic specification.
        SemanticError
            It is JSON, but breaks a rule; the message lists every fault.
        """
        try:
            specification = load_json(content, most=_MOST_OF_A_KIND)
        except ValueError as error:
            raise SpecificationFileError(f"{name} is not JSON of a semantic specification: {error!s:.500}") from None
        return cls.from_dict(specification)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the reference's dict as JSON.

        Parameters
        ----------
        path : path
            Written anew, or over what is there: whole, or not at all.

        Raises
        ------
        InvalidArgument
            If it can't be written.
        """
        file = as_path(path, "path")
        try:
            with replaced_file(file) as stream:
                stream.write((json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n").encode())
        except OSError as error:
            raise InvalidArgument(f"path: can't write {file}: {error.strerror}") from error

    @property
    def input(self) -> dict[str, Any] | None:
        """``{"Dimension": d, "Description": {...}}`` of a row, or None."""
        return _thawed(self._input)

    @property
    def output(self) -> dict[str, Any] | None:
        """``{"Dimension": d, "Description": {...}}`` of a prediction, or None."""
        return _thawed(self._output)

    @property
    def input_dimension(self) -> int | None:
        """Number of columns of a row, or None where Input is absent."""
        return None if self._input is None else self._input[0]

    @property
    def output_dimension(self) -> int | None:
        """Number of classes or of targets, or None where Output is absent."""
        return None if self._output is None else self._output[0]

    @property
    def input_description(self) -> dict[str, str]:
        """What the columns mean, by index ("0", "1", ...); empty where nothing is said."""
        return {} if self._input is None else dict(self._input[1])

    @property
    def output_description(self) -> dict[str, str]:
        """What the classes or targets are called, by index ("0", "1", ...); empty where nothing is said."""
        return {} if self._output is None else dict(self._output[1])

    @property
    def classes(self) -> dict[str, tuple[str, ...]]:
        """The value of every key that holds exactly one, as `SemanticQuery.classes` names them."""
        return {
            "Data": (self.data,),
            "Task": (self.task,),
            "Model": (self.model,),
            "Library": (self.library,),
            "License": (self.license,),
        }

    @property
    def tags(self) -> dict[str, tuple[str, ...]]:
        """The values of every key that may hold several, as `SemanticQuery.tags` names them."""
        return {"Scenario": self.scenario}

    def __repr__(self) -> str:
        sizes = f"{self.input_dimension or '?'} -> {self.output_dimension or '?'}"
        return f"SemanticSpecification({self.name!r}, {self.data}, {self.task}, {self.library}, {sizes})"


def _frozen(side: Side | None) -> tuple[int, tuple[tuple[str, str], ...]] | None:
    if side is None:
        return None
    # In the order of the indices: two dicts that say the same are equal.
    return side.Dimension, tuple(sorted(side.Description.items(), key=lambda item: int(item[0])))


def _thawed(side: tuple[int, tuple[tuple[str, str], ...]] | None) -> dict[str, Any] | None:
    return None if side is None else {"Dimension": side[0], "Description": dict(side[1])}


def _content(file: Path, max_bytes: int) -> bytes:
    try:
        with file.open("rb") as stream:
            content = stream.read(max_bytes + 1)
    except OSError as error:
        raise SpecificationFileError(f"can't read the semantic specification {file}: {error.strerror}") from error
    if len(content) > max_bytes:
        raise SpecificationFileError(f"{file} is larger than {max_bytes} bytes: no semantic specification")
    return content
