"""Listening sockets of this process, and how their connections are ended."""

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
    # Only with an explicit protocol does asyncio disable Nagle, which would delay answers by 40 ms.
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
    _shutdown(port, listening=True)


def close_connections(port: int) -> None:
    """Shut down this process's connections on the port; written data is still delivered."""
    _shutdown(port, listening=False)


def close_excess_connections(port: int, limit: int, client_of: Callable[[str], str]) -> int:
    """Close the newest connections of each client that has more than `limit`; return how many.

    `client_of` maps an address to a client; an empty text exempts it.
    """
    held: Counter[str] = Counter()
    ended = 0
    for one in _sockets():
        with one, suppress(OSError):
            if _matches(one, port, listening=False) and (name := client_of(one.getpeername()[0])):
                held[name] += 1
                if held[name] > limit:
                    one.shutdown(socket.SHUT_RDWR)
                    ended += 1
    return ended


def _shutdown(port: int, *, listening: bool) -> None:
    for one in _sockets():
        with one, suppress(OSError):  # the peer is gone
            if _matches(one, port, listening=listening):
                one.shutdown(socket.SHUT_RDWR)


def _matches(one: socket.socket, port: int, *, listening: bool) -> bool:
    is_ours = one.family in (socket.AF_INET, socket.AF_INET6) and one.getsockname()[1] == port
    return is_ours and bool(one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)) is listening


def _sockets() -> Iterator[socket.socket]:
    """Yield duplicates of all sockets of this process, roughly oldest first: owners may close theirs."""
    try:
        names = sorted(os.listdir("/dev/fd"), key=int)
    except OSError:
        return  # not available here: connections end with the process
    for name in names:
        with suppress(OSError):
            if S_ISSOCK(os.fstat(int(name)).st_mode):
                yield socket.socket(fileno=os.dup(int(name)))
