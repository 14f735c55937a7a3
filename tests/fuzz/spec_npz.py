"""The .npz of a statistical specification."""

from __future__ import annotations

import os

import numpy as np

import learndock as ld
from fuzz import zip_parts
from fuzz.expectations import read_or_refused, scratch
from hostile_files import npz, plain
from learndock.errors import SpecificationFileError

_FOLDER = scratch("spec-npz")
_FILE, _COPY = _FOLDER / "stat.npz", _FOLDER / "copy.npz"

mutate = zip_parts.mutate


def seeds() -> list[bytes]:
    arrays = {"z.npy": plain([[0.1, 0.2], [0.3, 0.4]]), "beta.npy": plain([0.5, 0.5]), "gamma.npy": plain(0.1)}
    scaled = {**arrays, "scaling.npy": plain([[0.0, 1.0], [1.0, 2.0]]), "moments.npy": plain([[0.0, 1.0], [1.0, 0.0]])}
    text = {**arrays, "type.npy": plain(np.array("RKMETableSpecification")), "num_points.npy": plain(7)}
    return [npz(each) for each in (arrays, scaled, text)]


def run(data: bytes) -> None:
    _FILE.write_bytes(data)
    specification = read_or_refused(lambda: ld.load_spec(_FILE), SpecificationFileError)
    written = [_FILE.name]
    if specification is not None:
        specification.save(_COPY)
        assert ld.load_spec(_COPY) == specification
        written.append(_COPY.name)
        specification.inner(specification)
    assert sorted(os.listdir(_FOLDER)) == sorted(written)
    _COPY.unlink(missing_ok=True)
