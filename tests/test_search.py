"""The exact search against distances written out in float64, and the mixtures built on it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import learndock as ld
from learndock.dock.score import reference_scores
from learndock.errors import InvalidArgument
from spec_batches import distances_to, inner, made_specs, user_spec


@pytest.fixture
def dock(tmp_path):
    with ld.Dock(tmp_path / "dock") as opened:
        yield opened


@pytest.mark.parametrize("folded", [False, True], ids=["in the catalog", "in a segment"])
@pytest.mark.parametrize("dim", [1, 3, 17, 40])
@pytest.mark.parametrize("gamma", [0.01, 0.1, 2.0])
def test_singles_are_the_true_nearest_in_order(dock, folded, dim, gamma):
    points, weights = made_specs(60, dim, ragged=True)
    ids = dock.ingest(points=points, weights=weights, gamma=gamma)
    if folded:
        dock.optimize()
    user = user_spec(dim, gamma)
    expected = distances_to(user, points, weights)
    result = dock.search(user, k=12)
    order = np.argsort(expected, kind="stable")[:12]
    assert [hit.id for hit in result.singles] == [ids[i] for i in order]
    # Sums of 7 x 11 products of float64: 1e-14 of their size, which is at most 4.
    assert np.allclose([hit.mmd2 for hit in result.singles], expected[order], atol=1e-13, rtol=0)
    assert result.certified
    assert result.method == "exact"
    assert result.work["scanned"] == 60


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    offset=st.sampled_from([0.0, 10.0, 1e4]),
    scale=st.sampled_from([1e-3, 1.0, 50.0]),
    gamma=st.sampled_from([1e-4, 0.1, 10.0]),
    negative=st.booleans(),
)
def test_singles_are_exact_for_hard_numbers(tmp_path_factory, seed, offset, scale, gamma, negative):
    rng = np.random.default_rng(seed)
    count, dim = 30, int(rng.integers(1, 20))
    points = [offset + scale * rng.normal(size=(int(rng.integers(1, 9)), dim)) for _ in range(count)]
    weights = [rng.normal(size=len(z)) if negative else rng.random(len(z)) for z in points]
    user = ld.RKMETableSpecification(offset + scale * rng.normal(size=(5, dim)), rng.normal(size=5), gamma=gamma)
    with ld.Dock(tmp_path_factory.mktemp("docks") / "dock") as dock:
        ids = dock.ingest(points=points, weights=weights, gamma=gamma)
        singles = dock.search(user, k=count, mixture=0).singles
        expected = distances_to(user, points, weights)
        # Rounding of sums of up to 40 terms of size up to 30: far below the gap that orders them otherwise.
        assert np.allclose([hit.mmd2 for hit in singles], np.sort(expected), atol=1e-11, rtol=0)
        by_id = dict(zip(ids, expected, strict=True))
        assert np.allclose([hit.mmd2 for hit in singles], [by_id[hit.id] for hit in singles], atol=1e-11, rtol=0)


@pytest.mark.parametrize("dim", [32, 57])
@pytest.mark.parametrize("twins", [False, True], ids=["strangers", "near twins"])
def test_singles_of_the_integers_pass_are_the_true_nearest(dock, dim, twins):
    """Users of rows enough; near twins are further from each other than float64 sees, and closer than integers do."""
    rng = np.random.default_rng(dim)
    gamma = 0.5 / dim
    z = rng.normal(size=(1, 20, dim)) + (1e-4 if twins else 0.5) * rng.normal(size=(300, 20, dim))
    shares = np.full((300, 20), 0.05)
    ids = dock.ingest(points=z, weights=shares, gamma=gamma)
    user = ld.RKMETableSpecification(rng.normal(size=(33, dim)), rng.dirichlet(np.ones(33)), gamma=gamma)
    expected = distances_to(user, z, shares)
    result = dock.search(user, k=10)
    order = np.argsort(expected, kind="stable")[:10]
    assert [hit.id for hit in result.singles] == [ids[i] for i in order]
    assert np.allclose([hit.mmd2 for hit in result.singles], expected[order], atol=1e-13, rtol=0)
    assert (result.work["evaluated"] > 40) == twins


@pytest.mark.parametrize("dim", [3, 40])
def test_where_all_are_wanted_nothing_is_scanned(dock, monkeypatch, dim):
    """All are computed in float64 once, some users at a time; scores, hits and mixtures are those of a scan."""
    points, weights = made_specs(30, dim)
    dock.ingest(points=points, weights=weights, gamma=0.5 / dim)
    users = [user_spec(dim, 0.5 / dim, seed=seed) for seed in range(7)]
    scanned = dock.search_many(users, k=29, mixture=5, rule="greedy", method="exact")
    monkeypatch.setattr("learndock.dock.search.scan", None)
    monkeypatch.setattr("learndock.dock.scan._PAIRS_AT_ONCE", 70)
    for alone, of_scan, user in zip(
        dock.search_many(users, k=30, mixture=5, rule="greedy"), scanned, users, strict=True
    ):
        assert len(alone.singles) == 30
        assert [(hit.id, hit.mmd2) for hit in alone.singles[:29]] == [(hit.id, hit.mmd2) for hit in of_scan.singles]
        assert [hit.score for hit in alone.singles[:29]] == pytest.approx(
            [hit.score for hit in of_scan.singles], abs=1e-5
        )
        assert alone.mixture == of_scan.mixture == dock.search(user, k=31, rule="greedy", mixture=5).mixture
        assert (alone.method, alone.certified, alone.work["evaluated"]) == ("exact", True, 30)


def test_ties_go_to_the_lower_id(dock):
    points, weights = made_specs(1, 3)
    ids = dock.ingest(points=points * 9, weights=weights * 9, gamma=0.1)
    assert [hit.id for hit in dock.search(user_spec(3, 0.1), k=5).singles] == ids[:5]
    dock.optimize()
    assert [hit.id for hit in dock.search(user_spec(3, 0.1), k=5).singles] == ids[:5]


def test_an_own_specification_is_found_at_distance_zero(dock):
    points, weights = made_specs(20, 3)
    ids = dock.ingest(points=points, weights=weights, gamma=0.1)
    user = ld.RKMETableSpecification(np.float32(points[7]), np.float32(weights[7]), gamma=0.1)
    best = dock.search(user).singles[0]
    assert best.id == ids[7]
    assert abs(best.mmd2) < 1e-14
    assert best.similarity == pytest.approx(1, abs=1e-12)


def test_similarity_is_the_cosine_of_the_embeddings(dock):
    points, weights = made_specs(5, 3)
    ids = dock.ingest(points=points, weights=weights, gamma=0.1)
    user = user_spec(3, 0.1)
    for hit in dock.search(user, k=5).singles:
        z, beta = np.float32(points[ids.index(hit.id)]), np.float32(weights[ids.index(hit.id)])
        expected = inner(user.points, user.weights, z, beta, 0.1) / np.sqrt(
            inner(user.points, user.weights, user.points, user.weights, 0.1) * inner(z, beta, z, beta, 0.1)
        )
        assert hit.similarity == pytest.approx(expected, abs=1e-12)


def test_many_users_get_what_each_gets_alone(dock):
    points, weights = made_specs(50, 4, ragged=True)
    dock.ingest(points=points, weights=weights, gamma=0.1)
    other = made_specs(10, 2)
    dock.ingest(points=other[0], weights=other[1], gamma=0.5)
    users = [user_spec(4, 0.1, seed=1), user_spec(2, 0.5, seed=2), user_spec(4, 0.1, seed=3), user_spec(9, 0.1)]
    together = dock.search_many(users, k=5)
    for user, result in zip(users, together, strict=True):
        alone = dock.search(user, k=5)
        assert result.singles == alone.singles
        assert result.mixture == alone.mixture
        assert result.skipped == alone.skipped
    assert dock.search_many([]) == []


def test_users_are_scanned_in_groups_that_have_room(dock):
    points, weights = made_specs(100, 3)
    dock.ingest(points=points, weights=weights, gamma=0.1)
    users = [user_spec(3, 0.1, seed=seed) for seed in range(7)]
    told = []
    two_users = 100 * (5 + 2 * 4) * 8
    bounded = dock.search_many(users, max_memory=two_users, on_progress=lambda *now: told.append(now))
    assert told == [("search", done, 7) for done in (2, 4, 6, 7)]
    assert [result.singles for result in bounded] == [result.singles for result in dock.search_many(users)]
    with pytest.raises(InvalidArgument, match="max_memory: expected at least 7200"):
        dock.search(users[0], max_memory=7000)


@pytest.mark.parametrize("threads", [1, 4, 7])
def test_results_do_not_depend_on_the_number_of_threads(dock, threads):
    points, weights = made_specs(2000, 5, ragged=True)
    dock.ingest(points=points, weights=weights, gamma=0.1)
    user = user_spec(5, 0.1)
    one, many = dock.search(user, threads=1), dock.search(user, threads=threads)
    assert (one.singles, one.mixture) == (many.singles, many.mixture)


def test_the_default_mixture_weighs_the_twenty_nearest_by_distance(dock):
    points, weights = made_specs(60, 3)
    ids = dock.ingest(points=points, weights=weights, gamma=0.1)
    user = user_spec(3, 0.1)
    distances = distances_to(user, points, weights)
    nearest = np.argsort(distances)[:20]
    shares = (1 + distances[nearest] / np.sort(distances)[4]) ** -4
    shares /= shares.sum()
    mixture = dock.search(user).mixture
    assert mixture.ids == tuple(ids[i] for i in nearest)
    assert np.allclose(mixture.weights, shares, atol=1e-12)
    assert sum(mixture.weights) == pytest.approx(1, abs=1e-12)
    z = np.concatenate([np.float32(points[i]) for i in nearest])
    beta = np.concatenate([np.float32(weights[i]) * share for i, share in zip(nearest, shares, strict=True)])
    assert mixture.mmd2 == pytest.approx(distances_to(user, [z], [beta])[0], abs=1e-7)


@pytest.mark.parametrize("rule", ["greedy", "auto"])
def test_the_references_rules_come_nearer_than_any_single(dock, rule):
    points, weights = made_specs(60, 3)
    dock.ingest(points=points, weights=weights, gamma=0.1)
    result = dock.search(user_spec(3, 0.1), rule=rule)
    assert 2 <= len(result.mixture.ids) <= 5
    assert list(result.mixture.weights) == sorted(result.mixture.weights, reverse=True)
    assert result.mixture.mmd2 < result.singles[0].mmd2


@pytest.mark.parametrize(("count", "expected"), [(0, None), (1, None), (2, 2), (3, 3)])
def test_a_mixture_needs_two_learnwares(dock, count, expected):
    if count:
        points, weights = made_specs(count, 3)
        dock.ingest(points=points, weights=weights, gamma=0.1)
    mixture = dock.search(user_spec(3, 0.1)).mixture
    assert (None if mixture is None else len(mixture.ids)) == expected


def test_mixture_zero_makes_none_and_a_limit_is_kept(dock):
    points, weights = made_specs(30, 3)
    dock.ingest(points=points, weights=weights, gamma=0.1)
    user = user_spec(3, 0.1)
    assert dock.search(user, mixture=0).mixture is None
    assert dock.search(user, mixture=1).mixture is None
    assert len(dock.search(user, mixture=7).mixture.ids) == 7
    assert len(dock.search(user, rule="greedy", mixture=2).mixture.ids) == 2


def test_a_perfect_match_needs_no_mixture_by_the_references_rules(dock):
    points, weights = [np.zeros((1, 2))], [np.ones(1)]
    more = made_specs(5, 2)
    dock.ingest(points=points + more[0], weights=weights + more[1], gamma=0.1)
    user = ld.RKMETableSpecification([[0.0, 0.0]], [1.0], gamma=0.1)
    assert dock.search(user, rule="greedy").mixture is None


def test_more_singles_than_learnwares_returns_them_all(dock):
    points, weights = made_specs(4, 3)
    dock.ingest(points=points, weights=weights, gamma=0.1)
    assert len(dock.search(user_spec(3, 0.1), k=100).singles) == 4


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"k": 0}, "k"),
        ({"k": 2.5}, "k"),
        ({"mixture": -1}, "mixture"),
        ({"rule": "best"}, "rule"),
        ({"method": "guess"}, "method"),
        ({"threads": 0}, "threads"),
    ],
)
def test_a_bad_option_is_an_error_that_names_it(dock, options, named):
    points, weights = made_specs(4, 3)
    dock.ingest(points=points, weights=weights, gamma=0.1)
    with pytest.raises(InvalidArgument, match=f"^{named}"):
        dock.search(user_spec(3, 0.1), **options)


def test_what_is_no_specification_is_an_error(dock):
    with pytest.raises(InvalidArgument, match="^spec:"):
        dock.search(np.zeros((3, 2)))


def test_scores_by_hand():
    """Distances 0.1, 0.4, 1.0: mean 0.5, floor a tenth of it, 0.05, and 0.9 / 0.95 >= 0.92 keeps it there."""
    scores = reference_scores([0.1, 0.4, 1.0], None, total=1.5, largest=1.0, count=3)
    assert scores == pytest.approx([0.9 / 0.95, min(0.7, (0.6 / 0.95) ** 0.5), 0.0])


def test_scores_where_all_are_equally_far_are_one():
    assert reference_scores([0.3, 0.3], None, total=0.6, largest=0.3, count=2) == [1.0, 1.0]
    assert reference_scores([], None, total=0.0, largest=0.0, count=0) == []
