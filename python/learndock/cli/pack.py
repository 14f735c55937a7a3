"""`learndock pack`: a fitted scikit-learn model and its specifications into a zip."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from learndock.cli.arguments import AsJson
from learndock.cli.output import print_json, print_line, spinner

__all__ = ["pack"]

_TRUSTED_PACKAGES = ("sklearn", "numpy", "scipy")


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
    from learndock.learnware import Learnware
    from learndock.specification import SemanticSpecification, load_spec

    with spinner("Packing and trying the model"):
        archive = Learnware.pack(
            _loaded(model),
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


def _loaded(path: Path) -> Any:
    """Load the model from a file of the user's own."""
    from learndock.errors import InvalidArgument, LearnwareError

    loaders = {".skops": _from_skops, ".joblib": _from_pickle, ".pkl": _from_pickle}
    loader = loaders.get(path.suffix.lower())
    if loader is None:
        raise InvalidArgument(f"model: {path.name} is none of {', '.join(loaders)}")
    if not path.is_file():
        raise InvalidArgument(f"model: no such file: {path}")
    try:
        return loader(path)
    # A pickle may raise whatever it likes, and skops has no root of its exceptions.
    except Exception as error:
        raise LearnwareError(f"can't load the model in {path}: {type(error).__name__}: {error}") from error


def _from_pickle(path: Path) -> Any:
    import joblib

    return joblib.load(path)


def _from_skops(path: Path) -> Any:
    from skops.io import get_untrusted_types, load

    # skops knows most types of these packages; what it does not know of them does no harm either. Types from
    # elsewhere stay untrusted, and `load` names them.
    trusted = [name for name in get_untrusted_types(file=path) if name.partition(".")[0] in _TRUSTED_PACKAGES]
    return load(path, trusted=trusted)
