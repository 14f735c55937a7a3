"""What became of a market's learnwares."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from learndock._printable import printable
from learndock.dock.presentation import frame, html_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ImportStatus", "MarketEntry", "MarketReport"]

_COLUMNS = ("old_id", "new_id", "status", "message")


class ImportStatus(StrEnum):
    """What became of one learnware of a market."""

    USABLE = "usable"
    """It was added, and its model runs."""
    NONUSABLE = "nonusable"
    """It was added; its model was not started: what it needs is not here."""
    PRESENT = "already there"
    """The dock has the same zip."""
    INVALID = "invalid"
    """It failed a check, and was not added."""
    REFUSED = "refused"
    """It was not even tried: the market's database and files do not fit together, or could do harm."""


@dataclass(frozen=True, slots=True)
class MarketEntry:
    """One learnware of a market.

    Attributes
    ----------
    old_id : str
        In the market.
    new_id : str or None
        In the dock; None where it is not there.
    status : ImportStatus
    message : str
        Every check that failed, or why it was refused; what to know, where it was added.
    """

    old_id: str
    new_id: str | None
    status: ImportStatus
    message: str


@dataclass(frozen=True, slots=True)
class MarketReport:
    """What became of a market's learnwares.

    Attributes
    ----------
    market_id : str
        The name of the market.
    entries : tuple of MarketEntry
        One for each learnware of the market, in the order of their old ids.
    """

    market_id: str
    entries: tuple[MarketEntry, ...]

    @property
    def counts(self) -> dict[ImportStatus, int]:
        """How many learnwares ended with each status; only those that occur."""
        found = Counter(entry.status for entry in self.entries)
        return {status: found[status] for status in ImportStatus if found[status]}

    @property
    def new_ids(self) -> dict[str, str]:
        """The dock's id by the market's id, of those that are in the dock now."""
        return {entry.old_id: entry.new_id for entry in self.entries if entry.new_id is not None}

    def to_frame(self) -> pd.DataFrame:
        """The entries as a DataFrame: columns old_id, new_id, status and message.

        Raises
        ------
        MissingDependency
            If pandas is not installed.
        """
        return frame({name: [row[place] for row in self._rows()] for place, name in enumerate(_COLUMNS)})

    def _repr_html_(self) -> str:
        return html_table(self._summary(), _COLUMNS, self._rows())

    def _rows(self) -> list[tuple[str | None, ...]]:
        return [(entry.old_id, entry.new_id, entry.status.value, entry.message) for entry in self.entries]

    def _summary(self) -> str:
        counts = ", ".join(f"{count} {status}" for status, count in self.counts.items())
        return f"{self.market_id!r}: {counts or 'no learnwares'}"

    def __repr__(self) -> str:
        lines = [f"MarketReport({self._summary()})"]
        for entry in self.entries:
            place = f" -> {entry.new_id}" if entry.new_id else ""
            lines.append(
                f"  {printable(entry.old_id)}{place}: {entry.status}" + (f": {entry.message}" if entry.message else "")
            )
        return "\n".join(lines)
