"""Listening sockets of this process, and their connections."""

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
    """Return a listening socket; port 0 picks a free one. Raises OSError naming the address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Only with an explicit protocol does asyncio disable Nagle, which would delay responses by 40 ms.
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
    """Refuse new connections to the port, including those not accepted yet."""
    for listener in _sockets(port, listening=True):
        with suppress(OSError):  # closed by its owner meanwhile
            listener.shutdown(socket.SHUT_RDWR)


def close_connections(port: int) -> None:
    """Shut down this process's connections on the port; written data is still delivered."""
    for connection in _sockets(port, listening=False):
        with suppress(OSError):  # the peer is gone
            connection.shutdown(socket.SHUT_RDWR)


def close_excess_connections(port: int, limit: int, client_of: Callable[[str], str]) -> int:
    """Close the newest connections of each client that has more than `limit`; return how many.

    `client_of` maps an address to a client; an empty text exempts it.
    """
    held: Counter[str] = Counter()
    closed = 0
    for connection in _sockets(port, listening=False):
        with suppress(OSError):  # the peer is gone
            if client := client_of(connection.getpeername()[0]):
                held[client] += 1
                if held[client] > limit:
                    connection.shutdown(socket.SHUT_RDWR)
                    closed += 1
    return closed


def _sockets(port: int, *, listening: bool) -> Iterator[socket.socket]:
    """Yield duplicates of this process's sockets on the port, roughly oldest first.

    Duplicates, since the owners may close theirs meanwhile.
    """
    try:
        names = sorted(os.listdir("/dev/fd"), key=int)
    except OSError:
        return  # not available on this platform: connections end with the process
    for name in names:
        with suppress(OSError):
            if S_ISSOCK(os.fstat(int(name)).st_mode):
                with socket.socket(fileno=os.dup(int(name))) as found:
                    is_listening = bool(found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
                    is_ip = found.family in (socket.AF_INET, socket.AF_INET6)
                    if is_ip and is_listening is listening and found.getsockname()[1] == port:
                        yield found
