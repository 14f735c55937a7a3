"""Options that say which learnwares are wanted, and the query that they make."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from learndock.specification import SemanticQuery

__all__ = ["DataOption", "LibraryOption", "LicenseOption", "ScenarioOption", "TaskOption", "wanted"]

DataOption = Annotated[list[str] | None, typer.Option("--data", help="Table, Image or Text.")]
TaskOption = Annotated[list[str] | None, typer.Option("--task", help="Such as Classification.")]
LibraryOption = Annotated[list[str] | None, typer.Option("--library", help="Such as Scikit-learn.")]
ScenarioOption = Annotated[list[str] | None, typer.Option("--scenario", help="Such as Health.")]
LicenseOption = Annotated[list[str] | None, typer.Option("--license", help="Such as MIT.")]


def wanted(file: Path | None, **asked: list[str] | str | None) -> SemanticQuery:
    """Build what is asked for: the file's keys, each replaced by the option of its name where that is given."""
    from learndock.specification import SemanticQuery

    in_file = {} if file is None else _json(file)
    if not isinstance(in_file, dict):
        return SemanticQuery.from_dict(in_file)  # which says what is wrong with it
    given = {key.capitalize(): {"Values": values} for key, values in asked.items() if values}
    return SemanticQuery.from_dict({**in_file, **given})


def _json(file: Path) -> Any:
    from learndock.errors import SpecificationFileError

    try:
        return json.loads(file.read_bytes())
    except OSError as error:
        raise SpecificationFileError(f"can't read {file}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise SpecificationFileError(f"{file} is not JSON: {error}") from error
