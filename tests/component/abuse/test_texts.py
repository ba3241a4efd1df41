"""Every text a caller can send, in every entrance: what nobody sees in it is refused, and the field named."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import pytest
import pytest_asyncio
from google.protobuf.message import Message
from pydantic import BaseModel

from shop_order.api.proto import order_pb2, shop_order_pb2
from shop_order.domain.valueobject.parties import Role
from shop_order.web.dto import requests
from tests.component.abuse.calls import ORDER, SHOP, Scene, address, types_of
from tests.component.abuse.judging import must_be, must_not_leak
from tests.component.abuse.promises import INVALID
from tests.shop import Shop

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.engine("sqlite", "memory", "embedded")]

HIDDEN = ("a\u00adb", "a\u3164b", "a\u2028b", "a\U000e0061b", "a\u202eb")

PARCEL = {"logistics_company": "SF", "logistics_no": "1"}

# What each gRPC method is asked but for the text that is tried; a method with texts and without a row fails.
_ADDRESS = {k: v for k, v in address().items() if k != "post"}
_ITEMS = [{"product_id": 110, "quantity": 1}]
GRPC: Mapping[str, Mapping[str, Any]] = {
    f"{ORDER}/CreateOrder": {"items": _ITEMS, "address": _ADDRESS},
    f"{ORDER}/GetOrderByOrderSn": {"order_sn": "<sn>"},
    f"{ORDER}/ListOrders": {},
    f"{ORDER}/CancelOrder": {"order_sn": "<sn>"},
    f"{ORDER}/PayOrder": {"order_sn": "<sn>", "payment_type": 1},
    f"{ORDER}/GetPaymentInfo": {"order_sn": "<sn>"},
    f"{ORDER}/CheckOrderStatus": {"order_sn": "<sn>"},
    f"{ORDER}/ShipOrder": {"order_sn": "<sn>", **PARCEL},
    f"{ORDER}/ConfirmReceipt": {"order_sn": "<sn>"},
    f"{ORDER}/RequestRefund": {"order_sn": "<paid>"},
    f"{ORDER}/DecideRefund": {"refund_sn": "<refund>", "reason": "不符合条件"},
    f"{ORDER}/GetRefund": {"refund_sn": "<refund>"},
    f"{ORDER}/ListRefunds": {},
    f"{ORDER}/WithdrawRefund": {"refund_sn": "<refund>"},
    f"{ORDER}/SendReturnParcel": {"refund_sn": "<refund>", **PARCEL},
    f"{ORDER}/ReceiveReturn": {"refund_sn": "<refund>"},
    f"{ORDER}/ResendRefund": {"refund_sn": "<refund>"},
    f"{ORDER}/SettleRefund": {"refund_sn": "<refund>", "reason": "银行转账"},
    f"{SHOP}/CreateOrder": {"name": "张三", "mobile": "13800138000", "address": "人民路"},
    f"{SHOP}/OrderList": {},
    f"{SHOP}/OrderDetail": {"order_sn": "<sn>"},
    f"{SHOP}/UpdateOrderStatus": {"order_sn": "<sn>", "status": 5},
    f"{SHOP}/PayOrder": {"order_sn": "<sn>", "payment_type": 1},
}
LATER = {f"{ORDER}/WatchOrderStatus"}
ADMINS = {
    f"{ORDER}/{name}"
    for name in ("ShipOrder", "DecideRefund", "ReceiveReturn", "ResendRefund", "SettleRefund")
}
SIGNED = {f"{ORDER}/NotifyPayment", f"{SHOP}/OrderPayCallback"}  # not a caller's: the gateway signs them
UNREAD = {
    f"{ORDER}/PayOrder": {"client_ip"},  # a service's only
    f"{SHOP}/PayOrder": {"client_ip"},
    f"{SHOP}/CreateOrder": {"order_sn"},
    # A message that chapter 3 uses for three purposes.
    f"{SHOP}/OrderDetail": {
        "address", "mobile", "name", "post", "note", "pay_type", "coupon_id", "idempotency_key",
        "quote_token", "province", "city", "district", "return_url", "cancel_url",
    },
    f"{SHOP}/UpdateOrderStatus": {"pay_time", "trade_no"},
}  # fmt: skip
# Chapter 3 has the address flat, and names of its own; the answer has the path that every protocol has.
FLAT = {name: f"address.{name}" for name in ("name", "province", "city", "district", "post")}
NAMES = {"remark": "note", "mobile": "address.phone", "address": "address.detail", **FLAT}

REST: Mapping[type[BaseModel], tuple[str, Mapping[str, Any]]] = {
    requests.PlaceOrderBody: (
        "/orders",
        {"items": [{"goods_id": 110, "nums": 1}], "address": address()},
    ),
    requests.PayBody: ("/orders/<sn>/pay", {"payment_type": "alipay"}),
    requests.CancelBody: ("/orders/<sn>/cancel", {}),
    requests.ShipBody: ("/admin/orders/<sn>/ship", PARCEL),
}


def texts_of_message(kind: Any, before: str = "") -> Iterator[str]:
    for field in kind.fields:
        if field.type == field.TYPE_STRING:
            yield before + field.name
        elif field.message_type and not field.message_type.full_name.startswith("google."):
            yield from texts_of_message(field.message_type, f"{before}{field.name}.")


def texts_of_model(kind: type[BaseModel], before: str = "") -> Iterator[str]:
    for name, field in kind.model_fields.items():
        if field.annotation is str:
            yield before + name
        for inner in (requests.AddressBody,):
            if field.annotation == inner | None:
                yield from texts_of_model(inner, f"{before}{name}.")


def methods() -> Iterator[str]:
    for module, service in ((order_pb2, ORDER), (shop_order_pb2, SHOP)):
        described = module.DESCRIPTOR.services_by_name[service.rpartition(".")[2]]
        yield from (f"{service}/{method.name}" for method in described.methods)


def grpc_cases() -> Iterator[tuple[str, str]]:
    for method in methods():
        if method not in LATER | SIGNED:
            for text in texts_of_message(types_of(method)[0].DESCRIPTOR):
                if text not in UNREAD.get(method, ()):
                    yield method, text


def with_text(fields: Mapping[str, Any], path: str, text: str, names: Mapping[str, str]) -> dict[str, Any]:
    name, _, rest = path.partition(".")
    filled: dict[str, Any] = {
        key: names.get(value, value) if isinstance(value, str) else value for key, value in fields.items()
    }
    return filled | {name: with_text(filled.get(name, {}), rest, text, names) if rest else text}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    """A buyer with a pending order, and one with a paid one."""
    async with Shop(tmp_path_factory.mktemp("shop")) as shop:
        scene = Scene(shop, 7)
        await scene.pay()
        scene.kept["paid"] = scene.sn
        asked = await scene.rest("POST", f"/orders/{scene.sn}/refunds", {"amount_fen": 1})
        scene.kept["refund"] = asked.data["refund_sn"]
        await scene.place()
        await scene.fill_cart((110, 1))
        yield scene


def become(scene: Scene, *, admin: bool) -> dict[str, str]:
    """Call as who may do it: the numbers it can be done with."""
    scene.bearer = scene.shop.token(1 if admin else 7, role=Role.ADMIN if admin else Role.USER)
    paid = str(scene.kept["paid"])
    return {"<sn>": paid if admin else scene.sn, "<paid>": paid, "<refund>": str(scene.kept["refund"])}


@pytest.mark.parametrize(("method", "path"), list(grpc_cases()))
async def test_a_text_over_grpc(scene: Scene, method: str, path: str) -> None:
    ships = "logistics" in path and "UpdateOrderStatus" in method
    names = become(scene, admin=ships or method in ADMINS)
    more = {"status": 3, **PARCEL} if path in PARCEL and "UpdateOrderStatus" in method else {}
    for text in HIDDEN:
        fields = with_text({**GRPC[method], **more}, path, text, names)
        request: Message = types_of(method)[0](**fields)
        answer = await scene.grpc(method, request)
        must_be(answer, INVALID)
        must_not_leak(answer)
        named = NAMES.get(path, path) if method.endswith("CreateOrder") else path
        assert answer.details["field"] == named


@pytest.mark.parametrize(
    ("model", "path"), [(model, path) for model in REST for path in texts_of_model(model)]
)
async def test_a_text_over_rest(scene: Scene, model: type[BaseModel], path: str) -> None:
    names = become(scene, admin=model is requests.ShipBody)
    where, fields = REST[model]
    for text in HIDDEN:
        answer = await scene.rest(
            "POST", where.replace("<sn>", names["<sn>"]), with_text(fields, path, text, names)
        )
        must_be(answer, INVALID)
        must_not_leak(answer)
        assert answer.details["field"] == path


@pytest.mark.parametrize("text", HIDDEN, ids=ascii)
async def test_what_is_no_body(scene: Scene, text: str) -> None:
    sn = become(scene, admin=False)["<sn>"]
    body = {"items": [{"goods_id": 110, "nums": 1}], "address": address()}
    key = await scene.rest("POST", "/orders", body, headers={"Idempotency-Key": text.encode()})
    search = await scene.rest("GET", "/orders", params={"order_sn": text})
    cursor = await scene.rest("GET", "/orders", params={"cursor": text})
    number = await scene.rest("GET", f"/orders/{sn}{text}")
    for answer in (key, search, cursor, number):
        must_be(answer, INVALID)
        must_not_leak(answer)


async def test_every_text_of_a_body_is_in_the_list() -> None:
    bodies = {kind for kind in vars(requests).values() if isinstance(kind, type)}
    with_texts = {
        kind
        for kind in bodies
        if issubclass(kind, BaseModel) and kind.__module__ == requests.__name__ and any(texts_of_model(kind))
    }
    assert with_texts - {requests.AddressBody} == set(REST)


async def test_an_entry_of_the_address_book_is_refused_by_its_field(scene: Scene) -> None:
    become(scene, admin=False)
    spoil = "UPDATE address SET name = ? WHERE id = 72"
    await scene.shop.sandbox.users_db.run(lambda db: db.execute(spoil, ("张\u3164三",)).rowcount)
    body = {"items": [{"goods_id": 110, "nums": 1}], "address_id": 72}
    answer = await scene.rest("POST", "/orders", body, headers={"Accept-Language": "en"})
    must_be(answer, INVALID)
    assert answer.details == {"field": "address_id.name", "problem": "invisible_characters"}
    assert "address_id.name must not contain invisible" in answer.said
