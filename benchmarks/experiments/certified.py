"""How much of a dock a certified search looks at, and how long it takes: `python -m benchmarks.experiments.certified`.

Docks are made (seeded families of tasks with correlated features, of which each specification is a shifted and scaled
variant) or, with --data, bootstrapped from real tables. Users are held back from them. Each asks by bounds and by a
scan, in one run, and both have to return the same ids and values. Beside them, at the same time: brute force in torch,
and faiss on the same sketches, where those are installed.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

import learndock as ld

from .. import machine
from ..generators import Array

SEED = 23
MADE_POINTS, REAL_POINTS = 64, 50
_FAMILIES = 400
_BATCH = 50_000
_ROWS_OF_A_SITE = 300
_BATCHES = 5


@dataclass
class Case:
    """A dock to be made, and its users.

    Attributes
    ----------
    name : str
    gamma : float
    batches : callable
        Points (n, K, d) and weights (n, K) of some specifications after the other.
    users : list of ndarray
        Points (K, d) and weights (K,) of each.
    """

    name: str
    gamma: float
    batches: Callable[[], Iterator[tuple[Array, Array]]]
    users: list[tuple[Array, Array]]


# Made docks


def _centres(rows: Array, count: int, random: np.random.Generator) -> tuple[Array, Array]:
    """k-means centres of rows, and the share of rows that each has; another draw where one would have none."""
    from scipy.cluster.vq import ClusterError, kmeans2

    while True:
        try:
            centres, of = kmeans2(rows, count, iter=5, minit="points", rng=random, check_finite=False, missing="raise")
        except ClusterError:
            continue
        return centres, np.bincount(of, minlength=count) / len(rows)


def _made(count: int, dim: int, gamma: float, users: int) -> Case:
    random = np.random.default_rng([SEED, dim])
    origin = random.normal(size=(_FAMILIES, dim))
    # Features of a family are correlated: a few directions have most of the variance.
    spread = (1 + np.arange(dim)) ** -0.5
    mixing = spread[:, None] * random.normal(size=(_FAMILIES, dim, dim)) / np.sqrt(spread @ spread)

    def sample(family: int, rows: int) -> Array:
        return np.asarray(origin[family] + random.normal(size=(rows, dim)) @ mixing[family])

    def variant(size: int) -> tuple[Array, Array]:
        return 0.1 * random.normal(size=(size, 1, dim)), np.exp(0.05 * random.normal(size=(size, 1, 1)))

    def held_back() -> tuple[Array, Array]:
        shift, scale = variant(1)
        family = int(random.integers(_FAMILIES))
        centres, shares = _centres(sample(family, 1000), MADE_POINTS, random)
        return np.asarray(origin[family] + shift[0] + scale[0] * (centres - origin[family])), shares

    # Four tasks a family, sketched by their centres; variants of them are as many as are wanted.
    tasks: list[tuple[int, Array, Array]] = []
    for family in range(_FAMILIES):
        for _ in range(4):
            tasks.append((family, *_centres(sample(family, 1000), MADE_POINTS, random)))
    of_task = np.array([family for family, _, _ in tasks])
    points, weights = np.array([task[1] for task in tasks]), np.array([task[2] for task in tasks])
    asking = [held_back() for _ in range(users)]

    def batches() -> Iterator[tuple[Array, Array]]:
        for start in range(0, count, _BATCH):
            chosen = random.integers(len(tasks), size=min(_BATCH, count - start))
            shift, scale = variant(len(chosen))
            around = origin[of_task[chosen]][:, None]
            yield (
                (around + shift + scale * (points[chosen] - around)).astype(np.float32),
                weights[chosen].astype(np.float32),
            )

    return Case(f"made, d {dim}", gamma, batches, asking)


# Docks of real tables


def _table(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _standardised(rows: Array) -> Array:
    rows = np.where(np.isfinite(rows), rows, np.nanmedian(np.where(np.isfinite(rows), rows, np.nan), axis=0))
    deviation = rows.std(axis=0)
    return np.asarray((rows - rows.mean(axis=0)) / np.where(deviation > 0, deviation, 1))


def _beijing(folder: Path) -> tuple[Array, Array]:
    table = _table(folder / "beijing_air.csv.gz")
    names = ("PM2.5", "PM10", "SO2", "NO2", "CO", "O3", "TEMP", "PRES", "DEWP", "RAIN", "WSPM")
    rows = np.array([[float(row[name] or "nan") for name in names] for row in table])
    groups = np.array([f"{row['station']} {row['month']} {int(row['hour']) // 6}" for row in table])
    return _standardised(rows), groups


def _adult(folder: Path) -> tuple[Array, Array]:
    from sklearn.preprocessing import OneHotEncoder

    table = [row for row in _table(folder / "adult.csv.gz") if row["occupation"]]
    numbers = ("age", "fnlwgt", "education_num", "capital_gain", "capital_loss", "hours_per_week")
    words = ("workclass", "marital_status", "relationship", "race", "sex")
    numeric = np.array([[float(row[name]) for name in numbers] for row in table])
    encoded = OneHotEncoder(sparse_output=False).fit_transform([[row[name] for name in words] for row in table])
    groups = np.array([f"{row['occupation']} {int(row['education_num']) // 5}" for row in table])
    return _standardised(np.hstack([numeric, encoded])), groups


def _optdigits(folder: Path) -> tuple[Array, Array]:
    table = _table(folder / "optdigits_8x8.csv.gz")
    rows = np.array([[float(row[f"p{i}"]) for i in range(64)] for row in table])
    return _standardised(rows), np.array([row["digit"] for row in table])


def _digit_mixes(rows: Array, groups: Array, random: np.random.Generator) -> tuple[Array, Array]:
    """Sites of two to four digits each, rows drawn again."""
    chosen, names = [], []
    for site in range(179):
        digits = random.choice(10, size=int(random.integers(2, 5)), replace=False)
        members = np.flatnonzero(np.isin(groups, digits.astype(str)))
        chosen.append(random.choice(members, 600))
        names += [str(site)] * 600
    return rows[np.concatenate(chosen)], np.array(names)


def _real(folder: Path, name: str, count: int, gamma: float | None, users: int) -> Case:
    random = np.random.default_rng([SEED, len(name)])
    rows, groups = {"beijing": _beijing, "adult": _adult, "optdigits": _optdigits}[name](folder)
    if name == "optdigits":
        rows, groups = _digit_mixes(rows, groups, random)
    order = random.permutation(len(rows))
    sites = [order[groups[order] == group] for group in np.unique(groups)]
    sites = [site for site in sites if len(site) >= 40]
    if gamma is None:
        some = rows[random.choice(len(rows), 2000, replace=False)]
        gamma = 1 / float(np.median(np.sum((some[:1000] - some[1000:]) ** 2, axis=1)))
    held = [site[: len(site) // 5] for site in sites]
    docked = [site[len(site) // 5 :] for site in sites]

    def sketched(sites: list[Array]) -> tuple[Array, Array]:
        own = rows[random.choice(sites[int(random.integers(len(sites)))], _ROWS_OF_A_SITE)]
        # Rows that are alike would leave a centre without any.
        return _centres(own + 1e-6 * random.normal(size=own.shape), REAL_POINTS, random)

    asking = [sketched(held) for _ in range(users)]

    def batches() -> Iterator[tuple[Array, Array]]:
        for start in range(0, count, _BATCH):
            points, weights = zip(*(sketched(docked) for _ in range(min(_BATCH, count - start))), strict=True)
            yield np.array(points, dtype=np.float32), np.array(weights, dtype=np.float32)

    return Case(f"{name}, d {rows.shape[1]}", gamma, batches, asking)


# What is measured


@dataclass
class Measured:
    """One line of the table."""

    case: str
    gamma: float
    facts: dict[str, float | str]


def measure(case: Case, folder: Path, *, peers: bool) -> Measured:
    """Make the dock, ask it, and take the times."""
    dock = ld.Dock(folder)
    seconds, count = 0.0, 0
    for points, weights in case.batches():
        start = time.perf_counter()
        dock.ingest(points=points, weights=weights, gamma=case.gamma)
        seconds += time.perf_counter() - start
        count += len(points)
    start = time.perf_counter()
    dock.optimize()
    sketching = time.perf_counter() - start
    users = [ld.RKMETableSpecification(points, weights, gamma=case.gamma) for points, weights in case.users]
    methods: tuple[Literal["certified", "exact"], ...] = ("certified", "exact")
    for method in methods:
        dock.search(users[0], mixture=0, method=method)
    times: dict[str, list[float]] = {method: [] for method in methods}
    evaluated, differing, proven = [], 0, 0
    for user in users:
        found = {}
        for method in methods:
            start = time.perf_counter()
            found[method] = dock.search(user, mixture=0, method=method)
            times[method].append(time.perf_counter() - start)
        by_bounds, by_scan = found["certified"], found["exact"]
        same = [(hit.id, hit.mmd2) for hit in by_bounds.singles] == [(hit.id, hit.mmd2) for hit in by_scan.singles]
        differing += not (same and by_bounds.certified)
        proven += by_bounds.method == "certified"
        evaluated.append(by_bounds.work["evaluated"] if by_bounds.method == "certified" else count)
    batches = []
    for _ in range(_BATCHES):
        start = time.perf_counter()
        dock.search_many(users, mixture=0)
        batches.append((time.perf_counter() - start) / len(users))
    batch = float(np.median(batches))
    exact, certified = (float(np.median(times[method])) for method in ("exact", "certified"))
    view = dock._store.view(next(iter(dock._store.counts(any_status=True))))
    model = view.model
    facts: dict[str, float | str] = {
        "specs": count,
        "differ": differing,
        "by bounds": f"{proven}/{len(users)}",
        "w": model.facts.noise_share if model else float("nan"),
        "D": len(model.landmarks) if model else 0,
        "bytes": model.facts.bytes_a_spec if model else 0,
        "evaluated, median %": 100 * float(np.median(evaluated)) / count,
        "99th %": 100 * float(np.percentile(evaluated, 99)) / count,
        "scan ms": 1e3 * exact,
        "scan / floor": exact / _floor(count, *points.shape[1:]),
        "certified ms": 1e3 * certified,
        "x": exact / certified,
        "batch ms a user": 1e3 * batch,
        "batch x": exact / batch,
        "ingest and sketch, specs/s": count / (seconds + sketching),
    }
    if peers:
        facts.update(_peers(dock, view, users, exact))
    dock.close()
    return Measured(case.name, case.gamma, facts)


def _floor(count: int, points: int, dim: int) -> float:
    """Seconds that a scan takes at least: its multiply-adds and exponentials, or reading all points."""
    from learndock.config import config

    instruction_set, threads = str(config()["instruction_set"]), int(str(config()["threads"]))
    pairs = count * points * points
    arithmetic = pairs * dim / machine.multiply_adds_per_second(instruction_set, threads)
    arithmetic += pairs / machine.exponentials_per_second(instruction_set, threads)
    return max(
        arithmetic,
        count * points * dim * 4 / machine.bytes_per_second(machine.FROM_MEMORY, instruction_set, threads),
    )


def _peers(dock: Any, view: Any, users: list[Any], exact: float) -> dict[str, float | str]:
    """Times of others over that of the certified search's scan, with their recall of the true ten."""
    found: dict[str, float | str] = {}
    truth = [{hit.id for hit in dock.search(user, mixture=0).singles} for user in users]
    try:
        import torch
    except ImportError:
        found["torch"] = "not installed"
    else:
        found["torch brute force ms"] = 1e3 * _torch_seconds(torch, view, users[0])
    try:
        import faiss
    except ImportError:
        found["faiss"] = "not installed"
    else:
        stored, asked = _coordinates(view, users)
        flat = faiss.IndexFlatL2(stored.shape[1])
        flat.add(stored)
        lists = int(4 * np.sqrt(len(stored)))
        inverted = faiss.IndexIVFFlat(faiss.IndexFlatL2(stored.shape[1]), stored.shape[1], lists)
        inverted.train(stored[:: max(1, len(stored) // (64 * lists))])
        inverted.add(stored)
        inverted.nprobe = 16
        for name, index in (("faiss flat", flat), ("faiss IVF", inverted)):
            index.search(asked[:1], 10)
            taken, hits = [], 0
            for row, true in zip(asked, truth, strict=True):
                start = time.perf_counter()
                _, places = index.search(row[None], 10)
                taken.append(time.perf_counter() - start)
                hits += len(true & {f"{int(view.ids[place]):08d}" for place in places[0] if place >= 0})
            found[f"{name} ms"] = 1e3 * float(np.median(taken))
            found[f"{name} recall"] = hits / sum(len(true) for true in truth)
    return found


def _torch_seconds(torch: Any, view: Any, user: Any) -> float:
    """One user against all: measured on some, in proportion for the rest."""
    some = min(20_000, int(view.starts[1]))
    packed = view.segments[0].packed
    points = torch.tensor(np.array([packed.embedding(i)[0] for i in range(some)]), dtype=torch.float32)
    weights = torch.tensor(np.array([packed.embedding(i)[1] for i in range(some)]), dtype=torch.float32)
    z, beta = torch.tensor(user.points, dtype=torch.float32), torch.tensor(user.weights, dtype=torch.float32)

    def work() -> None:
        for start in range(0, some, 2000):
            kernel = torch.exp(-user.gamma * torch.cdist(points[start : start + 2000], z[None]) ** 2)
            torch.einsum("nkj,nk,j->n", kernel, weights[start : start + 2000], beta).topk(10)

    work()
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * len(view.ids) / some


def _coordinates(view: Any, users: list[Any]) -> tuple[Array, Array]:
    """What the sketches hold, as numbers, and the users' own."""
    model = view.model
    stored = []
    for sketches in view.sketches.values():
        blocks, begin, parts = -(-len(sketches.order) // 16), 0, []
        for end in model.facts.stages:
            codes = sketches.codes[blocks * 16 * begin : blocks * 16 * end]
            if begin == 0:  # 16 side by side
                codes = codes.reshape(blocks, end, 16).transpose(0, 2, 1)
            parts.append(codes.reshape(blocks * 16, end - begin))
            begin = end
        rows = np.empty((len(sketches.order), begin))
        rows[sketches.order] = np.hstack(parts)[: len(sketches.order)] * model.scales
        stored.append(rows)
    asked = [model.core.query(user.points, user.weights, user.inner(user), 0).coordinates for user in users]
    return np.ascontiguousarray(np.vstack(stored), dtype=np.float32), np.array(asked, dtype=np.float32)


# The table


def cases(arguments: argparse.Namespace) -> Iterator[Case]:
    """The docks that are asked for."""
    for count in arguments.count:
        if arguments.data is None:
            for dim in arguments.dims:
                for gamma in sorted({0.1 if name == "0.1" else 1 / dim for name in arguments.gamma}):
                    yield _made(count, dim, gamma, arguments.users)
            continue
        for name in ("beijing", "adult", "optdigits"):
            for given in arguments.gamma:
                yield _real(arguments.data, name, count, 0.1 if given == "0.1" else None, arguments.users)


def show(measured: Measured) -> None:
    """Print what was measured of one."""
    sys.stdout.write(f"\n{measured.case}, gamma {measured.gamma:.4g}\n")
    for name, value in measured.facts.items():
        shown = value if isinstance(value, str) else f"{value:.4g}" if isinstance(value, float) else f"{value:,}"
        sys.stdout.write(f"  {name:28s} {shown}\n")
    sys.stdout.flush()


def plot(all_measured: list[Measured], path: Path) -> None:
    """Draw how many a search computes as docks grow."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    panel = figure.subplots()
    for name in sorted({(measured.case, measured.gamma) for measured in all_measured}):
        of_case = [measured.facts for measured in all_measured if (measured.case, measured.gamma) == name]
        counts = [float(facts["specs"]) for facts in of_case]
        for share, style in (("evaluated, median %", "o-"), ("99th %", "o:")):
            computed = [float(facts[share]) / 100 * float(facts["specs"]) for facts in of_case]
            label = f"{name[0]}, gamma {name[1]:.3g}, {'median' if style == 'o-' else '99th percentile'}"
            panel.loglog(counts, computed, style, label=label)
    panel.loglog(counts, counts, color="0.7", label="a scan")
    panel.set_xlabel("specifications in the dock")
    panel.set_ylabel("computed exactly for a proven top 10")
    panel.legend(fontsize="small")
    figure.savefig(path, format="svg")


def main() -> int:
    """Measure all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, nargs="+", default=[20_000], help="specifications in the dock")
    parser.add_argument("--users", type=int, default=100)
    parser.add_argument("--dims", type=int, nargs="+", default=[8, 16, 32])
    parser.add_argument(
        "--gamma",
        nargs="+",
        choices=["0.1", "median"],
        default=["0.1", "median"],
        help="the reference's default; one over the median squared distance, 1/d of made docks",
    )
    parser.add_argument("--plot", type=Path, help="where a picture of the growth with the count is written, as SVG")
    parser.add_argument("--data", type=Path, help="the folder of the real tables")
    parser.add_argument("--peers", action="store_true", help="beside torch and faiss, where they are installed")
    parser.add_argument("--folder", type=Path, help="where docks are made; needs the size of one")
    arguments = parser.parse_args()
    all_measured = []
    for case in cases(arguments):
        folder = Path(tempfile.mkdtemp(dir=arguments.folder))
        try:
            measured = measure(case, folder / "dock", peers=arguments.peers)
        finally:
            shutil.rmtree(folder)
        show(measured)
        all_measured.append(measured)
    if arguments.plot is not None:
        plot(all_measured, arguments.plot)
    return int(any(measured.facts["differ"] for measured in all_measured))


if __name__ == "__main__":
    sys.exit(main())
