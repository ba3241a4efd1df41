"""Events become the neighbours' work once, in order per order, and are accepted only when it is done."""

import json
from typing import Any

import grpc
import httpx

from shop_order.api.proto.shop import neighbours_pb2 as pb
from shop_order.api.proto.shop.neighbours_pb2_grpc import EventInboxStub
from shop_sandbox.inbox import MAX_ATTEMPTS
from shop_sandbox.server import Sandbox

GOODS = 101


def event(event_id: int, kind: str, version: int, *, sn: str = "A", **data: Any) -> bytes:
    status = {
        "order.created": 1,
        "order.paid": 2,
        "order.shipped": 3,
        "order.completed": 4,
        "order.cancelled": 5,
    }
    return json.dumps(
        {
            "specversion": "1.0",
            "id": str(event_id),
            "source": "/order-service",
            "type": kind,
            "subject": sn,
            "time": "2026-11-21T00:00:00.000Z",
            "datacontenttype": "application/json",
            "data": {
                "version": version,
                "user_id": 7,
                "old_status": max(version - 1, 0),
                "new_status": status.get(kind, 1),
                "operator": "user",
                "operator_id": 7,
                "reason": "",
                **data,
            },
        }
    ).encode()


def created(event_id: int = 1, sn: str = "A") -> bytes:
    lines = [{"goods_id": GOODS, "nums": 2, "price_fen": 500}]
    return event(
        event_id, "order.created", 1, sn=sn, lines=lines, pay_fen=1000, total_fen=1000, expire_at_ms=1
    )


async def reserve(sandbox: Sandbox, *order_sns: str) -> None:
    lines = [pb.Line(goods_id=GOODS, nums=2)]
    requests = [pb.ReserveRequest(order_sn=one, lines=lines) for one in order_sns]
    reply = await sandbox.inventory.reserve(pb.ReserveRequests(requests=requests))
    assert all(one.ok for one in reply.results)


async def deliver(channel: grpc.aio.Channel, *bodies: bytes) -> list[str]:
    reply = await EventInboxStub(channel).Deliver(pb.EventBatch(cloud_events=bodies))
    return sorted(reply.accepted_ids)


async def lease_states(sandbox: Sandbox) -> dict[str, str]:
    listed = (await sandbox.inventory.list_leases(pb.LeaseFilter())).leases
    return {one.order_sn: one.state for one in listed}


async def test_an_order_from_created_to_completed(sandbox: Sandbox, channel: grpc.aio.Channel) -> None:
    await reserve(sandbox, "A")
    story = [
        created(),
        event(2, "payment.opened", 2),
        event(3, "order.paid", 3, old_status=1),
        event(4, "order.shipped", 4, logistics_company="顺丰", logistics_no="SF1"),
        event(5, "order.completed", 5),
    ]
    assert await deliver(channel, *story) == ["1", "2", "3", "4", "5"]
    assert await deliver(channel, *story) == ["1", "2", "3", "4", "5"], "redelivery is accepted"
    assert await lease_states(sandbox) == {"A": "confirmed"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{sandbox.http_port}", trust_env=False) as client:
        notifications = (await client.get("/admin/notifications")).json()
        sales = (await client.get("/admin/sales")).json()
        consumption = (await client.get("/admin/consumption")).json()
    assert [(one["order_sn"], "SF1" in one["text"]) for one in notifications] == [("A", True)]
    assert sales == [{"goods_id": GOODS, "orders": 1, "nums": 2, "amount_fen": 1000}]
    assert [(one["order_sn"], one["pay_fen"]) for one in consumption] == [("A", 1000)]


async def test_a_cancelled_order_gives_its_stock_back_and_a_refunded_one_does_not(
    sandbox: Sandbox, channel: grpc.aio.Channel
) -> None:
    await reserve(sandbox, "A", "B")
    assert await deliver(channel, event(1, "order.cancelled", 2, old_status=1)) == ["1"]
    paid_then_refunded = [
        event(2, "order.paid", 2, sn="B", old_status=1),
        event(3, "order.cancelled", 3, sn="B", old_status=2),
    ]
    assert await deliver(channel, *paid_then_refunded) == ["2", "3"]
    assert await lease_states(sandbox) == {"A": "released", "B": "confirmed"}


async def test_copies_move_only_to_a_higher_version(sandbox: Sandbox, channel: grpc.aio.Channel) -> None:
    await deliver(channel, event(4, "order.shipped", 4))
    await deliver(channel, event(2, "payment.opened", 2))
    assert await sandbox.inbox.rows("orders") == [{"order_sn": "A", "version": 4, "status": 3, "user_id": 7}]


async def test_what_could_not_be_done_is_not_accepted_and_holds_back_only_its_own_order(
    sandbox: Sandbox, channel: grpc.aio.Channel
) -> None:
    await reserve(sandbox, "B")
    batch = [
        created(1, "A"),
        event(2, "order.paid", 2, sn="A", old_status=1),
        event(3, "order.shipped", 3, sn="A"),
        event(4, "order.paid", 2, sn="B", old_status=1),
        event(5, "order.shipped", 3, sn="B"),
    ]
    assert await deliver(channel, *batch) == ["1", "4", "5"], "nobody knows a lease of order A"
    assert [one["order_sn"] for one in await sandbox.inbox.rows("notifications")] == ["B"]
    await reserve(sandbox, "A")
    assert await deliver(channel, *batch) == ["1", "2", "3", "4", "5"]
    assert await lease_states(sandbox) == {"A": "confirmed", "B": "confirmed"}
    assert len(await sandbox.inbox.rows("notifications")) == 2


async def test_poison_ends_among_the_dead_letters(sandbox: Sandbox, channel: grpc.aio.Channel) -> None:
    batch = [event(1, "order.paid", 2, old_status=1), event(2, "order.shipped", 3)]
    for _ in range(MAX_ATTEMPTS - 1):
        assert await deliver(channel, *batch) == []
    assert await deliver(channel, *batch) == ["1", "2"]
    letters = await sandbox.inbox.rows("dead-letters")
    assert [(one["event_id"], one["why"]) for one in letters] == [("1", "inventory answered UNKNOWN")]
    assert sandbox.inbox.dead_letters == 1


async def test_damaged_events_do_not_stop_the_others(sandbox: Sandbox, channel: grpc.aio.Channel) -> None:
    damaged = [b"{", b"[]", b'{"specversion":"1.0","id":"9","type":"order.paid","subject":"A","data":[]}']
    assert await deliver(channel, *damaged, event(1, "order.created", 1, lines=[{}]), created(2, "B")) == [
        "2"
    ]


async def test_everything_is_there_after_a_restart(sandbox: Sandbox, channel: grpc.aio.Channel) -> None:
    await reserve(sandbox, "A")
    await deliver(channel, created(), event(2, "order.paid", 2, old_status=1))
    again = Sandbox(sandbox.settings)
    for database in (again.inbox_db, again.inventory_db):
        database.open()
    reply = await again.inbox.deliver(pb.EventBatch(cloud_events=[created(), event(3, "order.completed", 3)]))
    assert sorted(reply.accepted_ids) == ["1", "3"]
    assert [one["nums"] for one in await again.inbox.rows("sales")] == [2]
    for database in (again.inbox_db, again.inventory_db):
        await database.close()
