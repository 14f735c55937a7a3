"""What peers' sketches tell about one model: the record that a learnware brings along from its dock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["PeerRecord"]


@dataclass(frozen=True, slots=True, eq=False)
class PeerRecord:
    """Where a model was tried, and what it lost there.

    Attributes
    ----------
    losses : mapping of str to ndarray of shape (K_j,)
        By the id of the learnware whose sketch it was tried on: at each point of that sketch, in its order, with that
        learnware's own output as the truth. Brier score of a classification, squared difference of a regression.
    submitter : str or None
        Who submitted the learnware, where the dock knows: see `capped_shares`.
    """

    losses: Mapping[str, npt.NDArray[np.float64]]
    submitter: str | None = None
