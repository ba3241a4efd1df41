"""The row about taking all the places of gRPC: what others get meanwhile, and what readiness says."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from grpc_health.v1 import health_pb2, health_pb2_grpc

from shop_order.api.proto import order_pb2 as pb
from tests.component.abuse.acts import OK, Act, Expect, Row, order, row
from tests.component.abuse.calls import ORDER, Answer, Scene
from tests.component.abuse.promises import FORGED
from tests.component.grpc.raw import crowd

_HEALTH = "grpc.health.v1.Health"
_NOTICE = pb.NotifyPaymentRequest(order_sn="261123134500123456789012349", trade_no="1", sign="forged")
_SERVED_S = 20.0


async def buying(scene: Scene) -> Answer:
    """A buyer's order."""
    return await order().sends["9.1"](scene)


async def notifying(scene: Scene) -> Answer:
    """A notice is judged; this one is forged."""
    return await scene.grpc(f"{ORDER}/NotifyPayment", _NOTICE)


async def is_serving(scene: Scene) -> bool:
    """What a health check says."""
    assert scene.shop.channel is not None
    check = await health_pb2_grpc.HealthStub(scene.shop.channel).Check(health_pb2.HealthCheckRequest())
    return bool(check.status == health_pb2.HealthCheckResponse.SERVING)


async def asking(scene: Scene) -> Answer:
    """A health check, and what `/readyz` says."""
    assert await is_serving(scene)
    ready = await readiness(scene)
    assert "grpc" not in ready["missing"]
    return Answer(OK.grpc)


async def readiness(scene: Scene) -> Mapping[str, list[str]]:
    """The body of `/readyz` once it is 200; the crowd's callers share our loop and may delay the database."""
    while (answer := await scene.shop.http.get("/readyz")).status_code != 200:  # noqa: ASYNC110 - the same
        await asyncio.sleep(0.1)
    found: Mapping[str, list[str]] = answer.json()
    return found


def under(
    name: str, path: str, *, connections: int, calls: int, body: bytes | None = None
) -> tuple[Act, ...]:
    """Three callers, each while somebody else does this."""

    def act(who: str, expect: Expect) -> Act:
        async def send(scene: Scene) -> Answer:
            async with asyncio.timeout(_SERVED_S):  # an earlier row may have taken the database away
                while not await is_serving(scene):  # noqa: ASYNC110 - a service in the same process
                    await asyncio.sleep(0.1)
            port = scene.shop.ports["grpc"]
            async with crowd(port, path, connections=connections, calls=calls, body=body):
                async with asyncio.timeout(_SERVED_S):
                    return await {"a buyer": buying, "a notice": notifying, "a check": asking}[who](scene)

        return Act(f"{who}: {name}", {"9.1": send}).gets(expect)

    return act("a buyer", OK), act("a notice", FORGED), act("a check", OK)


ROWS: tuple[Row, ...] = (
    row(
        73,
        "calls without their message, and watches, by the thousand",
        OK,
        *under("4096 on a connection", f"/{ORDER}/CreateOrder", connections=1, calls=4096),
        *under("100 on each of 41", f"/{ORDER}/CreateOrder", connections=41, calls=100),
        *under("100 watches on each of 41", f"/{_HEALTH}/Watch", connections=41, calls=100, body=b""),
        *under("600 watches on one", f"/{_HEALTH}/Watch", connections=1, calls=600, body=b""),
    ),
)
