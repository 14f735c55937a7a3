"""Docks of small models that have been tried on each other's sketches, and zips of such models."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np

import learndock as ld
from filled_docks import described, written_zip

GAMMA = 0.3
COLUMNS = 2

_MODEL = """
import os, time
import numpy as np
from learnware.model import BaseModel

class Model(BaseModel):
    def __init__(self): super().__init__((2,), ({outputs},))
    def predict(self, X):
{body}
"""


def concept(X):
    """What all honest models of these docks have learnt."""
    return np.sin(X[:, 0]) + 0.5 * X[:, 1]


def rows_of(site, *, rows=120, seed=0):
    """Rows of a site; sites lie beside each other."""
    return np.random.default_rng([seed, site]).normal(loc=[0.5 * site, 0.0], size=(rows, COLUMNS))


def sketch(site, **options):
    return ld.RKMETableSpecification.fit(rows_of(site), gamma=GAMMA, n_points=40, random_state=0, **options)


def body_of(site, error):
    """A regressor: the concept, and an error of its own."""
    a, b = np.random.default_rng([7, site]).normal(size=2) * 9
    return f"return np.sin(X[:, 0]) + 0.5 * X[:, 1] + {error!r} * np.sin(X @ np.array([{a!r}, {b!r}]))"


def regression(*targets, **changes):
    targets = targets or ("PM2.5",)
    output = {"Dimension": len(targets), "Description": dict(zip("0123", targets, strict=False))}
    return described(task="Regression", input={"Dimension": COLUMNS}, output=output, **changes)


def classification(*classes, **changes):
    output = {"Dimension": len(classes), "Description": dict(zip("0123", classes, strict=False))}
    return described(task="Classification", input={"Dimension": COLUMNS}, output=output, **changes)


def model_zip(path: Path, specification, body, *, semantic=None, outputs=None, validation=None) -> Path:
    """A zip of a model with this body of `predict`, and what its learnware.yaml says of a validation."""
    semantic = regression() if semantic is None else semantic
    outputs = semantic.output_dimension if outputs is None else outputs
    code = _MODEL.format(outputs=outputs, body=textwrap.indent(textwrap.dedent(body).strip(), " " * 8))
    return written_zip(path, specification, semantic, note=body, model=code, validation=validation)


def submitted(dock, folder: Path, site, error=0.1, *, body=None, spec=None, **options):
    """Submit a model of a site; returns its id."""
    path = model_zip(
        folder / f"{len(dock)}.zip",
        sketch(site) if spec is None else spec,
        body_of(site, error) if body is None else body,
        **options,
    )
    report = dock.submit(path)
    assert report.id is not None, report
    return report.id
