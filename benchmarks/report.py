"""The table of ratios that the README shows: `python -m benchmarks.report`.

It measures our kernels, what else does their jobs, and the limits of this machine, all in one run and with equally many
threads; writes benchmarks/results/PROCESSOR.json; puts the table into the README and prints it. `--small` is a try at
small sizes that writes nothing. `--check` measures nothing: it fails where the README's table is not that of the
results file that it names.

What is timed are short pieces of work, again and again, and the best of them counts: what others do on the machine then
costs repeats rather than figures. A machine that is shared has slow seconds too, so all jobs are gone through in
several rounds, and the best of a piece, a limit or another's is the best of all rounds. A process of its own measures
each job with each instruction set.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import difflib
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from . import baselines, exact, generators, machine
from .generators import Array

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
_MARKED = re.compile(r"(<!-- speed: (\S+) -->\n)(.*?)(<!-- end of speed -->\n)", re.DOTALL)

_SMALL = "LEARNDOCK_REPORT_SMALL"  # tells the processes that measure
_POINTS = generators.POINTS
_ROUNDS = 4


@dataclass
class Figure:
    """One measured time, and how good what came out is (smaller is better), where that differs."""

    seconds: float
    quality: float | None = None


@dataclass
class Row:
    """A kernel at a size: our time, the machine's limit, and the times of others.

    Attributes
    ----------
    job, case, instruction_set : str
    threads : int
    ours : Figure
    limit : str
        What the limit is; empty where none is known.
    limit_seconds : float
    others : dict
        Figures by name.
    """

    job: str
    case: str
    instruction_set: str
    threads: int
    ours: Figure
    limit: str = ""
    limit_seconds: float = 0.0
    others: dict[str, Figure] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """A kernel's measurements.

    Attributes
    ----------
    title : str
        As the table shows it.
    ours : callable
        Rows for an instruction set and a number of threads.
    others : callable
        Figures by case and name, for a number of threads.
    every_set : bool
        Whether each instruction set is measured, or the newest alone.
    best_alone : bool
        Whether the table shows the fastest of the others alone.
    threads : int
        0 for all processors.
    rounds : int
        How often it is measured.
    """

    title: str
    ours: Callable[[str, int], list[Row]]
    others: Callable[[int], dict[str, dict[str, Figure]]]
    every_set: bool = False
    best_alone: bool = True
    threads: int = 0
    rounds: int = _ROUNDS


def small() -> bool:
    return os.environ.get(_SMALL) == "1"


def best(work: Callable[[], Any], *, seconds: float = 1.0, most: int = 10_000) -> float:
    """The shortest of many runs; the first is not counted."""
    work()
    shortest, end = np.inf, time.perf_counter() + (0.05 if small() else seconds)
    for _ in range(most):
        start = time.perf_counter()
        work()
        shortest = min(shortest, time.perf_counter() - start)
        if time.perf_counter() > end:
            break
    return float(shortest)


# The scan: inner products of one query with packed specifications, in float32

# Specifications to a slice, of some 5 ms; all slices together are more than the caches hold.
_SCANNED = {8: 8_000, 32: 4_000, 128: 1_000}
_SLICES = 4


def _scan_case(dim: int) -> str:
    return f"d {dim}, K {_POINTS}"


def _coarse_case(dim: int) -> str:
    return f"{_scan_case(dim)}, integers first"


def _pair_limit(dim: int, pairs: float, instruction_set: str, threads: int) -> tuple[str, float]:
    """The limit of so many pairs of points: multiply-adds, and where the exponential's are known, those too."""
    rate = machine.multiply_adds_per_second(instruction_set, threads)
    if instruction_set.startswith("avx512"):
        return "d + 2 multiply-adds a pair", pairs * (dim + 2) / rate
    return "d multiply-adds a pair", pairs * dim / rate


