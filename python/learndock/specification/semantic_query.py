"""What a user asks of the semantic side: the keys of a semantic specification, all optional."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from learndock.errors import SemanticError
from learndock.specification.semantic_vocabulary import KEY_TYPES, VALUES_OF_KEY, is_text, one_of, shown

if TYPE_CHECKING:
    from typing import Any

    from learndock.specification.semantic import SemanticSpecification

__all__ = ["SemanticQuery"]

_TEXT_KEYS = ("Name", "Description")
# Keys of a user's dict that filter nothing.
_KEYS_LEFT_ALONE = ("Input", "Output")
# A learnware's description may be long; what somebody looks for in it is not.
_LONGEST_TEXT = 10_000


@dataclass(frozen=True, slots=True, init=False, repr=False)
class SemanticQuery:
    """A filter over learnwares: those whose every asked key holds one of the values asked for, and the text asked for.

    A text is looked for in name *and* description of a learnware, whichever of the two it was given as, and without
    regard to upper and lower case (the reference's rule). Of the learnwares that the other keys let through, a dock
    first looks for those that hold every text as it is; only where there is none, for those where each is similar
    enough to a part of the name or of the description (`rapidfuzz.fuzz.partial_ratio` of 75 or more; of more than 4,000
    in question, those are compared that share most of the texts' rarer trigrams).

    Parameters
    ----------
    name, description : str
        Texts to look for; the empty one, the default, is held by all.
    data, task, library, scenario, license, model : str or iterable of str
        One value or several, any of which will do; none, the default, means any. "Others" among the values of
        `model` means any too: the reference's default dict says so and would find no language model otherwise.

    Raises
    ------
    SemanticError
        The message lists every value that is in no list, with its key and the allowed ones, and every text that is
        longer than 10,000 characters or can't be stored.

    Examples
    --------
    >>> query = SemanticQuery(data="Table", scenario=["Health", "Nature"])
    >>> query.classes, query.tags
    ({'Data': ('Table',)}, {'Scenario': ('Health', 'Nature')})
    >>> SemanticQuery(name="readmission").texts
    ('readmission',)
    """

    name: str
    description: str
    data: tuple[str, ...]
    task: tuple[str, ...]
    library: tuple[str, ...]
    scenario: tuple[str, ...]
    license: tuple[str, ...]
    model: tuple[str, ...]

    def __init__(
        self,
        *,
        name: str = "",
        description: str = "",
        data: str | Iterable[str] = (),
        task: str | Iterable[str] = (),
        library: str | Iterable[str] = (),
        scenario: str | Iterable[str] = (),
        license: str | Iterable[str] = (),
        model: str | Iterable[str] = (),
    ) -> None:
        self._fill(
            {
                "Name": name,
                "Description": description,
                "Data": data,
                "Task": task,
                "Library": library,
                "Scenario": scenario,
                "License": license,
                "Model": model,
            }
        )

    def _fill(self, asked: Mapping[str, object]) -> None:
        faults: list[str] = []
        for key in _TEXT_KEYS:
            object.__setattr__(self, key.lower(), _checked_text(key, asked.get(key, ""), faults))
        for key in VALUES_OF_KEY:
            values = _checked(key, asked.get(key, ()), faults)
            object.__setattr__(self, key.lower(), () if key == "Model" and "Others" in values else values)
        if faults:
            raise SemanticError("; ".join(faults))

    @classmethod
    def from_dict(cls, query: Mapping[str, Any]) -> SemanticQuery:
        """Read the reference's user dict: the form of `SemanticSpecification.from_dict`, empty values meaning any.

        Parameters
        ----------
        query : mapping
            Every key optional, and so is each "Type". Input and Output may be there and filter nothing; any other key
            is a fault, for a misspelt one would quietly widen the search.

        Returns
        -------
        SemanticQuery

        Raises
        ------
        SemanticError
            The message lists every fault with its key, what came and what is allowed.
        """
        if not isinstance(query, Mapping):
            raise SemanticError(f"query: got {type(query).__name__}, expected a dict")
        faults = [
            f"{shown(key)}: no key of a query, expected {one_of((*KEY_TYPES, *_KEYS_LEFT_ALONE))}"
            for key in query
            if key not in KEY_TYPES and key not in _KEYS_LEFT_ALONE
        ]
        asked: dict[str, object] = {}
        for key in KEY_TYPES:
            entry = query.get(key) or {}
            if not isinstance(entry, Mapping):
                faults.append(f"{key}: got {shown(entry)}, expected a dict {{'Values': ...}}")
            elif entry.get("Type", KEY_TYPES[key]) != KEY_TYPES[key]:
                faults.append(f"{key}: got Type {shown(entry['Type'])}, expected {KEY_TYPES[key]!r}")
            else:
                asked[key] = entry.get("Values") or ("" if key in _TEXT_KEYS else ())
        answer = cls.__new__(cls)
        try:
            answer._fill(asked)
        except SemanticError as error:
            faults.append(str(error))
        if faults:
            raise SemanticError("; ".join(faults))
        return answer

    @classmethod
    def of(cls, asked: SemanticQuery | SemanticSpecification | Mapping[str, Any]) -> SemanticQuery:
        """Take whatever says what is asked for as a query.

        Parameters
        ----------
        asked : SemanticQuery, SemanticSpecification or mapping
            A specification asks for learnwares that share its classes, but for a Model of "Others", and at least one
            value of each of its tags, of whatever name; a mapping is read by `from_dict`, its Name and Description too.

        Returns
        -------
        SemanticQuery

        Raises
        ------
        SemanticError
            If it is none of these, or a mapping with faults.
        """
        if isinstance(asked, cls):
            return asked
        if isinstance(asked, Mapping):
            return cls.from_dict(asked)
        from learndock.specification.semantic import SemanticSpecification

        if isinstance(asked, SemanticSpecification):
            answer = cls.__new__(cls)
            answer._fill({**asked.classes, **asked.tags})
            return answer
        raise SemanticError(
            f"semantic: got {type(asked).__name__}, expected a SemanticQuery, a SemanticSpecification or a dict"
        )

    @property
    def classes(self) -> dict[str, tuple[str, ...]]:
        """The values asked for, by key, of the keys that hold one value in a learnware."""
        return self._asked("Class", "Optional")

    @property
    def tags(self) -> dict[str, tuple[str, ...]]:
        """The values asked for, by key, of the keys that may hold several in a learnware."""
        return self._asked("Tag")

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts asked for."""
        return tuple(text for text in (self.name, self.description) if text)

    def _asked(self, *kinds: str) -> dict[str, tuple[str, ...]]:
        values = {key: getattr(self, key.lower()) for key in VALUES_OF_KEY if KEY_TYPES[key] in kinds}
        return {key: asked for key, asked in values.items() if asked}

    def __repr__(self) -> str:
        texts = [f"{key}={text!r}" for key, text in (("name", self.name), ("description", self.description)) if text]
        asked = {**self.classes, **self.tags}
        return f"SemanticQuery({', '.join(texts + [f'{key.lower()}={list(asked[key])}' for key in asked])})"


def _checked_text(key: str, value: object, faults: list[str]) -> str:
    if is_text(value) and len(value) <= _LONGEST_TEXT:
        return value
    came = f"{len(value)} characters" if is_text(value) else shown(value)
    faults.append(f"{key}: got {came}, expected a text of at most {_LONGEST_TEXT} characters, in UTF-8 and without NUL")
    return ""


def _checked(key: str, values: object, faults: list[str]) -> tuple[str, ...]:
    """Keep the values that the key allows, each once, and report the others in `faults`."""
    allowed = VALUES_OF_KEY[key]
    chosen = [values] if isinstance(values, str) and values else values
    if not isinstance(chosen, Iterable) or isinstance(chosen, Mapping):
        faults.append(f"{key}: got {shown(values)}, expected any number of values, each {one_of(allowed)}")
        return ()
    kept: list[str] = []
    for value in chosen:
        if not isinstance(value, str) or value not in allowed:
            faults.append(f"{key}: got {shown(value)}, expected {one_of(allowed)}")
        elif value not in kept:
            kept.append(value)
    return tuple(kept)
