"""The model's process: imports the model, and answers the host's calls with arrays.

It runs as a script and needs the standard library and NumPy: the Python it runs in need not have learndock, and may be
any since 3.8. Limits and isolation are not its concern: the supervisor has set them before this file was read. It
shares its process with the model, so the host believes nothing that it sends.
"""

from __future__ import annotations

import array
import contextlib
import faulthandler
import fcntl
import importlib
import importlib.util
import io
import json
import mmap
import operator
import os
import re
import socket
import sys
import traceback
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any

# The model's folder, as a package: relative imports of its modules work.
_PACKAGE = "learnware_model"
# Holds a traceback, or the arguments of a constructor. Half of what Linux lets a packet have by default.
LARGEST_MESSAGE = 96 * 1024
_LONGEST_ERROR = 8000
# fcntl has these names since Python 3.9.
_F_ADD_SEALS = 1033
_SEAL_SHRINK, _SEAL_GROW, _SEAL_WRITE = 2, 4, 8


def packed(value: Any) -> Any:
    """Say a value in JSON that `unpacked` makes the same value of: tuples, and keys that are no strings, included."""
    if isinstance(value, dict):
        return ["dict", *([packed(key), packed(item)] for key, item in value.items())]
    if isinstance(value, (list, tuple)):
        return ["tuple" if isinstance(value, tuple) else "list", *map(packed, value)]
    return value


def unpacked(value: Any) -> Any:
    """The opposite of `packed`."""
    if not isinstance(value, list):
        return value
    kind, *items = value
    if kind == "dict":
        return {unpacked(key): unpacked(item) for key, item in items}
    return (tuple if kind == "tuple" else list)(map(unpacked, items))


def load_class(folder: str, module_path: str, class_name: str, standin: str) -> Any:
    """Import the model's class from its folder."""
    if importlib.util.find_spec("learnware") is None:
        sys.path.append(standin)
    # Modules of the folder can be imported by their plain name, too. They come after the standard library, which would
    # else find a helper random.py, and before what is installed, which may have a module utils or model.
    sys.path.insert(_first_installed(sys.path), folder)
    module = _import_file(folder, module_path) if module_path.endswith(".py") else importlib.import_module(module_path)
    found = getattr(module, class_name)
    # Pickles that were written by a script name its classes so.
    setattr(sys.modules["__main__"], class_name, found)
    return found


def _first_installed(paths: list[str]) -> int:
    """Where in sys.path the standard library ends."""
    installed = (Path(path).name in ("site-packages", "dist-packages") for path in paths)
    return next((number for number, is_installed in enumerate(installed) if is_installed), len(paths))


def _import_file(folder: str, module_path: str) -> types.ModuleType:
    *parents, file_name = Path(module_path).parts
    if not parents and file_name == "__init__.py":
        return _execute(_PACKAGE, Path(folder, file_name), package=True)
    # Another module than __init__: that one is not executed, it may be there for a different purpose.
    package = types.ModuleType(_PACKAGE)
    package.__path__ = [folder]
    sys.modules[_PACKAGE] = package
    name = ".".join([_PACKAGE, *parents])
    importlib.import_module(name)
    return _execute(f"{name}.{re.sub(r'[^0-9a-zA-Z_]', '_', file_name[:-3])}", Path(folder, module_path), package=False)


def _execute(name: str, file: Path, *, package: bool) -> types.ModuleType:
    search = [str(file.parent)] if package else None
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=search)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} can't be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def shape_of(model: Any, name: str) -> list[int] | None:
    """Read a shape that the model declares, as a list; None where it is no tuple of integers."""
    shape: Any = getattr(model, name, None)
    if hasattr(shape, "__index__"):
        shape = (shape,)
    if not isinstance(shape, Iterable) or isinstance(shape, (str, bytes)):
        return None
    try:
        return [operator.index(length) for length in shape]
    except TypeError:
        return None


def to_array(answer: Any) -> Any:
    """Turn what a model returned into an array of numbers, truth values or strings.

    Raises
    ------
    TypeError
        It is nothing of the kind; object arrays are not.
    """
    import numpy as np

    if answer is None:
        raise TypeError("it returned None")
    if hasattr(answer, "detach") and hasattr(answer, "cpu"):  # torch
        answer = answer.detach().cpu()
        # NumPy has no bfloat16.
        answer = (answer.float() if str(answer.dtype) == "torch.bfloat16" else answer).numpy()
    elif hasattr(answer, "to_numpy"):  # pandas, polars
        answer = answer.to_numpy()
    elif hasattr(answer, "toarray"):  # scipy.sparse
        answer = answer.toarray()
    elif hasattr(answer, "numpy") and not isinstance(answer, np.ndarray):  # tensorflow
        answer = answer.numpy()
    try:
        result = np.asarray(answer)
    except ValueError as error:
        raise TypeError(f"it returned a {type(answer).__name__} that is no rectangular array: {error}") from None
    if result.dtype == object and result.ndim:
        result = _without_objects(result)
    if result.dtype.kind == "f" and result.dtype.itemsize > 8:
        result = result.astype(np.float64)
    if result.dtype.kind == "U" and result.dtype.itemsize == 0:
        result = result.astype("<U1")
    if result.dtype.kind not in "biufU":
        raise TypeError(f"it returned an array of dtype {result.dtype}, expected numbers, truth values or strings")
    return np.ascontiguousarray(result, dtype=result.dtype.newbyteorder("<")).reshape(result.shape)


