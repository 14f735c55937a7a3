"""`learndock optimize`: small writes folded, deleted learnwares compacted away, sketches made, leftovers removed."""

from __future__ import annotations

from learndock.cli.arguments import AsJson, DockFolder, existing_dock
from learndock.cli.output import print_json, print_line, progress_bar

__all__ = ["optimize"]


def optimize(dock: DockFolder, as_json: AsJson = False) -> None:
    """Fold small writes, compact what was deleted, sketch, and remove what a killed writer has left; searches go on."""
    from learndock.dock import Dock

    with progress_bar() as move, Dock(existing_dock(dock)) as shelf:
        shelf.optimize(on_progress=move)
        number = len(shelf)
    if as_json:
        print_json({"path": str(dock), "learnwares": number})
    else:
        print_line(f"{dock}: optimized, {number:,} learnwares")
