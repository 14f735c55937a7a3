"""Mixtures for U users, from the inner products of their m candidates; and Gram matrices of the candidates."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from . import baselines, generators, machine

_USERS = (10_000,) if generators.LARGE else (200,)
_CANDIDATES = 25
_LARGEST = {"distance": 20, "greedy": 5, "auto": 5}


class Mixture:
    """kernels.mixture."""

    params = [machine.DEVICES, machine.INSTRUCTION_SETS, machine.THREADS, _USERS, (_CANDIDATES,), tuple(_LARGEST)]
    param_names = ["device", "instruction_set", "threads", "U", "m", "rule"]
    timeout = 600

    def setup(self, device: str, instruction_set: str, threads: int, U: int, m: int, rule: str) -> None:
        machine.use(instruction_set, threads)
        self.gram, self.cross, self.self_inner = generators.mixtures(U, m)
        self.options: dict[str, Any] = {"rule": rule, "size": _LARGEST[rule]}

    def time_mixture(self, *_: Any) -> None:
        self._mixture()

    def track_mmd2(self, *_: Any) -> float:
        weights, _ = self._mixture()
        among = np.einsum("ui,uij,uj->u", weights, self.gram, weights)
        return float(np.mean(among - 2 * np.einsum("ui,ui->u", weights, self.cross) + self.self_inner))

    track_mmd2.unit = "MMD^2, mean of the users"  # type: ignore[attr-defined]

    def _mixture(self) -> Any:
        from learndock import kernels

        return kernels.mixture(self.gram, self.cross, self.self_inner, **self.options)


class Gram:
    """kernels.inner of m specifications with each other, in float64."""

    params = [machine.DEVICES, machine.INSTRUCTION_SETS, machine.THREADS, (_CANDIDATES,), generators.DIMS]
    param_names = ["device", "instruction_set", "threads", "m", "d"]
    timeout = 600

    def setup(self, device: str, instruction_set: str, threads: int, m: int, d: int) -> None:
        machine.use(instruction_set, threads)
        z, weights = generators.embeddings(m, generators.POINTS, d)
        self.z, self.weights = z.reshape(-1, d), weights.ravel()
        self.offsets = np.arange(m + 1) * generators.POINTS

    def time_inner(self, device: str, instruction_set: str, threads: int, m: int, d: int) -> None:
        from learndock import kernels

        one = self.z, self.weights
        gamma = generators.gamma_of(d)
        kernels.inner(*one, *one, gamma=gamma, offsets=self.offsets, other_offsets=self.offsets)


class GreedyDock:
    """dock.search_many with rule="greedy_dock": the whole dock in each step, against the 25 nearest.

    Users whose data are of one family of learnwares, or mix two or three that lie apart.
    """

    params = [machine.DEVICES, machine.THREADS, (20_000,) if generators.LARGE else (2_000,), (1, 2, 3)]
    param_names = ["device", "threads", "N", "families"]
    timeout = 600

    def setup(self, device: str, threads: int, N: int, families: int) -> None:
        machine.use(None, threads)
        import learndock as ld

        gamma = 0.1
        z, data = generators.families(N, families)
        self.folder = tempfile.TemporaryDirectory()
        self.dock = ld.Dock(Path(self.folder.name) / "dock")
        self.dock.ingest(points=z, weights=np.full(z.shape[:2], 1 / z.shape[1]), gamma=gamma)
        fit = ld.RKMETableSpecification.fit
        self.users = [fit(rows, n_points=50, gamma=gamma, random_state=0) for rows in data]

    def teardown(self, *_: Any) -> None:
        self.dock.close()
        self.folder.cleanup()

    def time_search_many(self, *_: Any) -> None:
        self.dock.search_many(self.users, k=1, rule="greedy_dock")

    def track_better(self, *_: Any) -> float:
        nearest, whole = self._mmd2("greedy"), self._mmd2("greedy_dock")
        return float(np.mean(whole < nearest * (1 - 1e-9)))

    track_better.unit = "share of the users for whom it is better; never worse"  # type: ignore[attr-defined]

    def track_ratio(self, *_: Any) -> float:
        return float(np.median(self._mmd2("greedy_dock") / self._mmd2("greedy")))

    track_ratio.unit = "MMD^2 against the 25 nearest, median"  # type: ignore[attr-defined]

    def _mmd2(self, rule: Any) -> Any:
        found = self.dock.search_many(self.users, k=1, rule=rule)
        return np.array([each.mixture.mmd2 if each.mixture else each.singles[0].mmd2 for each in found])


class ReferencePackage:
    """The reference package's greedy search for one user, inner products included."""

    params = [(8, 32), (_CANDIDATES,)]
    param_names = ["d", "m"]
    timeout = 600

    def setup(self, d: int, m: int) -> None:
        baselines.require("learnware")
        self.given = generators.embeddings(m, generators.POINTS, d), generators.users(1, generators.POINTS, d)[0]

    def track_seconds(self, d: int, m: int) -> float:
        (z, weights), user = self.given
        return float(baselines.reference_greedy(z, weights, user, generators.gamma_of(d))["seconds"])

    track_seconds.unit = "s"  # type: ignore[attr-defined]
