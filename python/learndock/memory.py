"""How much memory calls take: an estimate before, and the bound that they keep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from learndock._core import default_threads
from learndock._validation import positive_integer
from learndock.config import resolve_max_memory, resolve_threads
from learndock.errors import InvalidArgument

__all__ = ["MemoryEstimate", "at_once", "estimate", "mmd2_bytes"]

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")

_DOUBLE, _FLOAT, _SHORT = 8, 4, 2
# Pairs that L-BFGS keeps, each a step and a change of the gradient.
_KEPT_PAIRS = 20
# Up to here a fit compares all pairs of rows; up to here it works in float64; below here herding starts with float32.
_PAIRED_ROWS, _FEW_ROWS, _FEW_DIMS = 3_000, 16_384, 8
# What a dock packs at a time.
_PIECE = 1 << 22
# The points of a segment, and how many specifications are laid near their like.
_SEGMENT, _NEAR_AT_ONCE = 1 << 29, 10_000


def _readable(size: float) -> str:
    """A number of bytes with three digits and a unit, such as 1.23 GB."""
    unit = 0
    while size >= 999.5 and unit + 1 < len(_UNITS):
        size /= 1000
        unit += 1
    return f"{size:.3g} {_UNITS[unit]}"


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """What a call needs, in bytes; made by `estimate`.

    Attributes
    ----------
    inputs : int
        The call's arguments, in the form in which it reads them (float64, mostly): held by the caller, or made by the
        call where they come in another form.
    working : int
        What the call allocates beside them, at its peak. `set_max_memory` bounds it.
    results : int
        What it returns.
    disk : int
        What it reads from files or writes to them: a dock's are mapped, and take memory while there is enough.
    """

    inputs: int
    working: int
    results: int
    disk: int = 0

    @property
    def memory(self) -> int:
        """All that is not on disk."""
        return self.inputs + self.working + self.results

    def __repr__(self) -> str:
        shown = ("inputs", "working", "results", "disk")
        return f"MemoryEstimate({', '.join(f'{name} {_readable(getattr(self, name))}' for name in shown)})"


def at_once(count: int, *, each: int, fixed: int = 0, max_memory: int | None) -> int:
    """How many of `count` like things a call may work on together.

    Parameters
    ----------
    count : int
        At least 1.
    each, fixed : int
        Bytes that each of them takes, and the call beside them.
    max_memory : int, optional
        The caller's argument; None for the setting.

    Raises
    ------
    InvalidArgument
        If not even one has room.
    """
    bound = resolve_max_memory(max_memory)
    if fixed + each > bound:
        raise InvalidArgument(
            f"max_memory: expected at least {fixed + each} ({_readable(fixed + each)}), which this call works with, "
            f"got {bound} ({_readable(bound)})"
        )
    return _together(count, each=each, fixed=fixed, bound=bound)


def _together(count: int, *, each: int, fixed: int, bound: int) -> int:
    return max(1, min(count, (bound - fixed) // each))


def mmd2_bytes(batch: int) -> tuple[int, int]:
    """What `kernels.mmd2` takes for each query, and beside them, against a batch of so many embeddings."""
    # A query has products, their errors' bounds, the bounds' limits, and which of them are beyond; the batch has the
    # norms of its embeddings.
    return (3 * _DOUBLE + 1) * batch, 2 * _DOUBLE * batch


def search_bytes(docked: int) -> tuple[int, int]:
    """What a search takes for each user, and beside them, in a dock of so many specifications."""
    # A user has products and their errors' bounds, distances and theirs; the dock has ids and self products, and ranks
    # are made of one user at a time.
    return 4 * _DOUBLE * docked, 5 * _DOUBLE * docked


def certified_bytes(docked: int, *, chance: bool = False) -> tuple[int, int]:
    """The same for a search by sketches."""
    # A user has places and bounds of what is near, several times while they are put in order and refined, and short
    # bounds of balls; the dock has ids, self products, masks, and a lane for each.
    each = (6 * _DOUBLE + 2 * _FLOAT + _SHORT) * docked
    # Bounds that hold with a chance are made of all that the proven ones leave, which may be all, and put in order.
    return each + (4 * _DOUBLE * docked if chance else 0), 3 * _DOUBLE * docked


def estimate(
    call: str,
    *,
    n: int,
    dim: int = 1,
    n_points: int = 100,
    users: int = 1,
    threads: int | None = None,
    max_memory: int | None = None,
) -> MemoryEstimate:
    """How much memory and disk a call needs, before it is made.

    ================  ==========================================  ========================  =========================
    call              n                                           n_points                  users
    ================  ==========================================  ========================  =========================
    ``"fit"``         rows of the table                           points of the sketch
    ``"ingest"``      specifications                              points of each
    ``"search"``      specifications in the dock                  points of each            specifications that ask
    ``"mmd2"``        embeddings in the batch                     points of each            queries
    ``"herd"``        candidates                                  samples to choose
    ``"mixture"``     candidates of each user                                               users
    ``"simplex_qp"``  problems                                    weights of each
    ================  ==========================================  ========================  =========================

    Parameters
    ----------
    call : str
        One of the table's: `RKMETableSpecification.fit`, `Dock.ingest`, `Dock.search` or `search_many`, or a function
        of `learndock.kernels`.
    n, n_points, users : int
        Counts; the table says of what.
    dim : int, default 1
        Coordinates d of a point. Mixtures and quadratic programs have none.
    threads : int, optional
        As in the call.
    max_memory : int, optional
        As in the call; None for `set_max_memory`, or 1 GiB. A call whose smallest piece of work is larger says so.

    Returns
    -------
    MemoryEstimate
        Right within a factor of 1.5 where it is tens of megabytes or more; the interpreter has some of its own.
        Herding that 16 bits can't decide, or a fit with rows far from the others, takes up to four times as much.
        An ingest of 10,000 specifications or more sketches them before it returns: where that makes a model, its
        training takes up to 300 MB for some time, in docks of 32,768 or more up to 1 GB, and where points are far
        apart in docks of 65,536 or more up to 2 GB.

    Raises
    ------
    InvalidArgument
        If `call` is unknown, or a count is not a positive integer.

    Examples
    --------
    A million specifications of 100 points in 32 dimensions, searched for one user:

    >>> import learndock as ld
    >>> ld.estimate("search", n=1_000_000, dim=32, n_points=100)
    MemoryEstimate(inputs 26.4 kB, working 72 MB, results 64 kB, disk 13.2 GB)
    """
    if not isinstance(call, str) or call not in _CALLS:
        raise InvalidArgument(f"call: expected one of {', '.join(_CALLS)}, got {call!r}")
    counts = {"n": n, "dim": dim, "n_points": n_points, "users": users}
    n, dim, n_points, users = (positive_integer(value, name) for name, value in counts.items())
    sizes = _Sizes(n, dim, n_points, users, resolve_threads(threads) or default_threads())
    return _CALLS[call](sizes, resolve_max_memory(max_memory))


@dataclass(frozen=True, slots=True)
class _Sizes:
    n: int
    dim: int
    n_points: int
    users: int
    threads: int

    @property
    def packed(self) -> int:
        """Bytes of n embeddings in the order in which the kernels read them, with weights and offsets."""
        return self.n * (self.n_points * (self.dim + 1) * _FLOAT + _DOUBLE)

    @property
    def asking(self) -> int:
        """Bytes of the points and weights of all users."""
        return self.users * self.n_points * (self.dim + 1) * _DOUBLE


def _fit(sizes: _Sizes, bound: int) -> MemoryEstimate:
    n, dim, points = sizes.n, sizes.dim, sizes.n_points
    table = n * dim * _DOUBLE
    if n > _PAIRED_ROWS:
        rows = n * (dim * (_FLOAT if n > _FEW_ROWS else _DOUBLE) + _DOUBLE)  # shuffled, and their order
    else:
        rows = n * dim * _DOUBLE + sizes.threads * n * (_DOUBLE + 2 * _FLOAT)  # the data's own norm
    # The descent: what L-BFGS keeps, sums of the data's parts, kernel matrices.
    variables = points * (dim + 1) * _DOUBLE
    descent = variables * (2 * _KEPT_PAIRS + 10) + 8 * variables + 3 * points * points * _DOUBLE
    working = rows + descent if n > _PAIRED_ROWS else max(rows, descent)
    return MemoryEstimate(table, working, variables)


def _ingest(sizes: _Sizes, bound: int) -> MemoryEstimate:
    # A piece at a time: a copy, and the packed one; more packed ones wait to be written. For each specification its
    # number, and where its points and bytes end.
    pieces = 4 * min(sizes.packed, _PIECE) + 3 * _DOUBLE * sizes.n
    if sizes.n >= _NEAR_AT_ONCE:
        # The order in which near ones lie, both ways, and where points and bytes end in it; of a segment's
        # specifications, means and their codes.
        of_segment = min(sizes.n, _SEGMENT // max(1, sizes.packed // sizes.n))
        pieces += 10 * _DOUBLE * sizes.n + 3 * _DOUBLE * sizes.dim * of_segment
    return MemoryEstimate(sizes.packed, pieces, 72 * sizes.n, sizes.packed + 2 * _DOUBLE * sizes.n)


def _search(sizes: _Sizes, bound: int) -> MemoryEstimate:
    each, fixed = search_bytes(sizes.n)
    together = _together(sizes.users, each=each, fixed=fixed, bound=bound)
    disk = sizes.packed + 2 * _DOUBLE * sizes.n
    return MemoryEstimate(sizes.asking, fixed + together * each, 64_000 * sizes.users, disk)


def _mmd2(sizes: _Sizes, bound: int) -> MemoryEstimate:
    each, fixed = mmd2_bytes(sizes.n)
    together = _together(sizes.users, each=each, fixed=fixed, bound=bound)
    return MemoryEstimate(sizes.packed + sizes.asking, fixed + together * each, sizes.users * sizes.n * _DOUBLE)


def _herd(sizes: _Sizes, bound: int) -> MemoryEstimate:
    # Points of 16 bits, and of 32 where they are few coordinates; bounds, what they rise by, and where they are exact.
    point = sizes.dim * _FLOAT if sizes.dim < _FEW_DIMS else 2 * (sizes.dim + sizes.dim % 2)
    working = sizes.n * (point + 3 * _DOUBLE)
    return MemoryEstimate(sizes.n * (sizes.dim + 1) * _DOUBLE, working, sizes.n_points * _DOUBLE)


def _mixture(sizes: _Sizes, bound: int) -> MemoryEstimate:
    inputs = sizes.users * (sizes.n**2 + sizes.n + 1) * _DOUBLE
    return MemoryEstimate(inputs, _factors(sizes.n, sizes.threads), sizes.users * (sizes.n + 1) * _DOUBLE)


def _factors(size: int, threads: int) -> int:
    """Bytes that threads solve quadratic programs of a size in."""
    return threads * 4 * size**2 * _DOUBLE


def _simplex_qp(sizes: _Sizes, bound: int) -> MemoryEstimate:
    matrices = sizes.n * sizes.n_points**2 * _DOUBLE
    vectors = sizes.n * sizes.n_points * _DOUBLE
    return MemoryEstimate(matrices + vectors, _factors(sizes.n_points, sizes.threads), vectors + 2 * sizes.n * _DOUBLE)


_CALLS: dict[str, Callable[[_Sizes, int], MemoryEstimate]] = {
    "fit": _fit,
    "ingest": _ingest,
    "search": _search,
    "mmd2": _mmd2,
    "herd": _herd,
    "mixture": _mixture,
    "simplex_qp": _simplex_qp,
}
