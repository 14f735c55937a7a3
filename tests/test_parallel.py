"""Threads: fork, the global lock, Ctrl-C, how many there are, and many callers at once."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import reference
from leaks import wait_until
from learndock import kernels
from learndock.config import config, set_threads
from learndock.errors import InvalidArgument

TESTS = Path(__file__).parent


def run_python(code, *, seconds=60, **variables):
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**environment, "PYTHONPATH": str(TESTS), **variables},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


# --- fork ------------------------------------------------------------------------------------------------------------


def sums_of(seed, threads=4):
    """Work for every thread: four chunks of rows and more."""
    rng = np.random.default_rng(seed)
    return kernels.embed(
        rng.normal(size=(50, 6)), rng.random(50), rng.normal(size=(3000, 6)), gamma=0.1, threads=threads
    )


def _child(seed, queue):
    found = kernels.fit_reduced_set(np.random.default_rng(seed).normal(size=(200, 3)), n_points=9, random_state=0)
    queue.put((sums_of(seed).tobytes(), found.mmd2))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
def test_a_fork_after_parallel_calls_computes_in_the_child():
    expected = sums_of(1).tobytes()
    kernels.fit_reduced_set(np.random.default_rng(1).normal(size=(200, 3)), n_points=9, random_state=0)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    with warnings.catch_warnings():
        # Python warns of forks in processes with threads: that it works in spite of them is what is tested.
        warnings.simplefilter("ignore", DeprecationWarning)
        children = [context.Process(target=_child, args=(1, queue)) for _ in range(3)]
        for child in children:
            child.start()
    try:
        results = [queue.get(timeout=30) for _ in children]
    finally:
        for child in children:
            child.join(10)
            if child.is_alive():
                child.kill()
                child.join()
    assert all(child.exitcode == 0 for child in children)
    assert {sums for sums, _ in results} == {expected}
    assert sums_of(1).tobytes() == expected  # and the parent goes on


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
def test_a_fork_during_a_parallel_call_computes_in_the_child():
    """Another thread of the parent is inside a kernel when the child is made."""
    code = """
import os, threading, warnings
import numpy as np
from test_parallel import sums_of
warnings.simplefilter("ignore")
expected = sums_of(2).tobytes()
stop = threading.Event()
def busy():
    while not stop.is_set():
        sums_of(3)
thread = threading.Thread(target=busy)
thread.start()
for _ in range(10):
    child = os.fork()
    if child == 0:
        os._exit(0 if sums_of(2).tobytes() == expected else 1)
    _, status = os.waitpid(child, 0)
    assert status == 0, status
stop.set()
thread.join()
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr


def test_no_thread_outlives_its_call():
    tasks = Path("/proc/self/task")
    if not tasks.exists():
        pytest.skip("threads are counted in /proc")
    sums_of(0)
    before = len(list(tasks.iterdir()))
    for _ in range(20):
        sums_of(0, threads=7)
    assert len(list(tasks.iterdir())) <= before


# --- the global lock -------------------------------------------------------------------------------------------------


