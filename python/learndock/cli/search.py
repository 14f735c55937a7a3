"""`learndock search`: the learnwares whose training data is closest to a specification."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from learndock.cli.arguments import AsJson, DockFolder, dock_to_read
from learndock.cli.output import print_json, print_line, print_table

__all__ = ["Rule", "search"]


class Rule(StrEnum):
    """How a mixture is found and weighted."""

    distance = "distance"
    greedy = "greedy"
    auto = "auto"


def search(
    dock: DockFolder,
    spec: Annotated[Path, typer.Argument(metavar="SPEC", help="Statistical specification of the data at hand.")],
    k: Annotated[int, typer.Option("-k", min=1, help="How many single learnwares.")] = 10,
    rule: Annotated[Rule, typer.Option("--rule", help="How the mixture is weighted.")] = Rule.distance,
    mixture: Annotated[
        int | None,
        typer.Option("--mixture", min=0, help="Most learnwares in it; 0 for none.  [default: by the rule: 20 or 5]"),
    ] = None,
    semantic: Annotated[
        Path | None, typer.Option("--semantic", help="JSON of what is asked for; the options below override it.")
    ] = None,
    data: Annotated[list[str] | None, typer.Option("--data", help="Table, Image or Text.")] = None,
    task: Annotated[list[str] | None, typer.Option("--task", help="Such as Classification.")] = None,
    library: Annotated[list[str] | None, typer.Option("--library", help="Such as Scikit-learn.")] = None,
    scenario: Annotated[list[str] | None, typer.Option("--scenario", help="Such as Health.")] = None,
    license: Annotated[list[str] | None, typer.Option("--license", help="Such as MIT.")] = None,
    as_json: AsJson = False,
) -> None:
    """Search the dock. Options that filter may be repeated: any of their values will do."""
    from learndock.specification import load_spec

    asked = {"Data": data, "Task": task, "Library": library, "Scenario": scenario, "License": license}
    query = _query(semantic, {key: values for key, values in asked.items() if values})
    specification = load_spec(spec)
    with dock_to_read(dock) as shelf:
        result = shelf.search(specification, k=k, semantic=query, rule=rule.value, mixture=mixture)
    if as_json:
        print_json(_facts(result))
    else:
        _print(result)


def _query(file: Path | None, asked: dict[str, list[str]]) -> Any:
    """Build what is asked for: the file's keys, each replaced by the option of its name where that is given."""
    from learndock.specification import SemanticQuery

    in_file = {} if file is None else _json(file)
    if not isinstance(in_file, dict):
        return SemanticQuery.from_dict(in_file)  # which says what is wrong with it
    return SemanticQuery.from_dict({**in_file, **{key: {"Values": values} for key, values in asked.items()}})


def _json(file: Path) -> Any:
    import json

    from learndock.errors import SpecificationFileError

    try:
        return json.loads(file.read_bytes())
    except OSError as error:
        raise SpecificationFileError(f"can't read {file}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise SpecificationFileError(f"{file} is not JSON: {error}") from error


def _facts(result: Any) -> dict[str, Any]:
    mixture = result.mixture
    return {
        "singles": [
            {"id": hit.id, "mmd2": hit.mmd2, "similarity": hit.similarity, "score": hit.score} for hit in result.singles
        ],
        "mixture": None
        if mixture is None
        else {"ids": list(mixture.ids), "weights": [float(w) for w in mixture.weights], "mmd2": mixture.mmd2},
        "certified": result.certified,
        "method": result.method,
        "skipped": result.skipped,
        "work": result.work,
    }


def _print(result: Any) -> None:
    from rich.table import Table

    if not result.singles:
        print_line("nothing found" + _skipped(result))
        return
    weights = {} if result.mixture is None else dict(zip(result.mixture.ids, result.mixture.weights, strict=True))
    shown = {hit.id for hit in result.singles}
    table = Table()
    table.add_column("id", overflow="fold")
    for name in ("mmd2", "similarity", "score", "weight in the mixture"):
        table.add_column(name, justify="right")
    for hit in result.singles:
        score = "" if hit.score is None else f"{hit.score:.3f}"
        weight = f"{weights[hit.id]:.3f}" if hit.id in weights else ""
        table.add_row(hit.id, f"{hit.mmd2:.6f}", f"{hit.similarity:.3f}", score, weight)
    for identifier, weight in weights.items():
        if identifier not in shown:
            table.add_row(identifier, "", "", "", f"{weight:.3f}")
    print_table(table)
    if result.mixture is not None:
        print_line(f"mixture of {len(result.mixture.ids)}: squared MMD {result.mixture.mmd2:.6f}")
    proof = "proven to be the nearest" if result.certified else "not proven"
    print_line(f"{proof} ({result.method}){_skipped(result)}")


def _skipped(result: Any) -> str:
    return f"; {result.skipped} skipped for their type, shape or gamma" if result.skipped else ""
