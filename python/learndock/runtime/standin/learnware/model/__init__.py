"""The interface that a learnware's model derives from."""

from .base import BaseModel

__all__ = ["BaseModel"]
