"""Addresses of Redis, and the link: one pipeline for all who wait, one probe for all who were refused."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Self

import pytest

from shop_order.pkg.redis import RedisAddress, parse
from shop_order.pkg.redis import connection as link_module
from shop_order.pkg.redis.connection import (
    Command,
    CommandFailed,
    NoScript,
    RedisConnection,
    RedisUnavailable,
    Script,
)
from shop_order.pkg.url import EngineTls


@pytest.mark.parametrize(
    ("scheme", "rest", "address"),
    [
        ("redis", "h", RedisAddress("single", (("h", 6379),))),
        ("redis", "h:1/3", RedisAddress("single", (("h", 1),), db=3)),
        ("redis", ":p%40w@h", RedisAddress("single", (("h", 6379),), password="p@w")),
        ("redis", "u:p@[::1]:7/0", RedisAddress("single", (("::1", 7),), username="u", password="p")),
        ("redis", "p@h", RedisAddress("single", (("h", 6379),), password="p")),
        (
            "redis+sentinel",
            ":p@a:1,b/shop/2",
            RedisAddress("sentinel", (("a", 1), ("b", 26379)), db=2, master="shop", password="p"),
        ),
        ("redis+cluster", "a:1,b:2,c", RedisAddress("cluster", (("a", 1), ("b", 2), ("c", 6379)))),
        ("rediss", "h/2", RedisAddress("single", (("h", 6379),), db=2, tls=EngineTls())),
        (
            "rediss+sentinel",
            "a/shop?ssl-ca=/c&ssl-mode=verify_ca",
            RedisAddress("sentinel", (("a", 26379),), master="shop", tls=EngineTls("/c", check_name=False)),
        ),
    ],
)
def test_an_address_is_read(scheme: str, rest: str, address: RedisAddress) -> None:
    assert parse(f"{scheme}://{rest}") == address


@pytest.mark.parametrize(
    ("scheme", "rest", "told"),
    [
        ("redis", "", "host:port"),
        ("redis", ":secret@", "host:port"),
        ("redis", "a,b", "one host"),
        ("redis", "h:port", "from 1 to 65535"),
        ("redis", "h:0", "from 1 to 65535"),
        ("redis", "h/x", "/database"),
        ("redis", "h/1/2", "/database"),
        ("redis", "h?db=1", "TLS only"),
        ("redis", "h?ssl-ca=/c", "TLS only"),
        ("rediss", "h?db=1", "option db"),
        ("redis+sentinel", "h:1", "master"),
        ("redis+cluster", "h:1/2", "a cluster has no database"),
        ("memory", "", "memory:"),
    ],
)
def test_what_is_no_address_is_refused_without_the_password(scheme: str, rest: str, told: str) -> None:
    with pytest.raises(ValueError, match=told) as refused:
        parse(f"{scheme}://{rest}")
    assert "secret" not in str(refused.value)


def test_the_password_does_not_show() -> None:
    assert "secret" not in repr(parse("redis://:secret@h"))


class Server:
    """A server that can hang, be dead, and forget scripts."""

    def __init__(self) -> None:
        self.pipelines: list[Sequence[Command]] = []
        self.pings = 0
        self.dead = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.scripts: set[str] = set()
        self.connected_s: list[float] = []
        self.closed = 0

    def connect(self, timeout_s: float) -> Self:
        self.connected_s.append(timeout_s)
        return self

    async def run(self, commands: Sequence[Command]) -> Sequence[Any]:
        self.pipelines.append(commands)
        await self.gate.wait()
        if self.dead:
            raise CommandFailed("dead")
        return [self.answer(command) for command in commands]

    def answer(self, command: Command) -> Any:
        if command[0] == "EVALSHA" and command[1] not in self.scripts:
            return NoScript()
        if command[0] == "EVAL":
            self.scripts.add(Script(command[1]).sha)
        return CommandFailed("no room") if command[0] == "FULL" else command[-1]

    async def ping(self) -> None:
        self.pings += 1
        if self.dead:
            raise CommandFailed("dead")

    async def close(self) -> None:
        self.closed += 1


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setattr(link_module, "PROBE_FIRST_S", 0.01)
    return Server()


async def until(link: RedisConnection) -> None:
    """Wait until it is believed."""
    async with asyncio.timeout(5):
        while not link.up:  # noqa: ASYNC110 - the event is what is under test
            await asyncio.sleep(0.01)


async def test_who_comes_while_a_pipeline_is_in_flight_leaves_with_the_next(server: Server) -> None:
    link = RedisConnection(server.connect)
    await link.open()
    server.gate.clear()
    asking = [asyncio.create_task(link.command("ECHO", n)) for n in range(1)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asking += [asyncio.create_task(link.command("ECHO", n)) for n in range(1, 11)]
    await asyncio.sleep(0)
    server.gate.set()
    assert await asyncio.gather(*asking) == list(range(11))
    assert [len(pipeline) for pipeline in server.pipelines] == [1, 10]
    await link.close()


async def test_a_script_is_sent_once_and_known_by_its_hash_from_then_on(server: Server) -> None:
    link, script = RedisConnection(server.connect), Script("return ARGV[1]")
    await link.open()
    assert [await link.script(script, ["k"], n) for n in range(3)] == [0, 1, 2]
    sent = [command[0] for pipeline in server.pipelines for command in pipeline]
    assert sent == ["EVALSHA", "EVAL", "EVALSHA", "EVALSHA"]
    await link.close()


async def test_after_one_failure_everybody_is_told_at_once(server: Server) -> None:
    changes: list[bool] = []
    link = RedisConnection(
        server.connect, timeout_s=lambda: 0.05, on_change=lambda up, why: changes.append(up)
    )
    await link.open()
    server.dead = True
    for _ in range(20):
        with pytest.raises(RedisUnavailable):
            await link.command("ECHO", 1)
    assert len(server.pipelines) == 1
    server.dead = False
    await until(link)
    assert await link.command("ECHO", 1) == 1
    assert changes == [True, False, True]
    await link.close()


async def test_a_server_that_hangs_is_not_waited_for_longer_than_the_timeout(server: Server) -> None:
    link = RedisConnection(server.connect, timeout_s=lambda: 0.05)
    await link.open()
    server.gate.clear()
    async with asyncio.timeout(1):
        with pytest.raises(RedisUnavailable):
            await link.command("ECHO", 1)
    await link.close()


async def test_a_timeout_that_was_changed_holds_from_the_next_pipeline_on_for_sockets_too(
    server: Server,
) -> None:
    timeout_s = 0.01
    link = RedisConnection(server.connect, timeout_s=lambda: timeout_s)
    await link.open()

    async def slow() -> None:
        server.gate.clear()
        await asyncio.sleep(0.05)
        server.gate.set()

    late = asyncio.create_task(slow())
    await asyncio.sleep(0)
    with pytest.raises(RedisUnavailable, match=r"no response within 0\.01 s"):
        await link.command("ECHO", 1)
    await late
    await until(link)
    assert (server.connected_s, server.closed) == ([0.01], 0)
    timeout_s = 2.0
    late = asyncio.create_task(slow())
    await asyncio.sleep(0)
    assert await link.command("ECHO", 2) == 2
    await late
    assert link.up
    timeout_s = 0.04
    server.dead = True  # what is away is tried with the new one as well
    with pytest.raises(RedisUnavailable):
        await link.command("ECHO", 3)
    timeout_s = 0.03
    server.dead = False
    await until(link)
    assert server.connected_s == [0.01, 2.0, 0.04, 0.03]
    await link.close()
    assert server.closed == 4


async def test_an_answer_that_is_of_no_use_counts_as_none(server: Server) -> None:
    link = RedisConnection(server.connect)
    await link.open()
    with pytest.raises(RedisUnavailable):
        await link.command("FULL")
    assert not link.up
    await link.close()


async def test_more_than_may_wait_are_refused_at_once(server: Server) -> None:
    link = RedisConnection(server.connect, queue=2, timeout_s=lambda: 5)
    await link.open()
    server.gate.clear()
    asking = [asyncio.create_task(link.command("ECHO", n)) for n in range(6)]
    done, _ = await asyncio.wait(asking, timeout=0.2)
    assert done
    assert all(isinstance(task.exception(), RedisUnavailable) for task in done)
    server.gate.set()
    await asyncio.gather(*asking, return_exceptions=True)
    await link.close()


async def test_it_is_not_believed_before_those_who_missed_something_have_told_it(server: Server) -> None:
    link = RedisConnection(server.connect)
    told: list[bool] = []

    async def tell() -> bool:
        told.append(link.up)
        await asyncio.sleep(0)
        return len(told) < 4

    link.on_recovery(tell)
    await link.open()
    assert link.up
    assert told == [False] * 4, "asked again until there was nothing left"
    await link.close()


async def test_while_telling_fails_it_stays_down(server: Server) -> None:
    link, fails = RedisConnection(server.connect, timeout_s=lambda: 0.05), [True, True, False]

    async def tell() -> bool:
        if fails.pop(0):
            raise RedisUnavailable("not yet")
        return False

    link.on_recovery(tell)
    await link.open()
    assert not link.up
    await until(link)
    assert fails == []
    await link.close()
