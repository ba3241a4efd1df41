"""A balance payment and its refund, cut off at each step: each comes right by itself, and once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from shop_order.api.proto.shop import neighbours_pb2 as pb
from shop_order.domain.errors import DependencyDown
from tests.faults.cuts import Cut, die_and_come_back
from tests.shop import Shop

pytestmark = pytest.mark.engine("sqlite", "memory", "embedded")

FEN = 16_800  # one of goods 101
PAID, CANCELLED = 2, 5
STEPS: dict[str, Callable[[Any], Cut]] = {
    "before the attempt is stored": lambda core: Cut(core.store.orders, "change"),
    "the attempt is stored": lambda core: Cut(core.store.orders, "change", after=True),
    "before a command is sent": lambda core: Cut(core.publisher, "publish"),
    "a command was taken": lambda core: Cut(core.publisher, "publish", after=True),
    "before an answer is stored": lambda core: Cut(core.wallet_answers, "take"),
    "an answer is stored": lambda core: Cut(core.wallet_answers, "take", after=True),
}


async def pay(shop: Shop, order_sn: str) -> None:
    body = {"payment_type": "balance"}
    headers = shop.bearer() | {"Idempotency-Key": "pay"}
    await shop.http.post(f"/api/v1/orders/{order_sn}/pay", json=body, headers=headers)


async def ledger(shop: Shop) -> list[int]:
    entries = (await shop.sandbox.users.list_ledger(pb.LedgerFilter())).entries
    return [entry.amount_fen for entry in entries if entry.payment_sn]


async def until_ledger(shop: Shop, *fen: int) -> None:
    async def there() -> bool:
        return await ledger(shop) == list(fen)

    await shop.until(there)


async def until_status(shop: Shop, order_sn: str, status: int, refund_status: int = 0) -> None:
    async def reached() -> bool:
        order = await shop.order(order_sn)
        return (order["status"], order["refund_status"]) == (status, refund_status)

    await shop.until(reached)


@pytest.mark.parametrize("step", STEPS)
async def test_a_debit_survives_a_death_at_each_step(shop: Shop, step: str) -> None:
    order_sn = (await shop.place())["order_sn"]
    await until_published(shop)
    cut = STEPS[step](shop.core)
    lost = asyncio.create_task(pay(shop, order_sn))
    await asyncio.wait_for(cut.reached.wait(), 10)
    await die_and_come_back(shop, cut)
    await asyncio.gather(lost, return_exceptions=True)
    await pay(shop, order_sn)  # the buyer tries again
    await until_status(shop, order_sn, PAID)
    assert await ledger(shop) == [-FEN]
    await shop.check_doctor()


@pytest.mark.parametrize("step", [*STEPS][2:])
async def test_a_refund_survives_a_death_at_each_step(shop: Shop, step: str) -> None:
    order_sn = (await shop.place())["order_sn"]
    shop.sandbox.wallet_link.use("127.0.0.1:1")  # its answers wait
    await pay(shop, order_sn)
    await until_ledger(shop, -FEN)
    await shop.http.post(f"/api/v1/orders/{order_sn}/cancel", json={}, headers=shop.bearer())
    await until_published(shop)
    sent: asyncio.Event = asyncio.Event()
    send = shop.core.publisher.publish

    async def watched(messages: Any) -> Any:
        if any(message.tag == "wallet.refund_requested" for message in messages):
            sent.set()
            await asyncio.sleep(0)
        return await send(messages)

    shop.core.publisher.publish = watched
    if "answer" in step:  # the answer to the refund, not to the debit
        shop.sandbox.wallet_link.use(shop.grpc_address)
        shop.sandbox.answers.hint()
        await asyncio.wait_for(sent.wait(), 10)
        cut = STEPS[step](shop.core)
    else:
        cut = await _cut_at_the_refund(shop, step, watched)
    await asyncio.wait_for(cut.reached.wait(), 10)
    await die_and_come_back(shop, cut)
    await until_status(shop, order_sn, CANCELLED, 2)
    assert await ledger(shop) == [-FEN, FEN]
    await shop.check_doctor()


async def _cut_at_the_refund(shop: Shop, step: str, publish: Any) -> Cut:
    """Stop the publication of the refund's command, not an earlier one."""

    class Refunds:
        """The publications that carry a refund."""

        async def publish(self, messages: Any) -> Any:
            return await publish(messages)

    refunds = Refunds()
    cut = Cut(refunds, "publish", after=step == "a command was taken")

    async def sorted_out(messages: Any) -> Any:
        refund = any(message.tag == "wallet.refund_requested" for message in messages)
        return await (refunds.publish if refund else publish)(messages)

    shop.core.publisher.publish = sorted_out
    shop.sandbox.wallet_link.use(shop.grpc_address)
    shop.sandbox.answers.hint()
    return cut


async def test_an_answer_whose_reply_is_lost_is_taken_again(shop: Shop) -> None:
    order_sn = (await shop.place())["order_sn"]
    cut = Cut(shop.core.wallet_answers, "take", after=True, error=DependencyDown("order_database"))
    await pay(shop, order_sn)
    await asyncio.wait_for(cut.reached.wait(), 10)
    await until_status(shop, order_sn, PAID)

    async def nothing_waits() -> bool:
        sql = "SELECT count(*) FROM wallet_answer"
        found = await shop.sandbox.users_db.run(lambda db: db.execute(sql).fetchone())
        return bool(found[0] == 0)

    await shop.until(nothing_waits)
    assert await ledger(shop) == [-FEN]
    await shop.check_doctor()


async def until_published(shop: Shop) -> None:
    async def published() -> bool:
        return bool((await shop.core.store.outbox.lag())[0] == 0)

    await shop.until(published)
