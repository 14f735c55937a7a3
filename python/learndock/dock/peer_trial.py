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
from learndock.peers.losses import weighted_mean, weighted_moments

if TYPE_CHECKING:
    import numpy.typing as npt

    from learndock.learnware import Learnware
    from learndock.learnware.meaning import OutputMeaning
    from learndock.specification import RKMETableSpecification

    FloatArray = npt.NDArray[np.float64]

__all__ = ["Trial", "losses_on", "try_model"]

_LONGEST_FAILURE = 500
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """What a model said.

    Attributes
    ----------
    own : OwnOutputs
        At the points of its own specification.
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
    anybody's.

    Raises
    ------
    IsolationUnavailable
        The model can't be contained here as well as it must be.
    """
    columns = meaning.dimension or 0
    specs = [own, *sketches.values()]
    try:
        answer = learnware.predict(np.concatenate([spec.raw_points for spec in specs]))
        # What is kept is float32.
        outputs = np.clip(truth_of(learnware_name(number), answer, meaning), -_LARGEST, _LARGEST)
    except IsolationUnavailable:  # says something of this machine, and nothing of the model
        raise
    except LearndockError as error:
        failure = " ".join(str(error).split())[:_LONGEST_FAILURE]
        return Trial(OwnOutputs(number, meaning.key, columns, None, failure=failure), {})
    ends = np.cumsum([len(spec.points) for spec in specs])
    first, *others = np.split(outputs, ends[:-1])
    centre = weighted_mean(first, own.weights)
    variance, _ = weighted_moments(point_losses(first, centre, meaning), own.weights)
    kept = OwnOutputs(number, meaning.key, columns, first, variance, _validation_loss(learnware))
    return Trial(kept, dict(zip(sketches, others, strict=True)))


def _validation_loss(learnware: Learnware) -> float | None:
    """What it lost on its developer's rows, in the unit of `point_losses`."""
    validation = learnware.validation
    if validation is None:
        return None
    # The Brier score of a number of a class is 2 where it is wrong.
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
    """What a model loses on a sketch with the owner's outputs as the truth; None where there are none."""
    if truth.outputs is None or truth.outputs.shape != outputs.shape:
        return None
    losses = point_losses(outputs, truth.outputs, meaning)
    losses = np.minimum(losses, _LARGEST)
    mean, variance = weighted_moments(losses, sketch.weights)
    return PeerLosses(model, truth.id, mean, variance, mmd2, losses)
