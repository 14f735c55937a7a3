"""Labelled rows as `pack` takes them, beside what the packed model predicts of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from learndock._validation import as_array, finite, finite_float64
from learndock.errors import InvalidArgument
from learndock.learnware._class_columns import class_columns
from learndock.learnware._packed_answers import in_columns, predictions_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from learndock.specification import RKMETableSpecification, SemanticSpecification

__all__ = ["LabelledRows", "labelled_rows"]


@dataclass(frozen=True, slots=True, eq=False)
class LabelledRows:
    """Rows, what the packed model says of them, and what is true.

    Attributes
    ----------
    rows : ndarray of shape (n, d)
        As they came: missing values stay, for what a model makes of them is part of how well it does.
    output : ndarray of shape (n,) or (n, columns)
        In the order of the semantic specification's Output.
    truth : ndarray
        Of a classification the numbers of the classes, (n,); of a regression the targets, of the shape of `output`.
    """

    rows: npt.NDArray[Any]
    output: npt.NDArray[Any]
    truth: npt.NDArray[Any]


def labelled_rows(
    pair: Any,
    model: Any,
    settings: Mapping[str, Any],
    specification: RKMETableSpecification,
    semantic: SemanticSpecification,
    *,
    name: str,
) -> LabelledRows:
    """Check a pair (X, y), and have the model predict X as the packed one will.

    Parameters
    ----------
    pair : object
        As it was given under `name`.
    model : object
    settings : mapping
        Of packed_model.json.
    specification : RKMETableSpecification
    semantic : SemanticSpecification
    name : str

    Raises
    ------
    InvalidArgument
        It is no such pair, does not fit the specifications, or the model fails on it.
    """
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise InvalidArgument(f"{name}: expected a pair (X, y), got {type(pair).__name__}")
    if semantic.task not in ("Classification", "Regression"):
        raise InvalidArgument(f"{name}: expected a Classification or a Regression, got {semantic.task}")
    rows = as_array(pair[0], f"{name}: X")
    if rows.shape[1:] != specification.input_shape or not len(rows):
        raise InvalidArgument(
            f"{name}: X: expected one or more rows of shape {specification.input_shape}, as the specification has, "
            f"got shape {rows.shape}"
        )
    answer, _ = predictions_of(model, settings["method"], rows, f"the rows of the {name.replace('_', ' ')}")
    if semantic.task == "Classification":
        classes = _classes(pair[1], semantic, name)
        _require_as_many(classes, rows, name)
        output = in_columns(answer, model.classes_, settings["columns"], semantic.output_dimension or 0)
        finite(output, f"{name}: the model's predictions")
        return LabelledRows(rows, output, classes)
    targets = _flat(finite_float64(pair[1], f"{name}: y"))
    _require_as_many(targets, rows, name)
    output = _flat(finite_float64(answer, f"{name}: the model's predictions"))
    if output.shape != targets.shape:
        raise InvalidArgument(f"{name}: y: expected shape {output.shape}, as predictions have, got {targets.shape}")
    return LabelledRows(rows, output, targets)


def _classes(y: Any, semantic: SemanticSpecification, name: str) -> npt.NDArray[np.int64]:
    """Numbers of the classes that labels name or number."""
    labels = _flat(np.asarray(y))
    if labels.ndim != 1:
        raise InvalidArgument(f"{name}: y: expected one label per row, got shape {labels.shape}")
    known = list(dict.fromkeys(labels.tolist()))
    numbers = class_columns(np.array(known, dtype=object), semantic, called=f"{name}: y: its class")
    number_of = dict(zip(known, numbers, strict=True))
    return np.array([number_of[label] for label in labels.tolist()], dtype=np.int64)


def _require_as_many(labels: npt.NDArray[Any], rows: npt.NDArray[Any], name: str) -> None:
    if len(labels) != len(rows):
        raise InvalidArgument(f"{name}: y: expected one for each of the {len(rows)} rows, got {len(labels)}")


def _flat(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """One column as none."""
    return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
