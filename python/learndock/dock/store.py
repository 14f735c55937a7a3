"""The specifications of a dock as a search sees them: segments, what the catalog still holds, and what is hidden."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from learndock import _core, kernels
from learndock.dock import rows, scaling_rows
from learndock.dock.rows import PendingSpec
from learndock.dock.segments import Segment, open_searchable_segment
from learndock.dock.sketch_model import SketchModel, open_model
from learndock.dock.sketches import Sketches, open_sketches
from learndock.errors import DockError

if TYPE_CHECKING:
    import numpy.typing as npt
    import sqlalchemy as sa

    from learndock.dock.catalog import Catalog
    from learndock.dock.layout import Layout
    from learndock.dock.space import Space
    from learndock.specification import Scaling

# A segment can be compacted away between the catalog's answer and its opening; the next answer names another.
_ATTEMPTS = 10


@dataclass(frozen=True, eq=False)
class SpaceView:
    """One state of a space. Immutable: searches that hold it are not disturbed by writers.

    Attributes
    ----------
    generation : int
        Of the catalog.
    named : mapping of str to Segment
        The segments on disk, by name; those that are sketched come first.
    waiting : Segment or None
        What the catalog still holds.
    dead : mapping of str to ndarray of int64
        Ids, ascending, whose copy in the segment of that name counts no more: deleted, or updated since.
    unusable : ndarray of int64
        Ids of learnwares that are not usable, ascending.
    knows_data : bool
        Whether it is known of any of them how far it is from its data.
    model : SketchModel or None
        Of the sketches.
    sketches : mapping of str to Sketches
        Those of the segments that have some.
    damaged : mapping of str to str
        Segments whose sketches, or whose model, can't be read, with what is wrong. They count as if they had none.
    search_gamma : float or None
        The gamma of all distances, of the model and the sketches, where that is another than the space's own. Segments
        hold <P, P> under the space's own.
    norms : dict of str to ndarray of float64
        With it: <P, P> under it, by segment, of those without sketches, as far as a search has asked for that. Half a
        second for 100,000 specifications of 64 points, once in a process.
    scaling : Scaling or None
        What the dock asks its sides to standardise by.
    """

    generation: int
    named: Mapping[str, Segment]
    waiting: Segment | None
    dead: Mapping[str, npt.NDArray[np.int64]]
    unusable: npt.NDArray[np.int64]
    knows_data: bool = False
    model: SketchModel | None = None
    sketches: Mapping[str, Sketches] = field(default_factory=dict)
    damaged: Mapping[str, str] = field(default_factory=dict)
    search_gamma: float | None = None
    norms: dict[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    scaling: Scaling | None = None

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """All segments, the waiting one last."""
        return (*self.named.values(), *(() if self.waiting is None else (self.waiting,)))

    @cached_property
    def embeddings(self) -> _core.EmbeddingSet:
        """All specifications, as the core has them."""
        packed = [segment.packed for segment in self.segments]
        return _core.EmbeddingSet([(batch.tiles, batch.weights, batch.offsets) for batch in packed])

    @cached_property
    def ids(self) -> npt.NDArray[np.int64]:
        """Ids of all specifications, segment after segment, dead copies too."""
        return np.concatenate([np.empty(0, np.int64), *(segment.ids for segment in self.segments)])

    @cached_property
    def self_inner(self) -> npt.NDArray[np.float64]:
        """<P, P> in the same order, as searches need it: under the search gamma where there is one."""
        waiting = [] if self.waiting is None else [self._norms_of(self.waiting)]
        return np.concatenate([np.empty(0), *(self.searched(name).self_inner for name in self.named), *waiting])

    def searched(self, name: str) -> Segment:
        """A segment as searches see it: with <P, P> under the search gamma where there is one."""
        segment = self.named[name]
        if self.search_gamma is None:
            return segment
        sketches = self.sketches.get(name)
        if sketches is not None and sketches.self_inner is not None:
            return replace(segment, self_inner=sketches.self_inner)
        if name not in self.norms:
            self.norms[name] = self._norms_of(segment)
        return replace(segment, self_inner=self.norms[name])

    def _norms_of(self, segment: Segment) -> npt.NDArray[np.float64]:
        return segment.self_inner if self.search_gamma is None else segment.packed.self_inner(gamma=self.search_gamma)

    @cached_property
    def starts(self) -> npt.NDArray[np.int64]:
        """Where each segment begins in that order, and the total."""
        return np.cumsum([0, *(len(segment) for segment in self.segments)])

    @cached_property
    def sketched(self) -> int:
        """How many specifications have a sketch; they come first in the order of `ids`."""
        return int(self.starts[len(self.sketches)])

    @cached_property
    def faults(self) -> Mapping[str, int]:
        """What is wrong with sketches, and how many specifications have none therefore that a search can read."""
        counts = Counter[str]()
        for name, start, end in zip(self.named, self.starts, self.starts[1:], strict=False):
            if name in self.damaged:
                counts[self.damaged[name]] += int(np.count_nonzero(self._alive[start:end]))
        return counts

    @cached_property
    def sketch_set(self) -> _core.SketchSet:
        """All sketches, as the core has them."""
        if self.model is None:
            raise ValueError("no sketches")
        return _core.SketchSet(
            self.model.core,
            [sketches.batch(len(self.named[name])) for name, sketches in self.sketches.items()],
        )

    @cached_property
    def feature_set(self) -> _core.FeatureSet | None:
        """The sketches with their random features; None where some have none."""
        features = None if self.model is None else self.model.features
        batches = [
            (sketches.feature_codes, sketches.measures)
            for sketches in self.sketches.values()
            if sketches.feature_codes is not None and sketches.measures is not None
        ]
        if features is None or not batches or len(batches) < len(self.sketches):
            return None
        return _core.FeatureSet(features, self.sketch_set, batches)

    @cached_property
    def _alive(self) -> npt.NDArray[np.bool_]:
        alive = np.ones(len(self.ids), dtype=bool)
        for name, start, end in zip(self.named, self.starts, self.starts[1:], strict=False):
            if name in self.dead:
                alive[start:end] = np.isin(self.ids[start:end], self.dead[name], invert=True)
        return alive

    @cached_property
    def _usable(self) -> npt.NDArray[np.bool_]:
        if not self.unusable.size:
            return self._alive
        usable: npt.NDArray[np.bool_] = self._alive & np.isin(self.ids, self.unusable, invert=True)
        return usable

    def visible(self, *, any_status: bool) -> npt.NDArray[np.bool_]:
        """Which of the specifications a search may return, in the order of `ids`."""
        return self._alive if any_status else self._usable

    @cached_property
    def _hidden(self) -> dict[bool, npt.NDArray[np.bool_] | None]:
        return {any_status: _where_any(~self.visible(any_status=any_status)) for any_status in (False, True)}

    def hidden(self, *, any_status: bool) -> npt.NDArray[np.bool_] | None:
        """Which a search may not return, None where it may return all."""
        return self._hidden[any_status]

    def without(self, ids: Sequence[int], hidden: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.bool_]:
        """What is hidden, and all copies of some learnwares, which are few."""
        mask = np.zeros(len(self.ids), dtype=bool) if hidden is None else hidden.copy()
        for start, segment in zip(self.starts.tolist(), self.segments, strict=False):
            for id in ids:
                at = segment.position(id)
                if at is not None:
                    mask[start + at] = True
        return mask

    def place(self, learnware_id: int) -> tuple[Segment, int] | None:
        """Where the specification of a learnware lies: the segment, and the place in it."""
        for name, segment in self.named.items():
            at = segment.position(learnware_id)
            if at is not None and learnware_id not in self.dead.get(name, ()):
                return segment, at
        at = None if self.waiting is None else self.waiting.position(learnware_id)
        return None if self.waiting is None or at is None else (self.waiting, at)

    def copies(self, learnware_ids: Sequence[int]) -> dict[str, list[int]]:
        """Which of the learnwares lie in which segment; those that wait in the catalog are in none."""
        wanted = np.unique(np.array(learnware_ids, dtype=np.int64))
        found = {}
        for name, segment in self.named.items():
            # Few in many, both ascending: a search for each of them, not a pass over the segment.
            at = np.minimum(np.searchsorted(segment.ids, wanted), len(segment) - 1)
            held = wanted[segment.ids[at] == wanted]
            if name in self.dead:
                held = np.setdiff1d(held, self.dead[name])
            if held.size:
                found[name] = held.tolist()
        return found


class SpecStore:
    """Views of the spaces, kept until the catalog changes."""

    def __init__(self, layout: Layout, catalog: Catalog) -> None:
        self._layout = layout
        self._catalog = catalog
        self._lock = threading.Lock()
        self._views: dict[Space, SpaceView] = {}
        self._counts: tuple[int, dict[Space, tuple[int, int]]] = (-1, {})

    def view(self, space: Space) -> SpaceView:
        """The space as it is now."""
        for left in reversed(range(_ATTEMPTS)):
            with self._catalog.reading() as connection:
                generation = rows.generation(connection)
                known = self._views.get(space)
                if known is not None and known.generation == generation:
                    return known
                try:
                    view = self._load(connection, space, generation, known)
                except FileNotFoundError:
                    continue
            if view.damaged and left and self._generation() != generation:
                continue  # what can't be read may be what a writer has just put something else in the place of
            if view.segments:
                with self._lock:
                    self._views[space] = view
            return view
        raise DockError(f"{self._layout.root}: segments that the catalog names are missing; the dock is damaged")

    def _generation(self) -> int:
        with self._catalog.reading() as connection:
            return rows.generation(connection)

    def counts(self, *, any_status: bool) -> dict[Space, int]:
        """How many learnwares each space has, usable ones or all."""
        with self._catalog.reading() as connection:
            generation = rows.generation(connection)
            if self._counts[0] != generation:
                self._counts = (generation, rows.space_counts(connection))
            counts = self._counts[1]
        if any_status:
            return {space: all_of_it for space, (all_of_it, _) in counts.items()}
        return {space: usable for space, (_, usable) in counts.items() if usable}

    def _load(self, connection: sa.Connection, space: Space, generation: int, known: SpaceView | None) -> SpaceView:
        space_id = {known_space: id for id, known_space in rows.spaces_by_id(connection).items()}.get(space)
        if space_id is None:
            return SpaceView(generation, {}, None, {}, np.empty(0, np.int64))
        # Segments never change, so those of the view before serve on; those that are gone go with it.
        named = {}
        for name in rows.segment_names(connection, space_id):
            segment = None if known is None else known.named.get(name)
            if segment is None:
                segment = open_searchable_segment(self._layout.segment(name), int(np.prod(space.input_shape)))
            named[name] = segment
        search_gamma = rows.search_gamma_by_id(connection).get(space_id)
        searched = space if search_gamma is None else replace(space, gamma=search_gamma)
        model, sketches, damaged = self._sketches(
            connection, space_id, searched, named, None if known is None else known.model
        )
        named = {name: named[name] for name in (*sketches, *(name for name in named if name not in sketches))}
        specs = rows.pending_specs(connection, space_id)
        waiting = segment_of(specs, dim=int(np.prod(space.input_shape))) if specs else None
        dead = rows.dead_copies(connection, space_id)
        return SpaceView(
            generation,
            named,
            waiting,
            dead,
            rows.unusable_ids(connection, space_id),
            rows.knows_data(connection, space_id),
            model,
            sketches,
            damaged,
            search_gamma,
            _norms_known(known, search_gamma, named),
            scaling_rows.kept_scaling(connection, space_id),
        )

    def _sketches(
        self,
        connection: sa.Connection,
        space_id: int,
        space: Space,
        named: Mapping[str, Segment],
        known: SketchModel | None,
    ) -> tuple[SketchModel | None, dict[str, Sketches], dict[str, str]]:
        """The model of a space's sketches, those of its segments that have some, and what is wrong with others.

        Sketches spare work and change no answer: what can't be read is done without.
        """
        name = rows.sketch_model_names(connection).get(space_id)
        if known is not None and known.name == name:
            model: SketchModel | None = known
        else:
            try:
                model = None if name is None else open_model(self._layout.sketches / name, space)
            except DockError as error:
                return None, {}, dict.fromkeys(named, str(error))
        if model is None:
            return None, {}, {}
        found: dict[str, Sketches] = {}
        damaged: dict[str, str] = {}
        for name, segment in named.items():
            try:
                sketches = open_sketches(self._layout.segment(name), model, len(segment))
            except DockError as error:
                damaged[name] = str(error)
                continue
            if sketches is not None:
                found[name] = sketches
        return model, found, damaged

    def clear(self) -> None:
        """Let go of all segments."""
        with self._lock:
            self._views.clear()


def _norms_known(
    known: SpaceView | None, search_gamma: float | None, named: Mapping[str, Segment]
) -> dict[str, npt.NDArray[np.float64]]:
    """What the view before has computed for segments that are still there."""
    if known is None or known.search_gamma != search_gamma:
        return {}
    # A copy: a search may add to it meanwhile.
    return {name: norms for name, norms in known.norms.copy().items() if name in named}


def _where_any(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_] | None:
    return mask if mask.any() else None


def segment_of(waiting: Sequence[PendingSpec], *, dim: int) -> Segment:
    """Specifications of the catalog as a segment in memory; ids must ascend."""
    points = [np.frombuffer(spec.points, np.float32).reshape(-1, dim) for spec in waiting]
    weights = [np.frombuffer(spec.weights, np.float32) for spec in waiting]
    return Segment(
        np.array([spec.learnware_id for spec in waiting], dtype=np.int64),
        kernels.pack(points, weights),
        np.array([spec.self_inner for spec in waiting]),
    )


def pending_of(segment: Segment) -> list[PendingSpec]:
    """The opposite: a small segment as rows of the catalog."""
    result = []
    for i, learnware_id in enumerate(segment.ids):
        points, weights = segment.packed.embedding(i)
        result.append(
            PendingSpec(
                int(learnware_id),
                points.astype(np.float32).tobytes(),
                weights.astype(np.float32).tobytes(),
                float(segment.self_inner[i]),
            )
        )
    return result
