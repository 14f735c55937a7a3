"""Changes to a dock: each is one transaction of the catalog, made after the files it names are durable."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from learndock import kernels
from learndock._durable import sync_folder
from learndock._validation import positive_gamma
from learndock.dock import catalog as rows
from learndock.dock._lock import WriteLock
from learndock.dock.incoming import Incoming, remove_abandoned
from learndock.dock.segments import Segment, remove_orphans, remove_segment, write_segment
from learndock.dock.space import Space
from learndock.dock.store import USABLE, SpaceView, SpecStore, merged, pending_of
from learndock.errors import DockError, InvalidArgument, LearndockError
from learndock.specification import RKMETableSpecification

if TYPE_CHECKING:
    import numpy.typing as npt
    import sqlalchemy as sa

    from learndock.dock.catalog import Catalog
    from learndock.dock.layout import Layout
    from learndock.specification import SemanticSpecification

__all__ = ["Writer"]

_log = logging.getLogger("learndock")

# A batch of this many specifications is written as a segment; fewer wait in the catalog until they are this many.
_SEGMENT_SPECS = 4096
# A larger batch becomes several segments, so that packing it takes bounded memory.
_LARGEST_SEGMENT_BYTES = 512 * 2**20
# A segment with more deleted specifications than this share is compacted.
_DEAD_SHARE = 0.1
# Segments of a space, above which they are merged: each costs descriptors, and a call of the kernel.
_MOST_SEGMENTS = 32
_LOCK_SECONDS = 60.0
_ROWS_A_STATEMENT = 50_000


class Writer:
    """What changes a dock, one writer at a time."""

    def __init__(self, layout: Layout, catalog: Catalog, store: SpecStore) -> None:
        self._layout = layout
        self._catalog = catalog
        self._store = store
        self._lock = WriteLock(layout.lock, seconds=_LOCK_SECONDS)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Hold the write lock; a full disk or a refused right is a DockError."""
        try:
            with self._lock.held():
                yield
        except OSError as error:
            raise DockError(f"{self._layout.root}: nothing was changed ({error.strerror or error})") from error

    def create(self) -> None:
        """Make a new dock's catalog; its marker comes last."""
        with self._changing():
            self._catalog.create()
            self._layout.finish()

    def add(
        self, incoming: Incoming, spec: RKMETableSpecification, semantic: SemanticSpecification, *, status: int
    ) -> int:
        """Add a checked learnware; its zip, in the dock's folder already, is renamed. Returns its number.

        Raises
        ------
        InvalidArgument
            If its specification holds numbers beyond float32.
        """
        segment = _segment([spec.points], [spec.weights], spec.gamma, np.zeros(1, np.int64))
        with self._changing():
            number = -1
            try:
                with self._catalog.writing() as connection:
                    number = rows.take_ids(connection, 1)[0]
                    incoming.zip.rename(self._layout.zip(number))
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
                            zip_sha256=incoming.sha256,
                            zip_bytes=incoming.size,
                            num_points=spec.num_points,
                            fit_mmd2=spec.fit_mmd2,
                            submitted_at=_now(),
                        )
                    )
                    rows.insert_tags(connection, number, {**semantic.classes, **semantic.tags})
                    segment.ids[0] = number
                    _insert_pending(connection, segment, space_id)
                    rows.raise_generation(connection)
            except BaseException:
                self._discard_zip(number)
                raise
            self._fold_when_due(space_id)
        return number

    def ingest(self, points: Any, weights: Any, gamma: float) -> range:
        """Add specifications alone, all or none. Returns their numbers."""
        gamma = positive_gamma(gamma)
        chunks = list(_chunks(points, weights))
        count = chunks[-1].stop
        with self._changing():
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
                    if count < _SEGMENT_SPECS and len(chunks) == 1:
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
                self._discard(written)
                raise
            self._fold_when_due(space_id)
        return ids

    def delete(self, numbers: Sequence[int]) -> None:
        """Remove learnwares that are in the catalog, all or none."""
        with self._changing(), self._catalog.writing() as connection:
            rows.remove(connection, numbers)
            rows.raise_generation(connection)
        for number in numbers:
            self._layout.zip(number).unlink(missing_ok=True)

    def optimize(self) -> None:
        """Fold, compact, and clear what a killed writer left."""
        with self._changing():
            with self._catalog.reading() as connection:
                known = rows.spaces_by_id(connection)
                remove_orphans(self._layout.specs, rows.all_segment_names(connection))
                self._remove_orphan_zips(connection)
            for space_id in known:
                self._fold(space_id)

    def _fold_when_due(self, space_id: int) -> None:
        """Fold after a change that is done and durable: whatever goes wrong here, the change stands."""
        try:
            with self._catalog.reading() as connection:
                waiting = rows.pending_count(connection, space_id)
                count = len(rows.segment_names(connection, space_id))
            if waiting >= _SEGMENT_SPECS or count >= _MOST_SEGMENTS:
                self._fold(space_id)
        except (LearndockError, OSError) as error:
            _log.warning(
                "%s: specifications were added, but not folded into segments yet: %s", self._layout.root, error
            )

    def _fold(self, space_id: int) -> None:
        """Make larger segments of a space's small ones, thinned-out ones and waiting specifications."""
        with self._catalog.reading() as connection:
            space = rows.spaces_by_id(connection)[space_id]
            dead = np.array(sorted(rows.deleted_ids(connection, space_id)), dtype=np.int64)
        view = self._store.view(space)
        groups = _groups_to_fold(view, dead)
        for i, names in enumerate(groups):
            # What waits in the catalog goes with the last group.
            waiting = view.waiting if i == len(groups) - 1 else None
            self._replace(space_id, {name: view.named[name] for name in names}, waiting, dead)
        if groups:
            self._store.clear()  # else this process would hold what it has just deleted until its next search

    def _replace(
        self,
        space_id: int,
        old: Mapping[str, Segment],
        waiting: Segment | None,
        dead: npt.NDArray[np.int64],
    ) -> None:
        """Write one segment for several and for what waits, and name it instead of them."""
        sources = [*old.values(), *(() if waiting is None else (waiting,))]
        folded = merged(sources, dead)
        written = {} if folded is None else {write_segment(self._layout.specs, folded): folded}
        try:
            with self._catalog.writing() as connection:
                gone = np.concatenate([source.ids for source in sources])
                connection.execute(rows.segments.delete().where(rows.segments.c.name.in_(list(old))))
                if waiting is not None:
                    connection.execute(rows.pending.delete().filter_by(space_id=space_id))
                rows.remove_tombstones(connection, np.intersect1d(gone, dead).tolist())
                _insert_segments(connection, written, space_id)
                rows.raise_generation(connection)
        except BaseException:
            self._discard(written)
            raise
        for name in old:
            remove_segment(self._layout.specs, name)

    def _discard(self, written: Iterable[str]) -> None:
        """Delete segments of a failed write, unless the catalog names them: a signal can come after the commit."""
        with self._catalog.reading() as connection:
            named = rows.all_segment_names(connection)
        for name in set(written) - named:
            remove_segment(self._layout.specs, name)

    def _discard_zip(self, number: int) -> None:
        """Delete the zip of a failed submission, unless the catalog names it."""
        with self._catalog.reading() as connection:
            known = rows.existing_ids(connection, [number])
        if not known:
            self._layout.zip(number).unlink(missing_ok=True)

    def _remove_orphan_zips(self, connection: sa.Connection) -> None:
        """Delete zips that no row names: their writer died between the renaming and the commit, or before."""
        stray = {int(path.stem): path for path in self._layout.zips.glob("*.zip") if path.stem.isdigit()}
        for number in set(stray) - rows.existing_ids(connection, stray):
            stray[number].unlink(missing_ok=True)
        remove_abandoned(self._layout.zips)


