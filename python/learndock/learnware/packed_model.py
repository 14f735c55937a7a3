"""A packed model. This file is copied, as it is, into each learnware's zip that `learndock` packs, as __init__.py.

packed_model.json beside it says what differs from model to model. It needs NumPy, and skops or joblib.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from learnware.model import BaseModel

_FOLDER = Path(__file__).parent


class PackedModel(BaseModel):  # type: ignore[misc]
    """A fitted scikit-learn model.

    ``predict`` returns, for a classifier that knows probabilities, those of the classes (n, C) in the order of the
    semantic specification's Output; for another classifier the numbers of the classes in that order (n,); else what the
    model returns.
    """

    def __init__(self) -> None:
        settings = json.loads((_FOLDER / "packed_model.json").read_text(encoding="utf-8"))
        super().__init__(tuple(settings["input_shape"]), tuple(settings["output_shape"]))
        self._method = settings["method"]
        self._columns = settings["columns"]
        self._feature_names = settings["feature_names"]
        self._model = _load(_FOLDER / settings["file_name"], settings["trusted"])

    def predict(self, X: Any) -> Any:
        """Predictions of the rows of X."""
        answer = getattr(self._model, self._method)(self._rows(X))
        if self._columns is None:
            return answer
        if self._method == "predict":
            column_of = dict(zip(self._model.classes_.tolist(), self._columns, strict=True))
            return np.array([column_of[label] for label in answer.tolist()], dtype=np.int64)
        # Classes that the training data did not have keep probability 0.
        probabilities = np.zeros((len(answer), self.output_shape[0]))
        probabilities[:, self._columns] = answer
        return probabilities

    def _rows(self, X: Any) -> Any:
        if self._feature_names is None:
            return X
        import pandas as pd

        return pd.DataFrame(X, columns=self._feature_names)


def _load(file: Path, trusted: list[str]) -> Any:
    if file.suffix == ".skops":
        from skops.io import load

        # The file holds data only; beside the types that skops knows, these may be built from it.
        return load(file, trusted=trusted)
    import joblib

    return joblib.load(file)
