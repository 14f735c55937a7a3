"""A writer that dies while it works, and what must be in the dock afterwards.

The writer is a forked process that does one thing after another and says on a pipe what it begins and what is done. The
test keeps a model of what was said to be done: `State.after` is written from what the documentation promises, and knows
nothing of segments, tombstones and catalogs.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import re
import select
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import numpy as np

import learndock as ld
from filled_docks import QuickChecks, described, spec, written_zip
from learndock.checker import Status
from learndock.dock import folding, peer_reviewing, peer_rows, rows, scaling_rows
from learndock.dock.peer_trial import Trial
from learndock.dock.search_gamma import under_gamma
from learndock.dock.store import SpaceView
from sketched_views import searched, segment, small_numbers
from spec_batches import made_specs, user_spec

GAMMAS = (0.1, 0.5)
DIM = 3
# Seconds, after which a writer that hangs is ended, and the test with it.
_LONGEST = 600
# All that a dock may hold beside its zips and specifications.
_OF_A_DOCK = {"dock.json", "catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm", "write.lock"}


@contextlib.contextmanager
def small_docks():
    """A few specifications make segments, several for a batch, and are sketched."""
    with small_numbers() as patch:
        patch.setattr(folding, "SEGMENT_SPECS", 12)
        patch.setattr(folding, "MOST_SEGMENTS", 6)
        patch.setattr(folding, "LARGEST_SEGMENT_BYTES", 4096)
        yield


# What is in a dock


@dataclass(frozen=True)
class Held:
    """A learnware: its status, the gamma of its specification, what that and its zip are, and its name."""

    status: int
    gamma: float
    specification: str
    zip: str | None = None
    name: str | None = None


@dataclass(frozen=True)
class State:
    """All that a dock has promised to keep."""

    learnwares: dict[str, Held] = field(default_factory=dict)
    search_gammas: dict[float, float] = field(default_factory=dict)
    scalings: dict[float, str] = field(default_factory=dict)
    audited: Counter[str] = field(default_factory=Counter)
    reviewed: frozenset[str] = frozenset()
    pairs: frozenset[tuple[str, str]] = frozenset()

    @classmethod
    def of(cls, dock: ld.Dock) -> State:
        """What is there, byte for byte."""
        entries = list(dock.list())
        found = _specifications(dock)
        assert sorted(found) == [entry.id for entry in entries]
        learnwares = {}
        for entry in entries:
            zip = None
            if entry.zip_sha256 is not None:
                zip = hashlib.sha256(dock.zip_path(entry.id).read_bytes()).hexdigest()
                assert zip == entry.zip_sha256
            learnwares[entry.id] = Held(int(entry.status), *found[entry.id], zip, entry.name)
        with dock._catalog.reading() as connection:
            spaces = {id: space.gamma for id, space in rows.spaces_by_id(connection).items()}
            gammas = {spaces[id]: gamma for id, gamma in rows.search_gamma_by_id(connection).items()}
            scalings = {}
            for id, gamma in spaces.items():
                if (kept := scaling_rows.kept_scaling(connection, id)) is not None:
                    scalings[gamma] = _digest(kept.mean, kept.scale)
            reviewed, pairs = _reviews(connection)
        audited = Counter[str]()
        for record in dock.history():
            audited[f"{record.action} {int(record.status) < 0}"] += max(1, record.count)
        return cls(learnwares, gammas, scalings, audited, reviewed, pairs)

    def after(self, deed: Deed, ids: list[str]) -> State:
        """What must be there when something is done; `ids` are the ones that it gave out."""
        learnwares = dict(self.learnwares)
        match deed["kind"]:
            case "submit":
                (id,) = ids
                learnwares[id] = _submitted(deed)
            case "ingest" | "ingest many":
                assert len(ids) == deed["count"]
                points, weights = made_specs(deed["count"], DIM, seed=deed["seed"], ragged=True)
                for id, z, beta in zip(ids, points, weights, strict=True):
                    learnwares[id] = Held(int(Status.USABLE), deed["gamma"], _specified(z, beta))
            case "update":
                learnwares[deed["id"]] = _submitted(deed)
            case "describe":
                learnwares[deed["id"]] = replace(learnwares[deed["id"]], name=deed["name"])
            case "delete":
                for id in deed["ids"]:
                    del learnwares[id]
            case "search gamma":
                gammas = {**self.search_gammas, deed["gamma"]: deed["to"]}
                kept = {gamma: to for gamma, to in gammas.items() if to is not None}
                changed = kept != self.search_gammas
                return replace(self, search_gammas=kept, audited=self._audited("search_gamma", 1 if changed else 0))
            case "scaling":
                kept = {**self.scalings, deed["gamma"]: _digest(*scaling_of(deed["seed"]))}
                changed = kept != self.scalings
                return replace(self, scalings=kept, audited=self._audited("scaling", 1 if changed else 0))
            case "peer review":
                runnable = {id: held for id, held in learnwares.items() if held.zip is not None and held.status == 1}
                pairs = {
                    (model, sketch)
                    for model, one in runnable.items()
                    for sketch, other in runnable.items()
                    if model != sketch and one.gamma == other.gamma
                }
                return replace(self, reviewed=frozenset(runnable), pairs=frozenset(pairs))
            case "refuse":
                return replace(self, audited=self._audited("submit", 1, refused=True))
            case "optimize" | "backup" | "repair":
                return self
        action = {"ingest many": "ingest", "describe": "update"}.get(deed["kind"], deed["kind"])
        audited = self._audited(action, deed.get("count") or len(deed.get("ids", ())) or 1)
        gone = set(self.learnwares) - set(learnwares)
        if deed["kind"] == "update":  # of another model, whatever was found of the one before
            gone.add(deed["id"])
        return replace(
            self,
            learnwares=learnwares,
            audited=audited,
            reviewed=self.reviewed - gone,
            pairs=frozenset(pair for pair in self.pairs if not gone & set(pair)),
        )

    def _audited(self, action: str, count: int, *, refused: bool = False) -> Counter[str]:
        return self.audited + Counter({f"{action} {refused}": count})


def _specifications(dock: ld.Dock) -> dict[str, tuple[float, str]]:
    found = {}
    with dock._catalog.reading() as connection:
        spaces = list(rows.spaces_by_id(connection).values())
    for space in spaces:
        view = dock._store.view(space)
        for part, start in zip(view.segments, view.starts, strict=False):
            alive = view.visible(any_status=True)[start : start + len(part)]
            for at in np.flatnonzero(alive):
                id = f"{part.ids[at]:08d}"
                assert id not in found, "a learnware has two specifications"
                found[id] = (space.gamma, _specified(*part.packed.embedding(int(at))))
    return found


def _specified(points, weights) -> str:
    return _digest(np.asarray(points, np.float32), np.asarray(weights, np.float32))


def _digest(*arrays) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _reviews(connection) -> tuple[frozenset[str], frozenset[tuple[str, str]]]:
    if not peer_rows.has_reviews(connection):
        return frozenset(), frozenset()
    known = peer_rows.known_outputs(connection)
    for id, own in peer_rows.outputs_of(connection, known).items():
        assert own.outputs is not None
        assert (own.outputs == np.float32(id % 10 / 10)).all()
    pairs = peer_rows.known_pairs(connection, sorted(known))
    return frozenset(f"{id:08d}" for id in known), frozenset((f"{a:08d}", f"{b:08d}") for a, b in pairs)


# What a writer does

Deed = dict  # what is done: its kind, and all that the model needs to know
KINDS = (
    "submit",
    "refuse",
    "ingest",
    "ingest many",
    "update",
    "describe",
    "delete",
    "optimize",
    "search gamma",
    "scaling",
    "peer review",
    "backup",
    "repair",
)


def scaling_of(seed: int):
    rng = np.random.default_rng(seed)
    return rng.normal(size=DIM), rng.uniform(0.5, 2.0, size=DIM)


def _submitted(deed: Deed) -> Held:
    made = spec(deed["seed"], gamma=deed["gamma"])
    zip = hashlib.sha256(Path(deed["zip"]).read_bytes()).hexdigest()
    return Held(deed["status"], deed["gamma"], _specified(made.points, made.weights), zip, deed["name"])


def planned(dock: ld.Dock, kind: str, rng: random.Random, scratch: Path) -> Deed:
    """Something of a kind to do, or a submission where the dock has nothing to do it to."""
    entries = list(dock.list())
    zipped = [entry.id for entry in entries if entry.zip_sha256 is not None]
    if (kind in ("update", "delete") and not entries) or (kind in ("describe", "peer review") and not zipped):
        kind = "submit"
    gammas = sorted({space.gamma for space in dock.spaces()})
    if kind == "search gamma" and not gammas:
        kind = "ingest"
    seed = rng.randrange(10**6)
    deed: Deed = {"kind": kind, "seed": seed, "gamma": rng.choice(GAMMAS), "name": f"Model {seed}"}
    match kind:
        case "submit" | "update" | "refuse":
            deed["status"] = int(rng.choice([Status.USABLE, Status.USABLE, Status.NONUSABLE]))
            zip = scratch / f"{seed}-{len(os.listdir(scratch))}.zip"
            deed["zip"] = str(written_zip(zip, spec(seed, gamma=deed["gamma"]), described(deed["name"])))
            deed["id"] = rng.choice(zipped or [entry.id for entry in entries]) if kind == "update" else None
        case "describe":
            deed["id"] = rng.choice(zipped)
        case "ingest":
            deed["count"] = rng.randint(1, 6)
        case "ingest many":
            deed["count"] = rng.randint(12, 60)
        case "delete":
            count = max(1, len(entries) // 2) if len(entries) > 150 or rng.random() < 0.3 else 1
            deed["ids"] = sorted(rng.sample([entry.id for entry in entries], count))
        case "search gamma":
            deed["gamma"], deed["to"] = rng.choice(gammas), rng.choice([None, 0.2, 0.3])
        case "backup":
            deed["target"] = str(scratch / f"backup-{seed}-{len(os.listdir(scratch))}")
    return deed


def perform(dock: ld.Dock, deed: Deed, checks: QuickChecks) -> list[str]:
    """Do it. Returns the ids that were given out."""
    checks.status = Status(deed.get("status", Status.USABLE))
    match deed["kind"]:
        case "submit":
            return [dock.submit(deed["zip"]).id]
        case "refuse":
            checks.status = Status.INVALID
            assert dock.submit(deed["zip"]).id is None
        case "ingest" | "ingest many":
            points, weights = made_specs(deed["count"], DIM, seed=deed["seed"], ragged=True)
            return dock.ingest(points=points, weights=weights, gamma=deed["gamma"])
        case "update":
            semantic = described(deed["name"])
            assert dock.update(deed["id"], path=deed["zip"], semantic=semantic).status == checks.status
        case "describe":
            entry = dock.update(deed["id"], semantic=described(deed["name"]))
            assert entry.status != Status.INVALID
        case "delete":
            dock.delete(deed["ids"])
        case "optimize":
            dock.optimize()
        case "search gamma":
            dock.set_search_gamma(deed["to"], gamma=deed["gamma"], input_shape=DIM)
        case "scaling":
            dock.set_scaling(ld.Scaling(*scaling_of(deed["seed"])), space=DIM, gamma=deed["gamma"])
        case "peer review":
            dock.peer_review()
        case "backup":
            dock.backup(deed["target"])
        case "repair":
            report = dock.repair()
            if not report.ok:
                raise ld.errors.DockError(str(report.after))
    return []


def _tried(number, learnware, meaning, own, sketches):
    """Stands for a model that is tried: its process is another test's matter."""
    said = {sketch: np.full((len(other.weights), 2), 0.5) for sketch, other in sketches.items()}
    outputs = np.full((len(own.weights), 2), number % 10 / 10)
    return Trial(peer_rows.OwnOutputs(number, meaning.key, 2, outputs, variance=1.0), said)


