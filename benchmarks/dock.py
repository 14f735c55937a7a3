"""A dock of many: how soon a filtered search starts its scan, how fast specifications are taken in, how soon it opens.

The rate of an ingest stands beside that at which the disk takes the same bytes, written and synced in the same run.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from . import generators, machine

# What a filter asks for: scenarios, by the share of the dock that has them; the whole dock; several keys; a text that
# some hold, and one that none holds.
_FILTERS = ("0.01 %", "1 %", "30 %", "100 %", "four keys", "text", "similar text")
# Small specifications: it is the catalog that is measured.
_SMALL_POINTS, _SMALL_DIM = 4, 2
_AT_A_TIME = 50_000


class _Folder:
    """A folder of its own while a benchmark runs."""

    def make_folder(self) -> Path:
        self.folder = Path(tempfile.mkdtemp(prefix="learndock-benchmark-"))
        return self.folder

    def teardown(self, *_: Any) -> None:
        if hasattr(self, "dock"):  # not where setup found nothing to do
            self.dock.close()
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)


def _fill(dock: Any, N: int, d: int, K: int, batches: int) -> None:
    gamma = generators.gamma_of(d)
    for i in range(batches):
        z, weights = generators.embeddings(N // batches, K, d, part=i)
        dock.ingest(points=z, weights=weights, gamma=gamma)


def _describe(dock: Any, N: int) -> None:
    """Give all specifications of a dock a semantic part; written as `submit` does, without the models that it tries."""
    from learndock.dock import rows

    with dock._catalog.writing() as connection:
        for first in range(0, N, _AT_A_TIME):
            parts = generators.descriptions(min(_AT_A_TIME, N - first), part=first)
            for table, values in (
                ("semantics (learnware_id, name, description, semantic)", [(*part[:2], "{}") for part in parts]),
                ("texts (rowid, name, description)", [part[:2] for part in parts]),
            ):
                marks = ", ".join("?" * (len(values[0]) + 1))
                given = [(first + i, *value) for i, value in enumerate(values)]
                connection.exec_driver_sql(f"INSERT INTO {table} VALUES ({marks})", given)
            held = [(key, value, first + i) for i, part in enumerate(parts) for key, value in part[2].items()]
            connection.exec_driver_sql("INSERT INTO tags (key, value, learnware_id) VALUES (?, ?, ?)", held)
        rows.raise_generation(connection)


def _before_stages(result: Any, seconds: float) -> float:
    """What of a search's seconds went by before its first stage, and between them."""
    return seconds - sum(float(value) for name, value in result.work.items() if name.endswith("_seconds"))


