"""The REST front of a test, and short words for what buyers do."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import httpx

from shop_order.domain.valueobject.parties import Role
from shop_order.gateway.payment import notice_routes
from shop_order.pkg.ratelimit import open_limiter
from shop_order.pkg.signing import Signer, SubmitTokens
from shop_order.web.auth.cashier_links import CashierLinks
from shop_order.web.auth.keys import DevKey
from shop_order.web.auth.limits import Pools, RateLimits, Rates
from shop_order.web.auth.tokens import Authenticator, TokenRules, mint_token
from shop_order.web.dto.cursors import Cursors
from shop_order.web.handler.health import Readiness
from shop_order.web.http import HttpParts, HttpSettings, build_http
from shop_order.web.open_streams import OpenStreams
from tests.component.grpc.stubs import Bounds
from tests.world.shop import World

SECRET = "0123456789abcdef" * 4
# Below a path, as behind a proxy that gives us one; the world lets buyers return there.
PUBLIC_URL = "https://shop.example/done"
PLACE = {
    "items": [{"goods_id": "1", "nums": 2}],
    "address": {"name": "王小明", "phone": "13800138000", "detail": "人民路 1 号"},
}


@dataclass
class Log:
    """Remembers log lines."""

    lines: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def info(self, event: str, **fields: Any) -> None:
        self.lines.append((event, fields))

    exception = info


def token(user: int = 7, role: Role = Role.USER) -> str:
    """A token for development."""
    return mint_token(SECRET, subject=str(user), role=role)


class Rest:
    """`async with Rest(world)`: an httpx client that is already buyer 7."""

    def __init__(self, world: World, **settings: Any) -> None:
        self.world = world
        self.rates = Rates(user_rate=0)
        self.readiness = Readiness(True)
        self.log = Log()
        self.observed: list[tuple[str, str]] = []
        self.deadline_s = 10.0
        self.shop_name = ""
        self.bounds = Bounds()
        self.pools = Pools(lambda: self.bounds)
        self.keys = itertools.count()
        signer = Signer([b"k" * 32])
        self.links = CashierLinks(signer, public_url=lambda: PUBLIC_URL)
        self.tokens = SubmitTokens(signer, lambda n: next(self.keys).to_bytes(n, "big"))
        self.parts = self._parts(signer)
        self.app = build_http(self.parts, HttpSettings(deadline_s=lambda: self.deadline_s, **settings))

    def _parts(self, signer: Signer) -> HttpParts:
        world = self.world
        return HttpParts(
            use_cases=world.use_cases,
            notice_routes=notice_routes(),
            authenticator=Authenticator(DevKey(SECRET), TokenRules()),
            limits=RateLimits(open_limiter("memory://", 100), lambda: self.rates),
            streams=OpenStreams(self.pools),
            tokens=self.tokens,
            cursors=Cursors(signer),
            links=self.links,
            clock=self._now,
            real_now_s=lambda: world.real_ms / 1000,
            readiness=self._readiness,
            metrics=lambda: b"requests_total 1\n",
            advance_clock=world.clock.advance,
            log=self.log,
            observe=lambda method, code, seconds: self.observed.append((method, code)),
            shop_name=lambda: self.shop_name,
        )

    def _now(self) -> int:
        return self.world.clock()

    async def _readiness(self) -> Readiness:
        return self.readiness

    async def __aenter__(self) -> Self:
        transport = httpx.ASGITransport(self.app, client=("127.0.0.1", 4242))
        self.client = httpx.AsyncClient(transport=transport, base_url="http://test")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()

    async def call(
        self, method: str, path: str, json: Any = None, *, as_: str | None = None, **more: Any
    ) -> httpx.Response:
        """One request; `as_` is a token, empty for none; `//path` is not below /api/v1."""
        url = path[1:] if path.startswith("//") else f"/api/v1{path}"
        bearer = token() if as_ is None else as_
        headers: Mapping[str, Any] = {"authorization": f"Bearer {bearer}"} if bearer else {}
        headers = {**headers, **more.pop("headers", {})}
        return await self.client.request(method, url, json=json, headers=headers, **more)

    async def data(self, method: str, path: str, json: Any = None, **more: Any) -> Any:
        """The data of an answer that must be a success."""
        answer = await self.call(method, path, json, **more)
        assert answer.status_code == 200, answer.text
        assert answer.json()["code"] == 200
        return answer.json()["data"]

    async def placed(self, **changes: Any) -> Any:
        """A new order of buyer 7."""
        return await self.data("POST", "/orders", PLACE | changes)

    async def paid(self) -> Any:
        """A paid order of buyer 7."""
        order = await self.placed()
        payment = await self.data("POST", f"/orders/{order['order_sn']}/pay", {"payment_type": "alipay"})
        provider = self.world.provider
        provider.pay(payment["payment_sn"])
        answer = await self.call(
            "POST", "/payments/notify/alipay", as_="", content=provider.notice(payment["payment_sn"])
        )
        assert answer.text == "success"
        return order


def admin() -> str:
    """An operator's token."""
    return token(1, Role.ADMIN)


def refused(answer: httpx.Response, status: int, error: str) -> Any:
    """The details of a refusal that must be this one."""
    body = answer.json()
    assert (answer.status_code, body["code"], body["error"]) == (status, status, error), answer.text
    assert body["message"]
    assert body["request_id"] == answer.headers["x-request-id"]
    return body["details"]
