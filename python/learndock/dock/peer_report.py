"""What peer review tells about the learnwares of a dock: where a model is good too, what repeats, what is doubtful."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from learndock.dock import peer_rows
from learndock.dock.ids import learnware_name
from learndock.dock.presentation import frame, html_table, number
from learndock.peers.evidence import trimmed_means

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

    from learndock.dock.catalog import Catalog

    FloatArray = npt.NDArray[np.float64]
    IndexArray = npt.NDArray[np.int64]

__all__ = ["DoubtfulClaim", "PeerReport", "peer_report"]

# Of what peers lose on a sketch at most, in the median: at or below, a model is good there too.
_GOOD = 1.0
# Losses of twins, on each other's sketches, as a part of what others lose there.
_TWIN = 0.05
# A claim is doubtful where its own model is that much farther from all peers than they are from each other.
_DOUBTFUL = 4.0
_FEWEST_PEERS = 3
# Of the models that were tried on a sketch the nearest, where it is one that many are near to.
_MOST_PEERS = 100


@dataclass(frozen=True, slots=True)
class DoubtfulClaim:
    """A specification on which its own model says otherwise than all others.

    Attributes
    ----------
    id : str
    disagreement : float
        What peers lose on its sketch, over what they lose on the sketches of each other, in the median.
    peers : int
    """

    id: str
    disagreement: float
    peers: int


@dataclass(frozen=True, eq=False)
class PeerReport:
    """What is known of models tried on each other's sketches.

    Nothing of it refuses a learnware or hides it: it is for those who look after a dock.

    Attributes
    ----------
    ids : tuple of str
        Learnwares whose models have been tried.
    pairs : int
        Pairs of a model and a sketch.
    good_at : mapping of str to tuple of str
        The capability matrix, row by row: sketches of others on which a model loses no more than the median of those
        that were tried there.
    twins : tuple of pairs of str
        Models that say nearly the same on each other's sketches.
    covered_by : mapping of str to str
        Learnwares that another may stand for: its model loses no more on this one's sketch than others do in the
        median, and it is one of the nearest to it and the best on it. A report of what repeats, no verdict.
    doubtful : tuple of DoubtfulClaim
        Specifications that their own model contradicts all peers on, most doubtful first: a wrong specification, a
        broken model, or the only one that is right.
    failures : mapping of str to str
        Models that could not be tried, and why.
    """

    ids: tuple[str, ...] = ()
    pairs: int = 0
    good_at: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    twins: tuple[tuple[str, str], ...] = ()
    covered_by: Mapping[str, str] = field(default_factory=dict)
    doubtful: tuple[DoubtfulClaim, ...] = ()
    failures: Mapping[str, str] = field(default_factory=dict)

    def to_frame(self) -> pd.DataFrame:
        """The learnwares as a DataFrame: id, how many sketches it is good at, twins, covered_by, disagreement.

        Raises
        ------
        MissingDependency
            If pandas is not installed.
        """
        doubts = {claim.id: claim.disagreement for claim in self.doubtful}
        return frame(
            {
                "id": self.ids,
                "good_at": [len(self.good_at.get(id, ())) for id in self.ids],
                "twins": [sum(id in pair for pair in self.twins) for id in self.ids],
                "covered_by": [self.covered_by.get(id) for id in self.ids],
                "disagreement": [doubts.get(id) for id in self.ids],
            }
        )

    def __repr__(self) -> str:
        lines = [
            f"PeerReport({len(self.ids)} models, {self.pairs} pairs, {len(self.twins)} twins, "
            f"{len(self.covered_by)} covered, {len(self.doubtful)} doubtful, {len(self.failures)} failed)"
        ]
        lines += [f"  twins: {one} and {other}" for one, other in self.twins]
        lines += [f"  {id} is covered by {other}" for id, other in self.covered_by.items()]
        lines += [
            f"  doubtful: {claim.id}, its own model is {claim.disagreement:.3g} times as far from {claim.peers} peers "
            "as they are from each other"
            for claim in self.doubtful
        ]
        lines += [f"  {id} could not be tried: {why}" for id, why in self.failures.items()]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        doubts = {claim.id: claim.disagreement for claim in self.doubtful}
        rows = [
            (id, len(self.good_at.get(id, ())), self.covered_by.get(id, ""), number(doubts.get(id))) for id in self.ids
        ]
        heads = ("id", "good at", "covered by", "disagreement")
        return html_table(f"{len(self.ids)} models, {self.pairs} pairs", heads, rows)


def peer_report(catalog: Catalog) -> PeerReport:
    """Read all that is kept of peer reviews, and say what follows."""
    with catalog.reading() as connection:
        if not peer_rows.has_reviews(connection):
            return PeerReport()
        failures = peer_rows.failures(connection)
        groups = [np.array(ids, np.int64) for ids in peer_rows.ids_by_meaning(connection).values()]
        found = [_Group(ids, *peer_rows.pairs_among(connection, ids)) for ids in groups]
    tried = sorted(id for group in found for id in group.ids.tolist())
    return PeerReport(
        ids=tuple(learnware_name(id) for id in tried),
        pairs=sum(group.pairs for group in found),
        good_at={name: where for group in found for name, where in group.good_at().items()},
        twins=tuple(sorted(pair for group in found for pair in group.twins())),
        covered_by={name: other for group in found for name, other in group.covered_by().items()},
        doubtful=tuple(
            sorted((claim for group in found for claim in group.doubtful()), key=lambda claim: -claim.disagreement)
        ),
        failures={learnware_name(id): failure for id, failure in failures.items()},
    )


class _Group:
    """Learnwares whose outputs mean the same, and the pairs of them that are known, by sketch.

    In a dock of many each has met some twenty or forty others: all is done sketch by sketch, without a matrix of all.
    """

    def __init__(
        self, ids: IndexArray, models: IndexArray, sketches: IndexArray, means: FloatArray, mmd2: FloatArray
    ) -> None:
        self.ids = ids
        self.pairs = len(means)
        self._names = [learnware_name(id) for id in ids.tolist()]
        # Places in `ids`, which ascend.
        self._models, self._sketches = np.searchsorted(ids, models), np.searchsorted(ids, sketches)
        self._means, self._mmd2 = means, mmd2
        self._keys = self._sketches * len(ids) + self._models
        ends = np.searchsorted(self._sketches, np.arange(len(ids) + 1))
        self._columns = [slice(start, end) for start, end in itertools.pairwise(ends.tolist())]
        # What is usual on each sketch; NaN where too few were tried to say.
        self._usual = np.array([_median(means[column], _FEWEST_PEERS) for column in self._columns])

    def good_at(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, list[str]] = {}
        for pair in np.flatnonzero(self._at_most(_GOOD)).tolist():
            found.setdefault(self._names[self._models[pair]], []).append(self._names[self._sketches[pair]])
        return {name: tuple(where) for name, where in sorted(found.items())}

    def twins(self) -> list[tuple[str, str]]:
        close = self._at_most(_TWIN)
        models, sketches = self._models[close], self._sketches[close]
        both = (models < sketches) & np.isin(models * len(self.ids) + sketches, self._keys[close])
        pairs = zip(models[both].tolist(), sketches[both].tolist(), strict=True)
        return [(self._names[i], self._names[j]) for i, j in pairs]

    def covered_by(self) -> dict[str, str]:
        covered = {}
        for j, column in enumerate(self._columns):
            tried, lost = self._models[column], self._means[column]
            if len(tried) < _FEWEST_PEERS:
                continue
            best = int(np.argmin(lost))
            nearest = np.argsort(self._mmd2[column], kind="stable")[:_FEWEST_PEERS]
            if best in nearest and lost[best] <= _TWIN * self._usual[j]:
                covered[self._names[j]] = self._names[tried[best]]
        return covered

    def doubtful(self) -> list[DoubtfulClaim]:
        claims = []
        for j, column in enumerate(self._columns):
            nearest = np.argsort(self._mmd2[column], kind="stable")[:_MOST_PEERS]
            peers = self._models[column][nearest]
            if len(peers) < _FEWEST_PEERS:
                continue
            means, _ = trimmed_means(self._among(peers), np.ones(len(peers)))
            usual = _median(means, _FEWEST_PEERS)
            if usual > 0 and self._usual[j] > _DOUBTFUL * usual:
                claims.append(DoubtfulClaim(self._names[j], float(self._usual[j] / usual), len(peers)))
        return claims

    def _at_most(self, part: float) -> npt.NDArray[np.bool_]:
        """Which pairs lose no more than a part of what is usual on the sketch."""
        with np.errstate(invalid="ignore"):
            low: npt.NDArray[np.bool_] = self._means <= part * self._usual[self._sketches]
        return low

    def _among(self, peers: IndexArray) -> FloatArray:
        """Mean losses of some models on the sketches of each other, NaN where not known."""
        keys = peers[None, :] * len(self.ids) + peers[:, None]
        at = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return np.where(self._keys[at] == keys, self._means[at], np.nan)


def _median(values: FloatArray, fewest: int) -> float:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) >= fewest else float("nan")
