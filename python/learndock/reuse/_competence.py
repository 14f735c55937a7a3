"""How competent each learnware is at a row, by what it lost on its peers' sketches near that row.

With v_i the weight of learnware i in the mixture, mu_i its embedding, e_i(j, p) what its model lost at point z_jp of
the sketch of j, and L_i what it is predicted to lose on the whole (see `learndock.peers.Evidence`):

    l_i(x)  = (sum_jp k(x, z_jp)^4 s_jp e_i(j, p) + L_i) / (sum_jp k(x, z_jp)^4 s_jp + 1)
    z_i(x)  = (l_i(x) - min_i) / (median_i - min_i)
    pi_i(x) ~ sqrt(v_i) mu_i(x)^2 exp(-z_i(x))

The shares s have mean 1 over all points, less what the evidence does not trust. Where no peer review exists, pi_i(x) is
v_i mu_i(x)^2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from learndock import kernels
from learndock.peers import Evidence, PeerRecord
from learndock.peers.losses import weighted_moments

if TYPE_CHECKING:
    import numpy.typing as npt

    from learndock.specification import RKMETableSpecification

    FloatArray = npt.NDArray[np.float64]

__all__ = ["Competence"]

# A row this far from all points of a learnware tells nothing of it.
_NOTHING = 1e-150
# Two models that were tried on one sketch each were tried on different ones: nothing to compare them by. More than so
# many were tried on so many sketches, or specifications alone decide.
_FEWEST_SKETCHES = 2
# Rows at a time: their sums take some megabytes.
_ROWS_AT_ONCE = 8192
# A row is covered where the mixture's embedding is at least what it is at all but this part of its own points.
_UNCOVERED = 0.01


class Competence:
    """Weights of some learnwares, row by row.

    Parameters
    ----------
    specifications : sequence of RKMETableSpecification
        Comparable with each other.
    weights : ndarray of shape (n,)
        v, positive.
    records : sequence of PeerRecord or None
    ids : sequence of str or None
        By these, records name the sketches.
    """

    def __init__(
        self,
        specifications: Sequence[RKMETableSpecification],
        weights: FloatArray,
        records: Sequence[PeerRecord | None],
        ids: Sequence[str | None],
    ) -> None:
        self.specifications = specifications
        self.weights = weights / weights.sum()
        self._records = records
        self._ids = ids

    @cached_property
    def _point_losses(self) -> dict[tuple[int, int], FloatArray]:
        """What model i lost at the points of sketch j, by (i, j), as far as it was tried there."""
        found = {}
        for i, record in enumerate(self._records):
            held: Mapping[str, Any] = {} if record is None else record.losses
            for j, id in enumerate(self._ids):
                losses = None if id is None or i == j else held.get(id)
                if losses is not None and len(losses) == len(self.specifications[j].points):
                    found[i, j] = losses
        return found

    @property
    def reviewed(self) -> bool:
        """Whether the models were tried on enough of each other's sketches to compare them."""
        tried = (~np.isnan(self.losses)).sum(axis=1)
        return int((tried >= _FEWEST_SKETCHES).sum()) > _FEWEST_SKETCHES

    @cached_property
    def losses(self) -> FloatArray:
        """Mean losses of model i on sketch j, shape (n, n); NaN where not known."""
        means = np.full((len(self.weights), len(self.weights)), np.nan)
        for (i, j), losses in self._point_losses.items():
            means[i, j] = weighted_moments(losses, self.specifications[j].weights)[0]
        return means

    @cached_property
    def mmd2(self) -> FloatArray:
        """Squared MMDs between the specifications, shape (n, n)."""
        specs = self.specifications
        inner = np.array([[one.inner(other) for other in specs] for one in specs])
        norms = np.diag(inner)
        squared: FloatArray = norms[:, None] + norms[None, :] - inner - inner.T
        return squared

    @cached_property
    def _evidence(self) -> Evidence:
        owners = [None if record is None else record.submitter for record in self._records]
        return Evidence(self.weights, self.losses, owners)

    @cached_property
    def predicted(self) -> FloatArray:
        """L, shape (n,): of a model of which nothing is known, the median of the others'."""
        predicted = self._evidence.predicted
        unknown = np.isnan(predicted)
        if unknown.all():
            return np.zeros(len(predicted))
        return np.where(unknown, np.median(predicted[~unknown]), predicted)

    @cached_property
    def _sketches(self) -> list[tuple[FloatArray, FloatArray, FloatArray, FloatArray]]:
        """Sketches as `kernels.local_losses` takes them."""
        count = len(self.weights)
        trust = self._evidence.trust * count if self.reviewed else np.zeros(count)
        sketches = []
        for j, spec in enumerate(self.specifications):
            positive = np.maximum(spec.weights, 0.0)
            shares = positive / max(positive.sum(), np.finfo(float).tiny) * len(positive) * trust[j]
            nothing = np.full(len(positive), np.nan)
            losses = np.stack([self._point_losses.get((i, j), nothing) for i in range(count)], axis=1)
            sketches.append((spec.points, spec.weights, shares, losses))
        return sketches

    def row_weights(self, X: Any, *, shift: FloatArray | None = None, threads: int | None = None) -> FloatArray:
        """Weights pi of the learnwares at each row, shape (rows, n); each row's sum is 1.

        Parameters
        ----------
        X : array of shape (rows, d)
            In the units of the data.
        shift : ndarray of shape (n,), optional
            Added to what each model loses everywhere: what labels have told.
        threads : int, optional
        """
        rows = self.specifications[0].standardised(X)
        weights = np.empty((len(rows), len(self.weights)))
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            some = slice(start, start + _ROWS_AT_ONCE)
            weights[some] = self._weights_of(rows[some], shift, threads)
        return weights

    def _weights_of(self, rows: FloatArray, shift: FloatArray | None, threads: int | None) -> FloatArray:
        gamma = self.specifications[0].gamma
        lost, mass, embeddings = kernels.local_losses(rows, self._sketches, gamma=gamma, threads=threads)
        near = 2 * np.log(np.maximum(embeddings, _NOTHING))
        if not self.reviewed:
            return _shares(np.log(self.weights) + near)
        local = (lost + self.predicted) / (mass + 1)
        if shift is not None:
            local = local + shift
        above = local - local.min(axis=1, keepdims=True)
        # Of two learnwares the one that loses more, so that little evidence does not decide alone.
        middle = np.partition(above, above.shape[1] // 2, axis=1)[:, [above.shape[1] // 2]]
        # Where most are twins of the best, the mean is the unit; where all are, any number.
        middle = np.where(middle > 0, middle, above.mean(axis=1, keepdims=True))
        z = above / np.where(middle > 0, middle, 1.0)
        return _shares(0.5 * np.log(self.weights) + near - z)

    def covered(self, X: Any, *, threads: int | None = None) -> npt.NDArray[np.bool_]:
        """Whether the mixture's embedding is as large at a row as at nearly all of its own points. Shape (rows,)."""
        return self._mixture_at(self.specifications[0].standardised(X), threads) >= self._least_covered

    @cached_property
    def _least_covered(self) -> float:
        specs = self.specifications
        values = self._mixture_at(np.concatenate([spec.points for spec in specs]), None)
        shares = np.concatenate(
            [weight * np.maximum(spec.weights, 0.0) for weight, spec in zip(self.weights, specs, strict=True)]
        )
        order = np.argsort(values)
        below = np.cumsum(shares[order]) / shares.sum()
        return float(values[order[np.searchsorted(below, _UNCOVERED)]])

    def _mixture_at(self, rows: FloatArray, threads: int | None) -> FloatArray:
        points = np.concatenate([spec.points for spec in self.specifications])
        weights = np.concatenate(
            [weight * spec.weights for weight, spec in zip(self.weights, self.specifications, strict=True)]
        )
        return kernels.embed(points, weights, rows, gamma=self.specifications[0].gamma, threads=threads)


def _shares(logs: FloatArray) -> FloatArray:
    values = np.exp(logs - logs.max(axis=1, keepdims=True))
    shares: FloatArray = values / values.sum(axis=1, keepdims=True)
    return shares
