"""A space: the specifications that can be compared with each other."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from learndock.specification import RKMETableSpecification

__all__ = ["Space"]


@dataclass(frozen=True, slots=True)
class Space:
    """Type, input shape and gamma. A search sees its own space only.

    Attributes
    ----------
    type : str
        Such as "RKMETableSpecification".
    input_shape : tuple of int
    gamma : float
    """

    type: str
    input_shape: tuple[int, ...]
    gamma: float

    @classmethod
    def of(cls, specification: RKMETableSpecification) -> Space:
        """The space that a specification belongs to."""
        return cls(specification.type, specification.input_shape, specification.gamma)

    @property
    def shape_text(self) -> str:
        """The input shape as the catalog holds it."""
        return json.dumps(self.input_shape)
