"""Many readers, in threads and processes, and one writer at a time: each search is of one state."""

import json
import os
import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import learndock as ld
from crashing import GAMMAS, forked, perform, planned, prepare_writer
from filled_docks import described, spec
from learndock.dock import folding, searches, writer
from learndock.errors import DockError
from sketched_views import small_numbers
from spec_batches import made_specs, user_spec

pytestmark = pytest.mark.slow

GAMMA = GAMMAS[0]
SECONDS = 5.0
USER = user_spec(3, GAMMA)


@pytest.fixture(autouse=True)
def small():
    """A few specifications make a segment, and are sketched."""
    with small_numbers() as patch:
        patch.setattr(folding, "SEGMENT_SPECS", 12)
        patch.setattr(folding, "MOST_SEGMENTS", 4)
        yield patch


@pytest.fixture
def path(tmp_path):
    """A dock with sketched segments and what waits in the catalog."""
    with ld.Dock(tmp_path / "dock") as dock:
        for seed in range(3):
            ingested(dock, 40, seed=seed)
        dock.optimize()
        ingested(dock, 5, seed=3)
    return tmp_path / "dock"


def ingested(dock, count, *, seed):
    points, weights = made_specs(count, 3, seed=seed)
    return dock.ingest(points=points, weights=weights, gamma=GAMMA)


def answer(dock, method="certified"):
    """All that a search says of all specifications, as text."""
    found = dock.search(USER, k=10_000, mixture=0, status="any", method=method)
    return json.dumps([(hit.id, hit.mmd2) for hit in found.singles])


def written(process):
    _, status = os.waitpid(process, 0)
    assert status == 0


def test_each_of_many_searches_is_of_one_state_and_states_follow_each_other(path, tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    deadline = time.monotonic() + SECONDS

    def write():
        """Change the dock, and after each change say what a search finds: nobody else changes it."""
        checks, rng = prepare_writer(), random.Random(0)
        kinds = ("submit", "ingest", "ingest many", "update", "delete", "optimize")
        with ld.Dock(path) as dock, (tmp_path / "states").open("w") as states:
            print(answer(dock), file=states)
            while time.monotonic() < deadline:
                perform(dock, {**planned(dock, rng.choice(kinds), rng, scratch), "gamma": GAMMA, "status": 1}, checks)
                print(answer(dock, "exact"), file=states)

    def read(name):
        with ld.Dock(path) as dock:
            read_with(dock, name)

    def read_with(dock, name):
        with (tmp_path / f"answers-{name}").open("w") as answers:
            while time.monotonic() < deadline:
                print(answer(dock), file=answers)

    processes = [forked(write), *(forked(lambda name=name: read(f"process-{name}")) for name in range(3))]
    with ld.Dock(path) as shared, ThreadPoolExecutor(4) as pool:
        threads = [pool.submit(read_with, shared, f"thread-{name}") for name in range(4)]
        for thread in threads:
            thread.result()
    for process in processes:
        written(process)

    states = (tmp_path / "states").read_text().splitlines()
    assert len(set(states)) > 5
    seen = set()
    for file in tmp_path.glob("answers-*"):
        at = -1
        for line in file.read_text().splitlines():
            assert line in states, "no state of the dock has this answer"
            later = [place for place in range(max(at, 0), len(states)) if states[place] == line]
            assert later, "a reader was led back to an earlier state"
            at = later[0]
            seen.add(line)
    assert len(seen) > 3


@pytest.mark.parametrize("method", ["certified", "exact"])
@pytest.mark.parametrize("deed", ["delete", "update", "optimize", "ingest and sketch", "search gamma"])
def test_a_search_ends_on_the_state_on_which_it_began(path, small, deed, method):
    with ld.Dock(path) as dock, ld.Dock(path) as other:
        ids = [entry.id for entry in dock.list()]
        other.delete(ids[:30:2])
        before, changed = answer(dock, method), []

        def change():
            match deed:
                case "delete":
                    other.delete(ids[1::2])
                case "update":
                    replaced(other, int(ids[1]))
                case "optimize":
                    other.optimize()
                case "ingest and sketch":
                    ingested(other, 400, seed=9)
                    other.optimize()
                case "search gamma":
                    other.set_search_gamma(0.7, gamma=GAMMA, input_shape=3)

        search = searches.search_space

        def meanwhile(view, *arguments):
            if not changed:
                changed.append(True)
                change()
            return search(view, *arguments)

        small.setattr(searches, "search_space", meanwhile)
        assert answer(dock, method) == before
        assert changed
        after = answer(dock, method)
        assert (after == before) == (deed == "optimize")
        with ld.Dock(path) as fresh:
            assert answer(fresh, method) == after


def replaced(dock, number):
    """Give an ingested specification another one, as an update of a learnware does."""
    dock._writer.replace(number, None, spec(77), described(), status=1, version=0)


def test_a_hundred_searches_at_once_are_those_of_one_after_the_other(path):
    users = [user_spec(3, GAMMA, seed=seed) for seed in range(100)]
    with ld.Dock(path) as dock, ThreadPoolExecutor(100) as pool:
        expected = [[(hit.id, hit.mmd2) for hit in dock.search(user, k=10).singles] for user in users]
        start = threading.Barrier(100)

        def asked(user):
            start.wait()
            return [(hit.id, hit.mmd2) for hit in dock.search(user, k=10).singles]

        assert list(pool.map(asked, users)) == expected


def held_by_a_process(path):
    """A process that holds the dock as a writer does, until it is killed; ready when this returns."""
    reading, writing = os.pipe()

    def hold():
        with ld.Dock(path) as dock, dock._writer._lock.held():
            os.write(writing, b"held")
            time.sleep(60)

    holder = forked(hold)
    os.close(writing)
    assert os.read(reading, 4) == b"held"
    os.close(reading)
    return holder


def test_a_writer_waits_for_another_so_long_and_then_says_why_it_has_changed_nothing(path, small):
    small.setattr(writer, "_LOCK_SECONDS", 0.3)
    holder = held_by_a_process(path)
    try:
        with ld.Dock(path) as dock:
            before = answer(dock)
            for change in (
                lambda: ingested(dock, 1, seed=0),
                lambda: dock.delete(["00000000"]),
                dock.optimize,
                dock.repair,
                lambda: dock.set_search_gamma(0.7, gamma=GAMMA, input_shape=3),
            ):
                started = time.monotonic()
                with pytest.raises(DockError, match=r"another writer .*has held the dock for more than 0\.3 s"):
                    change()
                assert 0.25 < time.monotonic() - started < 10
            assert answer(dock) == before
    finally:
        os.kill(holder, signal.SIGKILL)
        os.waitpid(holder, 0)


def test_writers_in_processes_queue_and_none_is_lost(path):
    def write(seed):
        with ld.Dock(path) as dock:
            for i in range(6):
                ingested(dock, 3, seed=seed + i)

    with ld.Dock(path) as dock:
        before = len(dock)
        for process in [forked(lambda seed=seed: write(seed)) for seed in (100, 200, 300)]:
            written(process)
        assert len(dock) == before + 3 * 6 * 3
        assert dock.verify().ok
        assert len({entry.id for entry in dock.list()}) == len(dock)


def test_the_lock_of_a_writer_that_was_killed_is_free_at_once(path):
    holder = held_by_a_process(path)
    with ld.Dock(path) as dock:
        waiting = threading.Timer(0.3, os.kill, (holder, signal.SIGKILL))
        waiting.start()
        started = time.monotonic()
        assert len(ingested(dock, 2, seed=0)) == 2
        assert 0.2 < time.monotonic() - started < 20
    os.waitpid(holder, 0)
