"""What describes and what is found goes through pickle and copy unchanged: to other processes, and through clone."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import learndock as ld
from learndock import kernels
from learndock.dock.space import Space
from learndock.errors import UnknownLearnware

# Numbers that text would lose: signed zero, a third, the smallest above 0, the largest that is taken.
AWKWARD = np.array([[-0.0, 1 / 3], [5e-324, 1e150], [np.pi, -1e-300]])

WAYS = {
    **{f"pickle {n}": (lambda value, n=n: pickle.loads(pickle.dumps(value, n))) for n in range(2, 6)},
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}
EVERY_WAY = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)

SCALING = ld.Scaling([-0.0, 1 / 3], [1e-300, np.pi])
SEMANTIC = ld.SemanticSpecification(
    name="Größe",
    description="Of a person.",
    data="Table",
    task="Classification",
    library="Scikit-learn",
    scenario=["Health", "Nature"],
    license="MIT",
    input={"Dimension": 2, "Description": {"0": "age"}},
    output={"Dimension": 2, "Description": {"0": "no", "1": "yes"}},
)


@EVERY_WAY
@pytest.mark.parametrize(
    "options",
    [{}, {"num_points": 7, "fit_mmd2": 1 / 7, "scaling": SCALING, "moments": [[-0.0, 1e-300], [0.0, 1 / 3]]}],
    ids=["plain", "all"],
)
def test_table_specification(way, options):
    spec = ld.RKMETableSpecification(AWKWARD, [1 / 3, -0.0, 2 / 3], gamma=0.1 + 0.2, **options)
    twin = way(spec)
    assert twin == spec
    assert hash(twin) == hash(spec)
    assert twin.points.tobytes() == spec.points.tobytes()
    assert twin.weights.tobytes() == spec.weights.tobytes()
    assert (twin.gamma, twin.num_points, twin.fit_mmd2) == (spec.gamma, spec.num_points, spec.fit_mmd2)
    assert twin.scaling == spec.scaling
    assert (twin.moments is None) == (spec.moments is None)
    assert spec.moments is None or twin.moments.tobytes() == spec.moments.tobytes()


@EVERY_WAY
def test_scaling(way):
    twin = way(SCALING)
    assert twin == SCALING
    assert hash(twin) == hash(SCALING)
    assert (twin.mean.tobytes(), twin.scale.tobytes()) == (SCALING.mean.tobytes(), SCALING.scale.tobytes())
    with pytest.raises(ValueError, match="read-only"):
        twin.mean[0] = 1.0


@EVERY_WAY
def test_a_twin_is_as_immutable_as_its_original(way):
    twin = way(ld.RKMETableSpecification(AWKWARD, [0.5, 0.25, 0.25], gamma=0.1))
    for array in (twin.points, twin.weights):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1.0
    with pytest.raises(AttributeError):
        twin.gamma = 2.0


@EVERY_WAY
@pytest.mark.parametrize(
    "value",
    [SEMANTIC, ld.SemanticQuery(data="Table", scenario=["Health"]), Space("RKMETableSpecification", (3,), 0.1)],
    ids=lambda value: type(value).__name__,
)
def test_semantics_queries_and_spaces(way, value):
    twin = way(value)
    assert twin == value
    assert repr(twin) == repr(value)
    if not isinstance(value, Space):
        assert hash(twin) == hash(value)
    with pytest.raises((AttributeError, TypeError)):
        twin.name = "another"


@EVERY_WAY
def test_a_search_result(way, tmp_path):
    rng = np.random.default_rng(0)
    with ld.Dock(tmp_path / "dock") as dock:
        dock.ingest(points=rng.normal(size=(6, 4, 3)), weights=np.full((6, 4), 0.25), gamma=0.1)
        found = dock.search(ld.RKMETableSpecification(rng.normal(size=(4, 3)), [0.25] * 4, gamma=0.1), k=3)
    twin = way(found)
    assert len(twin.singles) == 3
    assert twin.singles == found.singles
    assert twin.mixture == found.mixture
    assert (twin.certified, twin.method, twin.skipped) == (found.certified, found.method, found.skipped)
    assert dict(twin.work) == dict(found.work)
    assert repr(twin) == repr(found)


@EVERY_WAY
def test_packed_embeddings_and_reduced_sets(way):
    packed = kernels.pack(np.arange(12.0).reshape(2, 2, 3), np.full((2, 2), 0.5))
    twin = way(packed)
    assert len(twin) == 2
    assert twin.tiles.tobytes() == packed.tiles.tobytes()
    reduced = kernels.fit_reduced_set(np.eye(3), n_points=2, random_state=0)
    twin = way(reduced)
    assert (twin.points == reduced.points).all()
    assert twin.mmd2 == reduced.mmd2


def test_errors_reach_other_processes():
    error = pickle.loads(pickle.dumps(UnknownLearnware("no learnware 'x'")))
    assert isinstance(error, UnknownLearnware)
    assert str(error) == "no learnware 'x'"


def test_a_learnware_is_a_handle(tmp_path):
    """It owns a process and a folder: a copy is the same handle, and other processes open the zip themselves."""
    (tmp_path / "learnware.yaml").write_text("model: {class_name: Model}\nstat_specifications: []\n")
    (tmp_path / "__init__.py").write_text("")
    with ld.Learnware.open(tmp_path) as learnware:
        assert copy.copy(learnware) is learnware
        assert copy.deepcopy([learnware])[0] is learnware
        with pytest.raises(TypeError, match=r"Learnware"):
            pickle.dumps(learnware)
