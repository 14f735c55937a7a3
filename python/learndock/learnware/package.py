"""Packing: a fitted scikit-learn model and its specifications become a learnware's zip."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import zipfile
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from learndock.errors import InvalidArgument, LearnwareError
from learndock.learnware._class_columns import class_columns
from learndock.learnware._labelled_rows import labelled_rows
from learndock.learnware._labelling import labelled
from learndock.learnware._model_file import write_model
from learndock.learnware._packed_answers import in_columns, predictions_of
from learndock.learnware.held_out import MOST_ROWS
from learndock.learnware.validation import Validation
from learndock.runtime.scratch import private_folder, remove_folder
from learndock.specification._rows import rows_of

if TYPE_CHECKING:
    from os import PathLike

    import numpy.typing as npt

    from learndock.learnware.labelled_sketch import LabelledSketch
    from learndock.specification import RKMETableSpecification, SemanticSpecification

__all__ = ["label_sketch", "pack"]

# The process of the model may add up in another order than this one; labels must be equal.
_RELATIVE_TOLERANCE = 1e-5


def pack(
    model: Any,
    *,
    specification: RKMETableSpecification,
    semantic: SemanticSpecification,
    path: str | PathLike[str],
    overwrite: bool = False,
    held_out: Any = None,
    validation: tuple[Any, Any] | None = None,
    labelled_sketch: tuple[Any, Any] | None = None,
) -> Path:
    """Write a fitted scikit-learn model, with its specifications, as a learnware's zip.

    The zip holds learnware.yaml, the model, stat.json, semantic_specification.json, requirements.txt with exact
    versions, and code that predicts (packed_model.py). The model is written in a format that is data only (skops)
    where it consists of scikit-learn, NumPy and SciPy, else as a pickle (joblib); ``model.format`` in learnware.yaml
    says which. Before it gets its name, the zip is opened again, and its model predicts in its own process what
    `model` predicts here, on the points of the specification.

    A classifier predicts the probabilities of the classes (n, C), in the order of the semantic specification's Output,
    or, where it knows none, their numbers (n,); its own classes may be these numbers or the descriptions. Others
    predict what they do.

    Parameters
    ----------
    model : object
        Fitted, with `predict`, or `transform` where it has no predict.
    specification : RKMETableSpecification
        Of its training data.
    semantic : SemanticSpecification
        What it is for.
    path : path
        The zip to write, in a folder that exists.
    overwrite : bool
        Whether an existing file is replaced.
    held_out : array, DataFrame or tensor of shape (n, d), optional
        At most 1,000 rows of the model's domain, best such as neither model nor specification has seen; NaN is replaced
        by its column's mean. With them, `Dock.search_rows` gives a user the p-value of a test whether their rows are of
        the same distribution. **These rows are put into the zip as they are: they leave your machine, and whoever gets
        the learnware can read them.** By default none are, and the zip holds no row of your data
        (how near to rows the points of the specification come, its `privacy_report` says).
    validation : pair of array-like, optional
        (X, y): rows of shape (n, d) that the model has not seen, and their labels: numbers or descriptions of classes
        (n,), or targets, (n,) or (n, D). The zip gets a few numbers of them, no row and no label: how many there were,
        the model's loss and accuracy, the variance of targets, and, where it knows probabilities, the threshold of its
        confidence from which a user's expected accuracy is worked out without their labels (see `Validation` in
        learndock.learnware.validation). By default none.
    labelled_sketch : pair of array-like, optional
        (X, y) as for `validation`, which may be the same rows. The zip gets **mean labels of your rows around each
        point of the specification**: shares of classes, or means of targets, where 10 effective rows or more are behind
        a point, so that none has more than a third of a mean. A dock's peer review then judges models at these points
        by your labels and not by what your model says. Whoever gets the learnware reads, for each such point, what
        labels are like around it (a share of 1 says that all are of that class), and one who knows your rows already
        can work out labels from the means where there are few rows for as many points: `label_sketch` shows what would
        be shipped. By default nothing is.

    Returns
    -------
    Path
        The zip's.

    Raises
    ------
    InvalidArgument
        The model, its specifications and `path` don't go together; the message names what disagrees.
    LearnwareError
        The model that was written does not predict as the one that was given.
    """
    target = _checked_target(path, overwrite)
    _check_dimensions(model, specification, semantic)
    rows = None if held_out is None else _checked_held_out(held_out, specification)
    settings, expected = _settings(model, specification, semantic)
    measured = None if validation is None else _validation(model, settings, validation, specification, semantic)
    means = None
    if labelled_sketch is not None:
        means = _labelled(model, settings, labelled_sketch, expected, specification, semantic).means
    with contextlib.ExitStack() as undo:
        folder = private_folder("pack")
        undo.callback(remove_folder, folder)
        _write_parts(folder, model, settings, specification, semantic, rows, measured, means)
        # Beside its final name, so that it can be renamed: nobody ever sees half a zip.
        unfinished = target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")
        undo.callback(unfinished.unlink, missing_ok=True)
        with unfinished.open("xb") as stream:
            _zip(folder, stream)
            stream.flush()
            os.fsync(stream.fileno())
        _verify(unfinished, specification.raw_points, expected)
        _checked_target(path, overwrite)
        unfinished.replace(target)
    return target


def label_sketch(
    model: Any, X: Any, y: Any, *, specification: RKMETableSpecification, semantic: SemanticSpecification
) -> LabelledSketch:
    """Work out what `pack` would ship for ``labelled_sketch=(X, y)``, to look at before anything leaves.

    Parameters
    ----------
    model : object
        Fitted, as `pack` takes it.
    X : array, DataFrame or tensor of shape (n, d)
        Rows that the model has not seen.
    y : array-like
        Their labels: numbers or descriptions of classes (n,), or targets, (n,) or (n, D).
    specification : RKMETableSpecification
        Whose points get mean labels.
    semantic : SemanticSpecification
        Of a classification or a regression.

    Returns
    -------
    LabelledSketch
        The means; and, in `message`, how many there are and how many rows are behind each.

    Raises
    ------
    InvalidArgument
        As `pack`.
    """
    _check_dimensions(model, specification, semantic)
    settings, expected = _settings(model, specification, semantic)
    return _labelled(model, settings, (X, y), expected, specification, semantic)


def _checked_target(path: str | PathLike[str], overwrite: bool) -> Path:
    target = Path(path)
    if not target.parent.is_dir():
        raise InvalidArgument(f"path: the folder {target.parent} does not exist")
    if target.exists() and not (overwrite and target.is_file()):
        raise InvalidArgument(f"path: {target} exists already; overwrite=True replaces a file")
    return target


def _check_dimensions(model: Any, specification: RKMETableSpecification, semantic: SemanticSpecification) -> None:
    dimensions = {
        "the statistical specification": specification.input_shape[0],
        "the semantic specification's Input": semantic.input_dimension,
        "model.n_features_in_": getattr(model, "n_features_in_", None),
    }
    known = {where: int(dimension) for where, dimension in dimensions.items() if dimension is not None}
    if len(set(known.values())) > 1:
        found = ", ".join(f"{where} has {dimension}" for where, dimension in known.items())
        raise InvalidArgument(f"the numbers of columns differ: {found}")


def _checked_held_out(held_out: Any, specification: RKMETableSpecification) -> npt.NDArray[np.float64]:
    rows = rows_of(held_out, "held_out")
    if len(rows) > MOST_ROWS:
        raise InvalidArgument(f"held_out: expected at most {MOST_ROWS} rows, since no test uses more, got {len(rows)}")
    if rows.shape[1:] != specification.input_shape:
        raise InvalidArgument(
            f"held_out: expected rows of shape {specification.input_shape}, as the specification has, got "
            f"{rows.shape[1:]}"
        )
    return rows


def _validation(
    model: Any,
    settings: dict[str, Any],
    pair: tuple[Any, Any],
    specification: RKMETableSpecification,
    semantic: SemanticSpecification,
) -> Validation:
    found = labelled_rows(pair, model, settings, specification, semantic, name="validation")
    measure = Validation.of_classes if semantic.task == "Classification" else Validation.of_targets
    return measure(found.output, found.truth)


def _labelled(
    model: Any,
    settings: dict[str, Any],
    pair: tuple[Any, Any],
    at_points: npt.NDArray[Any],
    specification: RKMETableSpecification,
    semantic: SemanticSpecification,
) -> LabelledSketch:
    found = labelled_rows(pair, model, settings, specification, semantic, name="labelled_sketch")
    classes = semantic.output_dimension if semantic.task == "Classification" else None
    return labelled(found, at_points, specification, classes=classes)


def _settings(
    model: Any, specification: RKMETableSpecification, semantic: SemanticSpecification
) -> tuple[dict[str, Any], npt.NDArray[Any]]:
    """Work out what packed_model.json says, and what the packed model is to predict on the specification's points."""
    methods = ["predict_proba", "predict"] if semantic.task == "Classification" else ["predict", "transform"]
    method = next((name for name in methods if hasattr(model, name)), None)
    if method is None:
        raise InvalidArgument(f"model: expected a method {' or '.join(methods)}, got {type(model).__name__}")
    answer, feature_names = predictions_of(model, method, specification.raw_points, "the specification's points")
    columns = None
    if semantic.task == "Classification":
        if not hasattr(model, "classes_"):
            raise InvalidArgument(f"model: expected a classifier with classes_, got {type(model).__name__}")
        columns = class_columns(model.classes_, semantic)
        answer = in_columns(answer, model.classes_, columns, semantic.output_dimension or 0)
    width = 1 if answer.ndim == 1 else answer.shape[1]
    if semantic.task == "Regression" and width != semantic.output_dimension:
        raise InvalidArgument(
            f"model: it predicts {width} numbers a row, the semantic specification's Output has "
            f"{semantic.output_dimension}"
        )
    settings = {
        "method": method,
        "input_shape": list(specification.input_shape),
        "output_shape": [width],
        "columns": columns,
        "feature_names": feature_names,
    }
    return settings, answer


