"""What the catalog holds of scalings: functions on a connection. Older catalogs hold nothing of the kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import sqlalchemy as sa

from learndock.dock.rows import batches
from learndock.dock.tables import fitted_specs, learnwares, space_scalings, spaces
from learndock.specification import Scaling

if TYPE_CHECKING:
    import numpy.typing as npt

    from learndock.dock.space import Space
    from learndock.specification import RKMETableSpecification

    FloatArray = npt.NDArray[np.float64]

__all__ = [
    "fitted_of",
    "insert_fitted",
    "kept_scaling",
    "moments_of_shape",
    "remove_fitted",
    "scaled_by_id",
    "scaled_count",
    "set_kept_scaling",
]


def kept_scaling(connection: sa.Connection, space_id: int) -> Scaling | None:
    """The scaling of a space, if it has one."""
    if not sa.inspect(connection).has_table(space_scalings.name):
        return None
    query = sa.select(space_scalings.c.mean_and_scale).filter_by(space_id=space_id)
    held = connection.execute(query).scalar_one_or_none()
    return None if held is None else Scaling(*_pair(held))


def set_kept_scaling(connection: sa.Connection, space_id: int, scaling: Scaling | None) -> None:
    """Give a space another scaling, or none."""
    space_scalings.create(connection, checkfirst=True)
    connection.execute(space_scalings.delete().filter_by(space_id=space_id))
    if scaling is not None:
        values = {"space_id": space_id, "mean_and_scale": np.stack([scaling.mean, scaling.scale]).tobytes()}
        connection.execute(space_scalings.insert().values(**values))


def insert_fitted(connection: sa.Connection, learnware_id: int, spec: RKMETableSpecification) -> None:
    """What a specification says of the columns that it was fitted to, if it says anything."""
    if spec.moments is None and spec.scaling is None:
        return
    fitted_specs.create(connection, checkfirst=True)
    connection.execute(
        fitted_specs.insert().values(
            learnware_id=learnware_id,
            moments=None if spec.moments is None else spec.moments.tobytes(),
            scaled=spec.scaling is not None,
        )
    )


def remove_fitted(connection: sa.Connection, learnware_id: int) -> None:
    """Forget what a specification said; one that is deleted takes it along."""
    if sa.inspect(connection).has_table(fitted_specs.name):
        connection.execute(fitted_specs.delete().filter_by(learnware_id=learnware_id))


def fitted_of(connection: sa.Connection, learnware_id: int) -> tuple[FloatArray | None, bool]:
    """Moments, where known, and whether the rows were standardised by the space's scaling."""
    if not sa.inspect(connection).has_table(fitted_specs.name):
        return None, False
    row = connection.execute(sa.select(fitted_specs).filter_by(learnware_id=learnware_id)).first()
    return (None, False) if row is None else (None if row.moments is None else _pair(row.moments), row.scaled)


def scaled_by_id(connection: sa.Connection, ids: Sequence[int]) -> dict[int, bool]:
    """Whether the rows were standardised by the space's scaling, of those learnwares that say."""
    if not sa.inspect(connection).has_table(fitted_specs.name):
        return {}
    found = {}
    columns = (fitted_specs.c.learnware_id, fitted_specs.c.scaled)
    for some in batches(ids):
        for row in connection.execute(sa.select(*columns).where(fitted_specs.c.learnware_id.in_(some))):
            found[row.learnware_id] = row.scaled
    return found


def scaled_count(connection: sa.Connection, space_id: int) -> int:
    """How many learnwares of a space were fitted under its scaling."""
    if not sa.inspect(connection).has_table(fitted_specs.name):
        return 0
    joined = fitted_specs.join(learnwares, learnwares.c.id == fitted_specs.c.learnware_id)
    query = sa.select(sa.func.count()).select_from(joined).where(learnwares.c.space_id == space_id)
    return int(connection.execute(query.where(fitted_specs.c.scaled)).scalar_one())


def moments_of_shape(connection: sa.Connection, space: Space, *, most: int) -> list[FloatArray]:
    """Moments of the first learnwares of a space's type and shape, whatever their gamma: columns know nothing of it."""
    if not sa.inspect(connection).has_table(fitted_specs.name):
        return []
    joined = fitted_specs.join(learnwares, learnwares.c.id == fitted_specs.c.learnware_id)
    query = (
        sa.select(fitted_specs.c.moments)
        .select_from(joined.join(spaces, spaces.c.id == learnwares.c.space_id))
        .where(spaces.c.type == space.type, spaces.c.input_shape == space.shape_text)
        .where(fitted_specs.c.moments.is_not(None))
        .order_by(fitted_specs.c.learnware_id)
        .limit(most)
    )
    return [_pair(held) for held in connection.execute(query).scalars()]


def _pair(held: bytes) -> FloatArray:
    return np.frombuffer(held, np.float64).reshape(2, -1)
