"""Buyers who write down every answer, and repeat what was not answered with the same key."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import grpc
import grpc.aio
import httpx

from shop_order.api.proto import order_pb2 as nine
from shop_order.api.proto import shop_order_pb2 as three
from shop_order.api.proto.order_pb2_grpc import OrderServiceStub
from shop_order.api.proto.shop_order_pb2_grpc import OrderStub
from tests.faults.processes import GOODS, Processes

Code = grpc.StatusCode
NOTHING_KNOWN = frozenset({Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.RESOURCE_EXHAUSTED, Code.ABORTED})
DEADLINE_S = 4.0
ALIPAY = 1


@dataclass(slots=True)
class Notebook:
    """What the buyers know; the service's own books are compared with it."""

    answers: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # key: order numbers
    owner: dict[str, int] = field(default_factory=dict)  # order number: user
    bought: dict[str, tuple[int, int]] = field(default_factory=dict)  # order number: goods, nums
    paid: dict[str, str] = field(
        default_factory=dict
    )  # order number: attempt, once the provider has the money
    cancelled: set[str] = field(default_factory=set)  # answered with OK
    unanswered: Counter[str] = field(default_factory=Counter)  # by status code
    replayed: int = 0  # commands that were done though their answer was lost: the key found them


class Buyer:
    """One user with a seed of its own; `shop` runs until `closed` is set and the last story is finished."""

    def __init__(
        self, town: Processes, user: int, notebook: Notebook, seed: int, *, at: str = "", rest_s: float = 0.04
    ) -> None:
        """`at`: the gRPC address, if not the town's first; `rest_s`: how long it may rest after a story."""
        self._user = user
        self._note = notebook
        self._random = Random(seed)
        self._metadata = town.metadata(user)
        options = [
            ("grpc.max_reconnect_backoff_ms", 200),
            ("grpc.initial_reconnect_backoff_ms", 50),
            ("grpc.use_local_subchannel_pool", 1),  # a connection of its own
        ]
        self._channel = grpc.aio.insecure_channel(at or town.grpc_address, options=options)
        self._rest_s = rest_s
        self._nine = OrderServiceStub(self._channel)
        self._three = OrderStub(self._channel)
        self._provider = httpx.AsyncClient(base_url=town.sandbox_url, timeout=5, trust_env=False)

    async def shop(self, closed: asyncio.Event) -> None:
        """Story after story."""
        number = 0
        while not closed.is_set():
            number += 1
            await self._story(f"{self._user}-{number}")
            await asyncio.sleep(self._random.uniform(0, self._rest_s))
        await self._channel.close()
        await self._provider.aclose()

    async def _story(self, key: str) -> None:
        goods, nums = self._random.choice(GOODS), self._random.randint(1, 3)
        place = self._from_cart if self._random.random() < 0.3 else self._listed
        order_sn = await place(key, goods, nums)
        self._note.owner[order_sn] = self._user
        self._note.bought[order_sn] = (goods, nums)
        fate = self._random.random()
        if fate < 0.45:
            await self._pay(key, order_sn)
        elif fate < 0.7:
            await self._cancel(order_sn)
        elif fate < 0.85:
            await asyncio.gather(self._pay(key, order_sn), self._cancel(order_sn))

    # ---- commands ----

    async def _listed(self, key: str, goods: int, nums: int) -> str:
        request = nine.CreateOrderRequest(
            items=[nine.OrderItemRequest(product_id=goods, quantity=nums)],
            address=nine.AddressInfo(name="张三", phone="13800138000", detail="人民路 1 号"),
            idempotency_key=key,
        )
        return await self._noted(key, lambda: self._call(self._nine.CreateOrder, request))

    async def _from_cart(self, key: str, goods: int, nums: int) -> str:
        line = three.CartItemRequest(goods_id=goods, nums=nums)
        await self._call(self._three.AddShoppingCart, line)
        await self._call(self._three.UpdateShoppingCart, line)  # an unanswered Add may have been done twice
        request = three.OrderRequest(
            name="张三", mobile="13800138000", address="人民路 1 号", idempotency_key=key
        )
        return await self._noted(key, lambda: self._call(self._three.CreateOrder, request))

    async def _noted(self, key: str, command: Callable[[], Awaitable[Any]]) -> str:
        for _ in range(2 if self._random.random() < 0.3 else 1):  # a double click
            order_sn = str((await command()).order_sn)
            self._note.answers[key].add(order_sn)
        return order_sn

    async def _cancel(self, order_sn: str) -> None:
        try:
            await self._call(self._nine.CancelOrder, nine.CancelOrderRequest(order_sn=order_sn))
        except grpc.aio.AioRpcError as refused:
            assert refused.code() is Code.FAILED_PRECONDITION, refused  # it is paid
            return
        self._note.cancelled.add(order_sn)

    async def _pay(self, key: str, order_sn: str) -> None:
        request = nine.PayOrderRequest(order_sn=order_sn, payment_type=ALIPAY, idempotency_key=f"{key}-pay")
        try:
            attempt = await self._call(self._nine.PayOrder, request)
        except grpc.aio.AioRpcError as refused:
            assert refused.code() is Code.FAILED_PRECONDITION, refused  # it is cancelled
            return
        await self._provider_says(lambda: self._provider.get(attempt.payment_url), {200})
        said = await self._provider_says(
            lambda: self._provider.post(f"/alipay/sim/{attempt.payment_sn}/pay"), {200, 409}
        )
        # Refused: it has the money since an unanswered try, or the service closed the trade before.
        if said.status_code == 200 or said.json()["error"] == "ACQ.TRADE_HAS_SUCCESS":
            self._note.paid[order_sn] = attempt.payment_sn

    # ---- until there is an answer ----

    async def _call(self, method: Any, request: Any) -> Any:
        lost = False
        while True:
            call = method(request, metadata=self._metadata, timeout=DEADLINE_S)
            try:
                answer = await call
            except grpc.aio.AioRpcError as failed:
                if failed.code() not in NOTHING_KNOWN:
                    raise
                lost = True
                self._note.unanswered[failed.code().name] += 1
                await asyncio.sleep(self._random.uniform(0.02, 0.15))
                continue
            trailing = dict(await call.trailing_metadata())
            self._note.replayed += lost and "idempotency-replayed" in trailing
            return answer

    async def _provider_says(
        self, ask: Callable[[], Awaitable[httpx.Response]], wanted: set[int]
    ) -> httpx.Response:
        while True:
            try:
                answer = await ask()
            except httpx.TransportError:
                await asyncio.sleep(self._random.uniform(0.02, 0.15))
                continue
            assert answer.status_code in wanted, answer.text
            return answer
