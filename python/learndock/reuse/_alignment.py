"""What learnwares predict, in one order of classes or targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from learndock.learnware.meaning import OutputMeaning, aligned, common_meaning, require_columns
from learndock.reuse import _outputs
from learndock.specification import SemanticSpecification

if TYPE_CHECKING:
    import numpy.typing as npt

    from learndock.reuse._learnwares import Predictor

__all__ = ["Alignment"]


@dataclass(frozen=True, slots=True)
class Alignment:
    """What the outputs of some learnwares mean, each and together.

    Attributes
    ----------
    meanings : mapping of str to OutputMeaning
        Each learnware's, by the names that errors use, such as "learnwares[3]".
    common : OutputMeaning
        Of the combination: its columns and numbers of classes.
    """

    meanings: Mapping[str, OutputMeaning]
    common: OutputMeaning

    @classmethod
    def of(cls, learnwares: Sequence[Predictor], members: Sequence[int]) -> Self:
        """Find what the learnwares of these indices mean together.

        Raises
        ------
        SpecificationMismatch
            Two mean different things; the message names both learnwares and both descriptions.
        """
        meanings = {f"learnwares[{i}]": _meaning(learnwares[i]) for i in members}
        return cls(meanings, common_meaning(list(meanings.values()), names=list(meanings)))

    @property
    def classifies(self) -> bool:
        """Whether a learnware says that it is a classification; then none says that it is not."""
        return self.common.task == "Classification"

    @property
    def lacks_classes(self) -> bool:
        """Whether a learnware does not know every class of the combination."""
        return self.classifies and any(
            meaning.names is not None and meaning.dimension != self.common.dimension
            for meaning in self.meanings.values()
        )

    def numbers(self, name: str, output: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """The output as float64, its columns in the common order; text is an error.

        Columns of classes that not all learnwares know are probabilities: there is no logit for a missing class.
        """
        if self.lacks_classes and output.ndim == 2:
            return self.probabilities(name, output, instead="")
        return self.aligned(name, _outputs.numbers(name, output))

    def labels(self, name: str, output: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """One label a row: numbers of classes in the common order, or names of classes as the first spells them."""
        require_columns(output, self.meanings[name], self.common, name=name)
        return self.aligned(name, _outputs.labels(name, output))

    def probabilities(self, name: str, output: npt.NDArray[Any], *, instead: str) -> npt.NDArray[np.float64]:
        """The output as probabilities in the common order of classes; a class that it does not know has 0.

        `instead` ends the error for labels: what takes them.
        """
        return self.aligned(name, _outputs.probabilities(name, output, instead=instead))

    def aligned(self, name: str, output: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The output in the common order; see `learndock.learnware.meaning.aligned`."""
        return aligned(output, self.meanings[name], self.common, name=name)


def _meaning(learnware: Predictor) -> OutputMeaning:
    semantic = getattr(learnware, "semantic", None)
    return OutputMeaning.of(semantic if isinstance(semantic, SemanticSpecification) else None)
