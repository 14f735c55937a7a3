"""How good the predictions are that a user ends up with, rule by rule, on real shifted tasks.

A table is divided into sites. Each site's developer trains a model (gradient-boosted trees) and sketches its rows; each
site is also a user, of other rows, who searches the dock with its own site's learnware left out. The unit is

    R = (loss - best single model of the dock) / (mean single model - best single model)

0 is the oracle's single choice, 1 a random model, negative better than any single one. Loss: root mean squared error of
a regression, cross entropy of a classification. All but the models' processes is the package's own: scaling, sketches,
search, peer review, reusers. "reference" is its rule: greedy over the 25 nearest, at most 5, weights by the QP, on the
same sketches.

    python -m benchmarks.experiments.identification --data FOLDER --seeds 0 1 2
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

import learndock as ld
from benchmarks import machine
from benchmarks.experiments.shifted_tasks import (
    LABELLED,
    SHIFTED,
    TASKS,
    ShiftedTask,
    Site,
    classes_of,
    model_of,
)
from learndock.dock.peer_trial import losses_on, try_model
from learndock.dock.scaling import pooled_scaling
from learndock.errors import ScaleWarning, UnreviewedWarning
from learndock.learnware.meaning import OutputMeaning
from learndock.peers import NEAREST, PeerRecord

Table = npt.NDArray[np.float64]

METHODS = (
    "nearest",
    "peers' first",
    "reference",
    "uniform 5",
    "distance (default)",
    "distance, by row",
    "LocalCompetence",
    "10 labels",
    "100 labels",
)
_POINTS = 100


class DockedModel:
    """A learnware of this process: what a site's model predicts, with its specification and what peers say."""

    validation = labelled_sketch = None

    def __init__(self, id: str, model: Any, kind: str, classes: int, specification: Any) -> None:
        self.id, self.specification = id, specification
        self.semantic = _semantic(kind, classes, specification.input_shape[0])
        self.peers: PeerRecord | None = None
        self._model, self._classes = model, classes if kind == "Classification" else 0
        self._answers: dict[bytes, Table] = {}

    def predict(self, X: Any) -> Table:
        """Of the same rows once: nine rules ask."""
        rows = np.ascontiguousarray(X, dtype=np.float64)
        key = rows.tobytes()
        if key not in self._answers:
            self._answers[key] = self._predicted(rows)
        return self._answers[key]

    def _predicted(self, rows: Table) -> Table:
        if not self._classes:
            return np.asarray(self._model.predict(rows), dtype=np.float64)
        probabilities = np.zeros((len(rows), self._classes))
        probabilities[:, self._model.classes_.astype(np.int64)] = self._model.predict_proba(rows)
        return probabilities


def _semantic(kind: str, classes: int, columns: int) -> Any:
    names = {str(number): f"class {number}" for number in range(classes)}
    return ld.SemanticSpecification(
        name="a site's model",
        description="Trained on the rows of one site.",
        data="Table",
        task=kind,
        library="Scikit-learn",
        scenario=["Others"],
        license=["Others"],
        input={"Dimension": columns, "Description": {str(column): f"column {column}" for column in range(columns)}},
        output={"Dimension": classes, "Description": names}
        if kind == "Classification"
        else {"Dimension": 1, "Description": {"0": "target"}},
    )


@dataclass(frozen=True, slots=True)
class World:
    """A dock of all sites' learnwares, and its users."""

    task: ShiftedTask
    sites: list[Site]
    models: list[DockedModel]
    users: list[Any]
    dock: ld.Dock


