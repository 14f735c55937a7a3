"""Specifications: what a model was trained on (statistical) and what it is for (semantic)."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from learndock.specification.gamma import median_gamma
    from learndock.specification.load import load_spec
    from learndock.specification.privacy import PrivacyReport, privacy_report
    from learndock.specification.scaling import Scaling
    from learndock.specification.semantic import SemanticSpecification
    from learndock.specification.semantic_query import SemanticQuery
    from learndock.specification.table import RKMETableSpecification

__all__ = [
    "PrivacyReport",
    "RKMETableSpecification",
    "Scaling",
    "SemanticQuery",
    "SemanticSpecification",
    "load_spec",
    "median_gamma",
    "privacy_report",
]

# The semantic part needs pydantic; a table specification does not.
_HOMES = {
    "PrivacyReport": "privacy",
    "RKMETableSpecification": "table",
    "Scaling": "scaling",
    "SemanticQuery": "semantic_query",
    "SemanticSpecification": "semantic",
    "load_spec": "load",
    "median_gamma": "gamma",
    "privacy_report": "privacy",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'learndock.specification' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"learndock.specification.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
