"""Inner products and squared MMD of one or many queries against packed specifications, alone and as a dock's search."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from . import baselines, exact, generators, machine
from .generators import Array

_OURS: list[Any] = [machine.DEVICES, machine.INSTRUCTION_SETS, machine.THREADS]
_NAMES = ["device", "instruction_set", "threads"]
# What the baselines hold of the kernel at once, in specifications: it stays in the second cache.
_CHUNK = 20


class SquaredMMD:
    """kernels.mmd2 of a query against N packed specifications, float32; self products included."""

    params = [*_OURS, generators.SPECIFICATIONS, generators.DIMS, (generators.POINTS,)]
    param_names = [*_NAMES, "N", "d", "K"]
    timeout = 600

    def setup(self, device: str, instruction_set: str, threads: int, N: int, d: int, K: int) -> None:
        machine.use(instruction_set, threads)
        from learndock import kernels

        machine.require_room(2 * 4 * N * K * (d + 1))
        self.z, self.weights = generators.embeddings(N, K, d)
        self.packed = kernels.pack(self.z, self.weights)
        self.queries = generators.users(1, K, d)
        self.gamma = generators.gamma_of(d)

    def time_mmd2(self, *_: Any) -> None:
        self._mmd2()

    def peakmem_mmd2(self, *_: Any) -> None:
        self._mmd2()

    def track_error(self, *_: Any) -> float:
        found = self._mmd2()[0]
        worst = 0.0
        for i in range(0, len(self.z), max(1, len(self.z) // 20)):
            docked = self.z[i].astype(np.float64), self.weights[i].astype(np.float64)
            pairs = [(self.queries[0], self.queries[0]), (self.queries[0], docked), (docked, docked)]
            own, cross, other = (exact.inner(p, q, self.gamma) for p, q in pairs)
            worst = max(worst, abs(found[i] - (own - 2 * cross + other)) / (own + 2 * cross + other))
        return worst

    track_error.unit = "of the sum of |terms|"  # type: ignore[attr-defined]

    def _mmd2(self) -> Array:
        from learndock import kernels

        return kernels.mmd2(self.queries, self.packed, gamma=self.gamma)


class Queries:
    """kernels.mmd2 of Q queries at once."""

    params = [*_OURS, (1, 16), generators.SPECIFICATIONS, (32,), (generators.POINTS,)]
    param_names = [*_NAMES, "Q", "N", "d", "K"]
    timeout = 600

    def setup(self, device: str, instruction_set: str, threads: int, Q: int, N: int, d: int, K: int) -> None:
        machine.use(instruction_set, threads)
        from learndock import kernels

        machine.require_room(2 * 4 * N * K * (d + 1))
        self.packed = kernels.pack(*generators.embeddings(N, K, d))
        self.queries = generators.users(Q, K, d)
        self.gamma = generators.gamma_of(d)

    def time_mmd2(self, *_: Any) -> None:
        from learndock import kernels

        kernels.mmd2(self.queries, self.packed, gamma=self.gamma)


class _Docked:
    """A dock of N specifications, and users; in a folder of its own while a benchmark runs."""

    def fill(self, N: int, d: int, K: int, users: int) -> None:
        import learndock as ld

        needed = ld.estimate("search", n=N, dim=d, n_points=K, users=users)
        machine.require_room(needed.memory, disk=2 * needed.disk)
        self.folder = Path(tempfile.mkdtemp(prefix="learndock-benchmark-"))
        self.dock = ld.Dock(self.folder / "dock")
        gamma = generators.gamma_of(d)
        most = 20_000  # specifications made at a time
        for begin in range(0, N, most):
            z, weights = generators.embeddings(min(most, N - begin), K, d, part=begin)
            self.dock.ingest(points=z, weights=weights, gamma=gamma)
        self.dock.optimize()
        self.users = [ld.RKMETableSpecification(*user, gamma=gamma) for user in generators.users(users, K, d)]

    def teardown(self, *_: Any) -> None:
        if hasattr(self, "dock"):  # not where setup found nothing to do
            self.dock.close()
            shutil.rmtree(self.folder)


class ExactSearch(_Docked):
    """dock.search(method="exact"): map, scan, rank, all of it."""

    params = [*_OURS, generators.DOCKED, generators.DIMS, (generators.POINTS,)]
    param_names = [*_NAMES, "N", "d", "K"]
    timeout = 3600

    def setup(self, device: str, instruction_set: str, threads: int, N: int, d: int, K: int) -> None:
        machine.use(instruction_set, threads)
        self.fill(N, d, K, 1)

    def time_search(self, *_: Any) -> None:
        self.dock.search(self.users[0], k=10, mixture=0, method="exact")


class SearchMany(_Docked):
    """dock.search_many of Q users."""

    params = [*_OURS, (1, 16), generators.DOCKED, (32,), (generators.POINTS,)]
    param_names = [*_NAMES, "Q", "N", "d", "K"]
    timeout = 3600

    def setup(self, device: str, instruction_set: str, threads: int, Q: int, N: int, d: int, K: int) -> None:
        machine.use(instruction_set, threads)
        self.fill(N, d, K, Q)

    def time_search_many(self, *_: Any) -> None:
        self.dock.search_many(self.users, k=10, mixture=0, method="exact")

    def peakmem_search_many(self, *_: Any) -> None:
        self.dock.search_many(self.users, k=10, mixture=0, method="exact")


class Baselines:
    """The products of a query with N specifications, by others, in float32."""

    params = [baselines.SCANS, machine.THREADS, generators.SPECIFICATIONS, generators.DIMS, (generators.POINTS,)]
    param_names = ["library", "threads", "N", "d", "K"]
    timeout = 600

    def setup(self, library: str, threads: int, N: int, d: int, K: int) -> None:
        machine.use(None, threads)
        machine.require_room(3 * 4 * N * K * (d + 2))
        z, weights = generators.embeddings(N, K, d)
        self.chunks = list(itertools.pairwise([*range(0, N, _CHUNK), N]))
        self.products = baselines.scan(
            library, generators.users(1, K, d)[0], z, weights, generators.gamma_of(d), threads
        )
        for chunk in self.chunks:  # compiled, moved, allocated
            self.products(*chunk)

    def time_inner_products(self, *_: Any) -> None:
        for chunk in self.chunks:
            self.products(*chunk)
