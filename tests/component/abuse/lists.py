"""Requests the rows share: lists, look-ups by id, JSON bodies."""

from __future__ import annotations

from shop_order.api.proto import order_pb2 as pb
from shop_order.api.proto import shop_order_pb2 as shop_pb
from tests.component.abuse.acts import (
    Act,
    Send,
    act,
    rest,
)
from tests.component.abuse.calls import ORDER, SHOP, address


def listing(name: str, *, rest: dict[str, object], **fields: object) -> Act:
    """A list of orders; `fields` by the names of 9.1."""
    third = {"page": "pages", "page_size": "page_per_nums"}
    first = pb.ListOrdersRequest(**fields)  # type: ignore[arg-type]
    other = {third.get(key, key): value for key, value in fields.items() if not key.endswith("_time")}
    times = {key: rest[key] for key in ("start_time", "end_time") if key in rest}
    second = shop_pb.OrderFilterRequest(**other, **times)  # type: ignore[arg-type]
    return act(
        f"list {name}",
        grpc91=lambda scene: scene.grpc(f"{ORDER}/ListOrders", first),
        grpc3=lambda scene: scene.grpc(f"{SHOP}/OrderList", second),
        rest=lambda scene: scene.rest("GET", "/orders", params=rest),
    )


def by_id(name: str, id: int = 0) -> Act:
    """Look an order up by its id: the scene's, or this one."""
    return act(
        name,
        grpc91=lambda scene: scene.grpc(f"{ORDER}/GetOrder", pb.GetOrderRequest(id=id or scene.id)),
        grpc3=lambda scene: scene.grpc(f"{SHOP}/OrderDetail", shop_pb.OrderRequest(id=id or scene.id)),
    )


def guess() -> dict[str, Send]:
    """Ask for the next number nobody told us."""
    return {
        "9.1": lambda s: s.grpc(
            f"{ORDER}/GetOrderByOrderSn", pb.GetOrderByOrderSnRequest(order_sn=next(s.kept["guesses"]))
        ),
        "rest": lambda s: s.rest("GET", f"/orders/{next(s.kept['guesses'])}/status"),
    }


def json_body(name: str, body: object, path: str = "/orders") -> Act:
    """A body only JSON can carry."""
    return rest(name, "POST", path, body)


def buys(**more: object) -> dict[str, object]:
    """A good REST order but for the changes."""
    return {"items": [{"goods_id": 110, "nums": 1}], "address": address(), **more}


def search(order_sn: str) -> Act:
    """Look for a text where a number belongs."""
    request = shop_pb.OrderFilterRequest(order_sn=order_sn)
    return act(
        f"search {order_sn[:3]}",
        grpc3=lambda scene: scene.grpc(f"{SHOP}/OrderList", request),
        rest=lambda scene: scene.rest("GET", "/orders", params={"order_sn": order_sn}),
    )