def prepare_writer() -> QuickChecks:
    """In a process that dies anyway: no model is started."""
    import learndock.checker

    checks = QuickChecks()
    learndock.checker.check_learnware = checks
    peer_reviewing.try_model = _tried
    return checks


def forked(work: Callable[[], None]) -> int:
    """Do something in another process; its id. It ends without a word to the test's own machinery, and in any case."""
    child = os.fork()
    if child == 0:
        try:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.alarm(_LONGEST)
            work()
            os._exit(0)
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
    return child


@dataclass
class Writer:
    """A writer, watched."""

    path: Path
    scratch: Path
    kinds: list[str]
    seed: int
    said: list[dict] = field(default_factory=list)

    def __post_init__(self) -> None:
        reading, writing = os.pipe()
        self._rest = b""

        def work() -> None:
            os.close(reading)
            checks, rng = prepare_writer(), random.Random(self.seed)

            def say(message: dict) -> None:
                os.write(writing, json.dumps(message).encode() + b"\n")

            say({"begin": {"kind": "open"}})
            with ld.Dock(self.path) as dock:
                say({"done": []})
                for kind in self.kinds:
                    deed = planned(dock, kind, rng, self.scratch)
                    say({"begin": deed})
                    say({"done": perform(dock, deed, checks)})

        self.process = forked(work)
        os.close(writing)
        self._pipe = reading

    def _hear(self, seconds: float | None) -> bool:
        """Take in what was said; False where the writer says nothing within the time, or no more."""
        if seconds is not None and not select.select([self._pipe], [], [], max(0.0, seconds))[0]:
            return False
        got = os.read(self._pipe, 1 << 16)
        *lines, self._rest = (self._rest + got).split(b"\n")
        self.said += [json.loads(line) for line in lines]
        return bool(got)

    def kill_in(self, deed: int, after: Callable[[str], float], took: Callable[[str, float], None]) -> None:
        """Kill the writer so long after it has begun the n-th deed; tell how long each one took."""
        begun: dict[int, float] = {}
        deadline = None
        while True:
            before = len(self.said)
            going = self._hear(None if deadline is None else deadline - time.monotonic())
            now = time.monotonic()
            for at in range(before, len(self.said)):
                if "begin" in self.said[at]:
                    begun[at] = now
                    if deadline is None and at >= 2 * deed:
                        deadline = now + after(self.said[at]["begin"]["kind"])
                elif at - 1 in begun:
                    took(self.said[at - 1]["begin"]["kind"], now - begun[at - 1])
            if not going:
                break
        os.kill(self.process, signal.SIGKILL)
        while self._hear(None):
            pass
        os.close(self._pipe)
        _, status = os.waitpid(self.process, 0)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        assert killed or status == 0, "the writer failed by itself"

    def acknowledged(self, state: State) -> tuple[State, Deed | None]:
        """What was said to be done, and what was under way."""
        under_way = None
        for message in self.said:
            if "begin" in message:
                under_way = message["begin"]
            else:
                if under_way["kind"] != "open":
                    state = state.after(under_way, message["done"])
                under_way = None
        return state, under_way


