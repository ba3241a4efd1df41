"""Paying, and what providers tell us, over REST."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.types import Message

from shop_order.domain.errors import DependencyDown
from shop_order.service.notice import MAX_BODY
from shop_order.web.dto.responses import PaymentData
from tests.component.rest.front import Rest, refused, token
from tests.world.shop import World


async def opened(rest: Rest) -> tuple[str, str]:
    """Number of an order of buyer 7, and of its open attempt."""
    order_sn = (await rest.placed())["order_sn"]
    payment = await rest.data("POST", f"/orders/{order_sn}/pay", {"payment_type": "alipay"})
    return order_sn, payment["payment_sn"]


async def tell(rest: Rest, body: Any, **more: Any) -> httpx.Response:
    """What a provider posts."""
    return await rest.call("POST", "/payments/notify/alipay", as_="", content=body, **more)


async def test_an_attempt_is_opened_and_used_again(rest: Rest) -> None:
    order_sn, payment_sn = await opened(rest)
    again = await rest.data("POST", f"/orders/{order_sn}/pay", {"payment_type": "alipay"})
    PaymentData.model_validate(again, strict=True)
    assert (again["payment_sn"], again["amount"], again["amount_fen"]) == (payment_sn, "39.98", 3998)
    assert again["payment_url"] == f"pay://{payment_sn}?page"
    assert await rest.data("GET", f"/orders/{order_sn}/payment") == again


async def test_paying_with_the_same_key_is_one_attempt(rest: Rest) -> None:
    order_sn = (await rest.placed())["order_sn"]
    key = {"Idempotency-Key": "pay-1"}
    body = {"payment_type": "alipay"}
    first = await rest.call("POST", f"/orders/{order_sn}/pay", body, headers=key)
    second = await rest.call("POST", f"/orders/{order_sn}/pay", body, headers=key)
    assert first.json()["data"] == second.json()["data"]
    assert second.headers["idempotency-replayed"] == "true"
    other = await rest.call("POST", f"/orders/{order_sn}/pay", body | {"trade_type": "wap"}, headers=key)
    refused(other, 422, "KEY_REUSED")


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({}, 400, "INVALID_ARGUMENT"),
        ({"payment_type": "gold"}, 400, "INVALID_ARGUMENT"),
        ({"payment_type": 1}, 400, "INVALID_ARGUMENT"),
        ({"payment_type": "wechat"}, 409, "CHANNEL_UNAVAILABLE"),
        ({"payment_type": "alipay", "return_url": "https://evil.example"}, 400, "INVALID_ARGUMENT"),
        ({"payment_type": "alipay", "user_id": 8}, 403, "NOT_YOURSELF"),
    ],
)
async def test_what_cant_be_paid_so_is_refused(rest: Rest, body: Any, status: int, error: str) -> None:
    order_sn = (await rest.placed())["order_sn"]
    refused(await rest.call("POST", f"/orders/{order_sn}/pay", body), status, error)
    refused(await rest.call("GET", f"/orders/{order_sn}/payment"), 404, "PAYMENT_NOT_FOUND")


async def test_nobody_else_pays_or_sees_the_payment(rest: Rest) -> None:
    order_sn, _ = await opened(rest)
    stranger = token(8)
    body = {"payment_type": "alipay"}
    refused(await rest.call("POST", f"/orders/{order_sn}/pay", body, as_=stranger), 404, "ORDER_NOT_FOUND")
    refused(await rest.call("GET", f"/orders/{order_sn}/payment", as_=stranger), 404, "ORDER_NOT_FOUND")


async def test_what_is_paid_or_cancelled_is_not_paid_again(rest: Rest) -> None:
    paid = (await rest.paid())["order_sn"]
    cancelled = (await rest.placed())["order_sn"]
    await rest.data("POST", f"/orders/{cancelled}/cancel")
    for order_sn in (paid, cancelled):
        answer = await rest.call("POST", f"/orders/{order_sn}/pay", {"payment_type": "alipay"})
        refused(answer, 409, "ILLEGAL_TRANSITION")


async def test_a_notice_pays_the_order_and_a_second_one_changes_nothing(rest: Rest, world: World) -> None:
    order_sn, payment_sn = await opened(rest)
    world.provider.pay(payment_sn)
    answers = [await tell(rest, world.provider.notice(payment_sn)) for _ in range(2)]
    assert [(a.status_code, a.text, a.headers["content-type"]) for a in answers] == [
        (200, "success", "text/plain; charset=utf-8")
    ] * 2
    detail = await rest.data("GET", f"/orders/{order_sn}")
    assert (detail["status"], detail["version"]) == (2, 3)


async def test_a_forged_notice_is_401_failure(rest: Rest, world: World) -> None:
    order_sn, payment_sn = await opened(rest)
    world.provider.pay(payment_sn)
    answer = await tell(rest, world.provider.notice(payment_sn, seal="mine"))
    assert (answer.status_code, answer.text) == (401, "failure")
    assert (await rest.data("GET", f"/orders/{order_sn}"))["status"] == 1


async def test_a_wrong_amount_and_an_unknown_number_are_200_failure_and_an_alert(
    rest: Rest, world: World
) -> None:
    order_sn, payment_sn = await opened(rest)
    world.provider.pay(payment_sn)
    wrong = world.provider.notice(payment_sn, more_fen=1)
    unknown = world.provider.notice(payment_sn).replace(payment_sn.encode(), b"P" + b"0" * 27)
    for body in (wrong, unknown):
        answer = await tell(rest, body)
        assert (answer.status_code, answer.text) == (200, "failure")
    assert len(world.alerts) == 2
    assert (await rest.data("GET", f"/orders/{order_sn}"))["status"] == 1


async def test_a_late_payment_is_success_and_refunded(rest: Rest, world: World) -> None:
    order_sn, payment_sn = await opened(rest)
    await rest.data("POST", f"/orders/{order_sn}/cancel")
    world.provider.pay(payment_sn)
    assert (await tell(rest, world.provider.notice(payment_sn))).text == "success"
    assert await world.settlement.refund_due() == 1
    assert world.provider.ledger[payment_sn].holds_fen == 0


async def test_a_fault_of_ours_is_5xx_so_that_the_provider_sends_it_again(
    rest: Rest, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, payment_sn = await opened(rest)
    world.provider.pay(payment_sn)
    body = world.provider.notice(payment_sn)
    for error, status in ((DependencyDown("order_database"), 503), (RuntimeError("a bug"), 500)):
        monkeypatch.setattr(world.payments, "provider_notice", failing(error))
        answer = await tell(rest, body)
        assert (answer.status_code, answer.text) == (status, "failure")
    monkeypatch.undo()
    assert (await tell(rest, body)).text == "success"


async def test_a_notice_that_takes_too_long_is_504_failure(
    rest: Rest, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slow(*_: object) -> None:
        await asyncio.sleep(30)

    monkeypatch.setattr(world.payments, "provider_notice", slow)
    rest.deadline_s = 0.1
    answer = await tell(rest, b"x")
    assert (answer.status_code, answer.text) == (504, "failure")


async def test_a_notice_has_a_limit_and_needs_no_token(rest: Rest) -> None:
    async def unannounced() -> AsyncIterator[bytes]:
        yield b"x" * (MAX_BODY + 1)

    for body in (b"x" * (MAX_BODY + 1), b"x" * 2_000_000, unannounced()):
        answer = await tell(rest, body)
        assert (answer.status_code, answer.text) == (413, "failure")


async def test_an_allow_list_keeps_strangers_out(world: World) -> None:
    allowed = ["203.0.113.0/24"]
    async with Rest(world, callback_allow=lambda: tuple(allowed), trusted_proxies=("127.0.0.1",)) as rest:
        _, payment_sn = await opened(rest)
        world.provider.pay(payment_sn)
        body = world.provider.notice(payment_sn)
        for forwarded in ({}, {"x-forwarded-for": "203.0.113.9, 198.51.100.1"}):
            answer = await tell(rest, body, headers=forwarded)
            assert (answer.status_code, answer.text) == (403, "failure")
        answer = await tell(rest, body, headers={"x-forwarded-for": "evil, 203.0.113.9"})
        assert answer.text == "success"
        allowed[:] = ["192.0.2.1"]
        assert (await tell(rest, body, headers={"x-forwarded-for": "203.0.113.9"})).status_code == 403


def failing(error: Exception) -> Any:
    """A use case that fails so."""

    async def fail(*_: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize("path", ["/api/v1/payments/notify/alipay", "the cashier"])
async def test_who_hangs_up_in_the_middle_is_no_failure_of_ours(rest: Rest, path: str) -> None:
    link = urlsplit((await rest.placed())["pay_url"])
    is_cashier = path == "the cashier"
    path, query = (link.path.removeprefix("/done"), link.query) if is_cashier else (path, "")
    before = len(rest.log.lines)

    async def hang_up() -> Message:
        return {"type": "http.disconnect"}

    async def nobody(_: Message) -> None:
        return None

    scope = {
        "type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "scheme": "http",
        "query_string": query.encode(), "root_path": "", "client": ("127.0.0.1", 1), "server": ("shop", 80),
        "headers": [(b"host", b"shop"), (b"content-length", b"9")],
    }  # fmt: skip
    await rest.app(scope, hang_up, nobody)
    [(event, about)] = rest.log.lines[before:]
    assert (event, about["status"]) == ("request", 400)
