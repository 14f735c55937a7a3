"""The interfaces that a learnware's model derives from."""

from .base import BaseModel
from .torch_model import TorchModel

__all__ = ["BaseModel", "TorchModel"]
