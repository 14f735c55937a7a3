"""Changes to a dock: each is one transaction of the catalog, made after the files it names are durable."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from learndock._durable import sync_folder
from learndock._validation import positive_gamma
from learndock.dock import audit, folding, peer_rows, rows, scaling_rows
from learndock.dock.batches import Batch, packed_segment, require_same_dim
from learndock.dock.ids import learnware_name
from learndock.dock.incoming import Incoming, remove_abandoned
from learndock.dock.scaling import most_pooled, pooled_scaling, require_kept
from learndock.dock.search_gamma import median_of_points
from learndock.dock.segment_stream import SegmentStream, write_segment
from learndock.dock.segments import Segment, WrittenSegment, orphans, remove_segment, segment_checksum_faults
from learndock.dock.sketching import (
    SKETCHED_AT_ONCE,
    remove_damaged_sketches,
    remove_unnamed_sketches,
    sketch_space,
)
from learndock.dock.space import Space
from learndock.dock.store import SpaceView, SpecStore, pending_of
from learndock.dock.strays import stray_zips
from learndock.dock.tables import USABLE, learnwares, pending, segments
from learndock.errors import DockError, InvalidArgument, LearndockError, UnknownLearnware
from learndock.learnware.meaning import OutputMeaning
from learndock.specification import RKMETableSpecification, Scaling

if TYPE_CHECKING:
    import numpy.typing as npt
    import sqlalchemy as sa

    from learndock.dock.catalog import Catalog
    from learndock.dock.layout import Layout
    from learndock.dock.progress import Progress
    from learndock.specification import SemanticSpecification

__all__ = ["Writer"]

_log = logging.getLogger("learndock")

_LOCK_SECONDS = 60.0
# Of points in float32, packed at a time: they stay in the caches, and the next piece is given the same memory.
_PIECE_BYTES = 4 * 2**20
# So many that come at once are laid near their like.
_NEAR_AT_ONCE = 10_000


class Writer:
    """What changes a dock, one writer at a time."""

    def __init__(self, layout: Layout, catalog: Catalog, store: SpecStore, *, actor: str) -> None:
        self._layout = layout
        self._catalog = catalog
        self._store = store
        self._actor = actor
        self._lock = catalog.write_lock(seconds=_LOCK_SECONDS)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Hold the write lock; a full disk or a refused right is a DockError."""
        try:
            with self._lock.held():
                yield
        except OSError as error:
            raise DockError(f"{self._layout.root}: nothing was changed ({error.strerror or error})") from error

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other writers out, between several changes too."""
        with self._changing():
            yield

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
            If its specification holds numbers beyond float32, or was fitted under another scaling than its space's.
        """
        segment = packed_segment([spec.points], [spec.weights], spec.gamma, np.zeros(1, np.int64))
        with self._changing():
            number = -1
            try:
                with self._catalog.writing() as connection:
                    number = rows.take_ids(connection, 1)[0]
                    self._take_in(incoming, number)
                    space_id = rows.space_id(connection, Space.of(spec))
                    connection.execute(
                        learnwares.insert().values(
                            id=number,
                            space_id=space_id,
                            status=status,
                            zip_sha256=incoming.sha256,
                            zip_bytes=incoming.size,
                            num_points=spec.num_points,
                            fit_mmd2=spec.fit_mmd2,
                            submitted_at=audit.now(),
                        )
                    )
                    rows.insert_semantic(connection, number, semantic)
                    require_kept(spec, scaling_rows.kept_scaling(connection, space_id))
                    scaling_rows.insert_fitted(connection, number, spec)
                    segment.ids[0] = number
                    rows.insert_pending(connection, pending_of(segment), space_id)
                    audit.record(
                        connection,
                        self._actor,
                        "submit",
                        status=status,
                        learnware_id=number,
                        after=incoming.sha256,
                    )
                    rows.raise_generation(connection)
            except BaseException:
                self._discard_zip(number, incoming.sha256)
                raise
            self._fold_when_due(space_id)
        return number

    def replace(
        self,
        number: int,
        incoming: Incoming | None,
        spec: RKMETableSpecification,
        semantic: SemanticSpecification,
        *,
        status: int,
        version: int,
    ) -> None:
        """Give a learnware another zip, or none but another semantic part or status.

        A specification that stays the same stays where it is. Of another one, the copy in a segment, which never
        changes, is marked as dead, and the new one waits in the catalog as that of a new learnware does.

        Parameters
        ----------
        number : int
        incoming : Incoming or None
            None where the zip stays.
        spec, semantic, status
            As they are from now on.
        version : int
            Of the row that the change was checked against.

        Raises
        ------
        UnknownLearnware, DockError
            If it was deleted or updated since.
        InvalidArgument
            If its specification holds numbers beyond float32, or was fitted under another scaling than its space's.
        """
        segment = packed_segment([spec.points], [spec.weights], spec.gamma, np.array([number], np.int64))
        with self._changing():
            row = self._current(number, version)
            copies = self._moved(row, segment, Space.of(spec))
            sha256, size = (incoming.sha256, incoming.size) if incoming else (row.zip_sha256, row.zip_bytes)
            try:
                with self._catalog.writing() as connection:
                    if incoming is not None:
                        self._take_in(incoming, number)
                    space_id = rows.space_id(connection, Space.of(spec))
                    connection.execute(
                        learnwares.update()
                        .where(learnwares.c.id == number)
                        .values(
                            space_id=space_id,
                            status=status,
                            version=version + 1,
                            zip_sha256=sha256,
                            zip_bytes=size,
                            num_points=spec.num_points,
                            fit_mmd2=spec.fit_mmd2,
                            updated_at=audit.now(),
                        )
                    )
                    rows.remove_semantics(connection, [number])
                    rows.insert_semantic(connection, number, semantic)
                    require_kept(spec, scaling_rows.kept_scaling(connection, space_id))
                    scaling_rows.remove_fitted(connection, number)
                    # A description in other words changes nothing of what its model says.
                    same = incoming is None and copies is None
                    meaning = OutputMeaning.of(semantic).key if same else None
                    peer_rows.forget_reviews(connection, number, unless_meaning=meaning)
                    scaling_rows.insert_fitted(connection, number, spec)
                    if copies is not None:
                        rows.bury(connection, copies)
                        rows.remove_pending(connection, [number])
                        rows.insert_pending(connection, pending_of(segment), space_id)
                    audit.record(
                        connection,
                        self._actor,
                        "update",
                        status=status,
                        learnware_id=number,
                        before=row.zip_sha256,
                        after=sha256,
                    )
                    rows.raise_generation(connection)
            except BaseException:
                if incoming is not None:
                    self._discard_zip(number, incoming.sha256)
                raise
            if row.zip_sha256 is not None:
                self._discard_zip(number, row.zip_sha256)
            self._fold_when_due(space_id)

    def require_version(self, number: int, version: int) -> None:
        """Wait until nobody writes, and see that a learnware still has this version.

        Raises
        ------
        UnknownLearnware, DockError
            If it was deleted or updated.
        """
        with self._changing():
            self._current(number, version)

    def _current(self, number: int, version: int) -> sa.Row[Any]:
        with self._catalog.reading() as connection:
            row = rows.rows_of(connection, [number]).get(number)
        if row is None:
            raise UnknownLearnware(f"id: {learnware_name(number)!r} was deleted while its update was checked")
        if row.version != version:
            raise DockError(f"id: {learnware_name(number)!r} was updated by another while this update was checked")
        return row

    def _moved(self, row: sa.Row[Any], segment: Segment, space: Space) -> dict[str, list[int]] | None:
        """Copies in segments that the new specification makes obsolete; None where it is the old one."""
        with self._catalog.reading() as connection:
            old_space = rows.spaces_by_id(connection)[row.space_id]
        view = self._store.view(old_space)
        place = view.place(row.id)
        if place is not None and space == old_space:
            held, at = place
            pairs = zip(held.packed.embedding(at), segment.packed.embedding(0), strict=True)
            if all(np.array_equal(old, new) for old, new in pairs):
                return None
        return view.copies([row.id])

    def refuse(self, action: audit.Action, number: int | None, sha256: str | None, message: str) -> None:
        """Write into the audit log that a submission or an update was refused; nothing else changes."""
        with self._changing(), self._catalog.writing() as connection:
            audit.record(connection, self._actor, action, status=-1, learnware_id=number, after=sha256, message=message)

    def ingest(self, points: Any, weights: Any, gamma: float, *, on_progress: Progress) -> list[int]:
        """Add specifications alone, all or none. Returns their numbers, in the order in which they came."""
        gamma = positive_gamma(gamma)
        batch = Batch.of(points, weights)
        count = len(batch)
        slices = list(batch.cut(folding.LARGEST_SEGMENT_BYTES))
        waits = count < folding.SEGMENT_SPECS and len(slices) == 1
        with self._changing():
            with self._catalog.writing() as connection:
                ids = rows.take_ids(connection, count)
            numbers = np.arange(ids.start, ids.stop, dtype=np.int64)
            stream = SegmentStream(self._layout.specs)
            try:
                with stream:
                    if waits:
                        small = batch.packed(slices[0], gamma, numbers)
                        dim = small.packed.dim
                        on_progress("ingest", count, count)
                    else:
                        if count >= _NEAR_AT_ONCE:
                            batch = batch.near_by(slices, _PIECE_BYTES)
                        dim = _stream(stream, batch, slices, gamma, numbers, on_progress)
                    space = Space(RKMETableSpecification.type, (dim,), gamma)
                    with self._catalog.writing() as connection:
                        space_id = rows.space_id(connection, space)
                        # Rows while the last segments become durable: the transaction ends after both.
                        rows.insert_ingested(connection, ids, space_id, status=USABLE, now=audit.now())
                        if waits:
                            rows.insert_pending(connection, pending_of(small), space_id)
                        _insert_segments(connection, stream.finish(), space_id)
                        audit.record(
                            connection, self._actor, "ingest", status=USABLE, learnware_id=ids.start, count=count
                        )
                        rows.raise_generation(connection)
            except BaseException:
                self._discard(stream.names)
                raise
            self._fold_when_due(space_id)
            if count >= SKETCHED_AT_ONCE:
                self._sketch_when_possible(space_id, space, on_progress)
        return numbers.tolist() if batch.rows is None else numbers[np.argsort(batch.rows)].tolist()

    def delete(self, numbers: Sequence[int]) -> None:
        """Remove learnwares, all or none."""
        with self._changing():
            with self._catalog.reading() as connection:
                found = rows.rows_of(connection, numbers)
                known = rows.spaces_by_id(connection)
            missing = sorted(set(numbers) - found.keys())
            if missing:
                raise UnknownLearnware(f"id: {learnware_name(missing[0])!r} was deleted by another meanwhile")
            if not found:
                return
            of_space: dict[int, list[int]] = {}
            for number, row in found.items():
                of_space.setdefault(row.space_id, []).append(number)
            copies = [self._store.view(known[space]).copies(some) for space, some in of_space.items()]
            with self._catalog.writing() as connection:
                for some in copies:
                    rows.bury(connection, some)
                rows.remove_learnwares(connection, numbers)
                audit.record_deletion(connection, self._actor, found)
                rows.raise_generation(connection)
            for number, row in found.items():
                if row.zip_sha256 is not None:
                    self._layout.zip(number, row.zip_sha256).unlink(missing_ok=True)

    def set_search_gamma(self, space: Space, search_gamma: float | Literal["median"] | None) -> None:
        """Set the gamma under which a space is searched, or none; see `Dock.set_search_gamma`."""
        with self._changing():
            with self._catalog.reading() as connection:
                space_id = {known: id for id, known in rows.spaces_by_id(connection).items()}.get(space)
                old = {} if space_id is None else rows.search_gamma_by_id(connection)
            if space_id is None:
                raise InvalidArgument(
                    f"gamma: the dock has no specifications of gamma {space.gamma!r} and input shape "
                    f"{space.input_shape}; `stats` shows which it has"
                )
            if search_gamma == "median":
                search_gamma = median_of_points(self._store.view(space))
            if search_gamma == old.get(space_id):
                return
            with self._catalog.writing() as connection:
                rows.set_search_gamma(connection, space_id, search_gamma)
                shape = "x".join(map(str, space.input_shape))
                now = "their own" if search_gamma is None else repr(search_gamma)
                audit.record(
                    connection,
                    self._actor,
                    "search_gamma",
                    status=USABLE,
                    learnware_id=None,
                    count=0,
                    message=f"specifications {shape} of gamma {space.gamma!r}: searched under {now}",
                )
                rows.raise_generation(connection)
            remove_unnamed_sketches(self._layout, self._catalog)
        _log.info("%s: specifications %s of gamma %r are searched under %s", self._layout.root, shape, space.gamma, now)

    def keep_scaling(self, space: Space) -> Scaling:
        """The scaling of a space, pooled and kept where there is none; see `Dock.scaling`."""
        with self._changing():
            with self._catalog.reading() as connection:
                kept = self._kept_scaling(connection, space)
                if kept is not None:  # by another, meanwhile
                    return kept
                pooled = self._pooled_scaling(connection, space)
            self._keep_scaling(space, pooled)
            return pooled

    def set_scaling(self, space: Space, scaling: Scaling | Literal["pooled"] | None) -> None:
        """Set the scaling of a space, or none; see `Dock.set_scaling`."""
        with self._changing():
            with self._catalog.reading() as connection:
                kept = self._kept_scaling(connection, space)
                wanted = self._pooled_scaling(connection, space) if scaling == "pooled" else scaling
                space_id = {known: id for id, known in rows.spaces_by_id(connection).items()}.get(space)
                scaled = 0 if space_id is None else scaling_rows.scaled_count(connection, space_id)
            if wanted == kept:
                return
            if scaled:
                raise DockError(
                    f"scaling: {scaled} learnwares were fitted under the one that is kept, and could be compared with "
                    "nothing under another; delete them first, or give them specifications of raw rows"
                )
            self._keep_scaling(space, wanted)

    def _kept_scaling(self, connection: sa.Connection, space: Space) -> Scaling | None:
        space_id = {known: id for id, known in rows.spaces_by_id(connection).items()}.get(space)
        return None if space_id is None else scaling_rows.kept_scaling(connection, space_id)

    def _pooled_scaling(self, connection: sa.Connection, space: Space) -> Scaling:
        columns = math.prod(space.input_shape)
        moments = scaling_rows.moments_of_shape(connection, space, most=most_pooled(columns))
        if not moments:
            raise DockError(
                f"scaling: no learnware of input shape {space.input_shape} says what its columns are like, as those of "
                "ten rows and more that `RKMETableSpecification.fit` has made do; `set_scaling` sets one"
            )
        return pooled_scaling(moments)

    def _keep_scaling(self, space: Space, scaling: Scaling | None) -> None:
        shape = "x".join(map(str, space.input_shape))
        now = "by none" if scaling is None else "by a scaling"
        with self._catalog.writing() as connection:
            scaling_rows.set_kept_scaling(connection, rows.space_id(connection, space), scaling)
            audit.record(
                connection,
                self._actor,
                "scaling",
                status=USABLE,
                learnware_id=None,
                count=0,
                message=f"specifications {shape} of gamma {space.gamma!r}: standardised {now}",
            )
            rows.raise_generation(connection)
        _log.info("%s: specifications %s of gamma %r are standardised %s", self._layout.root, shape, space.gamma, now)

    def add_reviews(
        self,
        own: Sequence[peer_rows.OwnOutputs],
        found: Sequence[peer_rows.PeerLosses],
        versions: Mapping[int, int],
    ) -> None:
        """Keep what was found when models were tried, but for what concerns a learnware that is another now, or gone.

        Parameters
        ----------
        own : sequence of OwnOutputs
        found : sequence of PeerLosses
        versions : mapping of int to int
            Of the learnwares that were tried and whose sketches they were tried on.
        """
        with self._changing(), self._catalog.writing() as connection:
            now = {id: row.version for id, row in rows.rows_of(connection, sorted(versions)).items()}
            same = {id for id, version in versions.items() if now.get(id) == version}
            peer_rows.create_reviews(connection)
            for one in own:
                if one.id in same:
                    peer_rows.insert_outputs(connection, one)
            peer_rows.insert_losses(connection, [one for one in found if {one.model, one.sketch} <= same])

    def optimize(self, *, on_progress: Progress) -> None:
        """Fold, compact, sketch, and clear what a killed writer left and what is damaged and can be made again."""
        with self._changing():
            self.clear_leftovers()
            with self._catalog.reading() as connection:
                known = rows.spaces_by_id(connection)
            for done, (space_id, space) in enumerate(known.items()):
                on_progress("optimize", done, len(known))
                self._fold(space_id)
                sketch_space(self._layout, self._catalog, self._store, space_id, space, on_progress=on_progress)
            remove_unnamed_sketches(self._layout, self._catalog)
            on_progress("optimize", len(known), len(known))
        _log.info("%s: optimized", self._layout.root)

    def clear_leftovers(self) -> None:
        """Delete what a killed writer left, and sketches that are damaged."""
        with self._changing():
            with self._catalog.reading() as connection:
                named = rows.all_segments(connection)
                stray = list(stray_zips(self._layout, connection))
            for path in orphans(self._layout.specs, named):
                remove_segment(path)
            for path in stray:
                path.unlink(missing_ok=True)
            remove_abandoned(self._layout.zips)
            remove_unnamed_sketches(self._layout, self._catalog)
            if remove_damaged_sketches(self._layout, self._catalog):
                self._store.clear()  # of views that hold them

    def derive_again(self) -> list[int]:
        """Make again what finds semantic parts, where it is not what follows from them. Returns of which learnwares."""
        from learndock.dock.derived import derive_again

        with self._changing(), self._catalog.writing() as connection:
            found = derive_again(connection)
            if found:
                rows.raise_generation(connection)
        return found

    def give_up(
        self, names: Sequence[str], numbers: Sequence[int], again: Mapping[int, tuple[int, RKMETableSpecification]]
    ) -> None:
        """Drop damaged segments, learnwares that can't be saved, and give others their specification again.

        Parameters
        ----------
        names : sequence of str
            Of the segments.
        numbers : sequence of int
            Of the learnwares that go.
        again : mapping of int to (int, RKMETableSpecification)
            Space and specification of those that lay in a segment that goes, and stay.
        """
        with self._changing():
            with self._catalog.writing() as connection:
                found = rows.rows_of(connection, numbers)
                connection.execute(segments.delete().where(segments.c.name.in_(names)))  # with their tombstones
                rows.remove_learnwares(connection, numbers)
                for number, (space_id, spec) in again.items():
                    ids = np.array([number], np.int64)
                    segment = packed_segment([spec.points], [spec.weights], spec.gamma, ids)
                    rows.insert_pending(connection, pending_of(segment), space_id)
                if found:
                    audit.record_deletion(connection, self._actor, found)
                rows.raise_generation(connection)
            self._store.clear()
            self.clear_leftovers()

    def _fold_when_due(self, space_id: int) -> None:
        """Fold after a change that is done and durable: whatever goes wrong here, the change stands."""
        try:
            with self._catalog.reading() as connection:
                waiting = rows.pending_count(connection, space_id)
                count = len(rows.segment_names(connection, space_id))
            if waiting >= folding.SEGMENT_SPECS or count >= folding.MOST_SEGMENTS:
                self._fold(space_id)
        except (LearndockError, OSError) as error:
            _log.warning(
                "%s: specifications were added, but not folded into segments yet: %s", self._layout.root, error
            )

    def _sketch_when_possible(self, space_id: int, space: Space, on_progress: Progress) -> None:
        """Sketch after a change that is done and durable: whatever goes wrong here, the change stands."""
        try:
            sketch_space(self._layout, self._catalog, self._store, space_id, space, on_progress=on_progress)
        except Exception as error:  # of training, too, on numbers that nobody thought of, or in too little memory
            _log.warning("%s: specifications were added, but not sketched yet: %s", self._layout.root, error)

    def _fold(self, space_id: int) -> None:
        """Make larger segments of a space's small ones, thinned-out ones and waiting specifications."""
        with self._catalog.reading() as connection:
            space = rows.spaces_by_id(connection)[space_id]
        view = self._store.view(space)
        groups = folding.groups_to_fold(view)
        for i, names in enumerate(groups):
            self._fold_group(space_id, view, names, waiting=view.waiting if i == len(groups) - 1 else None)
        if groups:
            self._store.clear()  # else this process would hold what it has just deleted until its next search

    def _fold_group(self, space_id: int, view: SpaceView, names: Sequence[str], *, waiting: Segment | None) -> None:
        """Write one segment for several and for what waits, and name it instead of them."""
        self._require_whole(names)
        folded = folding.merged({name: view.named[name] for name in names}, waiting, view.dead)
        written = [] if folded is None else [write_segment(self._layout.specs, folded)]
        try:
            with self._catalog.writing() as connection:
                connection.execute(segments.delete().where(segments.c.name.in_(names)))  # with their tombstones
                if waiting is not None:
                    connection.execute(pending.delete().filter_by(space_id=space_id))
                _insert_segments(connection, written, space_id)
                rows.raise_generation(connection)
        except BaseException:
            self._discard([segment.name for segment in written])
            raise
        for name in names:
            remove_segment(self._layout.segment(name))

    def _require_whole(self, names: Sequence[str]) -> None:
        """What is damaged would be written again, with checksums that fit it."""
        with self._catalog.reading() as connection:
            known = rows.all_segments(connection)
        for name in names:
            folder = self._layout.segment(name)
            for fault in segment_checksum_faults(folder, known[name].sha256):
                raise DockError(f"{folder}: {fault}; the segment is damaged, `learndock doctor` says what can be done")

    def _take_in(self, incoming: Incoming, number: int) -> None:
        incoming.zip.rename(self._layout.zip(number, incoming.sha256))
        sync_folder(self._layout.zips)

    def _discard(self, names: Sequence[str]) -> None:
        """Delete segments of a failed write, unless the catalog names them: a signal can come after the commit."""
        with self._catalog.settled() as connection:
            named = rows.all_segments(connection)
        for name in names:
            if name not in named:
                remove_segment(self._layout.segment(name))

    def _discard_zip(self, number: int, sha256: str) -> None:
        """Delete a zip, unless the catalog names it."""
        with self._catalog.settled() as connection:
            row = rows.rows_of(connection, [number]).get(number)
        if row is None or row.zip_sha256 != sha256:
            self._layout.zip(number, sha256).unlink(missing_ok=True)


