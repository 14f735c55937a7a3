"""`learndock demo`: the whole path on real data, and what it was worth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from learndock.cli.arguments import AsJson
from learndock.cli.output import message_line, print_json, print_line, print_table, progress_bar

__all__ = ["demo"]

_PICTURE = Path("learndock-demo.png")


def demo(
    users: Annotated[int, typer.Option("--users", min=1, help="Users per task.")] = 24,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Decides everything random.")] = 0,
    dock: Annotated[
        Path | None, typer.Option("--dock", help="Make the dock here and leave it.  [default: a temporary one]")
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option("--picture", help="Where to draw the result (.png, .svg, .pdf).  [default: learndock-demo.png]"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train, pack, submit, search and reuse on scikit-learn's own sets, under a minute.

    Without --picture, the picture is drawn where matplotlib is installed and left out where it is not.
    """
    from learndock.demo import run
    from learndock.demo.table import FOOTNOTE, table

    with progress_bar() as progress:
        result = run(users=users, seed=seed, dock=dock, progress=progress)
    if as_json:
        print_json(result.to_dict())
    else:
        print_table(table(result))
        print_line(FOOTNOTE)
        print_line(", ".join(f"{stage}: {seconds:.1f} s" for stage, seconds in result.seconds.items()))
    _draw(result, picture)


def _draw(result: Any, asked: Path | None) -> None:
    """Draw where it was asked for, or where matplotlib happens to be installed."""
    from learndock.demo.picture import draw
    from learndock.errors import MissingDependency

    try:
        written = draw(result, asked or _PICTURE)
    except MissingDependency:
        if asked is not None:
            raise
        return
    message_line(f"picture: {written}")