def world(task: ShiftedTask, data: Path, folder: Path, *, seed: int, rows: int, review: bool = True) -> World:
    """Train, sketch, ingest and review."""
    generator = np.random.default_rng([seed, len(task.name)])
    sites = task.sites(data, generator, rows)
    classes = classes_of(sites) if task.kind == "Classification" else 1
    scaling = _common_scaling(sites)
    gamma = ld.median_gamma(scaling.apply(np.concatenate([site.X for site in sites])), random_state=seed)

    def sketch(X: Table) -> Any:
        return ld.RKMETableSpecification.fit(X, scaling=scaling, n_points=_POINTS, gamma=gamma, random_state=seed)

    dock = ld.Dock(folder / "dock")
    specs = [sketch(site.X) for site in sites]
    ids = dock.ingest(points=[spec.points for spec in specs], weights=[spec.weights for spec in specs], gamma=gamma)
    models = [
        DockedModel(id, model_of(task.kind, seed).fit(site.X, site.y), task.kind, classes, spec)
        for id, site, spec in zip(ids, sites, specs, strict=True)
    ]
    if review:
        _review(dock, models)
    users = [sketch(site.rows[:-LABELLED]) for site in sites]
    return World(task, sites, models, [_unscaled(user) for user in users], dock)


def _common_scaling(sites: Sequence[Site]) -> Any:
    """What a dock pools from what developers say of their columns."""
    moments = [ld.RKMETableSpecification.fit(site.X, n_points=1, gamma=1e-6).moments for site in sites]
    return pooled_scaling([moment for moment in moments if moment is not None])


def _unscaled(spec: Any) -> Any:
    """For a dock of ingested points, which are standardised already."""
    return ld.RKMETableSpecification(spec.points, spec.weights, gamma=spec.gamma, num_points=spec.num_points)


def _review(dock: ld.Dock, models: Sequence[DockedModel]) -> None:
    """What `Dock.peer_review` does, with models of this process."""
    meaning = OutputMeaning.of(models[0].semantic)
    by_id = {model.id: model for model in models}
    pairs: dict[tuple[str, str], float] = {}
    for model in models:
        near = dock.search(_unscaled(model.specification), exclude=[model.id], k=NEAREST, mixture=0)
        for hit in near.singles:
            pairs[model.id, hit.id] = pairs[hit.id, model.id] = hit.mmd2
    tried: dict[str, list[str]] = {model.id: [] for model in models}
    for model_id, sketch_id in pairs:
        tried[model_id].append(sketch_id)
    trials = {}
    for id, on in tried.items():
        sketches = {int(sketch): by_id[sketch].specification for sketch in on}
        model = by_id[id]
        trials[id] = try_model(int(id), cast("Any", model), meaning, model.specification, sketches)
    losses = []
    for id, trial in trials.items():
        known: dict[str, Table] = {}
        for sketch, outputs in trial.outputs.items():
            name = f"{sketch:08d}"
            mmd2 = pairs[id, name]
            truth = trials[name].own
            found = losses_on(int(id), by_id[name].specification, outputs, truth, meaning=meaning, mmd2=mmd2)
            if found is not None:
                losses.append(found)
                known[name] = found.losses
        by_id[id].peers = PeerRecord(known)
    dock._writer.add_reviews([trial.own for trial in trials.values()], losses, dict.fromkeys(map(int, by_id), 0))


# Rules


def predictions(of: World, user: int, seed: int) -> Iterator[tuple[str, Table]]:
    """What each rule predicts for one user."""
    site, own = of.sites[user], of.models[user].id
    X = site.rows[:-LABELLED]
    by_id = {model.id: model for model in of.models}
    every = len(of.models)
    hits = of.dock.search(of.users[user], exclude=[own], k=every)
    greedy = of.dock.search(of.users[user], exclude=[own], k=1, rule="greedy")
    singles = [hit.id for hit in hits.singles]
    mode: Any = "mean" if of.task.kind == "Regression" else "vote_by_prob"

    def averaged(ids: Sequence[str], weights: Any = None) -> Table:
        reuser = ld.reuse.AveragingReuser([by_id[id] for id in ids], weights=weights, mode=mode)
        return reuser.predict(X) if mode == "mean" else reuser.predict_proba(X)

    yield "nearest", averaged(singles[:1])
    scored = [
        (np.log(max(hit.predicted_loss, 1e-300)) + 0.4 * np.log(max(hit.mmd2, 1e-300)), hit.id)
        for hit in hits.singles
        if hit.predicted_loss is not None
    ]
    yield "peers' first", averaged([min(scored)[1]] if scored else singles[:1])
    mixture = greedy.mixture
    yield "reference", averaged(singles[:1]) if mixture is None else averaged(mixture.ids, mixture.weights)
    yield "uniform 5", averaged(singles[:5])
    yield "distance (default)", averaged(hits.mixture.ids, hits.mixture.weights) if hits.mixture else averaged(singles)
    members = [by_id[id] for id in (hits.mixture.ids if hits.mixture else singles)]

    def local(reuser: Any) -> Table:
        return np.asarray(reuser.predict(X) if mode == "mean" else reuser.predict_proba(X))

    yield "distance, by row", local(ld.reuse.LocalCompetence(hits, [_without_peers(member) for member in members]))
    reuser = ld.reuse.LocalCompetence(hits, members)
    yield "LocalCompetence", local(reuser)
    for count in (10, 100):
        chosen = np.random.default_rng([seed, user, count]).choice(LABELLED, count, replace=False) - LABELLED
        yield f"{count} labels", local(reuser.calibrate(site.rows[chosen], site.labels[chosen]))


