"""Whether the model runs, and predicts what its specifications say."""

from __future__ import annotations

import math
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from learndock.checker.result import CheckResult, Status
from learndock.errors import ModelError
from learndock.runtime import ModelLimits, ModelProcess

if TYPE_CHECKING:
    from os import PathLike

    import numpy.typing as npt

    from learndock.learnware import Learnware
    from learndock.runtime import IsolationRequest, ModelInfo
    from learndock.specification import SemanticSpecification

__all__ = ["StatisticalChecker"]

_PASSED = "passed"
_ROWS = 10
_SEED = 0
_LARGEST_INPUT = 64 * 2**20
# Pairs of points, times columns and what a pair costs beside them: some ten seconds of two cores.
_MOST_WORK, _PAIR_COLUMNS = 10**12, 50
# For these the shape and type of predictions are fixed.
_NUMERIC_TASKS = ("Classification", "Regression", "Feature Extraction")


class StatisticalChecker:
    """Starts the model in its own process, and checks it against both specifications.

    The checks, by their names in `CheckResult.details`: ``specification`` (there is a statistical one),
    ``self_distance`` (its distance to itself is finite), ``instantiation``, ``input_shape`` (the model's, against
    the semantic and the statistical specification), ``prediction`` (of 10 random rows, of the shape that the
    specifications say), ``output_length``, ``output_type``, ``output_shape`` (against the model's), ``output_values``
    (no NaN, no infinity), ``labels`` (of a classification: in range, or one number for each class),
    ``output_dimension`` (of a regression). A check whose ground is missing is not there: without predictions nothing
    is said of their shape.

    A model that passed goes on running for the learnware, until that is closed.

    Parameters
    ----------
    limits : ModelLimits, optional
        What the model's process may use; `seconds` is for the start and the prediction together.
    start : bool
        False checks without the model: the result is then NONUSABLE at best.
    isolation : {"auto", "require", "landlock", "namespace"}
        How well the model must be contained, see `ModelProcess`. How well it was is in the details as ``isolation``.
    python : path, optional
        The interpreter to run the model with, by default this one.
    """

    def __init__(
        self,
        *,
        limits: ModelLimits | None = None,
        start: bool = True,
        isolation: IsolationRequest = "auto",
        python: str | PathLike[str] = sys.executable,
    ) -> None:
        self._limits = limits or ModelLimits()
        self._start = start
        self._isolation: IsolationRequest = isolation
        self._python = python

    def check(self, learnware: Learnware) -> CheckResult:
        """Check one learnware.

        Parameters
        ----------
        learnware : Learnware

        Returns
        -------
        CheckResult
            INVALID where a check failed; the message lists all that did.

        Raises
        ------
        IsolationUnavailable
            The model can't be contained here as well as it must be; that is no fault of the learnware.
        """
        found = _check_specification(learnware)
        best, summary = Status.NONUSABLE, "the model was not started"
        contained: dict[str, str] = {}
        process = None
        if self._start:
            process = ModelProcess(
                learnware.folder,
                learnware.description.model,
                limits=self._limits,
                python=self._python,
                isolation=self._isolation,
            )
            try:
                found |= self._check_model(process, learnware)
            except BaseException:
                process.close()
                raise
            if process.isolation is not None:
                contained["isolation"] = process.isolation.name.lower()
            best, summary = Status.USABLE, "the model predicts as its specifications say"
        faults = [f"{name}: {fault}" for name, fault in found.items() if fault != _PASSED]
        if process is not None:
            if faults:
                process.close()
            else:
                learnware.adopt(process)
        if faults:
            return CheckResult("statistical", Status.INVALID, "; ".join(faults), found | contained)
        return CheckResult("statistical", best, summary, found | contained)

    def _check_model(self, process: ModelProcess, learnware: Learnware) -> dict[str, str]:
        deadline = time.monotonic() + self._limits.seconds
        try:
            info = process.start()
        except ModelError as error:
            return {"instantiation": str(error)}
        found = {"instantiation": _PASSED, "input_shape": _input_fault(info, learnware)}
        shape = _row_shape(learnware)
        if shape is None:
            return found
        size = math.prod(shape) * _ROWS * np.dtype(np.float64).itemsize
        if size > _LARGEST_INPUT:
            fault = f"{_ROWS} rows of shape {shape} take {size} bytes, at most {_LARGEST_INPUT} are tried"
            return found | {"prediction": fault}
        rows = np.random.default_rng(_SEED).standard_normal((_ROWS, *shape))
        try:
            outputs = process.call("predict", rows, seconds=max(0.0, deadline - time.monotonic()))
        except ModelError as error:
            return found | {"prediction": str(error)}
        return found | {"prediction": _PASSED} | _check_outputs(outputs, info, learnware.semantic)


