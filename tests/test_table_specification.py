"""RKMETableSpecification: fitting, comparing, herding."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest

import learndock as ld
from learndock.errors import InvalidArgument, SpecificationMismatch


def kernel_mean_distance2(points, weights, rows, gamma):
    """||mu_rows - sum_j w_j k(z_j, .)||^2, written out."""

    def kernel(a, b):
        return np.exp(-gamma * ((a[:, None, :] - b[None, :, :]) ** 2).sum(axis=2))

    return (
        weights @ kernel(points, points) @ weights
        - 2 * weights @ kernel(points, rows).mean(axis=1)
        + kernel(rows, rows).mean()
    )


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    centres = 2 * rng.normal(size=(4, 5))
    return centres[rng.integers(4, size=300)] + rng.normal(size=(300, 5))


def test_fit_records_its_own_distance_to_the_data(rows):
    spec = ld.RKMETableSpecification.fit(rows, n_points=30, gamma=0.1, random_state=0)
    assert spec.points.shape == (30, 5)
    assert spec.num_points == 300
    assert spec.fit_mmd2 == pytest.approx(kernel_mean_distance2(spec.points, spec.weights, rows, 0.1), abs=1e-12)


def test_fit_is_far_closer_than_as_many_random_rows(rows):
    spec = ld.RKMETableSpecification.fit(rows, n_points=30, random_state=0)
    sample = np.random.default_rng(1).choice(rows, 30, replace=False)
    assert spec.fit_mmd2 < 0.05 * kernel_mean_distance2(sample, np.full(30, 1 / 30), rows, 0.1)


def test_fit_repeats_with_the_same_random_state_and_leaves_the_global_one_alone(rows):
    np.random.seed(5)
    before = np.random.get_state()[1].copy()
    first = ld.RKMETableSpecification.fit(rows, n_points=10, random_state=3)
    assert first == ld.RKMETableSpecification.fit(rows, n_points=10, random_state=3)
    assert first == ld.RKMETableSpecification.fit(rows, n_points=10, random_state=np.random.default_rng(3))
    assert np.array_equal(np.random.get_state()[1], before)


@pytest.mark.parametrize(
    ("rule", "holds"),
    [
        ("nonnegative", lambda w: (w >= 0).all()),
        ("simplex", lambda w: (w >= 0).all() and w.sum() == pytest.approx(1, abs=1e-12)),
        ("free", lambda w: np.isfinite(w).all()),
    ],
)
def test_weights_follow_the_rule(rows, rule, holds):
    spec = ld.RKMETableSpecification.fit(rows, n_points=20, weights=rule, random_state=0)
    assert holds(spec.weights)


def test_rules_with_more_freedom_come_closer(rows):
    free, nonnegative, simplex = (
        ld.RKMETableSpecification.fit(rows, n_points=20, weights=rule, random_state=0).fit_mmd2
        for rule in ("free", "nonnegative", "simplex")
    )
    # The descents end in different places, so a little slack.
    assert free <= 1.2 * nonnegative
    assert nonnegative <= 1.2 * simplex


def test_reduce_false_keeps_every_row(rows):
    spec = ld.RKMETableSpecification.fit(rows, reduce=False)
    assert np.array_equal(spec.points, rows)
    assert np.allclose(spec.weights, 1 / 300)
    assert spec.fit_mmd2 == 0


@pytest.mark.parametrize(("n", "expected"), [(1, 1), (2, 2), (3, 2), (4, 3), (10, 7), (100, 67)])
def test_as_many_points_as_rows_become_two_thirds(n, expected):
    data = np.random.default_rng(0).normal(size=(n, 3))
    assert len(ld.RKMETableSpecification.fit(data, n_points=100, random_state=0).points) == expected


@pytest.mark.parametrize(
    "data",
    [
        np.array([[1.0, 2.0]]),
        np.ones((5, 3)),
        np.repeat([[0.0], [1.0]], 10, axis=0),
        np.array([[1e8, 1.0], [1e8, 1.0], [1e8, 2.0]]),
        np.random.default_rng(0).integers(2, size=(50, 2)).astype(float),
    ],
    ids=["one row", "constant", "two values", "far from the origin", "binary"],
)
def test_no_point_of_a_fitted_specification_is_a_row(data):
    spec = ld.RKMETableSpecification.fit(data, n_points=10, gamma=0.5, random_state=0)
    for precision in (np.float64, np.float32):
        points, known = spec.points.astype(precision), data.astype(precision)
        assert not (points[:, None, :] == known[None, :, :]).all(axis=2).any()
    assert spec.fit_mmd2 == pytest.approx(kernel_mean_distance2(spec.points, spec.weights, data, 0.5), abs=1e-10)


def test_missing_numbers_become_the_column_mean_and_the_callers_array_stays(rows):
    holes = rows.copy()
    holes[::7, 2] = np.nan
    before = holes.copy()
    filled = holes.copy()
    filled[::7, 2] = np.nanmean(holes[:, 2])
    spec = ld.RKMETableSpecification.fit(holes, n_points=10, random_state=0)
    assert np.array_equal(holes, before, equal_nan=True)
    assert spec == ld.RKMETableSpecification.fit(filled, n_points=10, random_state=0)


def test_a_column_without_any_number_is_named():
    data = np.zeros((4, 3))
    data[:, 1] = np.nan
    with pytest.raises(InvalidArgument, match=r"X: .* column 1"):
        ld.RKMETableSpecification.fit(data)
    with pytest.raises(InvalidArgument, match=r"'height'"):
        ld.RKMETableSpecification.fit(pd.DataFrame(data, columns=["age", "height", "weight"]))


def test_data_frames_integers_and_lists_give_what_arrays_give(rows):
    from_array = ld.RKMETableSpecification.fit(rows, n_points=5, random_state=0)
    assert ld.RKMETableSpecification.fit(pd.DataFrame(rows), n_points=5, random_state=0) == from_array
    assert ld.RKMETableSpecification.fit(rows.tolist(), n_points=5, random_state=0) == from_array
    integers = np.arange(40).reshape(20, 2)
    assert ld.RKMETableSpecification.fit(
        integers, n_points=5, gamma=0.01, random_state=0
    ) == ld.RKMETableSpecification.fit(integers.astype(float), n_points=5, gamma=0.01, random_state=0)


def test_tensors_are_accepted_with_and_without_gradient(rows):
    torch = pytest.importorskip("torch")
    tensor = torch.tensor(rows, requires_grad=True)
    expected = ld.RKMETableSpecification.fit(rows, n_points=5, random_state=0)
    assert ld.RKMETableSpecification.fit(tensor, n_points=5, random_state=0) == expected
    single = ld.RKMETableSpecification.fit(tensor.detach().float(), n_points=5, random_state=0)
    assert single.fit_mmd2 < 1.5 * expected.fit_mmd2


def test_masked_and_nullable_numbers_are_missing_ones(rows):
    holes = rows.copy()
    holes[3, 1] = np.nan
    expected = ld.RKMETableSpecification.fit(holes, n_points=5, random_state=0)
    masked = np.ma.masked_array(np.where(np.isnan(holes), 1e6, holes), mask=np.isnan(holes))
    assert ld.RKMETableSpecification.fit(masked, n_points=5, random_state=0) == expected
    nullable = pd.DataFrame(holes).astype("Float64")
    assert ld.RKMETableSpecification.fit(nullable, n_points=5, random_state=0) == expected


@pytest.mark.parametrize("column", [["a", "b"], ["1", "2"], pd.to_datetime(["2020-01-01", "2020-01-02"])])
def test_columns_of_text_or_dates_are_no_numbers(column):
    with pytest.raises(InvalidArgument, match="X: expected"):
        ld.RKMETableSpecification.fit(pd.DataFrame({"good": [1.0, 2.0], "other": column}))


class TensorOfAnotherLibrary:
    """What a tensor on a device looks like from outside: it must be detached and copied to be read."""

    def __init__(self, array):
        self._array = array

    def detach(self):
        return self

    def cpu(self):
        return self

    def numpy(self):
        return self._array


def test_whatever_detaches_and_copies_like_a_tensor_is_read(rows):
    tensor = TensorOfAnotherLibrary(rows)
    expected = ld.RKMETableSpecification.fit(rows, n_points=5, random_state=0)
    assert ld.RKMETableSpecification.fit(tensor, n_points=5, random_state=0) == expected


@pytest.mark.parametrize(
    ("data", "options", "named"),
    [
        (np.zeros(5), {}, "X"),
        (np.zeros((0, 3)), {}, "X"),
        (np.zeros((3, 0)), {}, "X"),
        (np.zeros((3, 2, 2)), {}, "X"),
        ([[1.0, np.inf], [0.0, 1.0]], {}, "X"),
        ([["a", "b"]], {}, "X"),
        ([[1.0], [1.0, 2.0]], {}, "X"),
        (np.zeros((3, 2)), {"gamma": 0}, "gamma"),
        (np.zeros((3, 2)), {"gamma": -1.0}, "gamma"),
        (np.zeros((3, 2)), {"gamma": np.nan}, "gamma"),
        (np.zeros((3, 2)), {"gamma": "wide"}, "gamma"),
        (np.zeros((3, 2)), {"n_points": 0}, "n_points"),
        (np.zeros((3, 2)), {"n_points": 2.5}, "n_points"),
        (np.zeros((9, 2)), {"n_points": 2, "weights": "positive"}, "weights"),
        (np.zeros((9, 2)), {"n_points": 2, "threads": 0}, "threads"),
    ],
)
def test_bad_data_is_an_error_that_names_the_argument(data, options, named):
    with pytest.raises(InvalidArgument, match=rf"^{named}"):
        ld.RKMETableSpecification.fit(data, **options)


@pytest.mark.parametrize(
    ("points", "weights", "named"),
    [
        ([[np.nan]], [1.0], "points"),
        ([[0.0]], [np.inf], "weights"),
        ([[0.0]], [0.5, 0.5], "weights"),
        ([0.0], [1.0], "points"),
        ([[0.0]], [[1.0]], "weights"),
        (np.zeros((0, 2)), [], "points"),
        ([[1e200]], [1.0], "points"),
    ],
)
def test_bad_points_or_weights_are_named(points, weights, named):
    with pytest.raises(InvalidArgument, match=rf"^{named}"):
        ld.RKMETableSpecification(points, weights, gamma=1.0)


def test_negative_weights_that_do_not_sum_to_one_are_fine():
    spec = ld.RKMETableSpecification([[0.0], [1.0]], [-0.5, 2.0], gamma=1.0)
    # <P, P> = 0.25 + 4 - 2 e^-1, by hand.
    assert spec.inner(spec) == pytest.approx(4.25 - 2 * np.exp(-1), abs=1e-15)


def test_mmd2_of_two_single_points_by_hand():
    """Points at distance 1, gamma 1: 1 - 2 e^-1 + 1."""
    p = ld.RKMETableSpecification([[0.0]], [1.0], gamma=1.0)
    q = ld.RKMETableSpecification([[1.0]], [1.0], gamma=1.0)
    assert p.mmd2(q) == pytest.approx(2 - 2 * np.exp(-1), abs=1e-15)
    assert p.mmd2(p) == 0


@pytest.mark.parametrize(
    "other",
    [
        ld.RKMETableSpecification([[0.0, 0.0]], [1.0], gamma=1.0),
        ld.RKMETableSpecification([[0.0]], [1.0], gamma=2.0),
        "a specification",
    ],
    ids=["dimension", "gamma", "type"],
)
def test_specifications_of_different_spaces_are_not_compared(other):
    spec = ld.RKMETableSpecification([[0.0]], [1.0], gamma=1.0)
    with pytest.raises(SpecificationMismatch, match="other: expected"):
        spec.mmd2(other)


def test_herding_follows_the_data_better_than_random_draws(rows):
    spec = ld.RKMETableSpecification.fit(rows, n_points=50, random_state=0)
    herd = spec.herd(40, random_state=0)
    assert herd.shape == (40, 5)
    random = rows[np.random.default_rng(2).choice(300, 40, replace=False)]
    even = np.full(40, 1 / 40)
    assert kernel_mean_distance2(herd, even, rows, 0.1) < kernel_mean_distance2(random, even, rows, 0.1)
    assert np.array_equal(herd, spec.herd(40, random_state=0))


def test_a_herd_is_chosen_from_its_candidates_by_the_embedding_there(rows):
    spec = ld.RKMETableSpecification.fit(rows, n_points=20, random_state=0)
    candidates, mean = spec.herding_candidates(30, random_state=3)
    assert candidates.shape == (3000, 5)
    assert np.array_equal(mean, spec.embedding(candidates))
    chosen = ld.kernels.herd(candidates, mean, n=30, gamma=spec.gamma)
    assert np.array_equal(spec.herd(30, random_state=3), candidates[chosen])


def test_herding_needs_a_positive_weight_and_a_positive_number():
    spec = ld.RKMETableSpecification([[0.0]], [-1.0], gamma=1.0)
    with pytest.raises(InvalidArgument, match="weights"):
        spec.herd(3)
    with pytest.raises(InvalidArgument, match="n: "):
        ld.RKMETableSpecification([[0.0]], [1.0], gamma=1.0).herd(0)


def test_embedding_is_the_kernel_mean_at_a_row(rows):
    spec = ld.RKMETableSpecification.fit(rows, n_points=10, random_state=0)
    expected = np.exp(-0.1 * ((spec.points[None] - rows[:, None]) ** 2).sum(axis=2)) @ spec.weights
    assert np.allclose(spec.embedding(rows), expected, rtol=1e-12)
    with pytest.raises(InvalidArgument, match="X: expected rows of shape"):
        spec.embedding(rows[:, :2])


def test_specifications_are_immutable_and_survive_copying_and_pickling(rows):
    spec = ld.RKMETableSpecification.fit(rows, n_points=5, random_state=0)
    with pytest.raises(ValueError, match="read-only"):
        spec.points[0, 0] = 1
    with pytest.raises(AttributeError):
        spec.gamma = 2.0
    for twin in (copy.deepcopy(spec), pickle.loads(pickle.dumps(spec))):
        assert twin == spec
        assert hash(twin) == hash(spec)
        assert twin.fit_mmd2 == spec.fit_mmd2


def test_arrays_passed_in_are_copied():
    points = np.zeros((2, 2))
    spec = ld.RKMETableSpecification(points, [0.5, 0.5], gamma=1.0)
    points[0, 0] = 9
    assert spec.points[0, 0] == 0


@pytest.mark.parametrize(
    ("value", "message"),
    [(-1e-9, "0 or more"), (True, "a number"), (np.nan, "finite"), ("small", "numbers"), ([1e-5], "dimensions")],
)
def test_a_fit_mmd2_that_is_no_squared_distance_is_refused(value, message):
    with pytest.raises(InvalidArgument, match=f"fit_mmd2: expected .*{message}"):
        ld.RKMETableSpecification([[0.0]], [1.0], gamma=1.0, fit_mmd2=value)


def test_the_product_with_itself_is_kept_and_right():
    spec = ld.RKMETableSpecification([[0.0], [1.0]], [0.5, 2.0], gamma=1.0)
    expected = 0.25 + 4 + 2 * np.exp(-1)
    assert spec.inner(spec) == spec.inner(spec) == pytest.approx(expected, rel=1e-14)
    assert spec.mmd2(spec) == 0
