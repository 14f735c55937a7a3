"""Weights on the simplex: feasible, and no more than rounding above the minimum, whatever the matrix."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reference
from learndock import kernels
from learndock.errors import InvalidArgument

# In units of the largest entry of K plus that of c: one proximal step leaves 1e-10 of a move of at most 1.
RESIDUAL = 1e-9
# Frank & Wolfe's gap bounds the objective above its minimum; it is at most the residual, and mostly far below.
OBJECTIVE = 1e-10


def assert_solved(K, c, weights, objective):
    """Feasible, the objective is that of the weights, the optimality conditions hold, and nothing better is near."""
    K, c = np.asarray(K, dtype=np.float64), np.asarray(c, dtype=np.float64)
    scale = np.abs(K).max() + np.abs(c).max()
    assert np.isfinite(weights).all()
    assert weights.min() >= 0
    assert abs(weights.sum() - 1) <= 1e-14
    assert abs(objective - reference.qp_objective(K, c, weights)) <= 1e-14 * scale * len(c)
    assert reference.simplex_residual(K, c, weights) <= RESIDUAL * scale
    assert reference.simplex_gap(K, c, weights) <= OBJECTIVE * scale


def solve_and_check(K, c):
    weights, objective = kernels.simplex_qp(K, c)
    assert weights.shape == np.shape(c)
    assert isinstance(objective, float)
    assert_solved(K, c, weights, objective)
    return weights, objective


def psd(rng, n, rank):
    factor = rng.normal(size=(n, rank))
    return factor @ factor.T


def test_two_weights_by_hand():
    """K = I, c = (0.7, 0.3): on w = (t, 1 - t), 1/2 (t^2 + (1 - t)^2) - 0.7 t - 0.3 (1 - t) has its minimum at t = 0.7.

    With c = (3, 0) the free minimum is at t = 2: the corner t = 1, objective 1/2 - 3.
    """
    weights, objective = kernels.simplex_qp(np.eye(2), [0.7, 0.3])
    np.testing.assert_allclose(weights, [0.7, 0.3], rtol=1e-14)
    assert objective == pytest.approx((0.49 + 0.09) / 2 - 0.49 - 0.09, rel=1e-14)
    weights, objective = kernels.simplex_qp(np.eye(2), [3.0, 0.0])
    assert weights.tolist() == [1.0, 0.0]
    assert objective == -2.5


@pytest.mark.parametrize("case", range(8))
def test_golden_cases(golden, case):
    about = json.loads((golden / "simplex_qp.json").read_text())[case]
    arrays = np.load(golden / "simplex_qp.npz")
    K, c = arrays[f"K{case}"], arrays[f"c{case}"]
    _, objective = solve_and_check(K, c)
    assert objective <= about["objective"] + 1e-8


@pytest.mark.parametrize("K", [0.0, 1.0, 1e-300, 1e150, 5e-324])
@pytest.mark.parametrize("c", [0.0, -1.0, 1.0, 1e150])
def test_one_weight_is_one(K, c):
    weights, objective = kernels.simplex_qp([[K]], [c])
    assert weights.tolist() == [1.0]
    assert objective == pytest.approx(K / 2 - c, rel=1e-14)


@pytest.mark.parametrize("c", [[0.0, 0, 0], [1.0, 2, 3], [-1e8, 1e8, 0], [1e-300, 0, 0], [5.0, 5, 1]])
def test_the_zero_matrix_leaves_a_linear_programme(c):
    """The minimum of -c'w is -max c."""
    _, objective = solve_and_check(np.zeros((3, 3)), c)
    assert objective == pytest.approx(-max(c), rel=1e-14, abs=0)


@pytest.mark.parametrize("small", [1e-4, 1e-8, 1e-12, 1e-16, 1e-20, 1e-100, 1e-300])
def test_a_matrix_tiny_beside_c(small):
    rng = np.random.default_rng(0)
    for K in (np.eye(6), np.ones((6, 6)), psd(rng, 6, 2)):
        solve_and_check(small * K, rng.normal(size=6))
        solve_and_check(small * K, np.ones(6))
    solve_and_check(np.diag([0.0, small, 1.0]), [1.0, 2.0, 3.0])
    solve_and_check(np.diag([small, 0.0, 1.0]), [3.0, 3.0, 3.0])


