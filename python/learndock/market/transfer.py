"""A market's learnwares, brought into a dock."""

from __future__ import annotations

import functools
import hashlib
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from learndock._json import load_json
from learndock._validation import as_path
from learndock.checker import Status
from learndock.dock import Dock
from learndock.dock.progress import unheard
from learndock.errors import InvalidArgument, LearnwareError, ReadOnlyDock, SemanticError, SpecificationFileError
from learndock.learnware import ArchiveLimits
from learndock.market.database import MarketDatabase
from learndock.market.folder import MarketFolder
from learndock.market.report import ImportStatus, MarketEntry, MarketReport
from learndock.specification import SemanticSpecification

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

    from learndock.dock.progress import Progress
    from learndock.dock.report import SubmitReport
    from learndock.environment.choice import EnvironmentChoice
    from learndock.runtime import IsolationRequest, ModelLimits

__all__ = ["import_market"]

_log = logging.getLogger("learndock")

_BLOCK = 2**20
# Headers and the list of contents come on top of the files of a zip that compresses nothing.
_ZIP_OVERHEAD = 64 * 2**20
_LONGEST_MESSAGE = 4000


def import_market(
    path: str | PathLike[str],
    dock: Dock,
    *,
    market_id: str | None = None,
    on_progress: Progress | None = None,
    limits: ModelLimits | None = None,
    archive_limits: ArchiveLimits | None = None,
    isolation: IsolationRequest = "auto",
    environment: EnvironmentChoice = "current",
) -> MarketReport:
    """Submit every learnware of a market of the reference to a dock.

    Each goes through all checks, as if its owner had submitted its zip with the semantic part that the market has for
    it. One that fails does not stop the others. A zip that the dock has already is left out, so the import can be
    repeated after it was broken off. Nothing is written to the market.

    Parameters
    ----------
    path : path
        The reference's folder (``~/.learnware`` on Linux, which has all its markets), or the folder of one market in
        it. Markets on PostgreSQL can't be read.
    dock : Dock
    market_id : str, optional
        Which market, where the folder has several.
    on_progress : callable, optional
        Called with ("import", done, total).
    limits : ModelLimits, optional
        What each model may use.
    archive_limits : ArchiveLimits, optional
        How large each zip's contents may be.
    isolation : {"auto", "require", "landlock", "namespace"}
        How well each model must be contained.
    environment : {"current", "build"}
        The interpreter that each model is tried in.

    Returns
    -------
    MarketReport
        A line for each learnware of the market: its old id, its new one, its status, and why.

    Raises
    ------
    InvalidArgument
        There is no market at `path`, or several, and none is named.
    ReadOnlyDock
    DockError
        The dock can't be written to; what was imported before stays.
    IsolationUnavailable
        Models can't be contained here as required.

    Examples
    --------
    ::

        with Dock("dock") as dock:
            report = import_market("~/.learnware", dock)
    """
    if not isinstance(dock, Dock):
        raise InvalidArgument(f"dock: expected a Dock, got {type(dock).__name__}")
    if dock.readonly:
        raise ReadOnlyDock(f"{dock.path}: opened with readonly=True")
    archive_limits = archive_limits or ArchiveLimits()
    heard = on_progress or unheard
    submit = functools.partial(
        dock.submit, limits=limits, archive_limits=archive_limits, isolation=isolation, environment=environment
    )
    market = MarketFolder.find(as_path(path, "path").expanduser(), market_id)
    entries: list[MarketEntry] = []
    with MarketDatabase.opened(market.database) as database:
        ids = database.ids()
        for number, old_id in enumerate(ids):
            heard("import", number, len(ids))
            entry = _imported(old_id, market, database, dock, submit, most_bytes=archive_limits.total_bytes)
            _log.info("market %s, learnware %r: %s", market.market_id, old_id, entry.status)
            entries.append(entry)
    heard("import", len(ids), len(ids))
    return MarketReport(market.market_id, tuple(entries))


def _imported(
    old_id: str,
    market: MarketFolder,
    database: MarketDatabase,
    dock: Dock,
    submit: Callable[[Path, SemanticSpecification], SubmitReport],
    *,
    most_bytes: int,
) -> MarketEntry:
    """Submit one learnware, unless the dock has its zip."""
    try:
        row = database.row(old_id)
        zip_path = market.zip(old_id, row.zip_path)
        digest = _sha256(zip_path, most_bytes + _ZIP_OVERHEAD)
    except LearnwareError as error:
        return MarketEntry(old_id, None, ImportStatus.REFUSED, str(error)[:_LONGEST_MESSAGE])
    present = dock.find_zip(digest)
    if present:
        return MarketEntry(old_id, present[0], ImportStatus.PRESENT, "the dock has the same zip")
    try:
        semantic = _semantic(row.semantic)
    except (SemanticError, SpecificationFileError) as error:
        return MarketEntry(old_id, None, ImportStatus.INVALID, str(error)[:_LONGEST_MESSAGE])
    # No learnware makes this raise: what does is the dock's fault, or an argument's, and ends the import.
    report = submit(zip_path, semantic)
    status = ImportStatus(report.status.name.lower())
    return MarketEntry(old_id, report.id, status, _remarks(report)[:_LONGEST_MESSAGE])


def _remarks(report: SubmitReport) -> str:
    """What made a submission's status what it is, where that is not the best."""
    remarks = [check for check in report.checks if check.status == report.status != Status.USABLE]
    return "; ".join(f"{check.name}: {check.message}" for check in remarks)


def _semantic(content: bytes) -> SemanticSpecification:
    """The semantic part of a row: a dict of the reference's; the oldest know no licence, which meant Apache-2.0."""
    try:
        specification = load_json(content)
    except ValueError as error:
        raise SpecificationFileError(f"the market's semantic specification is not JSON: {error!s:.500}") from None
    if isinstance(specification, dict) and "License" not in specification:
        specification["License"] = {"Type": "Class", "Values": ["Apache-2.0"]}
    return SemanticSpecification.from_json(json.dumps(specification).encode())


def _sha256(file: Path, most: int) -> str:
    digest = hashlib.sha256()
    size = 0
    try:
        with file.open("rb") as stream:
            while block := stream.read(_BLOCK):
                size += len(block)
                if size > most:
                    raise LearnwareError(
                        f"zips/{file.name} is larger than any zip of {most - _ZIP_OVERHEAD} bytes of files"
                    )
                digest.update(block)
    except OSError as error:
        raise LearnwareError(f"zips/{file.name} can't be read ({error.strerror})") from None
    return digest.hexdigest()