def _without_peers(model: DockedModel) -> Any:
    other = DockedModel.__new__(DockedModel)
    other.__dict__.update({**vars(model), "peers": None})
    return other


def loss(kind: str, predicted: Table, y: Table) -> float:
    """Root mean squared error, or cross entropy with probabilities of at least 10^-6."""
    if kind == "Regression":
        return float(np.sqrt(np.mean(np.square(predicted - y))))
    return float(-np.mean(np.log(np.maximum(predicted[np.arange(len(y)), y.astype(np.int64)], 1e-6))))


@dataclass(frozen=True, slots=True)
class Judged:
    """One user."""

    R: Mapping[str, float]
    alarm: bool
    kappa: float | None
    rank_correlation: float | None


def judge(of: World, user: int, seed: int) -> Judged:
    """R of every rule, and what the search said of itself."""
    from scipy.stats import spearmanr

    site, kind = of.sites[user], of.task.kind
    X, y = site.rows[:-LABELLED], site.labels[:-LABELLED]
    others = [model for i, model in enumerate(of.models) if i != user]
    alone = {model.id: loss(kind, model.predict(X), y) for model in others}
    best, mean = min(alone.values()), float(np.mean(list(alone.values())))
    R = {
        name: (loss(kind, predicted, y) - best) / max(mean - best, 1e-12)
        for name, predicted in predictions(of, user, seed)
    }
    hits = of.dock.search(of.users[user], exclude=[of.models[user].id], k=len(of.models))
    known = [(hit.predicted_loss, alone[hit.id]) for hit in hits.singles if hit.predicted_loss is not None]
    told = hits.reliability
    return Judged(
        R,
        alarm=told is not None and told.alarm,
        kappa=None if told is None else told.kappa,
        rank_correlation=float(spearmanr(*zip(*known, strict=True)).statistic) if len(known) > 2 else None,
    )


def measure(task: ShiftedTask, arguments: argparse.Namespace, seed: int) -> list[Judged]:
    """All users of one task, or as many as are asked for."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", UnreviewedWarning)
        warnings.simplefilter("ignore", ScaleWarning)
        made = world(task, arguments.data, Path(folder), seed=seed, rows=arguments.rows)
        users = range(len(made.sites))[: arguments.users]
        found = [judge(made, user, seed) for user in users]
        made.dock.close()
    return found


# The table


def jackknife(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and its standard error over users."""
    array = np.array(values)
    left = (array.sum() - array) / max(1, len(array) - 1)
    return float(array.mean()), float(np.sqrt((len(array) - 1) / len(array) * np.square(left - left.mean()).sum()))


