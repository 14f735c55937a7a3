"""Fits of K weighted points to the rows of a table."""

from __future__ import annotations

from typing import Any

from . import baselines, exact, generators, machine

_SIZES: list[Any] = [generators.ROWS, (32,), (generators.POINTS,)]


class Fit:
    """kernels.fit_reduced_set."""

    params = [machine.DEVICES, machine.INSTRUCTION_SETS, machine.THREADS, *_SIZES]
    param_names = ["device", "instruction_set", "threads", "n", "d", "K"]
    timeout = 3600

    def setup(self, device: str, instruction_set: str, threads: int, n: int, d: int, K: int) -> None:
        machine.use(instruction_set, threads)
        self.X = generators.rows(n, d)
        self.options: dict[str, Any] = {"n_points": K, "gamma": generators.gamma_of(d), "random_state": generators.SEED}

    def time_fit(self, *_: Any) -> None:
        self._fit()

    def peakmem_fit(self, *_: Any) -> None:
        self._fit()

    def track_mmd2(self, *_: Any) -> float:
        found = self._fit()
        return exact.mmd2_to_rows(found.points, found.weights, self.X, generators.gamma_of(self.X.shape[1]))

    track_mmd2.unit = "MMD^2"  # type: ignore[attr-defined]

    def _fit(self) -> Any:
        from learndock import kernels

        return kernels.fit_reduced_set(self.X, **self.options)


class Baselines:
    """The same by others; goodpoints and coreax choose rows."""

    params = [baselines.FITS, machine.THREADS, *_SIZES]
    param_names = ["library", "threads", "n", "d", "K"]
    timeout = 3600

    def setup(self, library: str, threads: int, n: int, d: int, K: int) -> None:
        machine.use(None, threads)
        baselines.require(library)
        if library == "coreax" and n > 100_000:
            raise NotImplementedError("hours: it looks at every pair of rows")
        self.X = generators.rows(n, d)

    def time_fit(self, library: str, threads: int, n: int, d: int, K: int) -> None:
        baselines.fit(library, self.X, K, generators.gamma_of(d))

    def track_mmd2(self, library: str, threads: int, n: int, d: int, K: int) -> float:
        gamma = generators.gamma_of(d)
        return exact.mmd2_to_rows(*baselines.fit(library, self.X, K, gamma), self.X, gamma)

    track_mmd2.unit = "MMD^2"  # type: ignore[attr-defined]


class ReferencePackage:
    """The reference package's fit."""

    params = [machine.THREADS, *_SIZES]
    param_names = ["threads", "n", "d", "K"]
    timeout = 3600

    def setup(self, threads: int, n: int, d: int, K: int) -> None:
        machine.use(None, threads)
        baselines.require("learnware")
        self.X = generators.rows(n, d)

    def track_seconds(self, threads: int, n: int, d: int, K: int) -> float:
        return float(baselines.reference_fit(self.X, K, generators.gamma_of(d))["seconds"])

    track_seconds.unit = "s"  # type: ignore[attr-defined]

    def track_mmd2(self, threads: int, n: int, d: int, K: int) -> float:
        gamma = generators.gamma_of(d)
        found = baselines.reference_fit(self.X, K, gamma)
        return exact.mmd2_to_rows(found["points"], found["weights"], self.X, gamma)

    track_mmd2.unit = "MMD^2"  # type: ignore[attr-defined]
