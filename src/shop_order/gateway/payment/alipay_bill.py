"""Alipay's bills: the address by a signed call, then the file (facts: bill.downloadurl.query)."""

from __future__ import annotations

import asyncio
from datetime import date
from urllib.parse import urlsplit, urlunsplit

from shop_order.domain.bill import Bill, BillUnusable
from shop_order.domain.errors import DependencyDown
from shop_order.domain.status import PaymentType
from shop_order.gateway.payment.alipay import Alipay
from shop_order.gateway.payment.alipay_csv import MOST_PACKED, bill_of

DOWNLOAD_S = 120.0
AS_IT_IS = {"accept-encoding": "identity"}  # what unpacks by itself has no bound
HOSTS = (".alipay.com", ".alipaydev.com", ".alipayobjects.com")


class AlipayBills:
    """See `domain.bill.BillSource`."""

    payment_type = PaymentType.ALIPAY

    def __init__(self, alipay: Alipay) -> None:
        self._alipay = alipay

    def available(self) -> bool:
        return self._alipay.available()

    async def bill(self, day: date) -> Bill:
        address = followed(await self._alipay.bill_address(day), self._alipay.settings.gateway)
        return await self.read(day, await self._download(address))

    async def read(self, day: date, content: bytes) -> Bill:
        seller_id = self._alipay.settings.seller_id
        return await asyncio.to_thread(bill_of, content, day, seller_id)  # a large one takes seconds

    async def _download(self, address: str) -> bytes:
        import httpx

        found, host = bytearray(), urlsplit(address).netloc  # the rest of the address is a secret
        try:
            async with (
                asyncio.timeout(DOWNLOAD_S),
                self._alipay.http().stream("GET", address, headers=AS_IT_IS) as answer,
            ):
                if answer.status_code != 200:
                    raise DependencyDown("alipay", f"{host}: HTTP {answer.status_code}")
                async for piece in answer.aiter_raw():
                    found += piece
                    if len(found) > MOST_PACKED:
                        raise BillUnusable(f"the bill is larger than {MOST_PACKED} bytes")
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as failed:
            raise DependencyDown("alipay", host) from failed
        return bytes(found)


def followed(address: str, gateway: str) -> str:
    """The address as it is asked: Alipay's own hosts over TLS, whatever scheme it names, or the configured
    gateway's host as it is. Raises BillUnusable for any other."""
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
