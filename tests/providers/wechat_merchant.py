"""A shop that uses WeChat Pay's own library, with its notify address and its buyers."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from shop_sandbox.wechat.keys import APP, MCH_ID, MINI, OFFICIAL
from tests.providers.accounts import WechatAccount
from tests.providers.conftest import Ask
from tests.providers.partners import Recorder, Sent

APP_IDS = {"native": OFFICIAL, "jsapi": OFFICIAL, "mini": MINI, "h5": OFFICIAL, "app": APP}
MODES = ("certificates", "public_key")
_NUMBERS = itertools.count(secrets.randbelow(10**9))


@dataclass(slots=True)
class Merchant:
    """`mode`: how it verifies what WeChat signs. Another `fetched` is another configuration."""

    ask: Ask
    browser: httpx.AsyncClient
    sandbox_url: str
    account: WechatAccount
    notified: Recorder
    mode: str = "certificates"
    fetched: int = 0

    async def do(self, command: str, request: Mapping[str, Any] | None = None, **more: Any) -> Any:
        """A command of the driver that calls WeChat; the library verifies the answer."""
        account = self.account.of_library(f"{self.sandbox_url}/wechat", self.mode)
        account["fetched"] = str(self.fetched)
        return await self.ask(f"wechat.{command}", account=account, request=request or {}, **more)

    async def open(self, kind: str = "native", **content: Any) -> tuple[str, Mapping[str, Any]]:
        """A new order: its number, and what the buyer opens it with."""
        number = f"P{next(_NUMBERS):010}"
        wanted = {
            "appid": APP_IDS[kind],
            "mchid": MCH_ID,
            "description": "订单",
            "out_trade_no": number,
            "notify_url": f"{self.notified.url}/notify",
            "amount": {"total": 1999, "currency": "CNY"},
            **content,
        }
        if kind in ("jsapi", "mini"):
            wanted["payer"] = {"openid": "oBuyer1"}
        if kind == "h5":
            wanted["scene_info"] = {"payer_client_ip": "127.0.0.1", "h5_info": {"type": "Wap"}}
        opened: Mapping[str, Any] = await self.do("prepay", wanted, kind=kind)
        return number, opened

    async def paid(self, **content: Any) -> str:
        """The number of an order that the buyer paid; the notice has arrived."""
        number, _ = await self.open(**content)
        await self.act(number, "pay")
        return number

    async def act(self, number: str, action: str) -> Mapping[str, Any]:
        """What the buyer or WeChat does at the simulator."""
        answer = await self.browser.post(f"{self.sandbox_url}/wechat/sim/{number}/{action}")
        assert answer.status_code == 200, answer.text
        found: Mapping[str, Any] = answer.json()
        return found

    async def fetch_certificates(self) -> None:
        """As the library does by itself every hour."""
        self.mode, self.fetched = "certificates", next(_NUMBERS)
        await self.do("certificates")

    async def platform(self, **wanted: str) -> Mapping[str, Any]:
        """Change with which keys WeChat signs; the answer has the state."""
        answer = await self.browser.post(f"{self.sandbox_url}/wechat/sim/platform", json=wanted)
        assert answer.status_code == 200, answer.text
        found: Mapping[str, Any] = answer.json()
        return found

    async def query(self, number: str) -> Mapping[str, Any]:
        """The order, as the library reads it."""
        found: Mapping[str, Any] = await self.do("query", {"mchid": MCH_ID, "out_trade_no": number})
        return found

    async def read(self, sent: Sent, kind: str = "payment") -> Mapping[str, Any]:
        """A notice, if the library finds it signed by WeChat. Raises Refused."""
        headers = {name: value for name, value in sent.headers.items() if name.startswith("wechatpay-")}
        found: Mapping[str, Any] = await self.do(
            "read_notice", kind=kind, headers=headers, body=sent.body.decode()
        )
        return found
