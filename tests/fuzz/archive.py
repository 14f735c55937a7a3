"""A learnware's zip: unpacked, judged and read, without starting its model."""

from __future__ import annotations

import io
import os
import stat
import tempfile
import zipfile

import learndock as ld
from fuzz import zip_parts
from fuzz.expectations import read_or_refused, scratch
from hostile_files import good_files, raw_zip
from learndock.errors import LearndockError
from learndock.learnware.held_out import held_out_in_zip

_FOLDER = scratch("archive")
_FILE, _PRIVATE = _FOLDER / "a.zip", _FOLDER / "private"
_PRIVATE.mkdir()

mutate = zip_parts.mutate


def seeds() -> list[bytes]:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("top")
        for name, content in good_files().items():
            archive.writestr(f"top/{name}", content)
    return [raw_zip([]), stream.getvalue(), raw_zip([], comment=b"a comment", prefix=b"a program")]


def run(data: bytes) -> None:
    _FILE.write_bytes(data)
    before, tempfile.tempdir = tempfile.tempdir, os.fspath(_PRIVATE)
    try:
        learnware = read_or_refused(lambda: ld.Learnware.open(_FILE), LearndockError)
        if learnware is not None:
            with learnware:
                assert learnware.folder.is_relative_to(_PRIVATE.resolve())
                for folder, folders, files in os.walk(_PRIVATE):
                    for name in (*folders, *files):
                        mode = os.lstat(os.path.join(folder, name)).st_mode  # noqa: PTH118 (thousands a second)
                        assert stat.S_IFMT(mode) in (stat.S_IFREG, stat.S_IFDIR)
                        assert not mode & 0o7077
            read_or_refused(lambda: held_out_in_zip(_FILE, columns=2), LearndockError)
    finally:
        tempfile.tempdir = before
    assert os.listdir(_PRIVATE) == []
    assert sorted(os.listdir(_FOLDER)) == ["a.zip", "private"]
