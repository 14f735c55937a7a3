"""Markets of the reference package: read, and brought into a dock."""

from __future__ import annotations

from learndock.market.report import ImportStatus, MarketEntry, MarketReport
from learndock.market.transfer import import_market

__all__ = ["ImportStatus", "MarketEntry", "MarketReport", "import_market"]
