"""What tests of balance payments do and see, over the whole Shop."""

from __future__ import annotations

import json
from typing import Any

from shop_order.api.proto.shop import neighbours_pb2 as pb
from shop_order.api.proto.shop.neighbours_pb2_grpc import EventInboxStub
from shop_order.domain.status import PaymentState
from shop_order.domain.valueobject.parties import Role
from tests.shop import Shop

GOODS_FEN = 16_800  # goods 101
POOR = 8  # has 500 yuan


async def pay(shop: Shop, order_sn: str, user: int = 7, by: str = "balance") -> str:
    """An attempt: its number."""
    answer = await shop.http.post(
        f"/api/v1/orders/{order_sn}/pay", json={"payment_type": by}, headers=shop.bearer(user)
    )
    assert answer.status_code == 200, answer.text
    number: str = answer.json()["data"]["payment_sn"]
    return number


async def attempt(shop: Shop, payment_sn: str) -> Any:
    """The attempt as it is stored."""
    return await shop.core.store.payments.find(payment_sn)


async def until_state(shop: Shop, payment_sn: str, *states: PaymentState) -> None:
    async def reached() -> bool:
        return (await attempt(shop, payment_sn)).state in states

    await shop.until(reached)


async def balance(shop: Shop, user: int = 7) -> int:
    return int((await shop.sandbox.users.get_balance(pb.UserId(user_id=user))).balance_fen)


async def ledger(shop: Shop) -> list[tuple[str, int, str]]:
    """(kind, fen, number) of every entry that is not a deposit."""
    entries = (await shop.sandbox.users.list_ledger(pb.LedgerFilter())).entries
    return [
        (one.kind, one.amount_fen, one.refund_sn or one.payment_sn)
        for one in entries
        if one.kind != "deposit"
    ]


def answer(kind: str, payment_sn: str, *, id: str = "e-1", **data: Any) -> bytes:
    """An event as the wallet sends it."""
    told = {"payment_sn": payment_sn, "user_id": 7, "amount_fen": GOODS_FEN} | data
    event = {"specversion": "1.0", "id": id, "source": "wallet", "type": kind, "data": told}
    return json.dumps(event).encode()


async def deliver(shop: Shop, *bodies: bytes, role: Role = Role.SERVICE, name: str = "wallet") -> list[str]:
    """Call our inbox; the accepted ids."""
    assert shop.channel is not None
    metadata = (("authorization", f"Bearer {shop.token(role=role, subject=name)}"),)
    result = await EventInboxStub(shop.channel).Deliver(pb.EventBatch(cloud_events=bodies), metadata=metadata)
    return list(result.accepted_ids)


def alerts(shop: Shop, name: str) -> float:
    return float(shop.core.metrics.alerts.labels(name)._value.get())


async def hold_answers(shop: Shop) -> None:
    """From now on the wallet can't reach us."""
    shop.sandbox.wallet_link.use("127.0.0.1:1")


async def let_answers_go(shop: Shop) -> None:
    shop.sandbox.wallet_link.use(shop.grpc_address)
    shop.sandbox.answers.hint()
