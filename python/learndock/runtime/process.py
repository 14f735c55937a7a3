"""A model in a process of its own."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from learndock._printable import printable
from learndock.errors import InvalidArgument, ModelError, ModelTimeout
from learndock.runtime.arrays import from_memory, to_memory
from learndock.runtime.channel import ChannelClosed, ProtocolError, receive, send
from learndock.runtime.description import ModelInfo
from learndock.runtime.isolation import Containment, Isolation, IsolationRequest, least_isolation
from learndock.runtime.limits import ModelLimits
from learndock.runtime.readable import located, readable_paths
from learndock.runtime.tree import Ending, ProcessTree
from learndock.runtime.worker import packed

if TYPE_CHECKING:
    from os import PathLike
    from types import TracebackType

    import numpy.typing as npt

    from learndock.runtime.description import ModelDescription

__all__ = ["ModelProcess"]

_STANDIN = Path(__file__).parent / "standin"
_WORKER = Path(__file__).parent / "worker.py"
_MOST_AXES = 16


class ModelProcess:
    """Runs one model of one learnware; nothing that the model does reaches the host but the arrays it returns.

    The process has a session, a working directory, a home and an environment of its own, no descriptor of the
    host, and limits. It is ended, with everything it has started, by `close`, at the end of a ``with`` block, when this
    object is forgotten, when the host dies, when a limit is passed, and when the model breaks the protocol. After that
    every call raises; a new object starts afresh. It is contained as well as the machine allows (see `Isolation`): the
    model may read its own folder, which it can't change, and its interpreter, and write to a temporary folder.

    Any thread may call, several at once; they are served one after another.

    Parameters
    ----------
    folder : path
        The learnware's folder.
    description : ModelDescription
        Which class to instantiate, and how.
    limits : ModelLimits, optional
        What the process may use.
    python : path, optional
        The interpreter to run the model with, by default this one. It needs NumPy.
    isolation : {"auto", "require", "landlock", "namespace"}
        Below which level the model is not started; see `least_isolation`.

    Examples
    --------
    ::

        with ModelProcess(folder, ModelDescription(class_name="MyModel")) as model:
            predictions = model.call("predict", X)
    """

    def __init__(
        self,
        folder: str | PathLike[str],
        description: ModelDescription,
        *,
        limits: ModelLimits | None = None,
        python: str | PathLike[str] = sys.executable,
        isolation: IsolationRequest = "auto",
    ) -> None:
        self._folder = Path(folder).absolute()
        self._description = description
        self._limits = limits or ModelLimits()
        self._python = located(python)
        self._least = least_isolation(isolation)
        self._containment: Containment | None = None
        self._lock = threading.RLock()
        self._tree: ProcessTree | None = None
        self._end: weakref.finalize[..., ModelProcess] | None = None
        self._info: ModelInfo | None = None
        self._calls = 0
        self._closed = False

    def start(self, *, seconds: float | None = None) -> ModelInfo:
        """Start the process and instantiate the model in it; later calls only return what the first did.

        Parameters
        ----------
        seconds : float, optional
            Time limit of this call, where it is less than that of the limits.

        Returns
        -------
        ModelInfo

        Raises
        ------
        ModelTimeout
            The model was not ready in time, and was ended.
        ModelError
            It can't be imported or instantiated, or its process ended.
        IsolationUnavailable
            It can't be contained here as well as was required.
        """
        with self._lock:
            if self._info is not None and self.alive:
                return self._info
            if self.ended:
                raise ModelError("the model's process has ended")
            deadline = self._deadline(seconds)
            try:
                self._tree = ProcessTree(
                    [self._python, "-I", "-B", str(_WORKER)],
                    self._limits,
                    readable=[str(self._folder), str(_WORKER), str(_STANDIN), *readable_paths(self._python)],
                    least=self._least,
                )
            except OSError as error:
                raise ModelError(f"no process for the model can be started: {error}") from error
            self._end = weakref.finalize(self, self._tree.end)
            if self._closed:  # by another thread, in the meantime
                self._end()
                raise ModelError("the model's process has ended")
            start = {
                "folder": str(self._folder),
                "module_path": self._description.module_path,
                "class_name": self._description.class_name,
                "kwargs": packed(dict(self._description.kwargs)),
                "standin": str(_STANDIN),
            }
            with self._ended_on_failure("at its start"):
                self._containment = self._tree.containment(deadline)
                answer = self._exchange({"start": start}, None, deadline)[0]
                if "error" not in answer:
                    self._info = ModelInfo(_shape(answer.get("input_shape")), _shape(answer.get("output_shape")))
            if self._info is None:
                self.close()
                raise ModelError(f"the model can't be instantiated:\n{printable(answer['error'])}")
            return self._info

    def call(self, method: str, X: npt.NDArray[Any], *, seconds: float | None = None) -> npt.NDArray[Any]:
        """Call a method of the model with one array; starts the process where `start` was not called.

        Parameters
        ----------
        method : str
            Such as "predict".
        X : array
            Numbers, truth values or strings; the model gets a copy.
        seconds : float, optional
            Time limit of this call, where it is less than that of the limits.

        Returns
        -------
        array
            A copy of what the model returned, an array of numbers, truth values or strings: of what shape and type is
            the model's word, for the caller to check.

        Raises
        ------
        InvalidArgument
            X is no such array.
        ModelTimeout
            The model did not answer in time, and was ended.
        ModelError
            The method raised (the process lives on), what it returned is no such array, or the process ended.
        """
        if not isinstance(X, np.ndarray) or X.dtype.kind not in "biufU":
            raise InvalidArgument(f"X: expected an array of numbers, truth values or strings, got {_kind(X)}")
        with self._lock:
            self.start(seconds=seconds)
            deadline = self._deadline(seconds)
            with self._ended_on_failure(f"in {method}"):
                memory, header = to_memory(X)
                try:
                    answer, result = self._exchange({"method": method, **header}, memory, deadline)
                finally:
                    os.close(memory)
            if result is None:
                raise ModelError(f"{method} failed:\n{printable(answer['error'])}")
            return result

    def close(self) -> None:
        """End the process and all that it has started; a call that another thread waits for raises."""
        self._closed = True
        tree = self._tree
        if tree is not None:
            tree.interrupt()
        with self._lock:
            if self._end is not None:
                self._end()

    @property
    def alive(self) -> bool:
        """Whether the process has been started and not ended."""
        return self._end is not None and not self.ended

    @property
    def ended(self) -> bool:
        """Whether it was started and has ended, or was closed; it won't start again."""
        return self._closed or (self._end is not None and not self._end.alive)

    @property
    def isolation(self) -> Isolation | None:
        """How well the model is contained; None before the start."""
        return None if self._containment is None else self._containment.level

    @property
    def containment(self) -> Containment | None:
        """What contains the model, in detail; None before the start."""
        return self._containment

    def __enter__(self) -> ModelProcess:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "running" if self.alive else "ended" if self.ended else "not started"
        return f"ModelProcess({self._description.class_name!r}, {state})"

    def _deadline(self, seconds: float | None) -> float:
        limit = self._limits.seconds
        return time.monotonic() + (limit if seconds is None else min(limit, seconds))

    def _exchange(
        self, message: dict[str, Any], memory: int | None, deadline: float
    ) -> tuple[dict[str, Any], npt.NDArray[Any] | None]:
        """Send a message and wait for the answer to it: an array, or what holds none."""
        tree = self._tree
        if tree is None or not self.alive:
            raise ChannelClosed("the process has ended")
        if not tree.is_ours:
            raise ModelError("the model's process belongs to the process that this one was forked from")
        self._calls += 1
        tree.announce_call()
        send(tree.control, {"call": self._calls, **message}, descriptor=memory, deadline=deadline)
        while True:
            tree.wait(deadline)
            received = receive(tree.control)
            if received is not None:
                break
            ending = tree.ending()
            if ending is not None:
                raise ChannelClosed("the process has ended")
        answer, descriptor = received
        try:
            if answer.get("call") != self._calls:
                raise ProtocolError("an answer to another call")
            if "error" in answer:
                if not isinstance(answer["error"], str):
                    raise ProtocolError("an error that is no text")
                return answer, None
            if descriptor is None and memory is not None:
                raise ProtocolError("an answer without an array")
            if descriptor is None:
                return answer, None
            return answer, from_memory(descriptor, answer, most_bytes=self._limits.output_bytes)
        finally:
            if descriptor is not None:
                os.close(descriptor)

    @contextlib.contextmanager
    def _ended_on_failure(self, when: str) -> Iterator[None]:
        """End the process where the exchange fails, for whatever reason, and say how it ended."""
        try:
            yield
        except TimeoutError:
            ending = self._finish()
            raise ModelTimeout(_text(f"the model took too long {when} and was ended", ending)) from None
        except ProtocolError as error:
            # A process that dies closes the channel a moment before the supervisor can tell why.
            ending = self._finish(patience=0.5 if isinstance(error, ChannelClosed) else 0.0)
            cause = ending.cause or ("it was closed" if self._closed else f"it broke the protocol: {error}")
            raise ModelError(_text(f"the model's process failed {when}: {cause}", ending)) from None
        except BaseException:
            # Such as KeyboardInterrupt: the answer would be taken for that of the next call.
            self._finish()
            raise

    def _finish(self, *, patience: float = 0.0) -> Ending:
        """End the process, after `patience` seconds in which it may end by itself."""
        if self._tree is None or self._end is None:
            return Ending()
        self._tree.await_ending(time.monotonic() + patience)
        return self._end() or Ending()


def _shape(lengths: object) -> tuple[int, ...] | None:
    if not isinstance(lengths, list) or len(lengths) > _MOST_AXES:
        return None
    if not all(type(length) is int and 0 <= length <= sys.maxsize for length in lengths):
        return None
    return tuple(lengths)


def _kind(value: object) -> str:
    return f"an array of dtype {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__


def _text(message: str, ending: Ending) -> str:
    output = ending.output.strip()
    return f"{message}; it printed:\n{output}" if output else message
