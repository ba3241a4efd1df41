"""One request in either protocol, and what came back; the scene is a buyer of their own in the whole Shop."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf import message_factory
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode

from shop_order.api.proto import order_pb2, shop_order_pb2
from shop_order.api.proto.shop import neighbours_pb2
from shop_order.domain.valueobject.parties import Role
from tests.shop import ADDRESS, Shop

ORDER = "order.OrderService"
SHOP = "shop.order.Order"
_NEIGHBOURS = ("shop.neighbours.ReservationCheck", "shop.neighbours.EventInbox")
_FILES = {ORDER: order_pb2, SHOP: shop_order_pb2, **dict.fromkeys(_NEIGHBOURS, neighbours_pb2)}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a caller got; `reason` is empty for a success, `said` is every text a caller can read."""

    status: StatusCode | int
    reason: str = ""
    details: Mapping[str, str] = field(default_factory=dict)
    data: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    said: str = ""
    retry_s: float | None = None


class Scene:
    """A new buyer, with the order and the texts a row needs."""

    def __init__(self, shop: Shop, user: int) -> None:
        self.shop = shop
        self.user = user
        self.bearer = shop.token(user)
        self.sn = ""
        self.id = 0
        self.version = 0
        self.kept: dict[str, Any] = {}

    # ---- requests ----

    async def grpc(self, method: str, request: Message | bytes, **metadata: str) -> Answer:
        """One call; bytes go out as they are."""
        assert self.shop.channel is not None
        body = request if isinstance(request, bytes) else request.SerializeToString()
        sent = [(name.replace("_", "-"), value) for name, value in metadata.items()]
        if self.bearer:
            sent.append(("authorization", f"Bearer {self.bearer}"))
        ask: Any = self.shop.channel.unary_unary(f"/{method}")  # raw bytes, both ways
        call = ask(body, metadata=sent, timeout=20)
        try:
            raw = await call
        except grpc.aio.AioRpcError as error:
            return refusal(error)
        trailing = {str(name): str(value) for name, value in await call.trailing_metadata() or ()}
        message = types_of(method)[1].FromString(raw)
        return Answer(StatusCode.OK, data=message, headers=trailing, said=str(message) + str(trailing))

    async def rest(self, method: str, path: str, json: Any = None, **more: Any) -> Answer:
        """One request below /api/v1, or at `//path`."""
        url = path[1:] if path.startswith("//") else f"/api/v1{path}"
        headers = {"Authorization": f"Bearer {self.bearer}"} if self.bearer else {}
        if json is not None:
            more["content"] = text_of(json)
            headers["Content-Type"] = "application/json"
        headers |= more.pop("headers", {})
        answer = await self.shop.http.request(method, url, headers=headers, **more)
        return of_http(answer.status_code, answer.text, dict(answer.headers))

    # ---- what a row needs beforehand ----

    async def place(self, *, goods: int = 110, nums: int = 1, **body: Any) -> None:
        """A pending order."""
        self._keep(await self.shop.place(self.user, goods=goods, nums=nums, **body))

    async def pay(self) -> None:
        """A paid order."""
        self._keep(await self.shop.paid(self.user, goods=110))

    async def ship(self) -> None:
        """A shipped order."""
        await self.pay()
        await self.shop.ship(self.sn)

    async def cancel(self) -> None:
        """A cancelled order."""
        await self.place()
        answer = await self.rest("POST", f"/orders/{self.sn}/cancel")
        assert answer.status == 200, answer

    async def fill_cart(self, *lines: tuple[int, int]) -> None:
        """Goods in the cart."""
        for goods, nums in lines:
            answer = await self.rest("POST", "/cart/items", {"goods_id": goods, "nums": nums})
            assert answer.status == 200, answer

    async def opened(self) -> str:
        """A pending order with an open attempt: its payment_sn."""
        await self.place()
        return str((await self.shop.open_attempt(self.sn, self.user))["payment_sn"])

    def become(self, role: Role, *, subject: str | None = None, act_for: int | None = None) -> None:
        """Call with another role from now on."""
        self.bearer = self.shop.token(self.user, role=role, subject=subject, act_for=act_for)

    def become_stranger(self) -> None:
        """Call as another buyer from now on."""
        self.bearer = self.shop.token(self.user + 500_000)

    async def now(self) -> Mapping[str, Any]:
        """The order as its owner sees it."""
        return await self.shop.order(self.sn, self.user)

    async def available(self, goods: int) -> int:
        """What can be bought of the goods right now."""
        found: Mapping[int, int] = await self.shop.core.stock.available([goods])
        return found[goods]

    def _keep(self, order: Mapping[str, Any]) -> None:
        self.sn, self.id, self.version = order["order_sn"], int(order["id"]), order["version"]


def text_of(value: Any) -> bytes:
    """JSON as a careless client writes it: NaN, lone surrogates and large numbers too."""
    return value if isinstance(value, bytes) else json.dumps(value, ensure_ascii=True).encode()


def types_of(method: str) -> tuple[type[Message], type[Message]]:
    """Request and answer of a gRPC method."""
    service, _, name = method.partition("/")
    descriptor = _FILES[service].DESCRIPTOR.services_by_name[service.rpartition(".")[2]]
    found = descriptor.methods_by_name[name]
    return (
        message_factory.GetMessageClass(found.input_type),
        message_factory.GetMessageClass(found.output_type),
    )


def refusal(error: grpc.aio.AioRpcError) -> Answer:
    """A refused call with its details."""
    trailing = {str(name): value for name, value in error.trailing_metadata() or ()}
    status = status_pb2.Status.FromString(trailing.pop("grpc-status-details-bin", b""))
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    retry_s = None
    for detail in status.details:
        detail.Unpack(info)
        if detail.Unpack(retry):
            retry_s = retry.retry_delay.ToNanoseconds() / 1e9
    said = f"{error.details()} {status.message} {info} {trailing}"
    headers = {name: str(value) for name, value in trailing.items()}
    if info.reason:
        assert info.domain == "order.shop"
    return Answer(error.code(), info.reason, dict(info.metadata), None, headers, said, retry_s)


def of_http(status: int, text: str, headers: Mapping[str, str]) -> Answer:
    """An HTTP answer; an envelope must agree with its status."""
    said = f"{text} {dict(headers)}"
    retry_s = float(headers["retry-after"]) if "retry-after" in headers else None
    if not headers.get("content-type", "").startswith("application/json"):
        return Answer(status, "", {}, text, headers, said, retry_s)
    body = json.loads(text)
    if status == 200:
        return Answer(status, "", {}, body.get("data"), headers, said)
    assert body["code"] == status and body["message"], body
    assert body["request_id"] == headers["x-request-id"], body
    return Answer(status, body["error"], body["details"], None, headers, said, retry_s)


def address(**changes: str) -> dict[str, str]:
    """A good address but for the changes."""
    return {**ADDRESS, **changes}
