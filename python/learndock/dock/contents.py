"""The verbs that say or hand out what is in a dock."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

from learndock._validation import as_path
from learndock._validation import limit as checked_limit
from learndock.dock import audit, peer_rows, rows
from learndock.dock.entry import Entries
from learndock.dock.filters import Filter, StatusName
from learndock.dock.ids import learnware_name, learnware_number
from learndock.dock.listing import SortKey, checked_sort, counted, listed
from learndock.dock.opened import OpenedDock, checked_id, checked_ids
from learndock.dock.space import Space
from learndock.dock.zips import copy_verified, verified
from learndock.errors import DamagedLearnware, DockError, InvalidArgument
from learndock.peers import PeerRecord
from learndock.specification import RKMETableSpecification

if TYPE_CHECKING:
    import sqlalchemy as sa

    from learndock.checker import Status
    from learndock.environment.choice import EnvironmentChoice
    from learndock.learnware import Learnware
    from learndock.runtime import IsolationRequest, ModelLimits
    from learndock.specification import SemanticQuery, SemanticSpecification

    # Lists in the signatures of a class that has a method `list`.
    Learnwares = list[Learnware]
    Records = list[audit.AuditRecord]
    Ids = list[str]

    Result = TypeVar("Result")

__all__ = ["DockContents"]


class DockContents(OpenedDock):
    """Get, copy, list, count, tell the history."""

    @overload
    def get(  # type: ignore[overload-overlap]  # a str is a Sequence[str] too
        self,
        ids: str,
        *,
        limits: ModelLimits | None = None,
        isolation: IsolationRequest = "auto",
        environment: EnvironmentChoice = "current",
    ) -> Learnware: ...

    @overload
    def get(
        self,
        ids: Sequence[str],
        *,
        limits: ModelLimits | None = None,
        isolation: IsolationRequest = "auto",
        environment: EnvironmentChoice = "current",
    ) -> Learnwares: ...

    def get(
        self,
        ids: str | Sequence[str],
        *,
        limits: ModelLimits | None = None,
        isolation: IsolationRequest = "auto",
        environment: EnvironmentChoice = "current",
    ) -> Learnware | Learnwares:
        """The learnwares of the given ids, ready to predict. The sha256 of each zip is verified.

        Parameters
        ----------
        ids : str or sequence of str
        limits : ModelLimits, optional
            What a model's process may use.
        isolation : {"auto", "require", "landlock", "namespace"}
            How well a model must be contained, see `learndock.runtime.ModelProcess`.
        environment : {"current", "build"}
            The interpreter to run a model with: this one, or one made from what the learnware requires.

        Returns
        -------
        Learnware, or list of Learnware in the order of `ids`

        Raises
        ------
        UnknownLearnware
            If one is not in the dock; the message names it.
        DamagedLearnware
            If a zip is missing, or is not what was submitted.
        DockError
            If one was ingested as a specification alone: it has no model.
        """
        from learndock.learnware import Learnware

        def opened(zip: Path, row: sa.Row[Any]) -> Learnware:
            id = learnware_name(row.id)
            with verified(zip, row.zip_sha256, id=id):
                return Learnware.open(
                    zip, semantic=row.semantic, id=id, limits=limits, isolation=isolation, environment=environment
                )

        names = checked_ids(ids)
        with self._catalog.reading() as connection:
            for row in self._rows(connection, names):
                self._zip(row)  # before the first is unpacked
        learnwares: Learnwares = []
        try:
            for name in names:
                learnwares.append(self._with_zip(name, opened))
        except BaseException:
            for learnware in learnwares:
                learnware.close()
            raise
        self._add_records(dict(zip(map(int, names), learnwares, strict=True)))
        return learnwares[0] if isinstance(ids, str) else learnwares

    def _add_records(self, numbers: Mapping[int, Learnware]) -> None:
        """Give learnwares what peer reviews have found."""
        with self._catalog.reading() as connection:
            if not peer_rows.has_reviews(connection):
                return
            losses = peer_rows.losses_of_models(connection, numbers)
            submitters = peer_rows.submitters(connection, list(numbers))
        for number, learnware in numbers.items():
            if losses[number]:
                named = {learnware_name(sketch): lost for sketch, lost in losses[number].items()}
                learnware.peers = PeerRecord(named, submitters.get(number))

    def zip_path(self, id: str) -> Path:
        """Where the zip of a learnware lies. It is not verified, and goes with the next update; see `copy_zip`.

        Raises
        ------
        UnknownLearnware
            If it is not in the dock.
        DockError
            If it was ingested as a specification alone.
        """
        with self._catalog.reading() as connection:
            return self._zip(self._rows(connection, [checked_id(id)])[0])

    def copy_zip(self, id: str, target: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Copy the zip of a learnware out of the dock: verified, and whole or not at all.

        Parameters
        ----------
        id : str
        target : path
            A file; its folder must exist.
        overwrite : bool, default False
            Replace the file if it is there.

        Returns
        -------
        Path
            The target.

        Raises
        ------
        UnknownLearnware
            If it is not in the dock.
        DamagedLearnware
            If the zip is missing, or is not what was submitted.
        DockError
            If it was ingested as a specification alone.
        InvalidArgument
            If the target is there and is not to be replaced, or can't be written.
        """
        file = as_path(target, "target")
        if file.is_dir() or (file.exists() and not overwrite):
            what = "is a folder" if file.is_dir() else "exists already; overwrite=True replaces it"
            raise InvalidArgument(f"target: {file} {what}")

        def copied(zip: Path, row: sa.Row[Any]) -> Path:
            copy_verified(zip, row.zip_sha256, file, id=learnware_name(row.id))
            return file

        return self._with_zip(checked_id(id), copied)

    def find_zip(self, sha256: str) -> Ids:
        """Ids of the learnwares whose zip has this sha256, ascending; so that an import can be run again."""
        if not isinstance(sha256, str):
            raise InvalidArgument(f"sha256: expected 64 hexadecimal digits, got {type(sha256).__name__}")
        with self._catalog.reading() as connection:
            return [learnware_name(number) for number in rows.ids_of_zip(connection, sha256.lower())]

    def _with_zip(self, name: str, work: Callable[[Path, sa.Row[Any]], Result]) -> Result:
        """Do something with a zip; once more, where an update has put another in its place meanwhile."""
        tried: str | None = None
        while True:
            with self._catalog.reading() as connection:
                row = self._rows(connection, [name])[0]
            try:
                return work(self._zip(row), row)
            except DamagedLearnware:
                if row.zip_sha256 == tried:
                    raise
                tried = row.zip_sha256

    def _zip(self, row: sa.Row[Any]) -> Path:
        if row.zip_sha256 is None:
            name = learnware_name(row.id)
            raise DockError(f"id: {name!r} was ingested as a specification alone: `specification(id)` is all there is")
        return self._layout.zip(row.id, row.zip_sha256)

    def specification(self, id: str) -> RKMETableSpecification:
        """The statistical specification of a learnware as the dock holds it: float32 numbers.

        Raises
        ------
        UnknownLearnware
            If it is not in the dock.
        """
        with self._catalog.reading() as connection:
            number = self._numbers(connection, [checked_id(id)])[0]
        return self._specification(number)

    def list(
        self,
        *,
        status: Status | StatusName | None = None,
        name: str | None = None,
        semantic: SemanticQuery | SemanticSpecification | Mapping[str, Any] | None = None,
        sort: SortKey = "id",
        descending: bool = False,
        limit: int | None = None,
    ) -> Entries:
        """The learnwares, filtered and in order. Reads in pages: a dock of millions does not have to fit in memory.

        Parameters
        ----------
        status : Status or {"usable", "nonusable", "any"}, optional
            By default any.
        name : str, optional
            A part of the name, in upper or lower case.
        semantic : SemanticQuery, SemanticSpecification or mapping, optional
            Classes, tags and texts asked for; see `SemanticQuery`.
        sort : {"id", "name", "status", "submitted_at", "updated_at", "num_points", "zip_bytes"}, default "id"
            Ties are in the order of ids; learnwares that have no value of the key come last.
        descending : bool, default False
        limit : int, optional
            Most entries.

        Returns
        -------
        Entries
            An iterator of `Entry`, with `to_frame`. Each is as it is when it is read; what is deleted meanwhile is
            passed over.

        Raises
        ------
        InvalidArgument
            For an unknown status or key, a name that is no text, or a limit below 1.
        """
        wanted = Filter.of(status=status, name=name, semantic=semantic)
        most = None if limit is None else checked_limit(limit, "limit")
        return Entries(listed(self._catalog, wanted, sort=checked_sort(sort), descending=bool(descending), limit=most))

    def count(
        self,
        *,
        status: Status | StatusName | None = None,
        name: str | None = None,
        semantic: SemanticQuery | SemanticSpecification | Mapping[str, Any] | None = None,
    ) -> int:
        """How many learnwares `list` would give for the same filters.

        Raises
        ------
        InvalidArgument
            As `list` does.
        """
        wanted = Filter.of(status=status, name=name, semantic=semantic)
        with self._catalog.reading() as connection:
            return counted(connection, wanted)

    def history(self, id: str | None = None, *, limit: int | None = None) -> Records:
        """The audit log: submissions, updates, deletions, ingests, search gammas and scalings, newest first.

        Parameters
        ----------
        id : str, optional
            Of one learnware, which may be deleted by now; by default everything.
        limit : int, optional
            Most records.

        Returns
        -------
        list of AuditRecord

        Raises
        ------
        InvalidArgument
            For what can't be an id, or a limit below 1.
        """
        number = None if id is None else learnware_number(checked_id(id))
        if id is not None and number is None:
            raise InvalidArgument(f"id: expected an id of a dock, got {id!r}")
        most = None if limit is None else checked_limit(limit, "limit")
        with self._catalog.reading() as connection:
            return audit.history(connection, number, most)

    def spaces(self) -> dict[Space, int]:
        """Each space of comparable specifications, with the number of usable learnwares in it."""
        return self._store.counts(any_status=False)
