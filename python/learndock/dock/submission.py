"""Submissions and updates: a zip is checked, and what is good goes into the dock."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from learndock.dock import rows
from learndock.dock.ids import learnware_name
from learndock.dock.incoming import incoming_copy
from learndock.dock.report import SubmitReport
from learndock.dock.zips import verified
from learndock.errors import DamagedLearnware, DockError, InvalidArgument, LearndockError, UnknownLearnware

if TYPE_CHECKING:
    import sqlalchemy as sa

    from learndock.checker import CheckReport, CheckResult
    from learndock.dock.audit import Action
    from learndock.dock.catalog import Catalog
    from learndock.dock.layout import Layout
    from learndock.dock.peer_reviewing import PeerReviewing
    from learndock.dock.writer import Writer
    from learndock.environment.choice import EnvironmentChoice
    from learndock.learnware import ArchiveLimits, Learnware
    from learndock.runtime import IsolationRequest, ModelLimits
    from learndock.specification import RKMETableSpecification, SemanticSpecification

__all__ = ["CheckOptions", "Submissions"]

_log = logging.getLogger("learndock")


class CheckOptions(TypedDict):
    """What `learndock.checker.check_learnware` is told beside the learnware."""

    limits: ModelLimits | None
    archive_limits: ArchiveLimits | None
    isolation: IsolationRequest
    environment: EnvironmentChoice


class Submissions:
    """The way of learnwares into one dock."""

    def __init__(self, layout: Layout, catalog: Catalog, writer: Writer, reviewing: PeerReviewing) -> None:
        self._layout = layout
        self._catalog = catalog
        self._writer = writer
        self._reviewing = reviewing

    def submit(
        self,
        source: Path,
        semantic: SemanticSpecification | Mapping[str, Any] | None,
        **options: Unpack[CheckOptions],
    ) -> SubmitReport:
        """See `Dock.submit`."""
        from learndock.checker import check_learnware

        _require_file(source)
        with incoming_copy(source, self._layout.zips) as incoming:
            report = check_learnware(incoming.zip, semantic, **options)
            if report.learnware is None:
                return self._refused("submit", None, incoming.sha256, report)
            with report.learnware as learnware:
                spec, held = _parts(learnware)
                try:
                    number = self._writer.add(incoming, spec, held, status=int(report.status))
                except InvalidArgument as error:  # numbers beyond float32
                    return self._refused("submit", None, incoming.sha256, _unstorable(report, error))
                self._tried(number, learnware, report)
        _log.info("%s: submitted %s (%s)", self._layout.root, learnware_name(number), report.status.name)
        return SubmitReport(report.status, learnware_name(number), report.checks, report.isolation)

    def update(
        self,
        number: int,
        source: Path | None,
        semantic: SemanticSpecification | Mapping[str, Any] | None,
        **options: Unpack[CheckOptions],
    ) -> SubmitReport:
        """See `Dock.update`."""
        from learndock.checker import check_learnware
        from learndock.environment.choice import checked_environment
        from learndock.runtime.isolation import least_isolation
        from learndock.specification import SemanticSpecification

        least_isolation(options["isolation"])
        checked_environment(options["environment"])
        if source is not None:
            _require_file(source)
        if semantic is not None and not isinstance(semantic, SemanticSpecification):
            semantic = SemanticSpecification.from_dict(semantic)
        with self._catalog.reading() as connection:
            row = rows.whole_rows_of(connection, [number]).get(number)
        if row is None:
            raise UnknownLearnware(f"id: {learnware_name(number)!r} was deleted meanwhile")
        old = None if row.semantic is None else SemanticSpecification.from_dict(row.semantic)
        with ExitStack() as stack:
            incoming = None
            if source is not None:
                incoming = stack.enter_context(incoming_copy(source, self._layout.zips))
                report = check_learnware(incoming.zip, old if semantic is None else semantic, **options)
            else:
                try:
                    with self._held(row) as zip:
                        if semantic is not None and old is not None and _same_model(old, semantic):
                            report = _described(zip, semantic, row.status, options["archive_limits"])
                        else:
                            report = check_learnware(zip, old if semantic is None else semantic, **options)
                except DamagedLearnware:
                    self._writer.require_version(number, row.version)  # else another's update has replaced the zip
                    raise
            sha256 = incoming.sha256 if incoming else row.zip_sha256
            if report.learnware is None:
                return self._refused("update", number, sha256, report)
            spec, held = _parts(stack.enter_context(report.learnware))
            try:
                self._writer.replace(number, incoming, spec, held, status=int(report.status), version=row.version)
            except InvalidArgument as error:
                return self._refused("update", number, sha256, _unstorable(report, error))
            self._tried(number, report.learnware, report)
        _log.info("%s: updated %s (%s)", self._layout.root, learnware_name(number), report.status.name)
        return SubmitReport(report.status, learnware_name(number), report.checks, report.isolation)

    def _tried(self, number: int, learnware: Learnware, report: CheckReport) -> None:
        """Have a model that is running try its peers' sketches. It is in the dock by now, whatever comes of this."""
        if report.isolation is None:  # not started
            return
        try:
            self._reviewing.welcome(number, learnware)
        except LearndockError as error:
            id = learnware_name(number)
            _log.warning("%s: %s was not tried on its peers' sketches: %s", self._layout.root, id, error)

    def _held(self, row: sa.Row[Any]) -> AbstractContextManager[Path]:
        """The zip that the dock has, verified."""
        id = learnware_name(row.id)
        if row.zip_sha256 is None:
            raise DockError(f"id: {id!r} was ingested as a specification alone: an update needs `path`, a zip")
        return verified(self._layout.zip(row.id, row.zip_sha256), row.zip_sha256, id=id)

    def _refused(self, action: Action, number: int | None, sha256: str | None, report: CheckReport) -> SubmitReport:
        from learndock.checker import Status

        faults = _one_line(
            "; ".join(f"{check.name}: {check.message}" for check in report.checks if check.status == Status.INVALID)
        )
        self._writer.refuse(action, number, sha256, faults)
        id = None if number is None else learnware_name(number)
        _log.warning("%s: %s%s refused: %.500s", self._layout.root, action, "" if id is None else f" of {id}", faults)
        return SubmitReport(Status.INVALID, id, report.checks, report.isolation)


