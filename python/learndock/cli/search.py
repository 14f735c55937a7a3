"""`learndock search`: the learnwares whose training data is closest to a specification, or whose words fit."""

from __future__ import annotations

import warnings
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from learndock.cli.arguments import AsJson, DockFolder, Name, SearchedStatus, dock_to_read
from learndock.cli.output import name_cell, print_json, print_line, print_table
from learndock.cli.wanted import DataOption, LibraryOption, LicenseOption, ScenarioOption, TaskOption, wanted

__all__ = ["Rule", "search"]


class Rule(StrEnum):
    """How a mixture is found and weighted."""

    distance = "distance"
    greedy = "greedy"
    auto = "auto"


class Method(StrEnum):
    """How a search proves what it finds, in the words of `Dock.search`."""

    certified = "certified"
    exact = "exact"


def search(
    dock: DockFolder,
    spec: Annotated[
        Path | None,
        typer.Argument(
            metavar="SPEC", help="Statistical specification of the data at hand; without it, words alone decide."
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many single learnwares.")] = 10,
    rule: Annotated[Rule, typer.Option("--rule", help="How the mixture is weighted.")] = Rule.distance,
    mixture: Annotated[
        int | None,
        typer.Option("--mixture", min=0, help="Most learnwares in it; 0 for none.  [default: by the rule: 20 or 5]"),
    ] = None,
    method: Annotated[
        Method,
        typer.Option("--method", help="certified: proven, and looks at few; exact: looks at all; both find the same."),
    ] = Method.certified,
    status: Annotated[
        SearchedStatus, typer.Option("--status", help="any: those too whose requirements are not here.")
    ] = SearchedStatus.usable,
    exclude: Annotated[
        list[str] | None,
        typer.Option("--exclude", metavar="ID", help="Leave out this learnware, such as one's own; may be repeated."),
    ] = None,
    semantic: Annotated[
        Path | None, typer.Option("--semantic", help="JSON of what is asked for; the options below override it.")
    ] = None,
    name: Name = None,
    description: Annotated[str | None, typer.Option("--description", help="Text in the description.")] = None,
    data: DataOption = None,
    task: TaskOption = None,
    library: LibraryOption = None,
    scenario: ScenarioOption = None,
    license: LicenseOption = None,
    as_json: AsJson = False,
) -> None:
    """Search the dock. Options that filter may be repeated: any of their values will do.

    A name or description that no learnware holds as it is finds those that hold something similar.
    """
    from learndock.errors import SketchWarning
    from learndock.specification import load_spec

    query = wanted(
        semantic,
        name=name,
        description=description,
        data=data,
        task=task,
        library=library,
        scenario=scenario,
        license=license,
    )
    if exclude and spec is None:
        raise typer.BadParameter("needs SPEC", param_hint="--exclude")
    specification = None if spec is None else load_spec(spec)
    with dock_to_read(dock) as shelf:
        if specification is None:
            found = shelf.search_semantic(query, k=k, status=status.value)
            if as_json:
                print_json(found)
            else:
                _print_semantic(found)
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SketchWarning)  # the result says it, too
            result = shelf.search(
                specification,
                k=k,
                semantic=query,
                exclude=exclude or (),
                rule=rule.value,
                mixture=mixture,
                method=method.value,
                status=status.value,
            )
    if as_json:
        print_json(_facts(result))
    else:
        _print(result)


def _print_semantic(found: Any) -> None:
    from rich.table import Table

    if not found.hits:
        print_line("nothing found")
        return
    table = Table()
    table.add_column("id", no_wrap=True)
    table.add_column("name")
    table.add_column("status", no_wrap=True)
    table.add_column("score", justify="right")
    for hit in found.hits:
        shown = "" if hit.score is None else f"{hit.score:.0f}"
        table.add_row(hit.id, name_cell(hit.entry.name), hit.entry.status.name, shown)
    print_table(table)
    what = "; none holds the words as they are, these hold something similar" if found.kind == "similar" else ""
    print_line(f"{len(found.hits)} of {found.total}{what}")


def _facts(result: Any) -> dict[str, Any]:
    mixture = result.mixture
    return {
        "singles": [
            {
                "id": hit.id,
                "mmd2": hit.mmd2,
                "similarity": hit.similarity,
                "score": hit.score,
                "fits": hit.fits,
                "predicted_loss": hit.predicted_loss,
            }
            for hit in result.singles
        ],
        "mixture": None
        if mixture is None
        else {"ids": list(mixture.ids), "weights": [float(w) for w in mixture.weights], "mmd2": mixture.mmd2},
        "certified": result.certified,
        "method": result.method,
        "skipped": result.skipped,
        "compared": result.compared,
        "work": result.work,
        "warnings": list(result.warnings),
        "reliability": None if result.reliability is None else asdict(result.reliability),
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
    for name in ("mmd2", "similarity", "score"):
        table.add_column(name, justify="right")
    table.add_column("fits")
    reviewed = any(hit.predicted_loss is not None for hit in result.singles)
    if reviewed:
        table.add_column("predicted loss", justify="right")
    table.add_column("weight in the mixture", justify="right")
    for hit in result.singles:
        score = "" if hit.score is None else f"{hit.score:.3f}"
        weight = f"{weights[hit.id]:.3f}" if hit.id in weights else ""
        fits = "" if hit.fits is None else "yes" if hit.fits else "no"
        loss = ("" if hit.predicted_loss is None else f"{hit.predicted_loss:.3g}",) if reviewed else ()
        table.add_row(hit.id, f"{hit.mmd2:.6f}", f"{hit.similarity:.3f}", score, fits, *loss, weight)
    for identifier, weight in weights.items():
        if identifier not in shown:
            table.add_row(identifier, *[""] * (5 if reviewed else 4), f"{weight:.3f}")
    print_table(table)
    if result.mixture is not None:
        print_line(f"mixture of {len(result.mixture.ids)}: squared MMD {result.mixture.mmd2:.6f}")
    proof = "proven to be the nearest" if result.certified else "not proven"
    print_line(f"{proof} ({result.method}){_skipped(result)}")
    for warning in result.warnings:
        print_line(f"warning: {warning}")
    if result.reliability is not None:
        print_line(("warning: " if result.reliability.alarm else "") + result.reliability.message)


def _skipped(result: Any) -> str:
    return f"; {result.skipped} skipped for their type, shape or gamma" if result.skipped else ""
