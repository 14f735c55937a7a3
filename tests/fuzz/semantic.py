"""The JSON of a semantic specification."""

from __future__ import annotations

import json

import learndock as ld
from fuzz.expectations import read_or_refused
from hostile_files import SEMANTIC
from learndock.errors import SemanticError, SpecificationFileError


def seeds() -> list[bytes]:
    classes = {
        **SEMANTIC,
        "Task": {"Type": "Class", "Values": "Classification"},
        "Output": {"Dimension": 2, "Description": {"0": "no", "1": "yes"}},
        "Model": {"Type": "Class", "Values": ["Others"]},
    }
    text = {**SEMANTIC, "Data": {"Type": "Class", "Values": ["Text"]}, "Input": {}, "Output": None}
    return [json.dumps(fields).encode() for fields in (SEMANTIC, classes, text)]


def run(data: bytes) -> None:
    semantic = read_or_refused(lambda: ld.SemanticSpecification.from_json(data), SpecificationFileError, SemanticError)
    if semantic is not None:
        text = json.dumps(semantic.to_dict(), ensure_ascii=False)
        assert ld.SemanticSpecification.from_json(text.encode()) == semantic
