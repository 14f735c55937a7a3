"""dock.json, which says that a folder is a dock."""

from __future__ import annotations

import os

from fuzz.expectations import read_or_refused, scratch
from learndock.dock.layout import FORMAT, Layout
from learndock.errors import DockError

_LAYOUT = Layout(scratch("dock-json"))


def seeds() -> list[bytes]:
    return [
        b'{"format": 1, "made_by": "learndock 0.1.0", "made_at": "2026-01-01T00:00:00+00:00"}',
        b'{"format":%d}' % FORMAT,
    ]


def run(data: bytes) -> None:
    _LAYOUT.marker.write_bytes(data)
    assert read_or_refused(_LAYOUT.exists, DockError) in (True, None)
    assert os.listdir(_LAYOUT.root) == [_LAYOUT.marker.name]
