"""`learndock spec`: sketch a table of data, at home, without giving it away."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from learndock.cli.arguments import AsJson, output_file
from learndock.cli.output import message_line, print_json, print_line, spinner

__all__ = ["spec"]


def spec(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="A .csv, .npy, .npz or .parquet file of numbers, a row each.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write it (.json or .npz).")] = Path(
        "stat.json"
    ),
    points: Annotated[int, typer.Option("--points", min=1, help="Points of the reduced set.")] = 100,
    gamma: Annotated[float, typer.Option("--gamma", help="Of the kernel exp(-gamma ||x - y||^2).")] = 0.1,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Decides everything random.")] = 0,
    drop: Annotated[
        list[str] | None,
        typer.Option(
            "--drop",
            help="A column to leave out, such as the label, by name or index; it may hold text. May be repeated.",
        ),
    ] = None,
    free_weights: Annotated[
        bool, typer.Option("--free-weights", help="Let weights be negative and their sum free.")
    ] = False,
    no_reduce: Annotated[
        bool, typer.Option("--no-reduce", help="Keep every row as it is: the file then gives the data away.")
    ] = False,
    scaling: Annotated[
        Path | None,
        typer.Option("--scaling", help="Standardise the columns by this file, as `learndock scaling` writes it."),
    ] = None,
    privacy_report: Annotated[
        bool, typer.Option("--privacy-report", help="Say how near the points come to rows of the data.")
    ] = False,
    refuse_copies: Annotated[
        bool, typer.Option("--refuse-copies", help="End with an error, and write nothing, if a point equals a row.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make the statistical specification (RKME) of a table of data."""
    from learndock.cli.data_file import read_data_file
    from learndock.errors import InvalidArgument, ScaleWarning
    from learndock.specification import RKMETableSpecification, Scaling

    output_file(output, overwrite=True)
    standardised_by = None if scaling is None else Scaling.load(scaling)
    with spinner("Sketching the data"), warnings.catch_warnings(record=True) as remarks:
        warnings.simplefilter("always", ScaleWarning)
        table = read_data_file(data, drop=drop or ())
        specification = RKMETableSpecification.fit(
            table,
            n_points=points,
            gamma=gamma,
            random_state=seed,
            weights="free" if free_weights else "nonnegative",
            reduce=not no_reduce,
            scaling=standardised_by,
        )
        report = specification.privacy_report(table) if privacy_report or refuse_copies else None
        if refuse_copies and report is not None and report.copies_in_float32:
            raise InvalidArgument(f"--refuse-copies: nothing is written; {report.message}")
        specification.save(output)
    for remark in remarks:
        message_line(f"warning: {remark.message}")
    kept, features = specification.points.shape
    facts: dict[str, Any] = {
        "path": str(output),
        "rows": specification.num_points,
        "features": features,
        "points": kept,
        "gamma": specification.gamma,
        "fit_mmd2": specification.fit_mmd2,
    }
    said = report if privacy_report else None
    if as_json:
        print_json(facts if said is None else {**facts, "privacy": said.to_dict()})
        return
    closeness = "" if specification.fit_mmd2 is None else f", squared MMD to them {specification.fit_mmd2:.3g}"
    print_line(f"{output}: {kept} points for {facts['rows']} rows of {features} features{closeness}")
    if said is not None:
        print_line(f"privacy: {said.message}")
