"""What models lose near rows: the sums of `LocalCompetence`, over the sketches of 20 learnwares."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import exact, generators, machine
from .generators import Array

_ROWS = (10_000, 100_000) if generators.LARGE else (2_000,)
_MODELS = 20


def _problem(n: int, d: int) -> tuple[Array, list[tuple[Array, Array, Array, Array]]]:
    """Rows, and as many sketches as models, each with the losses of all models but its own."""
    random = np.random.default_rng([generators.SEED, n, d])
    points, weights = generators.embeddings(_MODELS, generators.POINTS, d)
    losses = random.exponential(size=(_MODELS, generators.POINTS, _MODELS))
    losses[np.arange(_MODELS), :, np.arange(_MODELS)] = np.nan
    shares = random.random((_MODELS, generators.POINTS))
    return random.normal(size=(n, d)), list(
        zip(points.astype(float), weights.astype(float), shares, losses, strict=True)
    )


class LocalLosses:
    """kernels.local_losses."""

    params = [machine.DEVICES, machine.INSTRUCTION_SETS, machine.THREADS, _ROWS, generators.DIMS]
    param_names = ["device", "instruction_set", "threads", "n", "d"]
    timeout = 600

    def setup(self, device: str, instruction_set: str, threads: int, n: int, d: int) -> None:
        machine.use(instruction_set, threads)
        self.X, self.sketches = _problem(n, d)
        self.gamma = generators.gamma_of(d)

    def time_local_losses(self, *_: Any) -> None:
        self._sums(self.X)

    def peakmem_local_losses(self, *_: Any) -> None:
        self._sums(self.X)

    def track_error(self, *_: Any) -> float:
        X = self.X[:200]
        worst = 0.0
        for found, expected in zip(self._sums(X), _by_numpy(X, self.sketches, self.gamma), strict=True):
            worst = max(worst, float(np.max(np.abs(found - expected) / np.maximum(np.abs(expected), 1.0))))
        return worst

    track_error.unit = "of the sums, or of 1"  # type: ignore[attr-defined]

    def _sums(self, X: Array) -> tuple[Array, ...]:
        from learndock import kernels

        return kernels.local_losses(X, self.sketches, gamma=self.gamma)


class Baselines:
    """The same by NumPy in float64."""

    params = [machine.THREADS, _ROWS, generators.DIMS]
    param_names = ["threads", "n", "d"]
    timeout = 600

    def setup(self, threads: int, n: int, d: int) -> None:
        machine.use(None, threads)
        self.X, self.sketches = _problem(n, d)

    def time_numpy(self, threads: int, n: int, d: int) -> None:
        _by_numpy(self.X, self.sketches, generators.gamma_of(d))


def _by_numpy(X: Array, sketches: list[tuple[Array, Array, Array, Array]], gamma: float) -> tuple[Array, ...]:
    models = sketches[0][3].shape[1]
    losses, masses = np.zeros((2, len(X), models))
    embeddings = np.empty((len(X), len(sketches)))
    for j, (points, weights, shares, lost) in enumerate(sketches):
        values = exact.kernel(X, points, gamma)
        tried = ~np.isnan(lost[0])
        near = values**4 * shares
        losses[:, tried] += near @ lost[:, tried]
        masses[:, tried] += near.sum(axis=1, keepdims=True)
        embeddings[:, j] = values @ weights
    return losses, masses, embeddings
