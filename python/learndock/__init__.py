"""learndock: a learnware dock with a compiled core.

A *learnware* is a trained model with a specification: a semantic part, and an RKME (reduced kernel mean embedding) that
sketches the model's training distribution. A *dock* holds learnwares; a user asks it, with the RKME of their own data,
for the models that fit, and reuses them at home.

>>> import learndock as ld
>>> spec = ld.RKMETableSpecification.fit([[0.0], [0.1], [2.0]], n_points=2, random_state=0)
>>> spec.points.shape
(2, 1)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from learndock import errors, kernels, market, reuse
    from learndock.config import set_max_memory, set_threads, show_config
    from learndock.dock import Dock
    from learndock.learnware import Learnware
    from learndock.memory import MemoryEstimate, estimate
    from learndock.specification import (
        RKMETableSpecification,
        Scaling,
        SemanticQuery,
        SemanticSpecification,
        load_spec,
        median_gamma,
    )

__all__ = [
    "Dock",
    "Learnware",
    "MemoryEstimate",
    "RKMETableSpecification",
    "Scaling",
    "SemanticQuery",
    "SemanticSpecification",
    "__version__",
    "errors",
    "estimate",
    "kernels",
    "load_spec",
    "market",
    "median_gamma",
    "reuse",
    "set_max_memory",
    "set_threads",
    "show_config",
]

# Where each public name lives. They are loaded on first use, so that `import learndock` costs next to nothing and
# loads none of the packages that only a part of it needs.
_HOMES = {
    "Dock": "learndock.dock",
    "Learnware": "learndock.learnware",
    "MemoryEstimate": "learndock.memory",
    "RKMETableSpecification": "learndock.specification",
    "Scaling": "learndock.specification",
    "SemanticQuery": "learndock.specification",
    "SemanticSpecification": "learndock.specification",
    "estimate": "learndock.memory",
    "load_spec": "learndock.specification",
    "median_gamma": "learndock.specification",
    "set_max_memory": "learndock.config",
    "set_threads": "learndock.config",
    "show_config": "learndock.config",
}
_MODULES = {"errors", "kernels", "market", "reuse"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    elif name in _MODULES:
        value = importlib.import_module(f"learndock.{name}")
    elif name == "__version__":
        from learndock import _core

        value = _core.version
    else:
        raise AttributeError(f"module 'learndock' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