def long_calls():
    """Kernels that take some tenths of a second, by name."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(6000, 24))
    batch = kernels.pack(X.reshape(60, 100, 24), np.full((60, 100), 0.01))
    wide = [(X, np.full(6000, 1 / 6000))]
    # Of low rank with noise outside its range: the programme needs many rounds.
    blocks = np.stack([X[:1200] @ X[:1200].T] * 4)
    noisy = blocks.mean(axis=2) + rng.normal(size=(4, 1200))
    return {
        "embed": lambda: kernels.embed(X, np.ones(6000), X, gamma=0.01, threads=1),
        "mmd2": lambda: kernels.mmd2(wide * 4, batch, gamma=0.01, threads=1),
        "herd": lambda: kernels.herd(X, np.ones(6000), n=40_000, gamma=0.01, threads=1),
        "fit_reduced_set": lambda: kernels.fit_reduced_set(X, n_points=100, random_state=0, threads=1),
        "simplex_qp": lambda: kernels.simplex_qp(blocks, noisy, threads=1),
    }


@pytest.mark.parametrize("name", ["embed", "mmd2", "herd", "fit_reduced_set", "simplex_qp"])
def test_other_python_threads_run_during_a_kernel(name):
    """A thread that notes the time every millisecond must not see a gap as long as the call."""
    call = long_calls()[name]
    times, stop = [], threading.Event()

    def note():
        while not stop.is_set():
            times.append(time.perf_counter())
            time.sleep(0.001)

    thread = threading.Thread(target=note)
    thread.start()
    try:
        begin = time.perf_counter()
        call()
        end = time.perf_counter()
    finally:
        stop.set()
        thread.join()
    inside = [begin, *(at for at in times if begin < at < end), end]
    longest = np.diff(inside).max()
    assert len(inside) > 5
    assert longest < 0.5 * (end - begin), f"{name}: no progress for {longest:.3f} of {end - begin:.3f} s"


# --- Ctrl-C ----------------------------------------------------------------------------------------------------------

# Each takes minutes if nothing stops it: by large chunks of work, by many small ones, by many calls of the threads.
ENDLESS = {
    "a fit of many rows": (
        "kernels.fit_reduced_set(rng.normal(size=(200_000, 16)), n_points=200, max_evaluations=10**6)"
    ),
    "a fit of few rows": (
        "kernels.fit_reduced_set(rng.normal(size=(2000, 40)), n_points=300, gamma=0.01, max_evaluations=10**7)"
    ),
    "a fit of many points": (
        "kernels.fit_reduced_set(rng.normal(size=(4000, 8)), n_points=2500, gamma=0.3, max_evaluations=10**7)"
    ),
    "the mean kernel of many rows": "_core.mean_kernel(rng.normal(size=(200_000, 32)), 0.01, 2)",
    "herding": "kernels.herd(rng.normal(size=(20_000, 16)), np.ones(20_000), n=10**7, gamma=0.1)",
    "herding of few": "kernels.herd(rng.normal(size=(30, 2)), np.ones(30), n=10**9, gamma=0.1)",
    "many herdings": "kernels.herd_many([rng.normal(size=(2000, 16))] * 9, [np.ones(2000)] * 9, n=10**7, gamma=0.1)",
    "an embedding": "kernels.embed(X := rng.normal(size=(400_000, 32)), np.ones(400_000), X, gamma=0.1)",
    "distances": (
        "kernels.mmd2([(rng.normal(size=(1000, 16)), np.ones(1000))] * 100, "
        "kernels.pack(rng.normal(size=(4000, 100, 16)), np.ones((4000, 100))), gamma=0.1)"
    ),
}


@pytest.mark.parametrize("name", ENDLESS)
@pytest.mark.parametrize("threads", ["1", "2"])
def test_ctrl_c_stops_a_long_call(name, threads):
    """SIGINT, as from a terminal, gives KeyboardInterrupt within a second, and the next call works."""
    code = f"""
import sys, time
import numpy as np
from learndock import _core, kernels
rng = np.random.default_rng(0)
print("ready", flush=True)
try:
    {ENDLESS[name]}
except KeyboardInterrupt:
    assert kernels.inner([[0.0]], [1.0], [[0.0]], [1.0], gamma=1.0) == 1.0
    print("stopped", flush=True)
else:
    print("ended by itself", flush=True)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "OMP_NUM_THREADS": threads},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.6)  # the data are made, the kernel runs
        assert process.poll() is None
        begin = time.perf_counter()
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=6)
        seconds = time.perf_counter() - begin
    except subprocess.TimeoutExpired:
        pytest.fail(f"{name}: still running 6 s after SIGINT")
    finally:
        process.kill()
        process.communicate()
    assert output == "stopped\n", errors
    assert process.returncode == 0
    # A second for the kernel; half of one for a busy machine and the end of the process.
    assert seconds < 1.5


def test_a_signal_handler_that_does_not_raise_lets_the_call_finish():
    code = """
import os, signal, threading
import numpy as np
from learndock import kernels
seen = []
signal.signal(signal.SIGUSR1, lambda *_: seen.append(1))
X = np.random.default_rng(0).normal(size=(9000, 24))
timer = threading.Timer(0.15, os.kill, (os.getpid(), signal.SIGUSR1))
timer.start()
values = kernels.embed(X, np.ones(9000), X, gamma=0.01, threads=1)
timer.join()
assert len(values) == 9000 and np.isfinite(values).all()
assert values.tobytes() == kernels.embed(X, np.ones(9000), X, gamma=0.01, threads=2).tobytes()
assert seen == [1]
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr


def test_a_handlers_own_exception_comes_through():
    code = """
