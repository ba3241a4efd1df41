"""Ports that are ours alone: taken before anything is served on them, and left in order."""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from stat import S_ISSOCK

from shop_order.pkg.address import join_host_port

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
        raise OSError(
            refused.errno, f"can't listen on {join_host_port(host, port)}: {refused.strerror}"
        ) from refused
    return listener


def stop_listening(port: int) -> None:
    """Let nobody connect to this process on the port any more, also who is not accepted yet."""
    _shut(port, listening=True)


def close_connections(port: int) -> None:
    """End this process's connections on the port; what was written to them arrives, nothing more is read."""
    _shut(port, listening=False)


def close_excess_connections(port: int, most: int, counted: Callable[[str], str]) -> int:
    """End connections on the port, the newest first, of an address that has more than `most`; how many.

    `counted` says as whom an address counts; as nobody if it returns an empty text.
    """
    held: Counter[str] = Counter()
    ended = 0
    for one in _sockets():
        with one, suppress(OSError):
            if _is_on(one, port, listening=False) and (name := counted(one.getpeername()[0])):
                held[name] += 1
                if held[name] > most:
                    one.shutdown(socket.SHUT_RDWR)
                    ended += 1
    return ended


def _shut(port: int, *, listening: bool) -> None:
    for one in _sockets():
        with one, suppress(OSError):  # whoever was there has gone
            if _is_on(one, port, listening=listening):
                one.shutdown(socket.SHUT_RDWR)


def _is_on(one: socket.socket, port: int, *, listening: bool) -> bool:
    ours = one.family in (socket.AF_INET, socket.AF_INET6) and one.getsockname()[1] == port
    return ours and bool(one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)) is listening


def _sockets() -> Iterator[socket.socket]:
    """Copies of all sockets of this process, about the oldest first: their owner may close them meanwhile."""
    try:
        names = sorted(os.listdir("/dev/fd"), key=int)
    except OSError:
        return  # this system does not tell; then they end with the process
    for name in names:
        with suppress(OSError):
            if S_ISSOCK(os.fstat(int(name)).st_mode):
                yield socket.socket(fileno=os.dup(int(name)))
