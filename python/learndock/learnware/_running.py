"""The model of one learnware while it runs, with the folder that was unpacked for it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from learndock.errors import ModelError
from learndock.runtime.process import ModelProcess
from learndock.runtime.scratch import remove_folder

if TYPE_CHECKING:
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
    owned : Path or None
        A folder to remove at the end.
    """

    def __init__(
        self, folder: Path, description: ModelDescription, limits: ModelLimits | None, owned: Path | None
    ) -> None:
        self._folder, self._description, self._limits, self._owned = folder, description, limits, owned
        self._lock = threading.Lock()
        self._process: ModelProcess | None = None
        self._closed = False

    def process(self) -> ModelProcess:
        """Give the process that serves this model."""
        with self._lock:
            if self._closed:
                raise ModelError("the learnware is closed")
            if self._process is None or self._process.ended:
                self._process = ModelProcess(self._folder, self._description, limits=self._limits)
            return self._process

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
