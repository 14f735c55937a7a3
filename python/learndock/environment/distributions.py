"""Requirements as an index of wheels can serve them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from learndock.errors import EnvironmentBuildError

__all__ = ["NEEDED", "SERVED", "distributions", "normal_name"]

SERVED = "learnware"
"""The model's process has a module of this name, whatever is installed."""
NEEDED = "numpy"
"""What hands arrays to the model needs it."""
_SHOWN, _LONGEST_SHOWN = 10, 200
_VERSION = re.compile(r"[A-Za-z0-9][\w.!+*-]*", re.ASCII)
# packaging lets "a_" through, whose normal form "a-" is no name.
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


def distributions(requirements: Iterable[str], *, needed: bool = True) -> tuple[str, ...]:
    """Names, extras and versions of the distributions to install, each written in one way, in order.

    Parameters
    ----------
    requirements : iterable of str
        As `read_requirements` gives them. Markers are looked at here, for this interpreter.
    needed : bool
        Whether NumPy is among them in any case: it hands arrays to the model.

    Returns
    -------
    tuple of str

    Raises
    ------
    EnvironmentBuildError
        A line asks for something else than a version of a distribution: a URL, a path, an option of pip's.

    Examples
    --------
    >>> distributions(["Scikit_Learn >= 1.2", "learnware==0.3.2", "pywin32; sys_platform == 'win32'"])
    ('numpy', 'scikit-learn>=1.2')
    """
    found: set[str] = set()
    faults: list[str] = []
    for line in requirements:
        try:
            found |= _distribution(line)
        # packaging lets exceptions of many kinds out of what can't be read.
        except Exception as error:
            reason = str(error) if isinstance(error, EnvironmentBuildError) else "can't be understood"
            faults.append(f"{line[:_LONGEST_SHOWN]!r} ({reason})")
    if faults:
        more = f" and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise EnvironmentBuildError(
            "no environment can be made: distributions are taken from the index alone, by name and version; not so "
            f"{', '.join(faults[:_SHOWN])}{more}"
        )
    if needed and NEEDED not in map(normal_name, found):
        found.add(NEEDED)
    return tuple(sorted(found))


def normal_name(requirement: str) -> str:
    """Name of the distribution in a requirement, as indexes write it."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    return canonicalize_name(Requirement(requirement).name)


def _distribution(line: str) -> set[str]:
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    try:
        requirement = Requirement(line)
    except InvalidRequirement:
        raise EnvironmentBuildError("no requirement of a distribution") from None
    name = canonicalize_name(requirement.name)
    if name == SERVED or (requirement.marker is not None and not requirement.marker.evaluate()):
        return set()
    if requirement.url is not None:
        raise EnvironmentBuildError("a direct URL")
    extras = sorted(map(canonicalize_name, requirement.extras))
    if not all(_NAME.fullmatch(each) for each in (name, *extras)):
        raise EnvironmentBuildError("no name of a distribution")
    for specifier in requirement.specifier:
        # Of "===" packaging takes any text for a version, and installers could take it for a path.
        if not _VERSION.fullmatch(specifier.version):
            raise EnvironmentBuildError("no version")
    versions = ",".join(sorted(map(str, requirement.specifier)))
    return {f"{name}[{','.join(extras)}]{versions}" if extras else f"{name}{versions}"}
