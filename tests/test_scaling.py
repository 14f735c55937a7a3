"""One scaling for all sides: of what developers say of their columns, the same for all, and moved by no single one."""

import json
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import learndock as ld
from catalogs import catalog_rows, change_catalog
from command_line import error_of, json_of, learndock
from filled_docks import checks, described, dock, written_zip  # noqa: F401
from learndock.checker import Status
from learndock.dock.scaling import pooled_scaling
from learndock.dock.space import Space
from learndock.errors import (
    DockError,
    InvalidArgument,
    ReadOnlyDock,
    ScaleWarning,
    SpecificationFileError,
    SpecificationMismatch,
)
from learndock.reuse import JobSelectorReuser
from learndock.specification.moments import column_moments

pytestmark = pytest.mark.usefixtures("either_catalog")

UNITS = np.array([1000.0, 1.0, 0.01])
CENTRES = np.array([20_000.0, 0.0, 5.0])


def raw(seed, rows=120, shift=0.0):
    """Columns in units that differ by 10^5; sites differ by their shift, in deviations."""
    return CENTRES + UNITS * (np.random.default_rng(seed).normal(size=(rows, 3)) + shift)


def fit(X, **options):
    """A specification of raw rows, without a word about it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ScaleWarning)
        return ld.RKMETableSpecification.fit(X, n_points=8, random_state=0, **options)


@pytest.fixture
def submit(dock, checks, tmp_path):  # noqa: F811
    made = []

    def submitted(spec):
        made.append(spec)
        return dock.submit(written_zip(tmp_path / f"{len(made)}.zip", spec, described(), note=f"{len(made)}"))

    return submitted


@pytest.fixture
def filled(dock, submit):  # noqa: F811
    """Seven developers have submitted specifications of raw rows."""
    for seed in range(7):
        assert submit(fit(raw(seed, shift=(seed - 3) / 2))).status == Status.USABLE
    return dock


# ---- Moments and scalings -------------------------------------------------------------------------------------------


def test_moments_are_those_of_the_winsorised_columns():
    rows = np.random.default_rng(0).exponential(size=(200, 2))
    expected = []
    for column in rows.T:
        ordered = np.sort(column)
        clipped = np.clip(column, ordered[10], ordered[-11])
        expected.append((clipped.mean(), clipped.std()))
    np.testing.assert_allclose(column_moments(rows), np.transpose(expected), rtol=1e-13)


def test_wild_rows_hardly_move_them_and_rare_values_are_no_wild_rows():
    rows = np.random.default_rng(0).normal(size=(400, 2))
    spoilt = rows.copy()
    spoilt[:12] = 1e12
    before, after = column_moments(rows), column_moments(spoilt)
    np.testing.assert_allclose(after, before, atol=0.1)
    rare = np.zeros((400, 1))
    rare[:8] = 1.0
    np.testing.assert_allclose(column_moments(rare)[:, 0], [0.02, np.sqrt(0.02 * 0.98)], rtol=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.1, -1e150, 1e150, 5e-324, 1.7e9 + 0.3])
def test_a_constant_column_has_no_deviation_and_scale_one(value):
    rows = np.column_stack([np.full(31, value), np.arange(31)])
    assert column_moments(rows)[1, 0] == 0
    scaling = ld.Scaling.of(rows)
    assert scaling.scale[0] == 1
    assert np.abs(scaling.apply(rows)[:, 0]).max() <= abs(value) * 1e-14


def test_many_rows_say_what_a_sample_of_them_says():
    rows = np.random.default_rng(0).normal(size=(30_000, 3))
    np.testing.assert_allclose(column_moments(rows), column_moments(rows[:4000]), atol=0.08)
    assert np.array_equal(column_moments(rows), column_moments(rows.copy()))


@given(
    st.lists(st.tuples(st.floats(-1e9, 1e9), st.floats(1e-9, 1e9)), min_size=1, max_size=5), st.integers(0, 2**32 - 1)
)
def test_what_is_standardised_comes_back(columns, seed):
    scaling = ld.Scaling(*np.transpose(columns))
    rows = np.random.default_rng(seed).normal(size=(4, len(columns)))
    there = scaling.inverse(rows)
    slack = 1e-15 * np.abs(scaling.mean) / scaling.scale
    assert (np.abs(scaling.apply(there) - rows) <= 1e-14 * np.abs(rows) + 4 * slack).all()


def test_it_is_a_value(tmp_path):
    scaling = ld.Scaling([1 / 3, -0.0], [0.1, 1e150])
    scaling.save(tmp_path / "scaling.json")
    twins = [ld.Scaling.load(tmp_path / "scaling.json"), ld.Scaling.from_dict(scaling.to_dict())]
    for twin in twins:
        assert twin == scaling
        assert hash(twin) == hash(scaling)
        assert twin.mean.tobytes() == scaling.mean.tobytes()
    assert ld.Scaling([0.0], [1.0]) == ld.Scaling([-0.0], [1.0])
    assert hash(ld.Scaling([0.0], [1.0])) == hash(ld.Scaling([-0.0], [1.0]))
    assert scaling != ld.Scaling([1 / 3, 0.0], [0.1, 1.0])
    assert scaling != (scaling.mean, scaling.scale)
    with pytest.raises(ValueError, match="read-only"):
        scaling.scale[0] = 2
    with pytest.raises(AttributeError):
        scaling.mean = [0.0, 0.0]
    assert repr(scaling) == "Scaling(2 columns)"


def test_missing_numbers_stay_missing():
    standardised = ld.Scaling([1.0, 0.0], [2.0, 1.0]).apply([[np.nan, 3.0]])
    assert np.isnan(standardised[0, 0])
    assert standardised[0, 1] == 3


@pytest.mark.parametrize(
    ("mean", "scale", "said"),
    [
        ([0.0], [1.0, 1.0], "expected 1 numbers"),
        ([[0.0]], [1.0], "mean: expected 1 dimensions"),
        ([], [], "mean: expected at least one"),
        ([0.0], [0.0], "scale: expected positive"),
        ([0.0], [-1.0], "scale: expected positive"),
        ([0.0], [1e-320], "scale: expected positive"),
        ([np.nan], [1.0], "mean: expected finite"),
        ([0.0], [np.inf], "scale: expected finite"),
        (["1"], [1.0], "mean: expected numbers"),
    ],
)
def test_what_makes_no_sense_is_refused(mean, scale, said):
    with pytest.raises(InvalidArgument, match=said):
        ld.Scaling(mean, scale)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"mean": [0.0]}',
        '{"mean": [0.0], "scale": [1.0], "gamma": 1}',
        '{"mean": [0.0], "mean": [0.0], "scale": [1.0]}',
        '{"mean": [0.0], "scale": [NaN]}',
        '{"mean": [0.0], "scale": [0.0]}',
        '{"mean": [0.0], "scale": [[1.0]]}',
        '{"mean": "0", "scale": "1"}',
        '{"mean": ' + "[" * 100_000,
        '{"mean": [1e400], "scale": [1.0]}',
    ],
)
def test_hostile_files_are_refused(tmp_path, text):
    (tmp_path / "scaling.json").write_text(text)
    with pytest.raises(SpecificationFileError, match="scaling.json"):
        ld.Scaling.load(tmp_path / "scaling.json")


def test_a_missing_file_and_one_that_can_not_be_written_are_named(tmp_path):
    with pytest.raises(SpecificationFileError, match="can't be read"):
        ld.Scaling.load(tmp_path / "none.json")
    with pytest.raises(SpecificationFileError, match="can't be written"):
        ld.Scaling([0.0], [1.0]).save(tmp_path / "none" / "scaling.json")


# ---- Specifications -------------------------------------------------------------------------------------------------


def test_a_fit_is_that_of_the_standardised_rows_and_remembers():
    rows, scaling = raw(0), ld.Scaling(CENTRES, UNITS)
    spec = ld.RKMETableSpecification.fit(rows, n_points=8, scaling=scaling, random_state=0)
    plain = ld.RKMETableSpecification.fit((rows - CENTRES) / UNITS, n_points=8, random_state=0)
    assert np.array_equal(spec.points, plain.points)
    assert np.array_equal(spec.weights, plain.weights)
    assert spec.fit_mmd2 == plain.fit_mmd2
    assert (spec.scaling, plain.scaling) == (scaling, None)
    assert spec != plain
    assert np.array_equal(spec.moments, column_moments(rows))  # as they came, with and without a scaling
    np.testing.assert_allclose(plain.moments, (spec.moments - [CENTRES, np.zeros(3)]) / UNITS, atol=1e-12)
    np.testing.assert_allclose(spec.raw_points, plain.points * UNITS + CENTRES, rtol=1e-15)
    assert plain.raw_points is plain.points


def test_rows_that_go_in_and_samples_that_come_out_are_in_the_units_of_the_data():
    rows, scaling = raw(0), ld.Scaling(CENTRES, UNITS)
    spec = ld.RKMETableSpecification.fit(rows, n_points=8, scaling=scaling, random_state=0)
    plain = ld.RKMETableSpecification.fit((rows - CENTRES) / UNITS, n_points=8, random_state=0)
    np.testing.assert_allclose(spec.embedding(rows), plain.embedding((rows - CENTRES) / UNITS), rtol=1e-13)
    np.testing.assert_allclose(
        spec.herd(5, random_state=1), plain.herd(5, random_state=1) * UNITS + CENTRES, rtol=1e-13
    )


def test_few_rows_keep_their_moments_to_themselves():
    rows = np.random.default_rng(0).normal(size=(10, 2))
    assert ld.RKMETableSpecification.fit(rows).moments.shape == (2, 2)
    assert ld.RKMETableSpecification.fit(rows[:9]).moments is None


@pytest.mark.parametrize("name", ["stat.json", "stat.npz"])
@pytest.mark.parametrize("scaling", [None, ld.Scaling(CENTRES, UNITS)], ids=["raw", "scaled"])
def test_files_keep_both_bit_for_bit(tmp_path, name, scaling):
    spec = fit(raw(0), scaling=scaling)
    spec.save(tmp_path / name)
    loaded = ld.load_spec(tmp_path / name)
    assert loaded == spec
    assert hash(loaded) == hash(spec)
    assert loaded.scaling == scaling
    assert loaded.moments.tobytes() == spec.moments.tobytes()
    with pytest.raises(ValueError, match="read-only"):
        loaded.moments[0, 0] = 1


def test_a_file_without_them_is_read_and_written_as_before(tmp_path):
    text = '{"z":[[0.1,0.2]],"beta":[1.0],"gamma":0.1,"num_points":3,"type":"RKMETableSpecification"}'
    (tmp_path / "old.json").write_text(text)
    loaded = ld.load_spec(tmp_path / "old.json")
    assert (loaded.scaling, loaded.moments) == (None, None)
    loaded.save(tmp_path / "new.json")
    assert (tmp_path / "new.json").read_text() == text


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("scaling", [[0.0, 0.0, 0.0], [1.0, 0.0, 1.0]], "scale: expected positive"),
        ("scaling", [[0.0, 0.0], [1.0, 1.0]], "scaling: expected 3 columns, got one of 2"),
        ("scaling", [[0.0, 0.0, 0.0]], r"scaling: expected means and scales, shape \(2, d\)"),
        ("scaling", [0.0, 1.0], "scaling: expected 2 dimensions"),
        ("scaling", "none", "scaling: expected"),
        ("scaling", {"mean": [0.0]}, "scaling: expected"),
        ("moments", [[0.0, 0.0, 0.0], [1.0, -1.0, 1.0]], "moments: expected deviations of 0 or more"),
        ("moments", [[0.0, 0.0, 0.0]], "moments: expected shape"),
        ("moments", [[0.0, 0.0, 1e200], [1.0, 1.0, 1.0]], "moments: expected magnitudes"),
        ("moments", [[0.0, 0.0, "1"], [1.0, 1.0, 1.0]], "moments: expected numbers, got text"),
    ],
)
def test_what_a_stranger_has_written_is_checked(tmp_path, field, value, said):
    fields = {"z": [[0.1, 0.2, 0.3]], "beta": [1.0], "gamma": 0.1, field: value}
    (tmp_path / "stat.json").write_text(json.dumps(fields))
    with pytest.raises(SpecificationFileError, match=said):
        ld.load_spec(tmp_path / "stat.json")


def test_two_scalings_are_not_comparable_and_none_is_as_before():
    rows = raw(0)
    spec = fit(rows, scaling=ld.Scaling(CENTRES, UNITS))
    other = fit(rows, scaling=ld.Scaling(CENTRES, 2 * UNITS))
    plain = fit((rows - CENTRES) / UNITS)
    for compared in (spec.mmd2, spec.inner):
        with pytest.raises(SpecificationMismatch, match="other: expected the same scaling"):
            compared(other)
    assert spec.mmd2(fit(rows, scaling=ld.Scaling(CENTRES, UNITS))) == pytest.approx(0, abs=1e-14)
    assert spec.mmd2(plain) == pytest.approx(0, abs=1e-14)


@pytest.mark.parametrize("value", [ld.Scaling([0.0], [1.0]), (CENTRES, UNITS), "dock"], ids=["width", "tuple", "text"])
def test_a_fit_refuses_what_is_no_scaling_of_its_columns(value):
    with pytest.raises(InvalidArgument, match="scaling: expected"):
        ld.RKMETableSpecification.fit(raw(0), scaling=value)


def test_rows_beyond_the_scaling_are_refused():
    with pytest.raises(InvalidArgument, match="X: expected rows that suit the scaling"):
        ld.RKMETableSpecification.fit(raw(0), scaling=ld.Scaling(CENTRES, [1e-307, 1.0, 1.0]))


# ---- The warning ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("factor", "said"), [(1e-3, "all rows look alike"), (1e3, "every row looks alone")])
def test_rows_that_gamma_does_not_suit_give_a_warning_that_says_what_to_do(factor, said):
    rows = factor * np.random.default_rng(0).normal(size=(50, 4))
    with pytest.warns(ScaleWarning, match=said) as caught:
        ld.RKMETableSpecification.fit(rows, n_points=5, random_state=0)
    assert caught[0].filename == __file__
    message = str(caught[0].message)
    assert "scaling=" in message
    assert "Dock.scaling" in message
    assert "gamma=learndock.median_gamma(X)" in message


def test_it_is_silent_where_either_is_done_and_where_nothing_is_known():
    rows = raw(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ld.RKMETableSpecification.fit(rows, n_points=5, scaling=ld.Scaling.of(rows), random_state=0)
        ld.RKMETableSpecification.fit(rows, n_points=5, gamma=ld.median_gamma(rows), random_state=0)
        ld.RKMETableSpecification.fit(rows[:9], n_points=5, random_state=0)
        ld.RKMETableSpecification.fit(np.zeros((50, 2)), n_points=5, random_state=0)


def test_the_bounds_are_a_sixty_fourth_and_sixteen():
    rows = np.random.default_rng(0).normal(size=(400, 3))
    unit = ld.median_gamma(rows)
    for exponent, warns in ((1 / 90, True), (1 / 45, False), (11, False), (23, True)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            ld.RKMETableSpecification.fit(rows, n_points=5, gamma=exponent * unit, reduce=False)
        assert bool(caught) == warns, exponent


def test_with_a_scaling_it_advises_gamma_alone():
    rows = np.random.default_rng(0).normal(size=(60, 150))
    with pytest.warns(ScaleWarning, match="median_gamma") as caught:
        ld.RKMETableSpecification.fit(rows, n_points=5, scaling=ld.Scaling.of(rows), random_state=0)
    assert "Dock.scaling" not in str(caught[0].message)


# ---- Pooling --------------------------------------------------------------------------------------------------------


def honest(count=20, seed=0):
    random = np.random.default_rng(seed)
    shifts = random.normal(size=(count, 1))
    return [column_moments(raw(int(random.integers(2**31)), shift=shift[0])) for shift in shifts]


def test_pooled_is_close_to_all_rows_together():
    random = np.random.default_rng(0)
    tables = [raw(int(seed), shift=shift) for seed, shift in enumerate(random.normal(size=60))]
    together = np.concatenate(tables)
    scaling = pooled_scaling([column_moments(table) for table in tables])
    np.testing.assert_allclose((scaling.mean - together.mean(axis=0)) / UNITS, 0, atol=0.3)
    np.testing.assert_allclose(scaling.scale / together.std(axis=0), 1, atol=0.2)


@pytest.mark.parametrize("lie", [1e150, -1e150, 0.0, 3.0], ids=["huge", "negative", "nothing", "near"])
def test_a_fifth_of_hostile_submitters_moves_it_no_farther_than_the_honest_differ(lie):
    truth = honest(20)
    hostile = [np.stack([CENTRES + lie * UNITS if abs(lie) < 10 else np.full(3, lie), np.full(3, abs(lie))])] * 5
    clean, spoilt = pooled_scaling(truth), pooled_scaling(truth + hostile)
    # A fifth of hostile ones moves a median to a quantile of the honest that is an eighth away from it.
    means = np.array([one[0] for one in truth])
    low, high = np.quantile(means, [0.3, 0.7], axis=0)
    assert (low <= spoilt.mean).all()
    assert (spoilt.mean <= high).all()
    assert (spoilt.scale / clean.scale >= 0.6).all()
    assert (spoilt.scale / clean.scale <= 1.7).all()


def test_columns_that_are_constant_for_most_are_scaled_by_those_for_whom_they_are_not():
    constant, varying = np.array([[7.0, 7.0], [0.0, 0.0]]), np.array([[9.0, 7.0], [4.0, 0.0]])
    scaling = pooled_scaling([constant] * 5 + [varying] * 2)
    assert scaling == ld.Scaling([7.0, 7.0], [4.0, 1.0])


# ---- The dock -------------------------------------------------------------------------------------------------------


def test_a_dock_pools_and_keeps_the_same_for_both_sides(filled, submit, tmp_path):
    scaling = filled.scaling(3)
    np.testing.assert_allclose((scaling.mean - CENTRES) / UNITS, 0, atol=0.3)
    np.testing.assert_allclose(scaling.scale / UNITS, np.hypot(0.92, 1.4826), rtol=0.3)
    for seed in range(5):  # whatever comes later
        submit(fit(1e4 * raw(seed)))
    assert filled.scaling(3) == filled.scaling(Space("RKMETableSpecification", (3,), 0.1)) == scaling
    with ld.Dock(filled.path) as again, ld.Dock(filled.path, readonly=True) as read:
        assert again.scaling((3,)) == read.scaling(3) == scaling
    assert filled.history()[5].action == "scaling"
    assert "standardised by a scaling" in filled.history()[5].message
    filled.backup(tmp_path / "copy")
    with ld.Dock(tmp_path / "copy") as copy:
        assert copy.scaling(3) == scaling
        assert copy.verify().ok
    # Another gamma is another space: it pools the moments of all gammas.
    assert filled.scaling(3, gamma=0.5) != scaling
    np.testing.assert_array_less(filled.scaling(3, gamma=0.5).scale / scaling.scale, 10)


def test_specifications_under_it_are_taken_found_and_handed_out(filled, submit):
    scaling = filled.scaling(3)
    near = fit(raw(50, shift=1.0), scaling=scaling)
    far = fit(raw(51, shift=-3.0), scaling=scaling)
    ids = [submit(spec).id for spec in (near, far)]
    user = fit(raw(52, shift=1.0), scaling=scaling)
    result = filled.search(user)
    assert result.singles[0].id == ids[0]
    held = filled.specification(ids[0])
    assert held.scaling == scaling
    assert np.array_equal(held.moments, near.moments)
    assert result.singles[0].mmd2 == pytest.approx(user.mmd2(held), abs=1e-12)
    filled.optimize()
    assert filled.specification(ids[1]).scaling == scaling
    assert filled.verify().ok


def test_one_of_another_scaling_is_refused_by_submit_and_search(filled, submit):
    filled.scaling(3)
    before = len(filled)
    own = fit(raw(50), scaling=ld.Scaling.of(raw(50)))
    report = submit(own)
    assert report.status == Status.INVALID
    assert report.id is None
    assert "fitted under a scaling, and the dock's is another" in report.checks[-1].message
    assert "dock.scaling(3, gamma=0.1)" in report.checks[-1].message
    assert len(filled) == before
    assert filled.history()[0].status == Status.INVALID
    with pytest.raises(SpecificationMismatch, match=r"spec: expected .*=dock.scaling\(3, gamma=0.1\)"):
        filled.search(own)
    with pytest.raises(SpecificationMismatch, match=r"specs\[1\]: expected"):
        filled.search_many([fit(raw(3)), own])


def test_a_scaling_that_the_dock_does_not_know_is_refused_until_its_owner_sets_it(dock, submit):  # noqa: F811
    scaling = ld.Scaling(CENTRES, UNITS)
    spec = fit(raw(0), scaling=scaling)
    assert "the dock has none" in submit(spec).checks[-1].message
    dock.set_scaling(scaling, space=3)
    assert dock.scaling(3) == scaling
    assert dock.stats().spaces == ()
    assert dock.search(spec).singles == ()
    dock.optimize()
    assert submit(spec).status == Status.USABLE


def test_updates_are_held_to_it_too(filled, submit, tmp_path):
    id = submit(fit(raw(60), scaling=filled.scaling(3))).id
    other = written_zip(tmp_path / "other.zip", fit(raw(60), scaling=ld.Scaling(CENTRES, UNITS)), described())
    assert filled.update(id, path=other).status == Status.INVALID
    assert filled.specification(id).scaling == filled.scaling(3)
    plain = written_zip(tmp_path / "plain.zip", fit(raw(61)), described())
    assert filled.update(id, path=plain).status == Status.USABLE
    assert filled.specification(id).scaling is None
    assert np.array_equal(filled.specification(id).moments, fit(raw(61)).moments)


def test_it_is_not_changed_under_those_who_use_it(filled, submit):
    scaling = filled.scaling(3)
    id = submit(fit(raw(60), scaling=scaling)).id
    for other in (ld.Scaling(CENTRES, UNITS), None, "pooled"):
        with pytest.raises(DockError, match="scaling: 1 learnwares were fitted under the one that is kept"):
            filled.set_scaling(other, space=3)
    filled.set_scaling(scaling, space=3)  # no change
    assert filled.scaling(3) == scaling
    filled.delete(id)
    filled.set_scaling(ld.Scaling(CENTRES, UNITS), space=3)
    assert filled.scaling(3) == ld.Scaling(CENTRES, UNITS)
    filled.set_scaling(None, space=3)
    assert filled.scaling(3) == scaling  # pooled again, of the same
    assert catalog_rows(filled, "SELECT count(*) FROM fitted_specs") == [(7,)]  # the deleted one's is gone


def test_a_search_says_where_raw_and_standardised_meet(filled, submit):
    def said(result):
        return [warning for warning in result.warnings if "learnwares were fitted to" in warning]

    assert said(filled.search(fit(raw(3)))) == []
    scaling = filled.scaling(3)
    user = fit(raw(60), scaling=scaling)
    assert said(filled.search(user))[0].startswith("7 of these 7 learnwares were fitted to raw rows, and yours to st")
    assert said(filled.search(fit(raw(3)))) == []
    submit(fit(raw(61), scaling=scaling))
    assert said(filled.search(user, k=1, mixture=0)) == []
    assert said(filled.search(user))[0].startswith("7 of these 8")
    assert said(filled.search(fit(raw(3))))[0].startswith("1 of these 8 learnwares were fitted to standardised rows")
    # Of those that say nothing, nothing is said.
    silent = ld.RKMETableSpecification(user.points, user.weights, gamma=0.1)
    assert said(filled.search(silent)) == []
    filled.ingest(points=user.points[np.newaxis], weights=user.weights[np.newaxis], gamma=0.1)
    assert said(filled.search(user, k=2, mixture=0)) == []


def test_search_rows_standardises_too(filled, submit):
    scaling = filled.scaling(3)
    id = submit(fit(raw(60, shift=1.0), scaling=scaling)).id
    rows = raw(61, shift=1.0)
    result = filled.search_rows(rows, scaling=scaling)
    assert result.singles[0].id == id
    user = ld.RKMETableSpecification.fit(rows, reduce=False, scaling=scaling)
    assert result.singles[0].mmd2 == pytest.approx(user.mmd2(filled.specification(id)), abs=1e-9)


def test_without_moments_there_is_nothing_to_pool(dock, checks, tmp_path):  # noqa: F811
    with pytest.raises(DockError, match="no learnware of input shape"):
        dock.scaling(3)
    few = fit(raw(0)[:9])
    dock.submit(written_zip(tmp_path / "few.zip", few, described()))
    with pytest.raises(DockError, match="no learnware of input shape"):
        dock.set_scaling("pooled", space=3)
    with ld.Dock(dock.path, readonly=True) as read, pytest.raises(ReadOnlyDock):
        read.scaling(3)


@pytest.mark.parametrize(
    ("scaling", "space", "said"),
    [
        ("median", 3, "scaling: expected a Scaling"),
        ((CENTRES, UNITS), 3, "scaling: expected a Scaling"),
        (ld.Scaling([0.0], [1.0]), 3, r"scaling: expected columns of shape \(3,\), got 1"),
        (ld.Scaling([0.0], [1.0]), "1", "input_shape: expected"),
        (None, 0, "input_shape: expected"),
    ],
)
def test_what_can_not_be_set_is_named(dock, scaling, space, said):  # noqa: F811
    with pytest.raises(InvalidArgument, match=said):
        dock.set_scaling(scaling, space=space)
    assert dock.history() == []


def test_a_dock_made_before_there_were_scalings_is_read_and_changed(filled, submit):
    user = fit(raw(70))
    expected = filled.search(user)
    filled.close()
    change_catalog(filled, "DROP TABLE fitted_specs", "DROP TABLE space_scalings")
    with ld.Dock(filled.path, readonly=True) as read:
        assert read.search(user).singles == expected.singles
        assert read.specification(expected.singles[0].id).moments is None
    with ld.Dock(filled.path) as old:
        with pytest.raises(DockError, match="no learnware of input shape"):
            old.scaling(3)
        old.set_scaling(ld.Scaling(CENTRES, UNITS), space=3)
        assert old.scaling(3) == ld.Scaling(CENTRES, UNITS)
        old.delete(expected.singles[0].id)


# ---- Reuse and the command line -------------------------------------------------------------------------------------


class Constant:
    def __init__(self, value, specification):
        self.value = value
        self.specification = specification

    def predict(self, X):
        return np.full(len(X), self.value)


@pytest.mark.parametrize("selector", ["classifier", "embedding"])
def test_rows_are_given_by_their_standardised_selves(selector):
    scaling = ld.Scaling(CENTRES, UNITS)
    specs = [fit(raw(seed, shift=shift), scaling=scaling) for seed, shift in ((0, -2.0), (1, 2.0))]
    user = np.concatenate([raw(2, rows=60, shift=-2.0), raw(3, rows=60, shift=2.0)])
    reuser = JobSelectorReuser([Constant(float(i), spec) for i, spec in enumerate(specs)], selector=selector)
    right = np.repeat([0.0, 1.0], 60)
    assert np.mean(reuser.set_params(random_state=0).predict(user) == right) > 0.95
    far = CENTRES + 1e4 * UNITS * np.array([[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]])
    assert reuser.predict(far).tolist() == [0.0, 1.0]
    mixed = [Constant(0.0, specs[0]), Constant(1.0, fit(raw(1)))]
    with pytest.raises(SpecificationMismatch, match=r"learnwares\[1\]: expected a specification of the same scaling"):
        JobSelectorReuser(mixed, selector=selector).predict(user)


def test_the_command_line_goes_the_same_way(filled, tmp_path):
    file, data = tmp_path / "scaling.json", tmp_path / "data.npy"
    facts = json_of("scaling", filled.path, "--features", 3, "-o", file)
    assert ld.Scaling.load(file) == filled.scaling(3)
    assert facts == {"path": str(file), **filled.scaling(3).to_dict()}
    assert "3 columns" in learndock("scaling", filled.path, "--features", 3, "-o", file).stdout
    np.save(data, raw(60))
    json_of("spec", data, "--scaling", file, "-o", tmp_path / "stat.json", "--points", 8)
    assert ld.load_spec(tmp_path / "stat.json") == fit(raw(60), scaling=filled.scaling(3))
    warned = learndock("spec", data, "-o", tmp_path / "raw.json", "--points", 8)
    assert warned.exit_code == 0
    assert warned.stderr.startswith("warning: gamma 0.1 times the median squared distance")
    assert len(warned.stderr.splitlines()) == 1
    assert "error" not in warned.stdout
    assert "can't be read" in error_of("spec", data, "--scaling", tmp_path / "none.json")
    assert "no learnware of input shape (4,)" in error_of("scaling", filled.path, "--features", 4, "-o", file)
