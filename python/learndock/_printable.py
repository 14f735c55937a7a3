"""Text of strangers, as a message may quote it."""

from __future__ import annotations

__all__ = ["printable"]


def printable(text: object, *, longest: int = 8192) -> str:
    """The end of a text, without what would steer a terminal or can't be encoded."""
    tail = str(text)[-longest:].encode("utf-8", "replace").decode("utf-8")
    return "".join(char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in tail)
