"""`learndock stats`: what the spaces of a dock hold, and how well they can be searched."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from learndock.cli.arguments import AsJson, DockFolder, dock_to_read
from learndock.cli.output import print_facts, print_json, print_line

if TYPE_CHECKING:
    from learndock.dock.stats import DockStats, SpaceStats

__all__ = ["stats"]


def stats(dock: DockFolder, as_json: AsJson = False) -> None:
    """Show the spaces of a dock: what they hold, their sketches, and how much a search is likely to compute."""
    with dock_to_read(dock) as shelf:
        found = shelf.stats()
    if as_json:
        print_json([_facts(one) for one in found.spaces])
    else:
        _print(found)


def _facts(one: SpaceStats) -> dict[str, Any]:
    return {**{field.name: getattr(one, field.name) for field in fields(one)}, "advice": one.advice}


def _print(found: DockStats) -> None:
    from learndock.dock.stats import HEADS, cells

    for i, one in enumerate(found.spaces):
        if i:
            print_line("")
        known = {head: shown for head, shown in zip(HEADS, cells(one), strict=True) if shown}
        print_facts(known if one.advice is None else {**known, "advice": one.advice})