def _stream(
    stream: SegmentStream,
    batch: Batch,
    slices: Sequence[slice],
    gamma: float,
    numbers: npt.NDArray[np.int64],
    on_progress: Progress,
) -> int:
    """Pack a batch piece by piece into a segment for each slice. Returns the number of coordinates of its points."""
    dim = 0
    try:
        for chunk in slices:
            stream.begin(specs=chunk.stop - chunk.start, points=batch.point_count(chunk))
            for piece in batch.cut(_PIECE_BYTES, chunk, aligned=True):
                packed = batch.packed(piece, gamma, numbers[piece])
                dim = require_same_dim(packed.packed.dim, dim, piece.start)
                stream.append(packed)
                on_progress("ingest", piece.stop, len(batch))
            stream.end()
    except InvalidArgument:
        wrong = None if batch.rows is None else batch.first_error(_PIECE_BYTES)
        if wrong is not None:
            raise wrong from None
        raise
    return dim


def _insert_segments(connection: sa.Connection, written: Sequence[WrittenSegment], space_id: int) -> None:
    for segment in written:
        values: Mapping[str, Any] = {
            "name": segment.name,
            "space_id": space_id,
            "first_id": segment.first_id,
            "specs": segment.specs,
            "sha256": segment.sha256,
        }
        connection.execute(segments.insert().values(**values))
