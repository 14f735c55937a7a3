"""The files of a dock's segment."""

from __future__ import annotations

from fuzz.dock_files import DamagedSpace
from fuzz.expectations import scratch

_SPACE = DamagedSpace(scratch("segments"), of_sketches=False)

seeds, mutate, run = _SPACE.seeds, _SPACE.mutate, _SPACE.run
