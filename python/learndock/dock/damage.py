"""What a search says where sketches can't be read: it computes their specifications, so that the answer is the same."""

from __future__ import annotations

import sys
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

from learndock.errors import SketchWarning

if TYPE_CHECKING:
    from collections.abc import Sequence

    from learndock.dock.results import SearchResult
    from learndock.dock.store import SpaceView

__all__ = ["with_damage"]


def with_damage(results: Sequence[SearchResult], view: SpaceView) -> list[SearchResult]:
    """Results that say what could not be read, with a warning of Python's for each fault."""
    if not view.faults:
        return list(results)
    said = tuple(
        f"{fault}: {count:,} specifications are computed without, which is slower and as exact; `Dock.optimize` makes "
        "their sketches again"
        for fault, count in view.faults.items()
    )
    for sentence in said:
        warnings.warn(sentence, SketchWarning, stacklevel=_callers_level())
    damaged = float(sum(view.faults.values()))
    return [
        replace(result, work={**result.work, "damaged": damaged}, warnings=(*result.warnings, *said))
        for result in results
    ]


def _callers_level() -> int:
    """How far up the first code lies that is not ours: the warning is of its line, and said once of it."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).partition(".")[0] == "learndock":
        level, frame = level + 1, frame.f_back
    return level
