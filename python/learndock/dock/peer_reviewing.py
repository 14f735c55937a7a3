"""Peer review: models of one dock, tried on each other's sketches.

Each learnware's peers are the 20 nearest whose outputs mean the same. Its model is tried on their sketches, and theirs
on its own; each model is started once, and predicts all points that it is to be tried on in one call. What is kept of a
pair is the loss at each point of the sketch, with its owner's output there as the truth.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from learndock.dock import peer_rows
from learndock.dock.ids import learnware_name
from learndock.dock.mixtures import Wish
from learndock.dock.peer_rows import OwnOutputs, PeerLosses, Runnable
from learndock.dock.peer_trial import Trial, failed, losses_on, try_model
from learndock.dock.progress import Progress, unheard
from learndock.dock.search import Asked, search_space
from learndock.dock.search_gamma import under_gamma
from learndock.errors import DockError, IsolationUnavailable, LearndockError
from learndock.learnware.meaning import OutputMeaning
from learndock.peers import NEAREST, reviewable

if TYPE_CHECKING:
    import numpy.typing as npt

    from learndock.dock.catalog import Catalog
    from learndock.dock.space import Space
    from learndock.dock.store import SpecStore
    from learndock.dock.writer import Writer
    from learndock.learnware import Learnware
    from learndock.specification import RKMETableSpecification

    FloatArray = npt.NDArray[np.float64]

__all__ = ["PeerReviewing"]

_log = logging.getLogger("learndock")

# Models that are tried at the same time; each has a process of its own.
_CONCURRENT_MODELS = 2
# Outputs that wait for those of the sketch's owner; beyond, they are dropped, and tried again another time.
_MOST_WAITING_BYTES = 256 * 2**20
# Searches for peers at a time.
_SEARCHED_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class _Member:
    """A learnware that takes part."""

    runnable: Runnable
    meaning: OutputMeaning


class PeerReviewing:
    """Tries the models of one dock.

    Parameters
    ----------
    catalog : Catalog
    store : SpecStore
    writer : Writer
    specification : callable
        The specification of a learnware as the dock holds it, by its number.
    """

    def __init__(
        self,
        catalog: Catalog,
        store: SpecStore,
        writer: Writer,
        specification: Callable[[int], RKMETableSpecification],
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._writer = writer
        self._specification = specification

    def welcome(self, number: int, learnware: Learnware) -> None:
        """Try a learnware that was just added on the sketches of its peers: its model is running already.

        Its peers are tried on its own sketch by `review`. A failure is no reason to refuse it.
        """
        with self._catalog.reading() as connection:
            found = peer_rows.runnables(connection, [number])
        members = self._members(found)
        if number not in members:
            return
        member = members[number]
        own = self._spec_or_none(number)
        if own is None:
            return
        peers, mmd2 = self._peers_of_one(member, own)
        with self._catalog.reading() as connection:
            versions = {one.id: one.version for one in peer_rows.runnables(connection, peers)}
            truths = peer_rows.outputs_of(connection, versions) if versions else {}
        sketches: dict[int, RKMETableSpecification] = {}
        self._loaded(versions, sketches)
        trial = try_model(number, learnware, member.meaning, own, sketches)
        losses = [
            losses_on(number, sketches[peer], outputs, truths[peer], meaning=member.meaning, mmd2=mmd2[peer])
            for peer, outputs in trial.outputs.items()
            if peer in truths
        ]
        known = [one for one in losses if one is not None]
        self._writer.add_reviews([trial.own], known, {**versions, number: member.runnable.version})

    def review(
        self,
        numbers: Sequence[int] | None,
        opened: Callable[[int], Learnware],
        *,
        on_progress: Progress = unheard,
    ) -> None:
        """Try what has not been tried yet; see `Dock.peer_review`.

        Parameters
        ----------
        numbers : sequence of int or None
            Learnwares whose peers are to be tried, and that are to be tried on their peers'; None for all. Those that
            failed before are tried again where they are named.
        opened : callable
            Opens a learnware, ready to predict.
        on_progress : callable
        """
        with self._catalog.reading() as connection:
            runnable = peer_rows.runnables(connection)
            reviews = peer_rows.has_reviews(connection)
            failing = set(peer_rows.failures(connection)) if reviews else set()
            said = peer_rows.known_outputs(connection) - failing if reviews else set()
        passed_over = failing if numbers is None else failing.difference(numbers)
        members = {id: member for id, member in self._members(runnable).items() if id not in passed_over}
        specs: dict[int, RKMETableSpecification] = {}
        targets = self._loaded([id for id in members if numbers is None or id in numbers], specs)
        pairs = self._pairs(targets, members, specs)
        with self._catalog.reading() as connection:
            done = peer_rows.known_pairs(connection, sorted({model for model, _ in pairs})) if reviews else set()
        work: dict[int, list[int]] = {id: [] for id in targets if id not in said}
        for model, sketch in pairs:
            if (model, sketch) not in done:
                work.setdefault(model, []).append(sketch)
        tried_on = {sketch for sketches in work.values() for sketch in sketches}
        self._loaded(tried_on.union(work), specs)
        work = {
            model: [sketch for sketch in sketches if sketch in specs]
            for model, sketches in work.items()
            if model in specs
        }
        with self._catalog.reading() as connection:
            truths = peer_rows.outputs_of(connection, tried_on & said) if reviews else {}
        _Run(self._writer, members, specs, truths, pairs, work, opened, on_progress).run()

    def _members(self, found: Sequence[Runnable]) -> dict[int, _Member]:
        from learndock.specification import SemanticSpecification

        members = {}
        for one in found:
            meaning = OutputMeaning.of(SemanticSpecification.from_dict(one.semantic))
            if reviewable(meaning):
                members[one.id] = _Member(one, meaning)
        return members

    def _loaded(self, ids: Iterable[int], specs: dict[int, RKMETableSpecification]) -> list[int]:
        """Read specifications that are not among `specs` yet; which of the ids are there then."""
        found = []
        for id in ids:
            if id not in specs and (spec := self._spec_or_none(id)) is not None:
                specs[id] = spec
            if id in specs:
                found.append(id)
        return found

    def _spec_or_none(self, number: int) -> RKMETableSpecification | None:
        try:
            return self._specification(number)
        except DockError as error:  # deleted meanwhile, or damaged: for `Dock.verify`
            _log.warning("%s is left out of the peer review: %s", learnware_name(number), error)
            return None

    def _peers_of_one(self, member: _Member, spec: RKMETableSpecification) -> tuple[list[int], dict[int, float]]:
        with self._catalog.reading() as connection:
            alike = (
                peer_rows.reviewed_ids(connection, member.meaning.key)
                if peer_rows.has_reviews(connection)
                else np.empty(0, np.int64)
            )
        near = self._nearest({member.runnable.id: spec}, alike)[0]
        return list(near), near

    def _pairs(
        self,
        targets: Sequence[int],
        members: Mapping[int, _Member],
        specs: Mapping[int, RKMETableSpecification],
    ) -> dict[tuple[int, int], float]:
        """Pairs (model, sketch) that are to be tried, with the squared MMD of the two."""
        groups: dict[tuple[str, int], list[int]] = {}
        for id, member in members.items():
            groups.setdefault((member.meaning.key, member.runnable.space_id), []).append(id)
        wanted = set(targets)
        pairs: dict[tuple[int, int], float] = {}
        for group in groups.values():
            alike = np.array(sorted(group), np.int64)
            asking = [id for id in group if id in wanted]
            for start in range(0, len(asking), _SEARCHED_AT_ONCE):
                some = asking[start : start + _SEARCHED_AT_ONCE]
                for id, near in zip(some, self._nearest({id: specs[id] for id in some}, alike), strict=True):
                    for peer, mmd2 in near.items():
                        pairs[id, peer] = pairs[peer, id] = mmd2
        return pairs

    def _nearest(
        self, specs: Mapping[int, RKMETableSpecification], alike: npt.NDArray[np.int64]
    ) -> list[dict[int, float]]:
        """For each learnware of one space the nearest among some, by number, with the squared MMD."""
        from learndock.dock.space import Space

        space: Space = Space.of(next(iter(specs.values())))
        view = self._store.view(space)
        wish = Wish(NEAREST + 1, "distance", 0)
        asked = Asked(wish, "certified", 0, alike, False, 0, None, None, unheard)
        results = search_space(view, [under_gamma(spec, view.search_gamma) for spec in specs.values()], asked)
        found = []
        for id, result in zip(specs, results, strict=True):
            near = {int(hit.id): hit.mmd2 for hit in result.singles if int(hit.id) != id}
            found.append(dict(list(near.items())[:NEAREST]))
        return found


class _Run:
    """One review under way: what waits, and what is kept as soon as it can be."""

    def __init__(
        self,
        writer: Writer,
        members: Mapping[int, _Member],
        specs: Mapping[int, RKMETableSpecification],
        truths: Mapping[int, OwnOutputs],
        mmd2: Mapping[tuple[int, int], float],
        work: Mapping[int, Sequence[int]],
        opened: Callable[[int], Learnware],
        on_progress: Progress,
    ) -> None:
        self._writer = writer
        self._members = members
        self._specs = specs
        self._truths = dict(truths)
        self._mmd2 = mmd2
        self._work = work
        self._opened = opened
        self._on_progress = on_progress
        self._waiting: dict[int, dict[int, FloatArray]] = {}
        self._waiting_bytes = 0
        self._done = 0

    def run(self) -> None:
        """Try one model after the other, two at a time."""
        with ThreadPoolExecutor(max_workers=_CONCURRENT_MODELS) as pool:
            running: set[Future[Trial]] = set()
            try:
                for id in sorted(self._work):
                    running.add(pool.submit(self._try, id))
                    if len(running) == _CONCURRENT_MODELS:
                        running = self._take(running)
                while running:
                    running = self._take(running)
            finally:
                for future in running:
                    future.cancel()

    def _take(self, running: set[Future[Trial]]) -> set[Future[Trial]]:
        done, left = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            self._keep(future.result())
            self._done += 1
            self._on_progress("peer review", self._done, len(self._work))
        return left

    def _try(self, id: int) -> Trial:
        member = self._members[id]
        sketches = {sketch: self._specs[sketch] for sketch in self._work[id]}
        try:
            with closing(self._opened(id)) as learnware:
                return try_model(id, learnware, member.meaning, self._specs[id], sketches)
        except IsolationUnavailable:
            raise
        except LearndockError as error:
            return failed(id, member.meaning, error)

    def _keep(self, trial: Trial) -> None:
        """Write what is complete; what a sketch's owner has not said yet waits for it."""
        own = trial.own
        if own.failure is None:
            self._truths[own.id] = own
        found = [self._losses(own.id, sketch, outputs) for sketch, outputs in trial.outputs.items()]
        for model, outputs in self._waiting.pop(own.id, {}).items():
            self._waiting_bytes -= outputs.nbytes
            found.append(self._losses(model, own.id, outputs))
        known = [one for one in found if one is not None]
        concerned = {own.id, *(one.model for one in known), *(one.sketch for one in known)}
        self._writer.add_reviews([own], known, {id: self._members[id].runnable.version for id in concerned})

    def _losses(self, model: int, sketch: int, outputs: FloatArray) -> PeerLosses | None:
        member = self._members[sketch]
        truth = self._truths.get(sketch)
        if truth is not None:
            mmd2 = self._mmd2[model, sketch]
            return losses_on(model, self._specs[sketch], outputs, truth, meaning=member.meaning, mmd2=mmd2)
        if sketch in self._work and self._waiting_bytes + outputs.nbytes <= _MOST_WAITING_BYTES:
            self._waiting.setdefault(sketch, {})[model] = outputs
            self._waiting_bytes += outputs.nbytes
        return None