import os, signal, threading
import numpy as np
from learndock import kernels
class Enough(Exception):
    pass
def handler(*_):
    raise Enough("now")
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.3)
try:
    kernels.herd(np.zeros((20_000, 16)), np.ones(20_000), n=10**7, gamma=0.1)
except Enough as error:
    print("came", error)
"""
    done = run_python(code, seconds=20)
    assert done.stdout.strip() == "came now", done.stderr


# --- how many --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("variable", "expected"), [("1", 1), ("3", 3), ("7", 7), ("4,2", 4), (" 5", 5)])
def test_omp_num_threads_is_honoured(variable, expected):
    code = "from learndock.config import config; print(config()['threads'])"
    done = run_python(code, OMP_NUM_THREADS=variable)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == expected


@pytest.mark.parametrize("variable", ["", "0", "-2", "many"])
def test_an_omp_num_threads_that_is_no_number_is_ignored(variable):
    code = "import os; from learndock.config import config; print(config()['threads'], len(os.sched_getaffinity(0)))"
    done = run_python(code, OMP_NUM_THREADS=variable)
    assert done.returncode == 0, done.stderr
    threads, processors = map(int, done.stdout.split())
    assert 1 <= threads <= processors


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this platform has no affinity")
def test_the_default_follows_the_affinity():
    code = """
import os
from learndock.config import config
before = config()["threads"]
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
print(before, config()["threads"])
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    before, after = map(int, done.stdout.split())
    assert before >= after == 1


def test_set_threads_and_its_return_to_the_default():
    default = config()["threads"]
    try:
        set_threads(5)
        assert config()["threads"] == 5
        assert sums_of(0, threads=None).tobytes() == sums_of(0, threads=1).tobytes()
        set_threads(np.int64(2))
        assert config()["threads"] == 2
    finally:
        set_threads(None)
    assert config()["threads"] == default


@pytest.mark.parametrize("count", [0, -1, 1.5, "2", True, [], np.nan])
def test_set_threads_refuses_what_is_no_positive_integer(count):
    before = config()["threads"]
    with pytest.raises(InvalidArgument, match="count"):
        set_threads(count)
    assert config()["threads"] == before


def test_a_call_starts_as_many_threads_as_it_was_given():
    """Counted while the call runs: itself, the one that counts, and threads - 1 helpers."""
    tasks = Path("/proc/self/task")
    if not tasks.exists():
        pytest.skip("threads are counted in /proc")
    X = np.random.default_rng(0).normal(size=(6000, 24))
    before = len(list(tasks.iterdir()))
    for threads in (1, 2, 5):
        # The kernel lists a thread for a moment after it was joined.
        assert wait_until(lambda: len(list(tasks.iterdir())) <= before)
        most, stop = [0], threading.Event()

        def count(most=most, stop=stop):
            while not stop.is_set():
                most[0] = max(most[0], len(list(tasks.iterdir())))

        counter = threading.Thread(target=count)
        counter.start()
        try:
            kernels.embed(X, np.ones(6000), X, gamma=0.01, threads=threads)
        finally:
            stop.set()
            counter.join()
        assert most[0] == before + 1 + threads - 1


