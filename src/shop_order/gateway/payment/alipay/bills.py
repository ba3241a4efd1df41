"""Alipay's bills: a signed call for the URL, then the download (`bill.downloadurl.query`)."""

from __future__ import annotations

import asyncio
from datetime import date
from typing import IO

from shop_order.domain.bill import Bill
from shop_order.domain.errors import DependencyDown
from shop_order.domain.ports import BillNotOut, BillUnusable, LinesRead
from shop_order.gateway.payment.alipay.bill_file import bill_of
from shop_order.gateway.payment.alipay.gateway import AlipayGateway
from shop_order.gateway.payment.bill_files import MAX_PACKED, checked_url, downloaded
from shop_order.gateway.payment.http import UNCOMPRESSED

METHOD = "alipay.data.dataservice.bill.downloadurl.query"
NO_BILL = "BILL_NOT_EXIST"  # not issued yet, or no money moved on that day
OUT_MS = 37_800_000  # at about 10:00; 10:30 at the latest
HOSTS = (".alipay.com", ".alipaydev.com", ".alipayobjects.com")


class AlipayBills:
    """See `domain.ports.BillSource`."""

    max_bytes = MAX_PACKED
    out_ms = OUT_MS

    def __init__(self, gateway: AlipayGateway) -> None:
        self._gateway = gateway

    def available(self) -> bool:
        return self._gateway.available()

    async def bill(self, day: date, read: LinesRead) -> Bill:
        url = checked_url(await self.url(day), self._gateway.settings.gateway, HOSTS)
        async with downloaded(self._gateway.http.client(), url, UNCOMPRESSED, MAX_PACKED) as file:
            return await self.read(day, file, read)

    async def url(self, day: date) -> str:
        """The URL of that day's bill, valid for 30 s.

        Raises BillNotOut, BillUnusable (Alipay refuses it), DependencyDown, ChannelUnavailable.
        """
        self._gateway.keys()
        answer = await self._gateway.call(METHOD, {"bill_type": "trade", "bill_date": day.isoformat()})
        refused, url = answer.get("sub_code", ""), answer.get("bill_download_url", "")
        if refused.upper().endswith(NO_BILL):
            raise BillNotOut(day)
        if answer.get("code") == "10000" and url:
            return url
        if answer.get("code") in (None, "20000"):
            raise DependencyDown("payment_provider", self._gateway.settings.gateway)
        raise BillUnusable(f"alipay refuses the bill of {day}: {refused or answer.get('msg')}")

    async def read(self, day: date, file: IO[bytes], read: LinesRead) -> Bill:
        seller_id = self._gateway.settings.seller_id
        return await asyncio.to_thread(bill_of, file, day, seller_id, read)  # a large bill takes seconds