# What must hold afterwards


def assert_whole(path: Path, before: State, under_way: Deed | None, *, optimized: bool) -> State:
    """Open the dock: all that was acknowledged is there, what was under way wholly or not at all. Returns what is."""
    with ld.Dock(path) as dock:
        report = dock.verify()
        assert report.problems == ()
        state = State.of(dock)
        assert_one_of(before, state, under_way)
        assert_searches(dock, state)
        if optimized:
            dock.optimize()
            assert State.of(dock) == state
            assert_searches(dock, state)
            report = dock.verify()
            assert report.problems == report.orphans == ()
            assert_no_stray_files(dock)
    return state


def assert_one_of(before: State, found: State, under_way: Deed | None) -> None:
    """All or nothing of what was under way."""
    if found == before:
        return
    assert under_way is not None, "what was acknowledged is not what is there"
    if under_way["kind"] == "peer review":  # it keeps what it finds, model by model
        after = before.after(under_way, [])
        assert before.reviewed <= found.reviewed <= after.reviewed
        assert before.pairs <= found.pairs <= after.pairs
        assert_same(replace(found, reviewed=before.reviewed, pairs=before.pairs), before)
        return
    assert under_way["kind"] != "open", "opening a dock has changed it"
    assert_same(found, before.after(under_way, sorted(set(found.learnwares) - set(before.learnwares))))


