"""The scaling of a space: pooled from what submitters say of their columns, kept, and asked of whoever searches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from learndock._validation import positive_gamma
from learndock.dock import scaling_rows
from learndock.dock.ids import learnware_number
from learndock.dock.search_gamma import checked_shape
from learndock.dock.space import Space
from learndock.errors import SpecificationMismatch
from learndock.specification import RKMETableSpecification, Scaling

if TYPE_CHECKING:
    import numpy.typing as npt

    from learndock.dock.catalog import Catalog
    from learndock.dock.results import SearchResult
    from learndock.dock.store import SpaceView

    FloatArray = npt.NDArray[np.float64]

__all__ = ["most_pooled", "pooled_scaling", "require_kept", "require_searchable", "space_named", "with_scaling_said"]

# Of moments, read at a time: those of the first 100,000 learnwares of 40 columns.
_MOST_BYTES = 64 * 2**20
# A median absolute deviation in units of the deviation of a Gaussian.
_GAUSSIAN = 1.4826


def space_named(space: Any, gamma: Any) -> Space:
    """A space, or that of an input shape and gamma."""
    if isinstance(space, Space):
        return space
    return Space(RKMETableSpecification.type, checked_shape(space), positive_gamma(gamma))


def most_pooled(columns: int) -> int:
    """How many learnwares' moments are read."""
    return max(100, _MOST_BYTES // (16 * columns))


def pooled_scaling(moments: Sequence[FloatArray]) -> Scaling:
    """One scaling of many submitters' moments, each of shape (2, d).

    The mean is the median of their means m_i. The scale is sqrt(w^2 + b^2): within a submitter, w = median of their
    deviations; between them, b = 1.4826 median |m_i - mean|. Medians: whatever less than half of the submitters say,
    what comes out lies among what the others do, or, for b, what they differ by. Everyone counts alike, however many
    rows they claim.

    Where both are 0, a column is constant for most, and of the same value: it is scaled by the median of the others'
    deviations, which moves nobody whose column is constant; by 1 where there are none.
    """
    means, deviations = np.stack([one[0] for one in moments]), np.stack([one[1] for one in moments])
    mean = np.median(means, axis=0)
    with np.errstate(over="ignore"):
        between = _GAUSSIAN * np.median(np.abs(means - mean), axis=0)
        scale = np.hypot(np.median(deviations, axis=0), between)
    for column in np.flatnonzero(scale == 0):
        varying = deviations[deviations[:, column] > 0, column]
        scale[column] = np.median(varying) if len(varying) else 1.0
    return Scaling.from_moments(np.stack([mean, scale]))


def require_kept(spec: RKMETableSpecification, kept: Scaling | None) -> None:
    """Refuse a specification that would lie in its space beside others that it can't be compared with.

    Raises
    ------
    SpecificationMismatch
        If it was fitted under another scaling than the space's.
    """
    if spec.scaling is None or spec.scaling == kept:
        return
    theirs = "the dock has none for such specifications" if kept is None else "the dock's is another"
    raise SpecificationMismatch(
        f"scaling: the specification was fitted under a scaling, and {theirs}: fit it with scaling="
        f"dock.scaling({spec.input_shape[0]}, gamma={spec.gamma!r}), or have the dock's owner set this one "
        "(`Dock.set_scaling`)"
    )


def require_searchable(spec: RKMETableSpecification, kept: Scaling | None, name: str) -> None:
    """Refuse a search whose distances would mean nothing.

    Raises
    ------
    SpecificationMismatch
        If specification and space have different scalings.
    """
    if spec.scaling is not None and kept is not None and spec.scaling != kept:
        raise SpecificationMismatch(
            f"{name}: expected a specification of the dock's own scaling, got one of other means or scales: fit it "
            f"with scaling=dock.scaling({spec.input_shape[0]}, gamma={spec.gamma!r})"
        )


def with_scaling_said(
    results: Sequence[SearchResult], specs: Sequence[RKMETableSpecification], view: SpaceView, catalog: Catalog
) -> list[SearchResult]:
    """Results that say how many of their learnwares were standardised where the user's rows were not, or vice versa.

    That of a file of the reference's, or of a specification that was ingested, nobody knows: they are not counted.

    Parameters
    ----------
    results : sequence of SearchResult
    specs : sequence of RKMETableSpecification
        Whose results they are; all of one space.
    view : SpaceView
        What was searched.
    catalog : Catalog
    """
    some_scaled = view.scaling is not None
    telling = {
        i for i, spec in enumerate(specs) if spec.scaling is not None or (some_scaled and spec.moments is not None)
    }
    if not telling:
        return list(results)
    found = [_numbers(result) if i in telling else set() for i, result in enumerate(results)]
    with catalog.reading() as connection:
        is_scaled = scaling_rows.scaled_by_id(connection, sorted(set().union(*found)))
    said = []
    for result, spec, numbers in zip(results, specs, found, strict=True):
        scaled = spec.scaling is not None
        other = sum(is_scaled.get(number, scaled) != scaled for number in numbers)
        if other:
            what = "raw rows, and yours to standardised ones" if scaled else "standardised rows, and yours to raw ones"
            sentence = (
                f"{other} of these {len(numbers)} learnwares were fitted to {what}: their distances mean little; both "
                f"sides have to fit with scaling=dock.scaling({spec.input_shape[0]}, gamma={spec.gamma!r})."
            )
            result = replace(result, warnings=(*result.warnings, sentence))
        said.append(result)
    return said


def _numbers(result: SearchResult) -> set[int]:
    members = () if result.mixture is None else result.mixture.ids
    ids = {*(hit.id for hit in result.singles), *members}
    return {number for id in ids if (number := learnware_number(id)) is not None}
