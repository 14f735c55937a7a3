"""Zips that strangers have made: what is refused, and that nothing leaves the folder."""

from __future__ import annotations

import io
import stat
import struct
import time
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from learndock.errors import ArchiveRejected, InvalidArgument, LearnwareError
from learndock.learnware import ArchiveLimits, extract


@pytest.fixture
def place(tmp_path):
    """A folder with a zip's place and an empty target; afterwards, nothing else may lie in it."""
    inner = tmp_path / "inner"
    inner.mkdir()
    yield inner
    assert {item.name for item in tmp_path.iterdir()} == {"inner"}
    assert {item.name for item in inner.iterdir()} <= {"a.zip", "target"}


def entry(name, *, mode=stat.S_IFREG | 0o644, system=3, method=zipfile.ZIP_DEFLATED):
    info = zipfile.ZipInfo(name)
    # ZipInfo mends some names; a hostile zip is not made with it.
    info.filename = name
    info.external_attr = mode << 16
    info.create_system = system
    info.compress_type = method
    return info


def write_zip(place, *entries):
    """Write a.zip of (ZipInfo or name, content) pairs."""
    path = place / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for info, content in entries:
            kind = stat.S_IFDIR if isinstance(info, str) and info.endswith("/") else stat.S_IFREG
            archive.writestr(entry(info, mode=kind | 0o755) if isinstance(info, str) else info, content)
    return path


def assert_rejected(path, place, match, *, error=ArchiveRejected, limits=None):
    with pytest.raises(error, match=match):
        extract(path, place / "target", limits=limits)
    assert list((place / "target").iterdir()) == []


def test_ordinary_zips_are_unpacked_with_private_permissions(place):
    script = entry("inner/run.sh", mode=stat.S_IFREG | 0o4777)
    path = write_zip(place, ("./", b""), ("./learnware.yaml", b"a"), ("größe/年.txt", b"b" * 10_000), (script, b""))
    extract(path, place / "target")
    assert (place / "target" / "größe" / "年.txt").read_bytes() == b"b" * 10_000
    assert (place / "target" / "learnware.yaml").read_bytes() == b"a"
    assert stat.S_IMODE((place / "target" / "inner" / "run.sh").stat().st_mode) & 0o7177 == 0


def test_zips_without_unix_modes_and_with_stored_entries_are_unpacked(place):
    path = write_zip(place, (entry("a.txt", mode=0, system=0, method=zipfile.ZIP_STORED), b"text"))
    extract(path, place / "target")
    assert (place / "target" / "a.txt").read_bytes() == b"text"


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "a/../../evil",
        "a/..",
        "..",
        "/etc/evil",
        "//server/evil",
        "C:/evil",
        "c:evil",
        "a\\..\\..\\evil",
        "..\\evil",
        "a//b",
        "evil\x00.txt",
        "evil\n",
        "evil\x1b[2J",
        "x" * 256,
        "a/" * 40 + "b",
    ],
)
def test_names_that_leave_the_folder_or_are_none_are_rejected(place, name):
    # Put in by hand, in both places where a zip has it: zipfile mends some names.
    mask = "Q" * len(name.encode())
    path = write_zip(place, ("good.txt", b"good"), (mask, b"evil"))
    path.write_bytes(path.read_bytes().replace(mask.encode(), name.encode()))
    assert_rejected(path, place, "the zip's entry")


@pytest.mark.parametrize(
    "kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK, stat.S_IFDIR], ids=oct
)
def test_links_and_devices_are_rejected(place, kind):
    path = write_zip(place, ("good.txt", b""), (entry("link", mode=kind | 0o777), b"/etc/passwd"))
    assert_rejected(path, place, "neither a file nor a folder")


