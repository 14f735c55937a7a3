"""The demo's result as a table."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from learndock.demo.measures import METHODS, DemoResult, TaskResult

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["FOOTNOTE", "table"]

FOOTNOTE = (
    "Mean ± standard deviation over the users. R = (loss - best single) / (mean of the dock - best single): "
    "1 is a random model, 0 the best single one, negative is better than any single one."
)


def table(result: DemoResult) -> Table:
    """Lay out methods down and tasks across.

    Parameters
    ----------
    result : DemoResult

    Returns
    -------
    rich.table.Table
    """
    from rich.table import Table

    layout = Table(title="What the users end up with")
    layout.add_column("", no_wrap=True)
    for task in result.tasks:
        heading = f"{task.task}: {task.measure}\n{task.developers} learnwares\n{task.users} users"
        layout.add_column(heading, justify="right")
        layout.add_column("R", justify="right")
    for method, words in METHODS.items():
        cells = [cell for task in result.tasks for cell in _cells(task, method)]
        layout.add_row(words, *cells, style="bold" if method == "mixture" else None)
    return layout


def _cells(task: TaskResult, method: str) -> tuple[str, str]:
    digits = 3 if task.measure == "accuracy" else 1
    mean, deviation = task.mean(method), task.deviation(method)
    regret = task.regret(method)
    # Where all models are alike there is nothing to choose, and no unit to measure in.
    unit = f"{regret:.2f}" if math.isfinite(regret) else ""
    return f"{mean:.{digits}f} ± {deviation:.{digits}f}", unit
