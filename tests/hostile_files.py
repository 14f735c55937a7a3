"""Learnwares that somebody made to do harm: each builder writes one zip, and says how it must be refused.

`HOSTILE` is run by test_hostile_files.py, and by the sanitizers' session.
"""

from __future__ import annotations

import io
import json
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from learndock.errors import ArchiveRejected, LearndockError, LearnwareError, SemanticError, SpecificationFileError

__all__ = ["HARMLESS", "HOSTILE", "HostileFile", "good_files", "write_zip"]


@dataclass(frozen=True)
class HostileFile:
    """One zip.

    Attributes
    ----------
    name : str
        The attack, in words.
    stopped_by : str
        What stops it, in words.
    error, says : type, str
        How it is refused: the class, and a part of the message (a regular expression).
    write : callable
        Writes the zip to a path.
    """

    name: str
    stopped_by: str
    error: type[LearndockError]
    says: str
    write: Callable[[Path], None]


HOSTILE: list[HostileFile] = []
# What looks hostile and does nothing: it is opened.
HARMLESS: list[HostileFile] = []

MODEL = b"""
import numpy as np
from learnware.model import BaseModel

class Model(BaseModel):
    def __init__(self):
        super().__init__((2,), (1,))

    def predict(self, X):
        return X.sum(axis=1)
"""
YAML = b"""
model: {class_name: Model, kwargs: {}}
stat_specifications:
  - {module_path: learnware.specification, class_name: RKMETableSpecification, file_name: stat.json, kwargs: {}}
"""
SPECIFICATION = {"z": [[0.1, 0.2], [0.3, 0.4]], "beta": [0.25, 0.75], "gamma": 0.1, "type": "RKMETableSpecification"}
SEMANTIC = {
    "Data": {"Type": "Class", "Values": ["Table"]},
    "Task": {"Type": "Class", "Values": ["Regression"]},
    "Library": {"Type": "Class", "Values": ["Others"]},
    "Scenario": {"Type": "Tag", "Values": ["Others"]},
    "License": {"Type": "Class", "Values": ["MIT"]},
    "Name": {"Type": "String", "Values": "sum"},
    "Description": {"Type": "String", "Values": "The sum of a row."},
    "Input": {"Dimension": 2, "Description": {"0": "a", "1": "b"}},
    "Output": {"Dimension": 1, "Description": {"0": "sum"}},
}


def good_files() -> dict[str, bytes]:
    """The files of a learnware with nothing wrong."""
    return {
        "__init__.py": MODEL,
        "learnware.yaml": YAML,
        "stat.json": json.dumps(SPECIFICATION).encode(),
        "semantic_specification.json": json.dumps(SEMANTIC).encode(),
    }


