"""The model's own process: foreign code runs there, under limits, and only arrays come back."""

from __future__ import annotations

from learndock.runtime.description import ModelDescription, ModelInfo
from learndock.runtime.isolation import Containment, Isolation, IsolationRequest, available_isolation
from learndock.runtime.limits import ModelLimits
from learndock.runtime.process import ModelProcess

__all__ = [
    "Containment",
    "Isolation",
    "IsolationRequest",
    "ModelDescription",
    "ModelInfo",
    "ModelLimits",
    "ModelProcess",
    "available_isolation",
]
