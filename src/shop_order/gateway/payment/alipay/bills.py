"""Alipay's bills: a signed call for the URL, then the download (`bill.downloadurl.query`)."""

from __future__ import annotations

import asyncio
from datetime import date
from urllib.parse import urlsplit, urlunsplit

from shop_order.domain.bill import Bill
from shop_order.domain.errors import DependencyDown
from shop_order.domain.ports import BillNotOut, BillUnusable
from shop_order.gateway.payment.alipay.bill_file import MAX_PACKED, bill_of
from shop_order.gateway.payment.alipay.gateway import AlipayGateway
from shop_order.gateway.payment.http import UNCOMPRESSED

METHOD = "alipay.data.dataservice.bill.downloadurl.query"
NO_BILL = "BILL_NOT_EXIST"  # not issued yet, or no money moved on that day
OUT_MS = 37_800_000  # at about 10:00; 10:30 at the latest
DOWNLOAD_S = 120.0
HOSTS = (".alipay.com", ".alipaydev.com", ".alipayobjects.com")


class AlipayBills:
    """See `domain.ports.BillSource`."""

    max_bytes = MAX_PACKED
    out_ms = OUT_MS

    def __init__(self, gateway: AlipayGateway) -> None:
        self._gateway = gateway

    def available(self) -> bool:
        return self._gateway.available()

    async def bill(self, day: date) -> Bill:
        url = checked_url(await self.url(day), self._gateway.settings.gateway)
        return await self.read(day, await self._download(url))

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

    async def read(self, day: date, content: bytes) -> Bill:
        seller_id = self._gateway.settings.seller_id
        return await asyncio.to_thread(bill_of, content, day, seller_id)  # a large bill takes seconds

    async def _download(self, url: str) -> bytes:
        import httpx

        content, host = bytearray(), urlsplit(url).netloc  # the rest of the URL is a secret
        try:
            async with (
                asyncio.timeout(DOWNLOAD_S),
                self._gateway.http.client().stream("GET", url, headers=UNCOMPRESSED) as answer,
            ):
                if answer.status_code != 200:
                    raise DependencyDown("payment_provider", f"{host}: HTTP {answer.status_code}")
                async for chunk in answer.aiter_raw():
                    content += chunk
                    if len(content) > MAX_PACKED:
                        raise BillUnusable(f"the bill is larger than {MAX_PACKED} bytes")
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as failed:
            raise DependencyDown("payment_provider", host) from failed
        return bytes(content)


def checked_url(url: str, gateway: str) -> str:
    """Return the URL to fetch: over TLS from Alipay's own hosts, unchanged from the gateway's host.

    Raises BillUnusable for any other host.
    """
    try:
        target, own = urlsplit(url), urlsplit(gateway)
        if (target.scheme, target.netloc) == (own.scheme, own.netloc):
            return url
        if (
            target.scheme in ("http", "https")
            and (target.hostname or "").endswith(HOSTS)
            and target.port is None
        ):
            return urlunsplit(("https", target.hostname or "", target.path, target.query, ""))
    except ValueError as malformed:
        raise BillUnusable("alipay's bill URL is malformed") from malformed
    raise BillUnusable(f"alipay's bill URL has an unknown host: {target.netloc!r}")
