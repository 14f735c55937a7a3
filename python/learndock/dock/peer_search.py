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
from learndock.peers import Evidence, distance_weights, reliability

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
    others = [int(hit.id) for hit in result.singles if int(hit.id) not in near]
    means, variances, mmd2 = peer_rows.matrices(connection, [*near, *others], near)
    if np.isnan(means).all():
        return result
    submitters = peer_rows.submitters(connection, near)
    own = np.equal.outer([*near, *others], near)
    evidence = Evidence(weights, means, [submitters.get(id) for id in near], own)
    predicted = {
        learnware_name(id): loss
        for id, loss in zip([*near, *others], evidence.predicted.tolist(), strict=True)
        if not np.isnan(loss)
    }
    count = len(near)
    among = mmd2[:count]
    outputs = peer_rows.outputs_of(connection, near)
    said = [outputs.get(id) for id in near]
    lost = evidence.predicted[:count]
    judged = reliability(
        means[:count],
        variances[:count],
        np.fmin(among, among.T),
        disagreement=_ratio(weights, lost, [own.variance if own else None for own in said]),
        peer_ratio=_ratio(weights, lost, [own.validation_loss if own else None for own in said]),
    )
    return replace(
        result,
        singles=tuple(replace(hit, predicted_loss=predicted.get(hit.id)) for hit in result.singles),
        reliability=judged,
    )


def _ratio(weights: FloatArray, lost: FloatArray, over: Sequence[float | None]) -> float | None:
    """What models near a user are predicted to lose, over something else that is known of them."""
    other = np.array([np.nan if value is None else value for value in over])
    both = ~np.isnan(lost) & ~np.isnan(other)
    total = float(weights[both] @ other[both])
    return float(weights[both] @ lost[both]) / total if total > 0 else None
