"""The interface that a learnware's model derives from."""

from __future__ import annotations

from typing import Any

__all__ = ["BaseModel"]


class BaseModel:
    """A model: it says which shapes it takes and gives, and predicts.

    Parameters
    ----------
    input_shape, output_shape : tuple of int
        Shape of one row, and of its prediction.
    """

    def __init__(self, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> None:
        self.input_shape = input_shape
        self.output_shape = output_shape

    # They do nothing rather than raise, as models that call super() expect.
    def predict(self, X: Any) -> Any:
        """Predictions of the rows of X."""

    def fit(self, X: Any, y: Any) -> Any:
        """Train on X and y."""

    def finetune(self, X: Any, y: Any) -> Any:
        """Train further on X and y."""

    def get_model(self) -> Any:
        """The network inside, of a language model."""
