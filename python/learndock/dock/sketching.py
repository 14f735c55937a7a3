"""The sketches of a space, made and kept up to date."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from learndock.config import resolve_threads
from learndock.dock import rows
from learndock.dock.progress import unheard
from learndock.dock.sketch_model import SketchModel, model_faults, open_model, write_model
from learndock.dock.sketches import (
    make_sketches,
    other_sketches,
    remove_other_sketches,
    sketch_faults,
    sketches_folder,
    write_sketches,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import sqlalchemy as sa

    from learndock.dock.catalog import Catalog
    from learndock.dock.layout import Layout
    from learndock.dock.progress import Progress
    from learndock.dock.space import Space
    from learndock.dock.store import SpaceView, SpecStore

__all__ = [
    "SKETCHED_AT_ONCE",
    "damaged_sketches",
    "remove_damaged_sketches",
    "remove_unnamed_sketches",
    "sketch_space",
    "unnamed_sketches",
]

# A batch of so many specifications is sketched before its call returns; others are when the dock is optimized.
SKETCHED_AT_ONCE = 10_000
# A smaller space is scanned faster than it is asked for bounds.
_FEWEST = 4_096
# A space that has grown by the second factor gets another model; by the first, where its proofs have become weak.
_GROWTH_LOOKED_AT, _GROWTH = 1.25, 4
# A byte each for a specification.
_MOST_COORDINATES = 256


def sketch_space(
    layout: Layout,
    catalog: Catalog,
    store: SpecStore,
    space_id: int,
    space: Space,
    *,
    on_progress: Progress = unheard,
) -> None:
    """Sketch all segments of a space that have no sketch of its model, and make the model where it is due.

    For the one who holds the write lock. Searches go on meanwhile: they see the old sketches, or none, until all of the
    new ones are durable.

    Parameters
    ----------
    layout, catalog, store
        Of the dock.
    space_id : int
    space : Space
    on_progress : callable, optional
        Called as ``on_progress("sketch", done, total)``, in specifications.
    """
    view = store.view(space)
    model = _due_model(layout, view, space.gamma if view.search_gamma is None else view.search_gamma)
    if model is None:
        return
    old = view.sketches if view.model is not None and view.model.name == model.name else {}
    missing = [name for name in view.named if name not in old]
    if not missing:
        return
    total, done = sum(len(view.named[name]) for name in missing), 0
    on_progress("sketch", done, total)
    replaced = view.model.name if view.model is not None and view.model.name != model.name else None
    for name in missing:
        # Searches go on with the sketches of a model that is replaced. What a writer that was stopped left of this one
        # would be in the way.
        folder = layout.segment(name)
        remove_other_sketches(folder, replaced)
        segment = view.searched(name)
        made = make_sketches(model, segment, threads=resolve_threads(None))
        if view.search_gamma is not None:
            made = replace(made, self_inner=np.asarray(segment.self_inner))
        write_sketches(folder, model, made)
        done += len(view.named[name])
        on_progress("sketch", done, total)
    with catalog.writing() as connection:
        rows.set_sketch_model(connection, space_id, model.name)
        rows.raise_generation(connection)
    for name in view.named:
        remove_other_sketches(layout.segment(name), model.name)
    if replaced is not None:
        shutil.rmtree(layout.sketches / replaced, ignore_errors=True)


def _due_model(layout: Layout, view: SpaceView, gamma: float) -> SketchModel | None:
    """The space's model, or another where it has none or has outgrown it; None where it needs none."""
    count = sum(len(segment) for segment in view.named.values())
    if count < _FEWEST:
        return None
    growth = np.inf if view.model is None else count / view.model.facts.specs
    if growth < _GROWTH_LOOKED_AT:
        return view.model
    from learndock.dock.sketch_training import is_weak, train_model

    if view.model is not None and growth < _GROWTH and not is_weak(view.model, view):
        return view.model
    return write_model(layout.sketches, train_model(view, gamma, most_coordinates=_MOST_COORDINATES))


def unnamed_sketches(layout: Layout, connection: sa.Connection) -> Iterator[Path]:
    """Models, and sketches in segments, that the catalog does not name.

    Where no writer is at work, they are what one left that was stopped, or what another model has taken the place of.
    """
    models = rows.sketch_model_names(connection)
    for folder in layout.sketches.glob("*") if layout.sketches.exists() else ():
        if folder.name not in models.values():
            yield folder
    for name, row in rows.all_segments(connection).items():
        yield from other_sketches(layout.segment(name), models.get(row.space_id))


def remove_unnamed_sketches(layout: Layout, catalog: Catalog) -> None:
    """Delete `unnamed_sketches`."""
    with catalog.reading() as connection:
        unnamed = list(unnamed_sketches(layout, connection))
    for folder in unnamed:
        shutil.rmtree(folder, ignore_errors=True)


def damaged_sketches(layout: Layout, connection: sa.Connection) -> Iterator[tuple[Path, str]]:
    """Folders of models and sketches whose files are not what was written, each with what is wrong."""
    models, spaces = rows.sketch_model_names(connection), rows.searched_spaces_by_id(connection)
    whole = {}
    for space_id, name in models.items():
        folder, faults = layout.sketches / name, []
        if space_id in spaces:
            faults = list(model_faults(folder, spaces[space_id]))
            whole[space_id] = None if faults else open_model(folder, spaces[space_id])
        yield from ((folder, fault) for fault in faults)
    for name, row in rows.all_segments(connection).items():
        model = whole.get(row.space_id)
        if model is not None:
            folder = layout.segment(name)
            for fault in sketch_faults(folder, model, row.specs):
                yield sketches_folder(folder, model.name), fault


def remove_damaged_sketches(layout: Layout, catalog: Catalog) -> bool:
    """Delete `damaged_sketches`, so that `sketch_space` makes others. Returns whether there were any."""
    with catalog.reading() as connection:
        damaged = {folder for folder, _ in damaged_sketches(layout, connection)}
    for folder in damaged:
        shutil.rmtree(folder, ignore_errors=True)
    return bool(damaged)
