"""The dock: learnwares on disk, submitted, found and handed out."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from learndock._validation import as_path
from learndock.dock.catalog_place import checked_url, new_place, require_server
from learndock.dock.changes import DockChanges
from learndock.dock.progress import Progress, unheard
from learndock.dock.reviews import DockReviews
from learndock.dock.searches import DockSearches

if TYPE_CHECKING:
    import sqlalchemy as sa

    from learndock.dock.repair import RepairReport
    from learndock.dock.stats import DockStats
    from learndock.dock.verify_report import VerifyReport

__all__ = ["Dock"]

_log = logging.getLogger("learndock")


class Dock(DockChanges, DockReviews, DockSearches):
    """Learnwares in a folder: a catalog, their zips, and their specifications in the order in which kernels read them.

    Parameters
    ----------
    path : path
        Made if absent, with the folders above it.
    catalog : str or URL, optional
        Where the catalog of a new dock goes: by default into a SQLite file in the folder, and with a URL such as
        ``postgresql+psycopg://user@host/database`` into a schema of that database, made for it. That is for docks that
        many write to, from one host or from several that share the folder; it needs ``learndock[postgres]``, a database
        in UTF8, and sessions of the server's own (a pooler in between must not share them). The folder records URL and
        schema, without the password: later the dock opens without `catalog`, and the password comes from PGPASSWORD or
        ~/.pgpass, or with `catalog` as before.
    readonly : bool, default False
        Take no lock and write nothing: for docks on read-only or network file systems. What a writer changes after the
        opening may not be seen.
    actor : str, optional
        Who the audit log names for what is changed through this object; by default the user of this process.

    Raises
    ------
    DockFormatError
        If something else than a dock is there, or one of a newer format.
    ReadOnlyDock
        If there is none and `readonly` is set, or its folder can't be written to and it is not; and of every change to
        a dock so opened.
    DockError
        If the catalog can't be reached, or `catalog` names a database that does not have this dock's.
    MissingDependency
        If the catalog is in PostgreSQL and psycopg is not installed.

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

    def stats(self) -> DockStats:
        """What the spaces of the dock hold, and how well they can be searched.

        Returns
        -------
        DockStats
            For each space the number of specifications, the bytes of their points and sketches, what the sketches are
            made with, and how many exact values a search is likely to take; and, where bounds are weak or distances say
            nothing at its gamma, what to do.

        Examples
        --------
        >>> import tempfile, numpy as np, learndock as ld
        >>> rng = np.random.default_rng(0)
        >>> with ld.Dock(tempfile.mkdtemp() + "/dock") as dock:
        ...     ids = dock.ingest(points=rng.normal(size=(50, 10, 3)), weights=np.full((50, 10), 0.1), gamma=0.1)
        ...     dock.stats()
        DockStats(50 specifications in 1 space)
          RKMETableSpecification 3: gamma 0.1, specs 50, sketched 0, search scan
        """
        from learndock.dock.stats import dock_stats

        return dock_stats(self._catalog, self._store)

    def verify(self, *, on_progress: Progress | None = None) -> VerifyReport:
        """Look at everything in the dock, and say what is wrong. Nothing is repaired; `repair` does that.

        The sha256 and size of every zip and the sha256 of every array of every segment are compared with the catalog;
        the catalog is checked by its database; segments have to open and to fit what the catalog says of them; every
        learnware has to have one specification, of finite numbers, and <P, P> of a sample is computed again. Sketches
        have to be what was written: damaged ones are made again by `optimize`.

        Parameters
        ----------
        on_progress : callable, optional
            Called as ``on_progress("verify", done, total)``, in zips and segments.

        Returns
        -------
        VerifyReport
            With `ok`, `problems` and `orphans`.
        """
        from learndock.dock.doctor import examine

        return examine(self._layout, self._catalog, readonly=self._readonly, on_progress=on_progress or unheard)

    def repair(self, *, drop_damaged: bool = False, on_progress: Progress | None = None) -> RepairReport:
        """Mend what `verify` finds and what follows from something whole; give up what doesn't, if that is asked for.

        Made again are the keys and texts that searches know of semantic parts, and damaged sketches; what a killed
        writer left is deleted. A zip or a segment that is damaged stays as it is, and in the report.

        Parameters
        ----------
        drop_damaged : bool, default False
            Drop learnwares whose zip is damaged, and damaged segments. What lay in one of these is read from the
            learnware's zip again; what was ingested alone, or has no good zip either, is dropped too. A backup that
            has it is the better way.
        on_progress : callable, optional
            As of `verify` and `optimize`.

        Returns
        -------
        RepairReport
            With `ok`, `done`, `dropped`, and what `verify` said `before` and `after`.

        Raises
        ------
        ReadOnlyDock
        """
        self._require_writable()
        from learndock.dock.repair import repair

        return repair(
            self._layout, self._catalog, self._writer, drop_damaged=drop_damaged, on_progress=on_progress or unheard
        )

    def backup(
        self,
        path: str | os.PathLike[str],
        *,
        catalog: str | sa.URL | None = None,
        link: bool = True,
        on_progress: Progress | None = None,
    ) -> Path:
        """Copy the dock to a folder, in one state, though searches and changes go on.

        Parameters
        ----------
        path : path
            An empty folder, or none: it is made. What is there afterwards is a dock, or, after an exception or an
            end of the process, none.
        catalog : str or URL, optional
            Where the copy's catalog goes, as in `Dock`: by default into its folder, wherever this dock's is, so that
            the copy needs no server. With a URL it is a way to move a dock to PostgreSQL, or a backup back.
        link : bool, default True
            Zips and segments never change: on the same file system the copy shares them as hard links, which takes no
            time and no space. With False, or where links can't be made, they are copied; a link is no help against a
            disk that loses what is written on it.
        on_progress : callable, optional
            Called as ``on_progress("backup", done, total)``, in zips and segments.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        InvalidArgument
            If something is there already, or the path lies within the dock.
        DockError
            If the folder or the catalog can't be written, or files of the dock are missing.
        """
        from learndock.dock.backup import Target, back_up

        target = as_path(path, "path")
        place = None if catalog is None else new_place(checked_url(catalog))
        if place is not None:
            require_server(place.url)
        back_up(
            self._layout,
            self._catalog,
            Target(target, place, self._actor),
            readonly=self._readonly,
            link=link,
            on_progress=on_progress or unheard,
        )
        _log.info("%s: backed up to %s", self.path, target)
        return target
