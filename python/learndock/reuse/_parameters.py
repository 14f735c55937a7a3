"""Parameters in the manner of scikit-learn, which is not imported until it is there itself."""

from __future__ import annotations

import copy
import inspect
from typing import Any, Self

from learndock.errors import InvalidArgument

__all__ = ["Parameters"]


class Parameters:
    """`get_params`, `set_params` and `clone` for a class whose constructor stores its arguments under their names."""

    @classmethod
    def _parameter_names(cls) -> list[str]:
        return sorted(name for name in inspect.signature(cls).parameters)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The arguments of the constructor, by name.

        Parameters
        ----------
        deep : bool, default True
            Whether those of a scikit-learn estimator among them are listed too, as ``selector__C``.

        Returns
        -------
        dict
        """
        params = {name: getattr(self, name) for name in self._parameter_names()}
        if deep:
            for name, value in list(params.items()):
                if _is_estimator(value):
                    params.update({f"{name}__{key}": inner for key, inner in value.get_params().items()})
        return params

    def set_params(self, **params: Any) -> Self:
        """Set arguments of the constructor by name; they are checked when they are used.

        Parameters
        ----------
        **params
            ``name=value``, or ``name__inner=value`` for an argument of an estimator that is itself an argument.

        Returns
        -------
        self

        Raises
        ------
        InvalidArgument
            For a name that the constructor does not take; nothing has been set then.
        """
        names = self._parameter_names()
        nested: dict[str, dict[str, Any]] = {}
        own: dict[str, Any] = {}
        for key, value in params.items():
            name, separator, inner = key.partition("__")
            if name not in names:
                raise InvalidArgument(f"{name}: no parameter of {type(self).__name__}, expected one of {names}")
            if separator:
                nested.setdefault(name, {})[inner] = value
            else:
                own[name] = value
        for name in nested:
            if not _is_estimator(own.get(name, getattr(self, name))):
                raise InvalidArgument(
                    f"{name}: expected an estimator, whose parameters {sorted(nested[name])} could be"
                )
        for name, value in own.items():
            setattr(self, name, value)
        for name, inner_params in nested.items():
            getattr(self, name).set_params(**inner_params)
        return self

    def __sklearn_clone__(self) -> Self:
        # Learnwares are trained, and own processes and folders: a clone combines the same ones.
        return type(self)(
            **{
                name: value if name == "learnwares" else _copied(value)
                for name, value in self.get_params(False).items()
            }
        )


def _is_estimator(value: Any) -> bool:
    return hasattr(value, "get_params") and not isinstance(value, type)


def _copied(value: Any) -> Any:
    if not _is_estimator(value):
        return copy.deepcopy(value)
    from sklearn.base import clone

    return clone(value)
