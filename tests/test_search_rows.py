"""Search with rows themselves, and tests against the rows that learnwares ship."""

import json
import logging
import zipfile

import numpy as np
import pandas as pd
import pytest

import learndock as ld
from filled_docks import MODEL, YAML, checks, described, dock  # noqa: F401
from learndock.dock.two_sample import p_value, sampled
from learndock.errors import ArchiveRejected, InvalidArgument, LearnwareError
from learndock.learnware.held_out import held_out_in_zip
from spec_batches import distances_to, inner, made_specs


def drawn(seed, *, shift=0.0, rows=300):
    return np.random.default_rng(seed).normal(loc=[shift, 0, 0], size=(rows, 3))


def zip_with(path, specification, held_out=None, *, folder="", name="held_out.npy", note=""):
    """A learnware that ships rows, or whatever bytes stand for them."""
    files = {"__init__.py": MODEL, "learnware.yaml": YAML, "note.txt": note}
    files["semantic_specification.json"] = json.dumps(described().to_dict())
    if held_out is not None:
        files["learnware.yaml"] += f"held_out: {{file_name: {name}}}\n"
    specification.save(path.with_suffix(".json"))
    files["stat.json"] = path.with_suffix(".json").read_text()
    with zipfile.ZipFile(path, "w") as archive:
        for file, content in files.items():
            archive.writestr(folder + file, content)
        if held_out is not None:
            np.save(path.with_suffix(".npy"), held_out)
            archive.write(path.with_suffix(".npy"), folder + name)
    return path


@pytest.fixture
def submit(dock, checks, tmp_path):  # noqa: F811
    def submitted(specification, held_out=None, **options):
        note = f"{len(dock)}"
        return dock.submit(zip_with(tmp_path / f"{note}.zip", specification, held_out, note=note, **options)).id

    return submitted


# The search


@pytest.mark.parametrize("rule", ["distance", "greedy", "auto", "greedy_dock"])
def test_rows_ask_as_a_specification_that_is_the_rows(dock, rule):  # noqa: F811
    points, weights = made_specs(60, 3)
    dock.ingest(points=points, weights=weights, gamma=0.2)
    rows = drawn(0, rows=83)
    whole = ld.RKMETableSpecification(rows, np.full(83, 1 / 83), gamma=0.2, num_points=83, fit_mmd2=0.0)
    found = dock.search_rows(rows, gamma=0.2, k=7, rule=rule)
    expected = dock.search(whole, k=7, rule=rule)
    assert found.singles == expected.singles
    assert found.mixture == expected.mixture
    assert (found.certified, found.method, found.compared) == (True, expected.method, 60)
    order = np.argsort(distances_to(whole, points, weights))[:7]
    assert [int(hit.id) for hit in found.singles] == order.tolist()
    assert [hit.mmd2 for hit in found.singles] == pytest.approx(distances_to(whole, points, weights)[order], abs=1e-12)


def test_options_are_those_of_search(dock, submit):  # noqa: F811
    submit(ld.RKMETableSpecification.fit(drawn(1), random_state=0))
    rows = drawn(2)
    assert dock.search_rows(rows, mixture=0).mixture is None
    assert dock.search_rows(rows, semantic=ld.SemanticQuery(task="Regression")).singles == ()
    assert dock.search_rows(rows, gamma=0.3).skipped == 1
    assert dock.search_rows(rows, status="any", threads=2, method="exact").compared == 1
    with pytest.raises(InvalidArgument, match="max_memory"):
        dock.search_rows(rows, max_memory=1)
    with pytest.raises(InvalidArgument, match="k: expected"):
        dock.search_rows(rows, k=0)


