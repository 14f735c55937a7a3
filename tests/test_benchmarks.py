"""The benchmarks run, measure what they say, and the README shows what was measured."""

from __future__ import annotations

import importlib
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import reference
from learndock import kernels

ROOT = Path(__file__).parent.parent
if not (ROOT / "benchmarks").is_dir():
    pytest.skip("the benchmarks are not here: the tests run from a copy of their own", allow_module_level=True)
sys.path.insert(0, str(ROOT))

from benchmarks import baselines, exact, generators, report  # noqa: E402
from benchmarks.experiments import identification  # noqa: E402

KERNELS = ("inner_products", "simplex_qp", "herding", "reduced_set", "mixture", "local_losses", "dock", "floors")
# What asv takes for a benchmark.
_NAMES = re.compile(r"(time|peakmem|track)_\w+")
NEWEST = kernels.instruction_sets()["available"][-1]


def run(code, **environment):
    """Python code in a process of its own, at the repository's root."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def methods():
    """Names, classes and functions of the benchmarks, as asv finds them."""
    for kernel in KERNELS:
        module = importlib.import_module(f"benchmarks.{kernel}")
        for name, value in vars(module).items():
            if isinstance(value, type) and not name.startswith("_"):
                for method in dir(value):
                    if _NAMES.fullmatch(method):
                        yield f"{kernel}.{name}.{method}", value, method


def test_each_kernel_has_times_and_quality_and_each_benchmark_names_its_parameters():
    kinds = {}
    for name, holder, method in methods():
        kinds.setdefault(name.partition(".")[0], set()).add(method.partition("_")[0])
        assert len(holder.params) == len(holder.param_names), name
        if method.startswith("track_"):
            assert getattr(holder, method).unit, name
    assert kinds.pop("floors") == {"track"}
    assert set(kinds) == set(KERNELS) - {"floors"}
    assert all({"time", "track"} <= found for found in kinds.values()), kinds
    assert [kernel for kernel, found in kinds.items() if "peakmem" not in found] == ["mixture"]


def test_asv_finds_the_same_benchmarks():
    discovery = pytest.importorskip("asv_runner.discovery", reason="asv is not installed")
    found = {benchmark.name for benchmark in discovery.disc_benchmarks(str(ROOT / "benchmarks"))}
    assert found == {name for name, _, _ in methods()}


def test_every_benchmark_runs_at_its_smallest_sizes():
    code = f"""
import importlib
from benchmarks import machine
measured = machine._floor  # in short
machine._floor = lambda what, instruction_set, threads, _, *more: measured(what, instruction_set, threads, 0.01, *more)
for name, of, method in {[(name, name.split(".")[:2], method) for name, _, method in methods()]!r}:
    made = getattr(importlib.import_module("benchmarks." + of[0]), of[1])()
    smallest = dict(zip(made.param_names, (values[0] for values in made.params)))
    params = [{NEWEST!r} if label == "instruction_set" else value for label, value in smallest.items()]
    try:
        made.setup(*params)
    except NotImplementedError as error:
        print(name, "n/a", error)
        continue
    print(name, getattr(made, method)(*params))
    getattr(made, "teardown", lambda *_: None)(*params)
"""
    done = run(code, OPENBLAS_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr
    results = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert set(results) == {name for name, _, _ in methods()}
    # Whatever is left out is another's: ours run at the newest instruction set, whatever is installed.
    others = ("floors.", "Baselines", "ReferencePackage")
    assert not [name for name, result in results.items() if "n/a" in result and not any(o in name for o in others)]
    assert float(results["inner_products.SquaredMMD.track_error"]) < 1e-5
    assert float(results["simplex_qp.SimplexQP.track_kkt_residual"]) < 1e-9
    assert 0 < float(results["reduced_set.Fit.track_mmd2"]) < 0.01
    assert 0 < float(results["herding.Herding.track_mmd2"]) < 0.1
    assert abs(float(results["herding.Herding.track_mmd2"]) / float(results["herding.Baselines.track_mmd2"]) - 1) < 0.05
    assert float(results["dock.Ingest.track_rate"]) > 0
    assert 0 < float(results["dock.FilteredSearch.track_start"]) < 1_000
    if shutil.which("g++"):
        assert float(results["floors.Arithmetic.track_multiply_adds"]) > 0
        assert float(results["floors.Read.track_read"]) > 0


def test_a_benchmark_runs_the_instruction_set_that_it_names():
    code = """
