"""How much memory calls say that they take, what they take, and the bound that they keep."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import learndock as ld
import reference
from learndock import kernels
from learndock.config import config
from learndock.errors import InvalidArgument
from learndock.memory import at_once

# Calls a kernel once with next to nothing, then measures what it has in memory at most beside what was there before.
_MEASURE = """
import gc, sys
import numpy as np
import learndock as ld
from learndock import kernels

def status(key):
    with open("/proc/self/status") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith(key))

def peak(call):
    gc.collect()
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the highest so far is what there is now
    before = status("VmRSS")
    call()
    return status("VmHWM") - before

random = np.random.default_rng(0)
def measured(work, small, large):
    work(*small)
    print(peak(lambda: work(*large)))
"""
_FIT = """
X = random.normal(size=({n}, {dim}))
options = dict(n_points=5, gamma=0.1, max_evaluations=2, threads=2)
measured(lambda rows: kernels.fit_reduced_set(rows, **options), (X[:50],), (X,))
"""
_HERD = """
X, mean = random.normal(size=(150_000, 32)), random.uniform(size=150_000)
measured(lambda x, mu: kernels.herd(x, mu, n=2, gamma=0.1, threads=2), (X[:50], mean[:50]), (X, mean))
"""
_MMD2 = """
packed, one = (kernels.pack(np.zeros((count, 1, 1)), np.ones((count, 1))) for count in (100_000, 1))
queries = [(np.zeros((1, 1)), np.ones(1))] * 20
measured(lambda *a: kernels.mmd2(*a, gamma=1.0, threads=2, max_memory={bound}), (queries[:1], one), (queries, packed))
"""
_QP = """
K, c = np.ascontiguousarray(np.broadcast_to(np.eye(20), (10_000, 20, 20))), np.zeros((10_000, 20))
measured(lambda K, c: kernels.simplex_qp(K, c, threads=2), (K[:5], c[:5]), (K, c))
"""
_MIXTURE = """
gram, cross = np.ascontiguousarray(np.broadcast_to(np.eye(25), (50_000, 25, 25))), np.full((50_000, 25), 0.04)
measured(lambda g, c: kernels.mixture(g, c, np.ones(len(g)), threads=2), (gram[:5], cross[:5]), (gram, cross))
"""
_SEARCH = """
import tempfile
with tempfile.TemporaryDirectory() as folder, ld.Dock(folder + "/dock") as dock:
    dock.ingest(points=np.zeros((200_000, 1, 1)), weights=np.ones((200_000, 1)), gamma=1.0)
    dock.optimize()
    user = ld.RKMETableSpecification([[0.0]], [1.0], gamma=1.0)
    search = lambda *specs: dock.search_many(specs, k=5, mixture=0, threads=2)
    measured(search, (user,), (user,) * {users})
"""
_INGEST = """
import tempfile
points, weights = np.zeros((9_000, 200, 8), dtype=np.float32), np.ones((9_000, 200), dtype=np.float32)
with tempfile.TemporaryDirectory() as folder, ld.Dock(folder + "/dock") as dock:
    ingest = lambda z, w: dock.ingest(points=z, weights=w, gamma=1.0)
    measured(ingest, (points[:50], weights[:50]), (points, weights))
