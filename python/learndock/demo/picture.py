"""The demo's result as a picture: every user a dot, every method's mean a bar."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from learndock.demo.measures import METHODS, DemoResult, TaskResult
from learndock.errors import InvalidArgument, MissingDependency

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["draw"]

_DOTS = "#7a8ca5"
_MEAN = "#1f2d3d"
_MIXTURE = "#c8461e"


def draw(result: DemoResult, path: str | PathLike[str]) -> Path:
    """Draw the result and write it.

    Parameters
    ----------
    result : DemoResult
    path : path
        Its suffix decides the format: .png, .svg or .pdf.

    Returns
    -------
    pathlib.Path
        What was written.

    Raises
    ------
    MissingDependency
        If matplotlib is not installed.
    InvalidArgument
        If the suffix is another or the file can't be written.
    """
    file = Path(path)
    if file.suffix not in (".png", ".svg", ".pdf"):
        raise InvalidArgument(f"path: got {str(path)!r}, expected a name that ends in .png, .svg or .pdf")
    try:
        # A figure made so, without pyplot, needs no display and leaves no global state.
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependency("a picture needs matplotlib: pip install 'learndock[plot]'") from error

    figure = Figure(figsize=(5.2 * len(result.tasks) + 1.2, 3.6), layout="constrained")
    panels = figure.subplots(1, len(result.tasks), squeeze=False, sharey=True)[0]
    for panel, task in zip(panels, result.tasks, strict=True):
        _panel(panel, task)
    try:
        figure.savefig(file, dpi=150)
    except OSError as error:
        raise InvalidArgument(f"path: can't write {file}: {error.strerror}") from error
    return file


def _panel(panel: Any, task: TaskResult) -> None:
    # The spread of the dots across a row is only there to tell them apart.
    random = np.random.default_rng(0)
    for row, method in enumerate(METHODS):
        values = np.asarray(task.values[method])
        spread = random.uniform(-0.22, 0.22, size=len(values))
        colour = _MIXTURE if method == "mixture" else _DOTS
        panel.plot(values, row + spread, "o", color=colour, alpha=0.55, markersize=4, markeredgewidth=0)
        panel.plot([values.mean()] * 2, [row - 0.36, row + 0.36], color=_MEAN, linewidth=2)
    panel.set_yticks(range(len(METHODS)), list(METHODS.values()))
    panel.set_ylim(len(METHODS) - 0.5, -0.5)
    better = "more is better" if task.measure == "accuracy" else "less is better"
    panel.set_xlabel(f"{task.measure} ({better}); bar: mean of {task.users} users")
    panel.set_title(f"{task.task}: {task.developers} learnwares", fontsize=11)
    panel.grid(axis="x", color="#dddddd", linewidth=0.8)
    panel.set_axisbelow(True)
    for side in ("top", "right", "left"):
        panel.spines[side].set_visible(False)
    panel.tick_params(axis="y", length=0)
