"""Mixtures for U users, from the inner products of their m candidates; and Gram matrices of the candidates."""

from __future__ import annotations

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
