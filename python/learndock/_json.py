"""JSON that strangers have written."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["load_json"]

# Possessive throughout, and the closing quote may be missing: no text makes it look at a character twice.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?+', re.DOTALL)


def load_json(content: bytes, *, most: Mapping[bytes, int] | None = None) -> Any:
    """Read JSON as RFC 8259 has it: UTF-8, and no name twice in one object.

    Parameters
    ----------
    content : bytes
        The caller has bounded its size.
    most : mapping of bytes to int, optional
        How often each of these signs may occur: quotes, and others outside strings. A list or an object takes some
        sixty bytes of memory for two of JSON, a string fifty.

    Raises
    ------
    ValueError
        It is something else, or nested too deeply; the message says what.
    """
    outside = content
    # Quotes first: their number bounds what it takes to leave the strings out.
    for sign, count in sorted((most or {}).items()):
        if sign != b'"' and outside is content:
            outside = _STRING.sub(b"", content)
        if outside.count(sign) > count:
            raise ValueError(f"more than {count} of {sign.decode()}")
    try:
        return json.loads(content.decode("utf-8-sig"), object_pairs_hook=_object)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"the name {twice[:80]!r} twice in one object")
    return fields