def scan(instruction_set: str, threads: int) -> list[Row]:
    # No public function gives the products alone: kernels.mmd2 computes the self products in float64 on the way.
    from learndock import _core, kernels

    rows = []
    for dim, most in _SCANNED.items():
        count = most // 20 if small() else most
        z, weights = generators.embeddings(count, _POINTS, dim)
        batches = [kernels.pack(z + np.float32(0.01 * i), weights) for i in range(_SLICES)]
        gamma = generators.gamma_of(dim)
        query = [_core.PreparedQuery(*generators.users(1, _POINTS, dim)[0], gamma)]
        turns = itertools.cycle(batches)

        def slice_of(query: list[Any] = query, turns: Iterator[Any] = turns) -> None:
            batch = next(turns)
            _core.inner_products_float(query, batch.tiles, batch.weights, batch.offsets, threads)

        limit, limit_seconds = _pair_limit(dim, _POINTS * _POINTS, instruction_set, threads)
        ours = Figure(best(slice_of) / count)
        rows.append(Row("scan", _scan_case(dim), instruction_set, threads, ours, limit, limit_seconds))
        coarse = [_core.CoarseQuery(*generators.users(1, _POINTS, dim)[0], gamma)]
        if not coarse[0].pays:
            continue

        def coarse_slice(query: list[Any] = coarse, turns: Iterator[Any] = turns) -> None:
            batch = next(turns)
            _core.inner_products_coarse(query, batch.tiles, batch.weights, batch.offsets, threads)

        first = Figure(best(coarse_slice) / count)
        rows.append(Row("scan", _coarse_case(dim), instruction_set, threads, first, limit, limit_seconds))
    return rows


def _libraries_scans(dim: int, threads: int) -> dict[str, Figure]:
    """Inner products with one specification by each library."""
    z, weights = generators.embeddings(640, _POINTS, dim)
    user, gamma = generators.users(1, _POINTS, dim)[0], generators.gamma_of(dim)
    found = {}
    for library in installed(baselines.SCANS):
        products = baselines.scan(library, user, z, weights, gamma, threads)
        # Each at the piece that suits it best: from the second cache to a single product of matrices.
        pieces = (10, 40, 160, 640)
        found[library] = Figure(min(best(partial(products, 0, end), seconds=0.3) / end for end in pieces))
    return found


def scan_others(threads: int) -> dict[str, dict[str, Figure]]:
    found = {}
    for dim in _SCANNED:
        # Integers first is our other way to begin a search; theirs is one.
        found[_scan_case(dim)] = found[_coarse_case(dim)] = _libraries_scans(dim, threads)
    return found


# The whole search of a dock


@contextmanager
def docked(count: int, dim: int) -> Iterator[Any]:
    """A dock of so many specifications."""
    import learndock as ld

    with tempfile.TemporaryDirectory(prefix="learndock-report-") as folder, ld.Dock(Path(folder) / "dock") as dock:
        z, weights = generators.embeddings(count, _POINTS, dim)
        dock.ingest(points=z, weights=weights, gamma=generators.gamma_of(dim))
        dock.optimize()
        yield dock


def _askers(count: int, dim: int) -> list[Any]:
    import learndock as ld

    gamma = generators.gamma_of(dim)
    return [ld.RKMETableSpecification(*user, gamma=gamma) for user in generators.users(count, _POINTS, dim)]


_SEARCHED = {8: 60_000, 32: 40_000, 128: 12_000}


def _search_case(dim: int) -> tuple[int, str]:
    count = _SEARCHED[dim] // 20 if small() else _SEARCHED[dim]
    return count, f"d {dim}, N {count:,}"


def search(instruction_set: str, threads: int) -> list[Row]:
    rows = []
    for dim in _SEARCHED:
        count, case = _search_case(dim)
        pairs = _POINTS * _POINTS
        arithmetic = pairs * dim / machine.multiply_adds_per_second(instruction_set, threads)
        arithmetic += pairs / machine.exponentials_per_second(instruction_set, threads)
        memory = _POINTS * dim * 4 / machine.bytes_per_second(machine.FROM_MEMORY, instruction_set, threads)
        (user,) = _askers(1, dim)
        with docked(count, dim) as dock:
            taken = best(partial(dock.search, user, k=10, mixture=0, method="exact")) / count
        limit = "multiply-adds + exponentials" if arithmetic > memory else "memory"
        rows.append(Row("search", case, instruction_set, threads, Figure(taken), limit, max(arithmetic, memory)))
    return rows


def search_others(threads: int) -> dict[str, dict[str, Figure]]:
    """The inner products alone, without what comes before and after them in a search."""
    return {_search_case(dim)[1]: _libraries_scans(dim, threads) for dim in _SEARCHED}


