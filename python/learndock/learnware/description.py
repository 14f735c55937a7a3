"""learnware.yaml: which class is the model, and which files are its specifications."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from learndock._yaml import LARGEST_FILE, load_yaml
from learndock.errors import LearnwareError
from learndock.learnware.validation import Validation
from learndock.runtime.description import ModelDescription
from learndock.runtime.worker import packed

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["FILE", "LearnwareDescription", "SpecificationEntry", "find_root", "held_out_name"]

FILE = "learnware.yaml"
# The arguments travel to the model's process in one message.
_LONGEST_KWARGS = 60_000
# By their name in the file: the class of today, which is all that is ever loaded for it.
_SPECIFICATION_CLASSES = {
    "RKMETableSpecification": "RKMETableSpecification",
    "RKMEStatSpecification": "RKMETableSpecification",
}
# Where version 0.3 looked when stat_specifications was missing; 0.4 has none then.
_OLD_SPECIFICATION_FILE = "stat_spec.json"
_SEMANTIC_FILE = "semantic_specification.json"


@dataclass(frozen=True, slots=True)
class SpecificationEntry:
    """One statistical specification: the class by its present name, and its file inside the folder."""

    class_name: str
    file_name: str


@dataclass(frozen=True, slots=True)
class LearnwareDescription:
    """What learnware.yaml says, with its defaults filled in.

    Attributes
    ----------
    model : ModelDescription
        The model's class; the file it is in exists.
    specifications : tuple of SpecificationEntry
        Their files exist.
    semantic_file : str or None
        The semantic specification's file inside the folder, if there is one.
    held_out_file : str or None
        The file of held-out rows inside the folder, if it ships some.
    labelled_sketch_file : str or None
        The file of mean labels at the specification's points, if it ships some.
    validation : Validation or None
        How well the model did on its developer's rows, if it says so.
    name, id : str or None
        What the file says about itself.
    """

    model: ModelDescription
    specifications: tuple[SpecificationEntry, ...]
    semantic_file: str | None = None
    held_out_file: str | None = None
    labelled_sketch_file: str | None = None
    validation: Validation | None = None
    name: str | None = None
    id: str | None = None

    @classmethod
    def read(cls, folder: str | PathLike[str], *, max_bytes: int = LARGEST_FILE) -> LearnwareDescription:
        """Read the learnware.yaml of a folder.

        Classes that it names are only ever compared with the list of those that there are here; a module that it gives
        for a specification is not even looked at.

        Parameters
        ----------
        folder : path
            The folder that holds learnware.yaml (see `find_root`).
        max_bytes : int, default 256 KiB
            A larger file is refused before it is read.

        Returns
        -------
        LearnwareDescription

        Raises
        ------
        LearnwareError
            The file is missing, is no YAML, names what is not there, not allowed or outside the folder, or has numbers
            of a validation that can't be.
        """
        root = Path(folder)
        content = load_yaml(root / FILE, max_bytes=max_bytes)
        held_out, labelled_sketch = (_data_name(content, key) for key in ("held_out", "labelled_sketch"))
        return cls(
            model=_model(root, _section(content, "model")),
            specifications=_specifications(root, content.get("stat_specifications")),
            semantic_file=_semantic_file(root, _section(content, "semantic_specification")),
            held_out_file=None if held_out is None else _file(root, "held_out.file_name", held_out),
            labelled_sketch_file=(
                None if labelled_sketch is None else _file(root, "labelled_sketch.file_name", labelled_sketch)
            ),
            validation=_validation(content.get("validation")),
            name=_text(content, "name"),
            id=_text(content, "id"),
        )


def held_out_name(content: Mapping[str, Any]) -> str | None:
    """The file of held-out rows that the content of learnware.yaml names; None where it names none.

    Raises
    ------
    LearnwareError
        What it gives can't be the name of a file inside the folder.
    """
    return _data_name(content, "held_out")


def find_root(folder: str | PathLike[str]) -> Path:
    """Find the folder that holds learnware.yaml: the one given, or the only one in it.

    Raises
    ------
    LearnwareError
        Neither holds it.
    """
    root = Path(folder)
    if (root / FILE).is_file():
        return root
    # What macOS and editors leave beside it does not count.
    tops = [item for item in root.iterdir() if not item.name.startswith((".", "__MACOSX"))]
    if len(tops) == 1 and not tops[0].is_symlink() and (tops[0] / FILE).is_file():
        return tops[0]
    raise LearnwareError(f"{FILE} is missing: it lies neither at the top nor in a single top folder")


def _data_name(content: Mapping[str, Any], key: str) -> str | None:
    section = _section(content, key)
    return str(_inside(f"{key}.file_name", section.get("file_name"))) if section else None


def _validation(section: object) -> Validation | None:
    try:
        return None if section is None else Validation.read(section)
    except LearnwareError as error:
        raise LearnwareError(f"{FILE}: {error}") from None


def _section(content: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = content.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise LearnwareError(f"{FILE}: {key}: expected a mapping, got {type(value).__name__}")
    return value


def _text(section: Mapping[str, Any], key: str) -> str | None:
    value = section.get(key)
    # A number is what YAML makes of an id without quotes; halves of surrogate pairs could not be printed.
    return None if value is None else str(value)[:1000].encode("utf-8", "replace").decode("utf-8")


def _model(root: Path, section: Mapping[str, Any]) -> ModelDescription:
    class_name = section.get("class_name", "Model")
    if not isinstance(class_name, str) or not class_name.isidentifier():
        raise LearnwareError(f"{FILE}: model.class_name: expected the name of a class, got {class_name!r:.200}")
    module_path = section.get("module_path", "__init__.py")
    if not isinstance(module_path, str):
        raise LearnwareError(f"{FILE}: model.module_path: expected a file name, got {module_path!r:.200}")
    if module_path.endswith(".py"):
        module_path = _file(root, "model.module_path", module_path)
    elif not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", module_path):
        raise LearnwareError(f"{FILE}: model.module_path: expected a .py file or a module, got {module_path!r:.200}")
    return ModelDescription(class_name, module_path, _kwargs(section))


def _kwargs(section: Mapping[str, Any]) -> dict[str, Any]:
    kwargs = section.get("kwargs")
    if kwargs is None:
        return {}
    if not isinstance(kwargs, dict):
        raise LearnwareError(f"{FILE}: model.kwargs: expected a mapping, got {type(kwargs).__name__}")
    if not all(isinstance(key, str) for key in kwargs):
        raise LearnwareError(f"{FILE}: model.kwargs: expected names as its keys, got {list(kwargs)!r:.200}")
    try:
        text = json.dumps(packed(kwargs))
    except (TypeError, ValueError, RecursionError) as error:
        raise LearnwareError(f"{FILE}: model.kwargs: expected numbers, strings, lists and mappings ({error})") from None
    if len(text) > _LONGEST_KWARGS:
        raise LearnwareError(f"{FILE}: model.kwargs: {len(text)} characters, at most {_LONGEST_KWARGS} are allowed")
    return kwargs


def _specifications(root: Path, entries: object) -> tuple[SpecificationEntry, ...]:
    if entries is None:
        if not (root / _OLD_SPECIFICATION_FILE).is_file():
            return ()
        entries = [{"class_name": "RKMETableSpecification", "file_name": _OLD_SPECIFICATION_FILE}]
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise LearnwareError(f"{FILE}: stat_specifications: expected a list of mappings, got {entries!r:.200}")
    found: dict[str, SpecificationEntry] = {}
    for number, entry in enumerate(entries):
        where = f"stat_specifications[{number}]"
        # Old files leave class_name out.
        given = entry.get("class_name", "RKMETableSpecification")
        class_name = _SPECIFICATION_CLASSES.get(given) if isinstance(given, str) else None
        if class_name is None:
            allowed = ", ".join(_SPECIFICATION_CLASSES)
            raise LearnwareError(f"{FILE}: {where}.class_name: expected one of {allowed}, got {given!r:.200}")
        if class_name in found:
            raise LearnwareError(f"{FILE}: {where}.class_name: a second {class_name}, expected one of each class")
        file_name = _file(root, f"{where}.file_name", entry.get("file_name"))
        found[class_name] = SpecificationEntry(class_name, file_name)
    return tuple(found.values())


def _semantic_file(root: Path, section: Mapping[str, Any]) -> str | None:
    if "file_name" in section:
        return _file(root, "semantic_specification.file_name", section["file_name"])
    return _SEMANTIC_FILE if (root / _SEMANTIC_FILE).is_file() else None


def _file(root: Path, key: str, name: object) -> str:
    """Check a file's name: the file is there, and inside the folder even where links lead on."""
    path = _inside(key, name)
    try:
        file = (root / path).resolve(strict=True)
    # ValueError: a name that can't be encoded.
    except (OSError, RuntimeError, ValueError):
        raise LearnwareError(f"{FILE}: {key}: no file {name!r} in the folder") from None
    if not file.is_relative_to(root.resolve()) or not file.is_file():
        raise LearnwareError(f"{FILE}: {key}: expected a file inside the folder, got {name!r}")
    return str(path)


def _inside(key: str, name: object) -> PurePosixPath:
    """Check that a file's name by itself does not lead out of the folder."""
    if not isinstance(name, str) or not name or len(name) > 1000 or "\0" in name:
        raise LearnwareError(f"{FILE}: {key}: expected a file name, got {name!r:.200}")
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name:
        raise LearnwareError(f"{FILE}: {key}: expected a file inside the folder, got {name!r}")
    return path
