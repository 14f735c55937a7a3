"""Semantic filters of searches, answered from memory: which learnwares hold which value of a class or tag key.

For each value that was asked for once a bitmap of all learnwares is kept: 125 kB for a million of them, and there are
some sixty values. A change of the dock changes the bits of the learnwares that the audit log names, so that a dock
that is written to need not be read again.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np
import sqlalchemy as sa

from learndock.dock import rows
from learndock.dock.filters import unusable
from learndock.dock.id_lists import listed_ids, read_ids
from learndock.dock.tables import USABLE, audit, tags
from learndock.dock.text_search import matching_texts

if TYPE_CHECKING:
    import numpy.typing as npt

    from learndock.dock.filters import Filter
    from learndock.specification import SemanticQuery

    IndexArray = npt.NDArray[np.int64]
    # A bit for each id from 0 on, packed.
    Bits = npt.NDArray[np.uint8]

__all__ = ["SemanticIndex"]

# Changed learnwares beyond which the bitmaps are made anew.
_MOST_CHANGED = 10_000
# Ids that a bitmap grows by at a time, a KiB of bits: NumPy keeps some arrays of each smaller size for later, and a
# dock that grows would go through all sizes.
_GROWTH = 8192
# Answers to questions with texts that are kept.
_MOST_ANSWERS = 32


class SemanticIndex:
    """What semantic filters let through in one dock, kept until the dock changes. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._generation = -1
        self._sequence = -1
        self._holders: dict[tuple[str, str], Bits] = {}
        self._answers: OrderedDict[Filter, Bits] = OrderedDict()

    def allowed(self, connection: sa.Connection, wanted: Filter) -> IndexArray | None:
        """Ids that a semantic query lets through, ascending; None where it asks for nothing.

        Of what is asked for by classes and tags alone, learnwares that are not usable are among them whatever the
        status asked for, and deleted ones: whoever searches knows both.
        """
        if wanted.query is None:
            return None
        with self._lock:
            generation = self._catch_up(connection)
            if wanted in self._answers:
                self._answers.move_to_end(wanted)
                return _ids(self._answers[wanted])
            bits = self._classes(connection, wanted.query)
        among = None if bits is None else _ids(bits)
        if not wanted.texts:
            return among
        but = unusable(connection) if wanted.status == USABLE else np.empty(0, np.int64)
        found = np.sort(matching_texts(connection, wanted.texts, among=among, but=but).ids)
        with self._lock:
            if self._generation == generation:
                self._answers[wanted] = _bits(found)
                while len(self._answers) > _MOST_ANSWERS:
                    self._answers.popitem(last=False)
        return found

    def _catch_up(self, connection: sa.Connection) -> int:
        """Bring what is kept to the state of the catalog that the connection sees: to the generation returned."""
        generation = rows.generation(connection)
        if generation == self._generation:
            return generation
        latest = int(connection.execute(sa.select(sa.func.max(audit.c.sequence))).scalar() or 0)
        self._answers.clear()
        changed = None
        # A connection that sees an older state than the last one, or one far behind, starts anew.
        if self._generation < generation and 0 <= self._sequence <= latest:
            since = sa.select(audit.c.learnware_id).where(
                audit.c.sequence > self._sequence,
                audit.c.action.in_(["submit", "update"]),
                audit.c.learnware_id.is_not(None),
            )
            changed = np.unique(read_ids(connection, since.limit(_MOST_CHANGED + 1)))
        if changed is None or len(changed) > _MOST_CHANGED:
            self._holders.clear()
        elif changed.size:
            listed = listed_ids(changed)
            for (key, value), bits in self._holders.items():
                now = read_ids(connection, _holders(key, value).where(tags.c.learnware_id.in_(listed)))
                self._holders[key, value] = _changed(bits, changed, now)
        self._generation, self._sequence = generation, latest
        return generation

    def _classes(self, connection: sa.Connection, query: SemanticQuery) -> Bits | None:
        """Who holds, for each key asked for, one of the values; None where none is."""
        allowed: Bits | None = None
        for key, values in {**query.classes, **query.tags}.items():
            any_of = np.empty(0, np.uint8)
            for value in values:
                if (key, value) not in self._holders:
                    self._holders[key, value] = _bits(read_ids(connection, _holders(key, value)))
                any_of = _either(any_of, self._holders[key, value])
            allowed = any_of if allowed is None else _both(allowed, any_of)
        return allowed


def _holders(key: str, value: str) -> sa.Select[tuple[int]]:
    return sa.select(tags.c.learnware_id).where(tags.c.key == key, tags.c.value == value)


def _bits(ids: IndexArray) -> Bits:
    """Bits of ascending ids."""
    held = np.zeros((int(ids[-1]) // _GROWTH + 1) * _GROWTH if ids.size else 0, dtype=bool)
    held[ids] = True
    return np.packbits(held)


def _ids(bits: Bits) -> IndexArray:
    return np.flatnonzero(np.unpackbits(bits))


def _either(some: Bits, others: Bits) -> Bits:
    longer, shorter = (some, others) if len(some) >= len(others) else (others, some)
    result = longer.copy()
    result[: len(shorter)] |= shorter
    return result


def _both(some: Bits, others: Bits) -> Bits:
    common = min(len(some), len(others))
    return some[:common] & others[:common]


def _changed(bits: Bits, changed: IndexArray, holders: IndexArray) -> Bits:
    """The bits with those of the changed learnwares set anew."""
    cleared = _bits(changed)
    result = bits.copy()
    common = min(len(bits), len(cleared))
    result[:common] &= ~cleared[:common]
    return _either(result, _bits(holders))