def search_many(instruction_set: str, threads: int) -> list[Row]:
    rows = []
    for dim, most in ((8, 20_000), (128, 4_000)):
        count = most // 20 if small() else most
        with docked(count, dim) as dock:
            taken = {}
            for users in (1, 4, 16, 64):
                specs = _askers(users, dim)
                taken[users] = best(partial(dock.search_many, specs, k=10, mixture=0, method="exact")) / users
        for users in (4, 16, 64):
            row = Row("search_many", f"d {dim}, {users} users", instruction_set, threads, Figure(taken[users]))
            row.others = {"one user at a time": Figure(taken[1])}
            rows.append(row)
    return rows


# Fits


def _table() -> tuple[Array, float, str]:
    count, dim = (2_000 if small() else 100_000), 32
    return generators.rows(count, dim), generators.gamma_of(dim), f"n {count:,}, d {dim}, K {_POINTS}"


def _fitted(found: tuple[Array, Array], X: Array, gamma: float, seconds: float) -> Figure:
    return Figure(seconds, exact.mmd2_to_rows(*found, X, gamma))


def fit(instruction_set: str, threads: int) -> list[Row]:
    from learndock import kernels

    X, gamma, case = _table()

    def once() -> Any:
        return kernels.fit_reduced_set(X, n_points=_POINTS, gamma=gamma, random_state=generators.SEED)

    found = once()
    ours = _fitted((found.points, found.weights), X, gamma, best(once, most=5))
    return [Row("fit", case, instruction_set, threads, ours)]


def fit_others(threads: int) -> dict[str, dict[str, Figure]]:
    X, gamma, case = _table()
    found = {}
    for library in installed(baselines.FITS):
        baselines.fit(library, X[:500], _POINTS, gamma)  # compiled, loaded
        start = time.perf_counter()
        made = baselines.fit(library, X, _POINTS, gamma)
        found[library] = _fitted(made, X, gamma, time.perf_counter() - start)
    for _ in installed(("learnware",)):
        made_there = baselines.reference_fit(X, _POINTS, gamma)
        points = made_there["points"], made_there["weights"]
        found["learnware"] = _fitted(points, X, gamma, float(made_there["seconds"]))
    return {case: found}


# Herding


def _candidates() -> tuple[Array, Array, float, int, str]:
    count, steps, dim = (5_000, 20, 32) if small() else (100_000, 1_000, 32)
    gamma = generators.gamma_of(dim)
    candidates = generators.rows(count, dim)
    mean = exact.kernel_mean(candidates[:1_000], candidates, gamma)
    return candidates, mean, gamma, steps, f"{steps:,} of {count:,}, d {dim}"


def herd(instruction_set: str, threads: int) -> list[Row]:
    from learndock import kernels

    candidates, mean, gamma, steps, case = _candidates()
    taken = best(partial(kernels.herd, candidates, mean, n=steps, gamma=gamma), most=20) / steps
    read = candidates.size * 4
    limit_seconds = read / machine.bytes_per_second(read, instruction_set, threads)
    limit = "reading the candidates in float32"
    return [Row("herd", case, instruction_set, threads, Figure(taken), limit, limit_seconds)]


def herd_others(threads: int) -> dict[str, dict[str, Figure]]:
    candidates, mean, gamma, steps, case = _candidates()
    taken = best(partial(baselines.herd, candidates, mean, steps, gamma), most=20) / steps
    return {case: {"numpy, running sum": Figure(taken)}}


# Quadratic programs


def _problems() -> dict[str, tuple[Array, Array]]:
    sizes = ((200, 5), (10, 100)) if small() else ((10_000, 5), (200, 100))
    return {f"n {size}": generators.problems(count, size) for count, size in sizes}


def simplex_qp(instruction_set: str, threads: int) -> list[Row]:
    from learndock import kernels

    rows = []
    for case, (K, c) in _problems().items():
        taken = best(partial(kernels.simplex_qp, K, c)) / len(c)
        rows.append(Row("simplex_qp", case, instruction_set, threads, Figure(taken)))
    return rows


def simplex_qp_others(threads: int) -> dict[str, dict[str, Figure]]:
    return {
        case: {"scipy, nnls": Figure(best(partial(baselines.nnls, K, c), most=5) / len(c))}
        for case, (K, c) in _problems().items()
    }


# Mixtures

_CANDIDATES = 25


