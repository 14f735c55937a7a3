"""Whether a learnware's data and the user's can be of one distribution: an absolute answer beside the ranks.

Let mu_u and mu_P be the mean embeddings of the n_u and n_P rows that user and learnware have, independent samples of
one distribution with mean mu, and k(x, y) in [0, 1] with k(x, x) = 1. With c = 1/n_u + 1/n_P,

    E MMD^2(mu_u, mu_P) = c (1 - ||mu||^2),   so   E MMD <= sqrt(c (1 - ||mu||^2)),

and changing one row moves MMD by at most sqrt(2)/n, as ||k(x, .) - k(y, .)||^2 <= 2. By McDiarmid's inequality, with
probability 1 - alpha or more,

    MMD <= sqrt(c) (sqrt(1 - ||mu||^2) + sqrt(log(1/alpha))),

which is the large-deviation bound of Gretton et al., "A kernel two-sample test", JMLR 13 (2012), theorem 8, for samples
of two sizes and a kernel that is never negative. It holds for every distribution and all sizes; 1 - ||mu||^2 alone is
estimated, and it is 1 at most.

What is compared are sketches of these samples. By the triangle inequality the distance of two sketches is at most that
of the samples plus eps_u + eps_P, eps^2 = `fit_mmd2`. A search compares many learnwares, so alpha is 0.05 over their
number (Bonferroni): with probability 0.95 not one of those that do fit is said not to.

Sketches of weights >= 0 are at a squared distance of <u, u> + <P, P> at most, where no point of the one has a kernel
value with any of the other. Where all that is allowed, under a gamma so large or of rows so few, data that have nothing
in common would pass: the answer is none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from learndock.dock import rows
from learndock.dock.ids import learnware_number

if TYPE_CHECKING:
    from learndock.dock.catalog import Catalog
    from learndock.dock.results import Hit, SearchResult
    from learndock.dock.space import Space
    from learndock.dock.store import SpaceView, SpecStore
    from learndock.specification import RKMETableSpecification

__all__ = ["LEVEL", "Sample", "fits", "mmd2_threshold", "with_fits"]

# False alarms that are allowed: how often one among all that a search compares may be said not to fit though it does.
LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class Sample:
    """What is known of the data behind a specification.

    Attributes
    ----------
    rows : int
    fit_mmd2 : float
        Squared MMD between the data and the specification.
    """

    rows: int
    fit_mmd2: float


def mmd2_threshold(user: Sample, docked: Sample, *, norm2: float, compared: int) -> float:
    """Squared MMD between two samples of one distribution that is exceeded with probability 0.05 / compared at most.

    Parameters
    ----------
    user, docked : Sample
    norm2 : float
        <u, u> of the user's specification.
    compared : int
        Specifications among which the docked one was found.
    """
    variance = 1.0  # 1 - ||mu||^2, or what bounds it
    if user.rows > 1:
        # The sample's mean embedding is as long as its sketch, but for eps. Its squared length is
        # ||mu||^2 + (1 - ||mu||^2)/n in the mean.
        length = max(0.0, math.sqrt(max(0.0, norm2)) - math.sqrt(user.fit_mmd2))
        variance = min(1.0, max(0.0, 1 - length**2) * user.rows / (user.rows - 1))
    inverse = 1 / user.rows + 1 / docked.rows
    return inverse * (math.sqrt(variance) + math.sqrt(math.log(compared / LEVEL))) ** 2


def fits(mmd2: float, user: Sample, docked: Sample, *, norm2: float, docked_norm2: float, compared: int) -> bool | None:
    """Whether a squared MMD of two specifications is small enough for samples of one distribution.

    Parameters
    ----------
    mmd2 : float
    user, docked : Sample
    norm2, docked_norm2 : float
        <u, u> and <P, P>.
    compared : int
        Specifications among which the docked one was found.

    Returns
    -------
    bool or None
        None where it would be small enough of any data.
    """
    threshold = mmd2_threshold(user, docked, norm2=norm2, compared=compared)
    allowed = math.sqrt(user.fit_mmd2) + math.sqrt(docked.fit_mmd2) + math.sqrt(threshold)
    if math.sqrt(max(0.0, mmd2)) > allowed:
        return False  # negative weights can be farther apart than what follows
    return None if allowed**2 >= norm2 + docked_norm2 else True


def with_fits(
    results: Sequence[SearchResult],
    specs: Sequence[RKMETableSpecification],
    view: SpaceView,
    *,
    space: Space,
    catalog: Catalog,
    store: SpecStore,
) -> list[SearchResult]:
    """Answer for the hits of users what can be answered.

    Parameters
    ----------
    results : sequence of SearchResult
    specs : sequence of RKMETableSpecification
        Whose results they are; all of one space.
    view : SpaceView
        What was searched.
    space : Space
    catalog : Catalog
    store : SpecStore
    """
    # What a specification is away from its data is known under its own gamma alone.
    if not view.knows_data or view.search_gamma is not None:
        return list(results)
    users = [_sample(spec.num_points, spec.fit_mmd2) for spec in specs]
    asked = {hit.id for result, user in zip(results, users, strict=True) if user is not None for hit in result.singles}
    if not asked:
        return list(results)
    docked = _samples(sorted(asked), view, space=space, catalog=catalog, store=store)

    def answered(hit: Hit, user: Sample, norm2: float, compared: int) -> Hit:
        if hit.id not in docked:
            return hit
        sample, docked_norm2 = docked[hit.id]
        return replace(
            hit, fits=fits(hit.mmd2, user, sample, norm2=norm2, docked_norm2=docked_norm2, compared=compared)
        )

    return [
        result
        if user is None
        else replace(
            result,
            singles=tuple(answered(hit, user, spec.inner(spec), result.compared) for hit in result.singles),
        )
        for result, spec, user in zip(results, specs, users, strict=True)
    ]


def _sample(num_points: int | None, fit_mmd2: float | None) -> Sample | None:
    return None if num_points is None or fit_mmd2 is None else Sample(num_points, fit_mmd2)


def _samples(
    ids: Sequence[str], view: SpaceView, *, space: Space, catalog: Catalog, store: SpecStore
) -> Mapping[str, tuple[Sample, float]]:
    """The samples behind docked specifications as they were searched, and <P, P> of these.

    The catalog says what is there now; a learnware that was given another specification meanwhile is left out.
    """
    numbers = {id: number for id in ids if (number := learnware_number(id)) is not None}
    with catalog.reading() as connection:
        found = rows.rows_of(connection, list(numbers.values()))
        unchanged = rows.generation(connection) == view.generation
    now = view if unchanged else store.view(space)
    samples = {}
    for id, number in numbers.items():
        sample = _sample(found[number].num_points, found[number].fit_mmd2) if number in found else None
        place = view.place(number)
        if sample is not None and place is not None and (unchanged or _same(view, now, number)):
            segment, at = place
            samples[id] = sample, float(segment.self_inner[at])
    return samples


def _same(before: SpaceView, now: SpaceView, number: int) -> bool:
    """Whether a learnware has the specification in both, wherever it lies."""
    old, new = before.place(number), now.place(number)
    if old is None or new is None:
        return False
    pairs = zip(old[0].packed.embedding(old[1]), new[0].packed.embedding(new[1]), strict=True)
    return all(np.array_equal(held, held_now) for held, held_now in pairs)
