"""The verbs of peer review."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from learndock.dock.contents import DockContents
from learndock.dock.ids import learnware_name
from learndock.dock.opened import checked_ids
from learndock.dock.progress import Progress, unheard

if TYPE_CHECKING:
    from learndock.dock.peer_report import PeerReport
    from learndock.environment.choice import EnvironmentChoice
    from learndock.learnware import Learnware
    from learndock.runtime import IsolationRequest, ModelLimits

__all__ = ["DockReviews"]


class DockReviews(DockContents):
    """Try models on each other's sketches, and say what came of it."""

    def peer_review(
        self,
        ids: str | Sequence[str] | None = None,
        *,
        limits: ModelLimits | None = None,
        isolation: IsolationRequest = "auto",
        environment: EnvironmentChoice = "current",
        on_progress: Progress | None = None,
    ) -> PeerReport:
        """Try models on each other's sketches, as far as that has not been done.

        Each learnware's peers are the 20 nearest whose outputs mean the same (classification and regression; see
        `learndock.learnware.meaning`). Its model is tried on their sketches and theirs on its own, each in a process of
        its own; what a model loses at each point of a sketch, with the owner's output there as the truth, is kept in
        the dock: about 100 numbers a pair. No label and no row of anybody's takes part, but for the mean labels that a
        learnware may ship (``Learnware.pack(..., labelled_sketch=)``): these are the truth at its points then. `submit`
        and `update` try the new model on its peers' sketches, since it is running then; what that leaves is for this
        verb.

        Searches then give `Hit.predicted_loss` and `SearchResult.reliability`, and `get` gives learnwares a record of
        it, which `learndock.reuse.LocalCompetence` weights them by.

        What is found is kept model by model: a review that was interrupted goes on where it was.

        Parameters
        ----------
        ids : str or sequence of str, optional
            Learnwares to review with their peers; by default all. A model that could not be tried before is tried again
            where it is named.
        limits : ModelLimits, optional
            What each model may use.
        isolation : {"auto", "require", "landlock", "namespace"}
            How well models must be contained, see `learndock.runtime.ModelProcess`.
        environment : {"current", "build"}
            The interpreter to run models with: this one, or ones made from what they require.
        on_progress : callable, optional
            Called as ``on_progress("peer review", done, total)``, in models.

        Returns
        -------
        PeerReport
            Of the whole dock: see `peer_report`.

        Raises
        ------
        UnknownLearnware
            If one of `ids` is not in the dock.
        IsolationUnavailable
            Models can't be contained here as well as they must be.
        ReadOnlyDock
        """
        self._require_writable()
        numbers = None
        if ids is not None:
            with self._catalog.reading() as connection:
                numbers = self._numbers(connection, checked_ids(ids))

        def opened(number: int) -> Learnware:
            return self.get(learnware_name(number), limits=limits, isolation=isolation, environment=environment)

        self._reviewing.review(numbers, opened, on_progress=on_progress or unheard)
        return self.peer_report()

    def peer_report(self) -> PeerReport:
        """What is known of models tried on each other's sketches.

        Returns
        -------
        PeerReport
            Where models are good too, which are twins or covered by another, and specifications that their own models
            contradict all peers on.
        """
        from learndock.dock.peer_report import peer_report

        return peer_report(self._catalog)
