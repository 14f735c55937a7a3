"""Changes to a dock: each is one transaction of the catalog, made after the files it names are durable."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from learndock import kernels
from learndock._validation import positive_gamma
from learndock.dock import catalog as rows
from learndock.dock._durable import sync_folder
from learndock.dock._lock import WriteLock
from learndock.dock.segments import Segment, remove_orphans, remove_segment, write_segment
from learndock.dock.space import Space
from learndock.dock.store import USABLE, SpecStore, merged, pending_of
from learndock.errors import InvalidArgument
from learndock.specification import RKMETableSpecification

if TYPE_CHECKING:
    import numpy.typing as npt
    import sqlalchemy as sa

    from learndock.dock.catalog import Catalog
    from learndock.dock.layout import Layout
    from learndock.specification import SemanticSpecification

__all__ = ["Writer"]

# A batch of this many specifications is written as a segment; fewer wait in the catalog until they are this many.
_SEGMENT_SPECS = 4096
# A larger batch becomes several segments, so that packing it takes bounded memory.
_LARGEST_SEGMENT_BYTES = 512 * 2**20
# A segment with more deleted specifications than this share is compacted.
_DEAD_SHARE = 0.1
_LOCK_SECONDS = 60.0
_ROWS_A_STATEMENT = 50_000


class Writer:
    """What changes a dock, one writer at a time."""

    def __init__(self, layout: Layout, catalog: Catalog, store: SpecStore) -> None:
        self._layout = layout
        self._catalog = catalog
        self._store = store
        self._lock = WriteLock(layout.lock, seconds=_LOCK_SECONDS)

    def create(self) -> None:
        """Make a new dock's catalog; its marker comes last."""
        with self._lock.held():
            self._catalog.create()
            self._layout.finish()

    def add(self, incoming: Path, spec: RKMETableSpecification, semantic: SemanticSpecification, *, status: int) -> int:
        """Add a checked learnware; its zip, in the dock's folder already, is renamed. Returns its number.

        Raises
        ------
        InvalidArgument
            If its specification holds numbers beyond float32.
        """
        segment = _segment([spec.points], [spec.weights], spec.gamma, np.zeros(1, np.int64))
        digest = hashlib.sha256(incoming.read_bytes()).hexdigest()
        size = incoming.stat().st_size
        umask = os.umask(0)
        os.umask(umask)
        incoming.chmod(0o666 & ~umask)
        placed: Path | None = None
        with self._lock.held():
            try:
                with self._catalog.writing() as connection:
                    number = rows.take_ids(connection, 1)[0]
                    placed = self._layout.zip(number)
                    incoming.rename(placed)
                    sync_folder(self._layout.zips)
                    space_id = rows.space_id(connection, Space.of(spec))
                    connection.execute(
                        rows.learnwares.insert().values(
                            id=number,
                            space_id=space_id,
                            status=status,
                            name=semantic.name,
                            description=semantic.description,
                            semantic=semantic.to_dict(),
                            zip_sha256=digest,
                            zip_bytes=size,
                            num_points=spec.num_points,
                            fit_mmd2=spec.fit_mmd2,
                            submitted_at=_now(),
                        )
                    )
                    rows.insert_tags(connection, number, _class_and_tag_values(semantic))
                    segment.ids[0] = number
                    _insert_pending(connection, segment, space_id)
                    rows.raise_generation(connection)
            except BaseException:
                if placed is not None:
                    placed.unlink(missing_ok=True)
                raise
            self._fold_when_due(space_id)
        return number

    def ingest(self, points: Any, weights: Any, gamma: float) -> range:
        """Add specifications alone, all or none. Returns their numbers."""
        gamma = positive_gamma(gamma)
        chunks = list(_chunks(points, weights))
        count = chunks[-1].stop
        with self._lock.held():
            with self._catalog.writing() as connection:
                ids = rows.take_ids(connection, count)
            numbers = np.arange(ids.start, ids.stop, dtype=np.int64)
            written: dict[str, Segment] = {}
            small: Segment | None = None
            dim = None
            try:
                for chunk in chunks:
                    segment = _segment(points[chunk], weights[chunk], gamma, numbers[chunk])
                    dim = segment.packed.dim if dim is None else dim
                    if segment.packed.dim != dim:
                        raise InvalidArgument(
                            f"points[{chunk.start}]: expected {dim} coordinates as before, got {segment.packed.dim}"
                        )
                    if count < _SEGMENT_SPECS:
                        small = segment
                    else:
                        written[write_segment(self._layout.specs, segment)] = segment
                space = Space(RKMETableSpecification.type, (int(dim or 0),), gamma)
                with self._catalog.writing() as connection:
                    space_id = rows.space_id(connection, space)
                    _insert_ingested(connection, ids, space_id)
                    if small is not None:
                        _insert_pending(connection, small, space_id)
                    _insert_segments(connection, written, space_id)
                    rows.raise_generation(connection)
            except BaseException:
                for name in written:
                    remove_segment(self._layout.specs, name)
                raise
            if small is not None:
                self._fold_when_due(space_id)
        return ids

    def delete(self, numbers: Sequence[int]) -> None:
        """Remove learnwares that are in the catalog, all or none."""
        with self._lock.held(), self._catalog.writing() as connection:
            for start in range(0, len(numbers), 10_000):
                rows.bury(connection, numbers[start : start + 10_000])
                rows.remove(connection, numbers[start : start + 10_000])
            rows.raise_generation(connection)
        for number in numbers:
            self._layout.zip(number).unlink(missing_ok=True)

    def optimize(self) -> None:
        """Fold, compact, and clear what a killed writer left."""
        with self._lock.held():
            with self._catalog.reading() as connection:
                known = rows.spaces_by_id(connection)
                remove_orphans(self._layout.specs, rows.all_segment_names(connection))
                self._remove_orphan_zips(connection)
            for space_id in known:
                self._fold(space_id)

    def _fold_when_due(self, space_id: int) -> None:
        with self._catalog.reading() as connection:
            due = rows.pending_count(connection, space_id) >= _SEGMENT_SPECS
        if due:
            self._fold(space_id)

    def _fold(self, space_id: int) -> None:
        """Make one segment of a space's small segments, thinned-out segments and waiting specifications."""
        with self._catalog.reading() as connection:
            space = rows.spaces_by_id(connection)[space_id]
            names = rows.segment_names(connection, space_id)
            dead = np.array(sorted(rows.deleted_ids(connection, space_id)), dtype=np.int64)
            waiting = rows.pending_count(connection, space_id)
        small = [name for name in names if self._is_due(name, dead)]
        if not waiting and not (len(small) > 1 or any(self._dead_in(name, dead) for name in small)):
            return
        view = self._store.view(space)
        sources = [self._store.segment(name) for name in small]
        if waiting:
            sources.append(view.segments[-1])
        folded = merged(sources, dead)
        written = {} if folded is None else {write_segment(self._layout.specs, folded): folded}
        try:
            with self._catalog.writing() as connection:
                gone = np.concatenate([np.empty(0, np.int64), *(source.ids for source in sources)])
                connection.execute(rows.segments.delete().where(rows.segments.c.name.in_(small)))
                connection.execute(rows.pending.delete().filter_by(space_id=space_id))
                rows.remove_tombstones(connection, np.intersect1d(gone, dead).tolist())
                _insert_segments(connection, written, space_id)
                rows.raise_generation(connection)
        except BaseException:
            for name in written:
                remove_segment(self._layout.specs, name)
            raise
        self._store.forget(small)
        for name in small:
            remove_segment(self._layout.specs, name)

    def _is_due(self, name: str, dead: npt.NDArray[np.int64]) -> bool:
        size = len(self._store.segment(name))
        return size < _SEGMENT_SPECS or self._dead_in(name, dead) > _DEAD_SHARE * size

    def _dead_in(self, name: str, dead: npt.NDArray[np.int64]) -> int:
        return int(np.isin(dead, self._store.segment(name).ids).sum())

    def _remove_orphan_zips(self, connection: sa.Connection) -> None:
        """Delete zips that no row names: their writer died between the renaming and the commit."""
        stray = {int(path.stem): path for path in self._layout.zips.glob("*.zip") if path.stem.isdigit()}
        for number in set(stray) - rows.existing_ids(connection, stray):
            stray[number].unlink(missing_ok=True)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _chunks(points: Any, weights: Any) -> Iterator[slice]:
    """Slices of a batch, each of which is packed at once."""
    try:
        count, other = len(points), len(weights)
    except TypeError:
        raise InvalidArgument(
            f"points, weights: expected arrays or lists, got {type(points).__name__}, {type(weights).__name__}"
        ) from None
    if not count or count != other:
        raise InvalidArgument(f"points, weights: expected one length above 0, got {count} and {other}")
    try:
        first = np.asarray(points[0])
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise InvalidArgument(f"points[0]: expected an array of shape (K, d) ({error!r})") from None
    size = max(1, _LARGEST_SEGMENT_BYTES // max(1, 4 * first.size))
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def _segment(points: Any, weights: Any, gamma: float, ids: npt.NDArray[np.int64]) -> Segment:
    packed = kernels.pack(points, weights)
    return Segment(ids, packed, packed.self_inner(gamma=gamma))


def _class_and_tag_values(semantic: SemanticSpecification) -> dict[str, list[str]]:
    fields = semantic.to_dict()
    return {
        key: list(field["Values"])
        for key, field in fields.items()
        if field.get("Type") in ("Class", "Tag", "Optional") and isinstance(field.get("Values"), list)
    }


def _insert_ingested(connection: sa.Connection, ids: range, space_id: int) -> None:
    now = _now()
    for start in range(ids.start, ids.stop, _ROWS_A_STATEMENT):
        chunk = range(start, min(start + _ROWS_A_STATEMENT, ids.stop))
        values = [{"id": id, "space_id": space_id, "status": USABLE, "submitted_at": now} for id in chunk]
        connection.execute(rows.learnwares.insert(), values)


def _insert_pending(connection: sa.Connection, segment: Segment, space_id: int) -> None:
    values = [
        {
            "learnware_id": spec.learnware_id,
            "space_id": space_id,
            "points": spec.points,
            "weights": spec.weights,
            "self_inner": spec.self_inner,
        }
        for spec in pending_of(segment)
    ]
    connection.execute(rows.pending.insert(), values)


def _insert_segments(connection: sa.Connection, segments: Mapping[str, Segment], space_id: int) -> None:
    for name, segment in segments.items():
        values = {"name": name, "space_id": space_id, "first_id": int(segment.ids[0]), "specs": len(segment)}
        connection.execute(rows.segments.insert().values(**values))
