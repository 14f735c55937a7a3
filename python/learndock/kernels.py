"""The kernels: inner products and MMD in batches, weights on a simplex, reduced sets, herding, mixtures.

Everything takes NumPy arrays, tensors or lists, checks them, and calls the compiled core once. k(x, y) is always
exp(-gamma ||x - y||^2). Results do not depend on the number of threads.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from learndock import _core
from learndock._seeding import spread_rows
from learndock._validation import (
    LARGEST_COUNT,
    as_array,
    embedding,
    finite,
    finite_float64,
    float64,
    limit,
    positive_gamma,
    positive_integer,
    random_generator,
)
from learndock._validation import (
    offsets as checked_offsets,
)
from learndock.config import resolve_threads
from learndock.errors import InvalidArgument, SpecificationMismatch
from learndock.memory import at_once, mmd2_bytes

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]
    IndexArray = npt.NDArray[np.int64]

__all__ = [
    "PackedEmbeddings",
    "ReducedSet",
    "embed",
    "fit_reduced_set",
    "herd",
    "herd_data",
    "herd_many",
    "inner",
    "instruction_sets",
    "local_losses",
    "mixture",
    "mmd2",
    "pack",
    "simplex_qp",
    "top_k",
]

Precision = Literal["float32", "float64"]
MixtureRule = Literal["distance", "greedy", "auto"]
WeightRule = Literal["nonnegative", "simplex", "free"]

# Error bound of a float32 product, as a share of ||P|| ||Q||, above which float64 is used. The bound is for the worst
# case, some fifty times what is measured.
_WEAKEST_FLOAT32 = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class PackedEmbeddings:
    """Many embeddings in the order in which the kernels read them; made by `pack`.

    Attributes
    ----------
    tiles : ndarray of float32 or float64, shape (ceil(P / 16), d, 16)
        The points of all embeddings, one after the other, 16 to a tile.
    weights : ndarray, shape (P,), dtype of `tiles`
    offsets : ndarray of int64, shape (N + 1,)
        Embedding i owns the points offsets[i] to offsets[i + 1] - 1.
    """

    tiles: npt.NDArray[Any]
    weights: npt.NDArray[Any]
    offsets: IndexArray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def dim(self) -> int:
        """Number of coordinates d of a point."""
        return int(self.tiles.shape[1])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Float32 or float64."""
        return self.tiles.dtype

    def embedding(self, index: int) -> tuple[FloatArray, FloatArray]:
        """Points (K, d) and weights (K,) of one embedding, as float64."""
        if not 0 <= index < len(self):
            raise InvalidArgument(f"index: expected 0 to {len(self) - 1}, got {index}")
        begin, end = int(self.offsets[index]), int(self.offsets[index + 1])
        return _core.unpack_points(self.tiles, begin, end), self.weights[begin:end].astype(np.float64)

    def self_inner(self, *, gamma: float, threads: int | None = None) -> FloatArray:
        """<P, P> of every embedding, in float64. Shape (N,)."""
        return _core.self_inner_products(
            self.tiles, self.weights, self.offsets, positive_gamma(gamma), resolve_threads(threads)
        )


@dataclass(frozen=True, slots=True, eq=False)
class ReducedSet:
    """What `fit_reduced_set` found.

    Attributes
    ----------
    points : ndarray of float64, shape (K, d)
    weights : ndarray of float64, shape (K,)
    mmd2 : float
        Squared MMD between the reduced set and the data. Up to n = 3,000 over all pairs of rows. Above, <mu_X, mu_X>
        is an unbiased estimate from 10^7 pairs of rows or more, with what the points explain of the kernel as a control
        variate, which takes less than a tenth of the fit. Measured on Gaussian clusters in d 8 and 32, K = 100,
        its standard error is 1 % of an `mmd2` of 5e-4, 5 % of one of 5e-5 and 7 % of one of 2e-7. It moves the root of
        `mmd2` by 4 % of sqrt(1/n) at most, by which samples of n rows are apart anyway.
    mmd2_error : float
        Standard error of `mmd2`; 0 where it is over all pairs.
    evaluations : int
        Passes over all rows: how often the objective and its gradient were evaluated, where an evaluation over a sample
        of the rows counts as the share of the rows that it saw. Rounded up.
    """

    points: FloatArray
    weights: FloatArray
    mmd2: float
    mmd2_error: float
    evaluations: int