def _write_parts(
    folder: Path,
    model: Any,
    settings: dict[str, Any],
    specification: RKMETableSpecification,
    semantic: SemanticSpecification,
    held_out: npt.NDArray[np.float64] | None,
    validation: Validation | None,
    means: npt.NDArray[np.float64] | None,
) -> None:
    import yaml

    file_name, trusted, distributions = write_model(model, folder)
    if settings["feature_names"] is not None:
        distributions = (*distributions, "pandas")
    description = {
        "name": semantic.name,
        "model": {"class_name": "PackedModel", "kwargs": {}, "format": file_name.partition(".")[2]},
        "stat_specifications": [
            {
                "module_path": "learnware.specification",
                "class_name": specification.type,
                "file_name": "stat.json",
                "kwargs": {},
            }
        ],
        "semantic_specification": {"file_name": "semantic_specification.json"},
    }
    if held_out is not None:
        description["held_out"] = {"file_name": "held_out.npy"}
        np.save(folder / "held_out.npy", held_out, allow_pickle=False)
    if means is not None:
        description["labelled_sketch"] = {"file_name": "labelled_sketch.npy"}
        np.save(folder / "labelled_sketch.npy", means, allow_pickle=False)
    if validation is not None:
        description["validation"] = validation.to_dict()
    settings = {**settings, "file_name": file_name, "trusted": trusted}
    texts = {
        "learnware.yaml": yaml.safe_dump(description, sort_keys=False, allow_unicode=True),
        "packed_model.json": json.dumps(settings, indent=2),
        "requirements.txt": "".join(f"{name}=={metadata.version(name)}\n" for name in distributions),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    shutil.copyfile(Path(__file__).with_name("packed_model.py"), folder / "__init__.py")
    specification.save(folder / "stat.json")
    semantic.save(folder / "semantic_specification.json")


def _zip(folder: Path, stream: Any) -> None:
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, file.name)


def _verify(zip_path: Path, points: npt.NDArray[Any], expected: npt.NDArray[Any]) -> None:
    from learndock.learnware.learnware import Learnware

    with Learnware.open(zip_path) as learnware:
        found = learnware.predict(points)
    if found.shape != expected.shape:
        raise LearnwareError(f"the packed model predicts shape {found.shape}, the one given {expected.shape}")
    if expected.dtype.kind != "f":
        equal = np.array_equal(found, expected)
    else:
        scale = float(np.nanmax(np.abs(expected), initial=0.0))
        equal = np.allclose(found, expected, rtol=_RELATIVE_TOLERANCE, atol=_RELATIVE_TOLERANCE * scale, equal_nan=True)
    if not equal:
        raise LearnwareError("the packed model predicts otherwise than the one given, on the specification's points")
