"""Files that somebody made to do harm: refused by an error of ours, quickly, in bounded memory, and nothing is left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import learndock as ld
from hostile_files import HARMLESS, HOSTILE, good_files, npz, plain, write_zip
from leaks import nothing_left
from learndock.errors import ArchiveRejected, LearndockError, LearnwareError, SpecificationFileError
from learndock.learnware import ArchiveLimits
from learndock.learnware.description import LearnwareDescription

# The slowest takes a second; a machine may be busy.
_SECONDS = 10.0
_MEMORY = 512 * 2**20


def named(case):
    return case.name.replace(" ", "_")


@pytest.mark.parametrize("case", HOSTILE, ids=named)
def test_a_hostile_file_is_refused_quickly_and_leaves_nothing(case, tmp_path):
    case.write(tmp_path / "a.zip")
    with nothing_left():
        start = time.perf_counter()
        with pytest.raises(case.error, match=case.says) as caught:
            ld.Learnware.open(tmp_path / "a.zip")
        assert time.perf_counter() - start < _SECONDS
    assert len(str(caught.value)) < 1500
    # What a terminal is shown does nothing to it.
    assert str(caught.value).replace("\n", "").isprintable()
    assert [item.name for item in tmp_path.iterdir()] == ["a.zip"]


@pytest.mark.parametrize("case", HARMLESS, ids=named)
def test_what_only_looks_hostile_is_opened_and_does_nothing(case, tmp_path):
    case.write(tmp_path / "a.zip")
    with nothing_left() as quarantine, ld.Learnware.open(tmp_path / "a.zip") as learnware:
        np.testing.assert_array_equal(learnware.predict(np.ones((3, 2))), [2, 2, 2])
        assert learnware.folder.is_relative_to(quarantine)
        for file in learnware.folder.rglob("*"):
            assert file.stat().st_mode & 0o7177 == 0 or file.is_dir()
    assert [item.name for item in tmp_path.iterdir()] == ["a.zip"]


# A sanitizer's own memory is beyond any limit.
@pytest.mark.skipif("asan" in os.environ.get("LD_PRELOAD", ""), reason="memory can't be limited under a sanitizer")
def test_no_hostile_file_takes_more_memory_than_the_limit_on_its_size_allows(tmp_path):
    opener = f"""
import resource, sys
from learndock import Learnware
from learndock.errors import LearndockError
import learndock.specification.semantic, learndock.specification.load, yaml, packaging.requirements
resource.setrlimit(resource.RLIMIT_DATA, ({_MEMORY}, {_MEMORY}))
for path in sys.stdin:
    try:
        Learnware.open(path.strip()).close()
        answer = "opened"
    except LearndockError as error:
        answer = "refused"
    except BaseException as error:
        answer = repr(error)
    print(answer, flush=True)
