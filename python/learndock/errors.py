"""Every exception that learndock raises, and every warning.

`LearndockError` is the root. A message names the argument, says what came and what was expected; nothing
has been changed when one is raised.
"""

from __future__ import annotations

__all__ = [
    "ArchiveRejected",
    "DamagedLearnware",
    "DockError",
    "DockFormatError",
    "EnvironmentBuildError",
    "InvalidArgument",
    "IsolationUnavailable",
    "LearndockError",
    "LearnwareError",
    "MissingDependency",
    "ModelError",
    "ModelTimeout",
    "ReadOnlyDock",
    "ScaleWarning",
    "SemanticError",
    "SketchWarning",
    "SpecificationFileError",
    "SpecificationMismatch",
    "UnknownLearnware",
    "UnreviewedWarning",
]


class LearndockError(Exception):
    """Root of all exceptions of this package."""


class ScaleWarning(UserWarning):
    """Rows and gamma don't go together: to the kernel all rows look alike, or each looks alone."""


class UnreviewedWarning(UserWarning):
    """Learnwares are weighted by specifications alone, since no dock has tried them on each other's sketches."""


class SketchWarning(UserWarning):
    """Sketches can't be read, so a search computes more: the same results, later; `Dock.optimize` makes them again."""


class InvalidArgument(LearndockError, ValueError):
    """An argument has the wrong type, shape, range, or holds NaN or infinity."""


class SpecificationMismatch(InvalidArgument):
    """Two specifications can't be compared: input shape, type, gamma or scaling differ, or what outputs mean."""


class SemanticError(InvalidArgument):
    """A semantic specification breaks a rule; the message names the key and the allowed values."""


class SpecificationFileError(LearndockError):
    """A specification file is truncated, is not what its name says, or holds values that make no sense."""


class LearnwareError(LearndockError):
    """A learnware's folder or zip lacks a part, or a part is not as it must be."""


class ArchiveRejected(LearnwareError):
    """A zip that could harm the host: paths that leave the folder, links, sizes over the limits."""


class ModelError(LearnwareError):
    """The model's process failed; the message ends with what the model wrote to stderr."""


class ModelTimeout(ModelError):
    """The model did not answer in time and was killed."""


class EnvironmentBuildError(LearnwareError):
    """No environment for the model could be made; the message ends with what the installer wrote."""


class IsolationUnavailable(LearndockError):
    """A model can't be contained here as well as was required; it was not started."""


class MissingDependency(LearndockError, ImportError):
    """An optional package is needed for this; the message says which and how to install it."""


class DockError(LearndockError):
    """The dock on disk can't do what was asked."""


class DamagedLearnware(DockError):
    """A zip of the dock is missing, or is not what was submitted: its sha256 differs."""


class DockFormatError(DockError):
    """The folder is no dock, or one of a newer format than this version reads."""


class ReadOnlyDock(DockError):
    """The dock was opened with `readonly=True`, or its folder can't be written to."""


class UnknownLearnware(DockError, KeyError):
    """No learnware of this id is in the dock."""

    def __str__(self) -> str:
        # KeyError would show the repr of the message.
        return str(self.args[0]) if self.args else ""
