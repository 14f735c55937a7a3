"""One line of a dock's list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from learndock.checker import Status

__all__ = ["Entry"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a dock's list.

    Attributes
    ----------
    id : str
    status : Status
    name, description : str or None
        None where only a specification was ingested.
    semantic : dict or None
        The reference's dict.
    specification_type : str
    input_shape : tuple of int
    gamma : float
    num_points : int or None
        Rows behind the specification.
    zip_bytes : int or None
    zip_sha256 : str or None
    submitted_at : str
        ISO 8601, UTC.
    """

    id: str
    status: Status
    name: str | None
    description: str | None
    semantic: Mapping[str, Any] | None
    specification_type: str
    input_shape: tuple[int, ...]
    gamma: float
    num_points: int | None
    zip_bytes: int | None
    zip_sha256: str | None
    submitted_at: str
