"""What peer reviews tell a user who searches: the loss that each hit will have, and how far to rely on that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import sqlalchemy as sa

from learndock.dock import peer_rows
from learndock.dock.ids import learnware_name
from learndock.dock.tables import peer_losses
from learndock.peers import Evidence, Reliability, distance_weights, reliability

if TYPE_CHECKING:
    import numpy.typing as npt

    from learndock.dock.catalog import Catalog
    from learndock.dock.mixtures import SearchRule
    from learndock.dock.results import SearchResult

    FloatArray = npt.NDArray[np.float64]

__all__ = ["with_reviews"]


def with_reviews(results: Sequence[SearchResult], catalog: Catalog, *, rule: SearchRule) -> list[SearchResult]:
    """Add what is known of models tried on the sketches near each user.

    Parameters
    ----------
    results : sequence of SearchResult
    catalog : Catalog
    rule : str
        That of the mixtures: the weights of "distance" are those of the evidence too; of others the singles serve.
    """
    with catalog.reading() as connection:
        if not peer_rows.has_reviews(connection) or connection.execute(sa.select(peer_losses).limit(1)).first() is None:
            return list(results)
        return [_with_reviews(connection, result, rule) for result in results]


def _with_reviews(connection: sa.Connection, result: SearchResult, rule: SearchRule) -> SearchResult:
    if result.mixture is not None and rule == "distance":
        near = [int(id) for id in result.mixture.ids]
        weights = np.array(result.mixture.weights)
    else:
        mmd2 = np.array([hit.mmd2 for hit in result.singles])
        given = distance_weights(mmd2) if len(mmd2) else mmd2
        near = [int(hit.id) for hit, weight in zip(result.singles, given, strict=True) if weight > 0]
        weights = given[given > 0]
    if len(near) < 2:
        return result
    ids = near + [int(hit.id) for hit in result.singles if int(hit.id) not in near]
    own = peer_rows.facts_of(connection, ids)
    submitters = peer_rows.submitters(connection, near)
    predicted: dict[str, float] = {}
    judged: list[tuple[float, Reliability]] = []
    # Losses of outputs that mean different things have different units.
    for meaning in {own[id].meaning for id in near if id in own}:
        alike = [i for i, id in enumerate(near) if id in own and own[id].meaning == meaning]
        sketches = [near[i] for i in alike]
        models = sketches + [id for id in ids[len(near) :] if id in own and own[id].meaning == meaning]
        means, variances, mmd2 = peer_rows.matrices(connection, models, sketches)
        share = float(weights[alike].sum())
        if np.isnan(means).all() or share == 0:
            continue
        evidence = Evidence(weights[alike], means, [submitters.get(id) for id in sketches])
        found = zip(models, evidence.predicted.tolist(), strict=True)
        predicted.update((learnware_name(id), loss) for id, loss in found if not np.isnan(loss))
        judged.append((share, _reliability(evidence, variances, mmd2, [own[id] for id in sketches])))
    return replace(
        result,
        singles=tuple(replace(hit, predicted_loss=predicted.get(hit.id)) for hit in result.singles),
        reliability=max(judged, key=lambda one: one[0])[1] if judged else None,
    )


def _reliability(
    evidence: Evidence, variances: FloatArray, mmd2: FloatArray, own: Sequence[peer_rows.OutputFacts]
) -> Reliability:
    count = len(own)
    lost = evidence.predicted[:count]
    among = mmd2[:count]
    said = _ratio(evidence.weights, lost, [one.variance for one in own])
    return reliability(
        evidence.losses[:count],
        variances[:count],
        np.fmin(among, among.T),
        points=float(np.median([one.points for one in own])),
        # Models that all say one number, and the same, do not disagree.
        disagreement=0.0 if said is None and not np.nansum(lost) else said,
        peer_ratio=_ratio(evidence.weights, lost, [one.validation_loss for one in own]),
    )


def _ratio(weights: FloatArray, lost: FloatArray, over: Sequence[float | None]) -> float | None:
    """What models near a user are predicted to lose, over something else that is known of them."""
    other = np.array([np.nan if value is None else value for value in over])
    both = ~np.isnan(lost) & ~np.isnan(other)
    total = float(weights[both] @ other[both])
    return float(weights[both] @ lost[both]) / total if total > 0 else None
