"""Segments in the making: written piece by piece as they are packed, so that none has to fit in memory.

The caller packs pieces of a few megabytes, which stay in the processor's caches and need no fresh memory; a thread
takes their sha256 and writes them meanwhile, and another makes durable what is written.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import uuid
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from learndock import _core
from learndock._durable import create_file, new_file, sync_file, sync_folder
from learndock.dock.segments import ARRAYS, LAYOUT, TEMPORARY, Segment, WrittenSegment
from learndock.errors import DockError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    import numpy.typing as npt

    from learndock.kernels import PackedEmbeddings

__all__ = ["SegmentStream", "write_segment"]

# Pieces that may wait for the thread that writes.
_MOST_AHEAD = 2
# Bytes after which the disk is set to work on them: else it would idle until the whole segment is written.
_SYNCED_BYTES = 64 * 2**20


class SegmentStream:
    """Writes the segments of one batch, one after the other: `begin`, `append` any number of times, `end`; `finish`.

    A context: what is not finished where it ends is deleted. A segment of `finish` is durable and under its name.

    Parameters
    ----------
    specs : Path
        The folder of segments.
    """

    def __init__(self, specs: Path) -> None:
        self._specs = specs
        self._writing = ThreadPoolExecutor(1, "learndock-write")
        self._syncing = ThreadPoolExecutor(1, "learndock-sync")
        self._begun: list[_Unfinished] = []
        self._ahead: deque[Future[None]] = deque()
        self._finished: list[Future[Future[WrittenSegment]]] = []

    @property
    def names(self) -> list[str]:
        """Names of all segments that were begun; any of them may be there already."""
        return [segment.name for segment in self._begun]

    def begin(self, *, specs: int, points: int) -> None:
        """Start a segment of so many specifications with so many points."""
        self._begun.append(_Unfinished(self._specs, self._syncing, specs, points))

    def append(self, piece: Segment) -> None:
        """The next specifications of the segment. The piece must not change any more."""
        while len(self._ahead) >= _MOST_AHEAD:
            self._ahead.popleft().result()
        self._ahead.append(self._writing.submit(self._begun[-1].write, piece))

    def end(self) -> None:
        """Say that the segment has all its specifications; it becomes durable while the next is written."""
        segment = self._begun[-1]
        self._finished.append(self._writing.submit(lambda: self._syncing.submit(segment.finish)))

    def finish(self) -> list[WrittenSegment]:
        """Wait for all segments."""
        for ahead in self._ahead:
            ahead.result()
        return [finished.result().result() for finished in self._finished]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writing.shutdown(cancel_futures=True)
        self._syncing.shutdown(cancel_futures=True)
        for segment in self._begun:
            segment.abandon()


def write_segment(specs: Path, segment: Segment) -> WrittenSegment:
    """Write a segment that is in memory into the folder of segments."""
    with SegmentStream(specs) as stream:
        stream.begin(specs=len(segment), points=len(segment.packed.weights))
        stream.append(segment)
        stream.end()
        return stream.finish()[0]


class _Unfinished:
    """A segment under its temporary name."""

    def __init__(self, specs: Path, syncing: ThreadPoolExecutor, count: int, points: int) -> None:
        self.name = uuid.uuid4().hex
        self._specs = specs
        self._folder = specs / f"{TEMPORARY}{self.name}"
        self._count = count
        self._points = points
        self._arrays: dict[str, _ArrayFile] = {}
        # Points that fill no tile yet.
        self._rest = np.empty((0, 0), np.float32)
        self._first_id = -1
        self._syncing = syncing
        self._syncs: list[Future[None]] = []
        self._unsynced = 0

    def write(self, piece: Segment) -> None:
        if not self._arrays:
            self._create(piece)
        packed = piece.packed
        before = self._arrays["weights"].count
        self._append_points(packed)
        self._arrays["weights"].append(packed.weights)
        self._arrays["offsets"].append(packed.offsets[1:] + before)
        self._arrays["self_inner"].append(piece.self_inner)
        self._arrays["ids"].append(piece.ids)

    def _create(self, piece: Segment) -> None:
        self._first_id = int(piece.ids[0])
        _, dim, lanes = piece.packed.tiles.shape
        self._rest = np.empty((0, dim), np.float32)
        tiles = -(-self._points // lanes)
        shapes: dict[str, tuple[type[np.generic], tuple[int, ...]]] = {
            "tiles": (np.float32, (tiles, dim, lanes)),
            "weights": (np.float32, (self._points,)),
            "offsets": (np.int64, (self._count + 1,)),
            "self_inner": (np.float64, (self._count,)),
            "ids": (np.int64, (self._count,)),
        }
        self._folder.mkdir()
        for label in ARRAYS:
            self._arrays[label] = _ArrayFile(self._folder / f"{label}.npy", *shapes[label])
        self._arrays["offsets"].append(np.zeros(1, np.int64))

    def _append_points(self, packed: PackedEmbeddings) -> None:
        """Write whole tiles; the points that fill none wait for those of the next piece."""
        tiles, count = packed.tiles, len(packed.weights)
        if len(self._rest):
            points = np.concatenate([self._rest, _core.unpack_points(tiles, 0, count).astype(np.float32)])
            tiles, count = _core.pack_points(points), len(points)
        lanes = tiles.shape[2]
        whole = count // lanes
        self._append_tiles(tiles[:whole])
        self._rest = _core.unpack_points(tiles, whole * lanes, count).astype(np.float32)

    def _append_tiles(self, tiles: npt.NDArray[Any]) -> None:
        file = self._arrays["tiles"]
        file.append(tiles)
        self._unsynced += tiles.nbytes
        if self._unsynced >= _SYNCED_BYTES:
            self._unsynced = 0
            self._syncs.append(self._syncing.submit(file.sync))

    def finish(self) -> WrittenSegment:
        """Sync and rename. In the thread that syncs, so the earlier ones are done."""
        for sync in self._syncs:
            sync.result()
        if not self._arrays or self._arrays["ids"].count != self._count:
            raise DockError(f"{self._folder}: the segment has not all its specifications")  # `finish` tells why
        if len(self._rest):
            self._arrays["tiles"].append(_core.pack_points(self._rest))
        for array in self._arrays.values():
            array.close()
        sums = {label: array.sha256 for label, array in self._arrays.items()}
        about = json.dumps({"layout": LAYOUT, "specs": self._count, "sha256": sums}).encode()
        with new_file(self._folder / "segment.json") as file:
            file.write(about)
        sync_folder(self._folder)
        self._folder.rename(self._specs / self.name)
        sync_folder(self._specs)
        return WrittenSegment(self.name, self._first_id, self._count, hashlib.sha256(about).hexdigest())

    def abandon(self) -> None:
        """Close and delete what is under the temporary name."""
        for array in self._arrays.values():
            array.abandon()
        shutil.rmtree(self._folder, ignore_errors=True)


class _ArrayFile:
    """A .npy file whose content comes bit by bit, and its sha256."""

    def __init__(self, path: Path, dtype: type[np.generic], shape: tuple[int, ...]) -> None:
        self._file = create_file(path)
        self._digest = hashlib.sha256()
        self.count = 0
        header = io.BytesIO()
        described = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(header, described)
        try:
            self._write(header.getvalue())
        except BaseException:
            self.abandon()
            raise

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def append(self, rows: npt.NDArray[Any]) -> None:
        self.count += len(rows)
        if rows.size:
            self._write(np.ascontiguousarray(rows).data.cast("B"))

    def sync(self) -> None:
        sync_file(self._file)

    def close(self) -> None:
        with self._file:
            self.sync()

    def abandon(self) -> None:
        with suppress(OSError):  # what a full disk had no room for
            self._file.close()

    def _write(self, content: bytes | memoryview) -> None:
        self._digest.update(content)
        self._file.write(content)
