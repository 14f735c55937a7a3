"""The whole path on real data that scikit-learn ships: train, pack, submit, search, reuse, and what it was worth.

`tasks` splits the sets into shifted parts, `run` does the work, `measures` holds what came out of it, `table` and
`picture` show it.
"""

from __future__ import annotations

from learndock.demo.measures import DemoResult, TaskResult
from learndock.demo.run import run
from learndock.demo.tasks import Site, Task, diabetes, digits

__all__ = ["DemoResult", "Site", "Task", "TaskResult", "diabetes", "digits", "run"]