@pytest.mark.parametrize("large", [1e4, 1e8, 1e12, 1e16, 1e100])
def test_a_matrix_huge_beside_c(large):
    rng = np.random.default_rng(1)
    for K in (np.eye(6), np.ones((6, 6)), psd(rng, 6, 2), psd(rng, 6, 6)):
        solve_and_check(large * K, rng.normal(size=6))


@pytest.mark.parametrize("share", [0.0, 1.0, 1e3])
def test_no_digits_are_lost_to_a_nearly_singular_matrix(share):
    """Not even in the gradient: solved for the weights themselves, not for their move, it is off by 1e-8 for rank 1."""
    for n in (5, 25, 100, 300):
        rng = np.random.default_rng(n)
        K, c = psd(rng, n, 1), rng.normal(size=n) + share
        weights, _ = kernels.simplex_qp(K, c)
        assert reference.simplex_gap(K, c, weights) <= 1e-14 * (np.abs(K).max() + np.abs(c).max())


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
@pytest.mark.parametrize("n", [2, 5, 25, 100, 300])
def test_random_problems_of_full_and_low_rank(n, scale):
    rng = np.random.default_rng(n)
    for rank in (n + 5, max(1, n // 10), 1):
        K = psd(rng, n, rank) * scale
        for c in (rng.normal(size=n) * scale, K @ rng.dirichlet(np.ones(n)), K @ rng.dirichlet(np.full(n, 0.05))):
            solve_and_check(K, c)


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
@pytest.mark.parametrize("spread", [1e-6, 1e-3, 0.05, 0.3, 3.0])
def test_gaussian_gram_matrices_of_close_points(spread, scale):
    """Condition numbers up to 1e20; the reduced sets and mixtures bring such matrices."""
    rng = np.random.default_rng(2)
    for n, dim in ((10, 1), (60, 2), (120, 5)):
        z = spread * rng.normal(size=(n, dim))
        x = spread * rng.normal(size=(400, dim))
        K = reference.kernel(z, z, 0.1) * scale
        for c in (reference.kernel_mean(x, z, 0.1) * scale, K @ rng.dirichlet(np.full(n, 0.1)), np.zeros(n)):
            solve_and_check(K, c)


def test_duplicate_rows_share_a_solution():
    """Weights are not unique; the objective is that of the problem without duplicates."""
    rng = np.random.default_rng(3)
    K, c = psd(rng, 8, 8), rng.normal(size=8)
    _, single = kernels.simplex_qp(K, c)
    twice = np.repeat(np.arange(8), 3)
    _, repeated = solve_and_check(K[np.ix_(twice, twice)], c[twice])
    assert repeated == pytest.approx(single, abs=1e-12)


def test_a_rank_one_matrix_of_equal_entries():
    """w' 1 1' w = 1 for all w: only c decides."""
    weights, objective = solve_and_check(np.ones((4, 4)), [0.1, 0.4, 0.2, 0.4 - 1e-6])
    assert objective == pytest.approx(0.5 - 0.4, abs=1e-12)
    assert weights[1] == pytest.approx(1.0, abs=1e-3)


def test_the_objective_is_that_of_every_support_tried():
    rng = np.random.default_rng(4)
    for n in (1, 2, 3, 4, 5, 6):
        for rank in (1, n, n + 3):
            K, c = psd(rng, n, rank), rng.normal(size=n)
            _, objective = kernels.simplex_qp(K, c)
            expected = reference.qp_objective(K, c, reference.simplex_qp(K, c))
            assert objective <= expected + 1e-10 * (np.abs(K).max() + 1)


def test_the_interior_solution_of_a_projection():
    """c = K w with w inside the simplex and K regular: w itself."""
    rng = np.random.default_rng(5)
    K, w = psd(rng, 30, 60), rng.dirichlet(np.ones(30))
    weights, _ = kernels.simplex_qp(K, K @ w)
    np.testing.assert_allclose(weights, w, atol=1e-10)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 15, 16, 17, 33, 100])
def test_small_and_full_supports_of_gram_matrices(n):
    """Exact combinations, noisy ones and mostly empty ones, of points in 8 dimensions near and far from each other."""
    rng = np.random.default_rng(n)
    for gamma in (1e-3, 0.1, 1.0):
        z = rng.normal(size=(n, 8))
        K = reference.kernel(z, z, gamma)
        for concentration in (1.0, 0.3, 0.03):
            c = K @ rng.dirichlet(np.full(n, concentration))
            solve_and_check(K, c)
            solve_and_check(K, c * (1 + 0.01 * rng.normal(size=n)))