def test_a_link_is_rejected_whatever_system_made_the_zip(place):
    path = write_zip(place, (entry("link", mode=stat.S_IFLNK | 0o777, system=0), b"/etc/passwd"))
    assert_rejected(path, place, "neither a file nor a folder")


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (["a.txt", "a.txt"], "twice"),
        (["./a.txt", "a.txt"], "twice"),
        (["a", "a/b"], "twice"),
        (["a/b", "a"], "twice"),
        (["a.txt", "A.TXT"], "case or accents"),
        (["Sub/a", "sub/b"], "case or accents"),
        (["straße", "STRASSE"], "case or accents"),
        (["caf\u00e9", "cafe\u0301"], "case or accents"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_that_clash_on_any_file_system_are_rejected(place, names, complaint):
    assert_rejected(write_zip(place, *((name, b"") for name in names)), place, complaint)


def test_a_file_that_repeats_a_folders_entry_is_no_clash(place):
    extract(write_zip(place, ("a/", b""), ("a/b", b"1"), ("a/c/d", b"2")), place / "target")
    assert (place / "target" / "a" / "c" / "d").read_bytes() == b"2"


def test_encrypted_entries_are_rejected(place):
    path = write_zip(place, ("secret", b"secret"))
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    path.write_bytes(data)
    assert_rejected(path, place, "encrypted")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_unpack_without_bound_are_rejected(place, method):
    path = write_zip(place, (entry("a", method=method), bytes(1000)))
    assert_rejected(path, place, "another method")


def test_bombs_are_rejected_by_ratio_before_they_are_unpacked(place):
    path = write_zip(place, ("zeros", bytes(64 * 2**20)))
    start = time.perf_counter()
    assert_rejected(path, place, "more than 200 to 1")
    assert time.perf_counter() - start < 0.5


def test_bombs_are_rejected_by_count(place):
    path = write_zip(place, *((f"{number}", b"") for number in range(21)))
    assert_rejected(path, place, "21 entries, at most 20", limits=ArchiveLimits(files=20))


def test_a_list_of_contents_beyond_the_memory_is_not_even_read(place):
    path = place / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(30_000):
            archive.writestr(zipfile.ZipInfo(f"{number}"), b"")
    assert_rejected(path, place, "list of contents takes", limits=ArchiveLimits(files=1000))


@pytest.mark.parametrize(
    ("limits", "complaint"),
    [
        ({"file_bytes": 999}, "'b' in the zip has 1000 bytes"),
        ({"total_bytes": 1999}, "the whole in the zip has 2000 bytes"),
    ],
)
def test_bombs_are_rejected_by_size(place, limits, complaint):
    path = write_zip(place, ("a", bytes(1000)[:1]), ("b", bytes(1000)), ("c", bytes(999)))
    assert_rejected(path, place, complaint, limits=ArchiveLimits(**limits))


def _overlapping(count, content):
    """A zip whose entries all share the same compressed bytes."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(content) + packer.flush()
    fields = (20, 0, 8, 0, 0x21, zlib.crc32(content), len(packed), len(content))
    local = struct.pack("<4s5H3L2H", b"PK\x03\x04", *fields, 1, 0) + b"a" + packed
    listing = b"".join(
        struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 20, *fields, 1, 0, 0, 0, 0, 0, 0) + bytes([97 + number])
        for number in range(count)
    )
    return local + listing + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, len(listing), len(local), 0)


def test_entries_that_share_their_bytes_are_rejected(place):
    path = place / "a.zip"
    path.write_bytes(_overlapping(2, b"content"))
    assert_rejected(path, place, "'b' shares its bytes with 'a'")


def test_small_files_that_are_a_bomb_together_are_rejected(place):
    # A file of less than 16 MiB is compressed as it likes.
    path = write_zip(place, *((f"{number}", bytes(15 * 2**20)) for number in range(2)))
    assert_rejected(path, place, "the whole in the zip is compressed more than 200 to 1")


@pytest.mark.parametrize("claimed", [10, 100_000])
def test_a_size_that_is_a_lie_is_found_while_unpacking(place, claimed):
    path = write_zip(place, ("first", b"1"), ("lie", bytes(range(256)) * 200))
    data = bytearray(path.read_bytes())
    position = data.rindex(b"PK\x01\x02")
    data[position + 24 : position + 28] = struct.pack("<L", claimed)
    path.write_bytes(data)
    assert_rejected(path, place, "can't be opened|fewer bytes", error=LearnwareError)


@pytest.mark.parametrize(
    "content",
    [b"", b"no zip", b"PK\x05\x06", b"PK\x03\x04" + bytes(50), bytes(1000)],
    ids=lambda content: repr(content[:8]),
)
def test_what_is_no_zip_is_an_error(place, content):
    (place / "a.zip").write_bytes(content)
    assert_rejected(place / "a.zip", place, "a.zip can't be opened as a zip", error=LearnwareError)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 10_000), value=st.integers(0, 255), cut=st.integers(0, 400))
def test_damaged_zips_are_unpacked_or_refused_and_nothing_else(place, position, value, cut):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("learnware.yaml", b"model: {class_name: Model}" * 10)
        archive.writestr("inner/model.bin", bytes(range(256)))
    data = bytearray(stream.getvalue())
    data[position % len(data)] = value
    (place / "a.zip").write_bytes(data[: len(data) - cut % len(data) if position % 3 == 0 else len(data)])
    target = place / "target"
    try:
        extract(place / "a.zip", target)
    except LearnwareError:
        assert list(target.iterdir()) == []
    for item in sorted(target.rglob("*"), reverse=True):
        item.rmdir() if item.is_dir() else item.unlink()


def test_only_an_empty_folder_is_unpacked_into(place):
    path = write_zip(place, ("a", b""))
    (place / "target").mkdir()
    (place / "target" / "mine").write_text("mine")
    with pytest.raises(InvalidArgument, match="target: expected an empty folder"):
        extract(path, place / "target")
    assert (place / "target" / "mine").read_text() == "mine"


def test_a_zip_that_is_not_there_is_the_callers_fault(place):
    with pytest.raises(InvalidArgument, match="zip_path"):
        extract(place / "no.zip", place / "target")
    assert not (place / "target").exists()


@pytest.mark.parametrize(
    "limit",
    [
        "files",
        "file_bytes",
        "total_bytes",
        "ratio",
        "depth",
        "specification_bytes",
        "semantic_bytes",
        "description_bytes",
    ],
)
def test_limits_that_make_no_sense_name_themselves(limit):
    for value in (0, -1, 1.5, True, "1"):
        with pytest.raises(InvalidArgument, match=f"{limit}: expected a positive integer"):
            ArchiveLimits(**{limit: value})


def test_names_in_the_message_are_harmless(place):
    path = place / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("QQQQQ", b"")
    path.write_bytes(path.read_bytes().replace(b"QQQQQ", b"\x1b[2J\n"))
    with pytest.raises(ArchiveRejected) as caught:
        extract(path, Path(place, "target"))
    assert "\x1b" not in str(caught.value)
