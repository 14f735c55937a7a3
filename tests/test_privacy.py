"""How near a specification comes to the rows that it was made of, and the command line's refusal of copies."""

from __future__ import annotations

import math

import numpy as np
import pytest

import learndock as ld
from command_line import error_of, json_of, learndock
from learndock.errors import InvalidArgument
from learndock.specification._rows import members, row_hashes


def plainly(points, rows):
    """Distances of points to rows, and of rows to other rows in the median, with every pair written out."""
    different = np.unique(rows, axis=0)
    to_rows = np.linalg.norm(points[:, None] - rows[None], axis=2).min(axis=1)
    between = np.linalg.norm(different[:, None] - different[None], axis=2)
    np.fill_diagonal(between, np.inf)
    spacing = np.median(between.min(axis=1))
    return to_rows / spacing, spacing


def spec_of(points, *, gamma=0.5, scaling=None):
    return ld.RKMETableSpecification(points, np.full(len(points), 1 / len(points)), gamma=gamma, scaling=scaling)


# scikit-learn takes a tree below 16 columns, and products above.
@pytest.mark.parametrize("columns", [1, 3, 40])
@pytest.mark.parametrize("shift", [0.0, 1e6])
def test_distances_are_those_of_every_pair(columns, shift):
    rng = np.random.default_rng(columns)
    rows, points = rng.normal(size=(300, columns)) + shift, rng.normal(size=(20, columns)) + shift
    report = spec_of(points).privacy_report(rows)
    distances, spacing = plainly(points, rows)
    # 1e6 leaves 1e-10 of a number between 0 and 1; where it is near 0, as between 300 on a line, some 1e-6 of it.
    np.testing.assert_allclose(report.distances, distances, rtol=1e-5 if shift else 1e-9)
    assert report.spacing == pytest.approx(spacing, rel=1e-6)
    assert report.nearest == report.distances.min()
    assert report.lowest_twentieth == np.sort(report.distances)[0]
    assert report.close == (distances < 0.1).sum()
    assert (report.points, report.rows, report.copies) == (20, 300, 0)
    # Of 300 numbers near 1e6 most are the same in float32 as one of 20 others.
    assert (report.copies_in_float32 > 0) == (shift > 0 and columns == 1)


def test_rows_behind_a_point_are_counted_by_their_weights():
    # At 0 and 1 with gamma = 1: weights 1 and 1/e; far away no weight is left at all.
    report = spec_of([[0.0], [1e6]], gamma=1.0).privacy_report([[0.0], [1.0]])
    e = math.exp(-1)
    np.testing.assert_allclose(report.rows_behind, [(1 + e) ** 2 / (1 + e**2), 0.0])
    assert report.lonely == 2
    assert "2 points have fewer than 10 rows around" in report.message


def test_copies_are_counted_as_they_are_and_as_a_dock_rounds_them():
    rows = np.array([[0.1, 1.0], [0.2, 2.0], [0.3, -0.0], [0.4, 4.0]])
    rounded = np.float64(np.float32(0.2))
    assert rounded != 0.2
    report = spec_of([[0.1, 1.0], [rounded, 2.0], [0.3, 0.0], [0.4, 4.1]]).privacy_report(rows)
    assert (report.copies, report.copies_in_float32) == (2, 3)
    assert report.distances[[0, 2]].tolist() == [0, 0]
    assert 0 < report.distances[1] < 1e-7
    assert report.message.startswith("3 of 4 points are rows of the data as they are: whoever gets")


def test_a_specification_that_is_the_data_is_said_to_be_it():
    rows = np.random.default_rng(0).normal(size=(50, 3))
    whole = ld.RKMETableSpecification.fit(rows, reduce=False)
    assert whole.privacy_report(rows).copies == 50
    reduced = ld.RKMETableSpecification.fit(rows, n_points=20, random_state=0)
    report = reduced.privacy_report(rows)
    assert report.copies_in_float32 == 0
    assert report.nearest > 0
    assert report.message.startswith("none of the 20 points equals one of the 50 rows")
    assert repr(report) == f"PrivacyReport({report.message})"


def test_points_and_rows_are_compared_in_the_scaling_of_the_specification():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 2)) * [1.0, 1000.0] + [0.0, 5000.0]
    scaling = ld.Scaling.of(rows)
    report = ld.RKMETableSpecification.fit(rows, n_points=10, scaling=scaling, random_state=0).privacy_report(rows)
    spec = ld.RKMETableSpecification.fit(rows, n_points=10, scaling=scaling, random_state=0)
    distances, spacing = plainly(spec.points, scaling.apply(rows))
    np.testing.assert_allclose(report.distances, distances)
    assert report.spacing == pytest.approx(spacing)
    assert ld.RKMETableSpecification.fit(rows, reduce=False, scaling=scaling).privacy_report(rows).copies == 200


