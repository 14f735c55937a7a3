"""The closed lists of a semantic specification: which values a key may hold, and which go together.

The words are those of the reference's dicts, versions 0.3 and 0.4. In 0.3 every task went with every kind of
data; 0.4 ties them together and adds "Text Generation" and the key "Model". A dict without "Model" is one of 0.3.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeGuard

__all__ = [
    "DATA",
    "KEY_TYPES",
    "LIBRARIES",
    "LICENSES",
    "MODELS",
    "SCENARIOS",
    "TASKS",
    "TASKS_OF_03",
    "TASKS_OF_DATA",
    "VALUES_OF_KEY",
    "is_text",
    "one_of",
    "shown",
]

DATA = ("Table", "Image", "Text")

_TASKS_OF_ALL_DATA = ("Classification", "Regression", "Feature Extraction")
TASKS_OF_DATA = {
    "Table": (*_TASKS_OF_ALL_DATA, "Others"),
    "Image": (*_TASKS_OF_ALL_DATA, "Segmentation", "Object Detection", "Others"),
    "Text": (*_TASKS_OF_ALL_DATA, "Text Generation", "Others"),
}
TASKS_OF_03 = (*_TASKS_OF_ALL_DATA, "Segmentation", "Object Detection", "Others")
TASKS = (*_TASKS_OF_ALL_DATA, "Segmentation", "Object Detection", "Text Generation", "Others")

MODELS = ("Base Model", "Fine-tuned Model", "PEFT Model", "Others")
LIBRARIES = ("Scikit-learn", "PyTorch", "TensorFlow", "Others")
SCENARIOS = (
    "Business",
    "Financial",
    "Health",
    "Politics",
    "Computer",
    "Internet",
    "Traffic",
    "Nature",
    "Fashion",
    "Industry",
    "Agriculture",
    "Education",
    "Entertainment",
    "Architecture",
    "Others",
)
LICENSES = (
    "MIT",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "GPL-2.0",
    "GPL-3.0",
    "LGPL-2.1",
    "LGPL-3.0",
    "AGPL-3.0",
    "ECL-2.0",
    "AFL-3.0",
    "CC-BY-4.0",
    "CC-BY-SA-4.0",
    "Others",
)

# What stands beside "Type" for each key. A Class holds one value, a Tag one or more, a String is free text.
KEY_TYPES = {
    "Data": "Class",
    "Task": "Class",
    "Model": "Optional",
    "Library": "Class",
    "Scenario": "Tag",
    "License": "Class",
    "Name": "String",
    "Description": "String",
}

VALUES_OF_KEY = {
    "Data": DATA,
    "Task": TASKS,
    "Model": MODELS,
    "Library": LIBRARIES,
    "Scenario": SCENARIOS,
    "License": LICENSES,
}

_LONGEST_SHOWN = 80


def is_text(value: object) -> TypeGuard[str]:
    """Whether a database can hold the value: a string without NUL and without halves of surrogate pairs."""
    if not isinstance(value, str) or "\0" in value:
        return False
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def one_of(allowed: Iterable[str]) -> str:
    """How an error message lists the allowed values."""
    return "one of " + ", ".join(repr(value) for value in allowed)


def shown(value: object) -> str:
    """How an error message shows what came: its repr, cut where it would flood the line."""
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 3] + "..."
