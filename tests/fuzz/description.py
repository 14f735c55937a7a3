"""learnware.yaml, in a folder with the files that it may name."""

from __future__ import annotations

import os

import yaml

from fuzz.expectations import read_or_refused, scratch
from hostile_files import good_files
from learndock.errors import LearnwareError
from learndock.learnware.description import LearnwareDescription

_FOLDER = scratch("description")
for _name, _content in {**good_files(), "held_out.npy": b"", "model.py": b""}.items():
    (_FOLDER / _name).write_bytes(_content)
_FILES = sorted(os.listdir(_FOLDER))


def seeds() -> list[bytes]:
    specification = {"module_path": "learnware.specification", "class_name": "RKMETableSpecification"}
    whole = {
        "name": "a",
        "id": 7,
        "model": {"class_name": "Model", "module_path": "model.py", "kwargs": {"a": [1, 2.5, None, "b"]}},
        "stat_specifications": [{**specification, "file_name": "stat.json", "kwargs": {}}],
        "semantic_specification": {"file_name": "semantic_specification.json"},
        "held_out": {"file_name": "held_out.npy"},
        "validation": {
            "rows": 50,
            "measure": "brier score",
            "loss": 0.1,
            "accuracy": 0.9,
            "threshold": 0.6,
            "above": 1,
        },
    }
    return [
        good_files()["learnware.yaml"],
        yaml.safe_dump(whole).encode(),
        b"model: {kwargs: {shape: !!python/tuple [3, 4]}}\nvalidation: {rows: 9, measure: error rate, loss: 0,"
        b" accuracy: 1}\n",
        b"a: &a [1]\nb: *a\n",
    ]


def run(data: bytes) -> None:
    (_FOLDER / "learnware.yaml").write_bytes(data)
    description = read_or_refused(lambda: LearnwareDescription.read(_FOLDER), LearnwareError)
    if description is not None:
        named = [entry.file_name for entry in description.specifications]
        named += [file for file in (description.semantic_file, description.held_out_file) if file is not None]
        for name in named:
            assert (_FOLDER / name).resolve().is_relative_to(_FOLDER.resolve())
        if description.validation is not None:
            assert type(description.validation).read(description.validation.to_dict()) == description.validation
    assert sorted(os.listdir(_FOLDER)) == _FILES