def _groups_to_fold(view: SpaceView, dead: npt.NDArray[np.int64]) -> list[list[str]]:
    """Names of the segments to merge, group by group; a group's points fit in the bounded memory of a merge."""
    dead_in = {name: int(np.isin(dead, segment.ids).sum()) for name, segment in view.named.items()}
    many = len(view.named) >= _MOST_SEGMENTS
    due = [
        name
        for name, segment in view.named.items()
        if ((many or len(segment) < _SEGMENT_SPECS) and segment.packed.tiles.nbytes < _LARGEST_SEGMENT_BYTES // 2)
        or dead_in[name] > _DEAD_SHARE * len(segment)
    ]
    groups: list[list[str]] = [[]]
    size = 0
    for name in sorted(due, key=lambda name: len(view.named[name])):
        bytes_of = view.named[name].packed.tiles.nbytes
        if groups[-1] and size + bytes_of > _LARGEST_SEGMENT_BYTES:
            groups.append([])
            size = 0
        groups[-1].append(name)
        size += bytes_of
    # One segment alone is merged with nothing: worth it only to drop what is dead.
    kept = [group for group in groups if len(group) > 1 or any(dead_in[name] for name in group)]
    if view.waiting is not None and (not kept or kept[-1] is not groups[-1]):
        kept.append(groups[-1])
    return kept


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _chunks(points: Any, weights: Any) -> Iterator[slice]:
    """Slices of a batch, each of which is packed at once, in bounded memory."""
    for name, value in (("points", points), ("weights", weights)):
        if isinstance(value, str | bytes | Mapping | Set) or not hasattr(value, "__getitem__"):
            raise InvalidArgument(f"{name}: expected an array or a list of arrays, got {type(value).__name__}")
    count, other = len(points), len(weights)
    if not count or count != other:
        raise InvalidArgument(f"points, weights: expected one length above 0, got {count} and {other}")
    if hasattr(points, "shape"):
        each = max(1, 4 * int(np.prod(points.shape[1:])))
        step = max(1, _LARGEST_SEGMENT_BYTES // each)
        yield from (slice(start, min(start + step, count)) for start in range(0, count, step))
        return
    start = size = 0
    for i in range(count):
        try:
            bytes_of = 4 * int(np.prod(np.shape(points[i])))
        except (ValueError, KeyError, TypeError):
            raise InvalidArgument(f"points[{i}]: expected an array of shape (K, d)") from None
        if i > start and size + bytes_of > _LARGEST_SEGMENT_BYTES:
            yield slice(start, i)
            start, size = i, 0
        size += bytes_of
    yield slice(start, count)


def _segment(points: Any, weights: Any, gamma: float, ids: npt.NDArray[np.int64]) -> Segment:
    packed = kernels.pack(points, weights)
    return Segment(ids, packed, packed.self_inner(gamma=gamma))


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
        values = {
            "name": name,
            "space_id": space_id,
            "first_id": int(segment.ids[0]),
            "specs": len(segment),
        }
        connection.execute(rows.segments.insert().values(**values))
