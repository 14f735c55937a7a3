"""The verbs that change a dock."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from learndock._validation import as_path, positive_gamma
from learndock.dock.ids import learnware_name
from learndock.dock.opened import OpenedDock, checked_id, checked_ids
from learndock.dock.progress import Progress, unheard
from learndock.dock.report import SubmitReport
from learndock.dock.scaling import space_named
from learndock.dock.search_gamma import checked_search_gamma, checked_shape
from learndock.dock.space import Space
from learndock.errors import InvalidArgument
from learndock.specification import RKMETableSpecification, Scaling

if TYPE_CHECKING:
    from learndock.environment.choice import EnvironmentChoice
    from learndock.learnware import ArchiveLimits
    from learndock.runtime import IsolationRequest, ModelLimits
    from learndock.specification import SemanticSpecification

__all__ = ["DockChanges"]

_log = logging.getLogger("learndock")


class DockChanges(OpenedDock):
    """Submit, update, ingest, delete, set search gammas and scalings, optimize."""

    def submit(
        self,
        path: str | os.PathLike[str],
        semantic: SemanticSpecification | Mapping[str, Any] | None = None,
        *,
        limits: ModelLimits | None = None,
        archive_limits: ArchiveLimits | None = None,
        isolation: IsolationRequest = "auto",
        environment: EnvironmentChoice = "current",
    ) -> SubmitReport:
        """Check a learnware's zip and add it.

        Its model is started in a process of its own and tried. A zip that is merely bad is no exception: the report
        says INVALID and lists every failed check, and the dock is unchanged, but for a line in its audit log.

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
        isolation : {"auto", "require", "landlock", "namespace"}
            How well the model must be contained, see `learndock.runtime.ModelProcess`.
        environment : {"current", "build"}
            The interpreter that the model is tried in: this one, or one made from what the learnware requires.

        Returns
        -------
        SubmitReport

        Raises
        ------
        InvalidArgument
            If there is no such file, or no semantic part.
        IsolationUnavailable
            If the model can't be contained here as well as it must be.
        ReadOnlyDock
        """
        self._require_writable()
        return self._submissions.submit(
            as_path(path, "path"),
            semantic,
            limits=limits,
            archive_limits=archive_limits,
            isolation=isolation,
            environment=environment,
        )

    def update(
        self,
        id: str,
        *,
        path: str | os.PathLike[str] | None = None,
        semantic: SemanticSpecification | Mapping[str, Any] | None = None,
        limits: ModelLimits | None = None,
        archive_limits: ArchiveLimits | None = None,
        isolation: IsolationRequest = "auto",
        environment: EnvironmentChoice = "current",
    ) -> SubmitReport:
        """Check another zip or semantic part for a learnware, and put it in the place of what is there.

        The id stays, and so does what is not given. The status is that of the new check: a learnware that was usable
        may no longer be, and the other way round. Where the report says INVALID, all is as it was before, but for a
        line in the audit log.

        With `semantic` alone the model is tried again only where data, task or the dimension of input or output
        differ. With neither `path` nor `semantic`, what is there is checked again: for a learnware whose requirements
        have been installed since, or for another `environment`.

        Parameters
        ----------
        id : str
            A specification that was ingested alone becomes a learnware, if it is given a zip.
        path : path, optional
            A zip. Its own semantic part counts only where the dock has none for this id.
        semantic : SemanticSpecification or mapping, optional
        limits, archive_limits, isolation, environment
            As in `submit`.

        Returns
        -------
        SubmitReport

        Raises
        ------
        UnknownLearnware
            If there is no learnware of this id, or no longer, once the check is done.
        InvalidArgument
            If there is no such file, or no semantic part.
        DockError
            If it was updated by somebody else meanwhile, or was ingested alone and is given no zip.
        DamagedLearnware
            If its zip in the dock has to be checked, and is not what was submitted.
        IsolationUnavailable
            If the model can't be contained here as well as it must be.
        ReadOnlyDock
        """
        self._require_writable()
        with self._catalog.reading() as connection:
            number = self._numbers(connection, [checked_id(id)])[0]
        return self._submissions.update(
            number,
            None if path is None else as_path(path, "path"),
            semantic,
            limits=limits,
            archive_limits=archive_limits,
            isolation=isolation,
            environment=environment,
        )

    def ingest(self, *, points: Any, weights: Any, gamma: float, on_progress: Progress | None = None) -> list[str]:
        """Add many specifications alone, without models: all of them, or, after an exception, none.

        Parameters
        ----------
        points : array of shape (N, K, d), or list of N arrays (K_i, d)
            Stored as float32.
        weights : array of shape (N, K), or list of N arrays (K_i,)
        gamma : float
            Positive; the same for all.
        on_progress : callable, optional
            Called as ``on_progress("ingest", done, total)``, in specifications.

        Returns
        -------
        list of str
            Ids in the order of the input, when all of it is durable. Where 10,000 or more come at once, specifications
            near each other get ids near each other: they lie together, so that a search reads them at once.

        Raises
        ------
        InvalidArgument
            For wrong shapes, NaN or infinity, numbers beyond float32, or gamma <= 0.
        ReadOnlyDock
        """
        self._require_writable()
        numbers = self._writer.ingest(points, weights, gamma, on_progress=on_progress or unheard)
        _log.info("%s: ingested %d specifications from %s on", self.path, len(numbers), learnware_name(min(numbers)))
        return [learnware_name(number) for number in numbers]

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
        names = checked_ids(ids)
        with self._catalog.reading() as connection:
            numbers = sorted(set(self._numbers(connection, names)))
        self._writer.delete(numbers)
        if numbers:
            first = learnware_name(numbers[0])
            _log.info("%s: deleted %s", self.path, first if len(numbers) == 1 else f"{len(numbers)} from {first} on")

    def set_search_gamma(
        self, search_gamma: float | Literal["median"] | None, *, gamma: float, input_shape: int | Sequence[int]
    ) -> None:
        """Have the specifications of one gamma and input shape compared under another gamma, or their own again.

        For a space whose gamma is too large to rank: `stats` says which do. Points and weights of the docked
        specifications and of those that ask stay; all distances, those of mixtures too, are of the search gamma.
        Each result says so in its `warnings`. `Hit.fits` is None then, since how far a specification is from its data
        is known under its own gamma alone. Files and what `specification` gives keep their gamma.

        Sketches of the gamma before are dropped: the space is scanned until `optimize`. Of what is not sketched, each
        process computes <P, P> again at its first search: half a second for 100,000 specifications of 64 points.

        Parameters
        ----------
        search_gamma : float, "median" or None
            "median" for `learndock.median_gamma` of points of the docked specifications as they are now; None for the
            specifications' own gamma.
        gamma : float
            Of the specifications.
        input_shape : int or sequence of int
            Of the specifications.

        Raises
        ------
        InvalidArgument
            For a gamma that is none, for the specifications' own, if the dock never had specifications of this gamma
            and shape, or if "median" finds no points that differ.
        ReadOnlyDock

        Examples
        --------
        >>> import tempfile, numpy as np, learndock as ld
        >>> rng = np.random.default_rng(0)
        >>> with ld.Dock(tempfile.mkdtemp() + "/dock") as dock:
        ...     ids = dock.ingest(points=rng.normal(size=(50, 10, 3)), weights=np.full((50, 10), 0.1), gamma=90.0)
        ...     dock.set_search_gamma(0.5, gamma=90.0, input_shape=3)
        ...     user = ld.RKMETableSpecification(rng.normal(size=(10, 3)), np.full(10, 0.1), gamma=90.0)
        ...     print(dock.search(user).warnings[0].partition(":")[0])
        compared under gamma 0.5, which the dock's owner set for searches of gamma 90
        """
        self._require_writable()
        space = Space(RKMETableSpecification.type, checked_shape(input_shape), positive_gamma(gamma))
        self._writer.set_search_gamma(space, checked_search_gamma(search_gamma, space))

    def scaling(self, space: Space | int | Sequence[int], *, gamma: float = 0.1) -> Scaling:
        """What the columns of a space are standardised by: the same for all developers and users.

        The first time that it is asked for, it is pooled from the moments that the specifications of submitted
        learnwares carry (`RKMETableSpecification.moments`), and kept: from then on the answer is the same, whatever is
        submitted, for specifications of two scalings can't be compared. So ask when some developers have submitted.
        `set_scaling` sets another, or pools again.

        Pooled are learnwares of the input shape, whatever their gamma; so columns should mean the same in all of them.
        Each learnware counts alike, and by medians: what less than half of them say moves it no farther than the
        others' own values lie apart.

        A specification that was fitted under another scaling is refused, by `submit` as by `search`. Those that know of
        none, such as the reference's files, are taken as they are; a search says in its `warnings` how many of its
        learnwares were fitted to raw rows where the user's were standardised, or the other way round.

        Parameters
        ----------
        space : Space, int or sequence of int
            One of `spaces()`, or an input shape, such as the number of columns.
        gamma : float, default 0.1
            That specifications are fitted with, where `space` is an input shape.

        Returns
        -------
        Scaling

        Raises
        ------
        DockError
            If none is kept, and no learnware of this shape says anything of its columns.
        ReadOnlyDock
            If none is kept yet, and the dock was opened with `readonly=True`.

        Examples
        --------
        ::

            spec = ld.RKMETableSpecification.fit(X, scaling=dock.scaling(X.shape[1]), random_state=0)
        """
        wanted = space_named(space, gamma)
        kept = self._store.view(wanted).scaling
        if kept is not None:
            return kept
        self._require_writable()
        return self._writer.keep_scaling(wanted)

    def set_scaling(
        self,
        scaling: Scaling | Literal["pooled"] | None,
        *,
        space: Space | int | Sequence[int],
        gamma: float = 0.1,
    ) -> None:
        """Set what the columns of a space are standardised by; see `scaling`.

        Parameters
        ----------
        scaling : Scaling, "pooled" or None
            One that all have agreed on; "pooled" for the moments of the learnwares as they are now; None for none.
        space : Space, int or sequence of int
            One of `spaces()`, or an input shape. There may be no specification in it yet.
        gamma : float, default 0.1
            Where `space` is an input shape.

        Raises
        ------
        InvalidArgument
            For what is no scaling, or one of another number of columns.
        DockError
            If learnwares were fitted under the scaling that is kept: they could be compared with nothing any more. Or
            if no learnware says anything of its columns, for "pooled".
        ReadOnlyDock
        """
        self._require_writable()
        wanted = space_named(space, gamma)
        if scaling is None or (isinstance(scaling, str) and scaling == "pooled"):
            self._writer.set_scaling(wanted, scaling)
            return
        if not isinstance(scaling, Scaling):
            raise InvalidArgument(f'scaling: expected a Scaling, "pooled" or None, got {scaling!r:.200}')
        if (len(scaling),) != wanted.input_shape:
            raise InvalidArgument(f"scaling: expected columns of shape {wanted.input_shape}, got {len(scaling)}")
        self._writer.set_scaling(wanted, scaling)

    def optimize(self, *, on_progress: Progress | None = None) -> None:
        """Fold small writes into segments, compact what was deleted, and sketch what is not yet sketched.

        What a killed writer left is cleared, and sketches that are damaged are made again. Returns when done; searches
        go on meanwhile.

        Parameters
        ----------
        on_progress : callable, optional
            Called as ``on_progress("optimize", done, total)``, in spaces, and as
            ``on_progress("sketch", done, total)``, in specifications of one of them.

        Raises
        ------
        ReadOnlyDock
        """
        self._require_writable()
        self._writer.optimize(on_progress=on_progress or unheard)
