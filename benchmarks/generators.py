"""Sizes, seeds and data of all benchmarks, in one place."""

from __future__ import annotations

import functools
import os
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

SEED = 11
# Sizes up to a million take minutes and gigabytes each.
LARGE = os.environ.get("LEARNDOCK_BENCH_LARGE") == "1"

DIMS = (8, 32, 128)
POINTS = 100
SPECIFICATIONS = (500, 100_000, 1_000_000) if LARGE else (500,)
DOCKED = (1_000, 100_000, 1_000_000) if LARGE else (1_000,)
INGESTED = (5_000, 50_000, 200_000) if LARGE else (5_000,)
SKETCHED = (5_000, 100_000, 1_000_000) if LARGE else (5_000,)
ROWS = (5_000, 100_000, 1_000_000) if LARGE else (5_000,)
CANDIDATES = (10_000, 100_000, 1_000_000) if LARGE else (10_000,)


def _random(*of: int) -> np.random.Generator:
    return np.random.default_rng([SEED, *of])


def gamma_of(dim: int) -> float:
    """Pairs of points at distance about 1 / gamma^(1/2): kernel values neither all 0 nor all 1."""
    return 1 / dim


def embeddings(count: int, points: int, dim: int, *, part: int = 0) -> tuple[Array, Array]:
    """Points (N, K, d) and weights (N, K) of embeddings that lie around centres of their own, in float32."""
    random = _random(count, points, dim, part)
    z = random.standard_normal((count, points, dim), dtype=np.float32)
    z += 0.5 * random.standard_normal((count, 1, dim), dtype=np.float32)
    return z, np.full((count, points), 1 / points, dtype=np.float32)


@functools.cache
def users(count: int, points: int, dim: int) -> list[tuple[Array, Array]]:
    """Points (K, d) and weights (K,) of embeddings that ask."""
    random = _random(1, count, points, dim)
    return [(random.normal(size=(points, dim)), random.dirichlet(np.full(points, 5.0))) for _ in range(count)]


def families(count: int, mixed: int, *, dim: int = 8, points: int = 50) -> tuple[Array, list[Array]]:
    """Points (N, K, d) of embeddings in 20 families that lie apart, and the data of 40 users, each a mix of some."""
    random = _random(2, count, mixed, dim, points)
    centres = 1.5 * random.normal(size=(20, dim))
    of = random.integers(20, size=count)
    z = (
        centres[of][:, None]
        + 0.2 * random.normal(size=(count, 1, dim))
        + 0.6 * random.normal(size=(count, points, dim))
    )
    data = []
    for _ in range(40):
        chosen = random.choice(20, mixed, replace=False)
        member = random.choice(chosen, size=300, p=random.dirichlet(np.full(mixed, 2.0)))
        data.append(centres[member] + 0.6 * random.normal(size=(300, dim)))
    return z.astype(np.float32), data


def rows(count: int, dim: int) -> Array:
    """A table (n, d): five Gaussians."""
    random = _random(2, count, dim)
    return 1.5 * random.normal(size=(5, dim))[random.integers(5, size=count)] + random.normal(size=(count, dim))


def problems(count: int, size: int, *, dim: int = 8) -> tuple[Array, Array]:
    """Kernel matrices (B, n, n) and vectors (B, n) as the weights of a fit are found with.

    n points, and the mean of the kernel from each of them to 4 n rows of the same distribution.
    """
    random = _random(3, count, size, dim)
    z = random.normal(size=(count, size, dim))
    data = random.normal(size=(count, 4 * size, dim))

    def kernel(x: Array, y: Array) -> Array:
        squares = (x * x).sum(axis=2)[:, :, None] + (y * y).sum(axis=2)[:, None, :]
        return np.asarray(np.exp(-gamma_of(dim) * (squares - 2 * x @ y.transpose(0, 2, 1))))

    among = kernel(z, z)
    return (among + among.transpose(0, 2, 1)) / 2, kernel(z, data).mean(axis=2)


def mixtures(count: int, size: int) -> tuple[Array, Array, Array]:
    """Gram matrices (U, m, m), cross products (U, m) and self products (U,) of users who are mixtures, nearly."""
    random = _random(4, count, size)
    gram, _ = problems(count, size)
    shares = random.dirichlet(np.full(size, 0.1), size=count)
    cross = np.einsum("uij,uj->ui", gram, shares)
    return gram, 0.98 * cross, np.einsum("ui,ui->u", cross, shares)


_WORDS = 5_000
# Shares of the described learnwares that hold each of these scenarios.
SCENARIOS = {"Politics": 1e-4, "Health": 0.01, "Business": 0.3}


@functools.cache
def vocabulary() -> tuple[str, ...]:
    """Words of 3 to 9 letters; the n-th is used as often as 1/n of the first."""
    random = _random(5)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    return tuple("".join(random.choice(letters, int(random.integers(3, 10)))) for _ in range(_WORDS))


def descriptions(count: int, *, part: int = 0) -> list[tuple[str, str, dict[str, str]]]:
    """Name of 3 words, description of 25, and class and tag keys of learnwares."""
    random = _random(6, count, part)
    words = np.array(vocabulary())
    shares = 1 / np.arange(1, len(words) + 1)
    chosen = words[random.choice(len(words), (count, 28), p=shares / shares.sum())]
    scenarios = np.array([*SCENARIOS, "Nature"])
    scenario = scenarios[np.searchsorted(list(np.cumsum(list(SCENARIOS.values()))), random.random(count))]
    task = np.where(random.random(count) < 0.3, "Classification", "Regression")
    license = np.where(random.random(count) < 0.5, "MIT", "Apache-2.0")
    return [
        (
            " ".join(chosen[i, :3]),
            " ".join(chosen[i, 3:]),
            {"Data": "Table", "Task": str(task[i]), "Scenario": str(scenario[i]), "License": str(license[i])},
        )
        for i in range(count)
    ]
