"""WeChat Pay: native, JSAPI, mini-program, H5 and app payment, by the documents of its API v3."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from shop_order.gateway.payment.base import ChannelContext, ChannelEntry
from shop_order.gateway.payment.wechat.certificates import serial_number
from shop_order.gateway.payment.wechat.channel import WechatPay
from shop_order.gateway.payment.wechat.gateway import WechatSettings, api_v3_key
from shop_order.gateway.payment.wechat.mini import mini_secret
from shop_order.gateway.payment.wechat.notice import NOTICE_ROUTE
from shop_order.pkg.key_files import BadKeyFile, certificates, is_pair, private_key, public_key

__all__ = ["ENTRY", "WechatPay", "WechatSettings"]

_NONCE_BYTES = 16
_PUBLIC_KEY_ID = re.compile(r"PUB_KEY_ID_\w+", re.ASCII)
_SERIAL = re.compile(r"[0-9A-F]{16,40}")
_FILES: dict[str, Callable[[Path], Any]] = {
    "merchant_private_key_file": private_key,
    "merchant_certificate_file": lambda path: certificates(path)[0],
    "api_v3_key_file": api_v3_key,
    "public_key_file": public_key,
    "mini_secret_file": mini_secret,
}


def connect(section: Any, context: ChannelContext) -> WechatPay | None:
    """Return the channel if its settings are complete."""
    if section.missing:
        return None
    settings = WechatSettings(
        gateway=section.gateway,
        mch_id=section.mch_id,
        app_ids=section.app_ids,
        merchant_serial_no=section.merchant_serial_no or "",
        merchant_certificate=_path(section.merchant_certificate_file),
        merchant_private_key=Path(section.merchant_private_key_file),
        api_v3_key=Path(section.api_v3_key_file),
        public_key=_path(section.public_key_file),
        public_key_id=section.public_key_id or "",
        notify_url=section.notify_url or context.notify_url,
        mini_gateway=section.mini_gateway or section.gateway,
        mini_secret=_path(section.mini_secret_file),
        timeout_s=context.timeout_s,
        openid_url=section.openid_url or "",
    )
    return WechatPay(settings, context.real_clock, partial(secrets.token_hex, _NONCE_BYTES), context.log)


def _path(name: str | None) -> Path | None:
    return Path(name) if name else None


def problems(section: Any) -> list[str]:
    """Return what is wrong with files and numbers."""
    files, found = {}, []
    for name, load in _FILES.items():
        path = getattr(section, name)
        try:
            files[name] = load(Path(path)) if path else None
        except BadKeyFile as wrong:
            files[name] = None
            found.append((name, f"{path}: {wrong}"))
    found += [*_wrong_pairs(section, **files), *_wrong_values(section)]
    return [f"PAY__WECHAT__{name.upper()}: {problem}" for name, problem in found]


def _wrong_pairs(section: Any, **files: Any) -> Iterator[tuple[str, str]]:
    ours, theirs, issued = (
        files[f"{name}_file"] for name in ("merchant_private_key", "public_key", "merchant_certificate")
    )
    if ours and theirs and is_pair(ours, theirs):
        yield (
            "public_key_file",
            f"{section.public_key_file}: is our own public key; WeChat Pay's is shown on its merchant site"
            " under API security",
        )
    if issued and ours and not is_pair(ours, issued.public_key()):
        yield (
            "merchant_certificate_file",
            f"{section.merchant_certificate_file}: is not the certificate of merchant_private_key_file",
        )
    if (
        issued
        and section.merchant_serial_no
        and serial_number(issued) != section.merchant_serial_no.lstrip("0")
    ):
        yield (
            "merchant_serial_no",
            f"{section.merchant_serial_no}: the certificate's serial number is {serial_number(issued)}",
        )


def _wrong_values(section: Any) -> Iterator[tuple[str, str]]:
    serial, key_id = section.merchant_serial_no, section.public_key_id
    if serial and not _SERIAL.fullmatch(serial):
        yield "merchant_serial_no", f"{serial}: must be upper-case hexadecimal digits"
    if key_id and not _PUBLIC_KEY_ID.fullmatch(key_id):
        yield "public_key_id", f"{key_id}: must begin with PUB_KEY_ID_"


ENTRY = ChannelEntry(connect, problems, NOTICE_ROUTE, simulator="/wechat", secure_notices=True)
