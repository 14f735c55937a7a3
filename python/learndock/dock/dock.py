"""The dock: learnwares on disk, submitted, found and handed out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from learndock import kernels
from learndock._validation import as_path, limit, positive_integer
from learndock.dock import catalog as rows
from learndock.dock.catalog import Catalog
from learndock.dock.entry import Entry
from learndock.dock.incoming import Incoming, incoming_copy
from learndock.dock.layout import Layout
from learndock.dock.report import SubmitReport
from learndock.dock.results import SearchResult
from learndock.dock.search import Wish, exact_search, learnware_name
from learndock.dock.space import Space
from learndock.dock.store import SpecStore
from learndock.dock.writer import Writer
from learndock.errors import DockError, InvalidArgument, ReadOnlyDock, UnknownLearnware
from learndock.specification import RKMETableSpecification

if TYPE_CHECKING:
    from types import TracebackType

    import numpy.typing as npt
    import sqlalchemy as sa

    from learndock.checker import CheckReport
    from learndock.learnware import ArchiveLimits, Learnware
    from learndock.runtime import ModelLimits
    from learndock.specification import SemanticQuery, SemanticSpecification

    Learnwares = list[Learnware]

__all__ = ["Dock"]

# A mixture needs the inner products of all its candidates, which are the square for the reference's rules.
_MOST_IN_MIXTURE = {"distance": 500, "greedy": 25, "auto": 25}

# Lists in the signatures of a class that has a method `list`.
Ids = list[str]
Numbers = list[int]
Results = list[SearchResult]


class Dock:
    """Learnwares in a folder: a catalog, their zips, and their specifications in the order in which kernels read them.

    Parameters
    ----------
    path : path
        Made if absent, with the folders above it.
    readonly : bool, default False
        Take no lock and write nothing: for docks on read-only or network file systems. What a writer changes after the
        opening may not be seen.

    Raises
    ------
    DockFormatError
        If something else than a dock is there, or one of a newer format.
    ReadOnlyDock
        If there is none and `readonly` is set; and of every change to a dock so opened.

    Examples
    --------
    >>> import tempfile, numpy as np, learndock as ld
    >>> rng = np.random.default_rng(0)
    >>> with ld.Dock(tempfile.mkdtemp() + "/dock") as dock:
    ...     ids = dock.ingest(points=rng.normal(size=(50, 10, 3)), weights=np.full((50, 10), 0.1), gamma=0.1)
    ...     user = ld.RKMETableSpecification(rng.normal(size=(10, 3)), np.full(10, 0.1), gamma=0.1)
    ...     len(dock), len(dock.search(user, k=3).singles)
    (50, 3)
    """

    def __init__(self, path: str | os.PathLike[str], *, readonly: bool = False) -> None:
        self._layout = Layout(as_path(path, "path"))
        self._readonly = readonly
        fresh = not self._layout.exists()
        if fresh:
            self._layout.create(readonly=readonly)
        self._catalog = Catalog(self._layout.catalog, readonly=readonly)
        self._store = SpecStore(self._layout, self._catalog)
        self._writer = Writer(self._layout, self._catalog, self._store)
        if fresh:
            self._writer.create()

    @property
    def path(self) -> Path:
        """The dock's folder."""
        return self._layout.root

    @property
    def readonly(self) -> bool:
        """Whether changes are refused."""
        return self._readonly

    # Adding and removing

    def submit(
        self,
        path: str | os.PathLike[str],
        semantic: SemanticSpecification | Mapping[str, Any] | None = None,
        *,
        limits: ModelLimits | None = None,
        archive_limits: ArchiveLimits | None = None,
    ) -> SubmitReport:
        """Check a learnware's zip and add it.

        Its model is started in a process of its own and tried. A zip that is merely bad is no exception: the report
        says INVALID and lists every failed check, and the dock is unchanged.

        Parameters
        ----------
        path : path
            A zip.
        semantic : SemanticSpecification or mapping, optional
            The semantic part; by default the one in the zip.
        limits : ModelLimits, optional
            What the model may use: 60 s, 4 GiB, 1 GiB written by default.
        archive_limits : ArchiveLimits, optional
            How large the zip's contents may be.

        Returns
        -------
        SubmitReport

        Raises
        ------
        InvalidArgument
            If there is no such file, or no semantic part.
        ReadOnlyDock
        """
        from learndock.checker import check_learnware

        self._require_writable()
        source = as_path(path, "path")
        if not source.is_file():
            raise InvalidArgument(f"path: expected a zip, got {source}, which is {_what(source)}")
        with incoming_copy(source, self._layout.zips) as incoming:
            report = check_learnware(incoming.zip, semantic, limits=limits, archive_limits=archive_limits)
            if report.learnware is None:
                return SubmitReport(report.status, None, report.checks)
            with report.learnware as learnware:
                return self._add(incoming, learnware, report)

    def _add(self, incoming: Incoming, learnware: Learnware, report: CheckReport) -> SubmitReport:
        spec, semantic = learnware.specification, learnware.semantic
        if spec is None or semantic is None:
            raise DockError(f"{learnware}: passed the checks without a specification")
        try:
            number = self._writer.add(incoming, spec, semantic, status=int(report.status))
        except InvalidArgument as error:  # numbers beyond float32
            return self._refused(report, str(error))
        return SubmitReport(report.status, learnware_name(number), report.checks)

    @staticmethod
    def _refused(report: CheckReport, message: str) -> SubmitReport:
        from learndock.checker import CheckResult, Status

        check = CheckResult("storage", Status.INVALID, message, {})
        return SubmitReport(Status.INVALID, None, (*report.checks, check))

    def ingest(self, *, points: Any, weights: Any, gamma: float) -> Ids:
        """Add many specifications alone, without models: all of them, or, after an exception, none.

        Parameters
        ----------
        points : array of shape (N, K, d), or list of N arrays (K_i, d)
            Stored as float32.
        weights : array of shape (N, K), or list of N arrays (K_i,)
        gamma : float
            Positive; the same for all.

        Returns
        -------
        list of str
            Ids in the order of the input, when all of it is durable.

        Raises
        ------
        InvalidArgument
            For wrong shapes, NaN or infinity, numbers beyond float32, or gamma <= 0.
        ReadOnlyDock
        """
        self._require_writable()
        return [learnware_name(number) for number in self._writer.ingest(points, weights, gamma)]

    def delete(self, ids: str | Sequence[str]) -> None:
        """Remove learnwares: all of them, or, after an exception, none.

        Parameters
        ----------
        ids : str or sequence of str

        Raises
        ------
        UnknownLearnware
            If one is not in the dock; the message names it.
        ReadOnlyDock
        """
        self._require_writable()
        names = _names(ids)
        with self._catalog.reading() as connection:
            numbers = sorted(set(self._numbers(connection, names)))
        self._writer.delete(numbers)

    def optimize(self) -> None:
        """Fold small writes into segments, compact what was deleted, clear what a killed writer left.

        Returns when done; searches go on meanwhile.

        Raises
        ------
        ReadOnlyDock
        """
        self._require_writable()
        self._writer.optimize()

    # Reading

    @overload
    def get(self, ids: str) -> Learnware: ...  # type: ignore[overload-overlap]  # a str is a Sequence[str] too

    @overload
    def get(self, ids: Sequence[str]) -> Learnwares: ...

    def get(self, ids: str | Sequence[str]) -> Learnware | Learnwares:
        """The learnwares of the given ids, ready to predict.

        Parameters
        ----------
        ids : str or sequence of str

        Returns
        -------
        Learnware, or list of Learnware in the order of `ids`

        Raises
        ------
        UnknownLearnware
            If one is not in the dock; the message names it.
        DockError
            If one was ingested as a specification alone: it has no model.
        """
        from learndock.learnware import Learnware

        names = _names(ids)
        opened: Learnwares = []
        try:
            with self._catalog.reading() as connection:
                numbers = self._numbers(connection, names)
                found = rows.rows_of(connection, numbers)
            for name, number in zip(names, numbers, strict=True):
                opened.append(Learnware.open(self._zip(name, found[number]), semantic=found[number].semantic, id=name))
        except BaseException:
            for learnware in opened:
                learnware.close()
            raise
        return opened[0] if isinstance(ids, str) else opened

    def zip_path(self, id: str) -> Path:
        """Where the zip of a learnware lies, as it was submitted.

        Raises
        ------
        UnknownLearnware
            If it is not in the dock.
        DockError
            If it was ingested as a specification alone.
        """
        with self._catalog.reading() as connection:
            number = self._numbers(connection, [id])[0]
            return self._zip(id, rows.rows_of(connection, [number])[number])

    def _zip(self, name: str, row: sa.Row[Any]) -> Path:
        if row.zip_sha256 is None:
            raise DockError(f"id: {name!r} was ingested as a specification alone: `specification(id)` is all there is")
        return self._layout.zip(row.id)

    def specification(self, id: str) -> RKMETableSpecification:
        """The statistical specification of a learnware as the dock holds it: float32 numbers.

        Raises
        ------
        UnknownLearnware
            If it is not in the dock.
        """
        with self._catalog.reading() as connection:
            number = self._numbers(connection, [id])[0]
            row = rows.rows_of(connection, [number])[number]
            space = rows.spaces_by_id(connection)[row.space_id]
        for segment in self._store.view(space).segments:
            at = segment.position(number)
            if at is not None:
                points, weights = segment.packed.embedding(at)
                return RKMETableSpecification(
                    points, weights, gamma=space.gamma, num_points=row.num_points, fit_mmd2=row.fit_mmd2
                )
        raise DockError(f"{self.path}: the specification of {id} is missing; the dock is damaged")

    def __len__(self) -> int:
        """Number of learnwares and ingested specifications."""
        with self._catalog.reading() as connection:
            return rows.count(connection)

    def __contains__(self, id: object) -> bool:
        """Whether a learnware of this id is in the dock."""
        if not isinstance(id, str):
            return False
        number = _number(id)
        with self._catalog.reading() as connection:
            return number is not None and bool(rows.existing_ids(connection, [number]))

    def list(self) -> Iterator[Entry]:
        """All learnwares by id. Reads in pages: a dock of millions does not have to fit in memory."""
        from learndock.checker import Status

        after, page = -1, 1000
        while True:
            with self._catalog.reading() as connection:
                known = rows.spaces_by_id(connection)
                found = rows.rows_in_order(connection, after, page)
            for row in found:
                space = known[row.space_id]
                yield Entry(
                    id=learnware_name(row.id),
                    status=Status(row.status),
                    name=row.name,
                    description=row.description,
                    semantic=row.semantic,
                    specification_type=space.type,
                    input_shape=space.input_shape,
                    gamma=space.gamma,
                    num_points=row.num_points,
                    zip_bytes=row.zip_bytes,
                    zip_sha256=row.zip_sha256,
                    submitted_at=row.submitted_at,
                )
            if len(found) < page:
                return
            after = found[-1].id

    def spaces(self) -> dict[Space, int]:
        """Each space of comparable specifications, with the number of usable learnwares in it."""
        return dict(self._store.usable_counts())

    # Searching

    def search(
        self,
        spec: RKMETableSpecification,
        *,
        k: int = 10,
        semantic: SemanticQuery | SemanticSpecification | Mapping[str, Any] | None = None,
        rule: kernels.MixtureRule = "distance",
        mixture: int | None = None,
        method: Literal["exact"] = "exact",
        threads: int | None = None,
    ) -> SearchResult:
        """Find the learnwares whose training data is closest to the user's, alone and as a mixture.

        Parameters
        ----------
        spec : RKMETableSpecification
            Of the user's data. Only learnwares of the same type, input shape and gamma are compared.
        k : int, default 10
            Single learnwares to return.
        semantic : SemanticQuery, SemanticSpecification or mapping, optional
            Keep to learnwares of these classes and tags (Data, Task, Library, Scenario, License, Model).
        rule : {"distance", "greedy", "auto"}, default "distance"
            How the mixture is chosen; see `learndock.kernels.mixture`. "greedy" and "auto" are the reference's, over
            the mixture^2 nearest.
        mixture : int, optional
            Most learnwares in the mixture: 20 by default for rule "distance", at most 500; 5, at most 25, for the
            others; 0 for no mixture.
        method : {"exact"}
            Every learnware is looked at.
        threads : int, optional

        Returns
        -------
        SearchResult

        Raises
        ------
        InvalidArgument
            For a k below 1, a negative mixture, an unknown rule or method, or no specification.
        """
        _require_specification(spec, "spec")
        return self.search_many(
            [spec], k=k, semantic=semantic, rule=rule, mixture=mixture, method=method, threads=threads
        )[0]

    def search_many(
        self,
        specs: Sequence[RKMETableSpecification],
        *,
        k: int = 10,
        semantic: SemanticQuery | SemanticSpecification | Mapping[str, Any] | None = None,
        rule: kernels.MixtureRule = "distance",
        mixture: int | None = None,
        method: Literal["exact"] = "exact",
        threads: int | None = None,
    ) -> Results:
        """`search` for many users at once; each block of the dock is read once for all of them.

        Parameters
        ----------
        specs : sequence of RKMETableSpecification
            They may belong to different spaces.

        Returns
        -------
        list of SearchResult
            In the order of `specs`.
        """
        if not isinstance(specs, Sequence):
            raise InvalidArgument(f"specs: expected a sequence of specifications, got {type(specs).__name__}")
        for i, spec in enumerate(specs):
            _require_specification(spec, f"specs[{i}]")
        if method != "exact":
            raise InvalidArgument(f'method: expected "exact", got {method!r}')
        wish = _wish(k, rule, mixture)
        allowed = self._allowed(semantic)
        counts = self._store.usable_counts()
        results: dict[int, SearchResult] = {}
        for space in dict.fromkeys(Space.of(spec) for spec in specs):
            places = [i for i, spec in enumerate(specs) if Space.of(spec) == space]
            skipped = sum(count for other, count in counts.items() if other != space)
            found = exact_search(
                self._store.view(space),
                [specs[i] for i in places],
                wish,
                allowed=allowed,
                skipped=skipped,
                threads=threads,
            )
            results.update(zip(places, found, strict=True))
        return [results[i] for i in range(len(specs))]

    # Opening and closing

    def close(self) -> None:
        """Let go of all files. The dock can be opened again; this object can't be used any more."""
        self._catalog.close()
        self._store.clear()

    def __enter__(self) -> Dock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Dock({str(self.path)!r}{', readonly=True' if self._readonly else ''})"

    # Inside

    def _require_writable(self) -> None:
        if self._readonly:
            raise ReadOnlyDock(f"{self.path}: opened with readonly=True")

    def _numbers(self, connection: sa.Connection, names: Sequence[str]) -> Numbers:
        numbers = [_number(name) for name in names]
        existing = rows.existing_ids(connection, [number for number in numbers if number is not None])
        for name, number in zip(names, numbers, strict=True):
            if number is None or number not in existing:
                raise UnknownLearnware(f"id: no learnware {name!r} in {self.path}")
        return [number for number in numbers if number is not None]

    def _allowed(
        self, semantic: SemanticQuery | SemanticSpecification | Mapping[str, Any] | None
    ) -> npt.NDArray[np.int64] | None:
        if semantic is None:
            return None
        from learndock.specification import SemanticQuery

        query = SemanticQuery.of(semantic)
        with self._catalog.reading() as connection:
            ids = rows.matching_ids(connection, query)
        return None if ids is None else np.array(ids, dtype=np.int64)


