"""Ports that are ours alone: taken before anything is served on them, and left in order."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from stat import S_ISSOCK

from shop_order.pkg.address import joined

_BACKLOG = 1024


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes any free one. Raises OSError, one line that names the address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio turns Nagle off: else every answer waits 40 ms for a delayed ACK.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as refused:
        listener.close()
        raise OSError(refused.errno, f"can't listen on {joined(host, port)}: {refused.strerror}") from refused
    return listener


def stop_listening(port: int) -> None:
    """Let nobody connect to this process on the port any more, also who is not accepted yet."""
    _shut(port, listening=True)


def hang_up(port: int) -> None:
    """End this process's connections on the port; what was written to them arrives, nothing more is read."""
    _shut(port, listening=False)


def _shut(port: int, *, listening: bool) -> None:
    for one in _sockets():
        with one, suppress(OSError):  # whoever was there has gone
            ours = one.family in (socket.AF_INET, socket.AF_INET6) and one.getsockname()[1] == port
            if ours and bool(one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)) is listening:
                one.shutdown(socket.SHUT_RDWR)


def _sockets() -> Iterator[socket.socket]:
    """Copies of all sockets of this process: their owner may close them meanwhile."""
    try:
        names = os.listdir("/dev/fd")
    except OSError:
        return  # this system does not tell; then they end with the process
    for name in names:
        with suppress(OSError):
            if S_ISSOCK(os.fstat(int(name)).st_mode):
                yield socket.socket(fileno=os.dup(int(name)))
