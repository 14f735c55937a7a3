"""The order in which things reach the disk: files and their folders before the catalog names them.

Seen from outside, by strace, as the kernel is told: SQLite's writes are among them.
"""

import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest

from durability import STRACE, TRACED, Disk, traced

WRITER = """
import os, random, sys
from pathlib import Path
import learndock as ld
from crashing import perform, planned, prepare_writer
from learndock.dock import folding
from sketched_views import small_numbers

path, scratch, marks = map(Path, sys.argv[1:])
scratch.mkdir()
marks.mkdir()
folding.SEGMENT_SPECS, folding.LARGEST_SEGMENT_BYTES = 12, 4096
rng, checks = random.Random(0), prepare_writer()
done = ["submit", "ingest many", "submit", "update", "peer review", "optimize", "ingest", "describe", "delete",
        "search gamma", "scaling", "refuse", "optimize", "backup", "submit", "update", "optimize", "repair"]
with small_numbers(), ld.Dock(path) as dock:
    (marks / "0 open").mkdir()
    for number, kind in enumerate(done, 1):
        deed = planned(dock, kind, rng, scratch)
        deed |= {"gamma": 0.1} | ({"ids": [entry.id for entry in dock.list()][::3]} if kind == "delete" else {})
        deed |= {"to": 0.2} if kind == "search gamma" else {}
        perform(dock, deed, checks)
        (marks / f"{number} {kind}").mkdir()
"""


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    """A dock that is made, and all that is done to a dock; the calls of that."""
    if STRACE is None:
        pytest.skip("there is no strace")
    root = tmp_path_factory.mktemp("power")
    # Two folders above the dock that are made with it.
    folders = [str(root / "a" / "b" / "dock"), str(root / "scratch"), str(root / "marks")]
    filters = ["-f", "-y", "-s", "0", "--seccomp-bpf", "-e", f"trace={','.join(TRACED)}", "-o", str(root / "log")]
    run = [STRACE, *filters, sys.executable, "-c", WRITER, *folders]
    result = subprocess.run(run, cwd=Path(__file__).parent, capture_output=True, text=True)
    if "ptrace" in result.stderr and "not permitted" in result.stderr:
        pytest.skip(f"strace may not trace here: {result.stderr.splitlines()[0]}")
    assert result.returncode == 0, result.stderr
    return PurePosixPath(root), list(traced(root / "log"))


def kept(disk, dock):
    """What a catalog may name, and the dock's own files: all but what is under way, and SQLite's shared memory."""
    for path in {*disk.named, *disk.written}:
        parts = path.relative_to(dock).parts if path.is_relative_to(dock) else (".",)
        if not any(part.startswith(".") for part in parts) and parts[-1:] != ("catalog.sqlite-shm",):
            yield path


def test_files_and_folders_are_synced_before_the_catalog_names_them(trace):
    root, events = trace
    dock, log = root / "a" / "b" / "dock", root / "a" / "b" / "dock" / "catalog.sqlite-wal"
    disk, changes, wrong = Disk(root), 0, set()
    for event in events:
        if event.call == "pwrite64" and event.begins and event.paths == (log,):
            changes += 1
            named = (
                path
                for path in kept(disk, dock)
                if path.relative_to(dock).parts[:1] in (("zips",), ("specs",), ("sketches",))
            )
            wrong |= {fault for path in named if (fault := disk.uncertain(path)) and path.parent != dock}
        disk.apply(event)
    assert changes > 50
    assert wrong == set()


def test_what_was_acknowledged_is_on_the_disk(trace):
    root, events = trace
    dock, disk, acknowledged, wrong = root / "a" / "b" / "dock", Disk(root), [], set()
    for event in events:
        disk.apply(event)
        if event.call == "mkdir" and event.paths[0].parent == root / "marks":
            acknowledged.append(event.paths[0].name)
            wrong |= {(acknowledged[-1], fault) for path in kept(disk, dock) if (fault := disk.uncertain(path))}
            if "backup" in acknowledged[-1]:
                copies = [path for path in disk.named if "/backup-" in str(path)]
                assert copies
                wrong |= {fault for path in copies if (fault := disk.uncertain(path))}
    assert len(acknowledged) == 19
    # The main file of SQLite is written from the log, which stays until it is synced.
    assert {one for one in wrong if "catalog.sqlite was not synced" not in one[1]} == set()


def test_nothing_is_deleted_before_the_catalog_has_let_go_of_it(trace):
    root, events = trace
    dock = root / "a" / "b" / "dock"
    disk, deleted = Disk(root), 0
    for event in events:
        if event.call in ("unlink", "unlinkat") and event.begins and event.paths[0] in set(kept(disk, dock)):
            deleted += 1
            assert disk.uncertain(dock / "catalog.sqlite-wal") is None
        disk.apply(event)
    assert deleted > 5


def test_a_new_dock_is_marked_as_one_when_all_else_is_on_the_disk(trace):
    root, events = trace
    dock, disk, marked = root / "a" / "b" / "dock", Disk(root), 0
    for event in events:
        if event.call.startswith("rename") and event.paths[-1].name == "dock.json" and event.begins:
            home = event.paths[-1].parent
            if not home.name.startswith("."):
                marked += 1
                held = [path for path in disk.named if path.is_relative_to(home) and not path.name.startswith(".")]
                assert {home / "zips", home / "specs", home / "catalog.sqlite"} <= set(held)
                lost = {fault for path in held if (fault := disk.uncertain(path)) and "-shm" not in fault}
                assert lost == set()
        disk.apply(event)
    assert marked == 2  # the dock and its backup
    assert dock in disk.named
