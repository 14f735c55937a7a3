"""A process that submits and searches thousands of times: `... soak SUBMITS`, by default 10,000.

Each submission goes the whole way of `Dock.submit`: the zip is copied, hashed, synced, opened and checked, its row,
texts and specification are committed, and folded into segments when they are many. But for one thing: its model is not
started, which takes a second and a half each, in a process of its own. A search follows each, every tenth of them with
a semantic part. Printed are memory, descriptors, files and the time to open the dock after a fifth of the submissions
and at the end; exit code 1 where they grow as they should not.

Of memory, what may not grow is the process's own: private pages, after the allocator has given back what is free in it.
Resident memory, which is printed too, holds the dock's segments besides, that are mapped and grow with the dock, and
what a search needs for a moment: up to 4,096 specifications wait in the catalog, and are read as a whole.

    python -m benchmarks.experiments.soak 10000
"""

from __future__ import annotations

import ctypes
import gc
import io
import json
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import learndock as ld
from learndock import checker

# What may lie in a dock's folder beside its zips.
_OTHER_FILES = 64
_GROWTH = 1.05
_SLOWEST_OPENING = 1.0
_CONCURRENT = 100
_POINTS, _DIM, _GAMMA = 20, 8, 0.1

_YAML = (
    "model: {class_name: Model}\n"
    "stat_specifications: [{class_name: RKMETableSpecification, file_name: stat.json}]\n"
    "semantic_specification: {file_name: semantic_specification.json}\n"
)
_MODEL = (
    "from learnware.model import BaseModel\n"
    "class Model(BaseModel):\n"
    f"    def __init__(self): super().__init__(({_DIM},), (2,))\n"
    "    def predict(self, X): return (X[:, :2] > 0).astype(float)\n"
)
_OPENED = """
import json, sys, time
import numpy as np
import learndock as ld

points, dim, gamma = int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
user = ld.RKMETableSpecification(np.zeros((points, dim)), np.full(points, 1 / points), gamma=gamma)
from learndock.dock import Dock
started = time.perf_counter()
dock = Dock(sys.argv[1])
number = len(dock)
opened = time.perf_counter()
dock.search(user, k=5)
print(json.dumps([opened - started, time.perf_counter() - opened, number]))
"""


@dataclass(frozen=True)
class Reading:
    """What a process holds, and a dock.

    Attributes
    ----------
    submits : int
    own : int
        Bytes of memory that is the process's own.
    resident : int
        Bytes of all memory that it has in use, files that are mapped too.
    descriptors : int
    zips, other_files : int
        In the dock's folder.
    opening : float
        Seconds to open the dock once more.
    searching : float
        Seconds of the first search after that.
    """

    submits: int
    own: int
    resident: int
    descriptors: int
    zips: int
    other_files: int
    opening: float
    searching: float

    def __str__(self) -> str:
        return (
            f"{self.submits:,} submits and searches: {self.own / 1e6:.1f} MB of its own, {self.resident / 1e6:.1f} MB "
            f"resident, {self.descriptors} descriptors, {self.zips:,} zips and {self.other_files} other files, "
            f"opened in {self.opening:.3f} s, first search {self.searching:.3f} s"
        )


