"""The sketches of a space, made and kept up to date."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from learndock.config import resolve_threads
from learndock.dock import rows
from learndock.dock.progress import unheard
from learndock.dock.sketch_model import SketchModel, write_model
from learndock.dock.sketches import make_sketches, remove_other_sketches, write_sketches

if TYPE_CHECKING:
    from learndock.dock.catalog import Catalog
    from learndock.dock.layout import Layout
    from learndock.dock.progress import Progress
    from learndock.dock.space import Space
    from learndock.dock.store import SpaceView, SpecStore

__all__ = ["SKETCHED_AT_ONCE", "remove_unnamed_sketches", "sketch_space"]

# A batch of so many specifications is sketched before its call returns; others are when the dock is optimized.
SKETCHED_AT_ONCE = 10_000
# A smaller space is scanned faster than it is asked for bounds.
_FEWEST = 4_096
# A space that has grown by this factor gets another model.
_GROWTH = 4
# A byte each for a specification. A model has so many only where they halve the cost of a search.
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
    model = _due_model(layout, view, space)
    if model is None:
        return
    old = view.sketches if view.model is not None and view.model.name == model.name else {}
    missing = [name for name in view.named if name not in old]
    if not missing:
        return
    total, done = sum(len(view.named[name]) for name in missing), 0
    on_progress("sketch", done, total)
    for name in missing:
        # What a killed writer left of this very model would be in the way.
        folder = layout.segment(name)
        remove_other_sketches(folder, None if view.model is None else view.model.name)
        write_sketches(folder, model, make_sketches(model, view.named[name], threads=resolve_threads(None)))
        done += len(view.named[name])
        on_progress("sketch", done, total)
    with catalog.writing() as connection:
        rows.set_sketch_model(connection, space_id, model.name)
        rows.raise_generation(connection)
    for name in view.named:
        remove_other_sketches(layout.segment(name), model.name)


def _due_model(layout: Layout, view: SpaceView, space: Space) -> SketchModel | None:
    """The space's model, or another where it has none or has outgrown it; None where it needs none."""
    count = sum(len(segment) for segment in view.named.values())
    if count < _FEWEST:
        return None
    if view.model is not None and count < _GROWTH * view.model.facts.specs:
        return view.model
    from learndock.dock.sketch_training import train_model

    return write_model(layout.sketches, train_model(view, space.gamma, most_coordinates=_MOST_COORDINATES))


def remove_unnamed_sketches(layout: Layout, catalog: Catalog) -> None:
    """Delete models that the catalog does not name: another has taken their place, or a writer was killed."""
    with catalog.reading() as connection:
        named = set(rows.sketch_model_names(connection).values())
    for folder in layout.sketches.glob("*") if layout.sketches.exists() else ():
        if folder.name not in named:
            shutil.rmtree(folder, ignore_errors=True)
