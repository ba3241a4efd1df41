"""Alipay: page and wap payment, by its open platform's documents, with RSA2 signatures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from shop_order.gateway.payment.alipay.channel import Alipay
from shop_order.gateway.payment.alipay.gateway import AlipaySettings
from shop_order.gateway.payment.alipay.notice import NOTICE_ROUTE
from shop_order.gateway.payment.base import ChannelContext, ChannelEntry
from shop_order.pkg.key_files import BadKeyFile, is_pair, private_key, public_key

__all__ = ["ENTRY", "Alipay", "AlipaySettings"]


def connect(section: Any, context: ChannelContext) -> Alipay | None:
    """Return the channel if its settings are complete."""
    if section.missing:
        return None
    settings = AlipaySettings(
        gateway=section.gateway,
        app_id=section.app_id,
        seller_id=section.seller_id,
        app_private_key=Path(section.app_private_key_file),
        public_key=Path(section.public_key_file),
        notify_url=section.notify_url or context.notify_url,
        timeout_s=context.timeout_s,
    )
    return Alipay(settings, context.real_clock, context.log)


def problems(section: Any) -> list[str]:
    """Return what is wrong with the key files."""
    found: list[str] = []
    keys: list[Any] = []
    for name, load in (("app_private_key_file", private_key), ("public_key_file", public_key)):
        path = getattr(section, name)
        try:
            keys.append(load(Path(path)) if path else None)
        except BadKeyFile as wrong:
            found.append(f"PAY__ALIPAY__{name.upper()}: {path}: {wrong}")
    if len(keys) == 2 and keys[0] and keys[1] and is_pair(*keys):
        found.append(
            f"PAY__ALIPAY__PUBLIC_KEY_FILE: {section.public_key_file}: is our own public key;"
            " Alipay's public key is shown beside it on Alipay's site"
        )
    return found


ENTRY = ChannelEntry(connect, problems, NOTICE_ROUTE, simulator="/alipay/gateway.do")
