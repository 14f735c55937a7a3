"""Damaged files of a dock: one of a small space's files is another, and what opens is searched.

A case is a byte, which says which file and how it is searched, and the file's content.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from learndock.dock.ids import learnware_name
from learndock.dock.segment_stream import write_segment
from learndock.dock.segments import open_searchable_segment
from learndock.dock.sketch_model import open_model, write_model
from learndock.dock.sketches import open_sketches, sketches_folder, write_sketches
from learndock.dock.space import Space
from learndock.dock.store import SpaceView
from learndock.errors import DockError
from sketched_views import searched, sketched_view, small_numbers, user

__all__ = ["DamagedSpace"]

_GAMMA = 0.5
_METHODS = ("exact", "certified", "approximate")
_SPACE = Space("RKMETableSpecification", (2,), _GAMMA)


class DamagedSpace:
    """A space of one segment of 20 specifications, on disk, of which one file at a time is another.

    Parameters
    ----------
    folder : Path
        Of the space's files.
    of_sketches : bool
        Which files are damaged: those of the model and the sketches, or those of the segment.
    """

    def __init__(self, folder: Path, *, of_sketches: bool) -> None:
        rng = np.random.default_rng(0)
        points = [rng.normal(size=(2 + i % 3, 2)) for i in range(20)]
        weights = [np.full(len(each), 1 / len(each)) for each in points]
        with small_numbers():
            view = sketched_view([(points, weights, range(1, 21))], _GAMMA, sketched=1)
        assert view.model is not None
        self._segment = folder / write_segment(folder, view.named["s0"]).name
        model = write_model(folder / "models", view.model)
        write_sketches(self._segment, model, view.sketches["s0"])
        self._model = folder / "models" / model.name
        self._sound = view
        self._of_sketches = of_sketches
        own = [self._model, sketches_folder(self._segment, model.name)] if of_sketches else [self._segment]
        self._files = sorted(file for part in own for file in part.iterdir() if file.is_file())
        self._good = [file.read_bytes() for file in self._files]
        self._user = user(points[3] + 0.1, weights[3], _GAMMA)

    def seeds(self) -> list[bytes]:
        """Every file as it is, for every method."""
        return [bytes([choice]) + self._good[choice % len(self._good)] for choice in range(3 * len(self._good))]

    def mutate(self, data: bytes, max_size: int, seed: int, mutate_bytes: Callable[[bytes, int], bytes]) -> bytes:
        """Another content, of another file once in a while; half the time the header of an array stays as it is."""
        chance = random.Random(seed)
        if len(data) < 2 or chance.random() < 0.1:
            return chance.choice(self.seeds())[:max_size]
        kept = 1
        if data[1:7] == b"\x93NUMPY" and chance.random() < 0.5:
            kept = min(len(data) - 1, 11 + int.from_bytes(data[9:11], "little"))
            # As long as its header says.
            body = mutate_bytes(data[kept:], len(data) - kept).ljust(len(data) - kept, b"\xff")
            return (data[:kept] + body)[:max_size]
        return (data[:kept] + mutate_bytes(data[kept:], max(1, max_size - kept)))[:max_size]

    def run(self, data: bytes) -> None:
        """Open the space with this file in it, and search it."""
        choice = data[0] if data else 0
        number, method = choice % len(self._files), _METHODS[choice // len(self._files) % len(_METHODS)]
        file, content = self._files[number], data[1:]
        if file.name == "model.json":
            content = _with_true_sum(content)
        # Another file of that name, not other bytes in it: what an earlier run has mapped stays as it was.
        file.unlink()
        file.write_bytes(content)
        try:
            self._search(method)
        finally:
            file.unlink()
            file.write_bytes(self._good[number])

    def _search(self, method: str) -> None:
        try:
            view = self._opened()
        except (DockError, FileNotFoundError):
            return
        with small_numbers():
            try:
                (result,) = searched(view, [self._user], method)
            except DockError:
                return
        known = set(map(learnware_name, view.ids.tolist()))
        assert all(hit.id in known for hit in result.singles)
        assert all(np.isfinite([hit.mmd2, hit.similarity]).all() for hit in result.singles)

    def _opened(self) -> SpaceView:
        """The space with the damaged part from its files."""
        if not self._of_sketches:
            return replace(self._sound, named={"s0": open_searchable_segment(self._segment, 2)})
        model = open_model(self._model, _SPACE)
        sketches = None if model is None else open_sketches(self._segment, model, len(self._sound.named["s0"]))
        if sketches is None:
            return replace(self._sound, model=model, sketches={})
        return replace(self._sound, model=model, sketches={"s0": sketches})


def _with_true_sum(content: bytes) -> bytes:
    """The facts of a model with the checksum that they should have: what somebody would write who means harm."""
    try:
        about = json.loads(content)
        facts = {name: value for name, value in about.items() if name not in ("layout", "sha256")}
        about["sha256"]["facts"] = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        return json.dumps(about).encode()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return content
