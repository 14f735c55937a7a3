"""What else does each job: NumPy, torch, jax, scikit-learn, SciPy, goodpoints, coreax and the reference package.

Each is written as its library does it best that we know of. A library that is not installed raises NotImplementedError,
which asv shows as n/a. Nothing here is learndock's own.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .generators import Array

SCANS = ("numpy", "torch", "jax", "scikit-learn")
FITS = ("scipy", "goodpoints", "coreax")
_REFERENCE = "LEARNDOCK_REFERENCE_PYTHON"


def require(library: str) -> None:
    """NotImplementedError where a library is not installed."""
    if library == "learnware" and _REFERENCE in os.environ:
        return
    module = "sklearn" if library == "scikit-learn" else library
    if importlib.util.find_spec(module) is None:
        raise NotImplementedError(f"{library} is not installed")


def _load(name: str) -> Any:
    os.environ.setdefault("JAX_PLATFORMS", "cpu")  # else it looks for others and says so
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise NotImplementedError(f"{name} is not installed ({error})") from None


# Inner products


def scan(
    library: str, query: tuple[Array, Array], z: Array, weights: Array, gamma: float, threads: int
) -> Callable[[int, int], Array]:
    """A function that gives <query, P_i> for i from begin to end - 1; what can be prepared is.

    The exponent is one product of matrices: 2 gamma x'y - gamma |x|^2 - gamma |y|^2 with the norms as two more
    coordinates, in float32.
    """
    x, a = query[0].astype(np.float32), query[1].astype(np.float32)
    _, points, dim = z.shape
    y = z.reshape(-1, dim)
    if library == "scikit-learn":
        rbf_kernel = _load("sklearn.metrics.pairwise").rbf_kernel

        def of_scikit_learn(begin: int, end: int) -> Array:
            values = a @ rbf_kernel(x, y[begin * points : end * points], gamma=gamma)
            return np.asarray((values.reshape(-1, points) * weights[begin:end]).sum(axis=1))

        return of_scikit_learn
    wide_x = np.concatenate([2 * gamma * x, -gamma * (x * x).sum(axis=1)[:, None], np.ones((len(x), 1))], axis=1)
    wide_x = wide_x.astype(np.float32)
    wide_y = np.concatenate([y, np.ones((len(y), 1)), -gamma * (y * y).sum(axis=1)[:, None]], axis=1)
    wide_y = wide_y.astype(np.float32)
    if library == "numpy":
        rooms: dict[int, Array] = {}

        def of_numpy(begin: int, end: int) -> Array:
            room = rooms.setdefault(end - begin, np.empty((len(x), (end - begin) * points), dtype=np.float32))
            np.matmul(wide_x, wide_y[begin * points : end * points].T, out=room)
            np.exp(room, out=room)
            return np.asarray(((a @ room).reshape(-1, points) * weights[begin:end]).sum(axis=1))

        return of_numpy
    if library == "torch":
        torch = _load("torch")
        torch.set_num_threads(threads)
        tensors = [torch.from_numpy(each) for each in (wide_x, wide_y, a, weights)]

        def of_torch(begin: int, end: int) -> Array:
            to, ty, ta, tw = tensors
            values = ta @ (to @ ty[begin * points : end * points].T).exp_()
            return np.asarray((values.reshape(-1, points) * tw[begin:end]).sum(1))

        return of_torch
    if library == "jax":
        jax = _load("jax")

        def products(wide_x: Any, wide_y: Any, a: Any, weights: Any) -> Any:
            return ((a @ jax.numpy.exp(wide_x @ wide_y.T)).reshape(-1, points) * weights).sum(1)

        compiled = jax.jit(products)
        jx, ja = jax.numpy.asarray(wide_x), jax.numpy.asarray(a)
        pieces: dict[tuple[int, int], tuple[Any, Any]] = {}

        def of_jax(begin: int, end: int) -> Array:
            if (begin, end) not in pieces:  # on the device, outside of what is timed: the first call is not
                piece = wide_y[begin * points : end * points], weights[begin:end]
                pieces[begin, end] = jax.numpy.asarray(piece[0]), jax.numpy.asarray(piece[1])
            return np.asarray(compiled(jx, pieces[begin, end][0], ja, pieces[begin, end][1]))

        return of_jax
    raise ValueError(library)


# Quadratic programs


def nnls(K: Array, c: Array) -> Array:
    """Weights on the simplex for each problem: SciPy's nnls after a Cholesky, the sum as one heavy row."""
    scipy = _load("scipy.optimize")
    linalg = _load("scipy.linalg")
    heavy = 1e4
    found = np.empty_like(c)
    for i, (matrix, vector) in enumerate(zip(K, c, strict=True)):
        n = len(vector)
        factor = linalg.cholesky(matrix + 1e-12 * np.eye(n), lower=True)
        system = np.vstack([factor.T, np.full((1, n), heavy)])
        right = np.append(linalg.solve_triangular(factor, vector, lower=True), heavy)
        found[i] = scipy.nnls(system, right)[0]
    return found


# Herding


