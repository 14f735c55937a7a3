"""What the outputs of learnwares mean, and how those that mean the same are put into one order of columns."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from learndock.errors import LearnwareError, SpecificationMismatch

if TYPE_CHECKING:
    import numpy.typing as npt

    from learndock.specification import SemanticSpecification

__all__ = ["OutputMeaning", "aligned", "common_meaning", "require_columns"]

# Of a description in a message: as many names, each so long.
_MOST_SHOWN = 8
_LONGEST_SHOWN = 60


@dataclass(frozen=True, slots=True)
class OutputMeaning:
    """What a learnware's output means: the Output of its semantic specification.

    Attributes
    ----------
    task : str or None
        "Classification", "Regression" or another; None where there is no semantic part.
    names : tuple of str or None
        Of the classes or targets in the order of the columns, in lower case and with single spaces. Where two names
        differ in case alone ("a" and "A" of an alphabet) case is kept. None where the semantic part does not describe
        each of them, or describes two in the same words: such an output is read by position.
    shown : tuple of str or None
        The same as they are written.
    dimension : int or None
        The number of classes or targets, where it is said.

    Examples
    --------
    >>> one = OutputMeaning.described("Classification", ["Setosa", "virginica"])
    >>> other = OutputMeaning.described("Classification", ["Virginica", "setosa"])
    >>> one.key == other.key
    True
    >>> common_meaning([one, OutputMeaning.described("Classification", ["versicolor", "setosa"])]).shown
    ('Setosa', 'virginica', 'versicolor')
    """

    task: str | None
    names: tuple[str, ...] | None
    shown: tuple[str, ...] | None
    dimension: int | None

    @classmethod
    def of(cls, semantic: SemanticSpecification | None) -> Self:
        """Read what a semantic specification says; nothing is known where there is none."""
        if semantic is None:
            return cls(task=None, names=None, shown=None, dimension=None)
        dimension, described = semantic.output_dimension, semantic.output_description
        if dimension is None or len(described) != dimension:
            return cls(task=semantic.task, names=None, shown=None, dimension=dimension)
        return cls.described(semantic.task, [described[str(column)] for column in range(dimension)])

    @classmethod
    def described(cls, task: str | None, shown: Sequence[str]) -> Self:
        """Make one of a name for each column, in their order."""
        names = _distinct([_folded(name) for name in shown]) or _distinct([_spaced(name) for name in shown])
        return cls(task=task, names=names, shown=None if names is None else tuple(shown), dimension=len(shown))

    @property
    def key(self) -> str:
        """A text that is equal exactly for outputs that mean the same, up to the order of their columns."""
        said = [self.task, self.dimension] if self.names is None else [self.task, sorted(self.names)]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()

    @property
    def has_case(self) -> bool:
        """Whether two names differ in case alone."""
        return self.names is not None and _distinct([_folded(name) for name in self.names]) is None

    def __str__(self) -> str:
        """As errors tell it: "Classification of 'setosa', 'virginica'"."""
        task = self.task or "outputs"
        if self.shown is None:
            return task if self.dimension is None else f"{task} of {self.dimension} without names"
        some = ", ".join(_quoted(name) for name in self.shown[:_MOST_SHOWN])
        left = len(self.shown) - _MOST_SHOWN
        return f"{task} of {some}" + (f" and {left} more" if left > 0 else "")


def common_meaning(meanings: Sequence[OutputMeaning], *, names: Sequence[str] | None = None) -> OutputMeaning:
    """Find what outputs mean together; the order of columns is the first's that describes its own.

    The classes of classifications are united: those that the first lacks follow in the order in which the others name
    them. Each must share a class with another, directly or through others: classes that have nothing in common are
    different targets. Outside classification the names must be the same, in any order. What describes nothing is read
    by position, and must have as many columns as all together, as far as it says.

    Parameters
    ----------
    meanings : sequence of OutputMeaning
        At least one.
    names : sequence of str, optional
        What an error calls them, such as "learnwares[3]".

    Returns
    -------
    OutputMeaning

    Raises
    ------
    SpecificationMismatch
        Two do not mean the same; the message names both and their descriptions.
    """
    called = list(names) if names is not None else [f"outputs[{i}]" for i in range(len(meanings))]
    members = list(zip(called, meanings, strict=True))
    tasks = [(name, meaning) for name, meaning in members if meaning.task is not None]
    for name, meaning in tasks:
        if meaning.task != tasks[0][1].task:
            raise _mismatch(tasks[0], (name, meaning))
    described = [(name, meaning) for name, meaning in members if meaning.names is not None]
    if described:
        first, common = described[0][0], _united(described)
    else:
        first, common = next(
            ((name, meaning) for name, meaning in members if meaning.dimension is not None), (tasks or members)[0]
        )
    for name, meaning in members:
        if meaning.names is None and meaning.dimension not in (None, common.dimension):
            raise _mismatch((first, common), (name, meaning))
    # A model without a semantic part may come first.
    task = tasks[0][1].task if tasks else None
    return OutputMeaning(task=task, names=common.names, shown=common.shown, dimension=common.dimension)


def aligned(
    output: npt.NDArray[Any], meaning: OutputMeaning, common: OutputMeaning, *, name: str = "output"
) -> npt.NDArray[Any]:
    """Bring an output of one meaning into the order of columns of the common one.

    Parameters
    ----------
    output : ndarray of shape (n,) or (n, D)
        Numbers per class or target: columns are permuted, and a class that the output lacks is a column of 0, so that
        logits must be probabilities before. Of a classification also one class a row: a number, which becomes the
        number of the same class in the common order, or a name, which is spelt as the common meaning spells it.
    meaning : OutputMeaning
        The output's.
    common : OutputMeaning
        As `common_meaning` of this one and others returns it.
    name : str
        What an error calls the output.

    Returns
    -------
    ndarray of shape (n,) or (n, common.dimension)
        The output itself where nothing had to change.

    Raises
    ------
    LearnwareError
        The output has another number of columns than its meaning, or a class number that is none.
    """
    require_columns(output, meaning, common, name=name)
    if meaning.names is None or common.names is None:
        return output
    own, wanted = _comparable([meaning, common])
    if output.dtype.kind == "U":
        return _spelt(output, wanted, common) if common.task == "Classification" else output
    place = {word: column for column, word in enumerate(wanted)}
    if not place.keys() >= set(own):
        raise _mismatch(("the common meaning", common), (name, meaning))
    columns = np.array([place[word] for word in own])
    if np.array_equal(columns, np.arange(len(wanted))):
        return output
    if output.ndim == 2:
        placed = np.zeros((len(output), len(wanted)), dtype=output.dtype)
        placed[:, columns] = output
        return placed
    if common.task != "Classification" or np.array_equal(columns, np.arange(len(own))):
        return output
    return _renumbered(output, columns, name)


def require_columns(
    output: npt.NDArray[Any], meaning: OutputMeaning, common: OutputMeaning, *, name: str = "output"
) -> None:
    """Raise LearnwareError where an output of shape (n, D) has another D than its meaning, or the common one, says."""
    expected = common.dimension if meaning.dimension is None else meaning.dimension
    if output.ndim == 2 and expected not in (None, output.shape[1]):
        whose = "its semantic specification says" if meaning.dimension is not None else "the others have"
        raise LearnwareError(f"{name}: expected {expected} columns, as {whose}, got {output.shape[1]}")


def _united(described: Sequence[tuple[str, OutputMeaning]]) -> OutputMeaning:
    """The meaning of all, which have names and the same task."""
    first = described[0][1]
    words = _comparable([meaning for _, meaning in described])
    if first.task != "Classification":
        for (name, meaning), own in zip(described, words, strict=True):
            if set(own) != set(words[0]):
                raise _mismatch(described[0], (name, meaning))
        return first
    _require_shared_classes(described, words)
    spelling: dict[str, str] = {}
    for (_, meaning), own in zip(described, words, strict=True):
        for word, shown in zip(own, meaning.shown or (), strict=True):
            spelling.setdefault(word, shown)
    return OutputMeaning.described(first.task, list(spelling.values()))


def _require_shared_classes(described: Sequence[tuple[str, OutputMeaning]], words: Sequence[tuple[str, ...]]) -> None:
    reached = set(words[0])
    left = list(range(1, len(words)))
    while joining := [i for i in left if not reached.isdisjoint(words[i])]:
        left = [i for i in left if i not in joining]
        for i in joining:
            reached.update(words[i])
    if left:
        raise _mismatch(described[0], described[left[0]])


def _comparable(meanings: Sequence[OutputMeaning]) -> list[tuple[str, ...]]:
    """Names of each, with case where one of them has names that differ in case alone."""
    if any(meaning.has_case for meaning in meanings):
        return [tuple(_spaced(name) for name in meaning.shown or ()) for meaning in meanings]
    return [meaning.names or () for meaning in meanings]


def _spelt(output: npt.NDArray[Any], wanted: Sequence[str], common: OutputMeaning) -> npt.NDArray[Any]:
    """Text labels as the common meaning spells them; what is no name of a class stays as it is."""
    spelling = dict(zip(wanted, common.shown or (), strict=True))
    read = _spaced if common.has_case else _folded
    texts, indices = np.unique(output, return_inverse=True)
    spelt: npt.NDArray[Any] = np.array([spelling.get(read(text), text) for text in texts.tolist()], dtype=np.str_)
    return spelt[indices.reshape(output.shape)]


def _renumbered(output: npt.NDArray[Any], columns: npt.NDArray[np.int64], name: str) -> npt.NDArray[Any]:
    """Numbers of classes in the order that `columns` gives; of the output's kind, so that a float stays one."""
    with np.errstate(invalid="ignore"):  # what int64 can't hold is no class, and is refused here
        numbers = output.astype(np.int64)
    odd = (numbers != output) | (numbers < 0) | (numbers >= len(columns))
    if odd.any():
        raise LearnwareError(f"{name}: expected numbers of classes from 0 to {len(columns) - 1}, got {output[odd][0]}")
    renumbered: npt.NDArray[Any] = columns[numbers].astype(np.float64 if output.dtype.kind == "f" else np.int64)
    return renumbered


def _mismatch(first: tuple[str, OutputMeaning], other: tuple[str, OutputMeaning]) -> SpecificationMismatch:
    return SpecificationMismatch(
        f"{other[0]}: expected outputs that mean the same as {first[0]}'s, {first[1]}; got {other[1]}"
    )


def _distinct(names: Sequence[str]) -> tuple[str, ...] | None:
    return tuple(names) if len(set(names)) == len(names) else None


def _spaced(name: str) -> str:
    # One letter may be written as one character or as a letter and an accent.
    return " ".join(unicodedata.normalize("NFC", name).split())


def _folded(name: str) -> str:
    return _spaced(_spaced(name).casefold())


def _quoted(name: str) -> str:
    return repr(name if len(name) <= _LONGEST_SHOWN else f"{name[:_LONGEST_SHOWN]}...")
