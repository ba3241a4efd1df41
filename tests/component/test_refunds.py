"""Refunds through the public interfaces, on both gRPC transports: roles, keys, crowds, bad input."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from shop_order.api.client import (
    FailedPrecondition,
    IllegalTransition,
    InvalidArgument,
    NotFound,
    NotRefundable,
    OrderClient,
    OrderItemRequest,
    PermissionDenied,
    RefundOpen,
    RequestRefundRequest,
    Unauthenticated,
    UseRefund,
    new_order_client,
)
from shop_order.api.proto import order_pb2 as pb
from shop_order.api.proto.shop import neighbours_pb2
from shop_order.domain.valueobject.parties import Role
from tests.shop import Shop

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.engine("sqlite", "memory", "embedded")]

NO_REFUND = "R251123140000000000001234563"


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["grpcio", "native"])
async def shop(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Shop]:
    """The whole Shop on this transport; from 100 yuan on, two admins approve."""
    settings = {
        "SERVER__GRPC_TRANSPORT": request.param,
        "REFUND__SECOND_APPROVAL_FEN": "10000",
        "PRICING__FREIGHT_FEN": "800",
    }
    async with Shop(tmp_path_factory.mktemp("shop"), **settings) as running:
        await running.sandbox.inventory.set_stock(101, 1_000_000)
        await running.sandbox.inventory.set_stock(109, 1_000_000)
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def buyer(shop: Shop) -> AsyncIterator[OrderClient]:
    async with new_order_client(shop.grpc_address, token=shop.token(7), timeout_s=20) as client:
        yield client


def admin(shop: Shop, buyer: OrderClient, user: int = 1) -> OrderClient:
    return buyer.with_token(shop.token(user, role=Role.ADMIN))


async def ended(buyer: OrderClient, refund_sn: str, *states: str) -> pb.RefundInfo:
    """The refund, once it is in one of these states."""
    for _ in range(200):
        refund = await buyer.get_refund(refund_sn)
        if refund.state in states:
            return refund
        await asyncio.sleep(0.05)
    raise AssertionError(f"{refund.state} instead of {states}")


async def stock(shop: Shop, goods: int) -> int:
    """What can be sold of it."""
    found = await shop.sandbox.inventory.get_stock(neighbours_pb2.GoodsIds(ids=[goods]))
    return int(found.stocks[0].available)


async def shipped(shop: Shop, **order: Any) -> str:
    sn = str((await shop.paid(**order))["order_sn"])
    await shop.ship(sn)
    return sn


async def test_a_whole_refund_before_shipping_cancels_the_order_and_returns_goods(
    shop: Shop, buyer: OrderClient
) -> None:
    order = await shop.paid(goods=109, nums=2)
    before = await stock(shop, 109)
    refund = await buyer.request_refund(RequestRefundRequest(order["order_sn"], reason="不想要了"))
    assert (refund.amount_fen, refund.freight_fen) == (order["pay_fen"], 800)
    assert (refund.state, refund.state_desc, refund.type) == ("requested", "待审核", "refund_only")
    operator = admin(shop, buyer)
    with pytest.raises(RefundOpen):
        await operator.ship_order(order["order_sn"], "SF", "SF1")
    with pytest.raises(UseRefund):
        await buyer.cancel_order(order["order_sn"])
    approved = await operator.approve_refund(refund.refund_sn, reason="同意")
    if approved.approvals == 1 and approved.state == "requested":
        await admin(shop, buyer, 2).approve_refund(refund.refund_sn)
    done = await ended(buyer, refund.refund_sn, "succeeded")
    assert done.out_refund_no == done.refund_sn
    shown = await shop.order(order["order_sn"])
    assert (shown["status"], shown["refund_status"], shown["cancel_code"]) == (5, 2, "BUYER")

    async def returned() -> bool:
        return await stock(shop, 109) == before + 2

    await shop.until(returned)
    await shop.check_doctor()


async def test_a_part_after_shipping_and_then_a_return_of_the_rest(shop: Shop, buyer: OrderClient) -> None:
    order_sn = await shipped(shop, goods=109, nums=3)
    operator, before = admin(shop, buyer), await stock(shop, 109)
    part = await buyer.request_refund(RequestRefundRequest(order_sn, amount_fen=1, reason="包装破损"))
    await operator.approve_refund(part.refund_sn)
    await ended(buyer, part.refund_sn, "succeeded")
    items = [OrderItemRequest(109, 2)]
    back = await buyer.request_refund(RequestRefundRequest(order_sn, items, reason="尺寸", type="return"))
    with pytest.raises(IllegalTransition):
        await buyer.send_return_parcel(back.refund_sn, "中通", "ZT1")
    await operator.approve_refund(back.refund_sn, freight_fen=800)
    await buyer.send_return_parcel(back.refund_sn, "中通", "ZT1")
    with pytest.raises(IllegalTransition):
        await buyer.withdraw_refund(back.refund_sn)
    with pytest.raises(RefundOpen):
        await buyer.confirm_receipt(order_sn)
    assert await stock(shop, 109) == before, "nothing came back yet"
    await operator.receive_return(back.refund_sn)
    done = await ended(buyer, back.refund_sn, "succeeded")
    assert (done.freight_fen, done.parcel_no, done.items[0].quantity) == (800, "ZT1", 2)
    await operator.receive_return(back.refund_sn)

    async def returned() -> bool:
        return await stock(shop, 109) == before + 2

    await shop.until(returned)
    await buyer.confirm_receipt(order_sn)
    shown = await shop.order(order_sn)
    assert (shown["status"], shown["refund_status"], len(shown["refunds"])) == (4, 3, 2)
    listed = (await shop.http.get(f"/api/v1/refunds?order_sn={order_sn}", headers=shop.bearer())).json()
    assert listed["data"]["items"] == shown["refunds"][::-1]
    assert done.shares_fen == [line["share_fen"] for line in listed["data"]["items"][0]["items"]]
    assert sum(done.shares_fen) == done.amount_fen - 800
    assert {log["action"] for log in shown["logs"]} >= {"refund.parcel_sent", "refund.returned"}
    await shop.check_doctor()


async def test_each_role_may_do_what_the_table_says(shop: Shop, buyer: OrderClient) -> None:
    order_sn = str((await shop.paid(goods=109))["order_sn"])
    operator, stranger = admin(shop, buyer), buyer.with_token(shop.token(8))
    alone = buyer.with_token(shop.token(role=Role.SERVICE, subject="shop"))
    acting = buyer.with_token(shop.token(role=Role.SERVICE, subject="shop", act_for=7))
    wish = RequestRefundRequest(order_sn, amount_fen=1)
    for client, error in ((operator, PermissionDenied), (alone, PermissionDenied), (stranger, NotFound)):
        with pytest.raises(error):
            await client.request_refund(wish)
    with pytest.raises(Unauthenticated):
        await buyer.with_token("").request_refund(wish)
    sn = (await acting.request_refund(wish)).refund_sn
    assert (await operator.get_refund(sn)).user_id == 7
    for client in (buyer, acting, stranger, alone):
        for call in (
            client.approve_refund(sn),
            client.reject_refund(sn, "x"),
            client.receive_return(sn),
            client.resend_refund(sn),
            client.settle_refund(sn, "x"),
        ):
            with pytest.raises(PermissionDenied):
                await call
    for call in (stranger.get_refund(sn), stranger.withdraw_refund(sn), buyer.get_refund(NO_REFUND)):
        with pytest.raises(NotFound):
            await call
    for call in (operator.withdraw_refund(sn), operator.send_return_parcel(sn, "SF", "1")):
        with pytest.raises(PermissionDenied):
            await call
    assert sn in [refund.refund_sn for refund in (await buyer.list_refunds(state="requested")).refunds]
    assert not (await stranger.list_refunds()).refunds
    assert not (await stranger.list_refunds(order_sn=order_sn)).refunds
    assert [refund.refund_sn for refund in (await buyer.list_refunds(order_sn=order_sn)).refunds] == [sn]
    assert sn in [refund.refund_sn for refund in (await operator.list_refunds(user_id=7)).refunds]
    with pytest.raises(PermissionDenied):
        await stranger.list_refunds(user_id=7)
    assert (await acting.withdraw_refund(sn)).state == "withdrawn"
    assert (await buyer.withdraw_refund(sn)).state == "withdrawn"


async def test_fifty_identical_requests_at_once_are_one_refund_over_both_protocols(
    shop: Shop, buyer: OrderClient
) -> None:
    order_sn = str((await shop.paid(goods=109))["order_sn"])
    url, me = f"/api/v1/orders/{order_sn}/refunds", shop.bearer() | {"Idempotency-Key": "fifty"}
    calls: list[Any] = []
    for n in range(50):
        if n % 2:
            calls.append(shop.http.post(url, json={"amount_fen": 1}, headers=me))
        else:
            calls.append(
                buyer.request_refund(RequestRefundRequest(order_sn, amount_fen=1), idempotency_key="fifty")
            )
    found = await asyncio.gather(*calls)
    numbers = {
        one.refund_sn if isinstance(one, pb.RefundInfo) else one.json()["data"]["refund_sn"] for one in found
    }
    assert len(numbers) == 1
    answer = await shop.http.post(url, json={"amount_fen": 1}, headers=me)
    assert answer.headers["Idempotency-Replayed"] == "true"
    other = await shop.http.post(url, json={"amount_fen": 2}, headers=me)
    assert (other.status_code, other.json()["error"]) == (422, "KEY_REUSED")
    assert len((await shop.order(order_sn))["refunds"]) == 1


async def test_fifty_without_a_key_ask_for_the_money_once(shop: Shop) -> None:
    order_sn = str((await shop.paid(goods=109))["order_sn"])
    url = f"/api/v1/orders/{order_sn}/refunds"
    found = await asyncio.gather(*(shop.http.post(url, json={}, headers=shop.bearer()) for _ in range(50)))
    assert Counter(one.status_code for one in found) == {200: 1, 409: 49}
    assert {one.json()["error"] for one in found if one.status_code == 409} <= {
        "NOT_REFUNDABLE",
        "TOO_MUCH_CONTENTION",
    }


async def test_two_admins_at_once_refund_once(shop: Shop, buyer: OrderClient) -> None:
    order = await shop.paid(goods=109)
    sn = (await buyer.request_refund(RequestRefundRequest(order["order_sn"], amount_fen=1))).refund_sn
    first, second = admin(shop, buyer), admin(shop, buyer, 2)
    await asyncio.gather(*(client.approve_refund(sn) for client in (first, second) * 5))
    await ended(buyer, sn, "succeeded")
    types = Counter(event.type for event in await shop.core.store.orders.history(order["order_sn"]))
    assert (types["refund.approved"], types["refund.sent"], types["refund.succeeded"]) == (1, 1, 1)
    payment_sn = order["payment_sn"]
    trade = (await shop.provider.get(f"/alipay/sim/{payment_sn}")).json()
    assert [refund["amount_fen"] for refund in trade["refunds"]] == [1]


async def test_a_large_cancel_needs_two_admins_over_rest_and_grpc(shop: Shop, buyer: OrderClient) -> None:
    order = await shop.paid(goods=101)
    assert order["pay_fen"] >= 10_000
    await admin(shop, buyer).cancel_order(order["order_sn"], reason="缺货")
    for user, path in ((1, "admin/orders"), (2, "admin/orders"), (2, "orders")):
        again = await shop.http.post(
            f"/api/v1/{path}/{order['order_sn']}/cancel", headers=shop.bearer(user, role=Role.ADMIN)
        )
        assert (again.status_code, again.json()["data"]["status"]) == (200, 2)
        assert again.json()["message"] == "全额退款待第二位管理员批准"
    (refund,) = (await shop.order(order["order_sn"]))["refunds"]
    assert (refund["state"], refund["approvals"], refund["requested_by"]) == ("requested", 1, "ADMIN")
    with pytest.raises(FailedPrecondition) as caught:
        await admin(shop, buyer).approve_refund(refund["refund_sn"])
    assert caught.value.reason == "SECOND_APPROVAL_NEEDED"
    await admin(shop, buyer, 2).approve_refund(refund["refund_sn"])
    await ended(buyer, refund["refund_sn"], "succeeded")
    assert (await shop.order(order["order_sn"]))["status"] == 5
    await shop.check_doctor()


BAD: tuple[tuple[dict[str, Any], str], ...] = (
    ({"amount_fen": -1}, "amount_fen"),
    ({"type": "gift"}, "type"),
    ({"reason": "x" * 256}, "reason"),
    ({"reason": "a\u202eb"}, "reason"),
    ({"items": [(109, 0)]}, "items[0].nums"),
    ({"items": [(109, -1)]}, "items[0].nums"),
    ({"items": [(109, 1000)]}, "items[0].nums"),
    ({"items": [(0, 1)]}, "items[0].goods_id"),
)


@pytest.mark.parametrize(("wish", "field"), BAD)
async def test_bad_input_is_refused_alike_in_both_protocols(
    shop: Shop, buyer: OrderClient, wish: dict[str, Any], field: str
) -> None:
    order_sn = str((await shop.paid(goods=109))["order_sn"])
    items = wish.get("items", [])
    with pytest.raises(InvalidArgument) as caught:
        await buyer.request_refund(
            RequestRefundRequest(order_sn, **wish | {"items": [OrderItemRequest(*item) for item in items]})
        )
    assert caught.value.details["field"] == field
    body = wish | ({"items": [{"goods_id": goods, "nums": nums} for goods, nums in items]} if items else {})
    answer = await shop.http.post(f"/api/v1/orders/{order_sn}/refunds", json=body, headers=shop.bearer())
    assert (answer.status_code, answer.json()["details"]["field"]) == (400, field), answer.text
    assert not (await shop.order(order_sn))["refunds"]


@pytest.mark.parametrize("wish", [{}, {"amount_fen": 500}, {"type": "return"}])
async def test_an_empty_list_of_goods_never_means_all(shop: Shop, wish: dict[str, Any]) -> None:
    order_sn = str((await shop.paid(goods=109))["order_sn"])
    path, headers = f"/api/v1/orders/{order_sn}/refunds", shop.bearer()
    answer = await shop.http.post(path, json=wish | {"items": []}, headers=headers)
    found = answer.json()
    assert (answer.status_code, found["error"]) == (400, "INVALID_ARGUMENT"), answer.text
    assert (found["details"]["field"], found["details"]["problem"]) == ("items", "required")
    assert not (await shop.order(order_sn))["refunds"]


@pytest.mark.parametrize(
    ("wish", "problem"),
    [
        ({"amount_fen": 2**53}, "more_than_left"),
        ({"items": [(109, 2)]}, "more_pieces_than_left"),
        ({"items": [(101, 1)]}, "nothing_left"),
        ({"items": [(109, 1), (109, 1)]}, "more_pieces_than_left"),
        ({"items": [(109, 1)], "amount_fen": 2**40}, "more_than_left"),
        ({"type": "return"}, "not_shipped"),
    ],
)
async def test_nobody_gets_more_than_was_paid(
    shop: Shop, buyer: OrderClient, wish: dict[str, Any], problem: str
) -> None:
    order_sn = str((await shop.paid(goods=109))["order_sn"])
    items = [OrderItemRequest(*item) for item in wish.get("items", [])]
    with pytest.raises(NotRefundable) as caught:
        await buyer.request_refund(RequestRefundRequest(order_sn, **wish | {"items": items}))
    assert caught.value.problem == problem


async def test_an_unpaid_or_cancelled_order_is_not_refunded(shop: Shop, buyer: OrderClient) -> None:
    order_sn = str((await shop.place(goods=109))["order_sn"])
    for problem in ("unpaid", "cancelled"):
        with pytest.raises(NotRefundable) as caught:
            await buyer.request_refund(RequestRefundRequest(order_sn))
        assert caught.value.problem == problem
        await buyer.cancel_order(order_sn)


@pytest.mark.parametrize(
    "number", ["", "R", "R1", "P" + NO_REFUND[1:], NO_REFUND[1:], NO_REFUND + "0", "R' OR 1"]
)
async def test_a_number_that_is_none_is_refused_by_every_step(
    shop: Shop, buyer: OrderClient, number: str
) -> None:
    operator = admin(shop, buyer)
    for call in (
        buyer.get_refund(number),
        buyer.withdraw_refund(number),
        buyer.send_return_parcel(number, "SF", "1"),
        operator.approve_refund(number),
        operator.reject_refund(number, "x"),
        operator.receive_return(number),
        operator.resend_refund(number),
        operator.settle_refund(number, "x"),
    ):
        with pytest.raises(InvalidArgument) as caught:
            await call
        assert caught.value.details["field"] == "refund_sn"


async def test_wrong_steps_and_missing_reasons_change_nothing(shop: Shop, buyer: OrderClient) -> None:
    order_sn = str((await shop.paid(goods=109))["order_sn"])
    sn = (await buyer.request_refund(RequestRefundRequest(order_sn))).refund_sn
    operator = admin(shop, buyer)
    for call in (operator.receive_return(sn), operator.resend_refund(sn), operator.settle_refund(sn, "x")):
        with pytest.raises(IllegalTransition):
            await call
    for bad in (operator.reject_refund(sn, ""), operator.approve_refund(sn, freight_fen=-1)):
        with pytest.raises(InvalidArgument):
            await bad
    with pytest.raises(NotRefundable):
        await buyer.request_refund(RequestRefundRequest(order_sn))
    assert (await operator.reject_refund(sn, "已使用")).decision == "已使用"
    for call in (operator.approve_refund(sn), buyer.withdraw_refund(sn)):
        with pytest.raises(IllegalTransition):
            await call
    assert (await operator.reject_refund(sn, "again")).decision == "已使用"


async def test_a_cursor_belongs_to_its_caller_and_filter(shop: Shop, buyer: OrderClient) -> None:
    order_sn = str((await shop.paid(goods=109))["order_sn"])
    for _ in range(3):
        await buyer.withdraw_refund((await buyer.request_refund(RequestRefundRequest(order_sn))).refund_sn)
    first = await buyer.list_refunds(state="withdrawn", page_size=2)
    second = await buyer.list_refunds(state="withdrawn", page_size=2, cursor=first.next_cursor)
    assert not {one.refund_sn for one in first.refunds} & {one.refund_sn for one in second.refunds}
    stranger = buyer.with_token(shop.token(8))
    for client, state, cursor in (
        (stranger, "withdrawn", first.next_cursor),
        (buyer, "rejected", first.next_cursor),
        (buyer, "", first.next_cursor),
        (buyer, "withdrawn", "x"),
    ):
        with pytest.raises(InvalidArgument):
            await client.list_refunds(state=state, cursor=cursor)
    for number in (order_sn, "1"):
        with pytest.raises(InvalidArgument):
            await buyer.list_refunds(state="withdrawn", cursor=first.next_cursor, order_sn=number)
    answer = await shop.http.get("/api/v1/refunds?page_size=1&state=withdrawn", headers=shop.bearer())
    items = answer.json()["data"]["items"]
    assert [item["refund_sn"] for item in items] == [first.refunds[0].refund_sn]
