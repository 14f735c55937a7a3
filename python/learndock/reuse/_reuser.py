"""What reusers that combine outputs by their meaning share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from learndock.reuse._parameters import Parameters

if TYPE_CHECKING:
    from learndock.learnware.meaning import OutputMeaning
    from learndock.learnware.validation import Validation
    from learndock.reuse._alignment import Alignment
    from learndock.reuse._learnwares import Predictor

__all__ = ["Reuser", "tags_of"]


class Reuser(Parameters, ABC):
    """Combines learnwares whose outputs mean the same."""

    learnwares: Sequence[Predictor]

    @property
    def meaning(self) -> OutputMeaning:
        """What the columns, or the numbers of classes, of the predictions mean: ``meaning.shown`` has their names.

        Raises
        ------
        SpecificationMismatch
            If the outputs of two learnwares do not mean the same.
        """
        return self._alignment().common

    @abstractmethod
    def _alignment(self) -> Alignment:
        """What the outputs of every learnware that has a weight mean."""

    def _validations(self, members: Iterable[int]) -> dict[str, Validation | None]:
        """What the learnwares of these indices ship, by the names that errors use."""
        return {f"learnwares[{i}]": getattr(self.learnwares[i], "validation", None) for i in members}


def tags_of(*, regression: bool) -> Any:
    """What scikit-learn is to know of an estimator that needs no training."""
    from sklearn.utils import ClassifierTags, RegressorTags, Tags, TargetTags

    return Tags(
        estimator_type="regressor" if regression else "classifier",
        target_tags=TargetTags(required=False),
        regressor_tags=RegressorTags() if regression else None,
        classifier_tags=None if regression else ClassifierTags(),
        requires_fit=False,
    )
