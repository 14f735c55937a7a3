"""P-values of a user's rows against those that learnwares ship."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from learndock.dock import rows
from learndock.dock.ids import learnware_number
from learndock.errors import InvalidArgument, LearnwareError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from learndock.dock.catalog import Catalog
    from learndock.dock.layout import Layout
    from learndock.dock.results import SearchResult
    from learndock.specification import RKMETableSpecification

    FloatArray = npt.NDArray[np.float64]

__all__ = ["with_p_values"]

_log = logging.getLogger("learndock")


def with_p_values(
    result: SearchResult,
    user: RKMETableSpecification,
    *,
    layout: Layout,
    catalog: Catalog,
    permutations: int,
    generator: np.random.Generator,
) -> SearchResult:
    """Test the user's rows against those of each hit that ships some.

    Parameters
    ----------
    result : SearchResult
    user : RKMETableSpecification
        Its points are the rows, in units of its scaling.
    layout : Layout
    catalog : Catalog
    permutations : int
    generator : numpy.random.Generator
    """
    numbers = {hit.id: number for hit in result.singles if (number := learnware_number(hit.id)) is not None}
    with catalog.reading() as connection:
        found = rows.rows_of(connection, list(numbers.values()))
    zips = {
        id: layout.zip(number, found[number].zip_sha256)
        for id, number in numbers.items()
        if number in found and found[number].zip_sha256 is not None
    }
    shipped = {id: held_out for id, zip in zips.items() if (held_out := _held_out(id, zip, user)) is not None}
    if not shipped:
        return result
    from learndock.dock.two_sample import p_value, sampled

    sample = sampled(user.points, generator)
    values = {
        hit.id: p_value(sample, shipped[hit.id], gamma=user.gamma, permutations=permutations, generator=generator)
        for hit in result.singles
        if hit.id in shipped
    }
    return replace(result, singles=tuple(replace(hit, p_value=values.get(hit.id)) for hit in result.singles))


def _held_out(id: str, zip: Path, user: RKMETableSpecification) -> FloatArray | None:
    """What a learnware ships. Whatever is wrong with its zip, the search goes on: `Dock.verify` says what it is."""
    from learndock.learnware.held_out import held_out_in_zip

    try:
        held_out = held_out_in_zip(zip, columns=user.input_shape[0])
        # As the user's rows were.
        return held_out if held_out is None or user.scaling is None else user.scaling.apply(held_out)
    except (LearnwareError, InvalidArgument, OSError) as error:
        _log.warning("%s: no p-value: its held-out rows can't be read (%s)", id, error)
        return None
