"""Messages between the host and a model's process, as the host sees them: nothing that comes in is trusted.

A message is one packet of a SOCK_SEQPACKET socket, so it comes whole or not at all. It holds a JSON object and at
most one descriptor. What breaks these rules raises `ProtocolError`, and no descriptor stays open.
"""

from __future__ import annotations

import array
import json
import os
import select
import socket
import time
from typing import Any

from learndock.runtime.worker import LARGEST_MESSAGE

__all__ = ["ChannelClosed", "ProtocolError", "receive", "send"]

_ONE_DESCRIPTOR = socket.CMSG_SPACE(array.array("i").itemsize)


class ProtocolError(Exception):
    """The other side broke the protocol; the text says how."""


class ChannelClosed(ProtocolError):
    """The other side has closed the channel, as it does by ending."""


def send(connection: socket.socket, message: dict[str, Any], *, descriptor: int | None = None, deadline: float) -> None:
    """Send one message before `deadline` (of `time.monotonic`).

    Raises
    ------
    ProtocolError
        It is too large, or the other side is gone.
    TimeoutError
        The other side does not read.
    """
    data = json.dumps(message).encode()
    if len(data) > LARGEST_MESSAGE:
        raise ProtocolError(f"a message of {len(data)} bytes, at most {LARGEST_MESSAGE} are allowed")
    rights = () if descriptor is None else ((socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor])),)
    while True:
        try:
            connection.sendmsg([data], rights, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except BlockingIOError:
            wait_writable(connection, deadline)
        except OSError as error:
            raise ChannelClosed(f"the channel is closed ({error.strerror})") from error
        else:
            return


def wait_writable(connection: socket.socket, deadline: float) -> None:
    """Wait until there is room for a message; TimeoutError at the deadline."""
    # poll, not select: descriptors of a busy host may lie beyond 1,024.
    poller = select.poll()
    poller.register(connection, select.POLLOUT)
    if not poller.poll(max(0.0, deadline - time.monotonic()) * 1000):
        raise TimeoutError


def receive(connection: socket.socket) -> tuple[dict[str, Any], int | None] | None:
    """Take the next message, and the descriptor that came with it; the caller closes that.

    Returns
    -------
    (message, descriptor) or None
        None where no message is waiting.

    Raises
    ------
    ProtocolError
        What came is no message, or the other side has closed the channel.
    """
    try:
        data, ancillary, flags, _ = connection.recvmsg(
            LARGEST_MESSAGE, _ONE_DESCRIPTOR, socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
        )
    except BlockingIOError:
        return None
    except OSError as error:
        raise ChannelClosed(f"the channel is closed ({error.strerror})") from error
    descriptors = _descriptors(ancillary)
    try:
        message = _decoded(data, flags, descriptors)
    except ProtocolError:
        for descriptor in descriptors:
            os.close(descriptor)
        raise
    return message, descriptors[0] if descriptors else None


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    descriptors = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            # A truncated message may end within an integer.
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
    return descriptors.tolist()


def _decoded(data: bytes, flags: int, descriptors: list[int]) -> dict[str, Any]:
    if not data:
        raise ChannelClosed("the channel is closed")
    if flags & socket.MSG_TRUNC:
        raise ProtocolError(f"a message of more than {LARGEST_MESSAGE} bytes")
    if flags & socket.MSG_CTRUNC or len(descriptors) > 1:
        raise ProtocolError("a message with more than one descriptor")
    try:
        message = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"a message that is not JSON ({error})") from error
    if not isinstance(message, dict):
        raise ProtocolError("a message that is no JSON object")
    return message
