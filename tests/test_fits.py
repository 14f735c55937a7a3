"""Whether anything fits: the absolute answer beside the ranks."""

import itertools
import math

import numpy as np
import pytest

import learndock as ld
from filled_docks import add, checks, described, dock, spec, written_zip  # noqa: F401
from learndock.checker import Status
from learndock.dock.fits import LEVEL, Sample, fits, mmd2_threshold

DRAWN = 400


def drawn(seed, *, shift=0.0, rows=DRAWN):
    return np.random.default_rng(seed).normal(loc=[shift, 0, 0], size=(rows, 3))


def fitted(seed, **options):
    return ld.RKMETableSpecification.fit(drawn(seed, **options), n_points=20, gamma=0.1, random_state=seed)


@pytest.fixture
def submit(dock, checks, tmp_path):  # noqa: F811
    def submitted(specification, **changes):
        name = f"{len(dock)}"
        semantic = described(**changes)
        return dock.submit(written_zip(tmp_path / f"{name}.zip", specification, semantic, note=name)).id

    return submitted


# The threshold


def test_threshold_is_the_formula_worked_out():
    # c = 1/100 + 1/400 = 0.0125; the sample is as long as 0.5 - 0.1 or more: 1 - 0.16, times 100/99; log(10 / 0.05).
    user, docked = Sample(100, 0.01), Sample(400, 0.04)
    expected = 0.0125 * (math.sqrt(0.84 * 100 / 99) + math.sqrt(math.log(200))) ** 2
    assert mmd2_threshold(user, docked, norm2=0.25, compared=10) == pytest.approx(expected, rel=1e-14)
    allowed = 0.1 + 0.2 + math.sqrt(expected)
    norms = {"norm2": 0.25, "docked_norm2": 1.0}
    assert fits(allowed**2 * (1 - 1e-12), user, docked, **norms, compared=10) is True
    assert fits(allowed**2 * (1 + 1e-12), user, docked, **norms, compared=10) is False
    # Nothing is said of what any two embeddings of such lengths fulfil.
    least = allowed**2 - 0.25
    for docked_norm2, answer in ((least * (1 + 1e-12), True), (least * (1 - 1e-12), None), (0.0, None)):
        norms = {"norm2": 0.25, "docked_norm2": docked_norm2}
        assert fits(allowed**2 / 2, user, docked, **norms, compared=10) is answer
        # Only negative weights are so far away.
        assert fits(allowed**2 * 1.001, user, docked, **norms, compared=10) is False


def test_threshold_falls_with_rows_and_rises_with_what_is_compared():
    def of(n, m, compared=1, norm2=0.3):
        return mmd2_threshold(Sample(n, 0.0), Sample(m, 0.0), norm2=norm2, compared=compared)

    sizes = [1, 2, 3, 10, 100, 10**6, 2**53]
    assert all(of(n, 50) > of(m, 50) for n, m in itertools.pairwise(sizes))
    assert all(of(50, n) > of(50, m) for n, m in itertools.pairwise(sizes))
    assert of(50, 50, 1) < of(50, 50, 2) < of(50, 50, 10**9)
    assert of(50, 50, norm2=0.9) < of(50, 50, norm2=0.1) <= of(50, 50, norm2=0.0)


def test_threshold_of_one_row_or_of_strange_norms_is_a_number():
    for rows in (1, 2, 2**53):
        for norm2 in (-1e-17, 0.0, 1e-300, 1.0, 25.0):
            value = mmd2_threshold(Sample(rows, 0.0), Sample(1, 1e10), norm2=norm2, compared=10**9)
            assert 0 < value < 100
    assert mmd2_threshold(Sample(1, 0), Sample(1, 0), norm2=1, compared=1) == pytest.approx(
        2 * (1 + math.sqrt(math.log(1 / LEVEL))) ** 2
    )


def test_a_distance_below_0_by_rounding_is_none():
    sample = Sample(10**9, 0.0)
    assert fits(-1e-16, sample, sample, norm2=0.5, docked_norm2=0.5, compared=1) is True