@pytest.mark.parametrize("threads", [3000, 10**5, 2**31 - 1, 2**40, 2**70])
def test_absurd_numbers_of_threads(threads):
    """Right results or an InvalidArgument, in a process that may have 8 GB and no more."""
    code = f"""
import resource
resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
import numpy as np
from learndock import kernels
from learndock.errors import InvalidArgument
rng = np.random.default_rng(0)
X = rng.normal(size=(3000, 4))
K = np.stack([np.eye(3)] * 5)
batch = kernels.pack(X.reshape(300, 10, 4), np.full((300, 10), 0.1))
calls = [
    lambda t: kernels.embed(X, np.ones(3000), X, gamma=0.1, threads=t),
    lambda t: kernels.mmd2([(X[:9], np.ones(9))], batch, gamma=0.1, threads=t),
    lambda t: kernels.herd(X, np.ones(3000), n=5, gamma=0.1, threads=t),
    lambda t: kernels.fit_reduced_set(X, n_points=20, random_state=0, max_evaluations=4, threads=t).points,
    lambda t: kernels.simplex_qp(K, np.ones((5, 3)), threads=t)[0],
    lambda t: kernels.mixture(K, np.ones((5, 3)), np.ones(5), threads=t)[0],
]
for call in calls:
    try:
        result = call({threads})
    except InvalidArgument as error:
        assert "threads" in str(error)
    else:
        assert result.tobytes() == call(1).tobytes()
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr


# --- many callers ----------------------------------------------------------------------------------------------------


def many_callers():
    rng = np.random.default_rng(0)
    points = [rng.normal(size=(40 + i, 5)) for i in range(12)]
    weights = [rng.dirichlet(np.ones(len(z))) for z in points]
    packed = kernels.pack(points, weights)
    X = rng.normal(size=(300, 5))
    mean = reference.kernel_mean(X, X, 0.2)

    def everything(i):
        threads = 1 + i % 4
        distances = kernels.mmd2([(points[i % 12], weights[i % 12])], packed, gamma=0.2, threads=threads)
        values = kernels.embed(points[i % 12], weights[i % 12], X, gamma=0.2, threads=threads)
        chosen = kernels.herd(X, mean, n=20, gamma=0.2, threads=threads)
        fitted = kernels.fit_reduced_set(X, n_points=8, random_state=i % 12, max_evaluations=5, threads=threads)
        shares, _ = kernels.simplex_qp(np.cov(X.T), np.arange(5.0), threads=threads)
        return b"".join(array.tobytes() for array in (distances, values, chosen, fitted.points, shares))

    alone = [everything(i) for i in range(12)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(everything, range(300)))
    for i, result in enumerate(together):
        assert result == alone[i % 12]
    np.testing.assert_allclose(
        kernels.embed(points[0], weights[0], X, gamma=0.2), reference.embed(points[0], weights[0], X, 0.2), rtol=1e-13
    )


def growing_teams():
    """A fit asks for few chunks of work here and for many there: its threads become more from round to round."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(1500, 3))
    for K in (1, 3, 9, 17, 40):
        fit = {"n_points": K, "random_state": 0, "max_evaluations": 3}
        expected = kernels.fit_reduced_set(X, **fit, threads=1)
        for _ in range(30):
            for threads in (2, 5, 13):
                found = kernels.fit_reduced_set(X, **fit, threads=threads)
                assert found.points.tobytes() == expected.points.tobytes()
                assert found.weights.tobytes() == expected.weights.tobytes()
                assert found.mmd2 == expected.mmd2


@pytest.mark.parametrize("function", ["many_callers", "growing_teams"])
def test_threads_neither_hang_nor_disturb_each_other(function):
    """Many Python threads in kernels at once, and calls whose team grows: the same results as alone.

    In a process of its own, so that a hang is a failure.
    """
    try:
        done = run_python(f"import test_parallel; test_parallel.{function}()", seconds=40)
    except subprocess.TimeoutExpired:
        pytest.fail("threads hang")
    assert done.returncode == 0, done.stderr


def test_one_batch_and_one_query_shared_by_many_threads():
    rng = np.random.default_rng(1)
    packed = kernels.pack(rng.normal(size=(200, 30, 4)), rng.random((200, 30)))
    query = (rng.normal(size=(20, 4)), rng.random(20))
    expected = kernels.mmd2([query], packed, gamma=0.3).tobytes()
    with ThreadPoolExecutor(8) as pool:
        results = pool.map(lambda _: kernels.mmd2([query], packed, gamma=0.3, threads=3).tobytes(), range(64))
        assert set(results) == {expected}


def test_an_error_in_one_thread_leaves_the_others_alone():
    def call(i):
        try:
            return float(kernels.inner([[0.0]], [1.0], [[1.0]], [1.0], gamma=-1.0 if i % 3 == 0 else 1.0))
        except InvalidArgument:
            return None

    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(call, range(60)))
    assert results == [None if i % 3 == 0 else pytest.approx(np.exp(-1), rel=1e-15) for i in range(60)]
