"""What peer review tells about the learnwares of a dock: where a model is good too, what repeats, what is doubtful."""

from __future__ import annotations

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

__all__ = ["DoubtfulClaim", "PeerReport", "peer_report"]

# Of what peers lose on a sketch at most, in the median: at or below, a model is good there too.
_GOOD = 1.0
# Losses of twins, on each other's sketches, as a part of what others lose there.
_TWIN = 0.05
# A claim is doubtful where its own model is that much farther from all peers than they are from each other.
_DOUBTFUL = 4.0
_FEWEST_PEERS = 3


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
        own = peer_rows.outputs_of(connection, sorted(peer_rows.known_outputs(connection)))
        groups: dict[str, list[int]] = {}
        for id, one in own.items():
            if one.outputs is not None:
                groups.setdefault(one.meaning, []).append(id)
        found = [_Group(ids, *peer_rows.matrices(connection, ids, ids)) for ids in groups.values()]
    failures = {learnware_name(id): one.failure for id, one in own.items() if one.failure is not None}
    tried = sorted(id for group in found for id in group.ids)
    return PeerReport(
        ids=tuple(learnware_name(id) for id in tried),
        pairs=sum(group.pairs for group in found),
        good_at={name: where for group in found for name, where in group.good_at().items()},
        twins=tuple(sorted(pair for group in found for pair in group.twins())),
        covered_by={name: other for group in found for name, other in group.covered_by().items()},
        doubtful=tuple(
            sorted((claim for group in found for claim in group.doubtful()), key=lambda claim: -claim.disagreement)
        ),
        failures=failures,
    )


class _Group:
    """Learnwares whose outputs mean the same."""

    def __init__(self, ids: list[int], losses: FloatArray, variances: FloatArray, mmd2: FloatArray) -> None:
        self.ids = ids
        self._names = [learnware_name(id) for id in ids]
        self._losses = losses
        self._mmd2 = mmd2
        self.pairs = int(np.count_nonzero(~np.isnan(losses)))
        # What is usual on each sketch; NaN where too few were tried to say.
        self._usual = np.array([_median(column, _FEWEST_PEERS) for column in losses.T])

    def good_at(self) -> dict[str, tuple[str, ...]]:
        with np.errstate(invalid="ignore"):
            good = self._losses <= _GOOD * self._usual
        return {
            name: tuple(self._names[j] for j in np.flatnonzero(row))
            for name, row in zip(self._names, good, strict=True)
            if row.any()
        }

    def twins(self) -> list[tuple[str, str]]:
        with np.errstate(invalid="ignore"):
            close = self._losses <= _TWIN * self._usual
        return [(self._names[i], self._names[j]) for i, j in np.argwhere(np.triu(close & close.T, 1)).tolist()]

    def covered_by(self) -> dict[str, str]:
        covered = {}
        for j, name in enumerate(self._names):
            tried = np.flatnonzero(~np.isnan(self._losses[:, j]))
            if len(tried) < _FEWEST_PEERS:
                continue
            best = tried[np.argmin(self._losses[tried, j])]
            nearest = tried[np.argsort(self._mmd2[tried, j], kind="stable")[:_FEWEST_PEERS]]
            if best in nearest and self._losses[best, j] <= _TWIN * self._usual[j]:
                covered[name] = self._names[best]
        return covered

    def doubtful(self) -> list[DoubtfulClaim]:
        claims = []
        for j, name in enumerate(self._names):
            peers = np.flatnonzero(~np.isnan(self._losses[:, j]))
            if len(peers) < _FEWEST_PEERS or np.isnan(self._usual[j]):
                continue
            among = self._losses[np.ix_(peers, peers)]
            means, _ = trimmed_means(among, np.ones(len(peers)))
            usual = _median(means, _FEWEST_PEERS)
            if usual > 0 and self._usual[j] > _DOUBTFUL * usual:
                claims.append(DoubtfulClaim(name, float(self._usual[j] / usual), len(peers)))
        return claims


def _median(values: FloatArray, fewest: int) -> float:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) >= fewest else float("nan")
