"""Consumers that are killed: their messages go to the next, soon, and become no dead letters."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from shop_order.cmd.run.relay import dead_letters
from shop_order.pkg.message import (
    ORDER_EVENTS,
    TOPICS,
    BrokerUnavailable,
    Delivery,
    Group,
    Message,
    Publisher,
    open_consumer,
    open_publisher,
)
from shop_order.pkg.message.rocketmq import parse
from shop_order.pkg.message.rocketmq.admin import Admin
from tests.plugins.engines import available
from tests.recording.recorder import child_path

BROKERS = available("rocketmq")
GROUP = Group("mortal", in_order=True)
DEATHS = 6  # more than the attempts of a refused message
WAIT_S = 60.0  # the broker misses a dead consumer after 30 s
CHILD = f"""
import asyncio, sys
from shop_order.pkg.message import Group, ORDER_EVENTS, open_consumer

async def hold(delivery):
    print("taken", flush=True)
    await asyncio.sleep(3600)

async def main():
    consumer = open_consumer(sys.argv[1], hold, group={GROUP!r}, topic=ORDER_EVENTS)
    await consumer.open()
    while not consumer.connected:
        await asyncio.sleep(0.1)
    await asyncio.sleep(7)  # the client asks for its queues every 5 s
    print("ready", flush=True)
    await asyncio.sleep(3600)

asyncio.run(main())
"""


@pytest.fixture(params=BROKERS)
async def url(request: pytest.FixtureRequest) -> str:
    """A broker's URL, with topics and a group that only this test has."""
    made = f"{request.param}{'&' if '?' in request.param else '?'}prefix=d{uuid.uuid4().hex[:8]}"
    address = parse(made)
    await Admin(address.namesrv).make(address, TOPICS, [GROUP])
    return made


@pytest.fixture
async def publisher(url: str) -> AsyncIterator[Publisher]:
    publisher = open_publisher(url)
    await publisher.open()
    yield publisher
    await publisher.close()


@contextmanager
def mortal(url: str) -> Iterator[subprocess.Popen[str]]:
    """A consumer in a process of its own, which waits for messages and keeps the first for ever."""
    words = [sys.executable, "-c", CHILD, url]
    child = subprocess.Popen(
        words, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": child_path()}
    )
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


async def said(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return (await asyncio.to_thread(child.stdout.readline)).strip()


async def publish(publisher: Publisher, key: str) -> None:
    for _ in range(60):  # until the proxy has heard of the topic
        try:
            if await publisher.publish([Message(key, ORDER_EVENTS, key, "order.paid", b"{}")]):
                return
        except BrokerUnavailable:
            pass
        await asyncio.sleep(0.5)
    raise AssertionError("nothing could be published")


async def arrives(url: str, key: str) -> None:
    """A living consumer of the group gets the message, and nothing became a dead letter."""
    came = asyncio.Event()

    async def take(delivery: Delivery) -> bool:
        if delivery.key == key:
            came.set()
        return True

    consumer = open_consumer(url, take, group=GROUP, topic=ORDER_EVENTS)
    assert consumer is not None
    await consumer.open()
    try:
        async with asyncio.timeout(WAIT_S):
            await came.wait()
    finally:
        await consumer.close()
    assert sum((await dead_letters(url)).values()) == 0


async def test_messages_of_a_killed_consumer_go_to_the_next(url: str, publisher: Publisher) -> None:
    with mortal(url) as child:
        assert await said(child) == "ready"
        await publish(publisher, "1")
        assert await said(child) == "taken"
    await arrives(url, "1")


async def test_connections_of_dead_consumers_turn_no_message_into_a_dead_letter(
    url: str, publisher: Publisher
) -> None:
    with ExitStack() as crowd:
        children = [crowd.enter_context(mortal(url)) for _ in range(DEATHS)]
        assert [await said(child) for child in children] == ["ready"] * DEATHS
    await publish(publisher, "1")  # the broker hands it to each dead connection, one after the other
    await arrives(url, "1")
