"""The reference's JSON of a statistical specification."""

from __future__ import annotations

import json
import os

import learndock as ld
from fuzz.expectations import read_or_refused, scratch
from hostile_files import SPECIFICATION
from learndock.errors import SpecificationFileError

_FOLDER = scratch("spec-json")
_FILE, _COPY = _FOLDER / "stat.json", _FOLDER / "copy.json"


def seeds() -> list[bytes]:
    scaled = {**SPECIFICATION, "scaling": [[0.0, 1.0], [1.0, 2.0]], "moments": [[0.0, 1.0], [1.0, 0.0]]}
    old = {**SPECIFICATION, "type": "RKMEStatSpecification", "num_points": 0, "device": "cpu", "cuda_idx": -1}
    least = {"z": [[1e-3]], "beta": [-1], "gamma": 2}
    known = {**SPECIFICATION, "num_points": 100, "fit_mmd2": 0.001}
    return [json.dumps(fields).encode() for fields in (SPECIFICATION, scaled, old, least, known)]


def run(data: bytes) -> None:
    _FILE.write_bytes(data)
    specification = read_or_refused(lambda: ld.load_spec(_FILE), SpecificationFileError)
    written = [_FILE.name]
    if specification is not None:
        specification.save(_COPY)
        again = ld.load_spec(_COPY)
        assert again == specification
        assert again.to_dict().keys() == specification.to_dict().keys()
        written.append(_COPY.name)
        specification.inner(specification)
    assert sorted(os.listdir(_FOLDER)) == sorted(written)
    _COPY.unlink(missing_ok=True)
