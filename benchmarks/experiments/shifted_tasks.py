"""Real tables, divided into sites: each has a model, and each is a user whose own model is not in the dock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SHIFTED", "TASKS", "ShiftedTask", "Site"]

Table = npt.NDArray[np.float64]

# Of a site's rows: what its user has no labels of, and judges by; what labels may be drawn from.
TESTED = 1_000
LABELLED = 100
FEWEST = 300


@dataclass(frozen=True, slots=True)
class Site:
    """One site's rows.

    Attributes
    ----------
    name : str
    X, y : ndarray
        Its developer's.
    rows, labels : ndarray
        Its user's, others than those: the last `LABELLED` of them are those that labels are given of.
    """

    name: str
    X: Table
    y: Table
    rows: Table
    labels: Table


@dataclass(frozen=True, slots=True)
class ShiftedTask:
    """A table with sites.

    Attributes
    ----------
    name : str
    kind : {"Regression", "Classification"}
    sites : callable
        From the folder of the tables, a generator and the rows a developer has, the sites.
    shared : bool
        Whether all sites learn one and the same target.
    """

    name: str
    kind: Literal["Regression", "Classification"]
    sites: Callable[[Path, np.random.Generator, int], list[Site]]
    shared: bool = True


def _split(name: str, X: Table, y: Table, generator: np.random.Generator, rows: int) -> Site | None:
    if len(y) < FEWEST:
        return None
    order = generator.permutation(len(y))
    first = min(rows, len(y) // 2)
    developer, user = order[:first], order[first : first + TESTED + LABELLED]
    return Site(name, X[developer], y[developer], X[user], y[user])


def _by(
    frame: pd.DataFrame, columns: list[str], target: str, sites: list[str], generator: np.random.Generator, rows: int
) -> list[Site]:
    whole = frame.dropna(subset=[*columns, target])
    found = []
    for key, group in whole.groupby(sites):
        name = "/".join(map(str, key if isinstance(key, tuple) else (key,)))
        X, y = group[columns].to_numpy(np.float64), group[target].to_numpy(np.float64)
        site = _split(name, X, y, generator, rows)
        if site is not None:
            found.append(site)
    return found


@cache
def _beijing(folder: Path) -> pd.DataFrame:
    import pandas as pd

    frame = pd.read_csv(folder / "beijing_air.csv.gz")
    winds = ["N", "NNE", "NE", "ENE", "E", "ESE", "SE", "SSE", "S", "SSW", "SW", "WSW", "W", "WNW", "NW", "NNW"]
    angle = frame["wd"].map({name: 2 * np.pi * i / len(winds) for i, name in enumerate(winds)})
    hour = 2 * np.pi * frame["hour"] / 24
    return frame.assign(
        wind_east=np.sin(angle),
        wind_north=np.cos(angle),
        hour_sine=np.sin(hour),
        hour_cosine=np.cos(hour),
        season=frame["month"] % 12 // 3,
    )


_WEATHER = ["TEMP", "PRES", "DEWP", "RAIN", "WSPM", "wind_east", "wind_north", "hour_sine", "hour_cosine"]
_AIR = ["PM10", "SO2", "NO2", "CO", "O3", "TEMP", "PRES", "DEWP", "RAIN", "WSPM"]
_POLLUTANTS = ["PM2.5", "PM10", "SO2", "NO2", "CO", "O3"]


def _air(target: str, columns: list[str], sites: list[str]) -> Callable[[Path, np.random.Generator, int], list[Site]]:
    return lambda folder, generator, rows: _by(_beijing(folder), columns, target, sites, generator, rows)


def _all_pollutants(folder: Path, generator: np.random.Generator, rows: int) -> list[Site]:
    """Twelve stations times six targets, each standardised, from the same weather: functions differ, inputs don't."""
    frame = _beijing(folder)
    found = []
    for target in _POLLUTANTS:
        values = frame[target]
        scaled = frame.assign(**{target: (values - values.mean()) / values.std()})
        for site in _by(scaled, _WEATHER, target, ["station"], generator, rows):
            found.append(Site(f"{site.name}: {target}", site.X, site.y, site.rows, site.labels))
    return found


