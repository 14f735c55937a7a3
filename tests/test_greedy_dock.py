"""Mixtures chosen from the whole dock, step by step, and batches of mixtures against mixtures one by one."""

import numpy as np
import pytest

import learndock as ld
from learndock import kernels
from spec_batches import inner, made_specs, user_spec

GAMMA = 0.5


@pytest.fixture
def dock(tmp_path):
    with ld.Dock(tmp_path / "dock") as opened:
        yield opened


def hidden_partner(dim, *, alike=40, seed=0):
    """A user who is 7/10 of one distribution and 3/10 of another far away.

    The dock has many learnwares of the first and one of the second, which is farther from the user than all of them.
    """
    rng = np.random.default_rng(seed)
    length = np.sqrt(dim / 2)
    left, right = rng.normal(size=(20, dim)) * 0.3, rng.normal(size=(20, dim)) * 0.3 + 4
    points = [left + 0.1 * rng.normal(size=(20, dim)) for _ in range(alike)] + [right]
    weights = [np.full(20, 1 / 20)] * (alike + 1)
    shares = np.concatenate([np.full(20, 0.7 / 20), np.full(20, 0.3 / 20)])
    user = ld.RKMETableSpecification(np.concatenate([left, right]), shares, gamma=1 / length**2)
    return user, points, weights


def greedy_in_python(user, points, weights, size):
    """The rule over all specifications, as the dock holds them, in plain float64."""
    stored = [(np.float32(z), np.float32(beta)) for z, beta in zip(points, weights, strict=True)]
    cross = np.array([inner(user.points, user.weights, z, beta, user.gamma) for z, beta in stored])
    own = inner(user.points, user.weights, user.points, user.weights, user.gamma)
    gram = np.array([[inner(*p, *q, user.gamma) for q in stored] for p in stored])
    members, value = [], np.inf
    while len(members) < size:
        tried = {}
        for i in range(len(stored)):
            if i not in members:
                these = [*members, i]
                _, objective = kernels.simplex_qp(gram[np.ix_(these, these)], cross[these])
                tried[i] = own + 2 * objective
        best = min(tried, key=lambda i: (tried[i], i))
        if members and tried[best] > 0.95 * value:
            break
        members.append(best)
        value = tried[best]
    return members, value


@pytest.mark.parametrize("dim", [2, 40])  # 40 and enough rows: the integers' pass
def test_it_finds_the_partner_that_hides_far_from_the_user(dock, dim):
    user, points, weights = hidden_partner(dim)
    ids = dock.ingest(points=points, weights=weights, gamma=user.gamma)
    of_nearest = dock.search(user, rule="greedy").mixture
    mixture = dock.search(user, rule="greedy_dock").mixture
    assert of_nearest is None or ids[-1] not in of_nearest.ids
    assert ids[-1] in mixture.ids
    assert mixture.weights[mixture.ids.index(ids[-1])] == pytest.approx(0.3, abs=0.05)
    assert mixture.mmd2 < 0.1 * dock.search(user).singles[0].mmd2


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("folded", [False, True])
def test_each_step_takes_the_best_of_the_whole_dock(dock, seed, folded):
    dim = 3 if seed % 2 else 33
    points, weights = made_specs(50, dim, seed=seed, ragged=True)
    ids = dock.ingest(points=points, weights=weights, gamma=0.1)
    if folded:
        dock.optimize()
    rng = np.random.default_rng(100 + seed)
    user = ld.RKMETableSpecification(rng.normal(size=(20, dim)), rng.dirichlet(np.ones(20)), gamma=0.1)
    members, value = greedy_in_python(user, points, weights, 4)
    of_nearest = dock.search(user, rule="greedy", mixture=4).mixture
    mixture = dock.search(user, rule="greedy_dock", mixture=4).mixture
    if of_nearest is not None and of_nearest.mmd2 < value - 1e-12:
        assert mixture == of_nearest
    elif len(members) > 1:
        assert set(mixture.ids) <= {ids[i] for i in members}
        assert mixture.mmd2 == pytest.approx(value, abs=1e-12)
    assert sum(mixture.weights) == pytest.approx(1, abs=1e-12)


def test_it_is_never_worse_than_the_nearest_alone(dock):
    points, weights = made_specs(200, 5, ragged=True)
    dock.ingest(points=points, weights=weights, gamma=0.2)
    users = [user_spec(5, 0.2, seed=seed) for seed in range(12)]
    whole = dock.search_many(users, rule="greedy_dock")
    for result, nearest in zip(whole, dock.search_many(users, rule="greedy"), strict=True):
        assert result.mixture.mmd2 <= nearest.mixture.mmd2 + 1e-15
        assert [hit.mmd2 for hit in result.singles] == [hit.mmd2 for hit in nearest.singles]


def test_what_is_hidden_by_a_filter_is_in_no_mixture(dock):
    user, points, weights = hidden_partner(2)
    ids = dock.ingest(points=points, weights=weights, gamma=user.gamma)
    dock.delete(ids[-1:])
    mixture = dock.search(user, rule="greedy_dock").mixture
    assert mixture is None or ids[-1] not in mixture.ids


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_learnwares(dock, count):
    points, weights = made_specs(3, 2)
    if count:
        dock.ingest(points=points[:count], weights=weights[:count], gamma=GAMMA)
    result = dock.search(user_spec(2, GAMMA), rule="greedy_dock")
    assert len(result.singles) == count
    assert result.mixture is None or count == 2


@pytest.mark.parametrize("rule", ["distance", "greedy", "auto", "greedy_dock"])
@pytest.mark.parametrize("threads", [1, 3])
def test_a_batch_of_users_gets_the_mixtures_of_each_alone(dock, rule, threads):
    points, weights = made_specs(90, 6, ragged=True)
    dock.ingest(points=points, weights=weights, gamma=0.1)
    users = [user_spec(6, 0.1, seed=seed) for seed in range(20)]
    together = dock.search_many(users, rule=rule, threads=threads)
    assert [result.mixture for result in together] == [dock.search(user, rule=rule).mixture for user in users]


@pytest.mark.parametrize("rule", ["greedy", "auto"])
def test_mixtures_are_those_of_a_gram_matrix_in_float64(dock, rule):
    """Also where greedy must choose between twins, which float32 can't; "auto" shares weights among them."""
    points, weights = made_specs(28, 4, ragged=True)
    if rule == "greedy":
        points[20:], weights[20:] = points[:8], weights[:8]
    ids = dock.ingest(points=points, weights=weights, gamma=0.1)
    stored = [
        (np.float32(z).astype(float), np.float32(beta).astype(float)) for z, beta in zip(points, weights, strict=True)
    ]
    gram = np.array([[kernels.inner(*p, *q, gamma=0.1) for q in stored] for p in stored])
    for seed in range(10):
        user = user_spec(4, 0.1, seed=seed)
        result = dock.search(user, rule=rule, k=25)
        order = [ids.index(hit.id) for hit in result.singles]
        cross = np.array([kernels.inner(user.points, user.weights, *stored[i], gamma=0.1) for i in order])
        own = kernels.inner(user.points, user.weights, user.points, user.weights, gamma=0.1)
        shares, value = kernels.mixture(gram[np.ix_(order, order)], cross, own, rule=rule, size=5)
        members = sorted(ids[order[i]] for i in np.flatnonzero(shares))
        assert sorted(result.mixture.ids) == members
        assert result.mixture.mmd2 == pytest.approx(value, abs=1e-13)
