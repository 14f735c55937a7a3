"""What the demo measured: per task and method one number per user, their mean and deviation, and the unit R."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["METHODS", "DemoResult", "TaskResult"]

# In the order of the table; the words are what it prints.
METHODS = {
    "random": "random learnware",
    "mean": "mean of the dock",
    "top_1": "top 1",
    "mixture": "default mixture",
    "best": "oracle: best single",
    "own": "own model, 100 labels",
}


@dataclass(frozen=True, slots=True)
class TaskResult:
    """One task's numbers.

    Attributes
    ----------
    task : str
    measure : "accuracy" or "RMSE"
    developers : int
        How many learnwares the users could choose from.
    values : mapping of str to tuple of float
        For each of `METHODS` the measure, one number per user.
    mmd2 : tuple of float
        Squared MMD of each user's mixture.
    """

    task: str
    measure: str
    developers: int
    values: Mapping[str, tuple[float, ...]]
    mmd2: tuple[float, ...]

    @property
    def users(self) -> int:
        """How many users there are."""
        return len(self.mmd2)

    def mean(self, method: str) -> float:
        """Mean of the measure over the users."""
        return float(np.mean(self.values[method]))

    def deviation(self, method: str) -> float:
        """Sample standard deviation of the measure over the users, 0 for a single user."""
        return float(np.std(self.values[method], ddof=1)) if self.users > 1 else 0.0

    def loss(self, method: str) -> float:
        """Mean loss over the users: the error rate, or the RMSE itself."""
        return 1.0 - self.mean(method) if self.measure == "accuracy" else self.mean(method)

    def regret(self, method: str) -> float:
        """Loss in units of what there is to choose: R = (loss - best single) / (mean of the dock - best single).

        0 is the oracle's single choice, 1 a model taken at random; negative is better than the oracle's single. All
        three losses are means over the users, so that a user for whom all models are alike does not decide.
        """
        room = self.loss("mean") - self.loss("best")
        return (self.loss(method) - self.loss("best")) / room if room > 0 else float("nan")


@dataclass(frozen=True, slots=True)
class DemoResult:
    """All that a run of the demo found out.

    Attributes
    ----------
    tasks : tuple of TaskResult
    seconds : mapping of str to float
        Wall time by stage.
    dock : str or None
        Where the dock lies; None where it was a temporary one.
    """

    tasks: tuple[TaskResult, ...]
    seconds: Mapping[str, float]
    dock: str | None

    def to_dict(self) -> dict[str, Any]:
        """Everything in numbers, texts, lists and dicts, for JSON."""
        return {
            "tasks": [
                {
                    "task": task.task,
                    "measure": task.measure,
                    "users": task.users,
                    "developers": task.developers,
                    "methods": {
                        method: {
                            "mean": task.mean(method),
                            "deviation": task.deviation(method),
                            "R": _finite(task.regret(method)),
                            "values": list(task.values[method]),
                        }
                        for method in METHODS
                    },
                    "mixture_mmd2": list(task.mmd2),
                }
                for task in self.tasks
            ],
            "seconds": dict(self.seconds),
            "dock": self.dock,
        }


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