def mixture(instruction_set: str, threads: int) -> list[Row]:
    """Mixtures of users in a batch, scan and inner products included.

    All users have the same candidates, whose products with each other are then computed once.
    """
    rows = []
    for rule, dim in itertools.product(("greedy", "auto"), (8, 32)):
        users = _askers(8 if small() else 64, dim)
        with docked(_CANDIDATES, dim) as dock:
            many = partial(dock.search_many, users, k=1, mixture=5, rule=rule, method="exact")
            taken = best(many) / len(users)
        rows.append(Row("mixture", f"{rule}, d {dim}", instruction_set, threads, Figure(taken)))
    return rows


def mixture_others(threads: int) -> dict[str, dict[str, Figure]]:
    found: dict[str, dict[str, Figure]] = {}
    for dim in (8, 32):
        for _ in installed(("learnware",)):
            z, weights = generators.embeddings(_CANDIDATES, _POINTS, dim)
            user, gamma = generators.users(1, _POINTS, dim)[0], generators.gamma_of(dim)
            made = baselines.reference_greedy(z, weights, user, gamma)
            found[f"greedy, d {dim}"] = {"learnware": Figure(float(made["seconds"]))}
    return found


def none(threads: int) -> dict[str, dict[str, Figure]]:
    return {}


JOBS = {
    "scan": Job("Scan, kernel alone", scan, scan_others, every_set=True),
    "search": Job("`dock.search`, exact, whole", search, search_others),
    "search_many": Job("`dock.search_many`, a user", search_many, none),
    "fit": Job("Reduced-set fit", fit, fit_others, best_alone=False, rounds=1),  # a minute or more, mostly others'
    "herd": Job("Kernel herding, a step", herd, herd_others),
    # SciPy's nnls has one thread.
    "simplex_qp": Job("Simplex QP, a problem", simplex_qp, simplex_qp_others, threads=1),
    "mixture": Job(f"Mixture of {_CANDIDATES}, a user", mixture, mixture_others),
}


def installed(libraries: tuple[str, ...]) -> list[str]:
    found = []
    for library in libraries:
        try:
            baselines.require(library)
        except NotImplementedError as error:
            print(f"left out: {error}", file=sys.stderr)
        else:
            found.append(library)
    return found


# Running the jobs


def _measure(job: str, instruction_set: str, threads: int) -> None:
    """What a process of its own does: rows, or the figures of others, as JSON on the last line."""
    try:
        machine.use(instruction_set or None, threads)
    except NotImplementedError as error:
        print(f"left out: {error}", file=sys.stderr)
        print("null")
        return
    if instruction_set:
        print(json.dumps([dataclasses.asdict(row) for row in JOBS[job].ours(instruction_set, threads)]))
    else:
        cases = JOBS[job].others(threads)
        named = {case: {name: dataclasses.asdict(each) for name, each in of.items()} for case, of in cases.items()}
        print(json.dumps(named))


