"""What stands in front of all routes is true for all of them: every route, with all that can go wrong."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import StreamingResponse

from shop_order.web.auth.limits import Rates
from shop_order.web.context import context
from shop_order.web.handler.route import Operation, operation_of
from shop_order.web.http import MAX_BODY
from tests.component.rest.front import PLACE, Rest, admin, refused
from tests.world.shop import World

ORIGIN = {"origin": "https://shop.example"}
JSON = {"content-type": "application/json"}
OTHERS = ("cashier", "notices", "operation", "")  # not JSON, or asked by browsers, providers and probes


@pytest.fixture
async def rest(world: World) -> AsyncIterator[Rest]:
    """A front that a page of another origin may call."""
    async with Rest(world, cors_origins=("https://shop.example",)) as front:
        yield front


def routes(rest: Rest, *methods: str) -> Iterator[Operation]:
    """Every route, or those of these methods."""
    for route in rest.app.routes:
        found = operation_of(route)
        if found is not None and (not methods or found.method in methods):
            yield found


def url_of(operation: Operation) -> str:
    """A path that leads there."""
    numbered = operation.path.replace("{order_sn}", "261123134500123456789012349")
    return re.sub(r"\{\w+\}", "1", numbered)


async def ask(rest: Rest, operation: Operation, **more: Any) -> httpx.Response:
    """One request to a route as an operator, for a page of another origin."""
    method = more.pop("method", operation.method)
    headers = ORIGIN | more.pop("headers", {})
    return await rest.call(method, f"/{url_of(operation)}", as_=admin(), headers=headers, **more)


def must_be_common(answer: httpx.Response) -> None:
    """The headers of every answer of ours."""
    headers = answer.headers
    assert headers["x-request-id"], answer
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["content-security-policy"]
    assert headers["cache-control"]
    assert headers["access-control-allow-origin"] == "https://shop.example", answer
    assert "x-request-id" in headers["access-control-expose-headers"].lower()


async def test_an_ordinary_answer_has_the_common_headers(rest: Rest) -> None:
    for operation in routes(rest):
        must_be_common(await ask(rest, operation))


async def test_a_bug_has_them_on_every_route(rest: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("SELECT secret FROM table")

    monkeypatch.setattr("shop_order.web.handler.route.Guard.identify", broken)
    for operation in routes(rest):
        answer = await ask(rest, operation)
        refused(answer, 500, "INTERNAL")
        assert "SELECT" not in answer.text
        must_be_common(answer)


async def test_being_too_slow_has_them_on_every_route(rest: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    async def slow(*_: object) -> None:
        await asyncio.sleep(30)

    monkeypatch.setattr("shop_order.web.handler.route.Guard.identify", lambda *_: None)
    monkeypatch.setattr("shop_order.web.handler.route.Guard.admit", slow)
    rest.deadline_s = 0.001
    for operation in routes(rest):
        answer = await ask(rest, operation)
        refused(answer, 504, "DEADLINE_EXCEEDED")
        must_be_common(answer)


async def test_a_wrong_method_names_the_right_ones_on_every_path(rest: Rest) -> None:
    taken: dict[str, set[str]] = {}
    for operation in routes(rest):
        methods = {"GET", "HEAD"} if operation.method == "GET" else {operation.method}
        taken.setdefault(operation.path, set()).update(methods)
    for operation in routes(rest):
        answer = await ask(rest, operation, method="TRACE")
        refused(answer, 405, "METHOD_NOT_ALLOWED")
        must_be_common(answer)
        # A path without a name in it may be one with a name as well: /orders/token.
        allowed = answer.headers["allow"].split(", ")
        assert allowed == sorted(allowed) and taken[operation.path] <= set(allowed)
    wrong = await rest.call("DELETE", "/orders", headers=ORIGIN)
    assert wrong.headers["allow"] == "GET, HEAD, POST"
    head = await rest.call("HEAD", "/cart/items", headers=ORIGIN)
    assert (head.status_code, head.headers["allow"], head.content) == (405, "POST", b"")


async def test_an_unknown_address_a_large_body_and_a_full_limit_have_them(rest: Rest) -> None:
    nowhere = await rest.call("GET", "/nothing", headers=ORIGIN)
    refused(nowhere, 404, "NOT_FOUND")
    must_be_common(nowhere)
    for operation in routes(rest, "POST", "PUT", "PATCH"):
        answer = await ask(rest, operation, content=b" " * (MAX_BODY + 1), headers=JSON)
        if operation.id.startswith("notify"):
            assert answer.status_code == 413
        elif answer.status_code not in (401, 403):  # an operator buys nothing, and has no link
            refused(answer, 413, "BODY_TOO_LARGE")
        must_be_common(answer)
    rest.rates = Rates(user_rate=1, user_burst=1)
    for operation in routes(rest):
        answer = await ask(rest, operation)
        must_be_common(answer)
    assert (await ask(rest, next(routes(rest, "GET")))).status_code in (403, 429)


# ---- HEAD ----


async def test_head_is_get_without_its_body_on_every_route(rest: Rest) -> None:
    order = await rest.placed()
    for operation in routes(rest, "GET"):
        url = operation.path.replace("{order_sn}", order["order_sn"]).replace("{name}", "favicon.png")
        got, head = [
            await rest.call(method, f"/{url}", as_=None if "admin" not in url else admin(), headers=ORIGIN)
            for method in ("GET", "HEAD")
        ]
        assert head.status_code == got.status_code, operation
        assert head.content == b""
        changing = {"x-request-id"}
        assert {k: v for k, v in head.headers.items() if k not in changing} == {
            k: v for k, v in got.headers.items() if k not in changing
        }, operation
    assert ("HEAD /healthz", "200") in rest.observed
    assert not [line for line in rest.log.lines if line[0] == "request failed"]


async def test_head_begins_no_stream_and_handlers_are_told(rest: Rest) -> None:
    began: list[bool] = []

    async def pieces() -> AsyncIterator[bytes]:
        began.append(True)
        yield b"data: x\n\n"

    async def stream(_: Request) -> StreamingResponse:
        began.extend([] if context().head else [True])
        return StreamingResponse(pieces(), media_type="text/event-stream")

    rest.app.router.add_route("/stream", stream, methods=["GET"])
    head = await rest.call("HEAD", "//stream")
    assert (head.status_code, head.headers["content-type"], head.content, began) == (
        200,
        "text/event-stream; charset=utf-8",
        b"",
        [],
    )
    assert (await rest.call("GET", "//stream")).text == "data: x\n\n"
    assert not [line for line in rest.log.lines if line[0] == "request failed"]


# ---- what a JSON route takes ----


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "application/merge-patch+json"},
        {"content-type": "application/json; charset=gbk"},
        {"content-type": "application/jsonp"},
        {"content-type": ""},
        {},
        {"content-type": "application/json", "content-encoding": "gzip"},
        {"content-type": "application/json", "transfer-encoding": "gzip, chunked"},
    ],
)
async def test_another_kind_of_body_is_415_on_every_json_route(rest: Rest, headers: dict[str, str]) -> None:
    for operation in routes(rest):
        if operation.tag in OTHERS:
            continue
        answer = await ask(rest, operation, content=b'{"a": 1}', headers=headers)
        if answer.status_code == 403:
            as_buyer = {**ORIGIN, **headers}
            answer = await rest.call(
                operation.method, f"/{url_of(operation)}", content=b'{"a": 1}', headers=as_buyer
            )
        refused(answer, 415, "UNSUPPORTED_MEDIA_TYPE")
        must_be_common(answer)


@pytest.mark.parametrize(
    "kind",
    [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        'application/json;charset="UTF-8"',
        "application/json; charset=utf8; profile=x",
    ],
)
async def test_json_may_be_spelled_as_it_is(rest: Rest, kind: str) -> None:
    answer = await rest.call(
        "POST", "/cart/items", content=b'{"goods_id": 1}', headers={"content-type": kind}
    )
    assert answer.status_code == 200, answer.text


async def test_no_body_needs_no_type(rest: Rest) -> None:
    order_sn = (await rest.placed())["order_sn"]
    for headers in ({}, {"content-type": "text/plain"}):
        answer = await rest.call("POST", f"/orders/{order_sn}/cancel", headers=headers)
        assert answer.status_code == 200, answer.text


async def test_an_unknown_parameter_is_400_and_named_on_every_json_route(rest: Rest) -> None:
    for operation in routes(rest):
        for as_ in (None, admin()):
            answer = await rest.call(operation.method, f"/{url_of(operation)}?surprise=1", as_=as_)
            if operation.tag in OTHERS:
                assert "surprise" not in answer.text
            elif answer.status_code != 403:
                assert refused(answer, 400, "INVALID_ARGUMENT")["field"] == "surprise", operation


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("Page=1", "Page"),
        ("page=1&page=2", "page"),
        ("page=1&%00=1", "\0"),
        ("&".join(["page=1"] * 60), "query"),
        ("x" * 5_000 + "=1", "x" * 128),
        ("page", "page"),
    ],
)
async def test_odd_parameters_are_named(rest: Rest, query: str, field: str) -> None:
    answer = await rest.call("GET", f"/orders?{query}")
    assert refused(answer, 400, "INVALID_ARGUMENT")["field"] == field


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (PLACE | {"surprise": 1}, "surprise"),
        (PLACE | {"items": [{"goods_id": "1", "nums": 1, "price_fen": 1}]}, "items[0].price_fen"),
        (PLACE | {"address": PLACE["address"] | {"country": "x"}}, "address.country"),  # type: ignore[operator]
        (PLACE | {"x" * 500: 1}, "x" * 128),
    ],
)
async def test_an_unknown_field_is_400_and_named(rest: Rest, body: Any, field: str) -> None:
    answer = await rest.call("POST", "/orders", body)
    assert refused(answer, 400, "INVALID_ARGUMENT")["field"] == field
    assert (await rest.data("GET", "/orders"))["total"] == 0
