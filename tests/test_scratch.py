"""Private folders: those that a killed process leaves are removed by the next, those in use are not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from learndock.runtime import scratch
from learndock.runtime.scratch import private_folder, remove_folder

MAKER = """
import sys
from learndock.runtime.scratch import private_folder
folder = private_folder("test")
(folder / "file").write_text("x")
print(folder, flush=True)
input()
"""


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))


def start_maker() -> tuple[subprocess.Popen, Path]:
    maker = subprocess.Popen([sys.executable, "-c", MAKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return maker, Path(maker.stdout.readline().strip())


def age(folder: Path) -> None:
    """Make it look as if it was made an hour ago."""
    os.utime(folder, (time.time() - 3600,) * 2)


def test_a_folder_is_private_and_removed(tmp_path):
    folder = private_folder("test")
    assert folder.parent == tmp_path
    assert folder.stat().st_mode & 0o777 == 0o700
    remove_folder(folder)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("killed", [True, False], ids=["its maker was killed", "its maker lives"])
def test_an_old_folder_is_removed_when_nobody_holds_it(killed):
    maker, folder = start_maker()
    with maker:
        if killed:
            maker.send_signal(signal.SIGKILL)
            maker.wait()
        age(folder)
        scratch._swept.clear()
        remove_folder(private_folder("other"))
        assert folder.exists() != killed
        if not killed:
            maker.communicate("\n")


def test_a_young_folder_is_left_for_its_maker_may_be_about_to_lock_it():
    maker, folder = start_maker()
    with maker:
        maker.send_signal(signal.SIGKILL)
        maker.wait()
    scratch._swept.clear()
    remove_folder(private_folder("other"))
    assert folder.exists()


def test_a_link_of_that_name_is_not_followed(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("x")
    age(outside)
    (tmp_path / "learndock-private-test-x").symlink_to(outside)
    scratch._swept.clear()
    remove_folder(private_folder("other"))
    assert (outside / "file").exists()