def summary(judged: Mapping[str, Sequence[Judged]]) -> dict[str, Any]:
    """Numbers of the table."""
    found: dict[str, Any] = {}
    for name, users in judged.items():
        correlations = [user.rank_correlation for user in users if user.rank_correlation is not None]
        kappas = [user.kappa for user in users if user.kappa is not None]
        found[name] = {
            "users": len(users),
            "R": {method: jackknife([user.R[method] for user in users]) for method in METHODS},
            "against the reference": {
                method: jackknife([user.R[method] - user.R["reference"] for user in users]) for method in METHODS
            },
            "better than the reference": {
                method: float(np.mean([user.R[method] < user.R["reference"] for user in users])) for method in METHODS
            },
            "alarms": float(np.mean([user.alarm for user in users])),
            "kappa": float(np.median(kappas)) if kappas else None,
            "rank correlation": float(np.mean(correlations)) if correlations else None,
        }
    shifted = [found[name] for name in SHIFTED if name in found]
    if shifted:
        found["mean of the shifted"] = {
            "R": {method: _mean_of([task["R"][method] for task in shifted]) for method in METHODS},
            "against the reference": {
                method: _mean_of([task["against the reference"][method] for task in shifted]) for method in METHODS
            },
        }
    return found


def _mean_of(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    means, errors = zip(*pairs, strict=True)
    return float(np.mean(means)), float(np.sqrt(np.square(errors).sum()) / len(errors))


def show(found: Mapping[str, Any]) -> None:
    """Print R by rule and task."""
    names = list(found)
    print(f"{'R':22s}" + "".join(f"{name:>20s}" for name in names))
    for part in ("R", "against the reference"):
        if part != "R":
            print(f"\n{part}, paired")
        for method in METHODS:
            cells = [found[name][part][method] for name in names]
            print(f"{method:22s}" + "".join(f"{mean:+13.3f} ± {error:.3f}"[-20:].rjust(20) for mean, error in cells))
    print()
    for fact in ("users", "alarms", "kappa", "rank correlation"):
        cells = [found[name].get(fact) for name in names]
        print(f"{fact:22s}" + "".join(f"{'' if cell is None else f'{cell:.3g}':>20s}" for cell in cells))


def main() -> int:
    """Measure all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of the real tables")
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--users", type=int, help="of each task and seed; all by default")
    parser.add_argument("--rows", type=int, default=1_000, help="rows that a developer trains on, at most")
    parser.add_argument("--json", type=Path, help="where the numbers are written")
    parser.add_argument("--plot", type=Path, help="where a picture is written, as SVG")
    arguments = parser.parse_args()
    judged: dict[str, list[Judged]] = {}
    for name in arguments.tasks:
        for seed in arguments.seeds:
            start = time.perf_counter()
            judged.setdefault(name, []).extend(measure(TASKS[name], arguments, seed))
            print(f"{name}, seed {seed}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
    found = summary(judged)
    show(found)
    if arguments.json is not None:
        settings = {"seeds": arguments.seeds, "rows": arguments.rows, "users": arguments.users}
        made = {"date": date.today().isoformat(), "processor": machine.processor(), "versions": machine.versions()}
        arguments.json.write_text(json.dumps({**made, "settings": settings, "found": found}, indent=1) + "\n")
    if arguments.plot is not None:
        plot(found, arguments.plot)
    return 0


def plot(found: Mapping[str, Any], path: Path) -> None:
    """Draw R of the rules, task by task."""
    from matplotlib.figure import Figure

    shown = ("reference", "distance (default)", "LocalCompetence", "100 labels")
    names = [name for name in found if name != "sentiment"]
    figure = Figure(figsize=(9, 4), layout="constrained")
    panel = figure.subplots()
    width = 0.8 / len(shown)
    for place, method in enumerate(shown):
        values = [found[name]["R"][method] for name in names]
        at = np.arange(len(names)) + (place - (len(shown) - 1) / 2) * width
        panel.bar(at, [mean for mean, _ in values], width, yerr=[error for _, error in values], label=method)
    panel.axhline(0, color="0.3", linewidth=0.8)
    panel.set_xticks(np.arange(len(names)), names, rotation=20, ha="right")
    panel.set_ylabel("R: 0 the best single model, 1 a random one")
    panel.legend(fontsize="small")
    figure.savefig(path, format="svg", metadata={"Date": None})


if __name__ == "__main__":
    sys.exit(main())
