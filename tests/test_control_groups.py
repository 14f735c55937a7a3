"""Control groups: the kernel bounds what is hidden from the watch; of both versions, the second as a mere folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from learndock.errors import ModelError
from learndock.runtime import ModelLimits, available_isolation
from learndock.runtime.guard import cgroups
from learndock.runtime.guard.cgroups import ControlGroups
from model_folders import level_of_isolation, model_maker  # noqa: F401 (fixtures)

ROWS = np.ones((2, 3))

HIDDEN_MEMORY = """
def predict(self, X):
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    block = bytes(2 ** 20)
    while True:
        file = os.memfd_create("x")
        for _ in range(16):
            os.write(file, block)
        socket.send_fds(a, [b"x"], [file])
        os.close(file)
"""


def groups_of(controller: str) -> None:
    if not any(controller in means for means in available_isolation().means if means.startswith("control groups")):
        pytest.skip(f"no control group of {controller} can be made here: {', '.join(available_isolation().notes)}")


def test_memory_in_descriptors_under_way_is_counted(make, level):
    groups_of("memory")
    model = make(HIDDEN_MEMORY, limits=ModelLimits(seconds=20.0, memory_bytes=2**28))
    with pytest.raises(ModelError, match="more than 268435456 bytes of memory, hidden ones counted"):
        model.call("predict", ROWS)


def test_an_allocation_that_is_too_large_still_fails_in_the_model(make):
    groups_of("memory")
    body = """
    def predict(self, X): return np.ones(2 ** 28)
    def other(self, X): return X
    """
    with make(body, limits=ModelLimits(seconds=20.0, memory_bytes=2**29)) as model:
        with pytest.raises(ModelError, match=r"MemoryError|allocate"):
            model.call("predict", ROWS)
        np.testing.assert_array_equal(model.call("other", ROWS), ROWS)


def test_no_group_is_left_and_those_of_killed_supervisors_are_removed(make):
    groups_of("pids")
    parent = next(parent for parent, controllers, _ in cgroups._places() if "pids" in controllers)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    abandoned = Path(parent, f"learndock-{ended.pid}")
    abandoned.mkdir()
    with make() as model:
        model.call("predict", ROWS)
        assert not abandoned.exists()
        own = Path(parent, f"learndock-{model._tree._supervisor.pid}")
        assert own.exists()
    assert not own.exists()


@pytest.fixture(name="version_2")
def folder_like_version_2(tmp_path, monkeypatch):
    """A folder with the files of version 2, in which this process is in the group app/own, as systemd would have it."""
    mounted = tmp_path / "cgroup"
    (mounted / "app" / "own").mkdir(parents=True)
    (mounted / "app" / "cgroup.subtree_control").write_text("cpu memory pids\n")
    (mounted / "app" / "own" / "cgroup.subtree_control").write_text("\n")
    for folder in (mounted / "app", mounted / "app" / "own"):
        (folder / "cgroup.procs").write_text("")
    contents = {
        "/proc/self/cgroup": ["0::/user/app/own"],
        "/proc/self/mountinfo": [f"30 23 0:26 /user {mounted} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"],
    }
    read = cgroups._lines
    monkeypatch.setattr(cgroups, "_lines", lambda file: contents.get(file) or read(file))
    return mounted


def test_version_2_is_used_where_a_part_is_delegated(version_2):
    groups = ControlGroups(memory_bytes=2**30, tasks=100)
    folder = version_2 / "app" / f"learndock-{os.getpid()}"
    assert groups.controllers == ["memory", "pids"]
    assert (folder / "memory.max").read_text() == str(2**30 + 2**28)
    assert (folder / "memory.swap.max").read_text() == "0"
    assert (folder / "pids.max").read_text() == "100"
    groups.join()
    assert (folder / "cgroup.procs").read_text() == "0"
    assert not groups.ran_out_of_memory()
    (folder / "memory.events").write_text("low 0\noom 1\noom_kill 1\n")
    assert groups.ran_out_of_memory()
    for file in folder.iterdir():  # which are no files in the real one
        file.unlink()
    groups.remove()
    assert not folder.exists()


def test_where_nothing_is_delegated_there_are_no_groups(version_2):
    (version_2 / "app" / "cgroup.subtree_control").write_text("\n")
    assert ControlGroups(memory_bytes=2**30, tasks=100).controllers == []
    shutil.rmtree(version_2)
    groups = ControlGroups(memory_bytes=2**30, tasks=100)
    assert groups.controllers == []
    groups.join()
    groups.remove()


def test_a_mount_that_shows_another_part_of_the_tree_is_taken_at_its_root(version_2, monkeypatch):
    lines = {"/proc/self/cgroup": ["0::/elsewhere"]}
    read = cgroups._lines
    monkeypatch.setattr(cgroups, "_lines", lambda file: lines.get(file) or read(file))
    (version_2 / "cgroup.subtree_control").write_text("pids\n")
    (version_2 / "cgroup.procs").write_text("")
    groups = ControlGroups(memory_bytes=2**30, tasks=100)
    assert groups.controllers == ["pids"]
    shutil.rmtree(version_2 / f"learndock-{os.getpid()}")
