"""Which transport serves, and what only grpcio does: ends idle connections, shows itself to this machine."""

import asyncio
from importlib import util

import pytest

from shop_order.pkg.grpc import server as server_module
from shop_order.pkg.grpc.server import CannotListen, ServerTls, chosen_transport
from shop_order.web.grpc.server import OrderGrpcServer
from tests.component.grpc.stubs import World
from tests.component.grpc.test_server import SERVICES, reflected


async def test_reflection_shows_the_services_to_this_machine() -> None:
    world = World()
    server = world.server()
    assert set(SERVICES) <= set(await reflected(await server.start()))
    await server.stop(0)


async def closed_by_the_server(server: OrderGrpcServer, sent: bytes) -> bool:
    """Open a connection, send this, and read until the server closes it. Raises TimeoutError after 20 s."""
    reader, writer = await asyncio.open_connection("127.0.0.1", await server.start())
    writer.write(sent)
    async with asyncio.timeout(20):
        while await reader.read(1024):
            pass
    writer.close()
    await server.stop(0)
    return reader.at_eof()


@pytest.mark.parametrize("sent", [b"", b"PRI * HTTP/2.0\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"])
async def test_a_connection_that_does_not_start_http_2_is_closed(
    monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr("shop_order.pkg.grpc.server.HANDSHAKE_MS", 300)
    assert await closed_by_the_server(World().server(), sent)


async def test_a_connection_without_calls_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shop_order.pkg.grpc.server.IDLE_MS", 1_000)
    empty_settings = bytes(3) + b"\x04" + bytes(5)
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + empty_settings
    assert await closed_by_the_server(World().server(), preface)


def test_the_transport_is_grpcio_unless_native_is_asked_for_and_the_port_has_no_tls() -> None:
    tls = ServerTls("server.crt", "server.key")
    assert [chosen_transport(name, None) for name in ("auto", "grpcio", "native")] == [
        "grpcio",
        "grpcio",
        "native",
    ]
    assert {chosen_transport(name, tls) for name in ("auto", "grpcio", "native")} == {"grpcio"}


def test_a_transport_that_is_not_installed_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    found = util.find_spec
    monkeypatch.setattr(
        server_module, "find_spec", lambda name: None if name == "pygrpc_native" else found(name)
    )
    with pytest.raises(CannotListen, match=r"pip install 'shop-order\[native\]'"):
        chosen_transport("native", None)
    assert chosen_transport("auto", None) == "grpcio"