def pack(
    points: Any, weights: Any, *, offsets: Any = None, dtype: Precision | type[np.floating[Any]] = "float32"
) -> PackedEmbeddings:
    """Bring many embeddings into the order in which the kernels read them.

    Parameters
    ----------
    points : array of shape (N, K, d), list of arrays (K_i, d), or, with `offsets`, array of shape (P, d)
    weights : array of shape (N, K), list of arrays (K_i,), or, with `offsets`, array of shape (P,)
        Any sign, any sum.
    offsets : array of int, shape (N + 1,), optional
        Starts of the embeddings in stacked points.
    dtype : {"float32", "float64"}, default "float32"
        What the points are stored in. float32 is what a dock holds.

    Returns
    -------
    PackedEmbeddings

    Raises
    ------
    InvalidArgument
        For wrong shapes, differing dimensions, NaN or infinity, or values outside float32's range.

    Examples
    --------
    Two embeddings, of two points and of one.

    >>> from learndock import kernels
    >>> packed = kernels.pack([[[0.0], [1.0]], [[5.0]]], [[0.5, 0.5], [1.0]])
    >>> len(packed), packed.dim, packed.offsets.tolist()
    (2, 1, [0, 2, 3])
    """
    scalar = _scalar(dtype)
    if offsets is not None:
        z = as_array(points, "points")
        beta = as_array(weights, "weights")
        if z.ndim != 2 or z.size == 0 or beta.shape != z.shape[:1]:
            raise InvalidArgument(
                f"points, weights: expected shapes (P, d) and (P,) with offsets, got {z.shape} and {beta.shape}"
            )
        starts = checked_offsets(offsets, len(z))
    else:
        z, beta, starts = _stack(points, weights)
    narrow_z, narrow_beta = _cast(z, "points", scalar), _cast(beta, "weights", scalar)
    return PackedEmbeddings(_core.pack_points(narrow_z), narrow_beta, starts)


def _scalar(dtype: Any) -> np.dtype[Any]:
    for scalar in (np.dtype(np.float32), np.dtype(np.float64)):
        with contextlib.suppress(TypeError):
            if scalar == dtype:
                return scalar
    raise InvalidArgument(f"dtype: expected float32 or float64, got {dtype!r}")


def _stack(points: Any, weights: Any) -> tuple[npt.NDArray[Any], npt.NDArray[Any], IndexArray]:
    """Points (P, d), weights (P,) and starts of a batch given as (N, K, d) or as a list of (K_i, d)."""
    if not isinstance(points, list | tuple):
        z, beta = as_array(points, "points"), as_array(weights, "weights")
        if z.ndim != 3 or z.size == 0 or beta.shape != z.shape[:2]:
            raise InvalidArgument(
                f"points, weights: expected shapes (N, K, d) and (N, K), got {z.shape} and {beta.shape}"
            )
        starts = np.arange(len(z) + 1, dtype=np.int64) * z.shape[1]
        return z.reshape(-1, z.shape[2]), beta.reshape(-1), starts
    if not isinstance(weights, Sequence | np.ndarray):
        raise InvalidArgument(f"weights: expected a list of arrays as points are, got {type(weights).__name__}")
    if not len(points) or len(points) != len(weights):
        raise InvalidArgument(
            f"points, weights: expected lists of one length above 0, got {len(points)}, {len(weights)}"
        )
    arrays = [as_array(array, f"points[{i}]") for i, array in enumerate(points)]
    betas = [as_array(array, f"weights[{i}]") for i, array in enumerate(weights)]
    for i, (array, beta_i) in enumerate(zip(arrays, betas, strict=True)):
        if array.ndim != 2 or array.size == 0 or array.shape[1] != arrays[0].shape[1]:
            raise InvalidArgument(
                f"points[{i}]: expected shape (K, d) with the d of points[0], {arrays[0].shape}, got {array.shape}"
            )
        if beta_i.shape != array.shape[:1]:
            raise InvalidArgument(f"weights[{i}]: expected shape {array.shape[:1]}, got {beta_i.shape}")
    starts = np.concatenate([[0], np.cumsum([len(array) for array in arrays])]).astype(np.int64)
    return np.concatenate(arrays), np.concatenate(betas), starts


def _cast(array: npt.NDArray[Any], name: str, scalar: np.dtype[Any]) -> npt.NDArray[Any]:
    finite(array, name)
    with np.errstate(over="ignore"):
        cast = np.array(array, dtype=scalar, order="C")  # a copy: the batch must not change with the caller's array
    if not np.isfinite(cast).all():
        raise InvalidArgument(f"{name}: expected magnitudes within {scalar}'s range, got {np.abs(array).max():g}")
    return cast


def _as_pairs(queries: Any) -> list[tuple[FloatArray, FloatArray]]:
    if isinstance(queries, PackedEmbeddings):
        return [queries.embedding(i) for i in range(len(queries))]
    if not isinstance(queries, Sequence) or not queries:
        raise InvalidArgument(f"queries: expected PackedEmbeddings or pairs (points, weights), got {type(queries)}")
    pairs = []
    for i, pair in enumerate(queries):
        if not isinstance(pair, Sequence) or len(pair) != 2:
            raise InvalidArgument(f"queries[{i}]: expected a pair (points, weights), got {type(pair)}")
        pairs.append(embedding(*pair, names=(f"queries[{i}] points", f"queries[{i}] weights")))
    return pairs


def _require_dim(got: int, expected: int, name: str) -> None:
    if got != expected:
        raise SpecificationMismatch(f"{name}: expected points of {expected} coordinates, got {got}")


@overload
def inner(
    points: Any,
    weights: Any,
    other_points: Any,
    other_weights: Any,
    *,
    gamma: float,
    offsets: None = None,
    other_offsets: None = None,
    threads: int | None = None,
) -> float: ...


