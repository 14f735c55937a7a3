"""A fitted model, measured on labelled rows that it has not seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from learndock._validation import as_array, finite, finite_float64
from learndock.errors import InvalidArgument
from learndock.learnware._class_columns import class_columns
from learndock.learnware._packed_answers import in_columns, predictions_of
from learndock.learnware.validation import Validation

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from learndock.specification import RKMETableSpecification, SemanticSpecification

__all__ = ["validated"]


def validated(
    model: Any,
    settings: Mapping[str, Any],
    validation: Any,
    specification: RKMETableSpecification,
    semantic: SemanticSpecification,
) -> Validation:
    """Measure what the packed model will predict on the rows of `validation`, a pair (X, y), as `pack` takes it.

    Raises
    ------
    InvalidArgument
        It is no such pair, does not fit the specifications, or the model fails on it.
    """
    if not isinstance(validation, tuple | list) or len(validation) != 2:
        raise InvalidArgument(f"validation: expected a pair (X, y), got {type(validation).__name__}")
    if semantic.task not in ("Classification", "Regression"):
        raise InvalidArgument(f"validation: expected a Classification or a Regression, got {semantic.task}")
    # Missing values stay: what a model makes of them is part of how well it does.
    rows = as_array(validation[0], "validation: X")
    if rows.shape[1:] != specification.input_shape or not len(rows):
        raise InvalidArgument(
            f"validation: X: expected one or more rows of shape {specification.input_shape}, as the specification has, "
            f"got shape {rows.shape}"
        )
    answer, _ = predictions_of(model, settings["method"], rows, "the rows of the validation")
    if semantic.task == "Classification":
        classes = _classes(validation[1], semantic)
        _require_as_many(classes, rows)
        output = in_columns(answer, model.classes_, settings["columns"], semantic.output_dimension or 0)
        finite(output, "validation: the model's predictions")
        return Validation.of_classes(output, classes)
    targets = _flat(finite_float64(validation[1], "validation: y"))
    _require_as_many(targets, rows)
    output = _flat(finite_float64(answer, "validation: the model's predictions"))
    if output.shape != targets.shape:
        raise InvalidArgument(f"validation: y: expected shape {output.shape}, as predictions have, got {targets.shape}")
    return Validation.of_targets(output, targets)


def _classes(y: Any, semantic: SemanticSpecification) -> npt.NDArray[np.int64]:
    """Numbers of the classes that labels name or number."""
    labels = _flat(np.asarray(y))
    if labels.ndim != 1:
        raise InvalidArgument(f"validation: y: expected one label per row, got shape {labels.shape}")
    known = list(dict.fromkeys(labels.tolist()))
    numbers = class_columns(np.array(known, dtype=object), semantic, called="validation: y: its class")
    number_of = dict(zip(known, numbers, strict=True))
    return np.array([number_of[label] for label in labels.tolist()], dtype=np.int64)


def _require_as_many(labels: npt.NDArray[Any], rows: npt.NDArray[Any]) -> None:
    if len(labels) != len(rows):
        raise InvalidArgument(f"validation: y: expected one for each of the {len(rows)} rows, got {len(labels)}")


def _flat(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """One column as none."""
    return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
