"""The interface of a model that wraps a network of PyTorch, which this file does without."""

from __future__ import annotations

from typing import Any

__all__ = ["TorchModel"]


class TorchModel:
    """A model that holds a network.

    Parameters
    ----------
    model : torch.nn.Module
        The network.
    input_shape, output_shape : tuple of int
        Shape of one row, and of its prediction.
    """

    def __init__(self, model: Any, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> None:
        self._model = model
        self.input_shape = input_shape
        self.output_shape = output_shape

    @property
    def nn_model(self) -> Any:
        """The network."""
        return self._model

    # They do nothing rather than raise, as models that call super() expect.
    def predict(self, X: Any) -> Any:
        """Predictions of the rows of X."""

    def fit(self, X: Any, y: Any) -> Any:
        """Train on X and y."""

    def finetune(self, X: Any, y: Any) -> Any:
        """Train further on X and y."""
