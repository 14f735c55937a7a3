"""Which learnware a row resembles: shares of a mixture, herds, and what chooses by them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from learndock import kernels
from learndock._validation import finite
from learndock.errors import InvalidArgument, SpecificationMismatch
from learndock.specification._rows import rows_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from learndock.reuse._learnwares import Predictor
    from learndock.specification import RKMETableSpecification, Scaling

    FloatArray = npt.NDArray[np.float64]
    IndexArray = npt.NDArray[np.int64]
    # By the index of the learnware.
    Specifications = Mapping[int, RKMETableSpecification]

__all__ = [
    "FEWEST_SAMPLES",
    "herded",
    "largest_embedding",
    "nearest_mixture",
    "predicted_origins",
    "require_shape",
    "specifications_of",
    "trained",
]

# The reference's: so many samples of a learnware, however small its share.
FEWEST_SAMPLES = 5

# The core's kernel values end at the smallest normal number, 2e-308, and not at 0.
_NOTHING = 1e-300

# Coordinates of candidates in memory, about: 128 MB.
_MOST_PENDING = 2**24


def specifications_of(learnwares: Sequence[Predictor], members: IndexArray) -> dict[int, RKMETableSpecification]:
    """The specifications of some learnwares, which must be comparable with each other."""
    specifications: dict[int, RKMETableSpecification] = {}
    for i in members.tolist():
        specification = getattr(learnwares[i], "specification", None)
        if not all(
            hasattr(specification, name) for name in ("herding_candidates", "embedding", "input_shape", "gamma")
        ):
            raise InvalidArgument(
                f"learnwares[{i}]: expected a statistical specification, got {type(specification).__name__}"
            )
        specifications[i] = specification  # type: ignore[assignment]
    first, *others = specifications
    for i in others:
        for name in ("type", "input_shape", "gamma"):
            wanted, got = (getattr(specifications[j], name) for j in (first, i))
            if wanted != got:
                raise SpecificationMismatch(
                    f"learnwares[{i}]: expected a specification of {name.replace('_', ' ')} {wanted!r} "
                    f"as learnwares[{first}]'s, got {got!r}"
                )
        # One that does not say how its rows were scaled can't be told from one of raw rows.
        if _scaling(specifications[first]) != _scaling(specifications[i]):
            raise SpecificationMismatch(
                f"learnwares[{i}]: expected a specification of the same scaling as learnwares[{first}]'s, or none as it"
            )
    return specifications


def _scaling(specification: RKMETableSpecification) -> Scaling | None:
    return getattr(specification, "scaling", None)


def _standardised(rows: npt.NDArray[Any], specifications: Specifications) -> npt.NDArray[Any]:
    """Rows in the units of the specifications' points."""
    scaling = _scaling(next(iter(specifications.values())))
    return rows if scaling is None else scaling.apply(rows)


def nearest_mixture(specifications: Specifications, X: Any) -> FloatArray:
    """Shares w on the simplex that minimise ||sum_i w_i mu_i - mu_X||^2; every row of X counts alike."""
    specs = list(specifications.values())
    rows = rows_of(X)
    require_shape(rows, specifications)
    rows = _standardised(rows, specifications)
    # Not by `fit`, whose warning of a gamma that does not suit the rows is for who can choose it.
    user = type(specs[0])(rows, np.full(len(rows), 1 / len(rows)), gamma=specs[0].gamma)
    gram = np.array([[one.inner(other) for other in specs] for one in specs])
    shares, _ = kernels.simplex_qp((gram + gram.T) / 2, [spec.inner(user) for spec in specs])
    return shares


def herded(
    specifications: Specifications, counts: Mapping[int, int], generator: np.random.Generator
) -> tuple[FloatArray, IndexArray]:
    """Samples of some of the specifications, in the units of their points, and the index that each came from."""
    herds: list[FloatArray] = []
    pending: list[tuple[FloatArray, FloatArray, int]] = []

    def herd_pending() -> None:
        sets, means, sizes = zip(*pending, strict=True)
        gamma = next(iter(specifications.values())).gamma
        chosen = kernels.herd_many(sets, means, n=sizes, gamma=gamma)
        herds.extend(candidates[indices] for candidates, indices in zip(sets, chosen, strict=True))
        pending.clear()

    for i, count in counts.items():
        pending.append((*specifications[i].herding_candidates(count, random_state=generator), count))
        if sum(candidates.size for candidates, _, _ in pending) > _MOST_PENDING:
            herd_pending()
    if pending:
        herd_pending()
    return np.concatenate(herds), np.repeat(list(counts), list(counts.values()))


def trained(selector: Any, samples: FloatArray, origins: IndexArray, generator: np.random.Generator) -> Any:
    """A clone of the classifier, or by default trees, trained to tell where samples came from."""
    flat = samples.reshape(len(samples), -1)
    if selector is not None:
        from sklearn.base import clone

        return clone(selector).fit(flat, origins)
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    trees = HistGradientBoostingClassifier(early_stopping=False, random_state=int(generator.integers(2**31)))
    # A thousand samples are too few to share out: where others use the processors, threads that wait for one another
    # took ten times as long.
    with threadpool_limits(limits=1, user_api="openmp"):
        return trees.fit(flat, origins)


def require_shape(rows: npt.NDArray[Any], specifications: Specifications) -> None:
    """Raise InvalidArgument unless the rows have the specifications' shape."""
    expected = next(iter(specifications.values())).input_shape
    if rows.shape[1:] != expected:
        raise InvalidArgument(f"X: expected rows of shape {expected}, got {rows.shape[1:]}")


def predicted_origins(
    classifier: Any, members: IndexArray, specifications: Specifications, rows: npt.NDArray[Any]
) -> IndexArray:
    """The classifier's choice among the members."""
    flat = _standardised(rows, specifications).reshape(len(rows), -1)
    chosen = np.asarray(classifier.predict(flat))
    if chosen.shape != (len(rows),) or not np.isin(chosen, members).all():
        raise InvalidArgument(
            f"selector: expected a classifier, which predicts what it was trained on, got {type(classifier).__name__}"
        )
    return chosen.astype(np.int64)


def largest_embedding(specifications: Specifications, shares: FloatArray, rows: npt.NDArray[Any]) -> IndexArray:
    """argmax_i shares_i mu_i(x) of each row; ties go to the lower index.

    Where all embeddings are as good as 0 in float64, the row is far from every point; then the nearest one decides,
    which is what the rule comes to as distances grow.
    """
    finite(rows, "X")
    members = [i for i in specifications if shares[i] > 0]
    best = np.full(len(rows), -np.inf)
    chosen = np.full(len(rows), members[0])
    for i in members:
        values = shares[i] * specifications[i].embedding(rows)
        larger = values > best
        best[larger], chosen[larger] = values[larger], i
    far = np.flatnonzero(np.abs(best) < _NOTHING)
    if len(far):
        standardised = _standardised(rows[far], specifications)
        chosen[far] = _owner_of_nearest_point({i: specifications[i] for i in members}, standardised)
    return chosen


def _owner_of_nearest_point(specifications: Specifications, rows: npt.NDArray[Any]) -> IndexArray:
    flat = np.asarray(rows, dtype=np.float64).reshape(len(rows), -1)
    nearest = np.full(len(flat), np.inf)
    owners = np.zeros(len(flat), dtype=np.int64)
    for i, specification in specifications.items():
        for point in specification.points[specification.weights > 0].reshape(-1, flat.shape[1]):
            distances = np.square(flat - point).sum(axis=1)
            nearer = distances < nearest
            nearest[nearer], owners[nearer] = distances[nearer], i
    return owners
