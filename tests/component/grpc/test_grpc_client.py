import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from shop_order.pkg.grpc.client import FileToken, Neighbour, call_metadata, open_channel
from shop_order.pkg.log import with_fields
from shop_order.pkg.tracing import Origin


@pytest.fixture
async def echo() -> AsyncIterator[tuple[str, list[dict[str, Any]]]]:
    """A service that records metadata and the deadline, and answers late on request."""
    seen: list[dict[str, Any]] = []

    async def answer(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        seen.append({**dict(context.invocation_metadata() or ()), "deadline": context.time_remaining()})
        if request == b"slow":
            await asyncio.sleep(5)
        return request

    server = grpc.aio.server()
    methods: dict[str, Any] = {"Say": grpc.unary_unary_rpc_method_handler(answer)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("echo.Echo", methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}", seen
    await server.stop(0)


async def test_a_call_carries_token_request_id_and_deadline(echo: tuple[str, list[dict[str, Any]]]) -> None:
    target, seen = echo
    neighbour = Neighbour(lambda: "t0", timeout_s=lambda: 3.0)
    async with open_channel(target) as channel:
        say: Any = channel.unary_unary("/echo.Echo/Say")
        with with_fields(request_id="r-1"):
            assert await neighbour.call(say, b"hi") == b"hi"
            origins = [Origin("r-2"), Origin(""), Origin("r-3")]
            await neighbour.call(say, b"hi", origins=origins, timeout_s=1.0)
            await neighbour.call(say, b"hi", timeout_s=60.0)
    assert [(s["authorization"], s["x-request-id"]) for s in seen] == [
        ("Bearer t0", "r-1"),
        ("Bearer t0", "r-2,r-3"),
        ("Bearer t0", "r-1"),
    ]
    assert [round(s["deadline"]) for s in seen] == [3, 1, 3]


async def test_errors_come_as_grpc_raises_them(echo: tuple[str, list[dict[str, Any]]]) -> None:
    neighbour = Neighbour(lambda: "", timeout_s=lambda: 0.1)
    async with open_channel(echo[0]) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as late:
            await neighbour.call(channel.unary_unary("/echo.Echo/Say"), b"slow")
        assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        with pytest.raises(grpc.aio.AioRpcError) as spent:
            await neighbour.call(channel.unary_unary("/echo.Echo/Say"), b"hi", timeout_s=-1.0)
        assert spent.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_nobody_there_is_unavailable_at_once() -> None:
    neighbour = Neighbour(lambda: "", timeout_s=lambda: 5.0)
    async with open_channel("127.0.0.1:1") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await asyncio.wait_for(neighbour.call(channel.unary_unary("/echo.Echo/Say"), b"hi"), 4)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_what_is_empty_is_not_sent() -> None:
    assert call_metadata("", "") == ()


def test_a_token_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    now_s = [0.0]
    file = tmp_path / "token"
    with pytest.raises(OSError, match="token"):
        FileToken(str(file), lambda: now_s[0])()
    file.write_text("one\n")
    token = FileToken(str(file), lambda: now_s[0])
    assert token() == "one"
    draft = tmp_path / "draft"
    draft.write_text("two\n")
    os.replace(draft, file)
    assert token() == "one"
    now_s[0] += 1
    assert token() == "two"
    file.unlink()
    now_s[0] += 1
    assert token() == "two"
