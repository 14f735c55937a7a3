"""Quadratic programs on the simplex, in batches."""

from __future__ import annotations

from typing import Any

from . import baselines, exact, generators, machine

_SIZES = ((100_000, 5), (2_000, 100)) if generators.LARGE else ((2_000, 5), (50, 100))


class SimplexQP:
    """kernels.simplex_qp of B problems of n weights."""

    params = [machine.DEVICES, machine.INSTRUCTION_SETS, machine.THREADS, _SIZES]
    param_names = ["device", "instruction_set", "threads", "(B, n)"]
    timeout = 600

    def setup(self, device: str, instruction_set: str, threads: int, size: tuple[int, int]) -> None:
        machine.use(instruction_set, threads)
        self.K, self.c = generators.problems(*size)

    def time_simplex_qp(self, *_: Any) -> None:
        from learndock import kernels

        kernels.simplex_qp(self.K, self.c)

    def peakmem_simplex_qp(self, *_: Any) -> None:
        from learndock import kernels

        kernels.simplex_qp(self.K, self.c)

    def track_kkt_residual(self, *_: Any) -> float:
        from learndock import kernels

        return exact.kkt_residual(self.K, self.c, kernels.simplex_qp(self.K, self.c)[0])

    track_kkt_residual.unit = "largest violation"  # type: ignore[attr-defined]


class Baselines:
    """SciPy's nnls after a Cholesky; it solves one problem at a time, in one thread."""

    params = [_SIZES]
    param_names = ["(B, n)"]
    timeout = 600

    def setup(self, size: tuple[int, int]) -> None:
        machine.use(None, 1)
        self.K, self.c = generators.problems(*size)

    def time_nnls(self, *_: Any) -> None:
        baselines.nnls(self.K, self.c)

    def track_kkt_residual(self, *_: Any) -> float:
        return exact.kkt_residual(self.K, self.c, baselines.nnls(self.K, self.c))

    track_kkt_residual.unit = "largest violation"  # type: ignore[attr-defined]
