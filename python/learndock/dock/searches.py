"""The verbs that search a dock."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

from learndock._validation import limit, positive_integer, random_generator
from learndock.dock.damage import with_damage
from learndock.dock.filters import Filter
from learndock.dock.fits import with_fits
from learndock.dock.listing import ranked
from learndock.dock.mixtures import SearchRule, Wish
from learndock.dock.opened import OpenedDock, checked_ids
from learndock.dock.p_values import with_p_values
from learndock.dock.peer_search import with_reviews
from learndock.dock.progress import Progress, unheard
from learndock.dock.results import SearchResult, SemanticResult
from learndock.dock.scaling import require_searchable, with_scaling_said
from learndock.dock.search import Asked, Certificate, SearchMethod, search_space
from learndock.dock.search_gamma import under_gamma, with_sentence
from learndock.dock.space import Space
from learndock.errors import InvalidArgument, SemanticError
from learndock.specification import RKMETableSpecification

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from learndock.specification import Scaling, SemanticQuery, SemanticSpecification

    Semantic = SemanticQuery | SemanticSpecification | Mapping[str, Any]

__all__ = ["DockSearches"]

SearchedStatus = Literal["usable", "any"]

# A mixture needs the inner products of all its candidates, which are the square for the reference's rules.
_LARGEST_DELTA = 0.1
_MOST_IN_MIXTURE = {"distance": 500, "greedy": 25, "auto": 25, "greedy_dock": 25}


class DockSearches(OpenedDock):
    """Search by specifications, and by semantic parts alone."""

    def search(
        self,
        spec: RKMETableSpecification,
        *,
        k: int = 10,
        semantic: SemanticQuery | SemanticSpecification | Mapping[str, Any] | None = None,
        exclude: str | Sequence[str] = (),
        rule: SearchRule = "distance",
        mixture: int | None = None,
        method: SearchMethod = "certified",
        budget: int = 100,
        certificate: Certificate = "proof",
        delta: float = 1e-6,
        status: SearchedStatus = "usable",
        threads: int | None = None,
        max_memory: int | None = None,
    ) -> SearchResult:
        """Find the learnwares whose training data is closest to the user's, alone and as a mixture.

        Parameters
        ----------
        spec : RKMETableSpecification
            Of the user's data. Only learnwares of the same type, input shape and gamma are compared; under another
            gamma where the dock's owner has set a search gamma for these, which the result's `warnings` then say.
        k : int, default 10
            Single learnwares to return.
        semantic : SemanticQuery, SemanticSpecification or mapping, optional
            Keep to learnwares of these classes and tags (Data, Task, Library, Scenario, License, Model), and, of a
            query or mapping, with these texts in name or description; see `SemanticQuery`.
        exclude : str or sequence of str, default ()
            Ids of learnwares to leave out, such as the user's own: what is found is proven to be the nearest of the
            others.
        rule : {"distance", "greedy", "auto", "greedy_dock"}, default "distance"
            How the mixture is chosen; see `learndock.kernels.mixture`. "greedy" and "auto" are the reference's, over
            the mixture^2 nearest. "greedy_dock" looks at the whole dock in each step, so that it also finds learnwares
            that fit together and not alone, and returns the better of that and "greedy"; a scan of the dock a step.
        mixture : int, optional
            Most learnwares in the mixture: 20 by default for rule "distance", at most 500; 5, at most 25, for the
            others; 0 for no mixture.
        method : {"certified", "exact", "approximate"}, default "certified"
            "exact" looks at every learnware. "certified" gives the same ids and values, and looks at few: a lower bound
            of each distance proves that the others are farther. Scores, which are relative to all distances, are then
            None. Where bounds are too weak, or a dock small, it scans. "approximate" computes the `budget` most
            promising ones and tells how much of that is proven.
        budget : int, default 100
            Learnwares that "approximate" computes; at least as many as it returns.
        certificate : {"proof", "chance"}, default "proof"
            What "certified" is to give where a proof would compute more than a hundredth of the learnwares: "proof"
            computes or scans what it takes. "chance" also leaves out what estimates by random features put far away, as
            far as `optimize` or `ingest` made some: the result's method is then "chance", and `certified` is False.
        delta : float, default 1e-6
            The chance that one of the nearest, the candidates of the mixture included, is lost; at most 0.1. It rests
            on the central limit theorem and is no proof; each exact value is compared with its estimate, and where one
            is farther off than delta allows, the search goes on as for a proof and says so. A small delta costs little.
        status : {"usable", "any"}, default "usable"
            Whether learnwares count whose model was never started, for what it requires is not here.
        threads : int, optional
        max_memory : int, optional
            Bytes that the search may work with beside the dock's files, which are mapped; by default that of
            `learndock.set_max_memory`, or 1 GiB: room for 14 million specifications.

        Returns
        -------
        SearchResult

        Raises
        ------
        InvalidArgument
            For a k below 1, a negative mixture, an unknown rule, method, certificate or status, a delta out of range,
            no specification, or a `max_memory` in which not even one user has room.
        UnknownLearnware
            If one of `exclude` is not in the dock.
        SpecificationMismatch
            If the specification was fitted under another scaling than the dock's (see `Dock.scaling`).
        """
        _require_specification(spec, "spec")
        from learndock.specification import SemanticQuery

        return self.search_many(
            [spec],
            k=k,
            semantic=None if semantic is None else SemanticQuery.of(semantic),
            exclude=exclude,
            rule=rule,
            mixture=mixture,
            method=method,
            budget=budget,
            certificate=certificate,
            delta=delta,
            status=status,
            threads=threads,
            max_memory=max_memory,
        )[0]

    def search_many(
        self,
        specs: Sequence[RKMETableSpecification],
        *,
        k: int = 10,
        semantic: Semantic | Sequence[Semantic | None] | None = None,
        exclude: str | Sequence[str] | Sequence[Sequence[str]] = (),
        rule: SearchRule = "distance",
        mixture: int | None = None,
        method: SearchMethod = "certified",
        budget: int = 100,
        certificate: Certificate = "proof",
        delta: float = 1e-6,
        status: SearchedStatus = "usable",
        threads: int | None = None,
        max_memory: int | None = None,
        on_progress: Progress | None = None,
    ) -> list[SearchResult]:
        """`search` for many users at once; each block of the dock is read once for all of them.

        Parameters
        ----------
        specs : sequence of RKMETableSpecification
            They may belong to different spaces.
        semantic : SemanticQuery, SemanticSpecification or mapping, or a sequence of them, optional
            As in `search`, for all; or one for each of the `specs`, None for those that ask for nothing. Users who ask
            for the same are searched together.
        exclude : str or sequence of str, or a sequence of sequences of str, default ()
            As in `search`, for all; or one sequence for each of the `specs`.
        k, rule, mixture, method, budget, certificate, delta, status, threads, max_memory
            As in `search`; as many users are searched together as have room.
        on_progress : callable, optional
            Called as ``on_progress("search", done, total)``, in specifications.

        Returns
        -------
        list of SearchResult
            In the order of `specs`.

        Raises
        ------
        InvalidArgument
            As `search` does; or if there are fewer or more of `semantic` than of `specs`.
        """
        if not isinstance(specs, Sequence):
            raise InvalidArgument(f"specs: expected a sequence of specifications, got {type(specs).__name__}")
        for i, spec in enumerate(specs):
            _require_specification(spec, f"specs[{i}]")
        if method not in get_args(SearchMethod):
            raise InvalidArgument(f"method: expected one of {', '.join(get_args(SearchMethod))}, got {method!r}")
        budget = positive_integer(budget, "budget")
        chance = _chance(certificate, delta, method)
        wish = _wish(k, rule, mixture)
        if status not in get_args(SearchedStatus):
            raise InvalidArgument(f'status: expected "usable" or "any", got {status!r}')
        filters = _filters(semantic, len(specs), status)
        excluded = self._excluded(exclude, len(specs))
        any_status = status == "any"
        counts = self._store.counts(any_status=any_status)
        results: dict[int, SearchResult] = {}
        together: dict[tuple[Space, Filter, tuple[int, ...]], list[int]] = {}
        for i, spec in enumerate(specs):
            together.setdefault((Space.of(spec), filters[i], excluded[i]), []).append(i)
        for (space, wanted, without), places in together.items():
            skipped = sum(count for other, count in counts.items() if other != space)
            told = _offset(on_progress or unheard, len(results), len(specs))
            allowed = self._allowed(wanted)
            asked = Asked(
                wish, method, budget, allowed, any_status, skipped, threads, max_memory, told, chance, without
            )
            view = self._store.view(space)
            for i in places:
                require_searchable(specs[i], view.scaling, "spec" if len(specs) == 1 else f"specs[{i}]")
            users = [under_gamma(specs[i], view.search_gamma) for i in places]
            found = with_sentence(search_space(view, users, asked), space, view.search_gamma)
            if method != "exact":  # which looks at no sketch
                found = with_damage(found, view)
            judged = with_fits(found, users, view, space=space, catalog=self._catalog, store=self._store)
            judged = with_scaling_said(judged, users, view, self._catalog)
            judged = with_reviews(judged, self._catalog, rule=rule)
            results.update(zip(places, judged, strict=True))
        return [results[i] for i in range(len(specs))]

    def search_rows(
        self,
        X: Any,
        *,
        gamma: float = 0.1,
        scaling: Scaling | None = None,
        k: int = 10,
        semantic: SemanticQuery | SemanticSpecification | Mapping[str, Any] | None = None,
        exclude: str | Sequence[str] = (),
        rule: SearchRule = "distance",
        mixture: int | None = None,
        method: SearchMethod = "certified",
        budget: int = 100,
        certificate: Certificate = "proof",
        delta: float = 1e-6,
        status: SearchedStatus = "usable",
        threads: int | None = None,
        max_memory: int | None = None,
        permutations: int = 999,
        random_state: int | np.random.Generator | None = 0,
    ) -> SearchResult:
        """Search with rows themselves instead of a specification of them, where the dock is at home.

        The rows ask as their empirical mean embedding, a point of weight 1/n for each: nothing is lost to a reduction,
        so that distances are those of the data and `Hit.fits` decides more sharply. Rows never leave this process.

        Learnwares among the hits that ship held-out rows (see `Learnware.pack`) are tested: `Hit.p_value` is that of a
        permutation test of the squared MMD between these rows and yours, at most 1,000 of each.

        Parameters
        ----------
        X : array, DataFrame or tensor of shape (n, d)
            As `RKMETableSpecification.fit` takes it.
        gamma : float, default 0.1
            Only learnwares of this gamma are compared; see `search`. Tests are under the gamma of the search.
        scaling : Scaling, optional
            As `fit` takes it: that of this dock, see `Dock.scaling`, if it has one.
        k, semantic, exclude, rule, mixture, method, budget, certificate, delta, status, threads, max_memory
            As in `search`.
        permutations : int, default 999
            Random divisions of a test; no p-value is below 1 / (1 + permutations).
        random_state : int or numpy.random.Generator, default 0
            Which rows of many are tested, and how they are divided.

        Returns
        -------
        SearchResult
            That of `search` with ``RKMETableSpecification.fit(X, gamma=gamma, reduce=False, scaling=scaling)``, and the
            p-values.

        Raises
        ------
        InvalidArgument
            As `fit` for the data, as `search` for the rest, and for `permutations` below 1.

        Notes
        -----
        A scan takes n / K times as long as one with a specification of K points: of 10,000 rows 100 times, where
        specifications have 100 points; with sketches few distances are computed. Beside it, the squared norm of the
        rows takes n^2 kernel values (a tenth of a second for 10,000 rows), and a test of n and m rows (n + m)^2 kernel
        values and their product with all divisions (an eighth of a second for 999 of 1,000 rows on both sides). Memory
        is a few copies of the rows, and 60 MB for tests. For far more rows, `search` with a specification of many
        points is the better way.

        Examples
        --------
        ::

            for hit in dock.search_rows(X, gamma=ld.median_gamma(X)).singles:
                print(hit.id, hit.mmd2, hit.fits, hit.p_value)
        """
        spec = RKMETableSpecification.fit(X, gamma=gamma, reduce=False, scaling=scaling)
        divisions = positive_integer(permutations, "permutations")
        generator = random_generator(random_state)
        result = self.search(
            spec,
            k=k,
            semantic=semantic,
            exclude=exclude,
            rule=rule,
            mixture=mixture,
            method=method,
            budget=budget,
            certificate=certificate,
            delta=delta,
            status=status,
            threads=threads,
            max_memory=max_memory,
        )
        return with_p_values(
            result,
            under_gamma(spec, self._store.view(Space.of(spec)).search_gamma),
            layout=self._layout,
            catalog=self._catalog,
            permutations=divisions,
            generator=generator,
        )

    def search_semantic(
        self,
        semantic: SemanticQuery | SemanticSpecification | Mapping[str, Any],
        *,
        k: int = 10,
        status: SearchedStatus = "usable",
    ) -> SemanticResult:
        """Find learnwares by their semantic part alone, where there is no data to make a specification of.

        Classes and tags filter; then the texts asked for are looked for in names and descriptions: as they are, or,
        where no learnware holds them so, by what is similar. See `SemanticQuery`.
        Where more than 4,000 learnwares pass the filter, those are compared that share most of a text's rarer trigrams.

        Parameters
        ----------
        semantic : SemanticQuery, SemanticSpecification or mapping
        k : int, default 10
            Learnwares to return.
        status : {"usable", "any"}, default "usable"
            Whether learnwares count whose model was never started, for what it requires is not here.

        Returns
        -------
        SemanticResult
            Its hits by how well they hold the texts, ties by id.

        Raises
        ------
        InvalidArgument
            For a k below 1, an unknown status, or, as SemanticError, a query with faults.

        Examples
        --------
        ::

            for hit in dock.search_semantic(ld.SemanticQuery(name="readmission", scenario="Health")).hits:
                print(hit.id, hit.entry.name, hit.score)
        """
        most = limit(k, "k")
        if semantic is None:
            raise InvalidArgument("semantic: expected a SemanticQuery, a SemanticSpecification or a dict, got None")
        if status not in get_args(SearchedStatus):
            raise InvalidArgument(f'status: expected "usable" or "any", got {status!r}')
        with self._catalog.reading() as connection:
            return ranked(connection, Filter.of(status=status, semantic=semantic), most)

    def _excluded(self, exclude: Any, count: int) -> list[tuple[int, ...]]:
        """Which learnwares each of the users leaves out."""
        one_for_all = isinstance(exclude, str) or not isinstance(exclude, Sequence) or not exclude
        each = [exclude] * count if one_for_all or isinstance(exclude[0], str) else exclude
        if len(each) != count:
            raise InvalidArgument(f"exclude: expected ids for all or for each of {count} specs, got {len(each)}")
        names = [checked_ids(some, "exclude") for some in each]
        if not any(names):
            return [()] * count
        with self._catalog.reading() as connection:
            return [tuple(sorted(set(self._numbers(connection, some)))) for some in names]

    def _allowed(self, wanted: Filter) -> npt.NDArray[np.int64] | None:
        if wanted.query is None:
            return None
        with self._catalog.reading() as connection:
            return self._semantic_index.allowed(connection, wanted)


def _filters(semantic: Semantic | Sequence[Semantic | None] | None, count: int, status: SearchedStatus) -> list[Filter]:
    """What each of the users asks for."""
    if not isinstance(semantic, Sequence) or isinstance(semantic, str | bytes):
        return [Filter.of(status=status, semantic=semantic)] * count
    if len(semantic) != count:
        raise InvalidArgument(f"semantic: expected one for all or one for each of {count} specs, got {len(semantic)}")
    filters = []
    for i, each in enumerate(semantic):
        try:
            filters.append(Filter.of(status=status, semantic=each))
        except SemanticError as error:
            raise SemanticError(f"semantic[{i}]: {error}") from None
    return filters


def _require_specification(value: object, name: str) -> None:
    if not isinstance(value, RKMETableSpecification):
        raise InvalidArgument(f"{name}: expected a specification, got {type(value).__name__}")


def _chance(certificate: object, delta: object, method: SearchMethod) -> float | None:
    """Delta where a chance is enough, None for a proof."""
    if certificate not in get_args(Certificate):
        raise InvalidArgument(f"certificate: expected one of {', '.join(get_args(Certificate))}, got {certificate!r}")
    if isinstance(delta, bool) or not isinstance(delta, numbers.Real) or not 0 < float(delta) <= _LARGEST_DELTA:
        raise InvalidArgument(f"delta: expected a number above 0, at most {_LARGEST_DELTA}, got {delta!r}")
    if certificate == "proof":
        return None
    if method != "certified":
        raise InvalidArgument(f"certificate: 'chance' is for method 'certified', got method {method!r}")
    return float(delta)


def _offset(on_progress: Progress, before: int, total: int) -> Progress:
    """Make one count of those of several spaces."""
    return lambda what, done, _: on_progress(what, before + done, total)


def _wish(k: int, rule: SearchRule, mixture: int | None) -> Wish:
    if not isinstance(rule, str) or rule not in _MOST_IN_MIXTURE:
        raise InvalidArgument(f"rule: expected one of {', '.join(_MOST_IN_MIXTURE)}, got {rule!r}")
    if mixture is None:
        mixture = 20 if rule == "distance" else 5
    elif mixture != 0:
        mixture = positive_integer(mixture, "mixture", most=_MOST_IN_MIXTURE[rule])
    return Wish(limit(k, "k"), rule, int(mixture))
