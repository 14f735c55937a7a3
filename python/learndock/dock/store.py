"""The specifications of a dock as a search sees them: segments, what the catalog still holds, and what is hidden."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from learndock import kernels
from learndock.dock import catalog as rows
from learndock.dock.catalog import Catalog, PendingSpec
from learndock.dock.segments import Segment, open_segment
from learndock.errors import DockError

if TYPE_CHECKING:
    import numpy.typing as npt
    import sqlalchemy as sa

    from learndock.dock.layout import Layout
    from learndock.dock.space import Space

# learndock.checker.Status.USABLE, without loading the checkers; a test keeps the two alike.
USABLE = 1

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
        The segments on disk, by name.
    waiting : Segment or None
        What the catalog still holds.
    hidden : ndarray of int64
        Ids that a search must not return: deleted ones, and those that are not usable. Ascending.
    """

    generation: int
    named: Mapping[str, Segment]
    waiting: Segment | None
    hidden: npt.NDArray[np.int64]

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """All segments, the waiting one last."""
        return (*self.named.values(), *(() if self.waiting is None else (self.waiting,)))

    @cached_property
    def ids(self) -> npt.NDArray[np.int64]:
        """Ids of all specifications, segment after segment, hidden ones too."""
        return np.concatenate([np.empty(0, np.int64), *(segment.ids for segment in self.segments)])

    @cached_property
    def self_inner(self) -> npt.NDArray[np.float64]:
        """<P, P> in the same order."""
        return np.concatenate([np.empty(0), *(segment.self_inner for segment in self.segments)])

    @cached_property
    def starts(self) -> npt.NDArray[np.int64]:
        """Where each segment begins in that order, and the total."""
        return np.cumsum([0, *(len(segment) for segment in self.segments)])

    @cached_property
    def visible(self) -> npt.NDArray[np.bool_]:
        """Which of them a search may return."""
        if not self.hidden.size:
            return np.ones(len(self.ids), dtype=bool)
        return ~np.isin(self.ids, self.hidden)


class SpecStore:
    """Views of the spaces, kept until the catalog changes."""

    def __init__(self, layout: Layout, catalog: Catalog) -> None:
        self._layout = layout
        self._catalog = catalog
        self._lock = threading.Lock()
        self._views: dict[Space, SpaceView] = {}
        self._counts: tuple[int, dict[Space, int]] = (-1, {})

    def view(self, space: Space) -> SpaceView:
        """The space as it is now."""
        for _ in range(_ATTEMPTS):
            with self._catalog.reading() as connection:
                generation = rows.generation(connection)
                known = self._views.get(space)
                if known is not None and known.generation == generation:
                    return known
                try:
                    view = self._load(connection, space, generation, {} if known is None else known.named)
                except FileNotFoundError:
                    continue
            if view.segments:
                with self._lock:
                    self._views[space] = view
            return view
        raise DockError(f"{self._layout.root}: segments that the catalog names are missing; the dock is damaged")

    def usable_counts(self) -> dict[Space, int]:
        """How many usable learnwares each space has."""
        with self._catalog.reading() as connection:
            generation = rows.generation(connection)
            if self._counts[0] != generation:
                self._counts = (generation, rows.usable_counts(connection, USABLE))
            return self._counts[1]

    def _load(
        self, connection: sa.Connection, space: Space, generation: int, known: Mapping[str, Segment]
    ) -> SpaceView:
        space_id = {known_space: id for id, known_space in rows.spaces_by_id(connection).items()}.get(space)
        if space_id is None:
            return SpaceView(generation, {}, None, np.empty(0, np.int64))
        # Segments never change, so those of the view before serve on; those that are gone go with it.
        named = {}
        for name in rows.segment_names(connection, space_id):
            segment = known.get(name)
            named[name] = open_segment(self._layout.segment(name)) if segment is None else segment
        specs = rows.pending_specs(connection, space_id)
        waiting = segment_of(specs, dim=int(np.prod(space.input_shape))) if specs else None
        hidden = rows.deleted_ids(connection, space_id) + rows.unusable_ids(connection, space_id, USABLE)
        return SpaceView(generation, named, waiting, np.array(sorted(hidden), dtype=np.int64))

    def clear(self) -> None:
        """Let go of all segments."""
        with self._lock:
            self._views.clear()


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


def merged(segments: Sequence[Segment], dropped: npt.NDArray[np.int64]) -> Segment | None:
    """One segment of all specifications in several, without the dropped ids; None where none is left."""
    points, weights, ids, self_inner = [], [], [], []
    for segment in segments:
        for i in np.flatnonzero(~np.isin(segment.ids, dropped)):
            z, beta = segment.packed.embedding(int(i))
            points.append(z.astype(np.float32))
            weights.append(beta.astype(np.float32))
            ids.append(int(segment.ids[i]))
            self_inner.append(float(segment.self_inner[i]))
    if not ids:
        return None
    order = np.argsort(ids)
    packed = kernels.pack([points[i] for i in order], [weights[i] for i in order])
    return Segment(np.array(ids, dtype=np.int64)[order], packed, np.array(self_inner)[order])
