"""Mapped files: read as they are, no descriptor, and let go of with the last array."""

import gc
import os
from pathlib import Path

import numpy as np
import pytest

import learndock as ld
from learndock import _mapped
from learndock._mapped import mapped_file
from learndock.dock import folding
from spec_batches import made_specs, user_spec

WAYS = [mapped_file, lambda path: with_descriptor(path)]


def with_descriptor(path):
    """The way of older Pythons, on any."""
    with path.open("rb") as file:
        return _mapped._mapped(file.fileno(), path.stat().st_size)


def descriptors():
    return len(os.listdir("/proc/self/fd"))


def is_mapped(path):
    return str(path) in Path("/proc/self/maps").read_text()


@pytest.mark.parametrize("way", WAYS, ids=["this Python's", "older Pythons'"])
def test_a_file_is_mapped_without_a_descriptor_until_the_last_array_goes(tmp_path, way):
    path = tmp_path / "numbers"
    numbers = np.arange(10_000, dtype=np.float32)
    path.write_bytes(numbers.tobytes())
    before = descriptors()
    array = np.frombuffer(way(path), np.float32, offset=400)
    part = array[5:50]
    del array
    gc.collect()
    assert descriptors() == before
    assert is_mapped(path)
    path.unlink()
    assert part.tolist() == numbers[105:150].tolist()
    with pytest.raises(ValueError, match="WRITEABLE"):
        part.setflags(write=True)
    del part
    gc.collect()
    assert not is_mapped(path)


def test_what_cant_be_mapped_is_an_error(tmp_path):
    (tmp_path / "empty").touch()
    with pytest.raises(ValueError, match="empty"):
        mapped_file(tmp_path / "empty")
    with pytest.raises(FileNotFoundError):
        mapped_file(tmp_path / "absent")
    with (tmp_path / "for writing").open("wb") as file, pytest.raises(OSError, match="denied"):
        _mapped._mapped(file.fileno(), 100)


def test_a_dock_of_many_segments_holds_no_more_descriptors_than_one_of_none(tmp_path, monkeypatch):
    monkeypatch.setattr(folding, "SEGMENT_SPECS", 4)
    monkeypatch.setattr(folding, "LARGEST_SEGMENT_BYTES", 1024)
    points, weights = made_specs(60, 3)
    with ld.Dock(tmp_path / "dock") as dock:
        user = user_spec(3, 0.1)
        dock.ingest(points=points[:2], weights=weights[:2], gamma=0.1)
        dock.search(user)
        before = descriptors()
        dock.ingest(points=points, weights=weights, gamma=0.1)
        found = dock.search(user, k=99).singles
        assert len(found) == 62
        assert len(os.listdir(tmp_path / "dock" / "specs")) >= 5
        assert descriptors() <= before
