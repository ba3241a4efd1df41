"""What holds for every route: identity, envelopes, languages, limits, headers."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import httpx
import pytest

from shop_order.domain.valueobject.parties import Role
from shop_order.web.auth.limits import Rates
from shop_order.web.auth.roles import ROLES
from shop_order.web.auth.tokens import mint_token
from shop_order.web.handler.health import Readiness
from shop_order.web.handler.route import operation_of
from shop_order.web.http import MAX_BODY, HttpSettings, build_http
from tests.component.rest.front import PLACE, SECRET, Rest, admin, refused, token
from tests.world.shop import World


async def test_every_route_has_a_row_in_the_table_of_roles_and_every_row_a_route(rest: Rest) -> None:
    routes = {f"{it.method} {it.path}" for route in rest.app.routes if (it := operation_of(route))}
    rows = {row if row in ROLES else f"{row.rpartition('/')[0]}/*" for row in routes}
    assert rows == {row for row in ROLES if " " in row}


async def test_every_route_that_needs_a_token_refuses_without_one(rest: Rest) -> None:
    for row in ROLES:
        method, _, path = row.partition(" ")
        if not path or path == "/" or path.startswith(("/healthz", "/readyz", "/metrics")):
            continue
        url = path.replace("{", "").replace("}", "").replace("*", "alipay")
        answer = await rest.client.request(method, url, content=b'{"seal": "x"}')
        if path.endswith("/assets/{name}"):
            refused(answer, 404, "NOT_FOUND")
        elif "/cashier/" in path or "/notify/" in path:
            assert answer.status_code == 401
            assert "www-authenticate" not in answer.headers
        elif answer.status_code != 200:
            refused(answer, 401, "UNAUTHENTICATED")
            assert answer.headers["www-authenticate"] == "Bearer"
        else:
            assert path.endswith(("docs", "redoc", "openapi.json", "openapi.yaml", "openapi.md"))


@pytest.mark.parametrize("bearer", ["nonsense", "e30.e30.e30", "\x7f"])
async def test_a_token_that_is_none_is_401(rest: Rest, bearer: str) -> None:
    refused(await rest.call("GET", "/cart", as_=bearer), 401, "UNAUTHENTICATED")


async def test_a_service_acts_for_the_user_it_names_and_for_nobody_else(rest: Rest) -> None:
    acting = mint_token(SECRET, subject="user-operation", role=Role.SERVICE, act_for=7)
    alone = mint_token(SECRET, subject="user-operation", role=Role.SERVICE)
    order = await rest.data("POST", "/orders", PLACE, as_=acting)
    assert order["user_id"] == "7"
    refused(await rest.call("POST", "/orders", PLACE, as_=alone), 403, "FORBIDDEN")
    refused(await rest.call("GET", "/orders", as_=alone), 403, "FORBIDDEN")


async def test_messages_follow_the_callers_language_and_reasons_do_not(rest: Rest) -> None:
    for accept, message in (
        ("en", "the order does not exist; check its number"),
        ("fr, en;q=0.5", "the order does not exist; check its number"),
        ("", "订单不存在，请核对订单号"),
        ("zh-TW,en;q=0.1", "订单不存在，请核对订单号"),
    ):
        answer = await rest.call(
            "GET", "/orders/261123134500123456789012349", headers={"accept-language": accept}
        )
        refused(answer, 404, "ORDER_NOT_FOUND")
        assert answer.json()["message"] == message
    english = await rest.call("POST", "/orders", PLACE, headers={"accept-language": "en"})
    assert english.json()["message"] == "order created"
    assert english.json()["data"]["status_text"] == "pending payment"


async def test_of_two_request_ids_neither_counts(rest: Rest) -> None:
    headers = [("authorization", f"Bearer {token()}"), ("x-request-id", "a"), ("x-request-id", "b")]
    answer = await rest.client.get("/api/v1/cart", headers=headers)
    assert answer.status_code == 200
    assert len(answer.headers["x-request-id"]) == 24


async def test_the_request_id_is_echoed_or_made(rest: Rest) -> None:
    given = await rest.call("GET", "/cart", headers={"x-request-id": "abc-1"})
    assert given.headers["x-request-id"] == "abc-1"
    for wrong in ("", "a b", "x" * 129):
        made = (await rest.call("GET", "/cart", headers={"x-request-id": wrong})).headers["x-request-id"]
        assert made
        assert made != wrong


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"x"',
        b"NaN",
        b'{"goods_id": NaN}',
        b'{"goods_id": 1, "ignored": NaN}',
        b'{"goods_id": 1, "nums": Infinity}',
        b"\xff\xfe",
        b'{"goods_id": "\\ud800"}',
        b"[" * 100_000,
    ],
)
async def test_what_is_not_our_json_is_400(rest: Rest, body: bytes) -> None:
    json = {"content-type": "application/json"}
    answer = await rest.call("POST", "/cart/items", content=body, headers=json)
    refused(answer, 400, "INVALID_ARGUMENT")
    for leak in ("Traceback", "pydantic", "orjson", "AddCartItem"):
        assert leak not in answer.text


async def test_the_field_that_is_wrong_is_named(rest: Rest) -> None:
    answer = await rest.call("POST", "/orders", PLACE | {"items": [{"goods_id": 1, "nums": 0}]})
    assert refused(answer, 400, "INVALID_ARGUMENT")["field"] == "items[0].nums"


async def test_a_body_that_is_too_large_is_413_announced_or_not(rest: Rest) -> None:
    large = b'{"goods_id": 1, "x": "' + b"x" * MAX_BODY + b'"}'

    async def unannounced() -> Any:
        yield large

    json = {"content-type": "application/json"}
    for content in (large, unannounced()):
        answer = await rest.call("POST", "/cart/items", content=content, headers=json)
        refused(answer, 413, "BODY_TOO_LARGE")


async def test_an_unknown_address_and_a_wrong_method_have_our_envelope(rest: Rest) -> None:
    refused(await rest.call("POST", "/orders/preview", {}), 405, "METHOD_NOT_ALLOWED")
    refused(await rest.call("GET", "/nothing"), 404, "NOT_FOUND")
    refused(await rest.call("GET", "/cart/"), 404, "NOT_FOUND")
    wrong = await rest.call("PUT", "/cart")
    refused(wrong, 405, "METHOD_NOT_ALLOWED")
    assert wrong.headers["allow"] == "GET, HEAD"


async def test_over_the_rate_limit_is_429_by_user(rest: Rest) -> None:
    rest.rates = Rates(user_rate=1, user_burst=2)
    answers = [await rest.call("GET", "/cart") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    refused(answers[-1], 429, "RATE_LIMITED")
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert (await rest.call("GET", "/cart", as_=token(8))).status_code == 200
    for _ in range(5):
        notice = await rest.call("POST", "/payments/notify/alipay", as_="", content=b'{"seal": "x"}')
        assert notice.status_code == 401


async def test_guessing_cashier_links_is_limited_by_address(rest: Rest) -> None:
    rest.rates = Rates(user_rate=1, user_burst=2)
    answers = [await rest.call("GET", "/cashier/1?e=1&s=x", as_="") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [401, 401, 429]


@pytest.mark.parametrize(
    "spellings",
    [
        ("", "", ""),
        ("203.0.113.9", "203.0.113.10", "rubbish"),  # of somebody we don't trust: the peer counts
        ("[2001:db8::1]:443", "1.2.3.4:5", "127.0.0.1"),
    ],
)
async def test_no_forwarding_header_leads_out_of_the_address_limit(
    rest: Rest, spellings: tuple[str, ...]
) -> None:
    rest.rates = Rates(user_rate=1, user_burst=2)
    answers = [
        await rest.call("GET", "/cashier/1?e=1&s=x", as_="", headers={"x-forwarded-for": spelling})
        for spelling in spellings
    ]
    assert [answer.status_code for answer in answers] == [401, 401, 429]


async def test_behind_a_trusted_proxy_the_limit_counts_callers_in_every_spelling(world: World) -> None:
    async with Rest(world, trusted_proxies=("127.0.0.1",)) as rest:
        rest.rates = Rates(user_rate=1, user_burst=2)
        for same in (
            ("203.0.113.9", "203.0.113.9:51234", '"203.0.113.9"'),
            ("2001:db8::1", "[2001:db8::2]", "[2001:db8::3:4]:443"),
            ("rubbish", "", "_hidden"),
        ):
            answers = [
                await rest.call("GET", "/cashier/1?e=1&s=x", as_="", headers={"x-forwarded-for": spelling})
                for spelling in same
            ]
            assert [answer.status_code for answer in answers] == [401, 401, 429], same


async def test_a_request_that_takes_too_long_is_504(rest: Rest, world: World, monkeypatch: Any) -> None:
    async def slow(*_: object) -> None:
        await asyncio.sleep(30)

    monkeypatch.setattr(world.carts, "view", slow)
    rest.deadline_s = 0.05
    refused(await rest.call("GET", "/cart"), 504, "DEADLINE_EXCEEDED")


async def test_a_bug_of_ours_is_500_that_tells_nothing_and_a_full_log_line(
    rest: Rest, world: World, monkeypatch: Any
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("SELECT secret FROM table")

    monkeypatch.setattr(world.carts, "view", broken)
    answer = await rest.call("GET", "/cart")
    refused(answer, 500, "INTERNAL")
    assert "SELECT" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert ("request failed", {"route": "GET /api/v1/cart"}) in rest.log.lines


async def test_each_request_is_logged_and_counted_by_its_template(rest: Rest) -> None:
    order_sn = (await rest.placed())["order_sn"]
    await rest.call("GET", f"/orders/{order_sn}")
    await rest.call("GET", "/a-path-of-my-choice")
    assert rest.observed[-2:] == [("GET /api/v1/orders/{order_sn}", "200"), ("(no route)", "404")]
    message, fields = rest.log.lines[-2]
    assert (message, fields["route"], fields["status"], fields["user_id"]) == (
        "request",
        "GET /api/v1/orders/{order_sn}",
        200,
        7,
    )


async def test_answers_are_hardened(rest: Rest) -> None:
    headers = (await rest.call("GET", "/cart")).headers
    assert headers["content-type"] == "application/json; charset=utf-8"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "server" not in headers


async def test_only_listed_origins_may_call_from_a_browser(world: World) -> None:
    ask = {"access-control-request-method": "POST", "access-control-request-headers": "idempotency-key"}
    async with Rest(world, cors_origins=("https://shop.example",)) as rest:
        good = {"origin": "https://shop.example"}
        preflight = await rest.call("OPTIONS", "/orders", as_="", headers=good | ask)
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] == "https://shop.example"
        answer = await rest.call("GET", "/cart", headers=good)
        assert answer.headers["access-control-allow-origin"] == "https://shop.example"
        evil = await rest.call("GET", "/cart", headers={"origin": "https://evil.example"})
        assert "access-control-allow-origin" not in evil.headers
    async with Rest(world) as rest:
        assert "access-control-allow-origin" not in (await rest.call("GET", "/cart", headers=good)).headers


async def test_production_has_no_clock_to_move(rest: Rest) -> None:
    parts = replace(rest.parts, advance_clock=None)
    rest.client = httpx.AsyncClient(
        transport=httpx.ASGITransport(build_http(parts, HttpSettings(deadline_s=lambda: 5.0))),
        base_url="http://production",
    )
    refused(await rest.call("POST", "/admin/clock", {"advance_s": 1}, as_=admin()), 404, "NOT_FOUND")
    assert "/api/v1/admin/clock" not in (await rest.call("GET", "/openapi.json")).json()["paths"]


async def test_operation_asks_without_a_token(rest: Rest) -> None:
    alive = await rest.call("GET", "//healthz", as_="")
    assert alive.json() == {"status": "ok", "missing": []}
    for readiness, status, word in (
        (Readiness(True), 200, "ready"),
        (Readiness(True, ("goods",)), 200, "degraded"),
        (Readiness(False), 503, "stopping"),
        (Readiness(False, ("database",)), 503, "unavailable"),
    ):
        rest.readiness = readiness
        answer = await rest.call("GET", "//readyz", as_="")
        assert (answer.status_code, answer.json()["status"]) == (status, word)
        assert answer.json()["missing"] == list(readiness.missing)


async def test_metrics_are_for_this_machine_and_for_admins(world: World) -> None:
    far = {"x-forwarded-for": "198.51.100.7"}
    async with Rest(world, trusted_proxies=("127.0.0.1",)) as rest:
        local = await rest.call("GET", "//metrics", as_="")
        assert local.text == "requests_total 1\n"
        refused(await rest.call("GET", "//metrics", as_="", headers=far), 401, "UNAUTHENTICATED")
        refused(await rest.call("GET", "//metrics", headers=far), 403, "FORBIDDEN")
        assert (await rest.call("GET", "//metrics", as_=admin(), headers=far)).status_code == 200
    async with Rest(world) as rest:  # a proxy on this machine that nobody told us of
        refused(await rest.call("GET", "//metrics", as_="", headers=far), 401, "UNAUTHENTICATED")