@overload
def inner(
    points: Any,
    weights: Any,
    other_points: Any,
    other_weights: Any,
    *,
    gamma: float,
    offsets: Any = None,
    other_offsets: Any = None,
    threads: int | None = None,
) -> FloatArray: ...


def inner(
    points: Any,
    weights: Any,
    other_points: Any,
    other_weights: Any,
    *,
    gamma: float,
    offsets: Any = None,
    other_offsets: Any = None,
    threads: int | None = None,
) -> float | FloatArray:
    """Inner products of embeddings, in float64.

    <P, Q> = sum_ij a_i b_j exp(-gamma ||x_i - y_j||^2)

    Parameters
    ----------
    points, other_points : array of shape (P, d)
        Float32 input is widened; nothing is narrowed.
    weights, other_weights : array of shape (P,)
    gamma : float
        Positive.
    offsets, other_offsets : array of int, shape (N + 1,), optional
        Where a side holds several embeddings stacked: their starts. See `pack`.
    threads : int, optional
        Default: `learndock.set_threads`, OMP_NUM_THREADS, or all processors.

    Returns
    -------
    float, or ndarray of shape (N, M) where either side has offsets

    Raises
    ------
    InvalidArgument
        For wrong shapes, NaN or infinity, or gamma <= 0.
    SpecificationMismatch
        If the two sides have different d.

    Examples
    --------
    Two single points at distance 1 with gamma = 1: exp(-1).

    >>> from learndock import kernels
    >>> round(kernels.inner([[0.0]], [1.0], [[1.0]], [1.0], gamma=1.0), 6)
    0.367879
    """
    gamma = positive_gamma(gamma)
    z, beta = embedding(points, weights)
    other_z, other_beta = embedding(other_points, other_weights, names=("other_points", "other_weights"))
    _require_dim(other_z.shape[1], z.shape[1], "other_points")
    starts = checked_offsets([0, len(z)] if offsets is None else offsets, len(z))
    other_starts = checked_offsets(
        [0, len(other_z)] if other_offsets is None else other_offsets, len(other_z), "other_offsets"
    )
    spans = list(itertools.pairwise(starts))
    products = _core.inner_products(
        [z[begin:end] for begin, end in spans],
        [beta[begin:end] for begin, end in spans],
        _core.pack_points(other_z),
        other_beta,
        other_starts,
        gamma,
        resolve_threads(threads),
    )
    return float(products[0, 0]) if offsets is None and other_offsets is None else products


def mmd2(
    queries: Any,
    packed: PackedEmbeddings,
    *,
    gamma: float,
    precision: Precision = "float32",
    threads: int | None = None,
    max_memory: int | None = None,
) -> FloatArray:
    """Squared MMD of many embeddings against many.

    ||mu_P - mu_Q||^2 = <P, P> - 2 <P, Q> + <Q, Q>   (Gretton et al., JMLR 2012, Lemma 6)

    Parameters
    ----------
    queries : PackedEmbeddings, or sequence of Q pairs (points (K, d), weights (K,))
    packed : PackedEmbeddings
        N embeddings, as `pack` returns them.
    gamma : float
        Positive.
    precision : {"float32", "float64"}, default "float32"
        Arithmetic of the Q x N products <P, Q>; the self products and all sums over points are float64. float32 needs
        a batch packed in float32; its error is about 1e-7 of sum |a_i b_j k|, and products whose bound is above 1e-3 of
        ||P|| ||Q|| (points far apart, say) are computed again in float64.
    threads : int, optional
    max_memory : int, optional
        Bytes to work with beside arguments and result: so many queries are taken at a time. Default:
        `learndock.set_max_memory`, or 1 GiB.

    Returns
    -------
    ndarray of float64, shape (Q, N)
        Not clamped: rounding can leave a distance of 0 a little below 0.

    Raises
    ------
    InvalidArgument
        For wrong shapes, NaN or infinity, gamma <= 0, float32 asked of a float64 batch, or a `max_memory` in which not
        one query has room.
    SpecificationMismatch
        If the queries and the batch have different d.

    Examples
    --------
    A point against itself and against one at distance 1, with gamma = 1: 1 - 2 + 1 and 1 - 2/e + 1.

    >>> from learndock import kernels
    >>> packed = kernels.pack([[[0.0]], [[1.0]]], [[1.0], [1.0]])
    >>> kernels.mmd2([([[0.0]], [1.0])], packed, gamma=1.0).round(5).tolist()
    [[0.0, 1.26424]]
    """
    gamma = positive_gamma(gamma)
    count = resolve_threads(threads)
    if not isinstance(packed, PackedEmbeddings):
        raise InvalidArgument(f"packed: expected PackedEmbeddings (from pack), got {type(packed)}")
    pairs = _as_pairs(queries)
    for i, (z, _) in enumerate(pairs):
        _require_dim(z.shape[1], packed.dim, f"queries[{i}]")
    if precision not in ("float32", "float64"):
        raise InvalidArgument(f'precision: expected "float32" or "float64", got {precision!r}')
    if precision == "float32" and packed.dtype != np.float32:
        raise InvalidArgument("precision: float32 needs embeddings packed in float32, got float64")
    each, fixed = mmd2_bytes(len(packed))
    step = at_once(len(pairs), each=each, fixed=fixed, max_memory=max_memory)
    query_self = np.array([inner(z, beta, z, beta, gamma=gamma, threads=count or None) for z, beta in pairs])
    packed_self = packed.self_inner(gamma=gamma, threads=threads)
    norms = np.sqrt(np.maximum(packed_self, 0))  # rounding may leave a norm of 0 a little below 0
    distances = np.empty((len(pairs), len(packed)))
    for begin in range(0, len(pairs), step):
        block = slice(begin, begin + step)
        if precision == "float32":
            limits = _WEAKEST_FLOAT32 * np.sqrt(np.maximum(query_self[block], 0))
            products = _products_float32(pairs[block], packed, gamma, limits, norms, count)
        else:
            products = _core.inner_products(
                [z for z, _ in pairs[block]],
                [beta for _, beta in pairs[block]],
                packed.tiles,
                packed.weights,
                packed.offsets,
                gamma,
                count,
            )
        products *= -2
        np.add(query_self[block, None], products, out=distances[block])
        distances[block] += packed_self
    return distances


