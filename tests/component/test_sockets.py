"""Ports that nobody else gets."""

from __future__ import annotations

import socket

import pytest

from shop_order.pkg.sockets import close_connections, listen

HOST = "127.0.0.1"


def port_of(taken: socket.socket) -> int:
    return int(taken.getsockname()[1])


def test_a_port_that_is_listened_on_is_taken_also_for_those_who_would_share_it() -> None:
    with listen(HOST, 0) as taken:
        with pytest.raises(OSError, match=rf"can't listen on {HOST}:{port_of(taken)}: "):
            listen(HOST, port_of(taken))
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            other.bind((HOST, port_of(taken)))


def test_hanging_up_ends_the_connections_of_one_port_and_what_was_written_arrives() -> None:
    with (
        listen(HOST, 0) as left,
        listen(HOST, 0) as kept,
        socket.create_connection((HOST, port_of(left))) as caller,
        socket.create_connection((HOST, port_of(kept))) as other,
        left.accept()[0] as answering,
        kept.accept()[0] as going_on,
    ):
        answering.sendall(b"the last answer")
        close_connections(port_of(left))
        caller.settimeout(5)
        assert (caller.recv(100), caller.recv(100)) == (b"the last answer", b"")
        going_on.sendall(b"goes on")
        assert other.recv(100) == b"goes on"
        with socket.create_connection((HOST, port_of(left))):
            left.accept()[0].close()  # who listens is left alone
