"""A writer that is killed at any moment: what it has acknowledged is there, the rest wholly or not at all."""

import contextlib
import os
import random
import shutil
from collections import Counter
from pathlib import Path

import pytest

import learndock as ld
import learndock.checker
from crashing import (
    KINDS,
    State,
    Writer,
    assert_backup,
    assert_whole,
    copied,
    die_before,
    perform,
    planned,
    prepare_writer,
    small_docks,
    steps_of,
)
from filled_docks import described, spec, written_zip
from learndock.dock import peer_reviewing

pytestmark = pytest.mark.slow

# Kills in a run of the suite; LEARNDOCK_CRASHES=1000 for as many as the README tells of, and for every single step.
KILLS = int(os.environ.get("LEARNDOCK_CRASHES", "40"))
EVERY_STEP = KILLS > 40
KILLS_OF_A_DOCK = 20


@pytest.fixture(autouse=True)
def small():
    with small_docks():
        yield


def test_a_writer_killed_at_random(quick_folder):
    seed = int(os.environ.get("LEARNDOCK_CRASH_SEED", "0"))
    rng = random.Random(seed)
    typical = dict.fromkeys([*KINDS, "open"], 0.03)
    fell_in = Counter()
    path = state = None

    def took(kind, seconds):
        typical[kind] = 0.7 * typical[kind] + 0.3 * seconds

    for kill in range(KILLS):
        if kill % KILLS_OF_A_DOCK == 0:
            if path is not None:
                shutil.rmtree(path.parent)
            path, state = quick_folder / f"{kill}" / "dock", State()
            scratch = quick_folder / f"{kill}" / "scratch"
            scratch.mkdir(parents=True)
        kinds = [*rng.choices(KINDS, k=rng.randint(0, 4)), KINDS[kill % len(KINDS)], *rng.choices(KINDS, k=3)]
        writer = Writer(path, scratch, kinds, seed=rng.randrange(10**6))
        # The first deed is to open the dock, to make it where it isn't there.
        at = 0 if kill % KILLS_OF_A_DOCK == 0 and rng.random() < 0.5 else len(kinds) - 3
        share = rng.uniform(0, 1.1)
        writer.kill_in(at, lambda kind, share=share: share * typical[kind], took)
        before, under_way = writer.acknowledged(state)
        fell_in["between" if under_way is None else under_way["kind"]] += 1
        with explained(f"seed {seed}, kill {kill}, in {under_way}"):
            state = assert_whole(path, before, under_way, optimized=rng.random() < 0.3)
            if under_way is not None and under_way["kind"] == "backup":
                assert_backup(Path(under_way["target"]), before)
    said = ", ".join(f"{kind} {count}" for kind, count in fell_in.most_common())
    print(f"\n{KILLS} kills, none of which lost anything: {said}")  # noqa: T201


@contextlib.contextmanager
def explained(what):
    """Say of a failure where the writer was."""
    try:
        yield
    except Exception as error:
        error.add_note(what)
        raise


@pytest.fixture
def checks(monkeypatch):
    """What starts no model, as the writer has it."""
    with monkeypatch.context() as patch:
        patch.setattr(learndock.checker, "check_learnware", None)
        patch.setattr(peer_reviewing, "try_model", None)
        yield prepare_writer()


@pytest.fixture
def filled(quick_folder, checks):
    """A dock with zips that were reviewed and one that was not, segments with dead copies and sketches, and more."""
    rng = random.Random(0)
    scratch = quick_folder / "scratch"
    scratch.mkdir()
    with ld.Dock(quick_folder / "template") as dock:

        def did(kind, **chosen):
            return perform(dock, {**planned(dock, kind, rng, scratch), "gamma": 0.1, **chosen}, checks)

        zipped = [made(dock, rng, scratch, checks) for _ in range(3)]
        ids = did("ingest many", count=60)
        did("peer review")
        did("search gamma", to=0.2)
        did("optimize")
        made(dock, rng, scratch, checks)
        did("ingest", count=5)
        did("delete", ids=[*ids[::4], zipped[0]])
        state = State.of(dock)
    return quick_folder / "template", state


def made(dock, rng, scratch, checks):
    deed = {**planned(dock, "submit", rng, scratch), "status": 1, "gamma": 0.1}
    written_zip(Path(deed["zip"]), spec(deed["seed"], gamma=0.1), described(deed["name"]))
    return perform(dock, deed, checks)[0]


CHOSEN = {"search gamma": {"gamma": 0.1, "to": 0.3}, "delete": {"ids": ["00000001", "00000005"]}}


# To repair what is whole is to optimize it.
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "repair"])
def test_a_writer_that_dies_at_each_step(filled, quick_folder, kind):
    source, before = filled
    path, scratch = quick_folder / "at" / "dock", quick_folder / "at"
    scratch.mkdir()
    with copied(source, path):
        with ld.Dock(path) as dock:
            deed = {**planned(dock, kind, random.Random(1), scratch), **CHOSEN.get(kind, {})}
        assert deed["kind"] == kind
        steps = steps_of(path, deed)
    assert ("commit" in steps) == (kind != "backup")
    deaths = [step for step in range(len(steps) + 1) if EVERY_STEP or not like_its_neighbours(steps, step)]
    for step in deaths:
        with copied(source, path):
            shutil.rmtree(deed.get("target", quick_folder / "none"), ignore_errors=True)
            die_before(path, deed, step)
            with explained(f"before step {step} of {len(steps)}: {steps[step : step + 1]}"):
                assert_whole(path, before, deed, optimized=kind != "backup" and (EVERY_STEP or step % 3 == 0))
                if kind == "backup":
                    assert_backup(Path(deed["target"]), before)
    print(f"\n{kind}: {len(deaths)} deaths")  # noqa: T201


def like_its_neighbours(steps, at):
    """Whether a step is one of many of a kind: files of a folder that are synced or deleted one after the other."""
    return 0 < at < len(steps) - 1 and len({step.partition(" ")[0] for step in steps[at - 1 : at + 2]}) == 1


def test_a_dock_whose_maker_dies_at_each_step_is_made_anew(quick_folder):
    (quick_folder / "whole").mkdir()
    steps = steps_of(quick_folder / "whole" / "dock", {"kind": "open"})
    assert len(steps) > 5
    for step in range(len(steps) + 1):
        path = quick_folder / f"{step}" / "dock"
        path.parent.mkdir()
        die_before(path, {"kind": "open"}, step)
        assert_whole(path, State(), {"kind": "open"}, optimized=True)