def test_tables_are_those_of_fit(dock):  # noqa: F811
    points, weights = made_specs(20, 3)
    dock.ingest(points=points, weights=weights, gamma=0.1)
    table = drawn(3, rows=40)
    table[5, 1] = np.nan
    filled = np.where(np.isnan(table), np.nanmean(table, axis=0), table)
    expected = dock.search_rows(filled).singles
    assert dock.search_rows(table).singles == expected
    assert dock.search_rows(pd.DataFrame(table, columns=["a", "b", "c"])).singles == expected
    assert np.isnan(table[5, 1])
    with pytest.raises(InvalidArgument, match="X: expected 2 dimensions"):
        dock.search_rows(table[0])


def test_thousands_of_rows_are_searched_as_few_are(dock):  # noqa: F811
    points, weights = made_specs(30, 3)
    dock.ingest(points=points, weights=weights, gamma=0.1)
    rows = drawn(4, rows=3000)
    found = dock.search_rows(rows, k=30)
    even = np.full(3000, 1 / 3000)
    norms = (rows**2).sum(axis=1)
    own = even @ np.exp(-0.1 * (norms[:, None] + norms - 2 * rows @ rows.T)) @ even
    docked = [(np.float32(z), np.float32(beta)) for z, beta in zip(points, weights, strict=True)]
    expected = [own - 2 * inner(rows, even, z, beta, 0.1) + inner(z, beta, z, beta, 0.1) for z, beta in docked]
    assert [hit.mmd2 for hit in found.singles] == pytest.approx(sorted(expected), abs=1e-12)


def test_rows_are_searched_by_sketches_too(dock):  # noqa: F811
    points, weights = made_specs(5000, 3)
    ids = dock.ingest(points=points, weights=weights, gamma=0.1)
    dock.optimize()
    dock.delete(ids[::7])
    rows = drawn(5, rows=400)
    found, exact = dock.search_rows(rows), dock.search_rows(rows, method="exact")
    assert found.method == "certified"
    assert found.certified
    assert found.work["evaluated"] < 2500
    assert [(hit.id, hit.mmd2) for hit in found.singles] == [(hit.id, hit.mmd2) for hit in exact.singles]
    assert found.mixture == exact.mixture
    assert found.compared == exact.compared == len(dock)
    some = dock.search_rows(rows, method="approximate", budget=50)
    assert some.compared == len(dock)


def test_rows_have_no_reduction_to_allow_for(dock, submit):  # noqa: F811
    same = submit(ld.RKMETableSpecification.fit(drawn(1), random_state=0))
    other = submit(ld.RKMETableSpecification.fit(drawn(2, shift=4), random_state=0))
    hits = {hit.id: hit.fits for hit in dock.search_rows(drawn(3)).singles}
    assert hits == {same: True, other: False}


# P-values


def test_a_learnware_that_ships_rows_is_tested(dock, submit):  # noqa: F811
    fitted = [ld.RKMETableSpecification.fit(drawn(seed, shift=seed / 2), random_state=0) for seed in range(3)]
    same = submit(fitted[0], drawn(10, rows=150))
    shifted = submit(fitted[1], drawn(11, shift=0.5, rows=150).astype(np.float32))
    silent = submit(fitted[2])
    result = dock.search_rows(drawn(20))
    values = {hit.id: hit.p_value for hit in result.singles}
    assert values[silent] is None
    assert values[same] > 0.05
    assert values[shifted] == 0.001
    assert f"p {values[same]:.3g}" in repr(result)
    assert result.to_frame().set_index("id").loc[shifted, "p_value"] == 0.001
    assert dock.search_rows(drawn(20)).singles == result.singles
    assert dock.search_rows(drawn(20), permutations=19).singles != result.singles
    few = {hit.id: hit.p_value for hit in dock.search_rows(drawn(20), permutations=19, random_state=1).singles}
    assert few[shifted] == 0.05
    # A specification is no sample.
    spec = ld.RKMETableSpecification.fit(drawn(20), reduce=False)
    assert {hit.p_value for hit in dock.search(spec).singles} == {None}


@pytest.mark.parametrize("wrong", [0, -1, 2.5, True, "many"])
def test_permutations_are_a_positive_integer(dock, wrong):  # noqa: F811
    with pytest.raises(InvalidArgument, match="permutations: expected a positive integer"):
        dock.search_rows(drawn(0), permutations=wrong)


