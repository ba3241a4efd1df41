"""The whole Shop in this process: the real service and the real neighbours on free ports of loopback."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import grpc.aio
import httpx

from shop_order.cmd.run.app import App
from shop_order.configs import Loaded, load
from shop_order.domain.valueobject.parties import Role
from shop_order.repository.schema import migrate
from shop_order.web.auth.tokens import mint_token
from shop_sandbox.alipay.provider import AlipayProvider
from shop_sandbox.providers import gateway_settings
from shop_sandbox.server import Sandbox
from shop_sandbox.settings import SandboxSettings
from shop_sandbox.wechat.provider import WechatProvider
from tests.world.files import give_keys

ADDRESS = {"name": "张三", "phone": "13800138000", "detail": "人民路 1 号"}


def alipay(sandbox: Sandbox) -> AlipayProvider:
    """The simulated Alipay of a sandbox."""
    provider = sandbox.providers["alipay"]
    assert isinstance(provider, AlipayProvider)
    return provider


def wechat_pay(sandbox: Sandbox) -> WechatProvider:
    """The simulated WeChat Pay of a sandbox."""
    provider = sandbox.providers["wechat"]
    assert isinstance(provider, WechatProvider)
    return provider


class Shop:
    """`async with Shop(folder) as shop:`; `environ` adds settings (SHOP_ORDER_…); limits are off."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.folder = folder
        names = ("grpc", "http", "sandbox_grpc", "sandbox_http")
        self.ports: dict[str, int] = dict(zip(names, free_ports(len(names)), strict=True))
        neighbours = f"127.0.0.1:{self.ports['sandbox_grpc']}"
        self.environ: dict[str, str] = {
            "SHOP_ORDER_APP__ENV": "test",
            "SHOP_ORDER_DATA_DIR": str(folder / "order"),
            "SHOP_ORDER_SERVER__GRPC_PORT": str(self.ports["grpc"]),
            "SHOP_ORDER_SERVER__HTTP_PORT": str(self.ports["http"]),
            "SHOP_ORDER_NEIGHBOURS__GOODS": neighbours,
            "SHOP_ORDER_NEIGHBOURS__INVENTORY": neighbours,
            "SHOP_ORDER_NEIGHBOURS__USERS": neighbours,
            "SHOP_ORDER_NEIGHBOURS__INBOXES": neighbours,
            **{f"SHOP_ORDER_{name}": url for name, url in gateway_settings(self.sandbox_url).items()},
            "SHOP_ORDER_LIMIT__USER_RATE": "0",
            "SHOP_ORDER_LIMIT__UNPAID_ORDERS": "0",
            "SHOP_ORDER_ORDER__SCAN_INTERVAL_S": "0.2",
            **{f"SHOP_ORDER_{name}": value for name, value in environ.items()},
        }
        self.loaded: Loaded = load(self.environ)
        self.sandbox = self._sandbox()
        self.app: App | None = None
        plain: dict[str, Any] = {"timeout": 20, "trust_env": False, "verify": False}  # plain HTTP
        # Servers close idle connections after 5 s: one that is used at that moment fails.
        plain["limits"] = httpx.Limits(keepalive_expiry=2.0)
        self.http = httpx.AsyncClient(base_url=self.url, **plain)
        self.provider = httpx.AsyncClient(base_url=self.sandbox_url, **plain)
        self.channel: grpc.aio.Channel | None = None

    @property
    def url(self) -> str:
        """Base of the REST interface."""
        return f"http://127.0.0.1:{self.ports['http']}"

    @property
    def sandbox_url(self) -> str:
        """Base of the simulators."""
        return f"http://127.0.0.1:{self.ports['sandbox_http']}"

    @property
    def grpc_address(self) -> str:
        """host:port of the gRPC front."""
        return f"127.0.0.1:{self.ports['grpc']}"

    def _sandbox(self, **more: Any) -> Sandbox:
        give_keys(self.folder / "order" / "dev")
        settings = SandboxSettings(
            grpc_port=self.ports["sandbox_grpc"],
            http_port=self.ports["sandbox_http"],
            data_dir=self.folder / "sandbox",
            keys_dir=self.folder / "order" / "dev",
            order=self.grpc_address,
            notice_scale=0.002,
            check_interval_s=0.2,
            message=broker if (broker := self.loaded.settings.message.url).startswith("rocketmq:") else "",
            trace=self.loaded.settings.trace.url,
            **more,
        )
        return Sandbox(
            settings,
            order_token=lambda: self.token(role=Role.SERVICE, subject="inventory"),
            wallet_token=lambda: self.token(role=Role.SERVICE, subject="wallet"),
        )

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(migrate, self.loaded.settings.db.url)
        await self.sandbox.__aenter__()
        await self.start_service()
        self.channel = grpc.aio.insecure_channel(self.grpc_address)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.channel is not None:
            await self.channel.close()
        await self.http.aclose()
        await self.provider.aclose()
        await self.stop_service()
        await self.sandbox.__aexit__(None, None, None)

    async def start_service(self) -> None:
        """Start the order service alone, on the data it had."""
        self.app = App(self.loaded, self.environ)
        await self.app.start()

    async def stop_service(self) -> None:
        """Stop the order service alone; the neighbours go on."""
        if self.app is not None:
            await self.app.stop()
            self.app = None

    @property
    def core(self) -> Any:
        """The running service's use cases and store."""
        assert self.app is not None
        return self.app.core

    def token(
        self, user: int = 7, *, role: Role = Role.USER, subject: str | None = None, act_for: int | None = None
    ) -> str:
        """A token the service accepts."""
        secret = self.loaded.settings.auth.hs256_key
        assert secret is not None
        return mint_token(
            secret.get_secret_value(),
            subject=subject or str(user),
            role=role,
            act_for=act_for,
            lifetime_s=3600,
        )

    def bearer(self, user: int = 7, *, role: Role = Role.USER) -> dict[str, str]:
        """The HTTP header of a caller."""
        return {"Authorization": f"Bearer {self.token(user, role=role)}"}

    def metadata(self, user: int = 7, *, role: Role = Role.USER, **more: str) -> tuple[tuple[str, str], ...]:
        """The gRPC metadata of a caller; `idempotency_key="k"` adds that key."""
        extra = tuple((name.replace("_", "-"), value) for name, value in more.items())
        return (("authorization", f"Bearer {self.token(user, role=role)}"), *extra)

    async def place(
        self, user: int = 7, *, goods: int = 101, nums: int = 1, **body: Any
    ) -> Mapping[str, Any]:
        """A new order of one goods over REST: its data."""
        wanted = {"items": [{"goods_id": goods, "nums": nums}], "address": ADDRESS, **body}
        answer = await self.http.post("/api/v1/orders", json=wanted, headers=self.bearer(user))
        assert answer.status_code == 200, answer.text
        data: Mapping[str, Any] = answer.json()["data"]
        return data

    async def open_attempt(self, order_sn: str, user: int = 7) -> Mapping[str, Any]:
        """An Alipay attempt, seen by the provider as if the buyer's browser had followed the link."""
        answer = await self.http.post(
            f"/api/v1/orders/{order_sn}/pay", json={"payment_type": "alipay"}, headers=self.bearer(user)
        )
        assert answer.status_code == 200, answer.text
        data: Mapping[str, Any] = answer.json()["data"]
        page = await self.provider.get(data["payment_url"])
        assert page.status_code == 200, page.text
        return data

    async def provider_does(self, payment_sn: str, action: str, **query: Any) -> Mapping[str, Any]:
        """An action at the simulator (pay, pay_late, notify_again, forge_amount, …): its answer."""
        answer = await self.provider.post(f"/alipay/sim/{payment_sn}/{action}", params=query)
        assert answer.status_code == 200, answer.text
        data: Mapping[str, Any] = answer.json()
        return data

    async def paid(self, user: int = 7, **order: Any) -> Mapping[str, Any]:
        """A paid order: its data."""
        placed = await self.place(user, **order)
        attempt = await self.open_attempt(placed["order_sn"], user)
        await self.provider_does(attempt["payment_sn"], "pay")
        return await self.order(placed["order_sn"], user)

    async def order(self, order_sn: str, user: int = 7) -> Mapping[str, Any]:
        """The order as its buyer sees it."""
        answer = await self.http.get(f"/api/v1/orders/{order_sn}", headers=self.bearer(user))
        assert answer.status_code == 200, answer.text
        data: Mapping[str, Any] = answer.json()["data"]
        return data

    async def ship(self, order_sn: str) -> None:
        """The operator sends the parcel."""
        answer = await self.http.post(
            f"/api/v1/admin/orders/{order_sn}/ship",
            json={"logistics_company": "SF", "logistics_no": "SF1234567890"},
            headers=self.bearer(1, role=Role.ADMIN),
        )
        assert answer.status_code == 200, answer.text

    async def advance(self, seconds: int) -> None:
        """Move the test clock."""
        answer = await self.http.post(
            "/api/v1/admin/clock", json={"advance_s": seconds}, headers=self.bearer(1, role=Role.ADMIN)
        )
        assert answer.status_code == 200, answer.text

    async def until(self, true: Any, timeout_s: float = 15.0) -> Any:
        """Wait until `await true()` is truthy; its value. Raises AssertionError after `timeout_s`."""
        end = time.monotonic() + timeout_s
        while not (value := await true()):
            assert time.monotonic() < end, f"not within {timeout_s} s"
            await asyncio.sleep(0.05)
        return value

    async def check_doctor(self) -> None:
        """Everything published, and money, stock and history agree."""

        async def published() -> bool:
            return bool((await self.core.store.outbox.lag())[0] == 0)

        await self.until(published)
        report = await self.core.doctor.examine()
        assert report.clean, sorted(report.findings, key=str)


# Half of them for each of the two workers of pytest-xdist.
PORTS = range(15_000 + (os.environ.get("PYTEST_XDIST_WORKER") == "gw1"), 30_000, 2)


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on right now, below those the system gives to outgoing connections."""
    found: list[int] = []
    while len(found) < count:
        port = random.choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found