"""
    with subprocess.Popen(
        [sys.executable, "-c", opener], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as child:
        answers = {}
        for case in HOSTILE:
            case.write(tmp_path / "a.zip")
            child.stdin.write(f"{tmp_path / 'a.zip'}\n")
            answers[case.name] = child.stdout.readline().strip()
        child.stdin.close()
    assert {name: answer for name, answer in answers.items() if answer != "refused"} == {}
    assert child.returncode == 0


def test_every_attack_is_described_and_named_once():
    assert len({case.name for case in [*HOSTILE, *HARMLESS]}) == len(HOSTILE) + len(HARMLESS)
    assert all(case.stopped_by for case in [*HOSTILE, *HARMLESS])


@pytest.mark.parametrize(
    ("limits", "error", "says"),
    [
        ({"files": 3}, ArchiveRejected, "4 entries, at most 3"),
        ({"file_bytes": 100}, ArchiveRejected, "at most 100 are allowed"),
        ({"total_bytes": 500}, ArchiveRejected, "at most 500 are allowed"),
        ({"depth": 1}, ArchiveRejected, "too deep"),
        ({"specification_bytes": 50}, SpecificationFileError, "at most 50 bytes"),
        ({"semantic_bytes": 50}, SpecificationFileError, "larger than 50 bytes"),
        ({"description_bytes": 50}, LearnwareError, "larger than 50 bytes"),
    ],
    ids=str,
)
def test_limits_can_be_lowered(tmp_path, limits, error, says):
    files = good_files()
    if "depth" in limits:
        files["a/b"] = b""
    write_zip(tmp_path / "a.zip", files)
    with pytest.raises(error, match=says):
        ld.Learnware.open(tmp_path / "a.zip", archive_limits=ArchiveLimits(**limits))
    ld.Learnware.open(tmp_path / "a.zip").close()


@pytest.mark.parametrize(
    ("attack", "limits"),
    [
        ("10,001 entries", {"files": 20_000}),
        ("a bomb: 64 MiB of zeros", {"ratio": 2000}),
        ("folders 40 deep", {"depth": 41}),
    ],
)
def test_limits_can_be_raised(tmp_path, attack, limits):
    next(case for case in HOSTILE if case.name == attack).write(tmp_path / "a.zip")
    ld.Learnware.open(tmp_path / "a.zip", archive_limits=ArchiveLimits(**limits)).close()


@pytest.mark.parametrize(
    ("limit", "file", "content"),
    [
        ("specification_bytes", "stat.json", b" " * 65 * 2**20 + good_files()["stat.json"]),
        (
            "semantic_bytes",
            "semantic_specification.json",
            b" " * 17 * 2**20 + good_files()["semantic_specification.json"],
        ),
        ("description_bytes", "learnware.yaml", b"#" * 300_000 + good_files()["learnware.yaml"]),
    ],
)
def test_limits_on_what_is_read_can_be_raised(tmp_path, limit, file, content):
    write_zip(tmp_path / "a.zip", {**good_files(), file: content})
    with pytest.raises(LearndockError):
        ld.Learnware.open(tmp_path / "a.zip")
    ld.Learnware.open(tmp_path / "a.zip", archive_limits=ArchiveLimits(**{limit: len(content)})).close()


def test_a_specifications_module_is_never_imported(tmp_path):
    # The zip brings the module that its yaml names, and the class is one that we have.
    yaml = good_files()["learnware.yaml"].replace(b"learnware.specification", b"evil")
    write_zip(tmp_path / "a.zip", {**good_files(), "learnware.yaml": yaml, "evil.py": b"raise SystemExit(3)"})
    with ld.Learnware.open(tmp_path / "a.zip") as learnware:
        assert learnware.specification.num_points is None
        assert type(learnware.specification) is ld.RKMETableSpecification
    assert "evil" not in sys.modules


MUTATIONS = st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), min_size=1, max_size=4)
ARRAYS = npz({"z.npy": plain([[0.1, 0.2], [0.3, 0.4]]), "beta.npy": plain([0.5, 0.5]), "gamma.npy": plain(0.1)})


def mutated(content: bytes, mutations: list[tuple[int, int]], *, cut: int = 0) -> bytes:
    data = bytearray(content)
    for position, value in mutations:
        data[position % len(data)] = value
    return bytes(data[: len(data) - cut])


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mutations=MUTATIONS, cut=st.integers(0, 20), name=st.sampled_from(["stat.npz", "stat.json"]))
def test_a_damaged_specification_is_read_or_refused(tmp_path, mutations, cut, name):
    content = ARRAYS if name == "stat.npz" else good_files()["stat.json"]
    (tmp_path / name).write_bytes(mutated(content, mutations, cut=cut))
    message, specification = name, None
    try:
        specification = ld.load_spec(tmp_path / name)
    except SpecificationFileError as error:
        message = str(error)
    assert name in message
    assert specification is None or np.isfinite([*specification.points.flat, *specification.weights]).all()


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mutations=MUTATIONS)
def test_a_damaged_description_is_read_or_refused(tmp_path, mutations):
    for name, content in good_files().items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "learnware.yaml").write_bytes(mutated(good_files()["learnware.yaml"], mutations))
    message = ""
    try:
        LearnwareDescription.read(tmp_path)
    except LearnwareError as error:
        message = str(error)
    assert len(message) < 1500


@settings(max_examples=200)
@given(mutations=MUTATIONS)
def test_a_damaged_semantic_part_is_read_or_refused(mutations):
    content = mutated(json.dumps(json.loads(good_files()["semantic_specification.json"])).encode(), mutations)
    message = ""
    try:
        ld.SemanticSpecification.from_json(content)
    except LearndockError as error:
        message = str(error)
    assert len(message) < 5000
