"""The JSON of a scaling."""

from __future__ import annotations

import os

import learndock as ld
from fuzz.expectations import read_or_refused, scratch
from learndock.errors import SpecificationFileError

_FOLDER = scratch("scaling")
_FILE, _COPY = _FOLDER / "scaling.json", _FOLDER / "copy.json"


def seeds() -> list[bytes]:
    return [b'{"mean": [0.0, 1.5], "scale": [1.0, 2e-3]}', b'{"scale":[1],"mean":[-1e9]}']


def run(data: bytes) -> None:
    _FILE.write_bytes(data)
    scaling = read_or_refused(lambda: ld.Scaling.load(_FILE), SpecificationFileError)
    written = [_FILE.name]
    if scaling is not None:
        scaling.save(_COPY)
        assert ld.Scaling.load(_COPY) == scaling
        written.append(_COPY.name)
    assert sorted(os.listdir(_FOLDER)) == sorted(written)
    _COPY.unlink(missing_ok=True)
