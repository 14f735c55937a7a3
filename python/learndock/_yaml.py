"""YAML that strangers have written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from learndock._printable import printable
from learndock.errors import LearnwareError

__all__ = ["LARGEST_FILE", "load_yaml", "parse_yaml"]

# PyYAML reads some 100 KiB a second.
LARGEST_FILE = 256 * 1024
_LARGEST_CONTENT = 2**20
# Python does not print integers of thousands of digits, so no message could show them.
_LONGEST_INTEGER = 1024
# The one tag beyond YAML's own that the reference writes: its templates dump a model's shapes so.
_TUPLE = "tag:yaml.org,2002:python/tuple"


def load_yaml(file: Path, *, max_bytes: int = LARGEST_FILE) -> dict[str, Any]:
    """Read the mapping in a YAML file; see `parse_yaml`.

    Raises
    ------
    LearnwareError
        The file is missing, too large, no YAML, or no mapping of what `parse_yaml` makes.
    """
    try:
        with file.open("rb") as stream:
            data = stream.read(max_bytes + 1)
    except FileNotFoundError:
        raise LearnwareError(f"{file.name} is missing") from None
    except OSError as error:
        raise LearnwareError(f"{file.name} can't be read: {error!s:.500}") from error
    if len(data) > max_bytes:
        raise LearnwareError(f"{file.name} is larger than {max_bytes} bytes")
    return parse_yaml(data, file.name)


def parse_yaml(data: bytes, name: str) -> dict[str, Any]:
    """Read the mapping in the content of a YAML file, of which the caller has bounded the size.

    A file of a page can stand for more than fits into the memory: aliases of aliases double at every level, and so do
    merge keys ("<<"). Merge keys are refused, and the content is measured as if written out. A tag makes nothing but
    a number, a string, a date, a set, a list, a tuple or a mapping.

    Raises
    ------
    LearnwareError
        It is no YAML, or no mapping of these.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        def flatten_mapping(self, node: yaml.MappingNode) -> None:
            # What would merge keys; without it such a key is an error.
            pass

        def tuple_to_be(self, node: yaml.SequenceNode) -> _Tuple:
            return _Tuple(self.construct_sequence(node, deep=True))

    Loader.add_constructor(_TUPLE, Loader.tuple_to_be)
    try:
        content = yaml.load(data, Loader)
    # PyYAML lets exceptions of many kinds out of malformed scalars, RecursionError out of deep nesting.
    except Exception as error:
        raise LearnwareError(f"{name} can't be read: {printable(str(error)[:500])}") from error
    if not isinstance(content, dict):
        raise LearnwareError(f"{name}: expected a mapping, got {type(content).__name__}")
    _check_size(content, name)
    return {key: _with_tuples(value) for key, value in content.items()}


class _Tuple(list[Any]):
    """A tuple to be, not hashable: the hash of one whose parts are aliases of one another takes forever."""


def _with_tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_tuples(item) for key, item in value.items()}
    if isinstance(value, list):
        return (tuple if isinstance(value, _Tuple) else list)(map(_with_tuples, value))
    return value


def _check_size(content: object, file_name: str) -> None:
    size = 0
    waiting = [content]
    while waiting:
        item = waiting.pop()
        size += 1 + (len(item) if isinstance(item, str | bytes) else 0)
        if isinstance(item, int) and item.bit_length() > _LONGEST_INTEGER:
            raise LearnwareError(f"{file_name}: an integer of {item.bit_length()} bits")
        if size > _LARGEST_CONTENT:
            raise LearnwareError(f"{file_name}: more than {_LARGEST_CONTENT} characters with its aliases written out")
        if isinstance(item, dict):
            waiting.extend(item.keys())
            waiting.extend(item.values())
        elif isinstance(item, list | tuple | set):
            waiting.extend(item)