from benchmarks import machine
from learndock import kernels
machine.use("baseline", 1)
kernels.inner([[0.0]], [1.0], [[0.0]], [1.0], gamma=1.0)
print(kernels.instruction_sets()["active"])
try:
    machine.use("sse9", 1)
except RuntimeError as error:
    print(error)
"""
    done = run(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "baseline",
        "a kernel ran before sse9 was chosen: this process is at baseline",
    ]


@pytest.mark.parametrize(("instruction_set", "threads"), [("sse9", 1), (None, 100_000)])
def test_what_the_machine_lacks_is_left_out_by_the_error_that_asv_knows(instruction_set, threads):
    code = f"""
from benchmarks import machine
try:
    machine.use({instruction_set!r}, {threads})
except NotImplementedError as error:
    print(error)
"""
    done = run(code)
    assert done.returncode == 0, done.stderr
    assert ("sse9" if instruction_set else "100000") in done.stdout


# The others do the same job


@pytest.mark.parametrize("library", baselines.SCANS)
def test_products_of_others_are_the_products(library):
    z, weights = generators.embeddings(6, 10, 5)
    (user,) = generators.users(1, 10, 5)
    try:
        products = baselines.scan(library, user, z, weights, 0.2, 1)
    except NotImplementedError as error:
        pytest.skip(str(error))
    expected = [reference.inner(*user, *each, 0.2) for each in zip(z, weights, strict=True)]
    np.testing.assert_allclose(np.concatenate([products(0, 2), products(2, 6)]), expected, rtol=1e-5)


def test_quadratic_programs_of_others_are_solved():
    K, c = generators.problems(5, 8)
    weights = baselines.nnls(K, c)
    assert all(reference.simplex_gap(*each) < 1e-8 for each in zip(K, c, weights, strict=True))
    assert exact.kkt_residual(K, c, weights) < 1e-7
    assert exact.kkt_residual(K, c, np.full((5, 8), 1 / 8)) > 1e-3
    assert exact.kkt_residual(K, c, 1.01 * weights) > 1e-3


def test_herds_of_others_follow_the_mean():
    candidates = generators.rows(300, 4)
    mean = reference.kernel_mean(candidates, candidates, 0.25)
    chosen = baselines.herd(candidates, mean, 20, 0.25)
    for step, index in enumerate(chosen):
        values = reference.herd_values(candidates, mean, chosen[:step], 0.25)
        assert values[index] >= values.max() - 1e-6


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what coreax stands on
@pytest.mark.parametrize("library", baselines.FITS)
def test_fits_of_others_are_closer_than_random_rows(library):
    X, gamma = generators.rows(400, 4), 0.25
    try:
        baselines.require(library)
        points, weights = baselines.fit(library, X, 20, gamma)
    except NotImplementedError as error:
        pytest.skip(str(error))
    got = reference.mmd2_to_data(points, weights, X, gamma)
    random = reference.mmd2_to_data(X[:20], np.full(20, 1 / 20), X, gamma)
    assert got < 0.5 * random


def test_quality_is_measured_against_float64():
    X, gamma = generators.rows(300, 3) + 100, 0.3
    points, weights = X[:10] + 0.1, np.full(10, 0.1)
    expected = reference.mmd2_to_data(points, weights, X, gamma)
    assert abs(exact.mmd2_to_rows(points, weights, X, gamma) - expected) < 1e-12
    assert (
        abs(
            exact.inner((points, weights), (X[:7], np.ones(7)), gamma)
            - reference.inner(points, weights, X[:7], np.ones(7), gamma)
        )
        < 1e-12
    )


def test_data_are_the_same_in_every_run():
    code = "from benchmarks import generators as g; print(g.rows(3, 2).tolist(), g.problems(1, 2)[0].tolist())"
    assert run(code).stdout == f"{generators.rows(3, 2).tolist()} {generators.problems(1, 2)[0].tolist()}\n"


# The report


@pytest.fixture
def results():
    """A report of two rows."""
    return {
        "command": "python -m benchmarks.report",
        "date": "2026-01-02",
        "commit": "0123456789abcdef" * 2 + "01234567",
        "seed": 11,
        "processor": "Some CPU",
        "processors": 2,
        "instruction_sets": ["baseline"],
        "compiler": "gcc 12",
        "versions": {"python": "3.11.1", "learndock": "0.1.0", "numpy": "2.0.0"},
        "rows": [
            {
                **{"job": "scan", "case": "d 8", "instruction_set": "avx2", "threads": 2},
                **{"limit": "a limit", "limit_seconds": 2.0, "ours": {"seconds": 3.0, "quality": None}},
                "others": {
                    "slow": {"seconds": 60.0, "quality": None},
                    "fast": {"seconds": 6.0, "quality": None},
                },
            },
            {
                **{"job": "fit", "case": "n 5", "instruction_set": "avx2", "threads": 2},
                **{"limit": "", "limit_seconds": 0.0, "ours": {"seconds": 2.0, "quality": 0.1}},
                "others": {
                    "slow": {"seconds": 2000.0, "quality": 0.2},
                    "fast": {"seconds": 1.0, "quality": 1.0},
                },
            },
        ],
    }


def test_the_table_has_ratios_to_the_limit_and_to_others(results):
    lines = report.table(results).splitlines()
    assert lines[2] == "| Scan, kernel alone | d 8 | avx2 | 1.50 | a limit | fast: 2 |"
    assert lines[3] == "| Reduced-set fit | n 5 | avx2 |  |  | fast: 0.5 (MMD² × 0.1); slow: 1,000 (MMD² × 0.5) |"
    assert lines[5].startswith("Measured on 2026-01-02 by `python -m benchmarks.report` on Some CPU, 2 threads")
    assert "seed 11, commit 0123456789ab; gcc 12, python 3.11.1, numpy 2.0.0." in lines[5]
    results["commit"] += ", with changes"
    assert "commit 0123456789ab, with changes;" in report.table(results)


def test_the_best_of_all_rounds_counts_for_ours_the_limit_and_others_alike(results):
    one = results["rows"][0]
    figures = {"slow": {"seconds": 50.0, "quality": None}, "fast": {"seconds": 7.0, "quality": None}}
    other = {**one, "ours": {"seconds": 2.5, "quality": None}, "limit_seconds": 2.2, "others": figures}
    for best in (report.better(one, other), report.better(other, one)):
        assert best["ours"]["seconds"] == 2.5
        assert best["limit_seconds"] == 2.0
        assert {name: each["seconds"] for name, each in best["others"].items()} == {"slow": 50.0, "fast": 6.0}


def test_the_readme_shows_the_committed_results():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.report", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_an_altered_table_is_found(results, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "ROOT", tmp_path)
    (tmp_path / "some.json").write_text(json.dumps(results))
    readme = tmp_path / "README.md"
    shown = f"# A\n<!-- speed: some.json -->\n{report.table(results)}<!-- end of speed -->\nB\n"
    readme.write_text(shown, encoding="utf-8")
    assert report.check(readme) == []
    for old, new in (("1.50", "1.05"), ("Some CPU", "Another CPU"), ("seed 11", "seed 12"), ("0123456789ab", "f")):
        readme.write_text(shown.replace(old, new), encoding="utf-8")
        assert any(new in line for line in report.check(readme)), (old, new)
    readme.write_text(shown.replace("some.json", "none.json"), encoding="utf-8")
    assert "none.json" in report.check(readme)[0]
    readme.write_text("# A\n", encoding="utf-8")
    assert "no table" in report.check(readme)[0]


def test_results_name_processor_commit_seeds_and_versions():
    folder = ROOT / "benchmarks" / "results"
    identified = json.loads((folder / "identification.json").read_text(encoding="utf-8"))
    assert all(identified[key] for key in ("command", "date", "commit", "processor", "versions", "settings"))
    files = [file for file in folder.glob("*.json") if file.stem != "identification"]
    assert files
    for file in files:
        found = json.loads(file.read_text(encoding="utf-8"))
        assert all(found[key] for key in ("command", "date", "commit", "seed", "processor", "processors", "compiler"))
        assert {"python", "learndock", "numpy"} <= set(found["versions"])
        assert {row["job"] for row in found["rows"]} == set(report.JOBS)
        times = [row["ours"]["seconds"] for row in found["rows"]]
        assert all(seconds > 0 for seconds in times)


def test_a_job_of_the_report_is_measured_in_a_process_of_its_own():
    command = [sys.executable, "-m", "benchmarks.report", "--measure", "simplex_qp"]
    rows, others = (
        json.loads(
            subprocess.run(
                [*command, instruction_set, "1"],
                cwd=ROOT,
                env={**os.environ, "LEARNDOCK_REPORT_SMALL": "1"},
                capture_output=True,
                text=True,
                check=True,
            ).stdout.splitlines()[-1]
        )
        for instruction_set in (NEWEST, "")
    )
    assert [row["case"] for row in rows] == ["n 5", "n 100"]
    assert all(row["instruction_set"] == NEWEST and row["ours"]["seconds"] > 0 for row in rows)
    assert set(others) == {row["case"] for row in rows}
    assert list(itertools.chain(*others.values())) == ["scipy, nnls"] * 2


def test_the_experiment_on_what_fits_prints_a_table_with_few_false_alarms():
    script = ROOT / "benchmarks" / "experiments" / "fits.py"
    command = [sys.executable, str(script), "--pairs", "3", "--dims", "2", "--rows", "100", "200", "--points", "20"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| search")]
    assert len(rows) == 6
    assert all(row[1] == "0.0%" for row in rows)
    assert all(row[-2] == row[-1] == "0.0%" for row in rows if row[0].endswith(", 1"))  # misses, and nothing said


def test_the_readme_shows_what_identification_was_measured_to_bring():
    found = json.loads((ROOT / "benchmarks" / "results" / "identification.json").read_text())["found"]
    readme = (ROOT / "README.md").read_text(encoding="utf-8").replace("−", "-")
    shown = {
        "nearest": "the nearest alone",
        "reference": "the reference's rule",
        "uniform 5": "the five nearest, equal weights",
        "distance (default)": "**default mixture**",
        "LocalCompetence": "**`LocalCompetence`, no labels**",
        "10 labels": "with 10 labelled rows",
        "100 labels": "with 100 labelled rows",
    }
    tasks = [*identification.SHIFTED, "mean of the shifted", "sentiment", "control"]
    for method, name in shown.items():
        digits = {task: 1 if task == "sentiment" else 3 for task in tasks}
        cells = [found[task]["R"][method] for task in tasks]
        numbers = zip(cells, digits.values(), strict=True)
        row = " | ".join(f"{mean:.{places}f} ± {error:.{places}f}" for (mean, error), places in numbers)
        assert f"| {name} | {row} |" in readme


@pytest.fixture
def air(tmp_path):
    """A table as the Beijing one is: six stations, each around its own weather, and one function of it for all."""
    import pandas as pd

    rng = np.random.default_rng(0)
    frames = []
    for station in range(6):
        count = 3_000
        weather = {name: rng.normal(0.3 * station, 1.0, count) for name in ("TEMP", "PRES", "DEWP", "RAIN", "WSPM")}
        gases = {name: rng.normal(0.2 * station, 1.0, count) for name in ("PM10", "SO2", "NO2", "CO", "O3")}
        target = weather["TEMP"] ** 2 + np.sin(3 * gases["PM10"]) + 0.1 * rng.normal(size=count)
        when = {"month": rng.integers(1, 13, count), "hour": rng.integers(0, 24, count), "wd": ["N"] * count}
        frames.append(pd.DataFrame({"station": f"s{station}", **weather, **gases, **when, "PM2.5": target}))
    pd.concat(frames).to_csv(tmp_path / "beijing_air.csv.gz", index=False)
    return tmp_path


def test_identification_runs_rule_by_rule_and_repeats(air, tmp_path, capsys, monkeypatch):
    found = []
    for name in ("one", "two"):
        arguments = ["--data", str(air), "--tasks", "PM2.5", "--users", "3", "--rows", "400", "--seeds", "0"]
        files = ["--json", str(tmp_path / f"{name}.json"), "--plot", str(tmp_path / f"{name}.svg")]
        monkeypatch.setattr(sys, "argv", ["identification", *arguments, *files])
        assert identification.main() == 0
        found.append(json.loads((tmp_path / f"{name}.json").read_text()))
    assert found[0] == found[1]
    assert set(found[0]["found"]["PM2.5"]["R"]) == set(identification.METHODS)
    assert "LocalCompetence" in capsys.readouterr().out
    assert "<svg" in (tmp_path / "one.svg").read_text()
