"""What the spaces of a dock hold, and how well they can be searched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from learndock.dock import rows
from learndock.dock.noise import gamma_advice
from learndock.dock.presentation import frame, html_table, number
from learndock.dock.space import Space

if TYPE_CHECKING:
    import pandas as pd

    from learndock.dock.catalog import Catalog
    from learndock.dock.store import SpaceView, SpecStore

__all__ = ["HEADS", "DockStats", "SpaceStats", "cells", "dock_stats"]


@dataclass(frozen=True, slots=True)
class SpaceStats:
    """One space: specifications of one type, input shape and gamma.

    What is known of its sketches is None until it has some: a space of fewer than 4,096 specifications needs none.

    Attributes
    ----------
    space : Space
    specs : int
        Specifications in it, of learnwares of any status.
    segments : int
        On disk.
    waiting : int
        Specifications that are in no segment yet: `optimize` folds them.
    sketched : int
        Specifications that have a sketch; a search computes all the others.
    point_bytes : int
        Of points and weights.
    sketch_bytes : int
        Of all sketches.
    sketch_bytes_a_spec : int or None
    landmarks : int or None
        What sketches are made with.
    coordinates : int or None
        What is stored of each specification, a byte each.
    stages : tuple of int, or None
        Prefixes of the coordinates that a search looks at one after the other.
    noise_share : float or None
        The share of ||P||^2 that single points have with themselves, sum_j w_j^2 / ||P||^2, in the mean. Up to 0.2 a
        search computes few specifications; above 0.5 bounds are weak; above 0.8 distances hardly rank.
    predicted : float or None
        Specifications that a search for 10 is likely to compute, by a probe when the sketches were made.
    scanned : bool
        Whether a certified search scans this space: it has no sketches, or they would not spare it two thirds.
    median_gamma : float or None
        `learndock.median_gamma` of the landmarks: one at which distances mean something.
    features : int or None
        Random features of each specification, a byte each, which searches with ``certificate="chance"`` look at; 0
        where bounds are strong enough without.
    search_gamma : float or None
        The gamma under which this space is searched, where its owner has set another than its own: all that is known of
        sketches is of this one. See `Dock.set_search_gamma`.
    damaged : int
        Specifications whose sketches can't be read, so that a search computes them: `Dock.verify` says why, `optimize`
        makes them again.
    """

    space: Space
    specs: int
    segments: int
    waiting: int
    sketched: int
    point_bytes: int
    sketch_bytes: int
    sketch_bytes_a_spec: int | None
    landmarks: int | None
    coordinates: int | None
    stages: tuple[int, ...] | None
    noise_share: float | None
    predicted: float | None
    scanned: bool
    median_gamma: float | None
    features: int | None = None
    search_gamma: float | None = None
    damaged: int = 0

    @property
    def advice(self) -> str | None:
        """What to know before trusting a search of this space, and what to do; None where all is well."""
        if self.noise_share is None:
            return None
        gamma = self.space.gamma if self.search_gamma is None else self.search_gamma
        return gamma_advice(gamma, self.noise_share, self.median_gamma)


# Columns of tables, by what is in them.
_COLUMNS = (
    "type",
    "input_shape",
    "gamma",
    "search_gamma",
    "specs",
    "segments",
    "waiting",
    "sketched",
    "damaged",
    "point_bytes",
    "sketch_bytes",
    "sketch_bytes_a_spec",
    "landmarks",
    "coordinates",
    "features",
    "stages",
    "noise_share",
    "predicted",
    "scanned",
    "median_gamma",
    "advice",
)
# Of a table that a terminal or a notebook shows.
HEADS = (
    "space",
    "gamma",
    "search gamma",
    "specs",
    "sketched",
    "damaged",
    "bytes a spec",
    "landmarks",
    "stages",
    "noise",
    "predicted",
    "search",
)


@dataclass(frozen=True, slots=True)
class DockStats:
    """The spaces of a dock, the largest first.

    Attributes
    ----------
    spaces : tuple of SpaceStats
    """

    spaces: tuple[SpaceStats, ...]

    def to_frame(self) -> pd.DataFrame:
        """One row a space: type, input_shape and gamma, the attributes of `SpaceStats`, and its advice.

        Raises
        ------
        MissingDependency
            If pandas is not installed.
        """
        return frame({name: [_value(one, name) for one in self.spaces] for name in _COLUMNS})

    def _repr_html_(self) -> str:
        rows_shown = [(*cells(one), one.advice) for one in self.spaces]
        return html_table(self._summary(), (*HEADS, "advice"), rows_shown)

    def __repr__(self) -> str:
        lines = [f"DockStats({self._summary()})"]
        for one in self.spaces:
            name, *shown = cells(one)
            facts = ", ".join(f"{head} {cell}" for head, cell in zip(HEADS[1:], shown, strict=True) if cell)
            lines.append(f"  {name}: {facts}")
            if one.advice is not None:
                lines.append(f"    {one.advice}")
        return "\n".join(lines)

    def _summary(self) -> str:
        spaces = "1 space" if len(self.spaces) == 1 else f"{len(self.spaces)} spaces"
        return f"{sum(one.specs for one in self.spaces):,} specifications in {spaces}"


def _value(one: SpaceStats, name: str) -> Any:
    return getattr(one.space if name in ("type", "input_shape", "gamma") else one, name)


def cells(one: SpaceStats) -> tuple[str, ...]:
    """What `HEADS` names; empty where it is not known."""
    return (
        f"{one.space.type} {'x'.join(map(str, one.space.input_shape))}",
        f"{one.space.gamma:g}",
        "" if one.search_gamma is None else f"{one.search_gamma:g}",
        f"{one.specs:,}",
        f"{one.sketched:,}",
        f"{one.damaged:,}" if one.damaged else "",
        "" if one.sketch_bytes_a_spec is None else f"{one.sketch_bytes_a_spec:,}",
        "" if one.landmarks is None else f"{one.landmarks:,}",
        "/".join(map(str, one.stages or ())),
        number(one.noise_share, 2),
        "" if one.predicted is None else f"{one.predicted:,.0f}",
        "scan" if one.scanned else "bounds",
    )


def dock_stats(catalog: Catalog, store: SpecStore) -> DockStats:
    """See `Dock.stats`."""
    with catalog.reading() as connection:
        spaces = rows.spaces_by_id(connection)
    found = [_space_stats(space, store.view(space)) for space in spaces.values()]
    # A space stays in the catalog when the last of it is deleted.
    return DockStats(tuple(sorted((one for one in found if one.specs), key=lambda one: -one.specs)))


def _space_stats(space: Space, view: SpaceView) -> SpaceStats:
    alive, model = view.visible(any_status=True), view.model
    sketches = list(view.sketches.values())
    return SpaceStats(
        space=space,
        specs=int(np.count_nonzero(alive)),
        segments=len(view.named),
        waiting=0 if view.waiting is None else len(view.waiting),
        sketched=int(np.count_nonzero(alive[: view.sketched])),
        point_bytes=sum(segment.packed.tiles.nbytes + segment.packed.weights.nbytes for segment in view.segments),
        sketch_bytes=sum(one.nbytes for one in sketches),
        sketch_bytes_a_spec=None if model is None else model.facts.bytes_a_spec,
        landmarks=None if model is None else len(model.landmarks),
        coordinates=None if model is None else model.facts.stages[-1],
        stages=None if model is None else model.facts.stages,
        noise_share=None if model is None else model.facts.noise_share,
        predicted=None if model is None else model.facts.predicted,
        scanned=model is None or not sketches or not model.facts.pays,
        median_gamma=None if model is None else model.median_gamma,
        features=None if model is None else model.facts.features,
        search_gamma=view.search_gamma,
        damaged=sum(view.faults.values()),
    )