def _products_float32(
    pairs: Sequence[tuple[FloatArray, FloatArray]],
    packed: PackedEmbeddings,
    gamma: float,
    limits: FloatArray,
    norms: FloatArray,
    threads: int,
) -> FloatArray:
    """<P, Q> in float32, and in float64 where the error's bound is above limits[P] norms[Q]."""
    batch = (packed.tiles, packed.weights, packed.offsets)
    prepared = [_core.PreparedQuery(z, beta, gamma) for z, beta in pairs]
    products, errors = _core.inner_products_float(prepared, *batch, threads)
    weak = errors > np.outer(limits, norms)
    embeddings = _core.EmbeddingSet([batch])
    for i in np.flatnonzero(weak.any(axis=1)).tolist():
        chosen = np.flatnonzero(weak[i])
        z, beta = pairs[i]
        asking = np.zeros(len(chosen), dtype=np.int64)
        products[i, chosen] = _core.chosen_inner_products([z], [beta], embeddings, asking, chosen, gamma, threads)
    return products


def embed(points: Any, weights: Any, at: Any, *, gamma: float, threads: int | None = None) -> FloatArray:
    """Values of an embedding at given rows, in float64.

    mu(x) = sum_j weights[j] exp(-gamma ||points[j] - x||^2)

    Parameters
    ----------
    points : array of shape (K, d)
    weights : array of shape (K,)
    at : array of shape (n, d)
    gamma : float
        Positive.
    threads : int, optional

    Returns
    -------
    ndarray of float64, shape (n,)

    Raises
    ------
    InvalidArgument
        For wrong shapes, NaN or infinity, or gamma <= 0.
    SpecificationMismatch
        If the points and the rows have different d.

    Examples
    --------
    A point of weight 2, seen at distances 0 and 1 with gamma = 1: 2 and 2/e.

    >>> from learndock import kernels
    >>> kernels.embed([[0.0]], [2.0], [[0.0], [1.0]], gamma=1.0).round(6).tolist()
    [2.0, 0.735759]
    """
    z, beta = embedding(points, weights)
    rows = finite_float64(at, "at", ndim=2)
    _require_dim(rows.shape[1], z.shape[1], "at")
    return _core.embed_points(z, beta, rows, positive_gamma(gamma), resolve_threads(threads))


