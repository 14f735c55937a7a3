"""Which output column each class of a classifier belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from learndock.errors import InvalidArgument

if TYPE_CHECKING:
    from learndock.specification import SemanticSpecification

__all__ = ["class_columns"]


def class_columns(classes: Any, semantic: SemanticSpecification, *, called: str = "model: its class") -> list[int]:
    """Find the number of each class in the order of the semantic specification's Output.

    Parameters
    ----------
    classes : array
        ``classes_`` of a classifier: integers, which are the numbers, or strings, which are the descriptions.
    semantic : SemanticSpecification
        Of a classification.
    called : str
        What an error calls one of the classes.

    Raises
    ------
    InvalidArgument
        A class is not among those of the specification.
    """
    dimension = semantic.output_dimension
    if dimension is None:
        raise InvalidArgument("semantic: Output: expected the classes of the model, got none")
    if isinstance(classes, list):
        raise InvalidArgument(f"model: expected one label per row, got a classifier of {len(classes)} outputs")
    named = {name: int(number) for number, name in semantic.output_description.items()}
    columns = []
    for label in np.asarray(classes).tolist():
        column: Any = named.get(label) if isinstance(label, str) else label
        # By equality: a float such as 1.0 is a class number, too, and so are the truth values.
        if column not in range(dimension):
            raise InvalidArgument(
                f"{called} {label!r:.200} is not in the semantic specification's Output: expected integers from 0 "
                f"to {dimension - 1}, or one of {', '.join(map(repr, named)) or 'no names'}"
            )
        columns.append(int(column))
    return columns
