"""Calls to Alipay's gateway: signed requests and verified answers (RSA2), by keys or by certificates."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from shop_order.domain.errors import ChannelUnavailable
from shop_order.domain.ports import Clock
from shop_order.gateway.payment.alipay.keys import CertificateFiles, Keys, load_keys
from shop_order.gateway.payment.alipay.reading import (
    UnknownCertificate,
    beijing,
    header_charset,
    node_of,
    signed_text,
    unsigned_node_of,
)
from shop_order.gateway.payment.http import HttpAnswer, NoAnswer, ProviderHttp, reason
from shop_order.pkg.rsa_sha256 import sign

CHARSET = "utf-8"
DOWNLOAD = "alipay.open.app.alipaycert.download"


@dataclass(frozen=True, slots=True)
class AlipaySettings:
    """Our account at Alipay, and its gateway; times in seconds. `certificates` replace `public_key`."""

    gateway: str
    app_id: str
    seller_id: str
    app_private_key: Path
    public_key: Path | None
    notify_url: str
    timeout_s: Callable[[], float]  # called for every request, since the setting may be reloaded
    certificates: CertificateFiles | None = None


class AlipayGateway:
    """Connections to the gateway, with our private key and Alipay's public keys."""

    def __init__(self, settings: AlipaySettings, real_clock: Clock, log: Callable[..., None]) -> None:
        self.settings = settings
        self._now = real_clock
        self._log = log
        self._keys: Keys | None = None
        self.http = ProviderHttp()

    def available(self) -> bool:
        """Return whether all keys can be read."""
        try:
            self.keys()
        except ChannelUnavailable:
            return False
        return True

    def url(self, method: str, content: Mapping[str, str], urls: Mapping[str, str]) -> str:
        """Return the signed URL of a page for the buyer."""
        return f"{self.settings.gateway}?{self.order_string(method, content, urls)}"

    def order_string(self, method: str, content: Mapping[str, str], urls: Mapping[str, str]) -> str:
        """Return the signed call as the URL-encoded text that the shop's app passes to Alipay's app."""
        return urlencode(self._signed(method, content, urls))

    def keys(self) -> Keys:
        """Return our private key and Alipay's public keys. Raises ChannelUnavailable."""
        if self._keys is None:
            ours = self.settings
            try:
                self._keys = load_keys(ours.app_private_key, ours.public_key, ours.certificates)
            except (OSError, ValueError) as missing:
                raise ChannelUnavailable("alipay") from missing
        return self._keys

    def _signed(self, method: str, content: Mapping[str, str], urls: Mapping[str, str]) -> dict[str, str]:
        fields = {
            "app_id": self.settings.app_id,
            "method": method,
            "format": "JSON",
            "charset": CHARSET,
            "sign_type": "RSA2",
            "timestamp": beijing(self._now()),
            "version": "1.0",
            "biz_content": json.dumps(content, ensure_ascii=False, separators=(",", ":")),
            **self.keys().named,
            **{key: value for key, value in urls.items() if value},
        }
        text = signed_text({k: v.encode() for k, v in fields.items()}, excluded=frozenset({"sign"}))
        return fields | {"sign": sign(self.keys().ours, text)}

    async def call(
        self, method: str, content: Mapping[str, str], urls: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """Call a method; return the verified answer about this trade, empty if there is none."""
        payment_sn = content.get("out_trade_no")
        try:
            async with asyncio.timeout(self.settings.timeout_s()):  # with the certificate that it may need
                answer = await self._post(self._signed(method, content, urls or {}))
                charset = header_charset(answer.headers)
                try:
                    node = node_of(answer.body, charset, method, self.keys().theirs)
                except UnknownCertificate as unknown:
                    await self._fetch_certificate(unknown.number)
                    node = node_of(answer.body, charset, method, self.keys().theirs)
            if node.get("code") == "10000" and node.get("out_trade_no") != payment_sn:
                raise ValueError("the answer is about another trade")
        except (NoAnswer, TimeoutError, ValueError, RecursionError, ChannelUnavailable) as failed:
            gateway = self.settings.gateway
            self._log(
                "alipay_no_answer",
                gateway=gateway,
                method=method,
                out_trade_no=payment_sn,
                error=reason(failed),
            )
            return {}
        return node

    async def _fetch_certificate(self, number: str) -> None:
        """Fetch Alipay's new certificate; its issuer proves it, not a signature of the answer.

        Raises NoAnswer, ValueError, RecursionError, ChannelUnavailable.
        """
        answer = await self._post(self._signed(DOWNLOAD, {"alipay_cert_sn": number}, {}))
        node = unsigned_node_of(answer.body, header_charset(answer.headers), DOWNLOAD)
        content = node.get("alipay_cert_content", "")
        self._keys = self.keys().with_successor(number, content, self._now())
        self._log("alipay_certificate_fetched", gateway=self.settings.gateway, alipay_cert_sn=number)

    async def _post(self, fields: dict[str, str]) -> HttpAnswer:
        """Return the answer. Raises NoAnswer."""
        # The charset of the form must be in the URL's query; the default is GBK.
        url = f"{self.settings.gateway}?{urlencode({'charset': fields.pop('charset')})}"
        return await self.http.call("POST", url, headers={}, timeout_s=self.settings.timeout_s(), data=fields)