def test_samples_of_one_distribution_stay_below_the_threshold():
    # Two places of equal probability, the kernel value between them exp(-81): as much spread as there is.
    rng = np.random.default_rng(0)
    beyond = 0
    for _ in range(2000):
        n, m = rng.integers(2, 60, size=2)
        x, y = (rng.integers(0, 2, size=(size, 1)) * 9.0 for size in (n, m))
        a, b = np.mean(x == 0), np.mean(y == 0)
        norm2 = a**2 + (1 - a) ** 2
        beyond += 2 * (a - b) ** 2 > mmd2_threshold(Sample(n, 0), Sample(m, 0), norm2=norm2, compared=1)
    assert beyond <= LEVEL * 2000


# In a search


def test_the_same_data_fits_and_other_data_does_not(dock, submit):  # noqa: F811
    same, other = submit(fitted(1)), submit(fitted(2, shift=4.0))
    hits = {hit.id: hit for hit in dock.search(fitted(3)).singles}
    assert hits[same].fits is True
    assert hits[other].fits is False
    assert hits[same].p_value is None
    # The best of nothing is told from a true match, though its score is the best there is.
    alone = dock.search(fitted(4, shift=-6.0))
    assert alone.singles[0].score == max(hit.score for hit in alone.singles)
    assert [hit.fits for hit in alone.singles] == [False, False]


def test_answers_are_those_of_the_formula(dock, submit):  # noqa: F811
    docked = [fitted(seed, shift=seed / 8, rows=100 + 40 * seed) for seed in range(12)]
    ids = [submit(specification) for specification in docked]
    user = fitted(50, rows=300)
    result = dock.search(user)
    assert result.compared == 12
    assert len({hit.fits for hit in result.singles}) == 2
    for hit in result.singles:
        specification = docked[ids.index(hit.id)]
        sample = Sample(specification.num_points, specification.fit_mmd2)
        norms = {"norm2": user.inner(user), "docked_norm2": specification.inner(specification)}
        assert hit.fits is fits(hit.mmd2, Sample(300, user.fit_mmd2), sample, **norms, compared=12)


@pytest.mark.filterwarnings("ignore::learndock.errors.ScaleWarning")
def test_nothing_is_said_where_whatever_is_docked_would_fit(dock, submit):  # noqa: F811
    """Where gamma makes rows strangers to each other, those of other data are no stranger."""

    def wide(seed, *, shift=0.0, gamma):
        data = 30 * drawn(seed, shift=shift, rows=200)
        return ld.RKMETableSpecification.fit(data, n_points=20, gamma=gamma, random_state=seed)

    user, docked = wide(3, gamma=0.1), [wide(1, gamma=0.1), wide(2, shift=9.0, gamma=0.1)]
    same, other = (submit(specification) for specification in docked)
    for changed in (lambda: None, dock.optimize):
        changed()
        hits = {hit.id: hit for hit in dock.search(user).singles}
        # As far away as embeddings of these lengths can be; and yet it would have passed.
        assert hits[other].mmd2 == pytest.approx(user.inner(user) + docked[1].inner(docked[1]))
        assert [hits[id].fits for id in (same, other)] == [None, None]
    # At a gamma under which rows know each other the same data is told from other data.
    same, other = submit(wide(1, gamma=1e-4)), submit(wide(2, shift=9.0, gamma=1e-4))
    hits = {hit.id: hit.fits for hit in dock.search(wide(3, gamma=1e-4)).singles}
    assert (hits[same], hits[other]) == (True, False)


def test_only_what_filter_and_status_let_through_is_counted(dock, submit, checks):  # noqa: F811
    submit(fitted(1), task="Classification")
    submit(fitted(2), task="Regression")
    checks.status = Status.NONUSABLE
    submit(fitted(3), task="Regression")
    user = fitted(4)
    assert dock.search(user).compared == 2
    assert dock.search(user, status="any").compared == 3
    query = ld.SemanticQuery(task="Regression")
    assert dock.search(user, semantic=query, k=1).compared == 1
    assert dock.search(fitted(5), semantic=ld.SemanticQuery(name="nowhere to be found")).compared == 0


