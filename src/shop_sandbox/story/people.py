"""The people of the story and what they do through the public interfaces."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import date
from typing import Any, Self

import httpx

from shop_order.api.client import (
    AddressInfo,
    CreateOrderRequest,
    OrderClient,
    OrderItemRequest,
    new_order_client,
)
from shop_order.api.proto import order_pb2 as pb
from shop_sandbox.story.narrator import UnexpectedResult, expect
from shop_sandbox.story.stage import Stage

ADDRESS = {"name": "张三", "phone": "13800138000", "detail": "文三路 100 号"}
BROWSER = {"Accept": "text/html"}
Data = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Person:
    """A caller with a token, over both protocols."""

    http: httpx.AsyncClient
    grpc: OrderClient
    token: str

    async def ask(self, method: str, path: str, body: object = None, key: str = "") -> httpx.Response:
        """Make a REST call; `path` is relative to /api/v1."""
        headers = {"Authorization": f"Bearer {self.token}"}
        if key:
            headers["Idempotency-Key"] = key
        return await self.http.request(method, f"/api/v1{path}", json=body, headers=headers)

    async def data(self, method: str, path: str, body: object = None, key: str = "") -> Data:
        """The data of a successful REST call. Raises UnexpectedResult."""
        answer = await self.ask(method, path, body, key)
        if answer.status_code != 200:
            raise UnexpectedResult(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
        found: Data = answer.json()["data"]
        return found

    async def order(self, goods_id: int, nums: int, *, key: str = "") -> pb.OrderInfo:
        """Place an order over gRPC, with the published client."""
        request = CreateOrderRequest([OrderItemRequest(goods_id, nums)], AddressInfo(**ADDRESS))
        return await self.grpc.create_order(request, idempotency_key=key)

    async def status(self, order_sn: str) -> int:
        """1 pending, 2 paid, 3 shipped, 4 completed, 5 cancelled; over gRPC."""
        return (await self.grpc.check_order_status(order_sn)).status

    async def cashier(self, order: pb.OrderInfo | Data) -> Data:
        """What the cashier shows, as data. Raises UnexpectedResult."""
        answer = await self.http.get(_field(order, "pay_url"), headers={"Accept": "application/json"})
        expect(answer.status_code, 200, "the cashier")
        found: Data = answer.json()["data"]
        return found

    async def choose(self, order: pb.OrderInfo | Data, channel: str) -> httpx.Response:
        """Open the cashier and choose a channel, as a browser does; returns the page that this leads to.

        Raises UnexpectedResult.
        """
        pay_url = _field(order, "pay_url")
        page = await self.http.get(pay_url, headers=BROWSER)
        expect(page.status_code, 200, "the cashier")
        chosen = await self.http.post(pay_url, data={"payment_type": channel}, headers=BROWSER)
        expect(chosen.status_code, 303, "the redirect of the cashier")
        return await self.http.get(chosen.url.join(chosen.headers["Location"]), headers=BROWSER)

    async def open_alipay(self, order: pb.OrderInfo | Data) -> str:
        """Go from the cashier to Alipay's page; returns the payment's number. Raises UnexpectedResult."""
        # The simulator verifies our RSA2 signature, and would answer 400 if it were invalid.
        expect((await self.choose(order, "alipay")).status_code, 200, "Alipay's page")
        return await self._payment_sn(order)

    async def open_wechat(self, order: pb.OrderInfo | Data) -> tuple[str, str]:
        """Have the cashier draw WeChat's QR code; returns the payment's number and what the code says.

        Raises UnexpectedResult.
        """
        page = await self.choose(order, "wechat")
        expect((page.status_code, 'class="qr"' in page.text), (200, True), "the cashier with a QR code")
        return await self._payment_sn(order), str((await self.cashier(order))["qr_code"])

    async def _payment_sn(self, order: pb.OrderInfo | Data) -> str:
        payment = await self.data("GET", f"/orders/{_field(order, 'order_sn')}/payment")
        return str(payment["payment_sn"])


def _field(order: pb.OrderInfo | Data, name: str) -> str:
    return str(getattr(order, name) if isinstance(order, pb.OrderInfo) else order[name])


@dataclass(frozen=True, slots=True)
class Provider:
    """Alipay and WeChat Pay, as their simulators let us play them, and the shelves of the goods service."""

    http: httpx.AsyncClient

    async def perform(self, payment_sn: str, action: str, *, at: str = "alipay") -> Data:
        """Carry out an action; returns the state and the merchant's answer to the notice."""
        answer = await self.http.post(f"/{at}/sim/{payment_sn}/{action}")
        answer.raise_for_status()
        found: Data = answer.json()
        return found

    async def state(self, payment_sn: str, *, at: str = "alipay") -> Data:
        """The provider's state of a payment."""
        answer = await self.http.get(f"/{at}/sim/{payment_sn}")
        answer.raise_for_status()
        found: Data = answer.json()
        return found

    async def scan_and_pay(self, code: str) -> None:
        """Scan WeChat's QR code, and pay on the page that it leads to. Raises UnexpectedResult."""
        scanned = await self.http.get("/wechat/scan", params={"code_url": code}, headers=BROWSER)
        expect(scanned.status_code, 303, "the scanned code")
        pressed = await self.http.post(f"{scanned.headers['Location']}/pay", headers=BROWSER)
        expect(pressed.status_code, 303, "the payment at WeChat")

    async def publish_bill(self, channel: str, day: date) -> None:
        """Let the provider publish the bill of a day before its time."""
        (await self.http.post(f"/{channel}/sim/bills/{day}", json={"out": True})).raise_for_status()

    async def shelf(self, goods_id: int) -> Data:
        """The goods with available, reserved and sold stock."""
        answer = await self.http.get(f"/admin/goods/{goods_id}")
        answer.raise_for_status()
        found: Data = answer.json()
        return found

    async def available(self, goods_id: int) -> int:
        """How many are available."""
        return int((await self.shelf(goods_id))["stock"])


class Cast:
    """Two buyers, the operator and the providers; a context that closes their connections."""

    zhang: Person
    li: Person
    operator: Person
    provider: Provider

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._exit = AsyncExitStack()

    async def __aenter__(self) -> Self:
        http = await self._http(self.stage.rest)
        self.provider = Provider(await self._http(self.stage.sandbox))
        self.zhang = await self._person(http, "--user", "7")
        self.li = await self._person(http, "--user", "8")
        self.operator = await self._person(http, "--user", "1", "--role", "admin")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exit.aclose()

    async def advance(self, seconds: int) -> None:
        """Advance the test clock."""
        await self.operator.data("POST", "/admin/clock", {"advance_s": seconds})

    async def _person(self, http: httpx.AsyncClient, *who: str) -> Person:
        minted = await self.stage.run("token", *who)
        expect(minted.code, 0, f"shop-order token {' '.join(who)}")
        client = new_order_client(self.stage.grpc, token=minted.output, timeout_s=10)
        await self._exit.enter_async_context(client)
        return Person(http, client, minted.output)

    async def _http(self, base_url: str) -> httpx.AsyncClient:
        # trust_env=False: the user's proxy could not reach our 127.0.0.1.
        return await self._exit.enter_async_context(
            httpx.AsyncClient(base_url=base_url, timeout=20, trust_env=False)
        )
