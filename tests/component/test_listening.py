"""Ports that nobody else gets, and that our own processes share."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from shop_order.pkg.listening import hang_up, hold, listen

HOST = "127.0.0.1"


@pytest.fixture
def held() -> Iterator[socket.socket]:
    with hold(HOST, 0) as taken:
        yield taken


def port_of(taken: socket.socket) -> int:
    return int(taken.getsockname()[1])


def sharing(port: int) -> socket.socket:
    """As gRPC binds when it is told to share."""
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    one.bind((HOST, port))
    one.listen()
    return one


@pytest.mark.parametrize("take", [hold, listen])
def test_a_held_port_is_taken_for_everybody_who_does_not_share_it(held: socket.socket, take: object) -> None:
    assert callable(take)
    for _ in range(2):
        with pytest.raises(OSError, match=rf"can't listen on {HOST}:{port_of(held)}: "):
            take(HOST, port_of(held))
        with sharing(port_of(held)):  # our workers come and go, and it stays taken
            pass


def test_a_port_that_is_listened_on_can_not_be_held() -> None:
    with listen(HOST, 0) as taken, pytest.raises(OSError, match=f"{HOST}:{port_of(taken)}"):
        hold(HOST, port_of(taken))


def test_connections_go_to_those_who_share_and_none_to_the_holder(held: socket.socket) -> None:
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, port_of(held)))
    with sharing(port_of(held)) as one, sharing(port_of(held)) as other:
        callers = [socket.create_connection((HOST, port_of(held))) for _ in range(32)]
        accepted = [connections(one), connections(other)]
        assert sum(accepted) == 32
        assert min(accepted) > 0
        for caller in callers:
            caller.close()


def connections(listener: socket.socket) -> int:
    """How many wait to be accepted."""
    listener.setblocking(False)
    found = 0
    while True:
        try:
            listener.accept()[0].close()
        except BlockingIOError:
            return found
        found += 1


def test_a_port_is_free_again_after_its_holder_with_old_connections_about() -> None:
    held = hold(HOST, 0)
    port = port_of(held)
    with sharing(port) as one, socket.create_connection((HOST, port)):
        one.accept()[0].close()  # closed from our side first: the system remembers it for a while
    held.close()
    hold(HOST, port).close()


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
        hang_up(port_of(left))
        caller.settimeout(5)
        assert (caller.recv(100), caller.recv(100)) == (b"the last answer", b"")
        going_on.sendall(b"goes on")
        assert other.recv(100) == b"goes on"
        with socket.create_connection((HOST, port_of(left))):
            left.accept()[0].close()  # who listens is left alone