def test_rows_that_are_there_twice_do_not_count_as_near_each_other():
    rows = np.arange(20.0)[:, None]
    report = spec_of([[3.25]]).privacy_report(np.concatenate([rows, rows, rows[:5]]))
    assert (report.rows, report.spacing, report.distances.tolist()) == (45, 1.0, [0.25])


def test_where_all_rows_are_equal_nothing_is_usual():
    report = spec_of([[1.0, 2.0], [1.0, 2.5]]).privacy_report(np.tile([1.0, 2.0], (7, 1)))
    assert report.spacing == 0
    assert report.distances.tolist() == [0, math.inf]
    assert report.copies == 1


def test_a_missing_value_is_its_columns_mean_as_in_fit():
    rows = np.array([[0.0, 1.0], [2.0, np.nan], [4.0, 3.0]])
    assert spec_of([[2.0, 2.0]]).privacy_report(rows).copies == 1
    assert np.isnan(rows[1, 1])


def test_the_spacing_of_many_rows_is_that_of_some():
    rows = np.random.default_rng(0).normal(size=(20_000, 2))
    report = spec_of(rows[:1] + 1.0).privacy_report(rows)
    between = np.array([np.sort(np.linalg.norm(rows - row, axis=1))[1] for row in rows[::10]])
    # Two samples of 2,000 of a quantity that spreads about as much as it is: 4 % each.
    assert report.spacing == pytest.approx(np.median(between), rel=0.15)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (np.zeros((3, 2)), r"X: expected rows of shape \(3,\), got \(2,\)"),
        (np.zeros(3), "X: expected 2 dimensions"),
        ([[0.0, 1.0, np.inf]], "X: expected finite numbers"),
    ],
)
def test_rows_that_can_not_be_compared_are_refused(rows, says):
    with pytest.raises(InvalidArgument, match=says):
        spec_of(np.zeros((2, 3))).privacy_report(rows)


@pytest.mark.parametrize("scalar", [np.float32, np.float64])
def test_hashes_of_different_small_integers_differ(scalar):
    # Their floats end in many zeros: a sum of products would leave few bits of the hash in use.
    rows = np.stack(np.meshgrid(*[np.arange(-9.0, 10.0)] * 4), axis=-1).reshape(-1, 4)
    assert len(np.unique(row_hashes(rows, scalar))) == len(rows)
    assert np.array_equal(row_hashes(-0.0 * rows, scalar), row_hashes(0.0 * rows, scalar))
    assert members(row_hashes(rows[:3] + np.array([[0], [0.5], [0]]), scalar), row_hashes(rows, scalar)).tolist() == [
        1,
        0,
        1,
    ]


# ---- The command line ----------------------------------------------------------------------------------------------


@pytest.fixture(name="data")
def data_file(tmp_path):
    rows = np.random.default_rng(0).normal(size=(80, 3))
    np.save(tmp_path / "data.npy", rows)
    return tmp_path / "data.npy", rows


def test_the_command_prints_the_report_where_it_is_asked_for(data, tmp_path):
    file, rows = data
    command = ["spec", file, "-o", tmp_path / "stat.json", "--points", 10]
    assert "privacy" not in json_of(*command)
    facts = json_of(*command, "--privacy-report")
    report = ld.load_spec(tmp_path / "stat.json").privacy_report(rows)
    assert facts["privacy"] == report.to_dict()
    assert facts["privacy"]["copies"] == 0
    lines = learndock(*command, "--privacy-report").stdout.splitlines()
    assert lines[1:] == [f"privacy: {report.message}"]


def test_a_specification_with_a_row_in_it_is_refused_and_nothing_is_written(data, tmp_path):
    file, _ = data
    output = tmp_path / "stat.json"
    command = ["spec", file, "-o", output, "--refuse-copies"]
    says = error_of(*command, "--no-reduce")
    assert says.startswith("--refuse-copies: nothing is written; 80 of 80 points are rows of the data as they are")
    assert not output.exists()
    assert "privacy" not in json_of(*command)
    before = output.read_bytes()
    error_of(*command, "--no-reduce")
    assert output.read_bytes() == before
