"""`learndock info`: this installation, or a dock."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from learndock.cli.arguments import AsJson, dock_to_read
from learndock.cli.output import print_facts, print_json

__all__ = ["info"]


def info(
    dock: Annotated[
        Path | None, typer.Argument(metavar="DOCK", help="Folder of a dock; without it, the installation is shown.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what this installation is, or what a dock holds."""
    facts = _installation() if dock is None else _of_dock(dock)
    if as_json:
        print_json(facts)
    else:
        print_facts(facts)


def _installation() -> dict[str, object]:
    from learndock.config import config

    return config()


def _of_dock(folder: Path) -> dict[str, object]:
    with dock_to_read(folder) as shelf:
        spaces = [
            {"type": space.type, "input_shape": list(space.input_shape), "gamma": space.gamma, "usable": count}
            for space, count in shelf.spaces().items()
        ]
        usable, count, catalog = sum(shelf.spaces().values()), len(shelf), shelf.catalog
    sizes = {"zips": _bytes_under(folder / "zips"), "specs": _bytes_under(folder / "specs")}
    own = list(folder.glob("catalog.sqlite*"))
    if own:  # else it is at a server
        sizes["catalog"] = sum(file.stat().st_size for file in own)
    return {
        "path": str(folder),
        "format": json.loads((folder / "dock.json").read_bytes())["format"],
        "catalog": catalog,
        "learnwares": count,
        "by_status": {"USABLE": usable, "NONUSABLE": count - usable},
        "spaces": spaces,
        "bytes": sizes,
    }


def _bytes_under(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
