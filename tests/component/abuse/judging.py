"""Whether an answer is the promised one, and tells nothing of our insides."""

from __future__ import annotations

import asyncio
import builtins
import re
import sys
from functools import cache

from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.component.abuse.acts import Expect
from tests.component.abuse.calls import Answer
from tests.shop import Shop

# What only a developer should ever read. Class names are looked for below.
LEAKS = re.compile(
    r"Traceback|File \"|line \d+, in|\.py\b|sqlite|SQLSTATE|\b(SELECT|INSERT|UPDATE|DELETE|PRAGMA) "
    r"|order_info|shop_(order|sandbox)\.\w|pydantic|fastapi|starlette|grpc\._|/etc/passwd|0x[0-9a-f]{6,}",
)


def must_be(answer: Answer, expect: Expect) -> None:
    """Status and reason; a notice over HTTP is answered by a word."""
    if isinstance(answer.status, int):
        assert answer.status == expect.http, answer.said
    else:
        assert answer.status is expect.grpc, answer.said
    if answer.headers.get("content-type", "").startswith("text/plain"):
        assert answer.data == ("failure" if expect.reason else "success")
    else:
        assert answer.reason == expect.reason, answer.said


def must_not_leak(answer: Answer) -> None:
    """No stack, no SQL, no module and no class of ours or Python's."""
    assert not LEAKS.search(answer.said), answer.said
    assert not inner_names() & set(re.findall(r"\w+", answer.said)), answer.said


@cache
def inner_names() -> set[str]:
    """Names of classes: of our modules where they can't be words, and of Python's errors."""
    ours = {
        name
        for module in list(sys.modules)
        if module.startswith("shop_order.") and ".proto" not in module
        for name, value in vars(sys.modules[module]).items()
        if isinstance(value, type) and re.search(r"[a-z][A-Z]", name)
    }
    return ours | {name for name in vars(builtins) if name.endswith(("Error", "Exception"))}


async def must_be_alive(shop: Shop) -> None:
    """Both fronts answer. Readiness may lag: a look may have met the database that row 67 took away."""
    assert (await shop.http.get("/healthz")).status_code == 200
    assert shop.channel is not None
    health = health_pb2_grpc.HealthStub(shop.channel)
    for _ in range(150):
        answer = await health.Check(health_pb2.HealthCheckRequest())
        if answer.status == health_pb2.HealthCheckResponse.SERVING:
            return
        await asyncio.sleep(0.1)
    raise AssertionError("it says that it serves nobody")
