"""The chance certificate on a raw dock: what it computes, what it loses, and its time beside the scan's.

Specifications of raw drawn points, in families of 40 that are shifted and scaled a little; users are further members of
families. `python -m benchmarks.experiments.chance --help` has the options.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

import learndock as ld
from learndock import _core
from learndock.dock.chance import deviations_for
from learndock.dock.space import Space
from learndock.dock.store import SpaceView

FloatArray = npt.NDArray[np.float64]

SIBLINGS = 40


class RawFamilies:
    """Distributions with correlated coordinates, and points drawn of variants of them."""

    def __init__(self, families: int, *, dim: int, points: int, seed: int) -> None:
        random = np.random.default_rng([seed, families, dim])
        self.points = points
        self.means = 0.44 * random.normal(size=(families, dim))
        self.factors = random.normal(size=(families, dim, dim // 4)) / np.sqrt(dim // 4)

    def drawn(self, of: npt.NDArray[np.int64], random: np.random.Generator) -> npt.NDArray[np.float32]:
        """Points (len(of), K, d), a member each of the families named."""
        count, dim = len(of), self.means.shape[1]
        shifts = self.means[of] + 0.11 * random.normal(size=(count, dim))
        scales = np.exp(0.05 * random.normal(size=(count, 1, 1)))
        along = random.normal(size=(count, self.points, self.factors.shape[2])) @ self.factors[of].transpose(0, 2, 1)
        noise = random.normal(size=(count, self.points, dim))
        points: npt.NDArray[np.float32] = (shifts[:, None] + scales * (0.77 * along + 0.55 * noise)).astype(np.float32)
        return points


def filled(folder: Path, raw: RawFamilies, count: int, gamma: float, random: np.random.Generator) -> ld.Dock:
    """A dock of so many members."""
    of = np.repeat(np.arange(-(-count // SIBLINGS)), SIBLINGS)[:count]
    dock = ld.Dock(folder)
    dock.ingest(points=raw.drawn(of, random), weights=np.full((count, raw.points), 1 / raw.points), gamma=gamma)
    dock.optimize()
    return dock


def users(raw: RawFamilies, count: int, gamma: float, random: np.random.Generator) -> list[ld.RKMETableSpecification]:
    """Members that the dock has not."""
    points = raw.drawn(random.integers(len(raw.means), size=count), random)
    weights = np.full(raw.points, 1 / raw.points)
    return [ld.RKMETableSpecification(z.astype(np.float64), weights, gamma=gamma) for z in points]


def z_of_members(
    view: SpaceView, specs: list[ld.RKMETableSpecification], k: int, deviations: float
) -> tuple[FloatArray, int]:
    """Of each user's k true members: (estimate - exact) / sigma; and how many bounds at so many sigma are too high."""
    if view.model is None or view.model.features is None or view.feature_set is None:
        raise SystemExit("this dock has no features: its proofs are cheap")
    found, lost = [], 0
    for spec in specs:
        products = np.concatenate(
            [
                _core.inner_products(
                    [spec.points], [spec.weights], packed.tiles, packed.weights, packed.offsets, spec.gamma, 0
                )[0]
                for packed in (segment.packed for segment in view.segments)
            ]
        )
        own = spec.inner(spec)
        mmd2 = own - 2 * products + view.self_inner
        members = np.sort(np.argpartition(mmd2, k - 1)[:k])
        sketch = view.model.core.query(spec.points, spec.weights, own, 0)
        query = view.model.features.query(spec.points, spec.weights, sketch, own)
        found.append(view.feature_set.deviations(sketch, query, members, mmd2[members], 0))
        lost += int(np.count_nonzero(view.feature_set.bounds(sketch, query, deviations, members, 0) > mmd2[members]))
    return np.concatenate(found), lost


def searched(dock: ld.Dock, specs: list[ld.RKMETableSpecification], k: int, delta: float) -> None:
    """Print what searches compute, whether they are right, and their time beside the scan's."""
    evaluated, largest, times, methods, wrong = [], [], [], [], 0
    for spec in specs:
        # Of the processor, on one thread: other programs do not count.
        start = time.process_time()
        result = dock.search(spec, k=k, mixture=0, certificate="chance", delta=delta, threads=1)
        taken = time.process_time() - start
        start = time.process_time()
        exact = dock.search(spec, k=k, mixture=0, method="exact", threads=1)
        times.append((taken, time.process_time() - start))
        wrong += [hit.id for hit in result.singles] != [hit.id for hit in exact.singles]
        evaluated.append(result.work["evaluated"])
        largest.append(result.work.get("largest_z", 0.0))
        methods.append(result.method)
    chance, scan = np.median(times, axis=0)
    counted = {method: methods.count(method) for method in sorted(set(methods))}
    print(f"methods {counted}, wrong {wrong}, largest z {max(largest):.2f}")
    print(f"evaluated: median {np.median(evaluated):.0f}, 99th percentile {np.percentile(evaluated, 99):.0f}")
    print(f"median processor time: chance {1e3 * chance:.2f} ms, scan {1e3 * scan:.2f} ms, ratio {scan / chance:.1f}")


def main() -> None:
    """Make a dock, search it, and audit the true members of many users."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--specs", type=int, default=20_000)
    parser.add_argument("--dim", type=int, default=32)
    parser.add_argument("--points", type=int, default=50)
    parser.add_argument("--gamma", type=float, default=0.1)
    parser.add_argument("--users", type=int, default=60)
    parser.add_argument("--members", type=int, default=10_000, help="true members that are audited, 10 of each user")
    parser.add_argument("--delta", type=float, default=1e-6)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    random = np.random.default_rng([asked.seed, 1])
    raw = RawFamilies(-(-asked.specs // SIBLINGS), dim=asked.dim, points=asked.points, seed=asked.seed)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        with filled(Path(folder) / "dock", raw, asked.specs, asked.gamma, random) as dock:
            view = dock._store.view(Space.of(users(raw, 1, asked.gamma, random)[0]))
            print(f"filled and sketched in {time.perf_counter() - start:.1f} s")
            print(None if view.model is None else (view.model.facts, view.model.facts.bytes_a_spec))
            searched(dock, users(raw, asked.users, asked.gamma, random), 10, asked.delta)
            limit = deviations_for(asked.delta, 10)
            z, lost = z_of_members(view, users(raw, asked.members // 10, asked.gamma, random), 10, limit)
            print(f"{len(z)} true members: lost {lost}, limit {limit:.2f}, largest z {np.abs(z).max():.2f}")


if __name__ == "__main__":
    main()
