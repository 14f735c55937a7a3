"""What an environment.yaml asks of conda, as far as it is let through to conda.

conda's packages bring scripts that run, with the user's rights, as they are installed. So they come from channels that
are curated, and from nowhere else; nothing of a stranger's file reaches conda but names, versions and builds.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from typing import Any

from learndock.environment.distributions import NEEDED, SERVED, distributions, normal_name
from learndock.environment.requirements import requirement_lines
from learndock.errors import EnvironmentBuildError

__all__ = ["CHANNELS", "CondaFile", "python_version", "read_conda_file"]

CHANNELS = ("conda-forge", "defaults", "pytorch", "nvidia")
"""Channels that packages are taken from: what is in them has been looked at by more people than its author."""

# A version, or a version and a build; no brackets, which can name another channel, and no path or address.
_PACKAGE = re.compile(r"(?P<name>[A-Za-z0-9_][\w.-]*) *(?P<rest>[\w.*+!=<>~,| -]*)", re.ASCII)
# conda takes such a name for a file.
_FILES = (".conda", ".tar.bz2")
_ADDRESS = re.compile(r"https://conda\.anaconda\.org/([\w-]+)/?", re.ASCII)
_NO_DEFAULTS = "nodefaults"
_LONGEST, _MOST = 300, 1000


@dataclass(frozen=True, slots=True)
class CondaFile:
    """What is taken from an environment.yaml.

    Attributes
    ----------
    channels : tuple of str
        In their order.
    packages : tuple of str
        conda's packages, Python and NumPy among them.
    requirements : tuple of str
        Distributions from Python's index: the part under ``pip``.
    """

    channels: tuple[str, ...]
    packages: tuple[str, ...]
    requirements: tuple[str, ...]


def python_version(content: dict[str, Any]) -> str | None:
    """The version of Python that an environment.yaml asks for, as it is written there."""
    for entry in _list(content, "dependencies"):
        match = _match(str(entry).rpartition("::")[2].strip())
        if match and match["name"] == "python" and match["rest"]:
            return match["rest"].strip()
    return None


def read_conda_file(content: dict[str, Any]) -> CondaFile:
    """Take what may be taken from the content of an environment.yaml.

    Raises
    ------
    EnvironmentBuildError
        It names another channel, or something that is no package of a channel.
    """
    channels = [_channel(channel) for channel in _list(content, "channels") if channel != _NO_DEFAULTS]
    packages: dict[str, str] = {}
    lines: list[str] = []
    for entry in _list(content, "dependencies"):
        if isinstance(entry, dict):
            lines += requirement_lines("\n".join(map(str, _list(entry, "pip"))))
            continue
        channel, separator, package = str(entry).strip().rpartition("::")
        name, package = _package(package.strip())
        packages[name] = f"{_channel(channel)}::{package}" if separator else package
    packages.pop(SERVED, None)
    requirements = distributions(lines, needed=False)
    packages.setdefault("python", f"python={sys.version_info.major}.{sys.version_info.minor}")
    if NEEDED not in map(normal_name, requirements):
        packages.setdefault(NEEDED, NEEDED)
    kept = tuple(dict.fromkeys(channels)) or CHANNELS[:1]
    return CondaFile(kept, tuple(sorted(packages.values())), requirements)


def _list(content: dict[str, Any], key: str) -> list[Any]:
    found = content.get(key)
    if isinstance(found, list) and len(found) > _MOST:
        raise EnvironmentBuildError(f"environment.yaml: more than {_MOST} {key}")
    return found if isinstance(found, list) else []


def _channel(given: object) -> str:
    text = str(given).strip()
    address = _ADDRESS.fullmatch(text)
    name = address[1] if address else text
    if name not in CHANNELS:
        raise EnvironmentBuildError(
            f"environment.yaml: expected channels among {', '.join(CHANNELS)}, got {str(given)[:_LONGEST]!r}: packages "
            "run scripts as they are installed, so they come from no other"
        )
    return name


def _package(text: str) -> tuple[str, str]:
    match = _match(text)
    if match is None or text.endswith(_FILES):
        raise EnvironmentBuildError(
            f"environment.yaml: expected a package by name, version and build, got {text[:_LONGEST]!r}"
        )
    return match["name"].lower(), text


def _match(text: str) -> re.Match[str] | None:
    # What does not match takes time with the square of the length.
    return _PACKAGE.fullmatch(text) if len(text) <= _LONGEST else None
