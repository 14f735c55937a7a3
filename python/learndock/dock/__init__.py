"""The dock: catalog, specification store and search."""

from __future__ import annotations

from learndock.dock.dock import Dock
from learndock.dock.entry import Entry
from learndock.dock.report import SubmitReport
from learndock.dock.results import Hit, Mixture, SearchResult
from learndock.dock.space import Space

__all__ = ["Dock", "Entry", "Hit", "Mixture", "SearchResult", "Space", "SubmitReport"]
