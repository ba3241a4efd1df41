"""A shop that uses Alipay's own client, with its buyers' browser and its notify address."""

from __future__ import annotations

import html
import itertools
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import httpx

from tests.providers.accounts import AlipayAccount
from tests.providers.conftest import Ask
from tests.providers.partners import Recorder, Sent

PAGE, WAP, APP = "alipay.trade.page.pay", "alipay.trade.wap.pay", "alipay.trade.app.pay"
PRECREATE = "alipay.trade.precreate"
PRODUCTS = {
    PAGE: "FAST_INSTANT_TRADE_PAY",
    WAP: "QUICK_WAP_PAY",
    APP: "QUICK_MSECURITY_PAY",
    PRECREATE: "FACE_TO_FACE_PAYMENT",
}
MODES = ("keys", "certificates")
FORM = "application/x-www-form-urlencoded"
_NUMBERS = itertools.count(secrets.randbelow(10**9))


class Form:
    """The form that the library hands to the browser, as a browser reads it.

    `html.parser` does not: it takes `&notify_url=` in the address for `¬ify_url=`, unlike a browser.
    """

    _ACTION = re.compile(r'action="([^"]*)"')
    _FIELD = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)">')

    def __init__(self, page: str) -> None:
        (self.action,) = self._ACTION.findall(page)
        self.fields = {name: html.unescape(value) for name, value in self._FIELD.findall(page)}


@dataclass(slots=True)
class Merchant:
    """`charset` is that of its client, and of its pages; `mode` is keys or certificates."""

    ask: Ask
    browser: httpx.AsyncClient
    sandbox_url: str
    account: AlipayAccount
    notified: Recorder
    charset: str = "utf-8"
    mode: str = "keys"

    async def do(self, command: str, method: str, content: Mapping[str, str], **more: str) -> Any:
        """A command of the driver that needs the client."""
        account = self.account.of_library(f"{self.sandbox_url}/alipay/gateway.do", self.charset, self.mode)
        return await self.ask(command, account=account, method=method, content=content, **more)

    def order(self, method: str, **content: str) -> tuple[str, Mapping[str, str]]:
        """A new number, and what is ordered under it."""
        number = f"P{next(_NUMBERS)}"
        known = {
            "out_trade_no": number,
            "total_amount": "19.99",
            "subject": "订单",
            "product_code": PRODUCTS[method],
        }
        return number, known | content

    async def open(self, method: str = PAGE, http: str = "GET", **content: str) -> tuple[str, httpx.Response]:
        """A new trade: its number, and the page that the buyer sees."""
        number, wanted = self.order(method, **content)
        about = {"notify_url": f"{self.notified.url}/notify", "return_url": "http://127.0.0.1:1/back?x=1"}
        if method == APP:  # the buyer's app hands this text to Alipay's
            text = await self.do("alipay.order_string", method, wanted, notify_url=about["notify_url"])
            return number, await self.browser.get(f"{self.sandbox_url}/alipay/gateway.do?{text}")
        body = await self.do("alipay.page", method, wanted, http=http, **about)
        if http == "GET":
            return number, await self.browser.get(body)
        form = Form(body)  # the browser sends it in the charset of the page
        sent = urlencode(form.fields, encoding=self.charset).encode()
        return number, await self.browser.post(form.action, content=sent, headers={"content-type": FORM})

    async def paid(self, **content: str) -> str:
        """The number of a trade that the buyer paid; the notice has arrived."""
        number, page = await self.open(**content)
        assert page.status_code == 200, page.headers
        await self.act(number, "pay")
        return number

    async def act(self, number: str, action: str) -> Mapping[str, Any]:
        """What the buyer or the provider does at the simulator."""
        answer = await self.browser.post(f"{self.sandbox_url}/alipay/sim/{number}/{action}")
        assert answer.status_code == 200, answer.text
        found: Mapping[str, Any] = answer.json()
        return found

    async def call(self, method: str, **content: str) -> Mapping[str, Any]:
        """The answer as the library read it, after it verified it."""
        told: Mapping[str, Any] = await self.do("alipay.call", method, content)
        return told

    async def checked(self, sent: Sent) -> Mapping[str, Any]:
        """What the library says about a notice: whether it is `valid`, and its `fields`."""
        about = {
            "charset": sent.headers["content-type"].partition("charset=")[2],
            "form": sent.body.decode("ascii"),
            **self.account.signer(self.mode),
        }
        told: Mapping[str, Any] = await self.ask("alipay.check", kind="notice", **about)
        return told

    async def noticed(self) -> Mapping[str, str]:
        """The fields of the newest notice, if the library finds it signed by Alipay."""
        told = await self.checked(self.notified.last())
        assert told["valid"], self.notified.last().body
        fields: Mapping[str, str] = told["fields"]
        return fields