def assert_same(found: State, expected: State) -> None:
    """Two states are equal; where they are not, say which parts."""
    for part in fields(State):
        one, other = getattr(found, part.name), getattr(expected, part.name)
        assert one == other, f"{part.name}: found {one}, expected {other}"


def assert_searches(dock: ld.Dock, state: State) -> None:
    """A search finds what a scan of the same specifications finds that has never seen a disk."""
    for space in dock.spaces():
        view = dock._store.view(space)
        alive = [
            (int(part.ids[at]), *part.packed.embedding(at))
            for part, start in zip(view.segments, view.starts, strict=False)
            for at in np.flatnonzero(view.visible(any_status=True)[start : start + len(part)]).tolist()
        ]
        ids, points, weights = zip(*sorted(alive, key=lambda one: one[0]), strict=True)
        unusable = [int(id) for id, held in state.learnwares.items() if held.status != Status.USABLE]
        gamma = state.search_gammas.get(space.gamma)
        fresh = SpaceView(
            1,
            {"all": segment(points, weights, ids, space.gamma)},
            None,
            {},
            np.array(sorted(unusable), np.int64),
            search_gamma=gamma,
        )
        user = user_spec(DIM, space.gamma)
        asked = [user if gamma is None else under_gamma(user, gamma)]
        for any_status in (False, True):
            expected = searched(fresh, asked, "exact", k=20, any_status=any_status)[0]
            found = dock.search(user, k=20, mixture=3, status="any" if any_status else "usable")
            assert [(hit.id, hit.mmd2) for hit in found.singles] == [
                (f"{int(hit.id):08d}", hit.mmd2) for hit in expected.singles
            ]