@pytest.mark.parametrize("known", [{}, {"num_points": 100}, {"fit_mmd2": 1e-5}], ids=["nothing", "rows", "mmd2"])
def test_nothing_is_said_where_either_side_does_not_say_what_it_is_made_of(dock, submit, known):  # noqa: F811
    whole = fitted(1)
    some = ld.RKMETableSpecification(whole.points, whole.weights, gamma=0.1, **known)
    id = submit(some)
    assert dock.specification(id).num_points == known.get("num_points")
    assert [hit.fits for hit in dock.search(whole).singles] == [None]
    submit(whole)
    assert [hit.fits for hit in dock.search(some).singles] == [None, None]


def test_nothing_is_said_of_ingested_specifications(dock):  # noqa: F811
    whole = fitted(1)
    dock.ingest(points=[whole.points], weights=[whole.weights], gamma=0.1)
    assert dock.search(whole).singles[0].fits is None


def test_users_of_a_batch_get_answers_of_their_own(dock, submit):  # noqa: F811
    submit(fitted(1))
    near, unknown, far = fitted(2), spec(0), fitted(3, shift=5.0)
    batch = dock.search_many([near, unknown, far])
    assert [result.singles[0].fits for result in batch] == [True, None, False]


def test_answers_survive_folding_into_segments(dock, submit):  # noqa: F811
    id = submit(fitted(1))
    dock.optimize()
    assert dock.specification(id).fit_mmd2 == fitted(1).fit_mmd2
    assert dock.search(fitted(2)).singles[0].fits is True


def test_a_learnware_that_changed_during_the_search_is_not_judged_by_its_new_data(
    dock,  # noqa: F811
    submit,
    tmp_path,
    monkeypatch,
):
    from learndock.dock import searches

    changed, stays = submit(fitted(1)), submit(fitted(2))
    search = searches.search_space

    def interrupted(*arguments, **options):
        found = search(*arguments, **options)
        # Of the same data by its own word, but another one.
        dock.update(changed, path=written_zip(tmp_path / "new.zip", fitted(3), described(), note="new"))
        return found

    monkeypatch.setattr(searches, "search_space", interrupted)
    hits = {hit.id: hit for hit in dock.search(fitted(4)).singles}
    assert hits[changed].fits is None
    assert hits[stays].fits is True
    monkeypatch.undo()
    assert all(hit.fits is True for hit in dock.search(fitted(4)).singles)


def test_a_learnware_deleted_during_the_search_is_not_judged(dock, submit, monkeypatch):  # noqa: F811
    from learndock.dock import searches

    id = submit(fitted(1))
    search = searches.search_space

    def interrupted(*arguments, **options):
        found = search(*arguments, **options)
        dock.delete(id)
        return found

    monkeypatch.setattr(searches, "search_space", interrupted)
    assert [hit.fits for hit in dock.search(fitted(4)).singles] == [None]


def test_answers_are_shown_where_they_are_known(dock, submit):  # noqa: F811
    submit(fitted(1))
    submit(fitted(2, shift=4.0))
    submit(spec(3))
    result = dock.search(fitted(4))
    by_fit = {hit.fits: hit.id for hit in result.singles}
    lines = {line.split()[0]: line for line in repr(result).splitlines()[1:]}
    assert lines[by_fit[True]].endswith("  fits")
    assert lines[by_fit[False]].endswith("  does not fit")
    assert "fit" not in lines[by_fit[None]]
    html = result._repr_html_()
    assert "<td>fits</td>" in html
    assert "<td>does not fit</td>" in html
    table = result.to_frame().set_index("id")
    assert table.loc[by_fit[True], "fits"] is True
    assert table.loc[by_fit[False], "fits"] is False
    assert table.loc[by_fit[None], "fits"] is None
