"""What the host tells a supervisor."""

from __future__ import annotations

from typing import TypedDict

__all__ = ["Settings"]


class Settings(TypedDict):
    """Parsed from the JSON of the first argument.

    Attributes
    ----------
    status, control : int
        Descriptors of the sockets to the host; the latter is handed on to the worker.
    host : int
        Process id of the host.
    command : list of str
        What to run; the number of the control socket is added.
    folder : str
        The temporary folder, which is also the working directory.
    readable : list of str
        Files and folders that the worker may read.
    limits : dict
        seconds, memory_bytes, file_bytes, processes.
    least, most : int
        The isolation without which nothing is to be started, and the best to try (0, 1, 2: see launch.py).
    """

    status: int
    control: int
    host: int
    command: list[str]
    folder: str
    readable: list[str]
    limits: dict[str, float]
    least: int
    most: int
