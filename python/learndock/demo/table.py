"""The demo's result as a table."""

from __future__ import annotations

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
    layout.add_column("")
    for task in result.tasks:
        heading = f"{task.task}: {task.users} users,\n{task.developers} learnwares\n{task.measure}"
        layout.add_column(heading, justify="right")
        layout.add_column("\n\nR", justify="right")
    for method, words in METHODS.items():
        cells = [cell for task in result.tasks for cell in _cells(task, method)]
        layout.add_row(words, *cells, style="bold" if method == "mixture" else None)
    return layout


def _cells(task: TaskResult, method: str) -> tuple[str, str]:
    digits = 3 if task.measure == "accuracy" else 1
    mean, deviation = task.mean(method), task.deviation(method)
    return f"{mean:.{digits}f} ± {deviation:.{digits}f}", f"{task.regret(method):.2f}"
