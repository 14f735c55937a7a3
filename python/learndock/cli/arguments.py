"""Arguments that several verbs share."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from learndock.dock import Dock
    from learndock.runtime import ModelLimits
    from learndock.specification import SemanticSpecification

__all__ = [
    "AsJson",
    "CatalogOption",
    "DockFolder",
    "EnvironmentOfModel",
    "EnvironmentOption",
    "IsolationOfModel",
    "IsolationOption",
    "Name",
    "SearchedStatus",
    "SecondsOption",
    "SemanticOption",
    "dock_to_read",
    "existing_dock",
    "existing_zip",
    "output_file",
    "semantic_in",
    "within",
]

AsJson = Annotated[bool, typer.Option("--json", help="Print pure JSON on stdout instead of a table.")]
DockFolder = Annotated[Path, typer.Argument(metavar="DOCK", help="Folder of the dock.", show_default=False)]
CatalogOption = Annotated[
    str | None,
    typer.Option(
        "--catalog",
        metavar="URL",
        help="Where the catalog of a new dock goes, such as postgresql+psycopg://user@host/database; the dock "
        "remembers it. A password comes from PGPASSWORD or ~/.pgpass.  [default: a file in the folder]",
        show_default=False,
    ),
]
SemanticOption = Annotated[
    Path | None, typer.Option("--semantic", help="Semantic specification (JSON), if not the one in the zip.")
]
Name = Annotated[str | None, typer.Option("--name", help="Text in the name.")]


class IsolationOfModel(StrEnum):
    """How well a model has to be contained: the best there is, or not below a level."""

    auto = "auto"
    require = "require"
    landlock = "landlock"
    namespace = "namespace"


class EnvironmentOfModel(StrEnum):
    """Which interpreter a model runs in: this one, or one made from its requirements."""

    current = "current"
    build = "build"


class SearchedStatus(StrEnum):
    """Whether learnwares count whose requirements are not here."""

    usable = "usable"
    any = "any"


IsolationOption = Annotated[
    IsolationOfModel,
    typer.Option(
        "--isolation", help="Refuse to start the model where it can't be contained so; require: landlock or better."
    ),
]
EnvironmentOption = Annotated[
    EnvironmentOfModel,
    typer.Option("--environment", help="Run the model in this Python, or build one from what it requires."),
]
SecondsOption = Annotated[
    float | None,
    typer.Option("--seconds", help="Time that the model has for its start and each call.  [default: 60]"),
]


def existing_dock(folder: Path) -> Path:
    """Refuse a folder without a dock.

    `Dock(path)` makes one where none is; a mistyped path of a search must not.
    """
    from learndock.errors import DockError

    if not (folder / "dock.json").is_file():
        raise DockError(f"{folder} holds no dock")
    return folder


def dock_to_read(folder: Path) -> Dock:
    """Open a dock for a verb that changes nothing in it.

    Where this user may write, it is opened as for writing, and what a living writer adds is seen, whole. A dock opened
    with ``readonly=True`` takes no part in the locks and may be seen as it was: that is for folders that can't be
    written to.
    """
    from learndock.dock import Dock

    return Dock(existing_dock(folder), readonly=not os.access(folder, os.W_OK | os.X_OK))


def existing_zip(path: Path) -> Path:
    """Refuse what is no file, before a dock is opened: a mistyped name must not leave an empty one."""
    from learndock.errors import InvalidArgument

    if not path.is_file():
        raise InvalidArgument(f"zip: {path} is a folder" if path.is_dir() else f"zip: no such file: {path}")
    return path


def semantic_in(file: Path | None) -> SemanticSpecification | None:
    """The semantic specification in a file; None where no file is given."""
    from learndock.specification import SemanticSpecification

    return None if file is None else SemanticSpecification.load(file)


def within(seconds: float | None) -> ModelLimits | None:
    """The limits of a model's process; None for the usual ones."""
    from learndock.runtime import ModelLimits

    return None if seconds is None else ModelLimits(seconds=seconds)


def output_file(path: Path, *, overwrite: bool) -> Path:
    """Refuse, before any work is done, a path that no file can be written to, or that there is one at already."""
    from learndock.errors import InvalidArgument

    if path.is_dir():
        raise InvalidArgument(f"output: {path} is a folder, expected a file")
    if not path.parent.is_dir():
        raise InvalidArgument(f"output: the folder {path.parent} does not exist")
    if path.exists() and not overwrite:
        raise InvalidArgument(f"output: {path} exists already; --overwrite replaces it")
    return path