def _adult(by: str) -> Callable[[Path, np.random.Generator, int], list[Site]]:
    def sites(folder: Path, generator: np.random.Generator, rows: int) -> list[Site]:
        import pandas as pd

        frame = pd.read_csv(folder / "adult.csv.gz").dropna(subset=[by])
        numbers = frame[["age", "hours_per_week"]].assign(
            gain=np.log1p(frame["capital_gain"]), loss=np.log1p(frame["capital_loss"]), female=frame["sex"] == "Female"
        )
        if by != "education":
            numbers = numbers.assign(education=frame["education_num"])
        kinds = [name for name in ("workclass", "marital_status", "relationship", "race", "occupation") if name != by]
        X = pd.concat([numbers, pd.get_dummies(frame[kinds])], axis=1).astype(np.float64)
        columns = list(X.columns)
        return _by(X.assign(site=frame[by], income=frame["income"]), columns, "income", ["site"], generator, rows)

    return sites


def _digits(folder: Path, generator: np.random.Generator, rows: int, *, count: int = 24) -> list[Site]:
    """Each site sees mostly a few digits: a mix of a Dirichlet distribution of concentration 0.5."""
    table = np.loadtxt(folder / "optdigits_8x8.csv.gz", delimiter=",", skiprows=1, usecols=range(65))
    X, y = table[:, :64] / 16, table[:, 64].astype(np.int64)
    order = generator.permutation(len(y))
    halves = order[: len(y) // 2], order[len(y) // 2 :]

    def drawn(pool: npt.NDArray[np.int64], mix: Table, size: int) -> npt.NDArray[np.int64]:
        chance = (mix / np.bincount(y[pool], minlength=10))[y[pool]] + 1e-12
        return generator.choice(pool, size=size, replace=False, p=chance / chance.sum())

    found = []
    for number in range(count):
        mix = generator.dirichlet(np.full(10, 0.5))
        developer = drawn(halves[0], mix, min(rows, 400))
        user = generator.permutation(drawn(halves[1], mix, 700 + LABELLED))
        labels = y.astype(np.float64)
        found.append(Site(str(number), X[developer], labels[developer], X[user], labels[user]))
    return found


def _sentiment(folder: Path, generator: np.random.Generator, rows: int) -> list[Site]:
    """Sentences of three sites as 50 numbers each, by TF-IDF and its first singular vectors."""
    import pandas as pd
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    frame = pd.read_csv(folder / "sentiment_sentences.csv.gz")
    words = TfidfVectorizer(sublinear_tf=True, min_df=2).fit_transform(frame["text"])
    X = TruncatedSVD(50, random_state=0).fit_transform(words)
    labels = frame["label"].to_numpy(np.float64)
    places = frame.groupby("site").indices
    sites = [_split(str(name), X[at], labels[at], generator, rows) for name, at in places.items()]
    return [site for site in sites if site is not None]


SHIFTED = ("PM2.5", "PM2.5 x season", "O3 x season", "adult occupation", "adult education", "digits")
TASKS = {
    task.name: task
    for task in (
        ShiftedTask("PM2.5", "Regression", _air("PM2.5", _AIR, ["station"])),
        ShiftedTask("PM2.5 x season", "Regression", _air("PM2.5", _AIR, ["station", "season"])),
        ShiftedTask("O3 x season", "Regression", _air("O3", _WEATHER, ["station", "season"])),
        ShiftedTask("adult occupation", "Classification", _adult("occupation")),
        ShiftedTask("adult education", "Classification", _adult("education")),
        ShiftedTask("digits", "Classification", _digits),
        ShiftedTask("sentiment", "Classification", _sentiment),
        ShiftedTask("control", "Regression", _all_pollutants, shared=False),
    )
}


def classes_of(sites: list[Site]) -> int:
    """How many classes all sites have together."""
    return 1 + int(max(site.y.max() for site in sites))


def model_of(kind: str, seed: int) -> Any:
    """A new, unfitted model: gradient-boosted trees, the same for all sites."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    made = HistGradientBoostingRegressor if kind == "Regression" else HistGradientBoostingClassifier
    return made(max_iter=100, learning_rate=0.1, max_leaf_nodes=15, early_stopping=False, random_state=seed)