"""
_INGEST_NEAR = """
import tempfile
from learndock.dock import writer
writer.SKETCHED_AT_ONCE = 10**9
points, weights = np.random.default_rng(0).normal(size=(60_000, 20, 8)), np.ones((60_000, 20))
with tempfile.TemporaryDirectory() as folder, ld.Dock(folder + "/dock") as dock:
    ingest = lambda z, w: dock.ingest(points=z, weights=w, gamma=1.0)
    measured(ingest, (points[:50], weights[:50]), (points, weights))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("code", "call", "sizes"),
    [
        (_FIT.format(n=150_000, dim=16), "fit", {"n": 150_000, "dim": 16, "n_points": 5}),
        (_FIT.format(n=15_000, dim=128), "fit", {"n": 15_000, "dim": 128, "n_points": 5}),
        (_HERD, "herd", {"n": 150_000, "dim": 32, "n_points": 2}),
        (_MMD2.format(bound=None), "mmd2", {"n": 100_000, "n_points": 1, "users": 20}),
        (_MMD2.format(bound=10**7), "mmd2", {"n": 100_000, "n_points": 1, "users": 20, "max_memory": 10**7}),
        (_QP, "simplex_qp", {"n": 10_000, "n_points": 20}),
        (_MIXTURE, "mixture", {"n": 25, "users": 50_000}),
        (_SEARCH.format(users=10), "search", {"n": 200_000, "n_points": 1, "users": 10}),
        (_INGEST, "ingest", {"n": 9_000, "dim": 8, "n_points": 200}),
        (_INGEST_NEAR, "ingest", {"n": 60_000, "dim": 8, "n_points": 20}),
    ],
    ids=[
        "fit, many rows",
        "fit, few rows",
        "herd",
        "mmd2",
        "mmd2, bounded",
        "simplex_qp",
        "mixture",
        "search",
        "ingest",
        "ingest, near ones together",
    ],
)
def test_what_a_call_takes_is_what_was_estimated_within_half_as_much_again(code, call, sizes):
    done = subprocess.run([sys.executable, "-c", _MEASURE + code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    estimate = ld.estimate(call, threads=2, **sizes)
    taken, expected = int(done.stdout), estimate.working + estimate.results
    assert expected / 1.5 <= taken <= 1.5 * expected, f"took {taken:,}, expected {expected:,}: {estimate}"


def test_estimates_grow_as_the_sizes_do():
    one = ld.estimate("search", n=1_000, dim=8, n_points=100)
    more = ld.estimate("search", n=1_000_000, dim=8, n_points=100)
    # A specification: points, weights, offset, self product, id.
    assert one.disk == 1_000 * (100 * 9 * 4 + 24)
    assert more.disk == 1_000 * one.disk
    assert more.working == 1_000 * one.working
    fit = ld.estimate("fit", n=100_000, dim=32, n_points=100)
    assert fit.inputs == 100_000 * 32 * 8
    assert fit.results == 100 * 33 * 8
    assert fit.memory == fit.inputs + fit.working + fit.results


def test_an_estimate_is_shown_in_units_that_people_read():
    shown = repr(ld.estimate("search", n=1_000_000, dim=32, n_points=100))
    assert shown.startswith("MemoryEstimate(inputs 26.4 kB, working ")
    assert "disk 13.2 GB" in shown
    assert repr(ld.MemoryEstimate(0, 999, 1_000, 999_600)) == (
        "MemoryEstimate(inputs 0 B, working 999 B, results 1 kB, disk 1 MB)"
    )


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"call": "train", "n": 5}, "call"),
        ({"call": ["fit"], "n": 5}, "call"),
        ({"call": "fit", "n": 0}, "n"),
        ({"call": "fit", "n": 5, "dim": -1}, "dim"),
        ({"call": "fit", "n": 5, "n_points": 1.5}, "n_points"),
        ({"call": "mmd2", "n": 5, "users": True}, "users"),
        ({"call": "mmd2", "n": 5, "max_memory": 0}, "max_memory"),
    ],
)
def test_an_estimate_refuses_what_it_cannot_be_made_of(arguments, named):
    with pytest.raises(InvalidArgument, match=f"^{named}: "):
        ld.estimate(**arguments)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("queries_at_a_time", [1, 2, 3, 7])
def test_mmd2_gives_the_same_in_blocks_of_any_size(precision, queries_at_a_time):
    random = np.random.default_rng(1)
    # The third lies far off: its float32 products are computed again.
    queries = [(random.normal(size=(4, 3)) + 1e4 * (i == 2), random.normal(size=4)) for i in range(7)]
    batch = [(random.normal(size=(5, 3)) + 1e4 * (i == 3), random.normal(size=5)) for i in range(6)]
    packed = kernels.pack([z for z, _ in batch], [w for _, w in batch], dtype=precision)
    whole = kernels.mmd2(queries, packed, gamma=0.5, precision=precision)
    each, fixed = 25 * len(batch), 16 * len(batch)
    bound = fixed + queries_at_a_time * each
    blocks = kernels.mmd2(queries, packed, gamma=0.5, precision=precision, max_memory=bound)
    assert blocks.tolist() == whole.tolist()
    stored = [(z.astype(precision), w.astype(precision)) for z, w in batch]
    expected = [[reference.mmd2(p, q, 0.5) for q in stored] for p in queries]
    np.testing.assert_allclose(whole, expected, rtol=0, atol=1e-4 if precision == "float32" else 1e-12)


def test_mmd2_refuses_a_bound_in_which_not_one_query_has_room():
    packed = kernels.pack(np.zeros((10, 1, 1)), np.ones((10, 1)))
    query = [(np.zeros((1, 1)), np.ones(1))]
    kernels.mmd2(query, packed, gamma=1.0, max_memory=410)
    with pytest.raises(InvalidArgument, match=r"max_memory: expected at least 410 .* got 409"):
        kernels.mmd2(query, packed, gamma=1.0, max_memory=409)
    with pytest.raises(InvalidArgument, match="max_memory"):
        kernels.mmd2(query, packed, gamma=1.0, max_memory=0)


@pytest.fixture
def default_max_memory():
    yield
    ld.set_max_memory(None)


def test_the_bound_is_the_argument_else_the_setting_else_a_gibibyte(default_max_memory):
    assert config()["max_memory"] == 2**30
    assert at_once(2**40, each=2, max_memory=None) == 2**29
    ld.set_max_memory(100)
    assert config()["max_memory"] == 100
    assert at_once(2**40, each=2, max_memory=None) == 50
    assert at_once(2**40, each=2, fixed=10, max_memory=None) == 45
    assert at_once(7, each=2, max_memory=200) == 7
    assert at_once(2**40, each=2, max_memory=200) == 100


@pytest.mark.parametrize("size", [0, -1, 1.5, "1 GB", True])
def test_set_max_memory_refuses_what_is_no_positive_integer(size, default_max_memory):
    with pytest.raises(InvalidArgument, match="size"):
        ld.set_max_memory(size)
