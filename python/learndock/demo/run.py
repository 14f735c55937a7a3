"""The demo's work: developers train, pack and submit; users describe their data, search and reuse."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from learndock.demo.measures import METHODS, DemoResult, TaskResult
from learndock.demo.tasks import LABELLED_ROWS, Site, Task, diabetes, digits
from learndock.dock import Dock
from learndock.errors import DockError, InvalidArgument, LearnwareError
from learndock.learnware import Learnware
from learndock.reuse import AveragingReuser
from learndock.specification import RKMETableSpecification, SemanticQuery

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["run"]

# Called with what is being done, how much of it is done, and how much there is.
Progress = Callable[[str, int, int], None]


def run(
    *,
    users: int = 24,
    seed: int = 0,
    dock: str | os.PathLike[str] | None = None,
    tasks: Sequence[Task] | None = None,
    progress: Progress | None = None,
) -> DemoResult:
    """Go the whole path once and measure what the users end up with.

    Parameters
    ----------
    users : int
        Users per task, at least 1.
    seed : int
        Decides everything random.
    dock : path, optional
        Where to make the dock: a folder that is absent or empty. A temporary one by default.
    tasks : sequence of Task, optional
        `digits` and `diabetes` by default; `users` and `seed` then speak of these.
    progress : callable, optional
        Called with a stage, the steps done and the steps there are.

    Returns
    -------
    DemoResult

    Raises
    ------
    InvalidArgument
        If `users` is below 1 or `seed` negative.
    DockError
        If the folder `dock` holds something.
    """
    if users < 1:
        raise InvalidArgument(f"users: got {users}, expected at least 1")
    if seed < 0:
        raise InvalidArgument(f"seed: got {seed}, expected 0 or more")
    if tasks is None:
        tasks = (digits(users=users, seed=seed), diabetes(users=users, seed=seed))
    if dock is not None and Path(dock).exists() and any(Path(dock).iterdir()):
        raise DockError(f"dock: {dock} is not empty; the demo wants a folder of its own")
    report = progress or _silent
    clock = _Clock()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="learndock-demo-")))
        shelf = stack.enter_context(Dock(dock if dock is not None else folder / "dock"))
        ids = _submit_all(shelf, tasks, folder, seed, report)
        clock.lap("train, pack, submit")
        models = _open_all(shelf, [identifier for of_task in ids for identifier in of_task], stack, report)
        clock.lap("start the models")
        results = []
        for task, of_task in zip(tasks, ids, strict=True):
            results.append(_judge(task, shelf, {i: models[i] for i in of_task}, seed, report))
        clock.lap("search, reuse, compare")
    return DemoResult(tuple(results), clock.seconds, None if dock is None else str(dock))


def _submit_all(dock: Dock, tasks: Sequence[Task], folder: Path, seed: int, report: Progress) -> list[list[str]]:
    """Train, pack and submit every developer's model; the ids, by task, in the order of its developers.

    Packing and submitting each try the model in a process of its own, which costs a second that is mostly the import
    of scikit-learn; so several developers are at work at a time.
    """
    jobs = [(task, number) for task in tasks for number in range(len(task.developers))]
    ids: list[str] = []
    report("packing and submitting", 0, len(jobs))
    with ThreadPoolExecutor(max_workers=_at_a_time()) as pool:
        for identifier in pool.map(lambda job: _submit(dock, job[0], job[1], folder, seed), jobs):
            ids.append(identifier)
            report("packing and submitting", len(ids), len(jobs))
    by_task = iter(ids)
    return [[next(by_task) for _ in task.developers] for task in tasks]


def _submit(dock: Dock, task: Task, number: int, folder: Path, seed: int) -> str:
    """Do what one developer does."""
    site = task.developers[number]
    model = task.model().fit(site.X, _target(task, site))
    archive = Learnware.pack(
        model,
        specification=RKMETableSpecification.fit(site.X, random_state=seed),
        semantic=task.semantic(f"{task.name} of site {number}"),
        path=folder / f"{task.name}-{number}.zip",
    )
    report = dock.submit(archive)
    if report.id is None:
        raise LearnwareError(f"the dock refused {archive.name}: {report}")
    return report.id


def _at_a_time() -> int:
    """How many processes of models are started at a time: as many as there are processors for this one."""
    import joblib

    return int(joblib.cpu_count())


def _open_all(dock: Dock, ids: Sequence[str], stack: ExitStack, report: Progress) -> dict[str, Learnware]:
    """Fetch the learnwares and start their processes, which then serve all users."""
    learnwares = [stack.enter_context(learnware) for learnware in dock.get(list(ids))]
    report("starting the models", 0, len(ids))
    with ThreadPoolExecutor(max_workers=_at_a_time()) as pool:
        started = pool.map(_start, learnwares)
        for done, _ in enumerate(started, start=1):
            report("starting the models", done, len(ids))
    return dict(zip(ids, learnwares, strict=True))


def _start(learnware: Learnware) -> None:
    specification = learnware.specification
    if specification is not None:
        learnware.predict(specification.points[:1])


def _judge(task: Task, dock: Dock, models: dict[str, Learnware], seed: int, report: Progress) -> TaskResult:
    """Serve the users of a task one after the other, and compare what each would have got otherwise."""
    random = np.random.default_rng([seed, 3])
    values: dict[str, list[float]] = {method: [] for method in METHODS}
    mmd2: list[float] = []
    what = f"serving the users of {task.name}"
    report(what, 0, len(task.users))
    for done, user in enumerate(task.users, start=1):
        specification = RKMETableSpecification.fit(user.X, random_state=seed)
        hits = dock.search(specification, semantic=SemanticQuery(data="Table", task=task.kind))
        X, y = user.X[LABELLED_ROWS:], user.y[LABELLED_ROWS:]
        singles = {i: _measure(task, _labels(task, model.predict(X)), y) for i, model in models.items()}
        best = max if task.kind == "Classification" else min
        values["random"].append(singles[str(random.choice(list(models)))])
        values["mean"].append(float(np.mean(list(singles.values()))))
        values["top_1"].append(singles[hits.singles[0].id])
        values["best"].append(best(singles.values()))
        if hits.mixture is None:
            # Fewer than two learnwares help: the mixture is the nearest one alone.
            values["mixture"].append(values["top_1"][-1])
            mmd2.append(hits.singles[0].mmd2)
        else:
            reuser = AveragingReuser(
                [models[i] for i in hits.mixture.ids],
                weights=hits.mixture.weights,
                mode="vote_by_prob" if task.kind == "Classification" else "mean",
            )
            values["mixture"].append(_measure(task, _flat(reuser.predict(X)), y))
            mmd2.append(hits.mixture.mmd2)
        values["own"].append(_measure(task, _own(task, user, X), y))
        report(what, done, len(task.users))
    return TaskResult(
        task=task.name,
        measure="accuracy" if task.kind == "Classification" else "RMSE",
        developers=len(models),
        values={method: tuple(of_users) for method, of_users in values.items()},
        mmd2=tuple(mmd2),
    )


def _own(task: Task, user: Site, X: Floats) -> Floats:
    """Predict with a model of the user's own, trained on their labelled rows."""
    labelled = Site(user.rows[:LABELLED_ROWS], user.X[:LABELLED_ROWS], user.y[:LABELLED_ROWS])
    target = _target(task, labelled)
    if task.kind == "Classification" and len(np.unique(target)) == 1:
        return np.full(len(X), float(target[0]))  # scikit-learn refuses a single class
    return np.asarray(task.model().fit(labelled.X, target).predict(X), dtype=np.float64)


def _target(task: Task, site: Site) -> NDArray[Any]:
    return site.y.astype(np.int64) if task.kind == "Classification" else site.y


def _labels(task: Task, output: NDArray[Any]) -> Floats:
    """Turn a learnware's output, one probability per class or a number, into labels."""
    if task.kind == "Classification" and output.ndim == 2 and output.shape[1] > 1:
        return _flat(np.argmax(output, axis=1))
    return _flat(output)


def _flat(output: NDArray[Any]) -> Floats:
    return np.asarray(output, dtype=np.float64).reshape(len(output))


def _measure(task: Task, prediction: Floats, y: Floats) -> float:
    if task.kind == "Classification":
        return float(np.mean(prediction == y))
    return float(np.sqrt(np.mean((prediction - y) ** 2)))


def _silent(stage: str, done: int, total: int) -> None:
    """Tell nobody."""


class _Clock:
    """Wall seconds between laps."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] = now - self._last
        self._last = now
