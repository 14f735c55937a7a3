"""Opening zips that strangers have made.

All names, kinds, places and sizes are judged from the list of contents before anything is written; then every file is
copied with its real bytes counted, because a list may lie. A zip within the zip is a file like any other: it is never
opened.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import struct
import unicodedata
import zipfile
import zlib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from learndock._bounded_zip import ListTooLong, bounded_zip
from learndock.errors import ArchiveRejected, InvalidArgument, LearnwareError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

__all__ = ["ArchiveLimits", "checked_zip", "extract", "read_entry"]

# What is in a zip: entries with the parts of their paths.
Contents = list[tuple[zipfile.ZipInfo, tuple[str, ...]]]

_BLOCK = 2**20
# Small files of zeros compress a thousandfold, and harm nobody.
_RATIO_FREE_BYTES = 16 * 2**20
_LONGEST_NAME, _LONGEST_PATH = 255, 2048
_ENCRYPTED_BITS = 0x1 | 0x40 | 0x2000
# Windows' links and devices, where the made-up mode of Unix says nothing.
_WINDOWS_LINK_OR_DEVICE = 0x400 | 0x40
_LOCAL_HEADER_BYTES, _END_BYTES = 30, 22
# Controls, halves of surrogate pairs, line separators, and marks that make a name read otherwise than it is.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveLimits:
    """How large a learnware may be when it is opened: a zip, and for the last three also a folder.

    Attributes
    ----------
    files : int
        Number of entries; of files and folders, too, where the zip does not list the folders.
    file_bytes, total_bytes : int
        Size of one file, and of all together.
    ratio : int
        Size over compressed size, of a file of more than 16 MiB and of the whole. Real models compress up to
        tenfold, deflated zeros a thousandfold.
    depth : int
        Folders within folders.
    specification_bytes : int
        Size of the statistical specification's file; read, it takes a multiple of that in memory.
    semantic_bytes : int
        Size of the semantic specification's file. Half a million feature names fit.
    description_bytes : int
        Size of learnware.yaml. YAML is read at some 100 KiB a second.
    """

    files: int = 10_000
    file_bytes: int = 4 * 2**30
    total_bytes: int = 8 * 2**30
    ratio: int = 200
    depth: int = 32
    specification_bytes: int = 64 * 2**20
    semantic_bytes: int = 16 * 2**20
    description_bytes: int = 256 * 2**10

    def __post_init__(self) -> None:
        for limit in fields(self):
            value = getattr(self, limit.name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise InvalidArgument(f"{limit.name}: expected a positive integer, got {value!r}")


def extract(zip_path: str | PathLike[str], target: str | PathLike[str], *, limits: ArchiveLimits | None = None) -> None:
    """Unpack a zip into an empty folder; where that fails, the folder is empty again.

    The permissions that the zip names are ignored: only this user can read the files, nobody can execute them.

    Parameters
    ----------
    zip_path : path
        The zip.
    target : path
        A folder without contents, or none yet.
    limits : ArchiveLimits, optional
        How large the contents may be.

    Raises
    ------
    ArchiveRejected
        A name leaves the folder, repeats or clashes with another; an entry is a link or device, encrypted, or shares
        its bytes with another; a size is over the limits. Nothing has been written outside `target`.
    LearnwareError
        It is no zip, or damaged.
    """
    source, folder = Path(zip_path), Path(target)
    if not source.is_file():
        raise InvalidArgument(f"zip_path: expected a file, got {source}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise InvalidArgument(f"target: expected an empty folder, got {folder}")
    limits = limits or ArchiveLimits()
    with contextlib.ExitStack() as undo:
        undo.callback(_empty, folder)
        with checked_zip(source, limits) as (archive, entries):
            for entry, parts in entries:
                _write(archive, entry, folder.joinpath(*parts))
        undo.pop_all()


@contextlib.contextmanager
def checked_zip(source: Path, limits: ArchiveLimits) -> Iterator[tuple[zipfile.ZipFile, Contents]]:
    """Open a zip and judge its list of contents, as `extract` does; entries are read in the block.

    Raises
    ------
    ArchiveRejected, LearnwareError
        As `extract`.
    """
    try:
        with bounded_zip(source, entries=limits.files) as archive:
            yield archive, _checked_entries(archive, source.stat().st_size, limits)
    except ListTooLong as error:
        raise ArchiveRejected(str(error)) from None
    # What zipfile lets out of a damaged zip.
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, RuntimeError) as error:
        raise LearnwareError(f"{source.name} can't be opened as a zip: {error!s:.500}") from error


def read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, *, most: int) -> bytes:
    """The content of one entry of a checked zip.

    Raises
    ------
    ArchiveRejected
        It has more than `most` bytes, or more than the zip says.
    LearnwareError
        It has fewer.
    """
    if entry.file_size > most:
        raise ArchiveRejected(
            f"the zip's entry {entry.filename!r} has {entry.file_size} bytes, at most {most} are allowed"
        )
    with archive.open(entry) as source:
        content = source.read(entry.file_size + 1)
    _check_length(entry, len(content))
    return content


def _check_length(entry: zipfile.ZipInfo, read: int) -> None:
    if read > entry.file_size:
        raise ArchiveRejected(f"the zip's entry {entry.filename!r} holds more bytes than the zip says")
    if read < entry.file_size:
        raise LearnwareError(f"the zip's entry {entry.filename!r} holds fewer bytes than the zip says")


def _checked_entries(archive: zipfile.ZipFile, zip_bytes: int, limits: ArchiveLimits) -> Contents:
    """Every entry with the parts of its path, folders that hold the whole left out."""
    entries = archive.infolist()
    if len(entries) > limits.files:
        raise ArchiveRejected(f"the zip has {len(entries)} entries, at most {limits.files} are allowed")
    checked = []
    for entry in entries:
        parts = _checked_parts(entry.orig_filename, limits.depth)
        _check_kind(entry)
        _check_size(repr(entry.filename), entry.file_size, entry.compress_size, limits.file_bytes, limits.ratio)
        if parts:
            checked.append((entry, parts))
    _check_clashes(checked, limits.files)
    _check_places(archive, zip_bytes)
    # Compared with the zip itself, too: its entries can't hold more than it does.
    _check_size("the whole", sum(entry.file_size for entry in entries), zip_bytes, limits.total_bytes, limits.ratio)
    return checked


def _checked_parts(name: str, deepest: int) -> tuple[str, ...]:
    shown = f"{name[:80]!r}..." if len(name) > 80 else repr(name)
    if _CONTROL.search(name):
        raise ArchiveRejected(f"the zip's entry {shown} has control characters in its name")
    if "\\" in name or name.startswith("/") or re.match(r"[A-Za-z]:", name):
        raise ArchiveRejected(f"the zip's entry {shown} has no relative path with / between its parts")
    # Some tools begin every name with "./".
    parts = tuple(part for part in name.removesuffix("/").split("/") if part != ".")
    if not all(parts) or ".." in parts:
        raise ArchiveRejected(f"the zip's entry {shown} has a path that leaves its folder or has empty parts")
    if len(parts) > deepest or any(len(os.fsencode(part)) > _LONGEST_NAME for part in parts):
        raise ArchiveRejected(f"the zip's entry {shown} has a path that is too deep or too long")
    if len(os.fsencode(name)) > _LONGEST_PATH:
        raise ArchiveRejected(f"the zip's entry {shown} has a path that is too deep or too long")
    return parts


def _is_folder(entry: zipfile.ZipInfo) -> bool:
    # The name that was checked: an extra field may give another.
    return entry.orig_filename.endswith("/")


def _check_kind(entry: zipfile.ZipInfo) -> None:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFDIR if _is_folder(entry) else stat.S_IFREG):
        raise ArchiveRejected(f"the zip's entry {entry.filename!r} is neither a file nor a folder")
    if kind == 0 and entry.external_attr & _WINDOWS_LINK_OR_DEVICE:
        raise ArchiveRejected(f"the zip's entry {entry.filename!r} is neither a file nor a folder")
    if entry.flag_bits & _ENCRYPTED_BITS:
        raise ArchiveRejected(f"the zip's entry {entry.filename!r} is encrypted")
    # Of the others, zipfile unpacks a block at once, however large it becomes.
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ArchiveRejected(f"the zip's entry {entry.filename!r} is compressed by another method than deflate")


def _check_size(what: str, size: int, compressed: int, most: int, ratio: int) -> None:
    if size > most:
        raise ArchiveRejected(f"{what} in the zip has {size} bytes, at most {most} are allowed")
    if size > _RATIO_FREE_BYTES and size > ratio * max(compressed, 1):
        raise ArchiveRejected(f"{what} in the zip is compressed more than {ratio} to 1 ({compressed} to {size} bytes)")


def _check_clashes(entries: Contents, most: int) -> None:
    """Refuse names that are the same, or are so on some file systems, and files that are also folders."""
    spellings: dict[tuple[str, ...], tuple[str, ...]] = {}
    files: set[tuple[str, ...]] = set()
    folders: set[tuple[str, ...]] = set()
    for entry, parts in entries:
        folded = tuple(unicodedata.normalize("NFC", part).casefold() for part in parts)
        for depth in range(1, len(parts) + 1):
            path, key = parts[:depth], folded[:depth]
            if spellings.setdefault(key, path) != path:
                raise ArchiveRejected(
                    f"the zip's entry {entry.filename!r} differs from another by case or accents only"
                )
            is_file = depth == len(parts) and not _is_folder(entry)
            if key in files or (is_file and key in folders):
                raise ArchiveRejected(f"the zip's entry {entry.filename!r} is there twice")
            (files if is_file else folders).add(key)
        if len(files) + len(folders) > most:
            raise ArchiveRejected(f"the zip has more than {most} files and folders")


def _check_places(archive: zipfile.ZipFile, zip_bytes: int) -> None:
    """Refuse entries that share bytes with one another or with the list, and a list that is not the last thing there.

    Every entry for itself, with its checksum, can be in order nevertheless: so is a bomb made that no ratio gives away,
    and a zip that is another one to another reader.
    """
    previous = None
    end = 0
    for entry in sorted(archive.infolist(), key=lambda entry: entry.header_offset):
        if entry.header_offset < end:
            other = f" with {previous.filename!r}" if previous else ""
            raise ArchiveRejected(f"the zip's entry {entry.filename!r} shares its bytes{other}")
        name_bytes = len(entry.orig_filename.encode("utf-8" if entry.flag_bits & 0x800 else "cp437", "replace"))
        end = entry.header_offset + _LOCAL_HEADER_BYTES + name_bytes + entry.compress_size
        previous = entry
    if end > archive.start_dir:
        raise ArchiveRejected("the zip's last entry shares its bytes with the list of contents")
    if archive.fp is not None:
        archive.fp.seek(zip_bytes - _END_BYTES - len(archive.comment))
        if archive.fp.read(4) != b"PK\x05\x06":
            raise ArchiveRejected("the zip goes on behind its end")


def _write(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> None:
    (path if _is_folder(entry) else path.parent).mkdir(mode=0o700, parents=True, exist_ok=True)
    if _is_folder(entry):
        return
    # O_EXCL: nothing that lies there is written over, or through.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    written = 0
    with os.fdopen(descriptor, "wb") as target, archive.open(entry) as source:
        while block := source.read(_BLOCK):
            written += len(block)
            if written > entry.file_size:
                break
            target.write(block)
    _check_length(entry, written)


def _empty(folder: Path) -> None:
    for item in folder.iterdir():
        if item.is_dir() and not item.is_symlink():
            shutil.rmtree(item, ignore_errors=True)
        else:
            item.unlink()
