"""A certified search answers what an exact one does, to the last bit; what is said to be proven is true."""

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from learndock.dock import certified
from sketched_views import (
    answer,
    assert_approximate_is_true,
    assert_certified_is_exact,
    searched,
    sketched_view,
    small_numbers,
    user,
)
from spec_batches import distances_to

ARRANGEMENTS = ("families", "duplicates", "all alike", "outliers", "one point each", "apart", "together")
WEIGHTS = ("simplex", "signed", "cancelling", "1e18", "1e-22", "sizes apart")


def drawn_embeddings(rng, count, dim, gamma, arrangement, weights):
    scale = 1 / np.sqrt(gamma * dim)
    spread = {"apart": 100.0, "together": 1e-5}.get(arrangement, 0.3)
    centres = scale * rng.normal(size=(3, dim))
    points, betas = [], []
    for _ in range(count):
        size = 1 if arrangement == "one point each" else int(rng.integers(1, 7))
        points.append(centres[rng.integers(3)] + spread * scale * rng.normal(size=(size, dim)))
        beta = rng.dirichlet(np.ones(size))
        if weights == "signed":
            beta = rng.normal(size=size)
        elif weights == "cancelling":
            points[-1] = np.repeat(points[-1][:1], size, axis=0)
            beta = np.where(np.arange(size) % 2, -1.0, 1.0)
        elif weights == "sizes apart":
            beta = beta * 10.0 ** rng.integers(-25, 26)
        elif weights != "simplex":
            beta = beta * float(weights)
        betas.append(beta)
    if arrangement in ("duplicates", "all alike"):
        at = np.zeros(count, int) if arrangement == "all alike" else rng.integers(0, max(1, count // 4), count)
        points, betas = [points[i] for i in at], [betas[i] for i in at]
    if arrangement == "outliers":
        for i in rng.integers(0, count, max(1, count // 8)):
            points[i] = points[i] + scale * 10.0 ** rng.choice([1, 3, 6])
    return points, betas


@st.composite
def spaces(draw):
    return {
        "dim": draw(st.sampled_from([1, 2, 5, 17])),
        "gamma": 10 ** draw(st.floats(-4, 1)),
        "arrangement": draw(st.sampled_from(ARRANGEMENTS)),
        "weights": draw(st.sampled_from(WEIGHTS)),
        "sizes": draw(st.lists(st.integers(1, 40), min_size=1, max_size=4)),
        "waiting": draw(st.sampled_from([0, 0, 1, 7])),
        "dead": draw(st.sampled_from([0.0, 0.0, 0.0, 0.2, 0.9])),
        "updated": draw(st.sampled_from([0, 3])),
        "unusable": draw(st.sampled_from([0.0, 0.3])),
        "bare": draw(st.booleans()),
    }


def drawn_view(rng, *, dim, gamma, arrangement, weights, sizes, waiting, dead, updated, unusable, bare):
    """A space of several segments, the last perhaps without sketches, with deleted and updated learnwares."""
    total = sum(sizes) + waiting
    points, betas = drawn_embeddings(rng, total, dim, gamma, arrangement, weights)
    ids = rng.permutation(2 * total)[:total]
    parts, start, buried = [], 0, {}
    for i, size in enumerate(sizes):
        here = np.sort(ids[start : start + size])
        parts.append((points[start : start + size], betas[start : start + size], here))
        gone = here[rng.random(size) < dead]
        if len(gone):
            buried[f"s{i}"] = gone
        start += size
    late = points[start:], betas[start:], np.sort(ids[start:])
    if updated:  # copies of the first segment count no more, others wait
        old = np.setdiff1d(parts[0][2], buried.get("s0", []))[:updated]
        if len(old):
            buried["s0"] = np.union1d(buried.get("s0", []), old)
            more = drawn_embeddings(rng, len(old), dim, gamma, arrangement, weights)
            order = np.argsort(np.concatenate([late[2], old]))
            late = [*late[0], *more[0]], [*late[1], *more[1]], np.concatenate([late[2], old])
            late = [late[0][i] for i in order], [late[1][i] for i in order], late[2][order]
    view = sketched_view(
        parts, gamma, sketched=max(1, len(sizes) - bare), waiting=late if len(late[2]) else None, dead=buried,
        unusable=[id for id in ids if rng.random() < unusable], seed=int(rng.integers(1000)),
    )  # fmt: skip
    return view, points, betas


def drawn_users(rng, points, betas, gamma):
    """Of the dock's own, as stored; near one; anything."""
    dim = points[0].shape[1]
    scale = 1 / np.sqrt(gamma * dim)
    at = int(rng.integers(len(points)))
    size = int(rng.integers(1, 5))
    return [
        user(np.float32(points[at]), np.float32(betas[at]), gamma),
        user(points[at] + 0.05 * scale * rng.normal(size=points[at].shape), betas[at], gamma),
        user(scale * rng.normal(size=(size, dim)), rng.dirichlet(np.ones(size)), gamma),
    ]


questions = given(
    seed=st.integers(0, 2**32 - 1),
    space=spaces(),
    k=st.sampled_from([1, 3, 10, 200]),
    rule=st.sampled_from(["distance", "greedy", "auto"]),
    mixture=st.sampled_from([0, 2, 4]),
    any_status=st.booleans(),
    filtered=st.sampled_from([None, None, 0.05, 0.5]),
    threads=st.sampled_from([1, 2]),
    scans=st.sampled_from([False, False, True]),
)


@settings(max_examples=150)
@questions
def test_certified_is_exact_and_what_approximate_proves_is_true(**question):
    assert_answers_are_true(**question)


@pytest.mark.slow
@settings(max_examples=3000)
@questions
def test_certified_is_exact_in_thousands_of_spaces(**question):
    assert_answers_are_true(**question)


def assert_answers_are_true(*, seed, space, k, rule, mixture, any_status, filtered, threads, scans):
    rng = np.random.default_rng(seed)
    gamma = space["gamma"]
    with small_numbers(scans=scans):
        view, points, betas = drawn_view(rng, **space)
        users = drawn_users(rng, points, betas, gamma)
        allowed = None if filtered is None else np.unique(view.ids[rng.random(len(view.ids)) < filtered])
        asked = {
            "k": k,
            "rule": rule,
            "mixture": mixture,
            "any_status": any_status,
            "allowed": allowed,
            "threads": threads,
        }
        exact = searched(view, users, "exact", **asked)
        found = searched(view, users, "certified", **asked)
        assert_certified_is_exact(found, exact)
        event(f"method {found[0].method}")
        budget = int(rng.integers(1, 30))
        assert_approximate_is_true(searched(view, users, "approximate", budget=budget, **asked), exact)


def family_view(rng, *, count=300, dim=3, gamma=0.3, sketched=2, cut=200, **more):
    """Two segments in three families, and their embeddings."""
    points, betas = drawn_embeddings(rng, count, dim, gamma, "families", "simplex")
    ids = np.arange(count)
    parts = [(points[here], betas[here], ids[here]) for here in (slice(0, cut), slice(cut, count))]
    return sketched_view(parts, gamma, sketched=sketched, **more), points, betas


def test_the_nearest_are_those_of_distances_written_out_and_few_are_computed():
    rng = np.random.default_rng(0)
    with small_numbers():
        view, points, betas = family_view(rng, count=2000, cut=1500)
        for one in drawn_users(rng, points, betas, 0.3):
            (found,) = searched(view, [one], "certified", k=10)
            expected = distances_to(one, points, betas)
            assert [int(hit.id) for hit in found.singles] == np.lexsort((np.arange(2000), expected))[:10].tolist()
            assert np.allclose([hit.mmd2 for hit in found.singles], np.sort(expected)[:10], atol=1e-13, rtol=0)
            assert found.method == "certified"
            assert found.work["bounds"] == 2000
            assert found.work["unsketched"] == 0
            assert found.work["evaluated"] < 1000


@pytest.mark.parametrize("rule", ["distance", "greedy", "auto", "greedy_dock"])
def test_many_users_get_what_each_gets_alone(rule):
    rng = np.random.default_rng(1)
    with small_numbers():
        view, points, betas = family_view(rng)
        users = [one for _ in range(5) for one in drawn_users(rng, points, betas, 0.3)]
        exact = searched(view, users, "exact", rule=rule)
        for threads in (1, 3):
            found = searched(view, users, "certified", rule=rule, threads=threads)
            assert_certified_is_exact(found, exact)
            assert {one.method for one in found} == {"exact" if rule == "greedy_dock" else "certified"}
        for one, result in zip(users, exact, strict=True):
            assert_certified_is_exact(searched(view, [one], "certified", rule=rule), [result])


def test_users_whose_bounds_are_weak_are_scanned_beside_those_whose_are_not(monkeypatch):
    """A far user is as far from all: nothing can be left out for them."""
    rng = np.random.default_rng(2)
    with small_numbers(scans=True):
        view, points, betas = family_view(rng)
        far = [user(100 + rng.normal(size=(2, 3)), [0.5, 0.5], 0.3) for _ in range(2)]
        near = drawn_users(rng, points, betas, 0.3)[:2]
        users = [far[0], near[0], far[1], near[1]]
        found = searched(view, users, "certified")
        assert [one.method for one in found] == ["exact", "certified", "exact", "certified"]
        assert_certified_is_exact(found, searched(view, users, "exact"))
        assert all(hit.score is not None for hit in found[0].singles)


def test_a_space_whose_bounds_are_weak_is_scanned_and_says_so():
    """At a large gamma all points are strangers, and so are all embeddings: no sketch of them proves anything."""
    rng = np.random.default_rng(3)
    points = rng.normal(size=(200, 4, 10))
    with small_numbers(scans=True):
        view = sketched_view([(points, np.full((200, 4), 0.25), np.arange(200))], 10.0, sketched=1)
        assert view.model.facts.noise_share > 0.99
        assert not view.model.facts.pays
        users = [user(rng.normal(size=(3, 10)), np.full(3, 1 / 3), 10.0)]
        (found,) = searched(view, users, "certified")
        assert found.method == "exact"
        assert "bounds" not in found.work
        assert_certified_is_exact([found], searched(view, users, "exact"))
        (approximate,) = searched(view, users, "approximate", k=3, mixture=0, budget=5)
        assert approximate.method == "approximate"
        assert not approximate.certified
        assert approximate.work["evaluated"] == 5
        assert_approximate_is_true([approximate], searched(view, users, "exact", k=3, mixture=0))


@pytest.mark.parametrize("left", [0, 1, 3])
@pytest.mark.parametrize("how", ["deleted", "not usable", "filtered"])
def test_where_little_is_left_all_of_it_is_found(left, how):
    rng = np.random.default_rng(4)
    gone = np.arange(left, 40)
    more = {"dead": {"s0": gone[gone < 30], "s1": gone[gone >= 30]}} if how == "deleted" else {}
    more = {"unusable": gone} if how == "not usable" else more
    with small_numbers():
        view, points, betas = family_view(rng, count=40, cut=30, **more)
        users = drawn_users(rng, points, betas, 0.3)
        asked = {"k": 10, "allowed": np.arange(left) if how == "filtered" else None}
        exact = searched(view, users, "exact", **asked)
        assert_certified_is_exact(searched(view, users, "certified", **asked), exact)
        for method in ("certified", "approximate"):
            found = searched(view, users, method, **asked)
            assert [answer(one) for one in found] == [answer(one) for one in exact]
            assert all(one.certified for one in found)
            assert {len(one.singles) for one in found} == {left}
            assert all(sorted(int(hit.id) for hit in one.singles) == list(range(left)) for one in found)


def test_ties_go_to_the_lower_id_wherever_they_lie():
    rng = np.random.default_rng(5)
    z = rng.normal(size=(1, 4, 3))
    others = rng.normal(size=(30, 4, 3))
    shares = np.full(4, 0.25)
    ids = rng.permutation(60)
    parts = []
    for i in range(3):
        here = np.sort(ids[20 * i : 20 * (i + 1)])
        parts.append((np.concatenate([np.repeat(z, 10, axis=0), others[10 * i : 10 * (i + 1)]]), [shares] * 20, here))
    tied = np.sort(np.concatenate([here[:10] for _, _, here in parts]))
    with small_numbers():
        view = sketched_view(parts, 0.3, sketched=2)
        for one in (user(np.float32(z[0]), shares, 0.3), user(z[0] + 0.1, shares, 0.3)):
            (found,) = searched(view, [one], "certified", k=25)
            assert [int(hit.id) for hit in found.singles] == tied[:25].tolist()
            assert_certified_is_exact([found], searched(view, [one], "exact", k=25))


def test_of_what_rounding_puts_below_zero_nothing_is_proven_without_a_look_at_its_twins():
    """A distance of 0 may come out as -1e-17, below any bound, and that of a twin, too."""
    rng = np.random.default_rng(6)
    beta, below = np.full(4, 0.25), 0.0
    while below >= 0:
        z = rng.normal(size=(4, 3))
        one = user(np.float64(np.float32(z[::-1])), beta, 0.3)  # the same terms, added up in another order
        # The one that is looked at first has the larger id.
        parts = [([z] * 20, [beta] * 20, np.arange(100, 120)), ([z] * 20, [beta] * 20, np.arange(20))]
        with small_numbers():
            view = sketched_view(parts, 0.3, sketched=2)
            (exact,) = searched(view, [one], "exact", k=1, mixture=0)
            (found,) = searched(view, [one], "approximate", k=1, mixture=0, budget=1)
        below = exact.singles[0].mmd2
    assert found.singles[0].mmd2 == below
    assert found.singles[0].id != exact.singles[0].id
    assert found.proven_ranks == 0
    assert not found.certified


def test_a_budget_proves_more_the_larger_it_is_and_the_gap_closes():
    rng = np.random.default_rng(7)
    with small_numbers():
        view, points, betas = family_view(rng)
        users = drawn_users(rng, points, betas, 0.3)
        exact = searched(view, users, "exact", k=10, mixture=0)
        ranks, gaps = [], []
        for budget in (10, 30, 100, 300):
            found = searched(view, users, "approximate", k=10, mixture=0, budget=budget)
            assert_approximate_is_true(found, exact)
            assert {one.method for one in found} == {"approximate"}
            assert all(one.work["evaluated"] <= budget for one in found)
            ranks.append([one.proven_ranks for one in found])
            gaps.append([one.gap for one in found])
        assert (np.diff(ranks, axis=0) >= 0).all()
        assert (np.diff(gaps, axis=0) <= 0).all()
        assert ranks[-1] == [10, 10, 10]
        assert gaps[-1] == [0, 0, 0]
        assert all(one.certified for one in found)


@pytest.mark.parametrize("mixture", [0, 4])
def test_a_budget_is_at_least_what_is_returned(mixture):
    rng = np.random.default_rng(8)
    with small_numbers():
        view, points, betas = family_view(rng)
        users = drawn_users(rng, points, betas, 0.3)
        found = searched(view, users, "approximate", k=7, mixture=mixture, budget=1, rule="greedy")
        assert {len(one.singles) for one in found} == {7}
        assert_approximate_is_true(found, searched(view, users, "exact", k=7, mixture=mixture, rule="greedy"))


def test_what_has_no_sketch_is_computed_and_counted():
    rng = np.random.default_rng(9)
    with small_numbers():
        view, points, betas = family_view(rng, sketched=1)
        assert view.sketched == 200
        users = drawn_users(rng, points, betas, 0.3)
        found = searched(view, users, "certified")
        assert_certified_is_exact(found, searched(view, users, "exact"))
        for one in found:
            assert one.work["unsketched"] == 100
            assert one.work["evaluated"] >= 100
            assert one.work["bounds"] == 200


@pytest.mark.parametrize("block", [1, 1000])
@pytest.mark.parametrize("many", [0, 10**6])
def test_the_answer_does_not_depend_on_how_much_is_computed_at_once(monkeypatch, block, many):
    rng = np.random.default_rng(10)
    with small_numbers():
        view, points, betas = family_view(rng)
        users = drawn_users(rng, points, betas, 0.3)
        expected = [answer(one) for one in searched(view, users, "certified", k=10)]
        monkeypatch.setattr(certified, "_BLOCK", block)
        monkeypatch.setattr(certified, "_MANY", many)
        assert [answer(one) for one in searched(view, users, "certified", k=10)] == expected
        monkeypatch.setattr(certified, "_PROMISING", 1)
        monkeypatch.setattr(certified, "_FIRST", 0)
        assert [answer(one) for one in searched(view, users, "certified", k=10)] == expected


@pytest.mark.parametrize("k", [13, 30, 100])
def test_more_may_be_wanted_than_is_looked_at_otherwise(k):
    """With less than k computed there is no threshold, and nothing could be left out."""
    rng = np.random.default_rng(11)
    with small_numbers(scans=True):
        view, points, betas = family_view(rng, count=2000, cut=1500, gamma=0.05)
        users = drawn_users(rng, points, betas, 0.05)[:2]
        found = searched(view, users, "certified", k=k, mixture=0)
        assert k > certified._PROMISING
        assert {one.method for one in found} == {"certified"}
        assert_certified_is_exact(found, searched(view, users, "exact", k=k, mixture=0))
