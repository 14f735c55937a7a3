"""Mutations of a zip below its checksums and offsets: bytes changed at random would all end at the first of them."""

from __future__ import annotations

import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable

__all__ = ["mutate"]

_NAMES = ("../a", "/a", "a/b", "a\\b", "stat.json", "Stat.json", "learnware.yaml", "a/", "", ".", "a\0b", "é", "C:a")
_KINDS = (0o100644, 0o120777, 0o040755, 0o010644, 0, 0o100777)
_FLAGS = (0, 0x1, 0x8, 0x40, 0x800, 0x2000)
_SIZES = (0, 1, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)
_EXTRA = (
    b"",
    struct.pack("<2H2Q", 1, 16, 2**63, 1),
    struct.pack("<2H2Q", 1, 16, 5, 5),
    struct.pack("<2HL", 1, 16, 1),
    struct.pack("<2HBL", 0x7075, 9, 1, 0) + b"evil",
    b"\xff" * 7,
)


def mutate(data: bytes, max_size: int, seed: int, mutate_bytes: Callable[[bytes, int], bytes]) -> bytes:
    """A changed zip: its bytes changed at random, or one thing in it, and all the rest as it must be."""
    chance = random.Random(seed)
    if chance.random() < 0.2:
        return mutate_bytes(data, max_size)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = [(entry.orig_filename, archive.read(entry), entry.compress_type) for entry in archive.infolist()]
    except Exception:  # zipfile lets many kinds out
        return mutate_bytes(data, max_size)
    change = chance.random()
    if entries and change < 0.7:
        at = chance.randrange(len(entries))
        name, content, method = entries[at]
        entries[at] = (name, mutate_bytes(content, max(64, max_size // 2)), method)
    elif entries and change < 0.8:
        del entries[chance.randrange(len(entries))]
    elif entries and change < 0.9:
        entries.insert(chance.randrange(len(entries) + 1), chance.choice(entries))
    else:
        entries.append((chance.choice(_NAMES), b"x" * chance.randrange(9), 0))
    return _written(entries, chance)[:max_size]


def _written(entries: list[tuple[str, bytes, int]], chance: random.Random) -> bytes:
    """A zip of the entries, byte by byte; some fields lie, once in a while."""

    def true_or(value: int, lies: tuple[int, ...]) -> int:
        return chance.choice(lies) if chance.random() < 0.02 else value

    whole, listing = bytearray(), bytearray()
    for name, content, method in entries:
        if chance.random() < 0.05:
            name, method = chance.choice(_NAMES), chance.choice((0, 8, 12, 14, 99))
        raw = name.encode("utf-8", "replace")
        packed = _deflated(content) if method == 8 else content
        fields = (
            20,
            true_or(0x800, _FLAGS),
            method,
            0,
            0x21,
            true_or(zlib.crc32(content), _SIZES),
            true_or(len(packed), _SIZES),
            true_or(len(content), _SIZES),
        )
        extra = chance.choice(_EXTRA) if chance.random() < 0.05 else b""
        attributes, offset = true_or(0o100644, _KINDS) << 16, true_or(len(whole), (0, len(whole) + 1, *_SIZES))
        whole += struct.pack("<4s5H3L2H", b"PK\x03\x04", *fields, len(raw), 0) + raw + packed
        lengths = (len(raw), len(extra), 0, 0, 0)
        listing += struct.pack("<4sBB5H3L5H2L", b"PK\x01\x02", 20, 3, *fields, *lengths, attributes, offset)
        listing += raw + extra
    sizes = (true_or(len(entries), _SIZES[:3]), true_or(len(listing), _SIZES), true_or(len(whole), _SIZES))
    return bytes(whole + listing + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, sizes[0], *sizes, 0))


def _deflated(content: bytes) -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()
