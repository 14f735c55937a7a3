"""`learndock pack`: a fitted scikit-learn model and its specifications into a zip."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from learndock.cli.arguments import AsJson, output_file
from learndock.cli.output import print_json, print_line, spinner

__all__ = ["pack"]


def pack(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL",
            help="A fitted scikit-learn model: .skops, or .joblib / .pkl. The latter two are pickles, and loading a "
            "pickle runs whatever code is in it: give only files of your own making.",
        ),
    ],
    spec: Annotated[Path, typer.Option("--spec", help="Statistical specification of its training data.")],
    semantic: Annotated[Path, typer.Option("--semantic", help="Semantic specification (JSON).")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write the zip.")] = Path("model.zip"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the zip if it is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Pack a model of one's own into a learnware zip, after trying it in a process of its own."""
    from learndock.learnware import Learnware, load_model_file
    from learndock.specification import SemanticSpecification, load_spec

    output_file(output, overwrite=overwrite)
    with spinner("Packing and trying the model"):
        archive = Learnware.pack(
            load_model_file(model),
            specification=load_spec(spec),
            semantic=SemanticSpecification.load(semantic),
            path=output,
            overwrite=overwrite,
        )
    size = archive.stat().st_size
    if as_json:
        print_json({"path": str(archive), "bytes": size})
    else:
        print_line(f"{archive}: {size:,} bytes")