def _one_line(text: str) -> str:
    """What a stranger's model wrote must not look like lines of a log, or move a terminal's cursor."""
    return "".join(character if character.isprintable() else " " for character in text)


def _require_file(source: Path) -> None:
    if not source.is_file():
        what = "a folder" if source.is_dir() else "missing" if not source.exists() else "no regular file"
        raise InvalidArgument(f"path: expected a zip, got {source}, which is {what}")


def _parts(learnware: Learnware) -> tuple[RKMETableSpecification, SemanticSpecification]:
    spec, semantic = learnware.specification, learnware.semantic
    if spec is None or semantic is None:
        raise DockError(f"{learnware}: passed the checks without a specification")
    return spec, semantic


def _same_model(old: SemanticSpecification, new: SemanticSpecification) -> bool:
    """Whether what a model is checked against is alike: then a check with the new part finds what the old one did."""
    return (old.data, old.task, old.input_dimension, old.output_dimension) == (
        new.data,
        new.task,
        new.input_dimension,
        new.output_dimension,
    )


def _described(
    zip: Path, semantic: SemanticSpecification, status: int, archive_limits: ArchiveLimits | None
) -> CheckReport:
    """Check a new semantic part of a learnware whose model was checked before."""
    from learndock.checker import CheckReport, CheckResult, SemanticChecker, Status
    from learndock.learnware import Learnware

    try:
        learnware = Learnware.open(zip, semantic=semantic, archive_limits=archive_limits)
    except LearndockError as error:  # stricter limits than those that it was submitted under
        return CheckReport(Status.INVALID, (CheckResult("archive", Status.INVALID, str(error)),))
    try:
        check = SemanticChecker().check(learnware)
    except BaseException:
        learnware.close()
        raise
    if check.status == Status.INVALID:
        learnware.close()
        return CheckReport(Status.INVALID, (check,))
    return CheckReport(Status(status), (check,), learnware)


def _unstorable(report: CheckReport, error: InvalidArgument) -> CheckReport:
    from learndock.checker import CheckReport, CheckResult, Status

    check: CheckResult = CheckResult("storage", Status.INVALID, str(error), {})
    return CheckReport(Status.INVALID, (*report.checks, check), isolation=report.isolation)