def _without_objects(result: Any) -> Any:
    """Numbers or strings out of an array of objects, which is what pandas makes of columns of several types."""
    import numpy as np

    kinds = {type(item) for item in result.flat}
    for allowed in ((str,), (bool, int, float, np.bool_, np.integer, np.floating)):
        if kinds and all(issubclass(kind, allowed) for kind in kinds):
            return np.array(result.tolist())
    return result


def receive(channel: socket.socket) -> tuple[dict[str, Any], int | None]:
    """Wait for the host's next message; ends this process when the host has gone."""
    data, ancillary, _, _ = channel.recvmsg(LARGEST_MESSAGE, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC)
    if not data:
        sys.exit()
    descriptors = array.array("i")
    for _, _, rights in ancillary:
        descriptors.frombytes(rights)
    return json.loads(data), descriptors[0] if descriptors else None


def send(channel: socket.socket, message: dict[str, Any], *, result: Any = None) -> None:
    """Answer the host, with an array in a sealed memory file where there is one."""
    if result is None:
        channel.sendmsg([json.dumps(message).encode()])
        return
    descriptor = os.memfd_create("learndock-output", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        data = memoryview(result.reshape(-1).view("u1")) if result.nbytes else memoryview(b"")
        while data:
            data = data[os.write(descriptor, data) :]
        fcntl.fcntl(descriptor, _F_ADD_SEALS, _SEAL_SHRINK | _SEAL_GROW | _SEAL_WRITE)
        message = {**message, "dtype": result.dtype.str, "shape": result.shape}
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
        channel.sendmsg([json.dumps(message).encode()], rights)
    finally:
        os.close(descriptor)


def read_array(descriptor: int, header: dict[str, Any]) -> Any:
    """Map the host's array; the model may write to it, the host does not see that."""
    import numpy as np

    size = os.fstat(descriptor).st_size
    if size:
        memory = mmap.mmap(descriptor, size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
        values = np.frombuffer(memory, dtype=header["dtype"])
    else:
        values = np.empty(0, dtype=header["dtype"])
    os.close(descriptor)
    return values.reshape(header["shape"])


class Worker:
    """Holds one model, and does what the host asks for.

    Parameters
    ----------
    channel : socket
        The host is at its other end.
    """

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._model: Any = None

    def serve(self) -> None:
        """Answer until the host has gone."""
        process = os.getpid()
        while True:
            message, descriptor = receive(self._channel)
            answer: dict[str, Any] = {"call": message["call"]}
            result = None
            try:
                if descriptor is None:
                    answer.update(self._start(**message["start"]))
                else:
                    result = to_array(getattr(self._model, message["method"])(read_array(descriptor, message)))
            except BaseException as error:  # a model may raise SystemExit, too
                answer["error"] = _described(error)
            if os.getpid() != process:
                # A fork that the model has made and that came back here: it must not answer as well.
                os._exit(1)
            _flush()
            try:
                send(self._channel, answer, result=result)
            except OSError as error:
                # Such as a prediction that is larger than a file may be.
                send(self._channel, {"call": message["call"], "error": _described(error)})

    def _start(self, folder: str, module_path: str, class_name: str, kwargs: list[Any], standin: str) -> dict[str, Any]:
        self._model = load_class(folder, module_path, class_name, standin)(**unpacked(kwargs))
        if not callable(getattr(self._model, "predict", None)):
            raise TypeError(f"{class_name} has no method predict")
        return {name: shape_of(self._model, name) for name in ("input_shape", "output_shape")}


def _described(error: BaseException) -> str:
    # The first frame is this file's.
    frames = error.__traceback__.tb_next if error.__traceback__ else None
    try:
        text = "".join(traceback.format_exception(type(error), error, frames))
    except Exception:
        text = type(error).__name__
    return text[-_LONGEST_ERROR:]


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        # A model may have closed or replaced them.
        with contextlib.suppress(Exception):
            stream.flush()


def main() -> None:
    """Serve the host over the socket whose descriptor is the first argument."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    channel.set_inheritable(False)
    sys.argv = [""]
    # What was printed before a crash is to be seen.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    # A crash leaves the place where it happened in the output.
    faulthandler.enable()
    Worker(channel).serve()


if __name__ == "__main__":
    main()
