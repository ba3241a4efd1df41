"""From cart to paid to received, as a buyer and an operator would."""

from __future__ import annotations

from tests.shop import ADDRESS, Shop

CART = "/api/v1/cart"
ORDERS = "/api/v1/orders"


async def test_a_buyer_buys_from_the_cart_and_receives_the_goods(shop: Shop) -> None:
    me = shop.bearer(7)
    for goods, nums in ((101, 1), (109, 2), (101, 1)):
        await shop.http.post(f"{CART}/items", json={"goods_id": goods, "nums": nums}, headers=me)
    cart = (await shop.http.get(CART, headers=me)).json()["data"]
    assert [(line["goods_id"], line["nums"]) for line in cart["items"]] == [("101", 2), ("109", 2)]

    placed = await shop.http.post(
        ORDERS, json={"from": "cart", "address": ADDRESS}, headers=me | {"Idempotency-Key": "first"}
    )
    order = placed.json()["data"]
    assert order["pay_fen"] == 2 * 16_800 + 2 * 4_590
    assert (await shop.http.get(CART, headers=me)).json()["data"]["items"] == []

    attempt = await shop.open_attempt(order["order_sn"])
    assert (await shop.provider_does(attempt["payment_sn"], "pay"))["body"] == "success"
    assert (await shop.order(order["order_sn"]))["status"] == 2

    await shop.ship(order["order_sn"])
    done = await shop.http.post(f"{ORDERS}/{order['order_sn']}/confirm", headers=me)
    assert done.json()["data"]["status"] == 4
    await shop.check_doctor()


async def test_a_retry_with_the_same_key_finds_the_order_though_the_cart_is_empty(shop: Shop) -> None:
    me = shop.bearer(7) | {"Idempotency-Key": "again"}
    await shop.http.post(f"{CART}/items", json={"goods_id": 101}, headers=me)
    body = {"from": "cart", "address": ADDRESS}
    first = await shop.http.post(ORDERS, json=body, headers=me)
    second = await shop.http.post(ORDERS, json=body, headers=me)
    assert second.json()["data"]["order_sn"] == first.json()["data"]["order_sn"]
    assert second.headers["Idempotency-Replayed"] == "true"
    await shop.check_doctor()


async def test_an_unpaid_order_is_cancelled_in_time_and_late_money_goes_back(shop: Shop) -> None:
    order = await shop.place(nums=2)
    attempt = await shop.open_attempt(order["order_sn"])
    await shop.advance(1800)

    async def cancelled() -> bool:
        return bool((await shop.order(order["order_sn"]))["status"] == 5)

    await shop.until(cancelled)
    assert (await shop.provider_does(attempt["payment_sn"], "pay_late"))["body"] == "success"

    async def given_back() -> bool:
        answer = await shop.http.get(f"{ORDERS}/{order['order_sn']}/payment", headers=shop.bearer(7))
        return bool(answer.json()["data"]["status"] == 3)

    await shop.until(given_back)
    await shop.check_doctor()


async def test_a_shipped_order_confirms_itself_after_a_week_and_survives_a_restart(shop: Shop) -> None:
    order = await shop.paid()
    await shop.ship(order["order_sn"])
    await shop.stop_service()
    await shop.start_service()
    await shop.advance(604_800)

    async def completed() -> bool:
        return bool((await shop.order(order["order_sn"]))["status"] == 4)

    await shop.until(completed)
    await shop.check_doctor()
