"""Alipay's bills: the address by a signed call, then the file (facts: bill.downloadurl.query)."""

from __future__ import annotations

import asyncio
from datetime import date
from urllib.parse import urlsplit, urlunsplit

from shop_order.domain.bill import Bill, BillNotOut, BillUnusable
from shop_order.domain.errors import DependencyDown
from shop_order.gateway.payment.alipay.bill_file import MAX_PACKED, bill_of
from shop_order.gateway.payment.alipay.gateway import UNCOMPRESSED, AlipayGateway

METHOD = "alipay.data.dataservice.bill.downloadurl.query"
NO_BILL = "BILL_NOT_EXIST"  # not out yet, or no money moved on that day
DOWNLOAD_S = 120.0
HOSTS = (".alipay.com", ".alipaydev.com", ".alipayobjects.com")


class AlipayBills:
    """See `domain.bill.BillSource`."""

    max_bytes = MAX_PACKED

    def __init__(self, gateway: AlipayGateway) -> None:
        self._gateway = gateway

    def available(self) -> bool:
        return self._gateway.available()

    async def bill(self, day: date) -> Bill:
        address = followed(await self.address(day), self._gateway.settings.gateway)
        return await self.read(day, await self._download(address))

    async def address(self, day: date) -> str:
        """The URL of that day's bill, valid for 30 s.

        Raises BillNotOut, BillUnusable (Alipay gives us none), DependencyDown, ChannelUnavailable.
        """
        self._gateway.load_keys()
        answer = await self._gateway.call(METHOD, {"bill_type": "trade", "bill_date": day.isoformat()})
        refused, address = answer.get("sub_code", ""), answer.get("bill_download_url", "")
        if refused.upper().endswith(NO_BILL):
            raise BillNotOut(day)
        if answer.get("code") == "10000" and address:
            return address
        if answer.get("code") in (None, "20000"):
            raise DependencyDown("alipay", self._gateway.settings.gateway)
        raise BillUnusable(f"alipay gives no bill of {day}: {refused or answer.get('msg')}")

    async def read(self, day: date, content: bytes) -> Bill:
        seller_id = self._gateway.settings.seller_id
        return await asyncio.to_thread(bill_of, content, day, seller_id)  # a large one takes seconds

    async def _download(self, address: str) -> bytes:
        import httpx

        found, host = bytearray(), urlsplit(address).netloc  # the rest of the address is a secret
        try:
            async with (
                asyncio.timeout(DOWNLOAD_S),
                self._gateway.http().stream("GET", address, headers=UNCOMPRESSED) as answer,
            ):
                if answer.status_code != 200:
                    raise DependencyDown("alipay", f"{host}: HTTP {answer.status_code}")
                async for chunk in answer.aiter_raw():
                    found += chunk
                    if len(found) > MAX_PACKED:
                        raise BillUnusable(f"the bill is larger than {MAX_PACKED} bytes")
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as failed:
            raise DependencyDown("alipay", host) from failed
        return bytes(found)


def followed(address: str, gateway: str) -> str:
    """The URL to fetch: on Alipay's own hosts always over TLS, on the configured gateway's host as it is.

    Raises BillUnusable for any other host.
    """
    try:
        there, ours = urlsplit(address), urlsplit(gateway)
        if (there.scheme, there.netloc) == (ours.scheme, ours.netloc):
            return address
        if (
            there.scheme in ("http", "https")
            and (there.hostname or "").endswith(HOSTS)
            and there.port is None
        ):
            return urlunsplit(("https", there.hostname or "", there.path, there.query, ""))
    except ValueError as malformed:
        raise BillUnusable("alipay names no address of its bill") from malformed
    raise BillUnusable(f"alipay's bill lies on a host that is not followed: {there.netloc!r}")
