"""Placing orders and looking at them over REST."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from shop_order.domain.valueobject.parties import Role
from shop_order.service.place import OrderRules
from shop_order.web.dto.responses import OrderDetailData, OrderListData, OrderStatusData
from tests.component.rest.front import PLACE, PUBLIC_URL, Rest, admin, refused, token
from tests.world.shop import World


async def test_an_order_of_listed_items_is_placed_at_todays_prices(rest: Rest) -> None:
    answer = await rest.call("POST", "/orders", PLACE | {"note": "请放门口 🎁"})
    assert answer.json()["message"] == "订单创建成功"
    order = answer.json()["data"]
    assert (order["total_amount"], order["total_fen"]) == ("39.98", 3998)
    assert (order["pay_amount"], order["pay_fen"], order["discount_fen"]) == ("39.98", 3998, 0)
    assert order["status"] == 1
    assert order["pay_type"] is order["paid_at"] is order["logistics"] is None
    assert isinstance(order["id"], str)
    assert order["items"][0]["goods_id"] == "1"
    assert order["pay_url"].startswith(f"{PUBLIC_URL}/api/v1/cashier/{order['order_sn']}?e=")
    assert order["created_at"].endswith("+08:00")
    assert order["note"] == "请放门口 🎁"


async def test_a_checkout_takes_the_checked_lines_out_of_the_cart(rest: Rest) -> None:
    await rest.data("POST", "/cart/items", {"goods_id": 1, "nums": 1})
    await rest.data("POST", "/cart/items", {"goods_id": 2, "nums": 1, "checked": False})
    order = await rest.data("POST", "/orders", {"from": "cart", "address": PLACE["address"]})
    assert [item["goods_id"] for item in order["items"]] == ["1"]
    cart = await rest.data("GET", "/cart")
    assert [item["goods_id"] for item in cart["items"]] == ["2"]
    again = await rest.call("POST", "/orders", {"from": "cart", "address": PLACE["address"]})
    refused(again, 400, "EMPTY_ORDER")


async def test_an_address_may_come_from_the_address_book(rest: Rest) -> None:
    order = await rest.data("POST", "/orders", {"items": PLACE["items"], "address_id": "71"})
    assert order["address"]["name"] == "王小明"
    refused(
        await rest.call("POST", "/orders", {"items": PLACE["items"], "address_id": 72}),
        404,
        "ADDRESS_NOT_FOUND",
    )
    rest.world.addresses.down = True
    down = await rest.call("POST", "/orders", {"items": PLACE["items"], "address_id": 71})
    refused(down, 503, "DEPENDENCY_DOWN")
    assert down.headers["retry-after"] == "1"


async def test_a_retry_finds_its_order_whatever_became_of_the_address_book(rest: Rest) -> None:
    body, key = {"items": PLACE["items"], "address_id": "71"}, {"Idempotency-Key": "k"}
    first = await rest.data("POST", "/orders", body, headers=key)
    book = rest.world.addresses
    book.entries[7, 71] = replace(book.entries[7, 71], detail="解放路 2 号")
    moved = await rest.call("POST", "/orders", body, headers=key)
    book.entries.clear()
    removed = await rest.call("POST", "/orders", body, headers=key)
    book.down = True
    away = await rest.call("POST", "/orders", body, headers=key)
    for again in (moved, removed, away):
        assert again.headers["Idempotency-Replayed"] == "true", again.text
        assert again.json()["data"]["order_sn"] == first["order_sn"]
        assert again.json()["data"]["address"]["detail"] == "人民路 1 号"
    other = await rest.call("POST", "/orders", body | {"address_id": "72"}, headers=key)
    refused(other, 422, "KEY_REUSED")


@pytest.mark.parametrize(
    ("change", "status", "error"),
    [
        ({"items": [{"goods_id": 1, "nums": -1}]}, 400, "INVALID_ARGUMENT"),
        ({"items": [{"goods_id": 1, "nums": 1000}]}, 400, "INVALID_ARGUMENT"),
        ({"items": [{"goods_id": 1, "nums": "2"}]}, 400, "INVALID_ARGUMENT"),
        ({"items": [{"goods_id": 1, "nums": 2.0}]}, 400, "INVALID_ARGUMENT"),
        ({"items": [{"goods_id": True, "nums": 2}]}, 400, "INVALID_ARGUMENT"),
        ({"items": [{"goods_id": "1e3", "nums": 2}]}, 400, "INVALID_ARGUMENT"),
        ({"items": [{"goods_id": 2**70, "nums": 2}]}, 400, "INVALID_ARGUMENT"),
        ({"items": [{"goods_id": n, "nums": 1} for n in range(1, 102)]}, 400, "INVALID_ARGUMENT"),
        ({"items": []}, 400, "EMPTY_ORDER"),
        ({"items": "cart"}, 400, "INVALID_ARGUMENT"),
        ({"from": "cart"}, 400, "INVALID_ARGUMENT"),
        ({"from": "heaven", "items": None}, 400, "INVALID_ARGUMENT"),
        ({"address": None}, 400, "INVALID_ARGUMENT"),
        ({"address_id": 71}, 400, "INVALID_ARGUMENT"),
        ({"address": {"name": "王", "phone": "123", "detail": "x"}}, 400, "INVALID_ARGUMENT"),
        ({"address": {"name": "王\u202e", "phone": "13800138000", "detail": "x"}}, 400, "INVALID_ARGUMENT"),
        ({"note": "字" * 256}, 400, "INVALID_ARGUMENT"),
        ({"note": "a\x00b"}, 400, "INVALID_ARGUMENT"),
        ({"pay_type": "gold"}, 400, "INVALID_ARGUMENT"),
        ({"expected_total_fen": "3998"}, 400, "INVALID_ARGUMENT"),
        ({"user_id": 8}, 403, "NOT_YOURSELF"),
        ({"pay_type": "wechat"}, 409, "CHANNEL_UNAVAILABLE"),
        ({"items": [{"goods_id": 9, "nums": 1}]}, 409, "GOODS_UNAVAILABLE"),
        ({"items": [{"goods_id": 2, "nums": 8}]}, 409, "OUT_OF_STOCK"),
        ({"expected_total_fen": 1}, 409, "PRICE_CHANGED"),
        ({"coupon_id": "c1"}, 409, "COUPON_UNKNOWN"),
        ({"quote_token": "q1"}, 409, "QUOTE_UNKNOWN"),
    ],
)
async def test_what_cant_be_ordered_is_refused_by_name(
    rest: Rest, change: dict[str, object], status: int, error: str
) -> None:
    refused(await rest.call("POST", "/orders", PLACE | change), status, error)


async def test_out_of_stock_names_the_goods(rest: Rest) -> None:
    answer = await rest.call("POST", "/orders", PLACE | {"items": [{"goods_id": 2, "nums": 8}]})
    assert refused(answer, 409, "OUT_OF_STOCK") == {"goods_ids": "2"}


async def test_the_same_key_is_one_order_and_the_second_answer_says_so(rest: Rest) -> None:
    key = {"Idempotency-Key": "键-1".encode()}
    first = await rest.call("POST", "/orders", PLACE, headers=key)
    second = await rest.call("POST", "/orders", PLACE, headers=key)
    assert first.json()["data"] == second.json()["data"]
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    other = await rest.call("POST", "/orders", PLACE | {"note": "other"}, headers=key)
    refused(other, 422, "KEY_REUSED")
    refused(
        await rest.call("POST", "/orders", PLACE, headers={"Idempotency-Key": "x" * 256}),
        400,
        "INVALID_ARGUMENT",
    )


async def test_a_double_click_is_one_order(rest: Rest) -> None:
    key = {"Idempotency-Key": "double"}
    answers = await asyncio.gather(*(rest.call("POST", "/orders", PLACE, headers=key) for _ in range(5)))
    assert len({answer.json()["data"]["order_sn"] for answer in answers}) == 1
    assert (await rest.data("GET", "/orders"))["total"] == 1


async def test_a_submit_token_works_for_its_user_until_it_expires(rest: Rest, world: World) -> None:
    made = await rest.data("POST", "/orders/token")
    key = {"Idempotency-Key": made["token"]}
    stranger = await rest.call("POST", "/orders", PLACE, headers=key, as_=token(8))
    refused(stranger, 400, "INVALID_ARGUMENT")
    first = await rest.data("POST", "/orders", PLACE, headers=key)
    assert (await rest.data("POST", "/orders", PLACE, headers=key))["order_sn"] == first["order_sn"]
    forged = await rest.call("POST", "/orders", PLACE, headers={"Idempotency-Key": made["token"][:-2] + "zz"})
    refused(forged, 400, "INVALID_ARGUMENT")
    world.real_ms += 3_600_000
    refused(await rest.call("POST", "/orders", PLACE, headers=key), 400, "INVALID_ARGUMENT")


async def test_the_limit_of_unpaid_orders_is_told(rest: Rest, world: World) -> None:
    world.rules = OrderRules(unpaid_limit=1)
    await rest.placed()
    refused(await rest.call("POST", "/orders", PLACE), 409, "TOO_MANY_UNPAID")


async def test_an_order_is_shown_in_full_with_its_history(rest: Rest) -> None:
    order = await rest.paid()
    detail = await rest.data("GET", f"/orders/{order['order_sn']}")
    OrderDetailData.model_validate(detail, strict=True)
    assert [log["action"] for log in detail["logs"]] == ["create", "payment.opened", "pay"]
    assert detail["payments"][0]["status"] == 2
    assert detail["pay_url"] is None
    status = await rest.data("GET", f"/orders/{order['order_sn']}/status")
    OrderStatusData.model_validate(status, strict=True)
    assert (status["status"], status["status_text"]) == (2, "已支付")


@pytest.mark.parametrize("tail", ["", "/status", "/payment"])
async def test_another_users_order_looks_as_if_it_did_not_exist(rest: Rest, tail: str) -> None:
    order_sn = (await rest.paid())["order_sn"]
    refused(await rest.call("GET", f"/orders/{order_sn}{tail}", as_=token(8)), 404, "ORDER_NOT_FOUND")
    assert (await rest.call("GET", f"/orders/{order_sn}{tail}", as_=admin())).status_code == 200
    named = await rest.call("GET", f"/orders/{order_sn}{tail}?user_id=7", as_=admin())
    assert named.status_code == 200
    refused(
        await rest.call("GET", f"/orders/{order_sn}{tail}?user_id=8", as_=admin()), 404, "ORDER_NOT_FOUND"
    )
    refused(await rest.call("GET", f"/orders/{order_sn}{tail}?user_id=8"), 403, "NOT_YOURSELF")


async def test_a_number_that_can_be_none_of_ours_is_refused(rest: Rest) -> None:
    order_sn = (await rest.placed())["order_sn"]
    wrong = order_sn[:-1] + str((int(order_sn[-1]) + 1) % 10)
    for number in (wrong, order_sn[:-1], "abc", order_sn + "0"):
        refused(await rest.call("GET", f"/orders/{number}"), 400, "INVALID_ARGUMENT")


async def test_a_list_goes_on_by_page_and_by_cursor(rest: Rest, world: World) -> None:
    numbers = []
    for _ in range(5):
        numbers.append((await rest.placed(items=[{"goods_id": 1, "nums": 1}]))["order_sn"])
        world.real_ms += 1000
    first = await rest.data("GET", "/orders?page_size=2")
    OrderListData.model_validate(first, strict=True)
    second = await rest.data("GET", "/orders?page_size=2&page=2")
    assert [order["order_sn"] for page in (first, second) for order in page["items"]] == numbers[:0:-1]
    onward = await rest.data("GET", "/orders", params={"page_size": 2, "cursor": first["next_cursor"]})
    assert onward["items"] == second["items"]
    last = await rest.data("GET", "/orders?page_size=2&page=3")
    assert (len(last["items"]), last["next_cursor"], last["total"]) == (1, None, 5)
    stolen = await rest.call("GET", "/orders", params={"cursor": first["next_cursor"]}, as_=token(8))
    refused(stolen, 400, "INVALID_ARGUMENT")
    other_list = await rest.call("GET", "/orders", params={"cursor": first["next_cursor"], "status": 1})
    refused(other_list, 400, "INVALID_ARGUMENT")


async def test_a_list_is_filtered(rest: Rest, world: World) -> None:
    paid = await rest.paid()
    world.real_ms += 10_000
    pending = await rest.placed()
    by_status = await rest.data("GET", "/orders?status=2")
    assert [order["order_sn"] for order in by_status["items"]] == [paid["order_sn"]]
    later = await rest.data("GET", "/orders", params={"start_time": pending["created_at"]})
    assert [order["order_sn"] for order in later["items"]] == [pending["order_sn"]]
    until = await rest.data("GET", f"/orders?end_time={pending['created_at']}")  # the plus sign is lost here
    assert [order["order_sn"] for order in until["items"]] == [paid["order_sn"]]
    one = await rest.data("GET", f"/orders?order_sn={paid['order_sn']}")
    assert one["total"] == 1
    assert (await rest.data("GET", "/orders", as_=token(8)))["total"] == 0
    assert (await rest.data("GET", "/orders", as_=admin()))["total"] == 2
    assert (await rest.data("GET", "/orders?user_id=8", as_=admin()))["total"] == 0


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("page=0", "INVALID_ARGUMENT"),
        ("page=-1", "INVALID_ARGUMENT"),
        ("page_size=0", "INVALID_ARGUMENT"),
        ("page=x", "INVALID_ARGUMENT"),
        ("page=101&page_size=100", "PAGE_TOO_DEEP"),
        ("page=99999999999999999999999", "PAGE_TOO_DEEP"),
        ("status=6", "INVALID_ARGUMENT"),
        ("status=0", "INVALID_ARGUMENT"),
        ("user_id=0", "INVALID_ARGUMENT"),
        ("start_time=2026-11-21", "INVALID_ARGUMENT"),
        ("start_time=2026-11-21T00:00:00", "INVALID_ARGUMENT"),
        ("start_time=2026-11-22T00:00:00Z&end_time=2026-11-21T00:00:00Z", "INVALID_ARGUMENT"),
        ("cursor=nonsense", "INVALID_ARGUMENT"),
        ("order_sn=%25", "INVALID_ARGUMENT"),
    ],
)
async def test_a_list_that_cant_be_is_refused(rest: Rest, query: str, error: str) -> None:
    refused(await rest.call("GET", f"/orders?{query}"), 400, error)


async def test_a_huge_page_is_cut_to_a_hundred(rest: Rest) -> None:
    assert (await rest.data("GET", "/orders?page_size=1000000000"))["page_size"] == 100


async def test_cancelling_twice_is_one_cancellation(rest: Rest) -> None:
    order_sn = (await rest.placed())["order_sn"]
    first = await rest.data("POST", f"/orders/{order_sn}/cancel", {"reason": "拍错了"})
    second = await rest.data("POST", f"/orders/{order_sn}/cancel")
    assert (first["status"], first["cancel_reason"]) == (5, "拍错了")
    assert second["version"] == first["version"]


async def test_a_paid_order_is_not_cancelled_but_refunded(rest: Rest) -> None:
    order_sn = (await rest.paid())["order_sn"]
    refused(await rest.call("POST", f"/orders/{order_sn}/cancel"), 409, "USE_REFUND")
    opened = await rest.data("POST", f"/orders/{order_sn}/cancel", {"reason": "缺货"}, as_=admin())
    assert (opened["status"], opened["refund_status"]) == (2, 1)
    again = await rest.data("POST", f"/admin/orders/{order_sn}/cancel", as_=admin())
    assert again["version"] == opened["version"], "idempotent"
    await rest.world.settlement.refund_due()
    done = await rest.data("GET", f"/orders/{order_sn}")
    assert (done["status"], done["refund_status"], done["cancel_reason"]) == (5, 2, "缺货")
    (refund,) = done["refunds"]
    assert (refund["amount"], refund["state"], refund["requested_by"]) == ("39.98", "succeeded", "ADMIN")


async def test_an_expectation_that_is_no_longer_so_is_a_conflict(rest: Rest) -> None:
    order_sn = (await rest.paid())["order_sn"]
    answer = await rest.call("POST", f"/orders/{order_sn}/cancel", {"expected_status": 1})
    refused(answer, 409, "STATE_CHANGED")


async def test_an_order_is_shipped_by_an_operator_and_confirmed_by_its_buyer(rest: Rest) -> None:
    order_sn = (await rest.paid())["order_sn"]
    parcel = {"logistics_company": "顺丰速运", "logistics_no": "SF1"}
    refused(await rest.call("POST", f"/admin/orders/{order_sn}/ship", parcel), 403, "FORBIDDEN")
    early = await rest.call("POST", f"/orders/{order_sn}/confirm")
    refused(early, 409, "ILLEGAL_TRANSITION")
    shipped = await rest.data("POST", f"/admin/orders/{order_sn}/ship", parcel, as_=admin())
    assert shipped["logistics"] == {"company": "顺丰速运", "no": "SF1"}
    again = await rest.data("POST", f"/admin/orders/{order_sn}/ship", parcel, as_=admin())
    assert again["version"] == shipped["version"]
    refused(await rest.call("POST", f"/orders/{order_sn}/confirm", as_=admin()), 403, "FORBIDDEN")
    done = await rest.data("POST", f"/orders/{order_sn}/confirm")
    assert (done["status"], done["status_text"]) == (4, "已完成")
    assert (await rest.data("POST", f"/orders/{order_sn}/confirm"))["version"] == done["version"]


async def test_the_clock_moves_forward_for_operators_only(rest: Rest, world: World) -> None:
    before = world.clock()
    refused(await rest.call("POST", "/admin/clock", {"advance_s": 60}), 403, "FORBIDDEN")
    moved = await rest.data("POST", "/admin/clock", {"advance_s": 60}, as_=admin())
    assert moved["now_ms"] == before + 60_000
    for wrong in (0, -1, 10**12, "60"):
        refused(
            await rest.call("POST", "/admin/clock", {"advance_s": wrong}, as_=admin()),
            400,
            "INVALID_ARGUMENT",
        )


async def test_a_service_without_a_user_may_not_buy(rest: Rest) -> None:
    answer = await rest.call("POST", "/orders", PLACE, as_=token(1, Role.ADMIN))
    refused(answer, 403, "FORBIDDEN")