class FilteredSearch(_Folder):
    """dock.search(semantic=...) of a dock of N described specifications, after the filter was used once.

    A text is another each time: answers to questions with texts are kept.
    """

    params = [generators.DOCKED, _FILTERS]
    param_names = ["N", "filter"]
    timeout = 3600

    def setup(self, N: int, asked: str) -> None:
        import learndock as ld

        machine.require_room(4_000 * N, disk=3_000 * N)
        with ld.Dock(self.make_folder() / "dock") as dock:
            _fill(dock, N, _SMALL_DIM, _SMALL_POINTS, 1)
            _describe(dock, N)
        self.dock = ld.Dock(self.folder / "dock")
        z, weights = generators.users(1, _SMALL_POINTS, _SMALL_DIM)[0]
        self.user = ld.RKMETableSpecification(z, weights, gamma=generators.gamma_of(_SMALL_DIM))
        # Words that one learnware in a few hundred holds.
        self.words = iter(generators.vocabulary()[1000:])
        for _ in range(2):
            self._search(asked)

    def _search(self, asked: str) -> Any:
        return self.dock.search(self.user, semantic=self._query(asked), k=10, mixture=0)

    def _query(self, asked: str) -> Any:
        import learndock as ld

        if asked == "100 %":
            return ld.SemanticQuery(data="Table")
        if asked == "four keys":
            return ld.SemanticQuery(data="Table", task="Regression", scenario=["Nature", "Health"], license="MIT")
        if asked == "text":
            return ld.SemanticQuery(name=next(self.words))
        if asked == "similar text":
            return ld.SemanticQuery(name=f"{next(self.words)}q{next(self.words)}")
        return ld.SemanticQuery(scenario=dict(zip(_FILTERS, generators.SCENARIOS, strict=False))[asked])

    def time_search(self, N: int, asked: str) -> None:
        self._search(asked)

    def peakmem_search(self, N: int, asked: str) -> None:
        self._search(asked)

    def track_start(self, N: int, asked: str) -> float:
        seconds = []
        for _ in range(5):
            begin = time.perf_counter()
            result = self._search(asked)
            seconds.append(_before_stages(result, time.perf_counter() - begin))
        return 1e3 * sorted(seconds)[len(seconds) // 2]

    track_start.unit = "ms"  # type: ignore[attr-defined]


class Ingest(_Folder):
    """dock.ingest of one batch, without the sketches that it makes afterwards of a large one."""

    params = [generators.INGESTED, ("float32", "float64"), (32,), (generators.POINTS,)]
    param_names = ["N", "dtype", "d", "K"]
    timeout = 3600

    def setup(self, N: int, dtype: str, d: int, K: int) -> None:
        import learndock as ld
        from learndock.dock import writer

        vars(writer)["SKETCHED_AT_ONCE"] = sys.maxsize
        size = N * K * (d + 1) * 4
        machine.require_room(2 * size, disk=6 * size)
        self.z, self.weights = (array.astype(dtype) for array in generators.embeddings(N, K, d))
        self.gamma = generators.gamma_of(d)
        self.dock = ld.Dock(self.make_folder() / "dock")

    def _ingest(self) -> None:
        self.dock.ingest(points=self.z, weights=self.weights, gamma=self.gamma)

    def time_ingest(self, *_: Any) -> None:
        self._ingest()

    def peakmem_ingest(self, *_: Any) -> None:
        self._ingest()

    def track_rate(self, N: int, *_: Any) -> float:
        begin = time.perf_counter()
        self._ingest()
        return N / (time.perf_counter() - begin)

    def track_share_of_disk(self, N: int, *_: Any) -> float:
        # Before and after: a disk's rate changes within seconds.
        size = self.z.size * 4 + self.weights.size * 4
        rates = [machine.written_per_second(self.folder, size)]
        seconds = N / self.track_rate(N)
        rates.append(machine.written_per_second(self.folder, size))
        return size / seconds / (sum(rates) / len(rates))

    track_rate.unit = "specifications / s"  # type: ignore[attr-defined]
    track_share_of_disk.unit = "of the bytes that the disk takes"  # type: ignore[attr-defined]


class Opening(_Folder):
    """learndock.Dock and its first search, of a dock that was made by one ingest or by many."""

    params = [generators.DOCKED, (1, 100)]
    param_names = ["N", "ingests"]
    timeout = 3600

    def setup(self, N: int, ingests: int) -> None:
        import learndock as ld

        machine.require_room(1_000 * N, disk=2_000 * N)
        with ld.Dock(self.make_folder() / "dock") as dock:
            _fill(dock, N, 8, 8, ingests)
        z, weights = generators.users(1, 8, 8)[0]
        self.user = ld.RKMETableSpecification(z, weights, gamma=generators.gamma_of(8))
        self.user.inner(self.user)  # whatever is loaded and chosen at the first kernel

    def _open_and_search(self) -> Any:
        import learndock as ld

        with ld.Dock(self.folder / "dock", readonly=True) as dock:
            return dock.search(self.user, k=10, mixture=0)

    def time_open_and_search(self, *_: Any) -> None:
        self._open_and_search()

    def peakmem_open_and_search(self, *_: Any) -> None:
        self._open_and_search()

    def track_open(self, *_: Any) -> float:
        begin = time.perf_counter()
        result = self._open_and_search()
        return _before_stages(result, time.perf_counter() - begin)

    track_open.unit = "s"  # type: ignore[attr-defined]


class CertifiedSearch(_Folder):
    """dock.search of N specifications of families, by bounds that prove what they leave out and by a scan."""

    params = [generators.SKETCHED, ("certified", "exact")]
    param_names = ["N", "method"]
    timeout = 3600

    def setup(self, N: int, method: Any) -> None:
        import learndock as ld

        machine.require_room(4_000 * N, disk=3_000 * N)
        z, rows = generators.families(N, 1, points=64)
        gamma = generators.gamma_of(z.shape[2])
        self.dock = ld.Dock(self.make_folder() / "dock")
        self.dock.ingest(points=z, weights=np.full(z.shape[:2], 1 / z.shape[1]), gamma=gamma)
        self.dock.optimize()
        self.users = [ld.RKMETableSpecification.fit(X, n_points=64, gamma=gamma, random_state=0) for X in rows[:10]]
        self._search(method)

    def _search(self, method: Any) -> list[Any]:
        return [self.dock.search(user, k=10, mixture=0, method=method) for user in self.users]

    def time_search(self, N: int, method: Any) -> None:
        self._search(method)

    def time_search_many(self, N: int, method: Any) -> None:
        self.dock.search_many(self.users, k=10, mixture=0, method=method)

    def track_evaluated(self, N: int, method: Any) -> float:
        return float(np.median([result.work["evaluated"] for result in self._search(method)])) / N

    track_evaluated.unit = "share of the dock"  # type: ignore[attr-defined]
