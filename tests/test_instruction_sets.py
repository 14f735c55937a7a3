"""Every variant of the kernels gives right results, and the newest that the machine has is the one that runs."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from learndock import kernels
from learndock.config import config

TESTS = Path(__file__).parent
BUILT = kernels.instruction_sets()["built"]

# What a variant needs, by the names in /proc/cpuinfo. The kernel lists a flag only where it saves the registers.
FLAGS = {
    "amx_twin": set(),
    "baseline": set(),
    "avx2": {"avx2", "fma"},
    "avx512": {"avx2", "fma", "avx512f", "avx512vl", "avx512dq", "avx512bw"},
    "avx512vnni": {"avx2", "fma", "avx512f", "avx512vl", "avx512dq", "avx512bw", "avx512_vnni"},
    "amx": {"avx2", "fma", "avx512f", "avx512vl", "avx512dq", "avx512bw", "avx512_vnni", "amx_tile", "amx_bf16"},
}


def run_forced(instruction_set, code):
    environment = {**os.environ, "LEARNDOCK_SIMD": instruction_set, "PYTHONPATH": str(TESTS)}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def skip_if_absent(instruction_set):
    if instruction_set not in kernels.instruction_sets()["available"]:
        pytest.skip(f"this processor has no {instruction_set}")


@pytest.mark.parametrize("instruction_set", BUILT)
def test_the_ladder_of_sums_holds_in_every_instruction_set(instruction_set):
    skip_if_absent(instruction_set)
    code = """
import kernel_ladder
from learndock import kernels
from learndock.config import config
kernel_ladder.climb()
kernel_ladder.climb_bounds()
print(kernels.instruction_sets()["active"], config()["instruction_set"])
"""
    done = run_forced(instruction_set, code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [instruction_set, instruction_set]


@pytest.mark.parametrize("instruction_set", BUILT)
def test_fits_and_herds_are_right_in_every_instruction_set(instruction_set):
    """What the sums' ladder does not reach: the moments behind a fit's gradient, herding, losses near rows."""
    skip_if_absent(instruction_set)
    code = """
import herding_ladder, local_losses_ladder
import numpy as np, reference
from learndock import kernels
rng = np.random.default_rng(0)
for dim in (3, 7, 16, 33):
    X = rng.normal(size=(150, dim))
    gamma = 0.5 / dim
    start = kernels.fit_reduced_set(X, n_points=17, gamma=gamma, random_state=0, max_evaluations=1)
    found = kernels.fit_reduced_set(X, n_points=17, gamma=gamma, random_state=0)
    value = reference.mmd2_to_data(found.points, found.weights, X, gamma)
    assert abs(found.mmd2 - value) < 1e-13, (dim, found.mmd2, value)
    assert value < 0.5 * start.mmd2, (dim, value, start.mmd2)
    many = X[np.arange(17000) % 150]  # float32, and a sample first
    shares = np.bincount(np.arange(17000) % 150) / 17000
    found = kernels.fit_reduced_set(many, n_points=17, gamma=gamma, random_state=0, max_evaluations=40)
    value = reference.mmd2((found.points, found.weights), (X, shares), gamma)
    assert abs(found.mmd2 - value) < 6 * found.mmd2_error + 1e-6, (dim, found, value)
    assert value < 0.5 * start.mmd2, (dim, value, start.mmd2)
herding_ladder.climb()
local_losses_ladder.climb()
"""
    done = run_forced(instruction_set, code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("instruction_set", BUILT)
def test_simplex_programmes_are_solved_in_every_instruction_set(instruction_set):
    """All sizes on and off the widths, and supports that shrink to every size below."""
    skip_if_absent(instruction_set)
    code = """
import numpy as np, reference
from learndock import kernels
rng = np.random.default_rng(0)
for n in [*range(1, 41), 63, 64, 65, 100, 129]:
    for rank in (n + 3, max(1, n // 3)):
        A = rng.normal(size=(n, rank))
        K = A @ A.T
        for concentration in (1.0, 0.2):
            exact = K @ rng.dirichlet(np.full(n, concentration))
            for c in (exact, exact + 0.01 * rng.normal(size=n)):
                weights, _ = kernels.simplex_qp(K, c)
                assert weights.min() >= 0 and abs(weights.sum() - 1) < 1e-14
                scale = np.abs(K).max() + np.abs(c).max()
                assert reference.simplex_residual(K, c, weights) <= 1e-9 * scale, (n, rank)
"""
    done = run_forced(instruction_set, code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["sse9", "AVX2", "avx", "0", " avx2"])
def test_forcing_an_unknown_instruction_set_says_what_there_is(name):
    done = run_forced(name, "from learndock import kernels; kernels.inner([[0.0]], [1.0], [[0.0]], [1.0], gamma=1.0)")
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert "LEARNDOCK_SIMD" in last
    assert name in last
    for available in kernels.instruction_sets()["available"]:
        assert available in last


def test_forcing_one_that_the_processor_lacks_is_the_same_error():
    absent = [name for name in FLAGS if name not in kernels.instruction_sets()["available"]]
    if not absent:
        pytest.skip("this processor has every instruction set of the build")
    done = run_forced(absent[0], "from learndock import kernels; kernels.instruction_sets()")
    assert done.returncode != 0
    assert absent[0] in done.stderr


def test_the_error_is_raised_in_threads_and_again_at_the_next_call():
    code = """
import numpy as np
from learndock import kernels
messages = []
for _ in range(2):
    try:
        kernels.embed(np.zeros((3, 2)), np.ones(3), np.zeros((5000, 2)), gamma=1.0, threads=4)
    except Exception as error:
        messages.append(str(error))
assert len(messages) == 2, messages
assert all("LEARNDOCK_SIMD" in message for message in messages), messages
"""
    done = run_forced("none", code)
    assert done.returncode == 0, done.stderr


def test_an_empty_variable_forces_nothing():
    done = run_forced("", "from learndock import kernels; print(kernels.instruction_sets()['active'])")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == kernels.instruction_sets()["available"][-1]


@pytest.mark.skipif(bool(os.environ.get("LEARNDOCK_SIMD")), reason="LEARNDOCK_SIMD forces one in this very run")
def test_the_active_one_is_the_newest():
    sets = kernels.instruction_sets()
    assert sets["active"] == sets["available"][-1] == config()["instruction_set"]
    assert set(sets["available"]) <= set(sets["built"])
    assert sets["available"][:2] == ["amx_twin", "baseline"]


@pytest.mark.skipif(platform.machine() != "x86_64", reason="flags of /proc/cpuinfo are for x86-64")
def test_the_available_ones_are_those_of_the_processors_flags():
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    flags = set(next(line for line in lines if line.startswith("flags")).partition(":")[2].split())
    assert list(FLAGS) == BUILT
    assert kernels.instruction_sets()["available"] == [name for name in FLAGS if FLAGS[name] <= flags]
