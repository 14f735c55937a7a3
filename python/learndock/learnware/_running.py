"""The model of one learnware while it runs, with the folder that was unpacked for it."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from learndock.errors import ModelError
from learndock.runtime.process import ModelProcess
from learndock.runtime.scratch import remove_folder

if TYPE_CHECKING:
    from learndock.environment.choice import EnvironmentChoice
    from learndock.runtime import IsolationRequest
    from learndock.runtime.description import ModelDescription
    from learndock.runtime.limits import ModelLimits

__all__ = ["RunningModel"]


class RunningModel:
    """Starts the model's process when it is first needed, and anew after it has ended.

    Parameters
    ----------
    folder : Path
        The learnware's folder.
    description : ModelDescription
        Which class to instantiate, and how.
    limits : ModelLimits or None
        What the process may use.
    isolation : str
        How well the process must be contained.
    environment : {"current", "build"}
        The interpreter to run in: this one, or one that is made when the process is first needed.
    owned : Path or None
        A folder to remove at the end.
    """

    def __init__(
        self,
        folder: Path,
        description: ModelDescription,
        *,
        limits: ModelLimits | None,
        isolation: IsolationRequest,
        environment: EnvironmentChoice,
        owned: Path | None,
    ) -> None:
        self._folder, self._description, self._limits, self._owned = folder, description, limits, owned
        self._isolation, self._environment = isolation, environment
        self._lock = threading.Lock()
        self._process: ModelProcess | None = None
        self._closed = False

    def process(self) -> ModelProcess:
        """Give the process that serves this model.

        Raises
        ------
        EnvironmentBuildError
            No environment for it can be made.
        ModelError
            The learnware is closed.
        """
        running = self._running()
        if running is not None:
            return running
        # Not under the lock: this can take minutes, which `close` need not wait for.
        python = self._python()
        with self._lock:
            if self._closed:
                raise ModelError("the learnware is closed")
            # Another thread may have been here first.
            if self._process is None or self._process.ended:
                self._process = ModelProcess(
                    self._folder, self._description, limits=self._limits, python=python, isolation=self._isolation
                )
            return self._process

    def adopt(self, process: ModelProcess) -> None:
        """Go on with a process of this model that somebody else has started, in the same interpreter."""
        with self._lock:
            if not self._closed and self._process is None:
                self._process = process
                return
        process.close()

    def close(self) -> None:
        """End the process and remove the folder."""
        with self._lock:
            self._closed = True
            process, self._process = self._process, None
            owned, self._owned = self._owned, None
        if process is not None:
            process.close()
        # Only now: the model might still write there.
        if owned is not None:
            remove_folder(owned)

    def _running(self) -> ModelProcess | None:
        with self._lock:
            if self._closed:
                raise ModelError("the learnware is closed")
            return None if self._process is None or self._process.ended else self._process

    def _python(self) -> Path:
        if self._environment == "current":
            return Path(sys.executable)
        from learndock.environment import build_environment

        return build_environment(self._folder).python
