"""Whether the semantic specification fits the learnware."""

from __future__ import annotations

from typing import TYPE_CHECKING

from learndock.checker.result import CheckResult, Status

if TYPE_CHECKING:
    from learndock.learnware import Learnware

__all__ = ["SemanticChecker"]


class SemanticChecker:
    """Checks that there is a semantic specification, and that it fits the statistical one; it starts nothing.

    That each of its values is allowed was checked when it was made.
    """

    def check(self, learnware: Learnware) -> CheckResult:
        """Check one learnware.

        Parameters
        ----------
        learnware : Learnware

        Returns
        -------
        CheckResult
            INVALID where the specification is missing or does not fit.
        """
        semantic, statistical = learnware.semantic, learnware.specification
        if semantic is None:
            message = "the semantic specification is missing"
            return CheckResult("semantic", Status.INVALID, message, {"present": False})
        if (
            statistical is not None
            and semantic.data == "Table"
            and statistical.input_shape != (semantic.input_dimension,)
        ):
            message = (
                f"Input has dimension {semantic.input_dimension}, but the points of the statistical specification have "
                f"shape {statistical.input_shape}"
            )
            return CheckResult("semantic", Status.INVALID, message, {"present": True, "input": message})
        message = "the semantic specification is there and fits the statistical one"
        return CheckResult("semantic", Status.USABLE, message, {"present": True})