def local_losses(
    X: Any,
    sketches: Sequence[tuple[Any, Any, Any, Any]],
    *,
    gamma: float,
    threads: int | None = None,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """What models lose near each row, by kernel regression of the losses seen at the points of sketches.

    With the kernel at four times gamma, k(x, z)^4, as the smoother (Nadaraya and Watson, 1964), model i loses about
    losses_i(x) / masses_i(x) near x:

        losses_i(x) = sum_jp s_jp k(x, z_jp)^4 e_i(j, p),   masses_i(x) = sum_jp s_jp k(x, z_jp)^4

    over the sketches j on which model i was tried; and of the same kernel values mu_j(x) = sum_p w_jp k(x, z_jp).

    Parameters
    ----------
    X : array of shape (n, d)
    sketches : sequence of J tuples (points, weights, shares, losses)
        Points z_j, shape (K_j, d); weights w_j of the embedding, (K_j,), any sign; shares s_j, (K_j,), none negative;
        losses e(j), (K_j, I), finite or, in the whole column of a model that was not tried on this sketch, NaN.
    gamma : float
        Positive: that of the embeddings.
    threads : int, optional

    Returns
    -------
    losses, masses : ndarray of float64, shape (n, I)
    embeddings : ndarray of float64, shape (n, J)
        Computed in float32 around the rows' centroid; relative error about 1e-5 of sums of absolute terms while
        gamma ||x||^2 is below 10^4 there. Where k(x, z) is below 1e-9 its fourth power is 0.

    Raises
    ------
    InvalidArgument
        For no sketches, wrong shapes, infinite or partly missing losses, negative shares, or gamma <= 0.
    SpecificationMismatch
        If points and rows have different d.

    Examples
    --------
    One sketch of one point at distance 0 and 1 of two rows; two models, of which the second was not tried.

    >>> from learndock import kernels
    >>> sketch = ([[0.0]], [1.0], [1.0], [[3.0, np.nan]])
    >>> losses, masses, embeddings = kernels.local_losses([[0.0], [1.0]], [sketch], gamma=0.25)
    >>> losses.round(4).tolist(), masses.round(4).tolist(), embeddings.round(4).tolist()
    ([[3.0, 0.0], [1.1036, 0.0]], [[1.0, 0.0], [0.3679, 0.0]], [[1.0], [0.7788]])
    """
    rows = finite_float64(X, "X", ndim=2)
    if not isinstance(sketches, Sequence) or not sketches:
        raise InvalidArgument("sketches: expected a sequence of at least one")
    checked = []
    for j, entry in enumerate(sketches):
        name = f"sketches[{j}]"
        if len(entry) != 4:
            raise InvalidArgument(f"{name}: expected points, weights, shares and losses, got {len(entry)} parts")
        z, w = embedding(entry[0], entry[1])
        _require_dim(rows.shape[1], z.shape[1], f"{name} points")
        shares = finite_float64(entry[2], f"{name} shares", ndim=1)
        losses = float64(entry[3], f"{name} losses", ndim=2)
        missing = np.isnan(losses)
        if shares.shape != w.shape or len(losses) != len(w) or losses.shape[1:] != np.shape(sketches[0][3])[1:]:
            raise InvalidArgument(
                f"{name}: expected shares and losses of its {len(w)} points, of as many models as the first, "
                f"got shapes {shares.shape} and {losses.shape}"
            )
        if (shares < 0).any() or np.isinf(losses).any() or (missing.any(0) != missing.all(0)).any():
            raise InvalidArgument(f"{name}: expected shares >= 0 and finite losses, or NaN in a model's whole column")
        checked.append((z, w, shares, np.ascontiguousarray(losses)))
    return _core.local_losses(rows, checked, positive_gamma(gamma), resolve_threads(threads))


def simplex_qp(K: Any, c: Any, *, threads: int | None = None) -> tuple[FloatArray, float | FloatArray]:
    """Weights on the simplex: minimise 1/2 w' K w - c' w with w >= 0, sum w = 1.

    Parameters
    ----------
    K : array of shape (n, n), or (B, n, n) for B problems
        Symmetric, positive semidefinite; singular is fine (the weights may then not be unique).
    c : array of shape (n,) or (B, n)
    threads : int, optional

    Returns
    -------
    weights : ndarray of float64, shape (n,) or (B, n)
    objective : float, or ndarray of shape (B,)

    Raises
    ------
    InvalidArgument
        For wrong shapes, NaN or infinity, or a K that is not symmetric or not semidefinite.

    Notes
    -----
    With g = K w - c, every g_i with w_i > 0 is equal, and none is smaller, up to 1e-9 of the largest entry of K plus
    that of c: also where K is singular. Of many solutions it tends to the one of least norm: equal columns share.

    References
    ----------
    Wu et al., TKDE 2023, equation 9; block principal pivoting after Judice & Pires 1994, then an active set after
    Lawson & Hanson 1974 (see cpp/include/learndock/simplex_qp.hpp).

    Examples
    --------
    With K the identity and c = (1, 0) the minimum is the corner (1, 0).

    >>> from learndock import kernels
    >>> weights, objective = kernels.simplex_qp([[1.0, 0.0], [0.0, 1.0]], [1.0, 0.0])
    >>> weights.tolist(), objective
    ([1.0, 0.0], -0.5)
    """
    matrix, vector = float64(K, "K"), float64(c, "c")
    single = matrix.ndim == 2
    batch, vectors = (matrix[None], vector[None]) if single else (matrix, vector)
    if batch.ndim != 3 or batch.shape[1] != batch.shape[2] or vectors.shape != batch.shape[:2]:
        finite(matrix, "K")
        finite(vector, "c")
        raise InvalidArgument(
            f"K, c: expected shapes (n, n) and (n,), or (B, n, n) and (B, n); got {np.shape(K)} and {np.shape(c)}"
        )
    weights, objective, residual = _core.simplex_qp(batch, vectors, resolve_threads(threads))
    if not np.isfinite(residual).all():
        # The core looks at the numbers while they are in the cache, and leaves it to us to say what is wrong with them.
        finite(matrix, "K")
        finite(vector, "c")
        invalid, indefinite = np.flatnonzero(np.isnan(residual)), np.flatnonzero(np.isinf(residual))
        if invalid.size:
            which, wrong = ("" if single else f" of problem {invalid[0]}"), batch[invalid[0]]
            raise InvalidArgument(
                f"K: expected a symmetric matrix, got entries{which} that differ from their twins by "
                f"{np.abs(wrong - wrong.T).max():g}"
            )
        which = "" if single else f" in problem {indefinite[0]}"
        raise InvalidArgument(f"K: expected a positive semidefinite matrix, got one that is not{which}")
    return (weights[0], float(objective[0])) if single else (weights, objective)


def herd(
    candidates: Any,
    mean: Any,
    *,
    n: int,
    gamma: float,
    replace: bool = True,
    threads: int | None = None,
) -> IndexArray:
    """Kernel herding: choose n of the candidates so that they follow an embedding.

    x_{t+1} = argmax_x  mu(x) - 1/(t+1) sum_{s <= t} k(x_s, x)   (Chen, Welling & Smola, UAI 2010, equation 8)

    Parameters
    ----------
    candidates : array of shape (N, d)
    mean : array of shape (N,)
        mu(x) of the embedding at each candidate.
    n : int
        Samples to choose; at most N without replacement.
    gamma : float
        Positive.
    replace : bool, default True
        Whether a candidate may be chosen again.
    threads : int, optional

    Returns
    -------
    ndarray of int64, shape (n,)
        Indices in the order of choice; ties go to the lower index. The first m of n are the herd of m.

    Raises
    ------
    InvalidArgument
        For wrong shapes, NaN or infinity, gamma <= 0, or n > N without replacement.

    Notes
    -----
    A step reads every candidate once: n N d operations in all, however many were chosen before. Points are read as
    int16 or float32 and only candidates that may be the best are looked at in float64, with proven bounds: what is
    chosen is what float64 alone would choose. Memory beside the arguments is about (2 or 4) N d + 28 N bytes, and
    8 N d where many candidates are all but equal.

    Examples
    --------
    Three strangers with mu = (3/4, 1/2, 1/4): the first; then mu - 1/2 k(x_1, .) = (1/4, 1/2, 1/4), the second; then
    mu - 1/3 (k(x_1, .) + k(x_2, .)) = (5/12, 1/6, 1/4), the first again.

    >>> from learndock import kernels
    >>> kernels.herd([[0.0], [100.0], [200.0]], [0.75, 0.5, 0.25], n=3, gamma=1.0).tolist()
    [0, 1, 0]
    """
    x, mu, count = _herding(candidates, mean, n, replace)
    precision = _core.HerdingPrecision.automatic
    return _core.herd(x, mu, count, positive_gamma(gamma), bool(replace), precision, resolve_threads(threads))


def herd_many(
    candidates: Any,
    means: Any,
    *,
    n: int | Sequence[int],
    gamma: float,
    replace: bool = True,
    threads: int | None = None,
) -> list[IndexArray]:
    """Many herdings in one call: what `herd` chooses for each embedding, side by side in the threads.

    Parameters
    ----------
    candidates : list of M arrays of shape (N_i, d_i), array of shape (M, N, d), or array of shape (N, d)
        The candidates of each embedding; (N, d): all have the same.
    means : list of M arrays of shape (N_i,), or array of shape (M, N)
        mu_i(x) at each of its candidates.
    n : int, or sequence of M ints
        Samples to choose for all, or for each.
    gamma : float
        Positive.
    replace : bool, default True
        Whether a candidate may be chosen again by the same embedding.
    threads : int, optional

    Returns
    -------
    list of M ndarrays of int64, shape (n_i,)
        See `herd`.

    Raises
    ------
    InvalidArgument
        For lists of different lengths, and as `herd` for each.

    Examples
    --------
    Three strangers as candidates of two embeddings: see `herd` for the first; the second looks the other way round.

    >>> from learndock import kernels
    >>> x = np.array([[0.0], [100.0], [200.0]])
    >>> [h.tolist() for h in kernels.herd_many(x, [[0.75, 0.5, 0.25], [0.25, 0.5, 0.75]], n=[3, 2], gamma=1.0)]
    [[0, 1, 0], [2, 1]]
    """
    mus = _each(means, "means")
    if isinstance(candidates, list | tuple) or np.ndim(candidates) != 2:
        sets = _each(candidates, "candidates")
    else:
        sets = [finite_float64(candidates, "candidates", ndim=2)] * len(mus)
    many = isinstance(n, list | tuple) or np.ndim(n) == 1
    counts = list(n) if many else [positive_integer(n, "n", most=LARGEST_COUNT)] * len(mus)  # type: ignore[arg-type]
    if not len(sets) == len(mus) == len(counts):
        raise InvalidArgument(
            f"candidates, means, n: expected as many of each, got {len(sets)}, {len(mus)} and {len(counts)}"
        )
    problems = [
        _herding(x, mu, count, replace, f"[{i}]")
        for i, (x, mu, count) in enumerate(zip(sets, mus, counts, strict=True))
    ]
    return _core.herd_many(
        [x for x, _, _ in problems],
        [mu for _, mu, _ in problems],
        [count for _, _, count in problems],
        positive_gamma(gamma),
        bool(replace),
        resolve_threads(threads),
    )


def herd_data(
    X: Any,
    *,
    n: int,
    gamma: float,
    replace: bool = False,
    threads: int | None = None,
) -> IndexArray:
    """Kernel herding of data: choose n rows that follow the embedding of all rows.

    `herd` with the rows as candidates and mu(x) = 1/N sum_i k(x_i, x). The embedding at all rows takes N^2 kernel
    values in float64, which is most of the time where n is far below N; memory is O(N d).

    Parameters
    ----------
    X : array of shape (N, d)
        Finite. Only read.
    n : int
        Rows to choose; at most N without replacement.
    gamma : float
        Positive.
    replace : bool, default False
        Whether a row may be chosen again.
    threads : int, optional

    Returns
    -------
    ndarray of int64, shape (n,)
        Indices of rows in the order of choice; ties go to the lower index.

    Raises
    ------
    InvalidArgument
        For wrong shapes, NaN or infinity, gamma <= 0, or n > N without replacement.

    References
    ----------
    Chen, Welling & Smola, UAI 2010, equation 8; section 4.2 there chooses among data as this does.

    Examples
    --------
    Two of three rows lie at 0: one of those first, then the one far away.

    >>> from learndock import kernels
    >>> kernels.herd_data([[100.0], [0.0], [0.0]], n=2, gamma=1.0).tolist()
    [1, 0]
    """
    rows = finite_float64(X, "X", ndim=2)
    count = _herd_size(n, len(rows), replace, "rows of X")
    mean = embed(rows, np.full(len(rows), 1 / len(rows)), rows, gamma=gamma, threads=threads)
    return herd(rows, mean, n=count, gamma=gamma, replace=replace, threads=threads)


def _each(value: Any, name: str) -> list[Any]:
    """The arrays of a list, or of an array's first axis."""
    arrays = value if isinstance(value, list | tuple) else as_array(value, name)
    if (not isinstance(arrays, list | tuple) and arrays.ndim == 0) or not len(arrays):
        raise InvalidArgument(f"{name}: expected a list of at least one array, got {value!r}")
    return list(arrays)


def _herding(candidates: Any, mean: Any, n: Any, replace: bool, which: str = "") -> tuple[FloatArray, FloatArray, int]:
    """The arrays and the size of one herding; `which` says which of many."""
    name = f"means{which}" if which else "mean"
    x = finite_float64(candidates, f"candidates{which}", ndim=2)
    mu = finite_float64(mean, name, ndim=1)
    if len(x) != len(mu):
        raise InvalidArgument(f"{name}: expected one value for each of the {len(x)} candidates, got {len(mu)}")
    return x, mu, _herd_size(n, len(x), replace, "candidates", f"n{which}")


def _herd_size(n: Any, most: int, replace: bool, what: str, name: str = "n") -> int:
    count = positive_integer(n, name, most=LARGEST_COUNT)
    if not replace and count > most:
        raise InvalidArgument(f"{name}: expected at most {most} (the {what}) without replacement, got {count}")
    return count


def fit_reduced_set(
    X: Any,
    *,
    n_points: int = 100,
    gamma: float = 0.1,
    random_state: int | np.random.Generator | None = None,
    weights: WeightRule = "nonnegative",
    max_evaluations: int = 80,
    threads: int | None = None,
) -> ReducedSet:
    """Fit K points and weights whose embedding is close to that of the data.

    minimise || 1/n sum_i k(x_i, .) - sum_j beta_j k(z_j, .) ||^2 over z and beta together, by L-BFGS.
    It starts from rows that lie apart (k-means++).

    Above n = 16,384 most steps are taken on a random sample of the rows, 8,192 or n / 12 of them, and the last sixth on
    all, in float32 around the mean of the rows where that is exact enough (kernel values to 1e-5). Memory is
    O(n d + K d + K^2).

    Parameters
    ----------
    X : array of shape (n, d)
        Finite. Only read.
    n_points : int, default 100
        K, at most n.
    gamma : float, default 0.1
    random_state : int or numpy.random.Generator, optional
        Chooses the rows to start from and the sample.
    weights : {"nonnegative", "simplex", "free"}, default "nonnegative"
        nonnegative: beta >= 0, with the sum that fits best. simplex: beta >= 0, sum 1. free: any real numbers.
    max_evaluations : int, default 80
        Limit on passes over all rows, each an evaluation of the objective with its gradient: about 6 n K d flops.
        Above n = 16,384 the limit is 2 max_evaluations on the sample and max_evaluations / 6 on all rows.
    threads : int, optional

    Returns
    -------
    ReducedSet

    Raises
    ------
    InvalidArgument
        For wrong shapes, NaN or infinity, gamma <= 0, n_points < 1 or > n, or an unknown rule.

    References
    ----------
    Wu et al., TKDE 2023 (RKME). Differs from `learnware` in that points and weights move together.

    Examples
    --------
    Two rows at 0 and one far away: two points stand for them without loss, with 2/3 and 1/3 of the weight.

    >>> from learndock import kernels
    >>> reduced = kernels.fit_reduced_set([[0.0], [0.0], [100.0]], n_points=2, gamma=1.0, random_state=0)
    >>> sorted(zip(reduced.points[:, 0].round(4).tolist(), reduced.weights.round(4).tolist()))
    [(0.0, 0.6667), (100.0, 0.3333)]
    """
    rows = finite_float64(X, "X", ndim=2)
    count = positive_integer(n_points, "n_points")
    if count > len(rows):
        raise InvalidArgument(f"n_points: expected at most {len(rows)} (the rows of X), got {count}")
    budget = limit(max_evaluations, "max_evaluations")
    rule = _member(_core.WeightRule, weights, "weights")
    gamma = positive_gamma(gamma)
    generator = random_generator(random_state)
    start = spread_rows(rows, count, gamma=gamma, generator=generator)
    seed = int(generator.integers(2**63))
    return ReducedSet(*_core.fit_reduced_set(rows, start, gamma, rule, budget, seed, resolve_threads(threads)))


def require_weight_rule(weights: Any) -> None:
    """Raise InvalidArgument where `weights` is no rule of `fit_reduced_set`."""
    _member(_core.WeightRule, weights, "weights")


def _member(rules: Any, value: Any, name: str) -> Any:
    """The core's enumerator of a rule given by name."""
    members: dict[str, Any] = rules.__members__
    if not isinstance(value, str) or value not in members:
        raise InvalidArgument(f"{name}: expected one of {', '.join(members)}, got {value!r}")
    return members[value]


def mixture(
    gram: Any,
    cross: Any,
    self_inner: Any,
    *,
    rule: MixtureRule = "distance",
    size: int = 20,
    threads: int | None = None,
) -> tuple[FloatArray, float | FloatArray]:
    """Weights of a mixture of learnwares for a user, from inner products alone.

    ||sum_i w_i mu_i - mu_u||^2 = w' gram w - 2 cross' w + self_inner

    Parameters
    ----------
    gram : array of shape (m, m), or (U, m, m) for U users
        <mu_i, mu_j> of the candidates.
    cross : array of shape (m,) or (U, m)
        <mu_i, mu_u>.
    self_inner : float, or array of shape (U,)
        <mu_u, mu_u>.
    rule : {"distance", "greedy", "auto"}, default "distance"
        distance: the `size` nearest with w_i ~ (1 + d_i / d_(5))^-4, d_i = MMD^2, d_(5) the fifth smallest.
        greedy: one candidate at a time, weights re-solved, until the gain is under 5 % (the reference's).
        auto: all at once, then the heaviest up to 98 % of the weight, re-solved (the reference's).
    size : int, default 20
        Most candidates in the mixture.
    threads : int, optional

    Returns
    -------
    weights : ndarray of float64, shape (m,) or (U, m)
        0 for those left out; sum 1.
    mmd2 : float, or ndarray of shape (U,)

    Raises
    ------
    InvalidArgument
        For wrong shapes, NaN or infinity, or an unknown rule.

    Examples
    --------
    Two learnwares that are strangers, and a user who is 3/4 of the one and 1/4 of the other.

    >>> from learndock import kernels
    >>> weights, mmd2 = kernels.mixture([[1.0, 0.0], [0.0, 1.0]], [0.75, 0.25], 0.625, rule="greedy")
    >>> weights.round(6).tolist(), round(abs(mmd2), 9)
    ([0.75, 0.25], 0.0)
    """
    matrix, vector = finite_float64(gram, "gram"), finite_float64(cross, "cross")
    user = np.atleast_1d(finite_float64(self_inner, "self_inner"))
    single = matrix.ndim == 2
    if single:
        matrix, vector = matrix[None], vector[None]
    if matrix.ndim != 3 or matrix.shape[1] != matrix.shape[2] or vector.shape != matrix.shape[:2]:
        raise InvalidArgument(
            "gram, cross: expected shapes (m, m) and (m,), or (U, m, m) and (U, m); "
            f"got {np.shape(gram)} and {np.shape(cross)}"
        )
    if user.shape != matrix.shape[:1]:
        raise InvalidArgument(f"self_inner: expected shape {matrix.shape[:1]}, got {user.shape}")
    chosen = _member(_core.MixtureRule, rule, "rule")
    weights, value = _core.mixture(matrix, vector, user, chosen, limit(size, "size"), resolve_threads(threads))
    return (weights[0], float(value[0])) if single else (weights, value)


def top_k(values: Any, k: int) -> IndexArray:
    """Indices of the k smallest values, ordered by (value, index); NaN counts as larger than everything.

    Parameters
    ----------
    values : array of shape (n,)
    k : int
        At least 1; where it exceeds n, all n are returned.

    Returns
    -------
    ndarray of int64, shape (min(k, n),)

    Examples
    --------
    >>> from learndock import kernels
    >>> kernels.top_k([3.0, 1.0, 2.0, 1.0], 3).tolist()
    [1, 3, 2]
    """
    return _core.top_k(float64(values, "values", ndim=1), limit(k, "k"))


def instruction_sets() -> dict[str, Any]:
    """Which variants of the kernels were built, which this machine can run, and which one runs.

    The environment variable LEARNDOCK_SIMD forces one for the process: "baseline", "avx2", "avx512", "avx512vnni",
    "amx", or "amx_twin", the arithmetic of AMX in plain C++, which is there for tests.

    Examples
    --------
    >>> from learndock import kernels
    >>> sets = kernels.instruction_sets()
    >>> "baseline" in sets["built"], sets["active"] in sets["available"]
    (True, True)
    """
    return {
        "built": _core.built_instruction_sets(),
        "available": _core.available_instruction_sets(),
        "active": _core.active_instruction_set(),
    }
