"""A publisher that is closed while it still starts, as at a stop signal during the start."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace

import pytest

from shop_order.pkg.message.rocketmq import RocketMQAddress, publisher


async def test_a_producer_that_starts_late_is_shut_down(monkeypatch: pytest.MonkeyPatch) -> None:
    imported, calls = threading.Event(), list[str]()
    producer = SimpleNamespace(
        startup=lambda: calls.append("startup"), shutdown=lambda: calls.append("shutdown")
    )

    def slow_library() -> SimpleNamespace:
        imported.wait(5)
        return SimpleNamespace(Producer=lambda configuration: producer)

    monkeypatch.setattr(publisher, "library", slow_library)
    monkeypatch.setattr(publisher, "configuration", lambda address: None)
    messages = publisher.RocketPublisher(RocketMQAddress(("127.0.0.1:8081",)))
    opening = asyncio.create_task(messages.open())
    await asyncio.sleep(0)  # until it is in its thread
    opening.cancel()
    threading.Timer(0.2, imported.set).start()
    await messages.close()
    assert calls == ["startup", "shutdown"]
