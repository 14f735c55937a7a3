"""The files of a dock's sketches and of their model."""

from __future__ import annotations

from fuzz.dock_files import DamagedSpace
from fuzz.expectations import scratch

_SPACE = DamagedSpace(scratch("sketches"), of_sketches=True)

seeds, mutate, run = _SPACE.seeds, _SPACE.mutate, _SPACE.run
