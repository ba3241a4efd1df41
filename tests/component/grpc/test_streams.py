"""The chain of streams, on Health/Watch and on a stream that talks both ways."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, cast

import grpc
import grpc.aio
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpc import StatusCode
from grpc_health.v1 import health_pb2, health_pb2_grpc

from shop_order.web.auth.roles import READERS, ROLES, Who
from shop_order.web.context import RequestContext
from shop_order.web.grpc.chain import Methods
from shop_order.web.grpc.streams import bidi_stream
from tests.component.grpc.stubs import World, bearer

pytestmark = pytest.mark.usefixtures("transport")

ECHO = "/test.Echo/Say"
HEALTH = "/grpc.health.v1.Health/Watch"


def watch(channel: grpc.aio.Channel, service: str = "", **options: Any) -> Any:
    return health_pb2_grpc.HealthStub(channel).Watch(
        health_pb2.HealthCheckRequest(service=service), **options
    )


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def echo(
    requests: AsyncIterator[StringValue], context: RequestContext
) -> AsyncGenerator[StringValue, None]:
    """Tell the caller what they said, and who they are."""
    async for request in requests:
        if request.value == "fail":
            raise RuntimeError("SELECT secret")
        yield StringValue(value=f"{request.value} {context.caller.user_id}")


ECHOING = Methods("test.Echo", bidi_streams={"Say": bidi_stream(StringValue, echo)})


@pytest.fixture
async def echoing(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """A server with a stream in both directions, at `port`."""
    monkeypatch.setitem(cast(dict[str, Who], ROLES), ECHO, READERS)
    world = World()
    world.running = world.server(ECHOING)
    world.port = await world.running.start()
    yield world
    await world.running.stop(0)


def say(channel: grpc.aio.Channel, user: int = 7) -> Any:
    """A stream of this user."""
    answer = StringValue.FromString
    return channel.stream_stream(ECHO, StringValue.SerializeToString, answer)(metadata=bearer(user))


async def said(stream: Any, word: str) -> str:
    """What comes back."""
    await stream.write(StringValue(value=word))
    return str((await stream.read()).value)


async def test_a_watch_is_told_every_change_and_logged_and_counted_when_it_ends() -> None:
    world = World()
    server = world.server()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{await server.start()}") as channel:
        stream = watch(channel, metadata=(("x-request-id", "watch-1"),))
        seen = [(await stream.read()).status]
        assert world.pools.taken()["streams"] == 1
        for serving in (False, True):
            server.report(serving=serving)
            seen.append((await stream.read()).status)
        assert seen == [1, 2, 1]
        stream.cancel()
        await until(lambda: bool(world.journal.observed))
    await until(lambda: world.pools.taken()["streams"] == 0)
    assert world.journal.observed == [(HEALTH, "CANCELLED")]
    assert [(event, fields["method"]) for event, fields in world.journal.lines] == [("grpc stream", HEALTH)]
    assert world.journal.bound[0]["request_id"] == "watch-1"
    await server.stop(0)


async def test_a_watch_of_an_unknown_service_says_so(world: World) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{world.port}") as channel:
        answer = await watch(channel, "no.such.Service").read()
    assert answer.status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    request = health_pb2.HealthCheckRequest(service="no.such.Service")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await world.call("/grpc.health.v1.Health/Check", request, health_pb2.HealthCheckResponse, ())
    assert caught.value.code() is StatusCode.NOT_FOUND


async def test_bytes_that_are_no_message_are_the_watchers_fault(world: World) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{world.port}") as channel:
        call: Any = channel.unary_stream(HEALTH)
        stream = call(b"\xff\xff")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stream.read()
    assert caught.value.code() is StatusCode.INVALID_ARGUMENT


async def test_bytes_that_are_no_message_end_a_stream_in_both_directions(echoing: World) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{echoing.port}") as channel:
        stream: Any = channel.stream_stream(ECHO)(metadata=bearer())
        await stream.write(StringValue(value="good").SerializeToString())
        assert StringValue.FromString(await stream.read()).value == "good 7"
        await stream.write(b"\xff\xff")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stream.read()
    assert caught.value.code() is StatusCode.INVALID_ARGUMENT


async def test_a_stream_outlives_the_deadline_of_calls(echoing: World) -> None:
    echoing.deadline_s = 0.05
    async with grpc.aio.insecure_channel(f"127.0.0.1:{echoing.port}") as channel:
        stream = say(channel)
        for word in ("one", "two"):
            await asyncio.sleep(0.1)
            assert await said(stream, word) == word + " 7"
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF
        assert await stream.code() is StatusCode.OK


async def test_what_nobody_expected_ends_a_stream_with_internal_and_tells_nothing(echoing: World) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{echoing.port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await said(say(channel), "fail")
    assert caught.value.code() is StatusCode.INTERNAL
    assert "SELECT" not in repr(caught.value)


async def test_a_user_has_their_own_bound_of_streams(echoing: World) -> None:
    echoing.bounds.grpc_user_streams = 2
    async with grpc.aio.insecure_channel(f"127.0.0.1:{echoing.port}") as channel:
        first, second = say(channel), say(channel)
        assert [await said(first, "a"), await said(second, "b")] == ["a 7", "b 7"]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await said(say(channel), "c")
        assert caught.value.code() is StatusCode.RESOURCE_EXHAUSTED
        assert await said(say(channel, 8), "d") == "d 8"
        first.cancel()
        await until(lambda: echoing.pools.user_streams.taken == 2)
        assert await said(say(channel), "e") == "e 7"
        echoing.bounds.grpc_user_streams = 0
        assert [await said(say(channel), "f") for _ in range(3)] == ["f 7"] * 3


async def test_at_a_stop_a_stream_is_told_to_go_elsewhere_and_a_watch_ends(echoing: World) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{echoing.port}") as channel:
        stream = say(channel)
        assert await said(stream, "here") == "here 7"
        health = watch(channel)
        seen = [(await health.read()).status]
        stopping = asyncio.create_task(echoing.running.stop(5))
        while (answer := await health.read()) is not grpc.aio.EOF:
            seen.append(answer.status)
        assert seen == [1, 2]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stream.read()
        assert (caught.value.code(), caught.value.details()) == (
            StatusCode.UNAVAILABLE,
            "the service is stopping",
        )
        async with asyncio.timeout(3):
            await stopping
    assert sorted(echoing.journal.observed) == [(HEALTH, "OK"), (ECHO, "UNAVAILABLE")]


async def test_a_watcher_who_reads_nothing_keeps_nobody_waiting() -> None:
    world = World()
    server = world.server()
    port = await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        silent, other = watch(channel), watch(channel)
        await until(lambda: world.pools.taken()["streams"] == 2)
        assert (await other.read()).status == 1
        server.report(serving=False)
        assert (await other.read()).status == 2
        async with asyncio.timeout(3):
            await server.stop(1)
        silent.cancel()
