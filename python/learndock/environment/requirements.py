"""Which distributions a learnware needs, and which of them are not here."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learndock._yaml import load_yaml
from learndock.environment.distributions import SERVED
from learndock.errors import LearnwareError

if TYPE_CHECKING:
    from os import PathLike

    from packaging.specifiers import Specifier
    from packaging.version import Version

__all__ = ["conda_content", "missing_requirements", "read_requirements", "requirement_lines"]

_LARGEST_FILE = 2**20
_MOST_REQUIREMENTS, _LONGEST_REQUIREMENT = 1000, 1000
_LONGEST_SHOWN = 200
# pip's options that say where to find distributions, not which.
_SOURCES = re.compile(r"(-i|-f|--(index-url|extra-index-url|find-links|trusted-host|no-index|prefer-binary|pre))\b")
# conda packages that are no Python distributions, or whose version is the interpreter's own matter.
_CONDA_ONLY = re.compile(
    r"(python|python_abi|pip|setuptools|wheel|_.*|lib.*|ld_impl.*|.*-mutex|bzip2|ca-certificates|openssl|readline|ncurses"
    r"|sqlite|tk|xz|zlib|zstd|icu|tzdata|mkl|blas|intel-openmp|openblas|cudatoolkit|cuda-.*|cudnn|pytorch-cuda)"
)
_PYPI_NAMES = {"pytorch": "torch"}


def read_requirements(folder: str | PathLike[str]) -> tuple[str, ...]:
    """Read requirements.txt, or else environment.yaml (conda), of a learnware's folder.

    Parameters
    ----------
    folder : path
        The folder that holds learnware.yaml.

    Returns
    -------
    tuple of str
        One requirement each, in the order of the file; empty where there is no such file. Of an environment.yaml:
        the lines under ``pip``, and conda's own in pip's spelling, without what is no Python distribution.

    Raises
    ------
    LearnwareError
        The file can't be read, or holds more than anybody needs.
    """
    root = Path(folder)
    text = _content(root / "requirements.txt")
    if text is not None:
        return _bounded(requirement_lines(text), "requirements.txt")
    content = conda_content(root)
    return () if content is None else _bounded(_conda_lines(content), "environment.yaml")


def conda_content(folder: str | PathLike[str]) -> dict[str, Any] | None:
    """Read environment.yaml of a learnware's folder; None where there is none, or requirements.txt, which comes first.

    Raises
    ------
    LearnwareError
        The file can't be read.
    """
    root = Path(folder)
    if (root / "requirements.txt").is_file():
        return None
    for name in ("environment.yaml", "environment.yml"):
        if (root / name).is_file():
            return load_yaml(root / name)
    return None


def missing_requirements(requirements: Iterable[str]) -> tuple[str, ...]:
    """Find the requirements that this Python can't serve.

    A distribution is missing when it is not installed, when it is outside its specifiers, or, for an exact version
    (``==``), when another major version is installed: minor versions load one another's models as a rule, and exact
    pins are written by habit. A line that is no requirement of a distribution is missing, too.

    Parameters
    ----------
    requirements : iterable of str
        As `read_requirements` gives them.

    Returns
    -------
    tuple of str
        The missing ones, each with the reason; long ones are cut.

    Examples
    --------
    >>> missing_requirements(["numpy>=1.0", "learnware==0.3.2", "no-such-distribution==1.0"])
    ('no-such-distribution==1.0 (not installed)',)
    """
    faults = ((line, _fault(line)) for line in requirements)
    return tuple(f"{_shown(line)} ({fault})" for line, fault in faults if fault)


def _shown(line: str) -> str:
    return line if len(line) <= _LONGEST_SHOWN else f"{line[:_LONGEST_SHOWN]}..."


def _bounded(requirements: Iterable[str], file_name: str) -> tuple[str, ...]:
    found: list[str] = []
    for line in requirements:
        if len(found) == _MOST_REQUIREMENTS:
            raise LearnwareError(f"{file_name}: more than {_MOST_REQUIREMENTS} requirements")
        if len(line) > _LONGEST_REQUIREMENT:
            raise LearnwareError(
                f"{file_name}: the requirement {_shown(line)!r} has more than {_LONGEST_REQUIREMENT} characters"
            )
        found.append(line)
    return tuple(found)


def _content(file: Path) -> str | None:
    # A folder that is used as it is may hold a pipe of this name, whose reading would never end.
    if file.exists() and not file.is_file():
        raise LearnwareError(f"{file.name} can't be read: it is no file")
    try:
        with file.open("rb") as stream:
            data = stream.read(_LARGEST_FILE + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LearnwareError(f"{file.name} can't be read: {error.strerror}") from error
    if len(data) > _LARGEST_FILE:
        raise LearnwareError(f"{file.name} is larger than {_LARGEST_FILE} bytes")
    try:
        # Windows' editors begin a file with a mark.
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise LearnwareError(f"{file.name} is not UTF-8: {error}") from error


def requirement_lines(text: str) -> Iterable[str]:
    """The requirements in the text of a requirements.txt, without comments and without options about sources."""
    for line in re.sub(r"\\\r?\n", " ", text).splitlines():
        # Hashes (pip's --hash) and comments come after white space.
        requirement = re.split(r"(?:^|\s)(?:#|--hash)", line)[0].strip()
        if requirement and not _SOURCES.match(requirement):
            yield requirement


def _conda_lines(environment: dict[str, Any]) -> Iterable[str]:
    dependencies = environment.get("dependencies")
    for entry in dependencies if isinstance(dependencies, list) else []:
        if isinstance(entry, dict) and isinstance(entry.get("pip"), list):
            yield from requirement_lines("\n".join(map(str, entry["pip"])))
        elif isinstance(entry, str):
            yield from _conda_line(entry.rpartition("::")[2].strip())


def _conda_line(line: str) -> Iterable[str]:
    name = re.split(r"[^\w.-]", line)[0]
    if not _CONDA_ONLY.fullmatch(name):
        exact = re.fullmatch(r"[\w.-]+==?(\w+(?:\.\w+)*(?:\.\*)?)(=[^=]*)?", line)  # name=version=build
        rest = f"=={exact[1]}" if exact else line.removeprefix(name)
        yield _PYPI_NAMES.get(name, name) + rest


def _fault(line: str) -> str | None:
    """Why a requirement is missing, or None where it is not."""
    try:
        return _missing(line)
    # packaging lets exceptions of many kinds out of markers that compare what can't be compared, of deep nesting and of
    # numbers of thousands of digits; a marker or version that it can't read is never served.
    except Exception:
        return "can't be understood"


def _missing(line: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name
    from packaging.version import InvalidVersion, Version

    try:
        requirement = Requirement(line)
    except InvalidRequirement:
        return "no requirement of a distribution"
    if canonicalize_name(requirement.name) == SERVED:
        return None
    if requirement.marker is not None and not requirement.marker.evaluate():
        return None
    try:
        installed = Version(version(requirement.name))
    except PackageNotFoundError:
        return "not installed"
    except (InvalidVersion, TypeError):  # broken metadata
        return "installed in an unknown version"
    if all(_admits(specifier, installed) for specifier in requirement.specifier):
        return None
    return f"{installed} is installed"


def _admits(specifier: Specifier, installed: Version) -> bool:
    from packaging.version import InvalidVersion, Version

    if specifier.operator in ("==", "===") and not specifier.version.endswith(".*"):
        try:
            return Version(specifier.version).major == installed.major
        except InvalidVersion:
            pass
    return specifier.contains(installed, prereleases=True)
