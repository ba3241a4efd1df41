"""One spelling, one header, one meaning (row 75)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc

from shop_order.api.proto import order_pb2 as pb
from shop_order.api.proto import shop_order_pb2 as shop_pb
from tests.component.abuse.acts import OK, Act, Row, Send, act, row
from tests.component.abuse.calls import ORDER, SHOP, Answer, Scene, address, of_http, refusal
from tests.component.abuse.lists import buys
from tests.component.abuse.promises import INVALID, KEY_REUSED, NOBODY
from tests.component.abuse.tokens import bearing

BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
CREATE = f"{ORDER}/CreateOrder"
Headers = Callable[[Scene], list[tuple[str, str]]]


def token(scene: Scene) -> str:
    """A good token of the buyer."""
    return scene.shop.token(scene.user)


def spare_bits(text: str) -> str:
    """Another text of the same bytes: the last character has bits that mean nothing."""
    return text[:-1] + BASE64URL[BASE64URL.index(text[-1]) + 1]


def wanted(key: str = "") -> pb.CreateOrderRequest:
    """One of goods 110."""
    items = [pb.OrderItemRequest(product_id=110, quantity=1)]
    return pb.CreateOrderRequest(items=items, address=pb.AddressInfo(**address()), idempotency_key=key)


async def over_grpc(scene: Scene, sent: list[tuple[str, str]], key: str = "") -> Answer:
    """An order with exactly this metadata."""
    assert scene.shop.channel is not None
    ask: Any = scene.shop.channel.unary_unary(f"/{CREATE}")
    try:
        raw = await ask(
            wanted(key).SerializeToString(),
            metadata=[(name.lower(), value) for name, value in sent],
            timeout=20,
        )
    except grpc.aio.AioRpcError as error:
        return refusal(error)
    return Answer(grpc.StatusCode.OK, data=pb.OrderInfo.FromString(raw))


async def over_rest(scene: Scene, sent: list[tuple[str, str]]) -> Answer:
    """An order with exactly these headers."""
    answer = await scene.shop.http.post("/api/v1/orders", json=buys(), headers=sent)
    return of_http(answer.status_code, answer.text, dict(answer.headers))


def headers(name: str, sent: Headers) -> Act:
    """An order with exactly these headers or metadata."""
    return act(
        name,
        grpc91=lambda scene: over_grpc(scene, sent(scene)),
        rest=lambda scene: over_rest(scene, sent(scene)),
    )


def me(scene: Scene) -> tuple[str, str]:
    """Who calls, said once."""
    return "Authorization", f"Bearer {token(scene)}"


def keyed(name: str, *keys: str) -> Act:
    """An order with these keys, each in a header of its own."""
    return headers(name, lambda scene: [me(scene), *(("Idempotency-Key", key) for key in keys)])


async def new_submit_token(scene: Scene) -> str:
    """A token for one form."""
    made = await scene.rest("POST", "/orders/token")
    return str(made.data["token"])


def with_submit_token(name: str, change: Callable[[str], str] = str, *, strangers: bool = False) -> Act:
    """An order with a submit token, in every place where a key may stand."""

    async def before(scene: Scene) -> None:
        if strangers:
            scene.bearer = scene.shop.token(scene.user + 500_000)
        scene.kept["key"] = change(await new_submit_token(scene))
        scene.bearer = token(scene)

    def key(scene: Scene) -> str:
        return str(scene.kept["key"])

    def checkout(scene: Scene) -> Any:
        request = shop_pb.OrderRequest(
            name="张三", mobile="13800138000", address="人民路", idempotency_key=key(scene)
        )
        return scene.grpc(f"{SHOP}/CreateOrder", request)

    async def filled(scene: Scene) -> None:
        await before(scene)
        await scene.fill_cart((110, 1))

    return act(
        name,
        grpc91=lambda scene: scene.grpc(CREATE, wanted(key(scene))),
        grpc3=checkout,
        rest=lambda scene: scene.rest("POST", "/orders", buys(), headers={"Idempotency-Key": key(scene)}),
    ).having(filled)


def in_metadata(act: Act) -> Act:
    """The same with the key in the metadata."""
    send: Send = lambda scene: scene.grpc(CREATE, wanted(), idempotency_key=scene.kept["key"])  # noqa: E731
    return Act(f"{act.name}, in metadata", {"9.1": send}, act.before, act.after, act.expect)


async def once_only(scene: Scene, answer: Answer) -> None:
    """The same form again finds its order; another form with the token is refused, in either protocol."""
    key = scene.kept["key"]
    number = answer.data["order_sn"] if isinstance(answer.data, dict) else answer.data.order_sn
    other = wanted(key)
    other.remark = "another form"
    over = [
        await scene.grpc(CREATE, other),
        await scene.rest("POST", "/orders", buys(note="another"), headers={"Idempotency-Key": key}),
    ]
    pay = {"payment_type": "alipay"}
    over.append(
        await scene.rest("POST", f"/orders/{number}/pay", pay, headers={"Idempotency-Key": key}),
    )
    paid = pb.PayOrderRequest(order_sn=number, payment_type=1, idempotency_key=key)
    over.append(await scene.grpc(f"{ORDER}/PayOrder", paid))
    assert {answer.reason for answer in over} == {KEY_REUSED.reason}


FORGED: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("forged", lambda key: "st_" + "A" * 16 + ".7fffffff." + "A" * 22),
    ("prefix alone", lambda key: "st_"),
    ("padding", lambda key: key + "="),
    ("spare bits", spare_bits),
    ("changed", lambda key: key[:5] + ("A" if key[5] != "A" else "B") + key[6:]),
)

ROWS: tuple[Row, ...] = (
    row(
        75,
        "two headers of a kind, or a second spelling of a token",
        NOBODY,
        bearing("padding", lambda scene: token(scene) + "="),
        bearing("more padding", lambda scene: token(scene) + "===="),
        bearing("spare bits", lambda scene: spare_bits(token(scene))),
        bearing("a blank before", lambda scene: " " + token(scene)),
        bearing("a sign within", lambda scene: token(scene)[:-4] + "!" + token(scene)[-4:]),
        bearing("the other alphabet", lambda scene: token(scene) + "+/"),
        bearing("two in one", lambda scene: f"{token(scene)}, Bearer {token(scene)}"),
        headers("two equal tokens", lambda scene: [me(scene), me(scene)]),
        headers(
            "two different tokens",
            lambda scene: [me(scene), ("Authorization", f"Bearer {scene.shop.token(8)}")],
        ),
        headers("nonsense first", lambda scene: [("Authorization", "Bearer x"), me(scene)]),
        headers("nonsense last", lambda scene: [me(scene), ("Authorization", "")]),
        keyed("two equal keys", "k", "k").gets(INVALID),
        keyed("two different keys", "k1", "k2").gets(INVALID),
        keyed("an empty key beside one", "k", "").gets(INVALID),
        keyed("two keys in one", "k1, k2").gets(INVALID),
        keyed("one key", "k1").gets(OK),
        *(
            a.gets(INVALID)
            for name, change in FORGED
            for it in [with_submit_token(f"submit token: {name}", change)]
            for a in (it, in_metadata(it))
        ),
        with_submit_token("submit token of somebody else", strangers=True).gets(INVALID),
        with_submit_token("submit token").gets(OK).then(once_only).only("9.1", "rest"),
        in_metadata(with_submit_token("submit token").gets(OK).then(once_only)),
    ),
)
