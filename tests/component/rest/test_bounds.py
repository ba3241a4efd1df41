"""What a stranger sends before our first line of code: bounded in bytes, lines and time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from starlette.types import Receive, Scope, Send

from shop_order.pkg.http.protocol import Bounds
from shop_order.pkg.http.server import metrics_app
from tests.component.rest.front import Rest, token
from tests.component.rest.line import GET, QUICK, Connect, served


@pytest.fixture
async def connect(rest: Rest) -> AsyncIterator[Connect]:
    """The Shop's own front, with its own bounds."""
    async with served(rest.app, Bounds()) as connect:
        yield connect


@pytest.fixture
async def hurried(rest: Rest) -> AsyncIterator[Connect]:
    """The same, with less time."""
    async with served(rest.app, QUICK) as connect:
        yield connect


@pytest.mark.parametrize(
    "head",
    [
        GET + b"X-A: " + b"a" * 17_000 + b"\r\n\r\n",
        GET + b"X-" + b"A" * 17_000 + b": a\r\n\r\n",
        GET + b"X-A: a\r\n" * 101 + b"\r\n",
        GET + b"X-A: " + b"a" * 900 + b"\r\n" + b"X-B: b\r\n" * 99 + b"X-C:" + b" " * 16_000 + b"\r\n\r\n",
        b"GET /healthz?" + b"q" * 17_000 + b" HTTP/1.1\r\n\r\n",
        b"\r\n" * 20_000 + GET + b"\r\n",
    ],
)
async def test_a_head_beyond_its_bounds_is_431_in_our_envelope(connect: Connect, head: bytes) -> None:
    line = await connect()
    await line.send(head)
    status, headers, body = await line.answer()
    assert (status, json.loads(body)["error"]) == (431, "HEADERS_TOO_LARGE")
    assert json.loads(body)["request_id"] == headers["x-request-id"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["connection"] == "close"
    assert await line.rest() == b""


async def test_a_head_within_its_bounds_is_taken(connect: Connect) -> None:
    line = await connect()
    await line.send(GET + b"X-A: " + b"a" * 15_000 + b"\r\n\r\n", GET + b"X-A: a\r\n" * 99 + b"\r\n")
    assert [(await line.answer())[0] for _ in range(2)] == [200, 200]


async def test_an_endless_header_is_not_read_to_its_end(connect: Connect) -> None:
    line, other = await connect(), await connect()
    sending = asyncio.create_task(line.send(GET + b"X-A: ", *[b"a" * 65_536] * 1_024))
    await other.send(GET + b"\r\n")
    assert (await other.answer())[0] == 200
    await line.rest()
    await sending  # it could not be sent: the connection is gone
    assert line.writer.is_closing() or line.reader.at_eof()


POST = (
    b"POST /api/v1/cart/items HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    + f"Authorization: Bearer {token()}\r\n".encode()
)
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
BODY = b'{"goods_id": 1}'
CHUNK = b"%x\r\n%s\r\n" % (len(BODY), BODY)


@pytest.mark.parametrize(
    "sent",
    [
        CHUNKED + b"%x;a=%s\r\n%s\r\n0\r\n\r\n" % (len(BODY), b"a" * 17_000, BODY),
        CHUNKED + b"".join(b"1;%s\r\n%c\r\n" % (b"a" * 1_200, byte) for byte in BODY) + b"0\r\n\r\n",
        CHUNKED + CHUNK + b"0\r\nX-A: " + b"a" * 17_000 + b"\r\n\r\n",
        CHUNKED + CHUNK + b"0\r\n" + b"X-A: a\r\n" * 101 + b"\r\n",
        CHUNKED + b"1\r\n \r\n" * 4_000 + CHUNK + b"0\r\nX-A: " + b"a" * 40_000 + b"\r\n\r\n",
    ],
)
async def test_trailers_and_chunk_extensions_have_the_same_bounds(connect: Connect, sent: bytes) -> None:
    line = await connect()
    await line.send(sent)
    answered = await line.rest()
    assert not answered or answered.startswith(b"HTTP/1.1 431 "), answered


async def test_small_extensions_and_trailers_are_ignored(connect: Connect) -> None:
    line = await connect()
    chunked = CHUNKED + b"".join(b"1;a=b\r\n%c\r\n" % byte for byte in BODY)
    await line.send(chunked + b"0\r\nX-A: a\r\nAuthorization: x\r\n\r\n" + GET + b"\r\n")
    assert [(await line.answer())[0] for _ in range(2)] == [200, 200]


async def test_what_is_no_http_is_400_in_our_envelope(connect: Connect) -> None:
    for sent in (
        b"nonsense\r\n\r\n",
        GET + b"X A: b\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\n\r\n",
        CHUNKED + b"zz\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://[/ HTTP/1.1\r\nHost: x\r\n\r\n",
    ):
        line = await connect()
        await line.send(sent)
        status, headers, body = await line.answer()
        assert (status, json.loads(body)["error"]) == (400, "INVALID_ARGUMENT")
        assert headers["x-request-id"]
        assert await line.rest() == b""


@pytest.mark.parametrize("second", [b"GET http://[/ HTTP/1.1\r\n\r\n", b"nonsense\r\n\r\n"])
async def test_a_refusal_is_never_the_answer_to_the_request_before(second: bytes) -> None:
    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.1)
        await send(
            {"type": "http.response.start", "status": 400 if scope.get("refused") else 200, "headers": []}
        )
        await send({"type": "http.response.body"})

    async with served(slow, QUICK) as connect:
        line = await connect()
        await line.send(GET + b"\r\n" + second)
        assert not (await line.rest()).startswith(b"HTTP/1.1 400")


