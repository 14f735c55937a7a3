"""`learndock scaling`: what a dock's columns are standardised by, in a file for `learndock spec --scaling`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from learndock.cli.arguments import AsJson, DockFolder, dock_to_read, output_file
from learndock.cli.output import print_json, print_line

__all__ = ["scaling"]


def scaling(
    dock: DockFolder,
    features: Annotated[int, typer.Option("--features", min=1, help="Columns of the data.", show_default=False)],
    gamma: Annotated[float, typer.Option("--gamma", help="That specifications are made with.")] = 0.1,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write it.")] = Path("scaling.json"),
    as_json: AsJson = False,
) -> None:
    """Write what developers and users standardise their columns by; the first call pools it, and the dock keeps it."""
    output_file(output, overwrite=True)
    with dock_to_read(dock) as shelf:
        found = shelf.scaling(features, gamma=gamma)
    found.save(output)
    if as_json:
        print_json({"path": str(output), **found.to_dict()})
    else:
        print_line(f"{output}: means and scales of {len(found)} columns; use it by learndock spec --scaling {output}")
