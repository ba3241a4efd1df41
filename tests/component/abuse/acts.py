"""What a row does: one request, in every protocol that has it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from google.protobuf.message import Message
from grpc import StatusCode

from shop_order.api.proto import order_pb2 as pb
from shop_order.api.proto import shop_order_pb2 as shop_pb
from tests.component.abuse.calls import ORDER, SHOP, Answer, Scene, address, types_of

Step = Callable[[Scene], Awaitable[Any]]
Send = Callable[[Scene], Awaitable[Answer]]
Check = Callable[[Scene, Answer], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Expect:
    """The promised answer: gRPC status, HTTP status, and the reason both protocols give."""

    grpc: StatusCode
    http: int
    reason: str = ""


OK = Expect(StatusCode.OK, 200)


@dataclass(frozen=True, slots=True)
class Act:
    """A request by protocol: keys are `9.1` and `3` (gRPC, by the specification's chapter), and `rest`."""

    name: str
    sends: Mapping[str, Send]
    before: Step | None = None
    after: Check | None = None
    expect: Expect | None = None

    def having(self, step: Step) -> Act:
        """The same after `step`."""
        return replace(self, before=step)

    def then(self, check: Check) -> Act:
        """The same, and then look."""
        return replace(self, after=check)

    def gets(self, expect: Expect) -> Act:
        """The same with another answer than the row's."""
        return replace(self, expect=expect)

    def only(self, *protocols: str) -> Act:
        """The same in these protocols."""
        return replace(self, sends={key: self.sends[key] for key in protocols})


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table; `environ` are settings of a Shop of its own."""

    number: int
    name: str
    expect: Expect
    acts: tuple[Act, ...]
    environ: Mapping[str, str] = field(default_factory=dict)


def row(number: int, name: str, expect: Expect, *acts: Act, **environ: str) -> Row:
    """A row of the table."""
    return Row(number, name, expect, acts, environ)


def act(name: str, **sends: Send) -> Act:
    """An act written out; `grpc91`, `grpc3`, `rest`."""
    return Act(
        name, {key.replace("grpc91", "9.1").replace("grpc3", "3"): send for key, send in sends.items()}
    )


# ---- buying ----


def order(
    *items: tuple[int, int], to: Mapping[str, str] | None = None, key: str = "", name: str = "", **more: Any
) -> Act:
    """Buy listed items; `to` changes the address, `more` the other fields by their REST names."""
    items = items or ((110, 1),)
    where = address(**(to or {}))
    sends: dict[str, Send] = {}
    if "post" not in where:
        request = pb.CreateOrderRequest(
            items=[pb.OrderItemRequest(product_id=goods, quantity=nums) for goods, nums in items],
            address=pb.AddressInfo(**where),
            remark=more.get("note", ""),
            user_id=more.get("user_id", 0),
            payment_type=more.get("payment_type", 0),
            coupon_id=more.get("coupon_id", ""),
            expected_total_fen=more.get("expected_total_fen", 0),
            idempotency_key=key,
        )
        sends["9.1"] = lambda scene: scene.grpc(f"{ORDER}/CreateOrder", request)
    wanted = {"items": [{"goods_id": goods, "nums": nums} for goods, nums in items], "address": where}
    headers = {"Idempotency-Key": key.encode()} if key else {}
    if "\0" not in key:  # no HTTP client can send it
        sends["rest"] = lambda scene: scene.rest("POST", "/orders", wanted | more, headers=headers)
    return Act(name or f"order {items if len(items) < 3 else len(items)} {to or more or ''}".strip(), sends)


def checkout(*, to: Mapping[str, str] | None = None, name: str = "", **more: Any) -> Act:
    """Buy the cart's checked lines."""
    where = address(**(to or {}))
    request = shop_pb.OrderRequest(
        address=where["detail"],
        mobile=where["phone"],
        name=where["name"],
        post=where.get("post", ""),
        province=where.get("province", ""),
        note=more.get("note", ""),
        pay_type=more.get("pay_type", ""),
        user_id=more.get("user_id", 0),
        idempotency_key=more.get("key", ""),
    )
    sends: dict[str, Send] = {"3": lambda scene: scene.grpc(f"{SHOP}/CreateOrder", request)}
    if "key" not in more:
        body = {"from": "cart", "address": where} | more
        sends["rest"] = lambda scene: scene.rest("POST", "/orders", body)
    return Act(name or f"checkout {to or more or ''}".strip(), sends)


def to(name: str, /, **changes: str) -> tuple[Act, Act]:
    """Both ways to buy, with these changes of the address."""
    return order(to=changes, name=f"order {name}".strip()), checkout(
        to=changes, name=f"checkout {name}".strip()
    )


# ---- the cart ----


def add(goods: int, nums: int, **more: Any) -> Act:
    """Put goods into the cart."""
    request = shop_pb.CartItemRequest(goods_id=goods, nums=nums, user_id=more.get("user_id", 0))
    body = {"goods_id": goods, "nums": nums} | more
    return act(
        f"add {nums} of {goods}",
        grpc3=lambda scene: scene.grpc(f"{SHOP}/AddShoppingCart", request),
        rest=lambda scene: scene.rest("POST", "/cart/items", body),
    )


def set_nums(goods: int, nums: int) -> Act:
    """Set the number of a line."""
    request = shop_pb.CartItemRequest(goods_id=goods, nums=nums)
    return act(
        f"set {goods} to {nums}",
        grpc3=lambda scene: scene.grpc(f"{SHOP}/UpdateShoppingCart", request),
        rest=lambda scene: scene.rest("PATCH", f"/cart/items/{goods}", {"nums": nums}),
    )


# ---- an order that is there ----

_GRPC: Mapping[str, tuple[tuple[str, str, Mapping[str, Any]], ...]] = {
    "get": (("9.1", f"{ORDER}/GetOrderByOrderSn", {}), ("3", f"{SHOP}/OrderDetail", {})),
    "status": (("9.1", f"{ORDER}/CheckOrderStatus", {}),),
    "payment": (("9.1", f"{ORDER}/GetPaymentInfo", {}),),
    "cancel": (("9.1", f"{ORDER}/CancelOrder", {}), ("3", f"{SHOP}/UpdateOrderStatus", {"status": 5})),
    "pay": (
        ("9.1", f"{ORDER}/PayOrder", {"payment_type": 1}),
        ("3", f"{SHOP}/PayOrder", {"payment_type": 1}),
    ),
    "confirm": (("9.1", f"{ORDER}/ConfirmReceipt", {}), ("3", f"{SHOP}/UpdateOrderStatus", {"status": 4})),
    "ship": (("9.1", f"{ORDER}/ShipOrder", {}), ("3", f"{SHOP}/UpdateOrderStatus", {"status": 3})),
}
_REST: Mapping[str, tuple[str, str, Mapping[str, Any] | None]] = {
    "get": ("GET", "/orders/{}", None),
    "status": ("GET", "/orders/{}/status", None),
    "payment": ("GET", "/orders/{}/payment", None),
    "cancel": ("POST", "/orders/{}/cancel", {}),
    "pay": ("POST", "/orders/{}/pay", {"payment_type": "alipay"}),
    "confirm": ("POST", "/orders/{}/confirm", {}),
    "ship": ("POST", "/admin/orders/{}/ship", {}),
}
VERBS = tuple(_REST)
_PARCEL = {"logistics_company": "SF", "logistics_no": "SF1234567890"}


def on_order(verb: str, *, sn: str | None = None, name: str = "", **fields: Any) -> Act:
    """Do something to the scene's order, or to `sn`; a protocol whose message lacks a field is left out."""
    fields = (_PARCEL if verb == "ship" else {}) | fields
    sends: dict[str, Send] = {}
    for key, method, fixed in _GRPC[verb]:
        known = types_of(method)[0].DESCRIPTOR.fields_by_name
        if all(field in known for field in fields):
            sends[key] = _grpc_send(method, {**fixed, **fields}, sn)
    sends["rest"] = _rest_send(verb, fields, sn)
    return Act(name or f"{verb} {sn if sn is not None else ''} {fields}".strip(), sends)


def _grpc_send(method: str, fields: Mapping[str, Any], sn: str | None) -> Send:
    kind = types_of(method)[0]
    return lambda scene: scene.grpc(method, kind(order_sn=scene.sn if sn is None else sn, **fields))


def _rest_send(verb: str, fields: Mapping[str, Any], sn: str | None) -> Send:
    method, path, fixed = _REST[verb]

    async def send(scene: Scene) -> Answer:
        url = path.format(scene.sn if sn is None else sn or "%20")
        if fixed is None:
            return await scene.rest(method, url, params=fields)
        return await scene.rest(method, url, {**fixed, **fields})

    return send


def grpc(name: str, method: str, request: Message | bytes | Callable[[Scene], Message | bytes]) -> Act:
    """One gRPC call that REST has no like of."""
    key = "9.1" if method.startswith(ORDER) else "3" if method.startswith(SHOP) else "neighbour"
    return Act(
        name, {key: lambda scene: scene.grpc(method, request(scene) if callable(request) else request)}
    )


def rest(name: str, method: str, path: str, json: Any = None, **more: Any) -> Act:
    """One REST request that gRPC has no like of."""
    return Act(name, {"rest": lambda scene: scene.rest(method, path, json, **more)})


def several(name: str, send: Mapping[str, Send]) -> Act:
    """An act by protocol."""
    return Act(name, send)
