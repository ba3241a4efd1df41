"""Rows about what stands in front of all routes: heads, connections, media types, proxies, weights."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from grpc import StatusCode

from shop_order.api.proto import order_pb2 as pb
from shop_order.api.proto import shop_order_pb2 as shop_pb
from shop_order.pkg.http.protocol import BoundedProtocol
from tests.component.abuse import scenes
from tests.component.abuse.acts import OK, Act, Check, Expect, Row, Send, act, grpc, rest, row
from tests.component.abuse.calls import ORDER, SHOP, Answer, Scene, address, of_http
from tests.component.abuse.lists import buys, json_body
from tests.component.abuse.promises import FORGED, INVALID, LIMITED, NOT_JSON, TOO_LARGE_HEAD

CLOSED = Expect(StatusCode.OK, 0)  # not a word
_HEAD = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
_CHUNKED = (
    b"POST /api/v1/cart/items HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer <token>\r\n"
    b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
)
_LATE_S = 60
_CALLS = 60


def raw(name: str, *pieces: bytes) -> Act:
    """A connection that sends these bytes, and nothing more."""

    async def send(scene: Scene) -> Answer:
        reader, writer = await asyncio.open_connection("127.0.0.1", scene.shop.ports["http"])
        writer.writelines(piece.replace(b"<token>", scene.bearer.encode()) for piece in pieces)
        try:
            async with asyncio.timeout(_LATE_S):
                head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        except ConnectionError:
            head, body = b"", b""
        writer.close()
        if not head:
            return Answer(0)
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        return of_http(int(first.split()[1]), body.decode(), headers)

    return Act(name, {"rest": send})


def silent(name: str, *pieces: bytes) -> Act:
    """The same, whose head never ends: the service waits 10 s for it, and here 0.3 s."""
    sent = raw(name, *pieces).sends["rest"]

    async def send(scene: Scene) -> Answer:
        servers = [one for one in BoundedProtocol.__subclasses__() if one.bounds.head_s == 10]
        assert servers
        with pytest.MonkeyPatch.context() as patch:
            for server in servers:
                patch.setattr(server, "bounds", replace(server.bounds, head_s=0.3))
            return await sent(scene)

    return Act(name, {"rest": send}).gets(CLOSED)


def names(field: str) -> Check:
    """The refusal names this."""

    async def check(_: Scene, answer: Answer) -> None:
        assert answer.details["field"] == field

    return check


def often(name: str, *forwarded: str) -> Act:
    """Guess a cashier link through a proxy that writes the address like that; the last answer."""

    async def send(scene: Scene) -> Answer:
        answers = [
            await scene.rest("GET", "/cashier/1?e=1&s=x", headers={"X-Forwarded-For": spelling})
            for spelling in forwarded * 6
        ]
        return answers[-1]

    return Act(name, {"rest": send})


async def long_orders(scene: Scene) -> None:
    """Twenty orders of a hundred lines."""
    items = [{"goods_id": goods, "nums": 1} for goods in scenes.MANY[:100]]
    for _ in range(20):
        answer = await scene.rest("POST", "/orders", {"items": items, "address": address()})
        assert answer.status == 200, answer


def over_and_over(send: Send) -> Send:
    """Ask until it is refused."""

    async def sent(scene: Scene) -> Answer:
        for _ in range(_CALLS):
            answer = await send(scene)
            if answer.reason:
                break
        return answer

    return sent


async def few_items(_: Scene, answer: Answer) -> None:
    """Each order has its first five items, and says how many there are."""
    assert len(answer.data["items"]) == 20
    assert {(len(order["items"]), order["items_total"]) for order in answer.data["items"]} == {(5, 100)}


_TEXT = {"Content-Type": "text/plain"}

EDGE: tuple[Row, ...] = (
    row(
        71,
        "headers, trailers or chunk extensions over their bounds",
        TOO_LARGE_HEAD,
        raw("one of 17 KB", _HEAD + b"X-A: " + b"a" * 17_000 + b"\r\n\r\n"),
        raw("one of 1 MB", _HEAD + b"X-A: " + b"a" * 1_000_000),
        raw("101 lines", _HEAD + b"X-A: a\r\n" * 101 + b"\r\n"),
        raw("a path of 17 KB", b"GET /" + b"a" * 17_000 + b" HTTP/1.1\r\n\r\n"),
        silent("half a head for 10 s", _HEAD + b"X-A: "),
        raw("an extension of 17 KB", _CHUNKED + b"1;a=" + b"a" * 17_000 + b"\r\nx\r\n"),
        raw("a trailer of 17 KB", _CHUNKED + b"0\r\nX-A: " + b"a" * 17_000),
        raw("101 trailers", _CHUNKED + b"0\r\n" + b"X-A: a\r\n" * 101 + b"\r\n"),
    ),
    row(72, "a connection that sends nothing", CLOSED, silent("nothing"), silent("blank lines", b"\r\n\r\n")),
    row(
        76,
        "an unknown query parameter or body field",
        INVALID,
        rest("a parameter", "GET", "/orders?surprise=1").then(names("surprise")),
        rest("of a list, elsewhere", "GET", "/cart?page=1").then(names("page")),
        rest("a parameter twice", "GET", "/orders?page=1&page=2").then(names("page")),
        json_body("a field", buys(surprise=[1, 2])).then(names("surprise")),
        json_body("of an address", buys(address=address(country="x"))).then(names("address.country")),
        rest("of the cashier", "GET", "/cashier/1?e=1&s=x&utm_source=x").gets(FORGED),
        rest("of a notice", "POST", "/payments/notify/alipay?x=1", content=b"a=b").gets(FORGED),
    ),
    row(
        77,
        "another content type than JSON",
        NOT_JSON,
        rest("text", "POST", "/orders", buys(), headers=_TEXT),
        rest("a form", "PUT", "/cart/checked", content=b"checked=true", headers={"Content-Type": "a/b"}),
        rest("none", "PATCH", "/cart/items/110", content=b'{"nums": 1}'),
        rest("GBK", "POST", "/orders", buys(), headers={"Content-Type": "application/json; charset=gbk"}),
        rest("a patch", "POST", "/orders", buys(), headers={"Content-Type": "application/merge-patch+json"}),
        rest("compressed", "POST", "/orders", buys(), headers={"Content-Encoding": "gzip"}),
        rest(
            "JSON", "POST", "/orders", buys(), headers={"Content-Type": 'application/json; charset="UTF-8"'}
        ).gets(OK),
    ),
    row(
        78,
        "X-Forwarded-For in every spelling",
        LIMITED,
        often("a port", "203.0.113.1:51234", "203.0.113.1:51235"),
        often("brackets", "[2001:db8:1::1]:443", "[2001:db8:1::2]", "2001:db8:1::3"),
        often("mapped", "::ffff:203.0.113.2", "203.0.113.2"),
        often("nothing", "", ","),
        often("rubbish", "unknown", "203.0.113.3.4", "' OR 1=1", "_x"),
        LIMIT__USER_RATE="1",
        LIMIT__USER_BURST="5",
        SERVER__TRUSTED_PROXIES="127.0.0.1",
    ),
    row(
        82,
        "lists of long orders, as often as the limit allows",
        LIMITED,
        act(
            "again and again",
            grpc91=over_and_over(lambda s: s.grpc(f"{ORDER}/ListOrders", pb.ListOrdersRequest())),
        ).having(long_orders),
        # Chapter 3 lists no items: a light answer is an ordinary call.
        grpc("without items", f"{SHOP}/OrderList", shop_pb.OrderFilterRequest()).having(long_orders).gets(OK),
        rest("in REST", "GET", "/orders").having(long_orders).then(few_items).gets(OK),
        LIMIT__USER_RATE="5",  # a busy machine answers long lists no faster than 20 would allow
        LIMIT__USER_BURST="100",
    ),
)