def write_zip(path: Path, files: Mapping[str, bytes]) -> None:
    """Write a zip of the files; what is read here is stored, so that no limit on ratios hides another."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            read = name.endswith((".json", ".npy", ".npz", ".yaml", ".txt"))
            archive.writestr(name, content, zipfile.ZIP_STORED if read else zipfile.ZIP_DEFLATED)


# Zips, byte by byte.


@dataclass
class Entry:
    """One entry of a zip; what is None is as it must be."""

    name: bytes
    content: bytes = b""
    mode: int = stat.S_IFREG | 0o644
    system: int = 3
    flags: int = 0
    method: int = 0
    extra: bytes = b""
    attributes: int = 0
    packed: bytes | None = None
    size: int | None = None
    packed_size: int | None = None
    crc: int | None = None
    local_name: bytes | None = None
    offset: int | None = None


def raw_zip(
    entries: list[Entry],
    *,
    comment: bytes = b"",
    prefix: bytes = b"",
    suffix: bytes = b"",
    count: int | None = None,
    list_size: int | None = None,
    list_offset: int | None = None,
    locator: bytes = b"",
) -> bytes:
    """A learnware with the entries besides."""
    whole, listing = bytearray(prefix), bytearray()
    everything = [*(Entry(name.encode(), content) for name, content in good_files().items()), *entries]
    for entry in everything:
        packed = entry.content if entry.packed is None else entry.packed
        size = len(entry.content) if entry.size is None else entry.size
        packed_size = len(packed) if entry.packed_size is None else entry.packed_size
        crc = zlib.crc32(entry.content) if entry.crc is None else entry.crc
        name = entry.name if entry.local_name is None else entry.local_name
        fields = (20, entry.flags, entry.method, 0, 0x21, crc, packed_size, size)
        offset = len(whole) - len(prefix) if entry.offset is None else entry.offset
        whole += struct.pack("<4s5H3L2H", b"PK\x03\x04", *fields, len(name), 0) + name + packed
        attributes = (entry.mode << 16) | entry.attributes
        lengths = (len(entry.name), len(entry.extra), 0, 0, 0)
        listing += struct.pack("<4sBB5H3L5H2L", b"PK\x01\x02", 20, entry.system, *fields, *lengths, attributes, offset)
        listing += entry.name + entry.extra
    count = len(everything) if count is None else count
    start = len(whole) - len(prefix) if list_offset is None else list_offset
    size = len(listing) if list_size is None else list_size
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count & 0xFFFF, count & 0xFFFF, size, start, len(comment))
    return bytes(whole + listing + locator + end + comment + suffix)


def deflated(content: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()


def hostile(name: str, stopped_by: str, error: type[LearndockError], says: str):
    """Register a function that returns the bytes of a zip, or the files of one."""

    def register(build: Callable[[], bytes | dict[str, bytes]]):
        def write(path: Path) -> None:
            built = build()
            if isinstance(built, bytes):
                path.write_bytes(built)
            else:
                write_zip(path, {**good_files(), **built})

        HOSTILE.append(HostileFile(name, stopped_by, error, says, write))
        return build

    return register


def add(
    name: str, stopped_by: str, error: type[LearndockError], says: str, build: Callable[[], bytes | dict[str, bytes]]
) -> None:
    hostile(name, stopped_by, error, says)(build)


# Names.

_NAMES = "names are checked before anything is written"
for what, raw, says in [
    ("a path out of the folder", b"../evil", "leaves its folder"),
    ("a path out of the folder, from within", b"a/../../evil", "leaves its folder"),
    ("the folder above itself", b"..", "leaves its folder"),
    ("an absolute path", b"/tmp/evil", "no relative path"),
    ("a path to a server", b"//server/evil", "no relative path"),
    ("a drive", b"C:/evil", "no relative path"),
    ("a drive's own folder", b"c:evil", "no relative path"),
    ("backslashes", b"..\\evil", "no relative path"),
    ("an empty part", b"a//b", "empty parts"),
    ("an empty name", b"", "empty parts"),
    ("NUL in a name", b"good.txt\0.py", "control characters"),
    ("a line break in a name", b"evil\n", "control characters"),
    ("a terminal's commands in a name", b"\x1b[2Jevil", "control characters"),
    ("right-to-left marks in a name", "\u202egpj.py".encode(), "control characters"),
    ("a name of 256 bytes", b"x" * 256, "too long"),
    ("a name of 60,000 bytes", b"x" * 60_000, "too long"),
    ("folders 40 deep", b"a/" * 40 + b"b", "too deep"),
    ("a path of 3,000 bytes", b"/".join([b"x" * 200] * 15), "too long"),
]:
    add(what, _NAMES, ArchiveRejected, says, lambda raw=raw: raw_zip([Entry(raw, b"evil", flags=0x800)]))
add(
    "a name that is no UTF-8, though said to be",
    "an error of decoding is a refusal",
    LearnwareError,
    "can't be opened as a zip",
    lambda: raw_zip([Entry(b"\xff\xfe\xfa", b"evil", flags=0x800)]),
)

# What an entry is.

_KIND = "the mode in the list of contents is checked, whatever system wrote it; only files and folders are made"
for what, mode in [
    ("a symbolic link", stat.S_IFLNK),
    ("a character device", stat.S_IFCHR),
    ("a block device", stat.S_IFBLK),
    ("a pipe", stat.S_IFIFO),
    ("a socket", stat.S_IFSOCK),
    ("a folder under a file's name", stat.S_IFDIR),
]:
    add(
        what,
        _KIND,
        ArchiveRejected,
        "neither a file nor a folder",
        lambda mode=mode: raw_zip([Entry(b"evil", b"/etc/passwd", mode=mode | 0o777)]),
    )
add(
    "a symbolic link that says it is from DOS",
    _KIND,
    ArchiveRejected,
    "neither a file nor a folder",
    lambda: raw_zip([Entry(b"evil", b"/etc/passwd", mode=stat.S_IFLNK | 0o777, system=0)]),
)
add(
    "a link of Windows (a reparse point)",
    _KIND,
    ArchiveRejected,
    "neither a file nor a folder",
    lambda: raw_zip([Entry(b"evil", b"C:/", mode=0, system=10, attributes=0x400)]),
)
add(
    "a link that a later entry is written through",
    _KIND,
    ArchiveRejected,
    "neither a file nor a folder",
    lambda: raw_zip([Entry(b"out", b"/tmp", mode=stat.S_IFLNK | 0o777), Entry(b"out/evil", b"evil")]),
)
for what, flags in [("an encrypted entry", 0x1), ("strong encryption", 0x41), ("a masked list", 0x2000)]:
    add(what, "flags are checked", ArchiveRejected, "encrypted", lambda f=flags: raw_zip([Entry(b"a", b"a", flags=f)]))
for what, method in [("bzip2", 12), ("LZMA", 14), ("deflate64", 9), ("AES (method 99)", 99), ("an unknown method", 77)]:
    add(
        f"an entry compressed by {what}",
        "only what is stored or deflated is unpacked: the others give blocks of any size at once",
        ArchiveRejected,
        "another method",
        lambda method=method: raw_zip([Entry(b"a", b"a", method=method)]),
    )

# Where the first of the entries besides lies.
_FIRST_OFFSET = len(raw_zip([])) - sum(46 + len(name) for name in good_files()) - 22

# Sizes and numbers.


@hostile("a bomb: 64 MiB of zeros", "size over compressed size, 200 at most", ArchiveRejected, "more than 200 to 1")
def _bomb():
    return {"zeros": bytes(64 * 2**20)}


@hostile("a bomb in small files", "the ratio of the whole", ArchiveRejected, "the whole in the zip is compressed")
def _small_bombs():
    return {f"zeros{number}": bytes(15 * 2**20) for number in range(3)}


@hostile("10,001 entries", "a limit on entries", ArchiveRejected, "entries, at most 10000")
def _many():
    return {f"{number}": b"" for number in range(9_998)}


@hostile("12,000 folders that no entry is", "folders count, listed or not", ArchiveRejected, "files and folders")
def _folders():
    return {f"{number}/" + "a/" * 23 + "f": b"" for number in range(500)}


@hostile(
    "one name twice, 32 folders deep, after 9,900 others",
    "each part of a name is compared once",
    ArchiveRejected,
    "twice",
)
def _deep_and_many():
    folder = "".join(f"{number:011d}/" for number in range(31)).encode()
    return raw_zip([Entry(folder + b"%d" % (number % 9_900)) for number in range(9_901)])


@hostile(
    "a list of contents of 30 MB",
    "the list's size is checked before zipfile reads it",
    ArchiveRejected,
    "list of contents takes",
)
def _long_list():
    return raw_zip([Entry(b"a", extra=struct.pack("<2H", 0xCAFE, 60_000) + bytes(60_000)) for _ in range(500)])


@hostile("entries that share their bytes", "places are compared", ArchiveRejected, "'b' shares its bytes with 'a'")
def _shared():
    content = bytes(15 * 2**20)
    first = Entry(b"a", content, method=8, packed=deflated(content))
    return raw_zip([first, Entry(b"b", content, method=8, packed=first.packed, offset=_FIRST_OFFSET)])


@hostile(
    "entries one within the other, as in the 46 MB bomb of 4.5 PB",
    "places are compared",
    ArchiveRejected,
    "shares its bytes",
)
def _quoted():
    # The first is stored, and its bytes are the second's header and content.
    inner = struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 0, 0, 0x21, zlib.crc32(b"x"), 1, 1, 1, 0) + b"bx"
    return raw_zip([Entry(b"a", inner), Entry(b"b", b"x", offset=_FIRST_OFFSET + 31)])


@hostile("an entry that begins in the list", "places are compared", ArchiveRejected, "shares its bytes")
def _in_list():
    return raw_zip([Entry(b"a", b"x", packed_size=200)])


@hostile(
    "a size that is too small", "no more is unpacked than the list says", LearnwareError, "can't be opened|more bytes"
)
def _too_small():
    content = bytes(range(256)) * 200
    return raw_zip([Entry(b"a", content, method=8, packed=deflated(content), size=10)])


@hostile("a size that is too large", "real bytes are counted", LearnwareError, "can't be opened|fewer bytes")
def _too_large():
    content = bytes(range(256)) * 200
    return raw_zip([Entry(b"a", content, method=8, packed=deflated(content), size=100_000)])


_ZIP64 = 0xFFFFFFFF
for what, sizes, says in [
    ("a claim of 2^64 - 1 bytes", (2**64 - 1, 1), "has 18446744073709551615 bytes"),
    ("a claim of 5 GiB", (5 * 2**30, 5 * 2**30), "has 5368709120 bytes"),
    ("2^63 compressed bytes", (100, 2**63), "shares its bytes"),
]:
    add(
        what,
        "sizes are compared with the limits, in integers that don't overflow",
        ArchiveRejected,
        says,
        lambda sizes=sizes: raw_zip(
            [Entry(b"a", b"x", extra=struct.pack("<2H2Q", 1, 16, *sizes), size=_ZIP64, packed_size=_ZIP64)]
        ),
    )
add(
    "three files of 3 GiB each",
    "the sum is compared with a limit",
    ArchiveRejected,
    "the whole in the zip has|compressed more than",
    lambda: raw_zip([Entry(b"a%d" % number, b"x", method=8, size=3 * 2**30) for number in range(3)]),
)
add(
    "an entry at 2^32 - 2",
    "places are compared",
    ArchiveRejected,
    "shares its bytes",
    lambda: raw_zip([Entry(b"a", b"x", offset=2**32 - 2)]),
)
add(
    "a list that says it lies at 2^31",
    "places are compared",
    ArchiveRejected,
    "shares its bytes",
    lambda: raw_zip([], list_offset=2**31),
)
add(
    "an extra field of 64-bit sizes that is cut short",
    "an error of parsing is a refusal",
    LearnwareError,
    "can't be opened as a zip",
    lambda: raw_zip([Entry(b"a", b"x", extra=struct.pack("<2HL", 1, 16, 1), size=_ZIP64)]),
)
_CLASH = "names are compared without regard to case and to how accents are written"
for what, names, says in [
    ("a name twice", ["a.txt", "a.txt"], "twice"),
    ("learnware.yaml twice", ["learnware.yaml"], "twice"),
    ("a name twice, once with ./", ["a.txt", "./a.txt"], "twice"),
    ("a file that is also a folder", ["a", "a/b"], "twice"),
    ("a folder that is also a file", ["a/b", "a"], "twice"),
    ("names that differ by case", ["Model.bin", "model.BIN"], "case or accents"),
    ("LEARNWARE.YAML beside learnware.yaml", ["LEARNWARE.YAML"], "case or accents"),
    ("names that differ by how accents are written", ["caf\u00e9", "cafe\u0301"], "case or accents"),
]:
    add(
        what,
        _CLASH,
        ArchiveRejected,
        says,
        lambda names=names: raw_zip([Entry(name.encode(), b"", flags=0x800) for name in names]),
    )

# The zip itself.

_READER = "what zipfile refuses is an error of ours"
for what, build in [
    ("an empty file", lambda: b""),
    ("text", lambda: b"no zip" * 100),
    ("a zip cut short", lambda: raw_zip([])[:-30]),
    ("zeros", lambda: bytes(100_000)),
    ("an end alone", lambda: b"PK\x05\x06" + bytes(18)),
    ("an end that says 4 GiB of list", lambda: raw_zip([], list_size=2**32 - 2)),
    ("a list shorter than its entries", lambda: raw_zip([], list_size=30)),
    (
        "a locator of 64-bit sizes that leads nowhere",
        lambda: raw_zip([], locator=b"PK\x06\x07" + bytes(4) + b"\xff" * 12),
    ),
    ("a wrong checksum", lambda: raw_zip([Entry(b"a", b"x", crc=1)])),
    ("another name before the content than in the list", lambda: raw_zip([Entry(b"a.py", b"x", local_name=b"b.py")])),
    ("deflated data that is none", lambda: raw_zip([Entry(b"a", b"\xff" * 50, method=8)])),
]:
    add(what, _READER, LearnwareError, "can't be opened as a zip|learnware.yaml is missing", build)
add(
    "bytes behind the end",
    "the end is where the file ends: no reader may find another one",
    ArchiveRejected,
    "goes on behind its end",
    lambda: raw_zip([], suffix=b"another zip, or a program"),
)


@hostile(
    "a comment that is an end, too", "the end is where the file ends", LearnwareError, "learnware.yaml is missing|end"
)
def _two_ends():
    # The inner end lists nothing: some readers would find an empty zip.
    return raw_zip([], comment=struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0, 0, 0, 0, 0))


@hostile("two top folders", "learnware.yaml lies at the top, or in the only folder there", LearnwareError, "is missing")
def _two_tops():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in good_files().items():
            archive.writestr(f"a/{name}", content)
        archive.writestr("b/x", b"")
    return stream.getvalue()


# learnware.yaml and environment.yaml.

_ALIASES = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
_TUPLES = "a: &a !!python/tuple [x, x]\n" + "".join(
    f"{name}: &{name} !!python/tuple [*{before}, *{before}]\n"
    for before, name in zip("abcdefghijklmnopqrstuvw", "bcdefghijklmnopqrstuvwx", strict=True)
)
_TAGS = "a safe loader; of Python's tags there is only the tuple's"
for what, by, text, says in [
    ("a YAML tag that calls a function", _TAGS, "model: !!python/object/apply:os.system ['true']", "can't be read"),
    ("a YAML tag that makes an object", _TAGS, "model: !!python/object:os.path {}", "can't be read"),
    ("a YAML tag that names a function", _TAGS, "model: {kwargs: {f: !!python/name:os.system }}", "can't be read"),
    ("a YAML tag that imports a module", _TAGS, "model: {kwargs: {f: !!python/module:os }}", "can't be read"),
    (
        "a YAML tag in its long form",
        _TAGS,
        "model: !<tag:yaml.org,2002:python/object/new:os.error> []",
        "can't be read",
    ),
    ("aliases of aliases, 9^9 items", "the content is measured as if written out", _ALIASES, "aliases written out"),
    ("tuples of aliases, 2^24 items", "the content is measured as if written out", _TUPLES, "aliases written out"),
    ("a key whose hash takes forever", "a tuple is no key", _TUPLES + "? *x\n: 1", "can't be read"),
    ("a list that holds itself", "the content is measured as if written out", "a: &a [*a]", "aliases written out"),
    ("merge keys of merge keys", "merge keys are refused", "a: &a {k: 1}\nb: {<<: [*a, *a]}", "can't be read"),
    ("YAML nested 100,000 deep", "deep nesting ends in an error", "a: " + "[" * 100_000, "can't be read"),
    ("YAML blocks nested 100,000 deep", "deep nesting ends in an error", "- " * 100_000, "can't be read"),
    ("a YAML file of 1 MiB", "a limit on the file, before it is read", "x: " + "y" * 2**20, "larger than"),
    ("an integer of 800,000 bits", "integers are measured", "id: 0x" + "f" * 200_000, "an integer of"),
    ("an integer of 200,000 digits", "Python's own limit", "id: " + "9" * 200_000, "can't be read"),
    ("an integer in base 60", "an overflow is an error", "id: " + "1:" * 100_000 + "1.5", "can't be read"),
    ("YAML that is no mapping", "the type is checked", "[1, 2]", "expected a mapping"),
    ("two YAML documents", "one document is read", "a: 1\n---\nb: 2", "can't be read"),
    ("NUL in YAML", "control characters are refused", "a: \0", "can't be read"),
    ("a module outside the folder", "paths stay in the folder", "model: {module_path: ../x.py}", "inside the folder"),
    ("an absolute module path", "paths stay in the folder", "model: {module_path: /etc/x.py}", "inside the folder"),
    ("a module path with code", "names are checked", "model: {module_path: 'os; import sys'}", "model.module_path"),
    ("a class name with code", "names are checked", "model: {class_name: 'M()'}", "model.class_name"),
    (
        "constructor arguments of 70,000 characters",
        "they fit into one message",
        "model: {kwargs: {t: " + "y" * 70_000 + "}}",
        "at most 60000",
    ),
    (
        "constructor arguments that are tiny tuples",
        "they are measured as they are sent",
        "model: {kwargs: {t: [" + "!!python/tuple [], " * 8_000 + "]}}",
        "at most 60000",
    ),
    (
        "a specification's class from the zip",
        "classes come from a closed list; nothing is imported for them",
        "stat_specifications: [{module_path: evil, class_name: Evil, file_name: stat.json}]",
        "expected one of",
    ),
    (
        "a specification's file outside the folder",
        "paths stay in the folder",
        "stat_specifications: [{class_name: RKMETableSpecification, file_name: ../../etc/passwd}]",
        "inside the folder",
    ),
    (
        "a semantic file outside the folder",
        "paths stay in the folder",
        "semantic_specification: {file_name: /etc/passwd}",
        "inside the folder",
    ),
]:
    add(what, by, LearnwareError, says, lambda text=text: {"learnware.yaml": text.encode()})
add(
    "learnware.yaml in no UTF",
    "an error of decoding is a refusal",
    LearnwareError,
    "can't be read",
    lambda: {"learnware.yaml": b"name: \xff\xfe\xfa"},
)
for what, text, says in [
    ("an environment.yaml with a tag that calls", "dependencies: !!python/object/apply:os.system ['true']", "can't be"),
    ("an environment.yaml of aliases", _ALIASES, "aliases written out"),
    ("an environment.yaml of 1,500 packages", "dependencies: [" + "a, " * 1500 + "]", "more than 1000 requirements"),
]:
    add(what, "as for learnware.yaml", LearnwareError, says, lambda text=text: {"environment.yaml": text.encode()})
for what, content, says in [
    ("2,000 requirements", b"numpy\n" * 2000, "more than 1000"),
    ("a requirement of 100,000 characters", b"a" * 100_000, "more than 1000 characters"),
    ("a requirements.txt of 2 MiB", b"#" * 2**21, "larger than"),
    ("a requirements.txt in no UTF-8", b"numpy\xff", "not UTF-8"),
]:
    add(what, "a limit on file, lines and characters", LearnwareError, says, lambda c=content: {"requirements.txt": c})

# Specifications in JSON.


def specification(**changes: object) -> bytes:
    return json.dumps({**SPECIFICATION, **changes}).encode()


_FINITE = "numbers must be finite, up to 1e150"
_SHAPE = "shapes are checked"
for what, by, content, says in [
    ("NaN among the weights", _FINITE, specification(beta=[float("nan"), 1.0]), "beta: expected finite"),
    ("infinity among the weights", _FINITE, specification(beta=[float("-inf"), 1.0]), "beta: expected finite"),
    ("NaN among the points", _FINITE, specification(z=[[float("nan"), 0], [0, 0]]), "z: expected finite"),
    ("null among the points", _FINITE, specification(z=[[None, 0], [0, 0]]), "z: expected finite"),
    ("1e999 among the points", _FINITE, b'{"z": [[1e999]], "beta": [1], "gamma": 1}', "z: expected finite"),
    ("1e200 among the points", _FINITE, specification(z=[[1e200, 0], [0, 0]]), "magnitudes up to"),
    ("10^400 among the points", "integers beyond float64 are refused", specification(z=[[10**400, 0], [0, 0]]), "z: "),
    ("a NaN gamma", _FINITE, specification(gamma=float("nan")), "gamma: expected a positive number"),
    ("a negative gamma", "gamma is positive", specification(gamma=-1), "gamma: expected a positive number"),
    (
        "gamma as a list of a million",
        "one number is no list",
        specification(gamma=[1] * 10**6),
        "gamma: expected a num",
    ),
    ("10^400 rows", "counts are bounded", specification(num_points=10**400), "num_points: expected at most"),
    ("an integer of 5,000 digits", "Python's own limit", b'{"gamma": 1' + b"0" * 5000 + b"}", "expected JSON"),
    ("ragged points", _SHAPE, specification(z=[[1.0], [1.0, 2.0]]), "z: expected a rectangular list"),
    ("points of 70 dimensions", _SHAPE, b'{"z": ' + b"[" * 70 + b"1" + b"]" * 70 + b"}", "z: expected a rectangular"),
    ("no points", _SHAPE, specification(z=[]), "z: expected"),
    ("fewer weights than points", _SHAPE, specification(beta=[1.0]), "weights: expected one weight"),
    ("text for numbers", "text is no number", specification(z=[["1", "2"], ["3", "4"]]), "text among them"),
    (
        "one text of 20 MB among a million numbers",
        "NumPy never guesses a type: it would make each as long",
        b'{"z": ["' + b"a" * 20_000_000 + b'",' + b"1," * 10**6 + b"1]}",
        "text among them",
    ),
    ("an object for points", _SHAPE, specification(z={"shape": [10**9, 10**9]}), "z: expected"),
    ("JSON nested 100,000 deep", "deep nesting ends in an error", b'{"z": ' + b"[" * 100_000, "expected JSON"),
    (
        "2,000,001 empty lists",
        "lists are counted before they are made",
        b'{"z": [' + b"[]," * 2_000_000 + b"[]]}",
        "more than 2000000",
    ),
    (
        "a million objects",
        "objects are counted before they are made",
        b'{"z": [' + b"{}," * 10**6 + b"{}]}",
        "more than 100 of",
    ),
    ("20 million numbers", "numbers are counted before they are made", b'{"z": [' + b"1," * 20_000_000, "more than"),
    ("65 MiB of JSON", "a limit on the file, before it is read", b" " * 65 * 2**20, "expected at most"),
    (
        "a name twice in JSON",
        "names are compared",
        b'{"z": [[1]], "z": [[2]], "beta": [1], "gamma": 1}',
        "twice in one",
    ),
    ("a field's name of 1 MB", "names are bounded", b'{"' + b"a" * 10**6 + b'": 1}', "at most 1000 characters"),
    ("JSON in UTF-16", "UTF-8 alone is read", json.dumps(SPECIFICATION).encode("utf-16"), "expected JSON"),
    ("JSON with bytes that are no UTF-8", "UTF-8 alone is read", b'{"type": "\xff"}', "expected JSON"),
    ("JSON that goes on", "one value is read", specification() + b"{}", "expected JSON"),
    ("JSON cut short", "an error of parsing is a refusal", specification()[:-9], "expected JSON"),
    ("an empty specification", "an error of parsing is a refusal", b"", "expected JSON"),
    ("JSON that is no object", "the type is checked", b"[1, 2]", "JSON object"),
    ("a type of another package", "types come from a closed list", specification(type="os.system"), "type: expected"),
    ("a type that is a list", "types come from a closed list", specification(type=["a"] * 9), "type: expected"),
]:
    add(what, by, SpecificationFileError, says, lambda content=content: {"stat.json": content})

# Specifications in NumPy's format: a zip of arrays.


def npy(header: str, data: bytes = b"", *, version: bytes = b"\1\0") -> bytes:
    text = header.encode("latin-1") + b"\n"
    length = len(text).to_bytes(2 if version == b"\1\0" else 4, "little")
    return b"\x93NUMPY" + version + length + text + data


def described(shape: str, *, dtype: str = "'<f8'", order: str = "False") -> str:
    return f"{{'descr': {dtype}, 'fortran_order': {order}, 'shape': {shape}, }}"


def plain(array: object) -> bytes:
    file = io.BytesIO()
    np.save(file, np.asarray(array), allow_pickle=True)
    return file.getvalue()


def npz(members: Mapping[str, bytes] | list[tuple[str, bytes]], *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    pairs = list(members.items()) if isinstance(members, Mapping) else members
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in pairs:
            archive.writestr(name, content)
    return stream.getvalue()


def with_points(z: bytes) -> bytes:
    return npz({"z.npy": z, "beta.npy": plain([0.5, 0.5]), "gamma.npy": plain(0.1)})


_CLAIM = "a header's claim is compared with the bytes that are there, in integers that don't overflow"
_NUMBERS = "arrays of numbers alone; nothing is unpickled"
_HEADER = "a header has 10,000 bytes at most and is not evaluated: its three items are found or missing"
for what, by, content, says in [
    ("10^18 elements", _CLAIM, with_points(npy(described("(1000000000, 1000000000)"))), "claims shape"),
    ("2^62 rows of 4", _CLAIM, with_points(npy(described("(4611686018427387904, 4)"))), "claims shape"),
    ("2^64 rows, 0 with overflow", _CLAIM, with_points(npy(described("(18446744073709551616, 1)"))), "claims shape"),
    ("a negative number of rows", _CLAIM, with_points(npy(described("(-1, 2)"), bytes(32))), "claims shape|be read"),
    ("two negative numbers", _CLAIM, with_points(npy(described("(-2, -2)"), bytes(32))), "claims shape|be read|z: "),
    ("one byte too few", _CLAIM, with_points(npy(described("(2, 2)"), bytes(31))), "truncated"),
    ("40 axes of length 1", _SHAPE, with_points(npy(described(str((1,) * 40)), bytes(8))), "z: expected 2 dim"),
    ("100 axes", _SHAPE, with_points(npy(described(str((1,) * 100)), bytes(8))), "can't be read"),
    ("no elements", _SHAPE, with_points(npy(described("(0, 5)"))), "can't be read|z: expected"),
    ("a shape of texts", _HEADER, with_points(npy(described("('a', 2)"), bytes(32))), "can't be read"),
    ("pickled objects", _NUMBERS, with_points(plain(np.array([[{}, 1]], dtype=object))), "got dtype object"),
    (
        "a record",
        _NUMBERS,
        with_points(npy(described("(2,)", dtype="[('a', '<f8')]"), bytes(16))),
        "no array of numbers",
    ),
    ("dates", _NUMBERS, with_points(npy(described("(2, 2)", dtype="'<M8[s]'"), bytes(32))), "no array of numbers"),
    ("texts of 10^8 characters", _CLAIM, with_points(npy(described("(2, 2)", dtype="'<U99999999'"))), "claims shape"),
    ("a dtype that is none", _HEADER, with_points(npy(described("(2, 2)", dtype="'<f7'"))), "can't be read"),
    ("a dtype that is a number", _HEADER, with_points(npy(described("(2, 2)", dtype="7"))), "can't be read"),
    ("NaN in an array", _FINITE, with_points(plain([[float("nan"), 0.0], [0.0, 0.0]])), "z: expected finite"),
    ("code as a header", _HEADER, with_points(npy("__import__('os').system('true')")), "can't be read"),
    ("a header nested 5,000 deep", _HEADER, with_points(npy("(" * 5000)), "can't be read"),
    ("a header of 9,000 minus signs", _HEADER, with_points(npy("-" * 9000 + "1")), "can't be read"),
    ("a header with a list as key", _HEADER, with_points(npy("{[]: 1}")), "can't be read"),
    ("a header of keys of two types", _HEADER, with_points(npy("{1: 1, 'a': 2}")), "can't be read"),
    ("a header of 2^32 - 1 bytes", _HEADER, with_points(b"\x93NUMPY\2\0\xff\xff\xff\xff{"), "can't be read"),
    ("a header of 60,000 characters", _HEADER, with_points(npy(" " * 60_000)), "can't be read"),
    ("a format of the future", _HEADER, with_points(b"\x93NUMPY\x63\0" + bytes(100)), "can't be read"),
    ("an array that is none", _HEADER, with_points(b"no array"), "can't be read"),
    ("an empty array", _HEADER, with_points(b""), "can't be read"),
    (
        "a bomb of arrays: 80 MB of zeros",
        "sizes unpacked are added up",
        with_points(plain(np.zeros((10_000, 1000)))),
        "at most 67108864 bytes",
    ),
    (
        "20 million numbers of one byte",
        "numbers are counted: they become eight times as large",
        with_points(plain(np.zeros((20_000, 1000), dtype=np.int8))),
        "expected at most 16777216 numbers",
    ),
    ("40 arrays", "a limit on arrays", npz({f"{n}.npy": plain(0.0) for n in range(40)}), "at most 32 arrays"),
    (
        "an array twice",
        "names are compared",
        npz({"z.npy": plain([[1.0]]), "z": plain([[1.0]])}),
        "'z' twice",
    ),
    (
        "arrays compressed by LZMA",
        "stored or deflated alone",
        npz({"z.npy": plain([[1.0]])}, method=zipfile.ZIP_LZMA),
        "another method",
    ),
    (
        "a list of contents of 4 MB",
        "the list's size is checked before it is read",
        npz({"n" * 60_000 + str(n): b"" for n in range(70)}),
        "list of contents",
    ),
    ("an .npz that is no zip", _READER, b"PK\x03\x04 and nothing", "can't be read"),
]:
    add(
        f"{what} (.npz)",
        by,
        SpecificationFileError,
        says,
        lambda content=content: {"learnware.yaml": YAML.replace(b"stat.json", b"stat.npz"), "stat.npz": content},
    )

# Held-out rows.


def with_held_out(rows: bytes, name: str = "held_out.npy") -> dict[str, bytes]:
    return {"learnware.yaml": YAML + f"held_out: {{file_name: {name}}}\n".encode(), "held_out.npy": rows}


_TABLE = "a table of finite floats, at most 1,000 rows, as wide as the specification"
for what, by, files, says in [
    ("a pickle", _NUMBERS, with_held_out(npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", b".")), "dtype"),
    ("10^18 elements", _CLAIM, with_held_out(npy(described("(1000000000, 1000000000)"))), "claims shape"),
    ("one byte too few", _CLAIM, with_held_out(npy(described("(2, 2)"), bytes(31))), "claims shape|truncated"),
    ("no header", _HEADER, with_held_out(b"rows"), "in NumPy's format"),
    ("a header that is code", _HEADER, with_held_out(npy("__import__('os').abort()")), "in NumPy's format"),
    ("1,001 rows", _TABLE, with_held_out(plain(np.zeros((1001, 2)))), "1 to 1000 rows"),
    ("no rows", _TABLE, with_held_out(plain(np.zeros((0, 2)))), "1 to 1000 rows"),
    ("another width", _TABLE, with_held_out(plain(np.zeros((5, 3)))), "expected 2 columns"),
    ("three axes", _TABLE, with_held_out(plain(np.zeros((5, 2, 1)))), "1 to 1000 rows"),
    ("bytes for floats", _TABLE, with_held_out(plain(np.zeros((5, 2), np.int8))), "float32 or float64"),
    ("NaN", _TABLE, with_held_out(plain([[1.0, np.nan]])), "finite"),
    ("1e200", _TABLE, with_held_out(plain([[1.0, 1e200]])), "magnitudes"),
    ("65 MiB", "a limit on the file, before it is read", with_held_out(bytes(65 * 2**20)), "is larger than"),
    ("a file outside the folder", "paths stay in the folder", with_held_out(b"", "../rows.npy"), "inside the folder"),
    ("a file that is not there", "paths stay in the folder", with_held_out(b"", "rows.npy"), "no file"),
    ("a list for its name", "names are checked", with_held_out(b"", "[a]"), "expected a file name"),
]:
    hostile(f"held-out rows: {what}", by, LearnwareError, says)(lambda files=files: files)

# Labelled sketches: the specification has two points, the semantic part is of a regression of one target.


def with_labels(means: bytes, task: str = "") -> dict[str, bytes]:
    files = {
        "learnware.yaml": YAML + b"labelled_sketch: {file_name: labelled_sketch.npy}\n",
        "labelled_sketch.npy": means,
    }
    if task:
        task_of = {"Task": {"Type": "Class", "Values": [task]}, "Output": {"Dimension": 2, "Description": {}}}
        files["semantic_specification.json"] = json.dumps({**SEMANTIC, **task_of}).encode()
    return files


_MEANS = "a row of finite floats, or of NaN, for each point, as wide as the semantic part's Output"
_SHARES = "shares of classes are none negative, and of sum 1"
for what, by, files, says in [
    ("a pickle", _NUMBERS, with_labels(npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", b".")), "dtype"),
    ("10^18 elements", _CLAIM, with_labels(npy(described("(1000000000, 1000000000)"))), "claims shape"),
    ("no header", _HEADER, with_labels(b"means"), "in NumPy's format"),
    ("a mean too many", _MEANS, with_labels(plain(np.zeros((3, 1)))), "with 2 rows"),
    ("another width", _MEANS, with_labels(plain(np.zeros((2, 2)))), "expected 1 columns"),
    ("one axis", _MEANS, with_labels(plain(np.zeros(2))), "with 2 rows"),
    ("bytes for floats", _MEANS, with_labels(plain(np.zeros((2, 1), np.int8))), "float32 or float64"),
    ("infinity", _MEANS, with_labels(plain([[np.inf], [0.0]])), "finite"),
    ("1e200", _MEANS, with_labels(plain([[1e200], [0.0]])), "magnitudes"),
    ("a row half of NaN", _MEANS, with_labels(plain([[0.5, np.nan], [0.5, 0.5]]), "Classification"), "NaN alone"),
    ("shares of sum 2", _SHARES, with_labels(plain(np.ones((2, 2))), "Classification"), "of sum 1"),
    ("a negative share", _SHARES, with_labels(plain([[1.5, -0.5]] * 2), "Classification"), "none negative"),
    ("a task without labels", _MEANS, with_labels(plain(np.zeros((2, 2))), "Others"), "a Classification or a Reg"),
    ("65 MiB", "a limit on the file, before it is read", with_labels(bytes(65 * 2**20)), "is larger than"),
]:
    hostile(f"a labelled sketch: {what}", by, LearnwareError, says)(lambda files=files: files)

no_specification = {
    "learnware.yaml": b"model: {class_name: Model}\nstat_specifications: []\nlabelled_sketch: {file_name: means.npy}\n",
    "means.npy": plain(np.zeros((2, 1))),
}
hostile("a labelled sketch: of no specification", _MEANS, LearnwareError, "expected a specification")(
    lambda: no_specification
)


# The semantic part.


def semantic(**changes: object) -> bytes:
    return json.dumps({**SEMANTIC, **changes}).encode()


_RULES = "every value comes from a closed list, is text that a database holds, or a bounded integer"
for what, by, content, says in [
    ("a task that is none", _RULES, semantic(Task={"Type": "Class", "Values": ["Crime"]}), "Task: got 'Crime'|exactly"),
    ("lists and objects for values", _RULES, semantic(Data={"Type": "Class", "Values": [{}]}), "Data: got"),
    ("10^400 columns", _RULES, semantic(Input={"Dimension": 10**400, "Description": {}}), "as Dimension"),
    ("a negative number of columns", _RULES, semantic(Input={"Dimension": -1, "Description": {}}), "as Dimension"),
    ("half a column", _RULES, semantic(Input={"Dimension": 2.5, "Description": {}}), "as Dimension"),
    ("NUL in a name", _RULES, semantic(Name={"Type": "String", "Values": "a\0b"}), "without NUL"),
    ("half a surrogate pair in a name", _RULES, semantic(Name={"Type": "String", "Values": "\ud800"}), "in UTF-8"),
    ("a column beyond the last", _RULES, semantic(Input={"Dimension": 2, "Description": {"2": "c"}}), "Input: got '2'"),
    (
        "a column of 5,000 digits",
        _RULES,
        semantic(Input={"Dimension": 2, "Description": {"1" * 5000: "c"}}),
        "an index from 0 to 1",
    ),
]:
    add(f"{what} (semantic)", by, SemanticError, says, lambda c=content: {"semantic_specification.json": c})
for what, by, content, says in [
    ("nested 100,000 deep", "deep nesting ends in an error", b"[" * 100_000, "more than 1000"),
    ("nested 900 deep", "deep nesting ends in an error", b'{"a":' * 999 + b"[" * 999, "not JSON"),
    ("a million lists", "lists are counted before they are made", b"[" + b"[]," * 10**6 + b"1]", "more than 1000"),
    ("two million texts", "texts are counted before they are made", b"[" + b'"",' * 2 * 10**6 + b"1]", "more than"),
    ("17 MiB", "a limit on the file, before it is read", b" " * 17 * 2**20, "larger than"),
    ("no UTF-8", "UTF-8 alone is read", b'{"Name": "\xff"}', "not JSON"),
    ("a key twice", "names are compared", semantic()[:-1] + b', "Name": 1}', "twice in one object"),
    ("a string without an end", "no text is looked at twice", b'"' + b'\\"' * 10**6, "not JSON"),
]:
    add(f"{what} (semantic)", by, SpecificationFileError, says, lambda c=content: {"semantic_specification.json": c})


# What is opened, and does nothing.


def harmless(name: str, stopped_by: str, build: Callable[[], bytes]) -> None:
    HARMLESS.append(HostileFile(name, stopped_by, LearndockError, "", lambda path: path.write_bytes(build()) and None))


def _zip_bomb() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(64 * 2**20))
    return stream.getvalue()


harmless(
    "a zip bomb within the zip",
    "a zip within the zip is a file like any other: never opened",
    lambda: raw_zip([Entry(b"model.zip", _zip_bomb())]),
)
harmless(
    "permissions: set user, set group, everybody writes",
    "permissions in a zip are ignored: files are 0600",
    lambda: raw_zip([Entry(b"run", b"#!/bin/sh", mode=stat.S_IFREG | 0o6777)]),
)
harmless("a program before the zip", "nothing but the entries is read", lambda: raw_zip([], prefix=b"MZ" + bytes(500)))
harmless(
    "a .pth and a sitecustomize.py",
    "the model's folder is no site folder, and the host imports nothing",
    lambda: raw_zip(
        [Entry(b"evil.pth", b"import os; os._exit(3)"), Entry(b"sitecustomize.py", b"raise SystemExit(3)")]
    ),
)
harmless(
    "helpers with names of the standard library",
    "the standard library comes before the model's folder",
    lambda: raw_zip(
        [Entry(name, b"raise SystemExit(3)") for name in (b"json.py", b"random.py", b"types.py", b"os.py")]
    ),
)
