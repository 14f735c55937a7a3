"""Batches of specifications as callers pass them, cut into pieces that are packed at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from learndock import _core, kernels
from learndock.dock.segments import Segment
from learndock.errors import InvalidArgument

if TYPE_CHECKING:
    import numpy.typing as npt

    IndexArray = npt.NDArray[np.int64]

__all__ = ["Batch", "packed_segment", "require_same_dim"]

# Of this many specifications the points fill whole tiles, if all have as many: a tile has 16 points.
_ALIGNED = 16
# Of the codes of means, -127 to 127.
_STEPS = 254


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Specifications as a caller passes them: arrays, or lists of arrays.

    Attributes
    ----------
    points, weights
        As in `Dock.ingest`.
    point_ends : ndarray of int64, shape (N,)
        How many points there are up to each specification, with its own.
    byte_ends : ndarray of int64, shape (N,)
        How many bytes these points take in float32.
    rows : ndarray of int64, shape (N,), optional
        Which of the caller's each of them is; None where they are as they came.
    """

    points: Any
    weights: Any
    point_ends: IndexArray
    byte_ends: IndexArray
    rows: IndexArray | None = None

    @classmethod
    def of(cls, points: Any, weights: Any) -> Batch:
        """Take what is a batch by its form; numbers are looked at as they are packed.

        Raises
        ------
        InvalidArgument
            If points or weights are no sequences, or not of one length above 0.
        """
        for name, value in (("points", points), ("weights", weights)):
            if isinstance(value, str | bytes | Mapping | Set) or not hasattr(value, "__getitem__"):
                raise InvalidArgument(f"{name}: expected an array or a list of arrays, got {type(value).__name__}")
        count, other = len(points), len(weights)
        if not count or count != other:
            raise InvalidArgument(f"points, weights: expected one length above 0, got {count} and {other}")
        if hasattr(points, "shape"):
            shape = tuple(points.shape[1:])
            each = np.arange(1, count + 1)
            return cls(points, weights, each * (shape[0] if shape else 1), each * 4 * int(np.prod(shape)))
        shapes = [_shape(value, i) for i, value in enumerate(points)]
        counts = np.array([shape[0] if shape else 1 for shape in shapes], dtype=np.int64)
        sizes = np.array([4 * int(np.prod(shape)) for shape in shapes], dtype=np.int64)
        return cls(points, weights, np.cumsum(counts), np.cumsum(sizes))

    def __len__(self) -> int:
        return len(self.byte_ends)

    def cut(self, most_bytes: int, within: slice | None = None, *, aligned: bool = False) -> Iterator[slice]:
        """Slices whose points take at most so many bytes, or one specification where that is larger.

        Where `aligned` and there are enough, the slices are of a multiple of 16 specifications.
        """
        start, end = (0, len(self)) if within is None else (within.start, within.stop)
        while start < end:
            room = int(self.byte_ends[start - 1]) + most_bytes if start else most_bytes
            stop = min(end, max(start + 1, int(np.searchsorted(self.byte_ends, room, side="right"))))
            if aligned and stop < end and stop - start > _ALIGNED:
                stop -= (stop - start) % _ALIGNED
            yield slice(start, stop)
            start = stop

    def point_count(self, within: slice) -> int:
        """Points of the specifications of a slice."""
        return int(self.point_ends[within.stop - 1]) - (int(self.point_ends[within.start - 1]) if within.start else 0)

    def near_by(self, slices: Sequence[slice], piece_bytes: int) -> Batch:
        """The same specifications, within each slice in an order in which near ones are next to each other.

        A search computes what is near the user, so that it reads a run of the file and not a page here and there. Near
        are those with near means of their points: nothing but time depends on it, and what has no such means, for
        whatever reason, stays as it came.
        """
        if not (_is_plain(self.points) and _is_plain(self.weights)):
            return self
        rows = np.concatenate([within.start + self._near_order(within, piece_bytes) for within in slices])
        if np.array_equal(rows, np.arange(len(self))):
            return self
        counts, sizes = (np.diff(ends, prepend=0)[rows] for ends in (self.point_ends, self.byte_ends))
        return Batch(self.points, self.weights, np.cumsum(counts), np.cumsum(sizes), rows)

    def _near_order(self, within: slice, piece_bytes: int) -> IndexArray:
        """An order in which specifications with near means are next to each other; equal ones stay in theirs."""
        try:
            with np.errstate(all="ignore"):
                pieces = self.cut(piece_bytes, within)
                means = np.concatenate([_means(self.points[piece], self.weights[piece]) for piece in pieces])
                low, high = means.min(axis=0), means.max(axis=0)
                scales = np.maximum((high - low) / _STEPS, np.finfo(np.float32).tiny).astype(np.float32)
                codes = np.rint((means - low) / scales - _STEPS // 2)
            if np.isfinite(codes).all() and np.isfinite(scales).all():
                return _core.near_order(codes.astype(np.int8), scales).astype(np.int64)
        except (TypeError, ValueError):
            pass  # what is wrong with them is said when they are packed
        return np.arange(within.stop - within.start)

    def first_error(self, piece_bytes: int) -> InvalidArgument | None:
        """What is wrong with the specifications as they came, so that the place it names is the caller's."""
        try:
            dim = 0
            for piece in Batch.of(self.points, self.weights).cut(piece_bytes, aligned=True):
                with _counted_from(piece.start):
                    packed = kernels.pack(self.points[piece], self.weights[piece])
                dim = require_same_dim(packed.dim, dim, piece.start)
        except InvalidArgument as error:
            return error
        return None

    def packed(self, within: slice, gamma: float, ids: IndexArray) -> Segment:
        """The specifications of a slice, checked; ids are the slice's."""
        if self.rows is not None:
            rows = self.rows[within]
            return packed_segment(_taken(self.points, rows), _taken(self.weights, rows), gamma, ids)
        with _counted_from(within.start):
            return packed_segment(self.points[within], self.weights[within], gamma, ids)


def require_same_dim(got: int, dim: int, start: int) -> int:
    """That a piece from a place on has as many coordinates as those before it, if there are any; how many."""
    if dim and got != dim:
        raise InvalidArgument(f"points[{start}]: expected {dim} coordinates as before, got {got}")
    return got


@contextmanager
def _counted_from(start: int) -> Iterator[None]:
    """Errors that say from where on in the batch they count."""
    try:
        yield
    except InvalidArgument as error:
        if not start:
            raise
        raise InvalidArgument(f"{error}; counted from specification {start} of the batch") from None


def _shape(value: Any, i: int) -> tuple[int, ...]:
    try:
        return np.shape(value)
    except (ValueError, KeyError, TypeError):
        raise InvalidArgument(f"points[{i}]: expected an array of shape (K, d)") from None


def _taken(values: Any, rows: IndexArray) -> Any:
    return values[rows] if isinstance(values, np.ndarray) else [values[row] for row in rows.tolist()]


def _is_plain(values: Any) -> bool:
    """Whether rows of it are taken, in any order, at the cost of reading them."""
    return isinstance(values, np.ndarray) or (
        isinstance(values, list | tuple) and all(isinstance(value, np.ndarray) for value in values)
    )


def _means(points: Any, weights: Any) -> npt.NDArray[Any]:
    """Weighted means of the points of each specification, (N, d)."""
    if isinstance(points, np.ndarray) and isinstance(weights, np.ndarray):
        if points.ndim != 3 or weights.shape != points.shape[:2]:
            raise ValueError("no points (N, K, d) with weights (N, K)")
        means: npt.NDArray[Any] = np.matmul(weights[:, None, :], points)[:, 0]
        return means
    return np.stack([np.matmul(some, of) for some, of in zip(weights, points, strict=True)])


def packed_segment(points: Any, weights: Any, gamma: float, ids: IndexArray) -> Segment:
    """A segment of specifications, in memory."""
    packed = kernels.pack(points, weights)
    return Segment(ids, packed, packed.self_inner(gamma=gamma))
