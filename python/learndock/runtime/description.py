"""What a model's process must know to start, and what it says once it has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["ModelDescription", "ModelInfo"]


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """Which class to instantiate, and how.

    Attributes
    ----------
    class_name : str
        The class, usually one that derives from ``learnware.model.BaseModel``.
    module_path : str
        A file inside the learnware's folder (ends with ".py"), or else the dotted name of a module.
    kwargs : mapping
        Keyword arguments of the constructor: numbers, strings, booleans, None, lists and dicts of these.
    """

    class_name: str = "Model"
    module_path: str = "__init__.py"
    kwargs: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What an instantiated model says about itself.

    Attributes
    ----------
    input_shape, output_shape : tuple of int or None
        Shape of one row and of its prediction; None where the model has no such attribute, or one that is no
        tuple of integers.
    """

    input_shape: tuple[int, ...] | None
    output_shape: tuple[int, ...] | None
