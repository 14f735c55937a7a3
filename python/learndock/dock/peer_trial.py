"""One model, tried: on the points of its own specification and of its peers'."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from learndock.dock.ids import learnware_name
from learndock.dock.peer_rows import OwnOutputs, PeerLosses
from learndock.errors import IsolationUnavailable, LearndockError
from learndock.peers import point_losses, truth_of
from learndock.peers.losses import in_order_of_names, weighted_mean, weighted_moments

if TYPE_CHECKING:
    import numpy.typing as npt

    from learndock.learnware import Learnware
    from learndock.learnware.meaning import OutputMeaning
    from learndock.specification import RKMETableSpecification

    FloatArray = npt.NDArray[np.float64]

__all__ = ["Trial", "failed", "losses_on", "try_model"]

_LONGEST_FAILURE = 500
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """What a model said.

    Attributes
    ----------
    own : OwnOutputs
        What counts as the truth at the points of its own specification.
    outputs : mapping of int to ndarray of shape (K_j, columns)
        At the points of the sketches that it was tried on; none where it failed.
    """

    own: OwnOutputs
    outputs: Mapping[int, FloatArray]


def try_model(
    number: int,
    learnware: Learnware,
    meaning: OutputMeaning,
    own: RKMETableSpecification,
    sketches: Mapping[int, RKMETableSpecification],
) -> Trial:
    """Have a model predict all points in one call. Whatever it does, that is a result: a failure is kept as such.

    Points are those that the dock holds, in the units of the data: of what travels to the model, nothing is a row of
    anybody's. Where a learnware ships mean labels of its points, they are the truth there, and its model's output only
    where it ships none.

    Raises
    ------
    IsolationUnavailable
        The model can't be contained here as well as it must be.
    """
    specs = [own, *sketches.values()]
    try:
        answer = learnware.predict(np.concatenate([spec.raw_points for spec in specs]))
        # What is kept is float32.
        outputs = np.clip(truth_of(learnware_name(number), answer, meaning), -_LARGEST, _LARGEST)
    except IsolationUnavailable:  # says something of this machine, and nothing of the model
        raise
    except LearndockError as error:
        return failed(number, meaning, error)
    ends = np.cumsum([len(spec.points) for spec in specs])
    said, *others = np.split(outputs, ends[:-1])
    truth = _truth(said, learnware.labelled_sketch, meaning)
    centre = weighted_mean(truth, own.weights)
    variance, _ = weighted_moments(point_losses(truth, centre, meaning), own.weights)
    loss = _validation_loss(learnware)
    return Trial(
        OwnOutputs(number, meaning.key, truth.shape[1], truth, variance, loss), dict(zip(sketches, others, strict=True))
    )


def failed(number: int, meaning: OutputMeaning, error: LearndockError) -> Trial:
    """What comes of a model that could not be tried."""
    failure = " ".join(str(error).split())[:_LONGEST_FAILURE]
    return Trial(OwnOutputs(number, meaning.key, meaning.dimension or 0, None, failure=failure), {})


def _truth(said: FloatArray, means: FloatArray | None, meaning: OutputMeaning) -> FloatArray:
    """A model's own output at its points, or the mean label where it ships one."""
    # Opened by itself, a learnware was checked against a semantic part of its own.
    if means is None or means.shape != said.shape:
        return said
    labels = np.clip(in_order_of_names(means, meaning), -_LARGEST, _LARGEST)
    return np.where(np.isnan(labels), said, labels)


def _validation_loss(learnware: Learnware) -> float | None:
    """What the model lost on rows of its developer's, in the unit of losses on sketches."""
    validation = learnware.validation
    if validation is None:
        return None
    # The Brier score of a class for certain is 0 or 2.
    return 2 * validation.loss if validation.measure == "error rate" else validation.loss


def losses_on(
    model: int,
    sketch: RKMETableSpecification,
    outputs: FloatArray,
    truth: OwnOutputs,
    *,
    meaning: OutputMeaning,
    mmd2: float,
) -> PeerLosses | None:
    """What a model loses on a sketch with what its owner says as the truth; None where nothing is said."""
    if truth.outputs is None or truth.outputs.shape != outputs.shape:
        return None
    losses = point_losses(outputs, truth.outputs, meaning)
    losses = np.minimum(losses, _LARGEST)
    mean, variance = weighted_moments(losses, sketch.weights)
    return PeerLosses(model, truth.id, mean, variance, mmd2, losses)
