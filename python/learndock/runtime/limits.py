"""What a model's process may use."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from learndock.errors import InvalidArgument

__all__ = ["ModelLimits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLimits:
    """Limits of a model's process; a model that passes one is ended, with all processes that it started.

    Attributes
    ----------
    seconds : float
        Wall time of the start, and of each call. A call may use as much processor time as all processors have in it;
        what goes on between calls uses that up.
    memory_bytes : int
        Private memory of each process (its own allocations fail beyond), and of all of them together, with files of
        memory that they hold.
    file_bytes : int
        Size of each file written, of the model's temporary folder as a whole, and of all files without a name.
    processes : int
        Processes alive at once. Threads count only where there are thousands; their stacks count as memory.
    output_bytes : int
        Size of one prediction.
    """

    seconds: float = 60.0
    memory_bytes: int = 4 * 2**30
    file_bytes: int = 2**30
    processes: int = 64
    output_bytes: int = 2**30

    def __post_init__(self) -> None:
        for limit in fields(self):
            value = getattr(self, limit.name)
            kinds = (int, float) if limit.name == "seconds" else (int,)
            if isinstance(value, bool) or not isinstance(value, kinds) or not 0 < value < math.inf:
                expected = "a positive number" if limit.name == "seconds" else "a positive integer"
                raise InvalidArgument(f"{limit.name}: expected {expected}, got {value!r}")