def _in_a_process(job: str, instruction_set: str, threads: int) -> Any:
    print(f"measuring {job} {instruction_set or 'by others'}", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "benchmarks.report", "--measure", job, instruction_set, str(threads)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def measure() -> dict[str, Any]:
    """All rows, and what they were measured with."""
    from learndock import config

    about: dict[str, Any] = config.config()
    newest = about["instruction_sets_available"][-1]
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for turn in range(1 if small() else _ROUNDS):
        for name, job in JOBS.items():
            if turn >= job.rounds:
                continue
            threads = job.threads or len(os.sched_getaffinity(0))
            sets = machine.INSTRUCTION_SETS if job.every_set else (newest,)
            mine = [row for each in sets for row in _in_a_process(name, each, threads) or ()]
            others = _in_a_process(name, "", threads)
            for row in mine:
                # Beside what was measured in the same process, such as one user at a time.
                row["others"].update(others.get(row["case"], {}))
                key = (name, row["case"], row["instruction_set"])
                found[key] = better(found[key], row) if key in found else row
    order = list(JOBS)
    rows = sorted(found.values(), key=lambda row: order.index(row["job"]))
    threads = len(os.sched_getaffinity(0))
    return {
        "command": "python -m benchmarks.report",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "commit": _git("rev-parse", "HEAD") + ("" if not _git("status", "--porcelain") else ", with changes"),
        "seed": generators.SEED,
        "processor": machine.processor(),
        "processors": threads,
        "instruction_sets": about["instruction_sets_available"],
        "compiler": about["compiler"],
        "versions": machine.versions(),
        "rows": rows,
    }


def better(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Of two measurements of a row, the shorter of each time."""

    def shorter(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
        return min(a, b, key=lambda figure: float(figure["seconds"]))

    limits = min(one, other, key=lambda row: float(row["limit_seconds"]))
    return {
        **one,
        "ours": shorter(one["ours"], other["ours"]),
        "limit": limits["limit"],
        "limit_seconds": limits["limit_seconds"],
        "others": {name: shorter(figure, other["others"].get(name, figure)) for name, figure in one["others"].items()},
    }


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown" if arguments[0] == "rev-parse" else done.stdout.strip()


# The table


def table(results: dict[str, Any]) -> str:
    """The rows in Markdown, and below them what they were measured with."""
    lines = ["| kernel | case | instructions | time / limit | limit | times as fast as |", "|---|---|---|---|---|---|"]
    for row in results["rows"]:
        ours, job = row["ours"], JOBS[row["job"]]
        ratio = f"{ours['seconds'] / row['limit_seconds']:.2f}" if row["limit"] else ""
        others = sorted(row["others"].items(), key=lambda item: float(item[1]["seconds"]))
        if job.best_alone:
            others = others[:1]
        against = "; ".join(_against(ours, name, other) for name, other in others)
        cells = (job.title, row["case"], row["instruction_set"], ratio, row["limit"], against)
        lines.append("| " + " | ".join(cells) + " |")
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items() if name != "learndock")
    threads = results["processors"]
    return (
        "\n".join(lines)
        + f"\n\nMeasured on {results['date']} by `{results['command']}` on {results['processor']}, {threads} "
        + f"thread{'s' * (threads > 1)} (one for the QPs), seed {results['seed']}, commit {results['commit'][:12]}"
        + f"{results['commit'][40:]}; {results['compiler']}, {versions}.\n"
    )


def _against(ours: dict[str, Any], name: str, other: dict[str, Any]) -> str:
    ratio = other["seconds"] / ours["seconds"]
    text = f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.3g}"
    if ours["quality"] is not None and other["quality"] is not None:
        return f"{name}: {text} (MMD² × {ours['quality'] / other['quality']:.2g})"
    return f"{name}: {text}"


def _results_file(results: dict[str, Any]) -> Path:
    name = re.sub(r"[^a-z0-9]+", "-", results["processor"].lower()).strip("-")
    return Path(__file__).parent / "results" / f"{name}.json"


def check(readme: Path = README) -> list[str]:
    """What is wrong with the README's tables; nothing is measured."""
    found = _MARKED.findall(readme.read_text(encoding="utf-8"))
    if not found:
        return [f"{readme}: no table between <!-- speed: FILE --> and <!-- end of speed -->"]
    wrong: list[str] = []
    for _, name, shown, _ in found:
        path = ROOT / name
        if not path.is_file():
            wrong.append(f"{readme}: its table is of {name}, which is not there")
            continue
        expected = table(json.loads(path.read_text(encoding="utf-8")))
        wrong += difflib.unified_diff(
            shown.splitlines(), expected.splitlines(), "the README's table", f"the table of {name}", lineterm="", n=0
        )
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=(__doc__ or "").partition("\n")[0])
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--check", action="store_true", help="compare the README's table with its results file")
    choice.add_argument("--small", action="store_true", help="try it at small sizes; nothing is written")
    choice.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        job, instruction_set, threads = arguments.measure
        _measure(job, instruction_set, int(threads))
        return
    if arguments.check:
        if wrong := check():
            sys.exit("\n".join([*wrong, "measure again, or put back what the README had"]))
        return
    if arguments.small:
        os.environ[_SMALL] = "1"
    results = measure()
    made = table(results)
    if not arguments.small:
        path = _results_file(results)
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        begin, end = f"<!-- speed: {path.relative_to(ROOT)} -->\n", "<!-- end of speed -->\n"
        text = README.read_text(encoding="utf-8")
        README.write_text(_MARKED.sub(lambda _: begin + made + end, text, count=1), encoding="utf-8")
    print(made, end="")


if __name__ == "__main__":
    main()