@pytest.mark.parametrize("n", [6, 25, 60])
def test_a_singular_matrix_and_noise_outside_its_range(n):
    """Block exchanges cycle on many of these: the active set takes over."""
    for seed in range(40):
        rng = np.random.default_rng(seed)
        K = psd(rng, n, max(1, n // 4))
        solve_and_check(K, K @ rng.dirichlet(np.full(n, 0.3)) + 0.01 * rng.normal(size=n))


def test_zero_rows_beside_a_solution_without_them():
    """Their pivots are delta: shares of 1e10 cancel in the sum, which must be 1 all the same."""
    K = np.zeros((8, 8))
    K[np.ix_([1, 2, 7], [1, 2, 7])] = 2.0
    K[4, [1, 2, 4, 5, 7]] = K[[1, 2, 4, 5, 7], 4] = [-1, -1, 2, -1, -1]
    K[5, 5] = 1.0
    for share in np.linspace(0.0, 0.3, 31):
        w = np.array([0.1, 0.2, 0.3, 0, 0.1, share, 0, 0.3 - share])
        solve_and_check(K, K @ w)
        solve_and_check(K, K @ w + 1e-6 * np.sin(np.arange(8)))


def test_the_weights_do_not_depend_on_the_units():
    rng = np.random.default_rng(8)
    for n in (3, 7, 30):
        K, c = psd(rng, n, n), rng.normal(size=n)
        weights, objective = kernels.simplex_qp(K, c)
        for exponent in (-900, -500, -1, 1, 400):
            unit = 2.0**exponent
            scaled, scaled_objective = kernels.simplex_qp(unit * K, unit * c)
            assert scaled.tobytes() == weights.tobytes()
            assert scaled_objective == unit * objective


def test_copies_share_equally():
    """Of all solutions the smallest: candidates that are the same get the same."""
    weights, _ = solve_and_check(np.ones((6, 6)), np.full(6, 0.5))
    assert weights.sum() == 1
    rng = np.random.default_rng(9)
    K, w = psd(rng, 4, 8), np.array([0.1, 0.2, 0.3, 0.4])
    thrice = np.repeat(np.arange(4), 3)
    weights, _ = solve_and_check(K[np.ix_(thrice, thrice)], (K @ w)[thrice])
    np.testing.assert_allclose(weights, (w / 3)[thrice], atol=1e-5)


def test_a_batch_mixes_easy_and_hard_problems_of_one_size():
    """Memory that one problem leaves to the next carries nothing over, whatever order they come in."""
    rng = np.random.default_rng(10)
    n = 20
    z = 1e-3 * rng.normal(size=(n, 2))
    kinds = [np.eye(n), np.zeros((n, n)), np.ones((n, n)), psd(rng, n, 2), psd(rng, n, 30), reference.kernel(z, z, 0.1)]
    K = np.stack([kinds[i] for i in rng.integers(len(kinds), size=300)])
    c = rng.normal(size=(300, n)) * rng.choice([0.0, 1e-6, 1.0, 1e6], size=(300, 1))
    weights, objectives = kernels.simplex_qp(K, c)
    backwards = kernels.simplex_qp(K[::-1], c[::-1], threads=1)
    assert backwards[0][::-1].tobytes() == weights.tobytes()
    assert backwards[1][::-1].tobytes() == objectives.tobytes()
    for i in range(300):
        assert_solved(K[i], c[i], weights[i], objectives[i])


def test_batches_equal_singles_and_any_number_of_threads():
    rng = np.random.default_rng(6)
    K = np.stack([psd(rng, 12, 1 + i % 15) for i in range(40)])
    c = rng.normal(size=(40, 12))
    weights, objectives = kernels.simplex_qp(K, c)
    assert weights.shape == (40, 12)
    assert objectives.shape == (40,)
    for i in range(40):
        single_weights, single_objective = kernels.simplex_qp(K[i], c[i])
        assert single_weights.tobytes() == weights[i].tobytes()
        assert single_objective == objectives[i]
    for threads in (1, 4, 7):
        again = kernels.simplex_qp(K, c, threads=threads)
        assert again[0].tobytes() == weights.tobytes()
        assert again[1].tobytes() == objectives.tobytes()


def test_a_matrix_symmetric_but_for_rounding_is_accepted():
    rng = np.random.default_rng(7)
    K = psd(rng, 20, 25)
    noisy = K * (1 + 1e-12 * rng.normal(size=K.shape))
    weights, _ = kernels.simplex_qp(noisy, np.ones(20))
    assert reference.simplex_gap(K, np.ones(20), weights) <= 1e-9 * np.abs(K).max()


@given(st.data(), st.integers(1, 12), st.integers(0, 2**32), st.floats(-8, 8))
def test_any_positive_semidefinite_matrix(data, n, seed, log_scale):
    """Ranks, repeated rows, zero rows, integers (many ties) and all scales."""
    rng = np.random.default_rng(seed)
    factor = rng.normal(size=(n, data.draw(st.integers(1, n + 2), label="rank")))
    if data.draw(st.booleans(), label="integers"):
        factor = np.round(factor)
    if data.draw(st.booleans(), label="repeated"):
        factor = factor[rng.integers(n, size=n)]
    if data.draw(st.booleans(), label="spread"):
        factor *= 10.0 ** rng.uniform(-6, 0, size=(n, 1))
    K = factor @ factor.T * 10.0**log_scale
    c = rng.normal(size=n) * data.draw(st.sampled_from([0.0, 1.0, 10.0**log_scale]), label="c")
    solve_and_check(K, c)


@pytest.mark.parametrize("m", [5, 20, 39])
def test_a_gram_matrix_rounded_to_float32_costs_no_more_than_the_rounding(m):
    rng = np.random.default_rng(m)
    A = rng.normal(size=(m, 3))
    exact = A @ A.T
    rounded = exact.astype(np.float32).astype(np.float64)
    c = rng.normal(size=m)
    weights, _ = kernels.simplex_qp(rounded, c)
    best, _ = kernels.simplex_qp(exact, c)

    def value(w):
        return w @ exact @ w / 2 - c @ w

    # Entries are off by 2^-24 of up to 20, and w is on the simplex.
    assert value(weights) <= value(best) + 1e-5


def test_an_indefinite_matrix_is_refused():
    with pytest.raises(InvalidArgument, match="semidefinite"):
        kernels.simplex_qp([[-4.0, -2.0], [-2.0, 2.0]], [1.0, -2.0])
    with pytest.raises(InvalidArgument, match="semidefinite"):
        kernels.simplex_qp([[-1.0]], [0.0])
    with pytest.raises(InvalidArgument, match="semidefinite"):
        kernels.simplex_qp([[1e-200, 1e150], [1e150, 1e-200]], [0.0, 0.0])


@pytest.mark.parametrize("n", [2, 5, 40])
def test_what_is_wrong_with_a_batch_names_the_problem(n):
    rng = np.random.default_rng(n)
    count = 1100 if n < 10 else 50  # more than a chunk
    K, c = np.stack([psd(rng, n, n) for _ in range(count)]), rng.normal(size=(count, n))
    for wrong in (0, 7, count - 1):
        indefinite = K.copy()
        indefinite[wrong] *= -1
        with pytest.raises(InvalidArgument, match=f"semidefinite.*problem {wrong}$"):
            kernels.simplex_qp(indefinite, c)
        lopsided = K.copy()
        lopsided[wrong, 1, 0] += 0.5
        with pytest.raises(InvalidArgument, match=f"symmetric.*problem {wrong} .* by 0.5"):
            kernels.simplex_qp(lopsided, c)
        for bad, says in ((np.nan, "finite"), (-np.inf, "finite"), (1e151, "magnitudes")):
            numbers = K.copy()
            numbers[wrong, 0, 1] = bad
            with pytest.raises(InvalidArgument, match=f"^K: .*{says}"):
                kernels.simplex_qp(numbers, c)
            numbers = c.copy()
            numbers[wrong, n - 1] = bad
            with pytest.raises(InvalidArgument, match=f"^c: .*{says}"):
                kernels.simplex_qp(K, numbers)


def test_an_asymmetry_is_relative_to_the_largest_entry():
    K = np.array([[1.0, 0.5, 0.0], [0.5, 2.0, 1e-3], [0.0, 1e-3, 4.0]])
    for unit in (1e-200, 1.0, 1e140):
        near, far = unit * K, unit * K
        near[1, 2] += 3.9e-8 * unit
        far[1, 2] += 4.1e-8 * unit
        kernels.simplex_qp(near, unit * np.ones(3))
        with pytest.raises(InvalidArgument, match="symmetric"):
            kernels.simplex_qp(far, unit * np.ones(3))