def herd(candidates: Array, mean: Array, n: int, gamma: float) -> Array:
    """NumPy with the running sum: one row of the kernel a step, in float32."""
    x = candidates.astype(np.float32)
    scaled, norms = 2 * np.float32(gamma) * x, np.float32(gamma) * (x * x).sum(axis=1)
    mu, total, row = mean.astype(np.float32), np.zeros(len(x), dtype=np.float32), np.empty(len(x), dtype=np.float32)
    chosen = np.empty(n, dtype=np.int64)
    for step in range(n):
        best = int(np.argmax(mu - total / np.float32(step + 1)))
        chosen[step] = best
        np.matmul(scaled, x[best], out=row)
        np.subtract(row, norms, out=row)
        np.subtract(row, norms[best], out=row)
        np.exp(row, out=row)
        total += row
    return chosen


# Reduced sets


def fit(library: str, X: Array, points: int, gamma: float) -> tuple[Array, Array]:
    """Points (K, d) and weights (K,) that stand for the rows of X."""
    if library == "scipy":
        return _fit_scipy(X, points, gamma)
    if library == "goodpoints":
        return _fit_goodpoints(X, points, gamma)
    if library == "coreax":
        return _fit_coreax(X, points, gamma)
    raise ValueError(library)


def _fit_scipy(X: Array, points: int, gamma: float) -> tuple[Array, Array]:
    """L-BFGS-B over points and non-negative weights together, from random rows, as many evaluations as our default."""
    optimize = _load("scipy.optimize")
    n, dim = X.shape
    norms = (X * X).sum(axis=1)
    start = X[np.random.default_rng(0).choice(n, points, replace=False)]

    def kernel(z: Array, other: Array, other_norms: Array) -> Array:
        exponents = 2 * z @ other.T
        exponents -= (z * z).sum(axis=1)[:, None]
        exponents -= other_norms
        exponents *= gamma
        return np.asarray(np.exp(exponents, out=exponents))

    def objective(packed: Array) -> tuple[float, Array]:
        z, beta = packed[: points * dim].reshape(points, dim), packed[points * dim :]
        to_data, among = kernel(z, X, norms), kernel(z, z, (z * z).sum(axis=1))
        mean = to_data.sum(axis=1) / n
        value = beta @ among @ beta - 2 * beta @ mean
        pull = beta[:, None] * (to_data @ X / n - mean[:, None] * z)
        push = beta[:, None] * ((among * beta) @ z - (among @ beta)[:, None] * z)
        gradient = 4 * gamma * (push - pull)
        return float(value), np.concatenate([gradient.ravel(), 2 * (among @ beta - mean)])

    bounds = [(None, None)] * (points * dim) + [(0, None)] * points
    packed = np.concatenate([start.ravel(), np.full(points, 1 / points)])
    found = optimize.minimize(objective, packed, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxfun": 80})
    return found.x[: points * dim].reshape(points, dim), found.x[points * dim :]


def _fit_goodpoints(X: Array, points: int, gamma: float) -> tuple[Array, Array]:
    """Kernel thinning (Compress++); the number of points is its own: the root of the largest power of four up to n."""
    compress = _load("goodpoints.compress")
    at = compress.compresspp_kt(X, kernel_type=b"gaussian", k_params=np.array([1 / gamma]), g=4, seed=0)
    return X[at], np.full(len(at), 1 / len(at))


def _fit_coreax(X: Array, points: int, gamma: float) -> tuple[Array, Array]:
    """Kernel herding over the rows."""
    coreax, solvers, kernels = (_load(name) for name in ("coreax", "coreax.solvers", "coreax.kernels"))
    kernel = kernels.SquaredExponentialKernel(length_scale=(2 * gamma) ** -0.5)
    solver = solvers.KernelHerding(coreset_size=points, kernel=kernel, block_size=1000)
    found, _ = solver.reduce(coreax.Data(X.astype(np.float32)))
    at = np.asarray(found.unweighted_indices)
    return X[at], np.full(len(at), 1 / len(at))


# The reference package, in the interpreter that LEARNDOCK_REFERENCE_PYTHON names, or in this one. It wants versions of
# other packages that nothing else here can live with, so it has a process of its own; its seconds are measured there.


def reference_fit(X: Array, points: int, gamma: float) -> dict[str, Array]:
    """Its points, weights and seconds for the rows of X."""
    return _reference("fit", X=X, points=np.array(points), gamma=np.array(gamma))


def reference_greedy(z: Array, weights: Array, user: tuple[Array, Array], gamma: float) -> dict[str, Array]:
    """The mmd2 and the seconds of its greedy search for a mixture of five of some specifications."""
    return _reference("greedy", z=z, weights=weights, user_z=user[0], user_weights=user[1], gamma=np.array(gamma))


def _reference(job: str, **arrays: Any) -> dict[str, Array]:
    require("learnware")
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "given.npz", Path(folder) / "made.npz"
        np.savez(given, **arrays)
        root = Path(__file__).parent.parent
        python = os.environ.get(_REFERENCE, sys.executable)
        command = [python, "-m", "benchmarks.reference_package", job, str(given), str(made)]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"the reference package failed: {done.stderr[-2000:]}")
        with np.load(made) as loaded:
            return dict(loaded)