def _require_specification(value: object, name: str) -> None:
    if not isinstance(value, RKMETableSpecification):
        raise InvalidArgument(f"{name}: expected a specification, got {type(value).__name__}")


def _names(ids: str | Sequence[str]) -> Ids:
    names = [ids] if isinstance(ids, str) else ids
    if not isinstance(names, Sequence | np.ndarray) or not all(isinstance(name, str) for name in names):
        raise InvalidArgument(f"ids: expected an id or a sequence of them, got {ids!r}")
    return [str(name) for name in names]


def _number(name: str) -> int | None:
    """The number behind a public id, None where it can't be one."""
    if not (name.isascii() and name.isdigit() and len(name) < 19):
        return None
    number = int(name)
    return number if learnware_name(number) == name else None


def _what(path: Path) -> str:
    return "a folder" if path.is_dir() else "missing" if not path.exists() else "no regular file"


def _wish(k: int, rule: kernels.MixtureRule, mixture: int | None) -> Wish:
    if rule not in ("distance", "greedy", "auto"):
        raise InvalidArgument(f'rule: expected "distance", "greedy" or "auto", got {rule!r}')
    if mixture is None:
        mixture = 20 if rule == "distance" else 5
    elif mixture != 0:
        mixture = positive_integer(mixture, "mixture", most=_MOST_IN_MIXTURE[rule])
    return Wish(limit(k, "k"), rule, int(mixture))
