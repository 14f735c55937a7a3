"""The dock: catalog, specification store and search.

What is done is logged to ``logging.getLogger("learndock")``: submissions, updates, deletions, ingests, search gammas
and backups as INFO, refusals as WARNING. Nothing is printed.
"""

from __future__ import annotations

import logging

from learndock.dock.audit import AuditRecord
from learndock.dock.dock import Dock
from learndock.dock.entry import Entries, Entry
from learndock.dock.progress import Progress
from learndock.dock.report import SubmitReport
from learndock.dock.results import Hit, Mixture, SearchResult, SemanticHit, SemanticResult
from learndock.dock.space import Space
from learndock.dock.stats import DockStats, SpaceStats
from learndock.dock.verify_report import Problem, VerifyReport

__all__ = [
    "AuditRecord",
    "Dock",
    "DockStats",
    "Entries",
    "Entry",
    "Hit",
    "Mixture",
    "Problem",
    "Progress",
    "SearchResult",
    "SemanticHit",
    "SemanticResult",
    "Space",
    "SpaceStats",
    "SubmitReport",
    "VerifyReport",
]

# Without it, Python prints warnings of a program that has set up no logging.
logging.getLogger("learndock").addHandler(logging.NullHandler())