def soak(folder: Path, submits: int) -> tuple[Reading, Reading]:
    """Submit and search so often; what is held after a fifth of that, and at the end."""
    rng = np.random.default_rng(0)
    users = [_specification(np.random.default_rng(seed)) for seed in range(16)]
    readings = []
    with _checked_without_model(), ld.Dock(folder / "dock") as dock:
        for number in range(1, submits + 1):
            zip = _written(folder / "learnware.zip", _specification(rng), number)
            report = dock.submit(zip)
            if report.status != checker.Status.USABLE:
                raise RuntimeError(f"submission {number} was refused: {report}")
            semantic = _semantic(number) if number % 10 == 0 else None
            dock.search(users[number % len(users)], semantic=semantic, k=5)
            if number == submits // 10:
                dock.optimize()  # what folding loads once is in both readings
            if number in (submits // 5, submits):
                readings.append(_reading(dock, number))
                print(readings[-1], flush=True)
        _search_at_once(dock, users)
    early, late = readings
    return early, late


def faults(early: Reading, late: Reading) -> list[str]:
    """What has grown, or takes longer, than it should."""
    found = []
    if late.own > _GROWTH * early.own:
        found.append(f"memory of its own grew by {late.own / early.own - 1:.1%}")
    if late.descriptors > early.descriptors:
        found.append(f"{late.descriptors - early.descriptors} more descriptors")
    for reading in (early, late):
        if reading.opening > _SLOWEST_OPENING:
            found.append(f"opening took {reading.opening:.2f} s at {reading.submits:,}")
        if reading.other_files > _OTHER_FILES:
            found.append(f"{reading.other_files} files beside the zips at {reading.submits:,}")
        if reading.zips != reading.submits:
            found.append(f"{reading.zips:,} zips of {reading.submits:,}")
    return found


def _reading(dock: ld.Dock, submits: int) -> Reading:
    resident = _memory("VmRSS")
    gc.collect()
    with suppress(AttributeError):  # another allocator than glibc's
        ctypes.CDLL(None).malloc_trim(0)
    own = _memory("RssAnon")
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    files = [path for path in dock.path.rglob("*") if path.is_file()]
    zips = sum(path.suffix == ".zip" for path in files)
    opening, searching, number = _opened_elsewhere(dock.path)
    if number != submits:
        raise RuntimeError(f"{number} learnwares of {submits}")
    return Reading(submits, own, resident, descriptors, zips, len(files) - zips, opening, searching)


def _memory(what: str) -> int:
    return int(Path("/proc/self/status").read_text().partition(f"{what}:")[2].split()[0]) * 1024


def _opened_elsewhere(path: Path) -> tuple[float, float, int]:
    """Seconds to open the dock and of the first search in another process, and how many learnwares it has."""
    done = subprocess.run(
        [sys.executable, "-c", _OPENED, str(path), str(_POINTS), str(_DIM), str(_GAMMA)],
        check=True,
        capture_output=True,
        text=True,
    )
    opening, searching, number = json.loads(done.stdout)
    return float(opening), float(searching), int(number)


def _search_at_once(dock: ld.Dock, users: list[ld.RKMETableSpecification]) -> None:
    """Many searches at the same time, which have to give what they give one after the other."""

    def found(user: ld.RKMETableSpecification) -> list[tuple[str, float]]:
        return [(hit.id, hit.mmd2) for hit in dock.search(user, k=5).singles]

    expected = [found(user) for user in users]
    started = time.perf_counter()
    with ThreadPoolExecutor(_CONCURRENT) as pool:
        answers = list(pool.map(found, [users[i % len(users)] for i in range(_CONCURRENT)]))
    seconds = time.perf_counter() - started
    if answers != [expected[i % len(users)] for i in range(_CONCURRENT)]:
        raise RuntimeError("searches at the same time give other answers than one after the other")
    print(f"{_CONCURRENT} searches at the same time: {seconds:.2f} s, the same answers")


@contextmanager
def _checked_without_model() -> Iterator[None]:
    """Have zips opened and their semantic part checked, and their model believed."""

    def check(path: Path, semantic: Any = None, **_: Any) -> checker.CheckReport:
        learnware = ld.Learnware.open(path, semantic=semantic)
        checks = (checker.SemanticChecker().check(learnware),)
        status = min(check.status for check in checks)
        return checker.CheckReport(status, checks, learnware)

    original = checker.check_learnware
    checker.check_learnware = check  # type: ignore[assignment]
    try:
        yield
    finally:
        checker.check_learnware = original


def _specification(rng: np.random.Generator) -> ld.RKMETableSpecification:
    points = rng.normal(size=_DIM) + rng.normal(size=(_POINTS, _DIM))
    return ld.RKMETableSpecification(points, np.full(_POINTS, 1 / _POINTS), gamma=_GAMMA)


def _semantic(number: int) -> ld.SemanticSpecification:
    return ld.SemanticSpecification(
        name=f"Model {number}",
        description=f"The {number}th of many",
        data="Table",
        task="Classification",
        library="Scikit-learn",
        scenario=["Education"],
        license="MIT",
        input={"Dimension": _DIM},
        output={"Dimension": 2},
    )


def _written(path: Path, specification: ld.RKMETableSpecification, number: int) -> Path:
    stat = path.with_suffix(".json")
    specification.save(stat)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("learnware.yaml", _YAML)
        archive.writestr("__init__.py", _MODEL)
        archive.writestr("stat.json", stat.read_bytes())
        archive.writestr("semantic_specification.json", json.dumps(_semantic(number).to_dict()))
    path.write_bytes(content.getvalue())
    return path


def main(submits: int) -> int:
    """Soak; the exit code."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        early, late = soak(Path(folder), submits)
    print(f"memory at the end over that at a fifth: own {late.own / early.own:.3f}", end=", ")
    print(f"resident {late.resident / early.resident:.3f}")
    print(f"{time.perf_counter() - started:.0f} s")
    for fault in (found := faults(early, late)):
        print(f"FAULT: {fault}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
