"""The file that holds a fitted model: data only where that is possible, else a pickle."""

from __future__ import annotations

import io
import pickle
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learndock.errors import InvalidArgument, LearnwareError

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["load_model_file", "write_model"]

# What skops does not know of these by itself, it may build nevertheless.
_TRUSTED_PACKAGES = ("sklearn", "numpy", "scipy")


def write_model(model: Any, folder: Path) -> tuple[str, list[str], tuple[str, ...]]:
    """Write a model as model.skops, or as model.joblib where it holds types of other packages.

    Parameters
    ----------
    model : object
        Fitted.
    folder : Path
        The file is written here.

    Returns
    -------
    file_name : str
    trusted : list of str
        Types that skops is to be allowed.
    distributions : tuple of str
        What is needed to load the file.

    Raises
    ------
    InvalidArgument
        The model can't be written, or needs code that no installed distribution brings.
    """
    trusted = _write_data(model, folder / "model.skops")
    if trusted is not None:
        return "model.skops", trusted, ("numpy", "scipy", "scikit-learn", "skops")
    distributions = _distributions(model)
    import joblib

    joblib.dump(model, folder / "model.joblib")
    return "model.joblib", [], tuple(sorted({*distributions, "numpy", "scikit-learn", "joblib"}))


def load_model_file(path: str | PathLike[str]) -> Any:
    """Load a fitted model from a file of the caller's own: .skops, or .joblib / .pkl.

    The latter two are pickles: loading one runs whatever code is in it. Of a .skops file, types of other packages than
    scikit-learn, NumPy and SciPy are not built.

    Parameters
    ----------
    path : path

    Returns
    -------
    object
        The model.

    Raises
    ------
    InvalidArgument
        There is no such file, or its name has none of these endings.
    LearnwareError
        It can't be loaded.
    """
    file = Path(path)
    loaders = {".skops": _load_data, ".joblib": _load_pickle, ".pkl": _load_pickle}
    loader = loaders.get(file.suffix.lower())
    if loader is None:
        raise InvalidArgument(f"model: expected a file of {', '.join(loaders)}, got {file.name}")
    if not file.is_file():
        raise InvalidArgument(f"model: no such file: {file}")
    try:
        return loader(file)
    # A pickle may raise whatever it likes, and the exceptions of skops have no root.
    except Exception as error:
        raise LearnwareError(f"can't load the model in {file}: {type(error).__name__}: {error}") from error


def _load_pickle(file: Path) -> Any:
    import joblib

    return joblib.load(file)


def _load_data(file: Path) -> Any:
    from skops.io import get_untrusted_types, load

    # Those that stay untrusted are named by `load`, which refuses them.
    return load(file, trusted=[name for name in get_untrusted_types(file=file) if _is_trusted(name)])


def _is_trusted(type_name: str) -> bool:
    return type_name.partition(".")[0] in _TRUSTED_PACKAGES


def _write_data(model: Any, file: Path) -> list[str] | None:
    """Write a file that holds data only, and return the types to be trusted; None, and no file, where that fails."""
    from skops.io import dump, get_untrusted_types, load

    try:
        dump(model, file)
        trusted = sorted(get_untrusted_types(file=file))
        if all(map(_is_trusted, trusted)):
            # What is written but can't be read is found here.
            load(file, trusted=trusted)
            return trusted
    # skops raises what it likes for types that it does not know.
    except Exception:
        pass
    file.unlink(missing_ok=True)
    return None


class _TypeCollector(pickle.Pickler):
    """Pickles into nothing, and keeps the module of each object's type, and of each class and function."""

    def __init__(self) -> None:
        super().__init__(_Nowhere(), protocol=pickle.HIGHEST_PROTOCOL)
        self.modules: dict[str, str] = {}

    def persistent_id(self, value: Any) -> None:
        named = value if hasattr(value, "__qualname__") else type(value)
        module = getattr(named, "__module__", None)
        if isinstance(module, str):
            self.modules.setdefault(module, named.__qualname__)


class _Nowhere(io.RawIOBase):
    def write(self, data: Any, /) -> int:
        return len(data)


def _distributions(model: Any) -> set[str]:
    collector = _TypeCollector()
    try:
        collector.dump(model)
    except Exception as error:
        raise InvalidArgument(f"model: {type(model).__name__} can't be written to a file: {error}") from error
    homes = metadata.packages_distributions()
    found: set[str] = set()
    for module, name in collector.modules.items():
        package = module.partition(".")[0]
        if package in sys.stdlib_module_names:
            continue
        if package not in homes:
            raise InvalidArgument(
                f"model: it holds {name} of the module {module}, which no installed distribution brings, so that "
                "nobody else could load it: expected classes of installed distributions"
            )
        found.update(homes[package])
    return found
