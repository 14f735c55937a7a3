"""What a look at a whole dock has found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from learndock.dock.presentation import frame, html_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Problem", "VerifyReport"]

_COLUMNS = ("part", "subject", "message")


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong with a dock.

    Attributes
    ----------
    part : {"catalog", "zip", "segment", "sketch", "specification"}
    subject : str
        Which: an id, a file, a table.
    message : str
    """

    part: str
    subject: str
    message: str


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What was looked at, and what is wrong.

    Attributes
    ----------
    problems : tuple of Problem
    orphans : tuple of Path, or None
        Files that no row names, as a killed writer leaves them: they do no harm, and `optimize` deletes them. None
        where another writer was at work, whose files look the same until it is done.
    learnwares, zips, segments : int
        How many there are.
    bytes : int
        Of the files that were read.
    """

    problems: tuple[Problem, ...]
    orphans: tuple[Path, ...] | None
    learnwares: int
    zips: int
    segments: int
    bytes: int

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def to_frame(self) -> pd.DataFrame:
        """The problems as a DataFrame: columns part, subject and message.

        Raises
        ------
        MissingDependency
            If pandas is not installed.
        """
        return frame({name: [getattr(problem, name) for problem in self.problems] for name in _COLUMNS})

    def _repr_html_(self) -> str:
        rows = [(problem.part, problem.subject, problem.message) for problem in self.problems]
        return html_table(self._summary(), _COLUMNS, rows)

    def __repr__(self) -> str:
        lines = [f"  {problem.part} {problem.subject}: {problem.message}" for problem in self.problems]
        return "\n".join([f"VerifyReport({self._summary()})", *lines])

    def _summary(self) -> str:
        stray = "" if not self.orphans else f", {len(self.orphans)} orphans"
        found = "no problem" if self.ok else f"{len(self.problems)} problems"
        return f"{found}: {self.learnwares} learnwares, {self.zips} zips, {self.segments} segments{stray}"