def assert_no_stray_files(dock: ld.Dock) -> None:
    """Nothing lies in the folder but what the catalog names."""
    with dock._catalog.reading() as connection:
        segments = rows.all_segments(connection)
        models = rows.sketch_model_names(connection)
        zips = {dock._layout.zip(row.id, row.zip_sha256).name for row in rows.zip_rows(connection).values()}
    allowed = _OF_A_DOCK | {"zips", "specs", "sketches"}
    assert set(os.listdir(dock.path)) <= allowed
    assert set(os.listdir(dock.path / "zips")) == zips
    assert set(os.listdir(dock.path / "specs")) == set(segments)
    if (dock.path / "sketches").exists():
        assert set(os.listdir(dock.path / "sketches")) == set(models.values())
    for name, row in segments.items():
        folders = {entry.name for entry in (dock.path / "specs" / name).iterdir() if entry.is_dir()}
        assert folders <= {f"sketch-{models.get(row.space_id)}"}


def assert_backup(target: Path, state: State) -> None:
    """A backup that was under way is the dock, or none at all."""
    if not (target / "dock.json").exists():
        with contextlib.suppress(ld.errors.DockError), ld.Dock(target) as empty:
            assert len(empty) == 0
        return
    with ld.Dock(target) as copy:
        assert copy.verify().problems == ()
        assert State.of(copy) == state


# Every step


_CALLS = ("fsync", "rename", "replace", "link", "mkdir", "unlink", "rmdir")
_TO = ("rename", "replace", "link")
_NAMED_BY_CHANCE = re.compile(r"[0-9a-f]{32}|[0-9a-f]{16}(?=\.zip)|(?<=\.incoming-)\w{8}$")


def step_by_step(folder: Path, before_step: Callable[[str], None]) -> None:
    """In this process, from now on: call `before_step` with a name before all that lasts, and after each commit."""

    def watch(name: str) -> None:
        call = getattr(os, name)

        def watched(*args, **options):
            path = _path_of(args[1 if name in _TO else 0], options.get("dir_fd"))
            if path.is_relative_to(folder):
                shown = [_NAMED_BY_CHANCE.sub("*", part) for part in path.relative_to(folder).parts]
                before_step(f"{name} {'/'.join(shown)}")
            return call(*args, **options)

        setattr(os, name, watched)

    for name in _CALLS:
        watch(name)
    from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

    commit = SQLiteDialect_pysqlite.do_commit

    def committed(self, connection):
        before_step("commit")
        commit(self, connection)
        before_step("committed")

    SQLiteDialect_pysqlite.do_commit = committed


def _path_of(target: int | str | Path, folder: int | None) -> Path:
    if isinstance(target, int):
        return Path(f"/proc/self/fd/{target}").readlink()
    return Path(target) if folder is None else Path(f"/proc/self/fd/{folder}").readlink() / target


def steps_of(path: Path, deed: Deed) -> list[str]:
    """What a deed does in the folder of the dock and of what it is copied to, step by step; afterwards it is done."""
    reading, writing = os.pipe()
    child = forked(lambda: _stepwise(path, deed, lambda name: os.write(writing, name.encode() + b"\n")))
    os.close(writing)
    with os.fdopen(reading) as pipe:
        steps = pipe.read().splitlines()
    _, status = os.waitpid(child, 0)
    assert status == 0
    return steps


def die_before(path: Path, deed: Deed, step: int) -> None:
    """Have a writer do something and die before its n-th step."""
    left = [step]

    def count(_: str) -> None:
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)  # a thread may go on for a moment

    _, status = os.waitpid(forked(lambda: _stepwise(path, deed, count)), 0)
    assert status in (0, signal.SIGKILL)


def _stepwise(path: Path, deed: Deed, before_step: Callable[[str], None]) -> None:
    checks = prepare_writer()
    if deed["kind"] == "open":
        step_by_step(path.parent, before_step)
        ld.Dock(path).close()
        return
    with ld.Dock(path) as dock:
        step_by_step(path.parent, before_step)
        perform(dock, deed, checks)


@contextlib.contextmanager
def copied(path: Path, target: Path) -> Iterator[Path]:
    """A copy of a closed dock."""
    shutil.copytree(path, target)
    try:
        yield target
    finally:
        shutil.rmtree(target)