def _check_specification(learnware: Learnware) -> dict[str, str]:
    specification = learnware.specification
    if specification is None:
        return {"specification": "there is no statistical specification"}
    count, columns = specification.points.shape
    if count**2 * (columns + _PAIR_COLUMNS) > _MOST_WORK:
        most = math.isqrt(_MOST_WORK // (columns + _PAIR_COLUMNS))
        fault = f"the specification has {count} points, at most {most} of {columns} columns are compared"
        return {"specification": _PASSED, "self_distance": fault}
    inner = specification.inner(specification)
    distance = inner - 2 * inner + inner
    finite = _PASSED if math.isfinite(distance) else f"the distance to itself is {distance}, expected a finite number"
    return {"specification": _PASSED, "self_distance": finite}


def _row_shape(learnware: Learnware) -> tuple[int, ...] | None:
    """Shape of the rows to try, by the specifications: the model's own word could be any size."""
    if learnware.specification is not None:
        return learnware.specification.input_shape
    semantic = learnware.semantic
    if semantic is not None and semantic.data == "Table" and semantic.input_dimension is not None:
        return (semantic.input_dimension,)
    return None


def _input_fault(info: ModelInfo, learnware: Learnware) -> str:
    if info.input_shape is None:
        return "the model's input_shape is missing, or no tuple of integers"
    semantic, specification = learnware.semantic, learnware.specification
    expected: dict[str, tuple[int, ...]] = {}
    if semantic is not None and semantic.data == "Table" and semantic.input_dimension is not None:
        expected["the semantic specification's Input"] = (semantic.input_dimension,)
    if specification is not None:
        expected["the statistical specification's points"] = specification.input_shape
    faults = [f"{source} {shape}" for source, shape in expected.items() if shape != info.input_shape]
    return f"the model has {info.input_shape}, {' and '.join(faults)}" if faults else _PASSED


def _check_outputs(
    outputs: npt.NDArray[Any], info: ModelInfo, semantic: SemanticSpecification | None
) -> dict[str, str]:
    if outputs.ndim == 0 or len(outputs) != _ROWS:
        return {"output_length": f"predict returned shape {outputs.shape}, expected {_ROWS} rows"}
    found = {"output_length": _PASSED}
    task = semantic.task if semantic is not None else None
    if task in _NUMERIC_TASKS:
        numeric = outputs.dtype.kind in "biuf"
        found["output_type"] = _PASSED if numeric else f"predict returned dtype {outputs.dtype}, expected numbers"
        if not numeric:
            return found
    elif info.output_shape is None:
        return found
    # One number a row may come as (n,) or as (n, 1).
    columns = outputs[:, np.newaxis] if outputs.ndim == 1 else outputs
    found["output_shape"] = _output_fault(columns.shape[1:], info)
    dimension = semantic.output_dimension if semantic is not None else None
    finite = outputs.dtype.kind != "f" or bool(np.isfinite(outputs).all())
    found["output_values"] = _PASSED if finite else "predict returned NaN or infinity"
    if task == "Classification":
        found["labels"] = _label_fault(columns, dimension)
    elif task == "Regression":
        correct = columns.shape[1:] == (dimension,)
        found["output_dimension"] = (
            _PASSED if correct else f"rows of shape {columns.shape[1:]}, the semantic specification says {dimension}"
        )
    return found


def _output_fault(shape: tuple[int, ...], info: ModelInfo) -> str:
    if info.output_shape is None:
        return "the model's output_shape is missing, or no tuple of integers"
    if shape != info.output_shape:
        return f"predict returned rows of shape {shape}, the model's output_shape is {info.output_shape}"
    return _PASSED


def _label_fault(columns: npt.NDArray[Any], classes: int | None) -> str:
    if classes is None:
        return "the semantic specification has no number of classes"
    if columns.shape[1:] == (classes,):
        return _PASSED
    if columns.shape[1:] != (1,):
        return f"rows of shape {columns.shape[1:]}, expected one label or {classes} numbers, one for each class"
    # NaN is in no range.
    wrong = columns[~((columns >= 0) & (columns < classes) & (columns == np.floor(columns)))]
    if wrong.size:
        return f"the label {wrong.flat[0]} is none of the integers 0 to {classes - 1}"
    return _PASSED