async def test_thousands_of_requests_in_one_packet_are_not_queued(connect: Connect) -> None:
    line = await connect()
    await line.send(b"GET /readyz HTTP/1.1\r\n\r\n" * 5_000)
    assert (await line.rest()).count(b"HTTP/1.1 200") <= 33


@pytest.mark.parametrize("sent", [b"", b"\r\n", b"G", GET, GET + b"X-A: "])
async def test_whoever_says_nothing_or_never_ends_a_head_is_hung_up_on(hurried: Connect, sent: bytes) -> None:
    line = await hurried()
    await line.send(sent)
    assert await line.rest() == b""
    assert line.reader.at_eof()


async def test_a_head_that_drips_is_hung_up_on_though_every_byte_is_in_time(hurried: Connect) -> None:
    line = await hurried()

    async def drip() -> None:
        for byte in GET * 100:
            line.writer.write(bytes([byte]))
            await asyncio.sleep(0.02)

    task = asyncio.create_task(drip())
    assert await line.rest() == b""
    task.cancel()


async def test_a_second_head_on_the_connection_has_its_own_time(hurried: Connect) -> None:
    line = await hurried()
    await line.send(GET + b"\r\n")
    assert (await line.answer())[0] == 200
    await line.send(b"\r\n")
    assert await line.rest() == b""


async def test_an_idle_connection_is_closed(hurried: Connect) -> None:
    line = await hurried()
    await line.send(GET + b"\r\n")
    assert (await line.answer())[0] == 200
    assert await line.rest() == b""


async def test_a_body_that_never_ends_after_its_answer_is_hung_up_on(hurried: Connect) -> None:
    line = await hurried()
    await line.send(b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nab")
    assert (await line.answer())[0] == 404
    await line.send(b"c")
    assert await line.rest() == b""


async def test_a_body_that_ends_after_its_answer_leaves_a_connection_that_is_idle(hurried: Connect) -> None:
    line = await hurried()
    await line.send(b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nab")
    assert (await line.answer())[0] == 404
    await line.send(b"c")
    await line.send(GET + b"\r\n")
    assert (await line.answer())[0] == 200


async def test_of_more_connections_than_there_may_be_those_go_that_say_nothing_longest(rest: Rest) -> None:
    async with served(rest.app, Bounds(connections=3)) as connect:
        spoke, silent, half = await connect(), await connect(), await connect()
        await half.send(POST + b"Content-Length: 15\r\n\r\n{")
        await spoke.send(GET + b"\r\n")
        assert (await spoke.answer())[0] == 200
        fourth = await connect()
        assert await silent.rest() == b""
        fifth = await connect()
        assert await half.rest() == b""
        for line in (spoke, fourth, fifth):
            await line.send(GET + b"\r\n")
            assert (await line.answer())[0] == 200


async def test_a_connection_that_is_being_answered_does_not_make_room() -> None:
    asked, answered = asyncio.Event(), asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        asked.set()
        await answered.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    async with served(slow, Bounds(connections=1)) as connect:
        line = await connect()
        await line.send(GET + b"\r\n")
        await asked.wait()
        assert await (await connect()).rest() == b""
        answered.set()
        assert (await line.answer())[0] == 200


UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAA\r\n"


@pytest.mark.parametrize("pause_s", [0, 0.05])
async def test_who_would_like_another_protocol_is_answered_in_this_one(
    connect: Connect, pause_s: float
) -> None:
    bodies = (
        b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY),
        CHUNKED[len(POST) :] + CHUNK + b"0\r\n\r\n",
    )
    for sent in bodies:
        line = await connect()
        for piece in (POST + UPGRADE + sent[:-30], sent[-30:] + GET + UPGRADE + b"\r\n" + GET + b"\r\n"):
            await line.send(piece)
            await asyncio.sleep(pause_s)
        assert [(await line.answer())[0] for _ in range(3)] == [200, 200, 200]


async def test_a_body_is_no_request_whatever_protocol_was_wished_for(connect: Connect) -> None:
    line, inner = await connect(), GET + b"\r\n"
    await line.send(POST + UPGRADE + b"Content-Length: %d\r\n\r\n" % len(inner))
    await line.send(inner + b"GET /nothing HTTP/1.1\r\n\r\n")
    assert [(await line.answer())[0] for _ in range(2)] == [400, 404]


async def test_the_relays_metrics_have_the_same_bounds() -> None:
    async with served(metrics_app(lambda: b"a 1\n"), QUICK) as connect:
        line = await connect()
        await line.send(
            b"GET /metrics HTTP/1.1\r\n\r\n", b"POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n"
        )
        assert [(await line.answer())[::2] for _ in range(2)] == [
            (200, b"a 1\n"),
            (405, b"method not allowed"),
        ]
        large = await connect()
        await large.send(b"GET /metrics HTTP/1.1\r\nX-A: " + b"a" * 17_000 + b"\r\n\r\n")
        assert (await large.answer())[0] == 431
        assert await (await connect()).rest() == b""  # who says nothing


async def test_a_body_that_is_announced_too_large_is_not_asked_for(connect: Connect) -> None:
    line = await connect()
    await line.send(POST + b"Expect: 100-continue\r\nContent-Length: 5000000\r\n\r\n")
    assert (await line.answer())[0] == 413


async def test_half_a_body_is_504_in_the_end(rest: Rest) -> None:
    rest.deadline_s = 0.2
    async with served(rest.app, QUICK) as connect:
        line = await connect()
        await line.send(POST + b"Content-Length: 15\r\n\r\n{")
        assert (await line.answer())[0] == 504
        assert await line.rest() == b""
