"""WeChat Pay's bills: a signed call for URL and digest, then a signed download (`/v3/bill/tradebill`)."""

from __future__ import annotations

import asyncio
from datetime import date
from typing import IO

from shop_order.domain.bill import Bill
from shop_order.domain.errors import DependencyDown
from shop_order.domain.ports import BillNotOut, BillUnusable, LinesRead
from shop_order.gateway.payment.bill_files import MAX_PACKED, checked_url, downloaded
from shop_order.gateway.payment.http import UNCOMPRESSED
from shop_order.gateway.payment.wechat.bill_file import bill_of
from shop_order.gateway.payment.wechat.gateway import WechatGateway
from shop_order.gateway.payment.wechat.reading import text

PATH = "/v3/bill/tradebill"
NO_BILL = frozenset({"NO_STATEMENT_EXIST", "STATEMENT_CREATING"})  # no money moved, or not made yet
OUT_MS = 37_800_000  # after 10:00
HOSTS = (".mch.weixin.qq.com", ".wechatpay.cn")


class WechatBills:
    """See `domain.ports.BillSource`."""

    max_bytes = MAX_PACKED
    out_ms = OUT_MS

    def __init__(self, gateway: WechatGateway) -> None:
        self._gateway = gateway

    def available(self) -> bool:
        return self._gateway.available()

    async def bill(self, day: date, read: LinesRead) -> Bill:
        url, sha1 = await self.place(day)
        url = checked_url(url, self._gateway.settings.gateway, HOSTS)
        headers = self._gateway.signed("GET", url) | UNCOMPRESSED
        async with downloaded(self._gateway.http.client(), url, headers, MAX_PACKED) as file:
            return await self._read(day, file, read, sha1)

    async def place(self, day: date) -> tuple[str, str]:
        """The URL of that day's bill, valid for 30 s, and its SHA-1.

        Raises BillNotOut, BillUnusable (WeChat Pay refuses it), DependencyDown, ChannelUnavailable.
        """
        self._gateway.load_keys()
        answer = await self._gateway.call("GET", f"{PATH}?bill_date={day}&bill_type=ALL&tar_type=GZIP")
        if answer.code in NO_BILL:
            raise BillNotOut(day)
        url, kind, sha1 = (text(answer.fields, name) for name in ("download_url", "hash_type", "hash_value"))
        if answer.ok and url and kind == "SHA1" and sha1:
            return url, sha1
        if answer.is_temporary:
            raise DependencyDown("payment_provider", self._gateway.settings.gateway)
        raise BillUnusable(f"wechat pay refuses the bill of {day}: {answer.code or 'no URL'}")

    async def read(self, day: date, file: IO[bytes], read: LinesRead) -> Bill:
        return await self._read(day, file, read, "")

    async def _read(self, day: date, file: IO[bytes], read: LinesRead, sha1: str) -> Bill:
        mch_id = self._gateway.settings.mch_id
        return await asyncio.to_thread(bill_of, file, day, mch_id, read, sha1)  # a large bill takes seconds
