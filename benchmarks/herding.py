"""Kernel herding over N candidates."""

from __future__ import annotations

import numpy as np

from . import baselines, exact, generators, machine
from .generators import Array

_STEPS = (1_000,) if generators.LARGE else (50,)
_DIMS = (32,)


class _Candidates:
    """Candidates, and the mean of the kernel over some of them at each."""

    def draw(self, N: int, d: int) -> None:
        self.gamma = generators.gamma_of(d)
        self.candidates = generators.rows(N, d)
        self.mean = exact.kernel_mean(self.candidates[: min(N, 2_000)], self.candidates, self.gamma)

    def distance(self, chosen: Array) -> float:
        """Squared MMD between the chosen and what they are to follow."""
        rows, target = self.candidates[chosen], self.candidates[:2_000]
        return exact.mmd2_to_rows(rows, np.full(len(rows), 1 / len(rows)), target, self.gamma)


class Herding(_Candidates):
    """kernels.herd of T among N candidates."""

    params = [
        *(machine.DEVICES, machine.INSTRUCTION_SETS, machine.THREADS),
        *(generators.CANDIDATES, _STEPS, _DIMS),
    ]
    param_names = ["device", "instruction_set", "threads", "N", "T", "d"]
    timeout = 3600

    def setup(self, device: str, instruction_set: str, threads: int, N: int, T: int, d: int) -> None:
        machine.use(instruction_set, threads)
        self.draw(N, d)

    def time_herd(self, device: str, instruction_set: str, threads: int, N: int, T: int, d: int) -> None:
        self._herd(T)

    def peakmem_herd(self, device: str, instruction_set: str, threads: int, N: int, T: int, d: int) -> None:
        self._herd(T)

    def track_mmd2(self, device: str, instruction_set: str, threads: int, N: int, T: int, d: int) -> float:
        return self.distance(self._herd(T))

    track_mmd2.unit = "MMD^2"  # type: ignore[attr-defined]

    def _herd(self, T: int) -> Array:
        from learndock import kernels

        return kernels.herd(self.candidates, self.mean, n=T, gamma=self.gamma)


class Baselines(_Candidates):
    """NumPy with the running sum, in float32."""

    params = [machine.THREADS, generators.CANDIDATES, _STEPS, _DIMS]
    param_names = ["threads", "N", "T", "d"]
    timeout = 3600

    def setup(self, threads: int, N: int, T: int, d: int) -> None:
        machine.use(None, threads)
        self.draw(N, d)

    def time_numpy(self, threads: int, N: int, T: int, d: int) -> None:
        baselines.herd(self.candidates, self.mean, T, self.gamma)

    def track_mmd2(self, threads: int, N: int, T: int, d: int) -> float:
        return self.distance(baselines.herd(self.candidates, self.mean, T, self.gamma))

    track_mmd2.unit = "MMD^2"  # type: ignore[attr-defined]