def test_a_zip_that_is_gone_or_changed_ends_no_search(dock, submit, caplog):  # noqa: F811
    fitted = ld.RKMETableSpecification.fit(drawn(0), random_state=0)
    gone, broken, good = (submit(fitted, drawn(1, rows=50)) for _ in range(3))
    dock.zip_path(gone).unlink()
    content = bytearray(dock.zip_path(broken).read_bytes())
    at = content.index(b"NUMPY") + 200
    content[at] ^= 0xFF
    dock.zip_path(broken).write_bytes(content)
    with caplog.at_level(logging.WARNING, logger="learndock"):
        values = {hit.id: hit.p_value for hit in dock.search_rows(drawn(2)).singles}
    assert values[gone] is None
    assert values[broken] is None
    assert values[good] > 0.01
    warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert sorted(text[:8] for text in warned) == sorted([gone, broken])


# Held-out rows in a zip


@pytest.mark.parametrize("folder", ["", "top/"])
@pytest.mark.parametrize("name", ["held_out.npy", "data/rows.npy"])
def test_rows_are_read_out_of_a_zip_as_from_its_folder(tmp_path, folder, name):
    rows = drawn(0, rows=20)
    specification = ld.RKMETableSpecification.fit(rows, n_points=5, random_state=0)
    path = zip_with(tmp_path / "a.zip", specification, rows, folder=folder, name=name)
    assert np.array_equal(held_out_in_zip(path, columns=3), rows)
    with ld.Learnware.open(path) as learnware:
        assert np.array_equal(learnware.held_out, rows)
    with pytest.raises(LearnwareError, match="expected 4 columns"):
        held_out_in_zip(path, columns=4)


def test_a_zip_without_rows_has_none(tmp_path):
    path = zip_with(tmp_path / "a.zip", ld.RKMETableSpecification.fit(drawn(0), random_state=0))
    assert held_out_in_zip(path, columns=3) is None
    with ld.Learnware.open(path) as learnware:
        assert learnware.held_out is None


@pytest.mark.parametrize("name", ["../rows.npy", "/rows.npy", "missing.npy", ""])
def test_a_name_that_leads_nowhere_is_refused(tmp_path, name):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("learnware.yaml", YAML + f"held_out: {{file_name: '{name}'}}\n")
    with pytest.raises(LearnwareError, match=r"held_out\.file_name"):
        held_out_in_zip(path, columns=3)


def test_a_zip_that_says_what_it_does_not_hold_is_refused(tmp_path):
    from hostile_files import HOSTILE

    for case in HOSTILE:
        if not case.name.startswith("held-out rows: "):
            continue
        case.write(tmp_path / "a.zip")
        with pytest.raises(case.error):
            held_out_in_zip(tmp_path / "a.zip", columns=2)
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("learnware.yaml", bytes(2**20))
    with pytest.raises(ArchiveRejected, match="at most 262144"):
        held_out_in_zip(bomb, columns=2)


@pytest.mark.filterwarnings("ignore::learndock.errors.ScaleWarning")
def test_tests_are_under_the_search_gamma(dock, submit):  # noqa: F811
    # Random divisions look alike where all rows are strangers to each other.
    shipped, rows = drawn(1, rows=60), drawn(2, shift=1.0, rows=50)
    submit(ld.RKMETableSpecification.fit(shipped, n_points=5, gamma=1e4, random_state=0), shipped)
    before = dock.search_rows(rows, gamma=1e4, permutations=99).singles[0].p_value
    dock.set_search_gamma(0.1, gamma=1e4, input_shape=3)
    generator = np.random.default_rng(0)
    expected = p_value(sampled(rows, generator), shipped, gamma=0.1, permutations=99, generator=generator)
    assert dock.search_rows(rows, gamma=1e4, permutations=99).singles[0].p_value == expected
    assert expected < 0.1 < before
