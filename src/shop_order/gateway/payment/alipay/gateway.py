"""Calls to Alipay's gateway: signed requests and verified answers (RSA2)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from shop_order.domain.errors import ChannelUnavailable
from shop_order.domain.ports import Clock
from shop_order.gateway.payment.alipay.reading import beijing, header_charset, node_of, signed_text
from shop_order.gateway.payment.http import HttpAnswer, NoAnswer, ProviderHttp
from shop_order.pkg.key_files import private_key, public_key
from shop_order.pkg.rsa_sha256 import sign

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

CHARSET = "utf-8"


@dataclass(frozen=True, slots=True)
class AlipaySettings:
    """Our account at Alipay, and its gateway; times in seconds."""

    gateway: str
    app_id: str
    seller_id: str
    app_private_key: Path
    public_key: Path
    notify_url: str
    timeout_s: Callable[[], float]  # called for every request, since the setting may be reloaded


class AlipayGateway:
    """Connections to the gateway, with our private key and Alipay's public key."""

    def __init__(self, settings: AlipaySettings, real_clock: Clock, log: Callable[..., None]) -> None:
        self.settings = settings
        self._now = real_clock
        self._log = log
        self._keys: tuple[RSAPrivateKey, RSAPublicKey] | None = None
        self.http = ProviderHttp()

    def available(self) -> bool:
        """Return whether both keys can be read."""
        try:
            self.load_keys()
        except ChannelUnavailable:
            return False
        return True

    def url(self, method: str, content: Mapping[str, str], urls: Mapping[str, str]) -> str:
        """Return the signed URL of a page for the buyer."""
        return f"{self.settings.gateway}?{urlencode(self._signed(method, content, urls))}"

    def load_keys(self) -> tuple[RSAPrivateKey, RSAPublicKey]:
        """Return our private key and Alipay's public key. Raises ChannelUnavailable."""
        if self._keys is None:
            try:
                ours = private_key(self.settings.app_private_key)
                self._keys = (ours, public_key(self.settings.public_key))
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
            **{key: value for key, value in urls.items() if value},
        }
        text = signed_text({k: v.encode() for k, v in fields.items()}, excluded=frozenset({"sign"}))
        return fields | {"sign": sign(self.load_keys()[0], text)}

    async def call(self, method: str, content: Mapping[str, str]) -> dict[str, str]:
        """Call a method; return the verified answer about this trade, empty if there is none."""
        payment_sn = content.get("out_trade_no")
        try:
            answer = await self._post(self._signed(method, content, {}))
            node = node_of(answer.body, header_charset(answer.headers), method, self.load_keys()[1])
            if node.get("code") == "10000" and node.get("out_trade_no") != payment_sn:
                raise ValueError("the answer is about another trade")
        except (NoAnswer, ValueError, RecursionError, ChannelUnavailable) as failed:
            gateway = self.settings.gateway
            self._log(
                "alipay_no_answer",
                gateway=gateway,
                method=method,
                out_trade_no=payment_sn,
                error=repr(failed),
            )
            return {}
        return node

    async def _post(self, fields: dict[str, str]) -> HttpAnswer:
        """Return the answer. Raises NoAnswer."""
        # The charset of the form must be in the URL's query; the default is GBK.
        url = f"{self.settings.gateway}?{urlencode({'charset': fields.pop('charset')})}"
        return await self.http.call("POST", url, headers={}, timeout_s=self.settings.timeout_s(), data=fields)
