"""Alipay: payment by page, wap, QR code and app, by its open platform's documents, with RSA2 signatures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shop_order.gateway.payment.alipay.certificates import is_issued, is_valid, root_number
from shop_order.gateway.payment.alipay.channel import Alipay
from shop_order.gateway.payment.alipay.gateway import AlipaySettings
from shop_order.gateway.payment.alipay.keys import CertificateFiles
from shop_order.gateway.payment.alipay.notice import NOTICE_ROUTE
from shop_order.gateway.payment.base import ChannelContext, ChannelEntry
from shop_order.pkg.key_files import (
    BadKeyFile,
    certificate_key,
    certificates,
    is_pair,
    private_key,
    public_key,
)

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

__all__ = ["ENTRY", "Alipay", "AlipaySettings"]


def connect(section: Any, context: ChannelContext) -> Alipay | None:
    """Return the channel if its settings are complete."""
    if section.missing:
        return None
    files = None
    if section.by_certificates:
        paths = (section.app_cert_file, section.alipay_cert_file, section.root_cert_file)
        files = CertificateFiles(*map(Path, paths))
    settings = AlipaySettings(
        gateway=section.gateway,
        app_id=section.app_id,
        seller_id=section.seller_id,
        app_private_key=Path(section.app_private_key_file),
        public_key=Path(section.public_key_file) if section.public_key_file else None,
        notify_url=section.notify_url or context.notify_url,
        timeout_s=context.timeout_s,
        certificates=files,
    )
    return Alipay(settings, context.real_clock, context.log)


def problems(section: Any, now_s: Callable[[], float] = time.time) -> list[str]:
    """Return what is wrong with the files of keys and certificates."""
    found: list[tuple[str, object]] = []  # settings and problems

    def read(name: str, load: Callable[[Path], Any]) -> Any:
        path = getattr(section, name)
        try:
            return load(Path(path)) if path else None
        except BadKeyFile as wrong:
            found.append((name, wrong))
            return None

    ours = read("app_private_key_file", private_key)
    if section.by_certificates:
        files = {name: read(name, certificates) or [] for name in section.certificates}
        found += _certificate_problems(files, ours, int(now_s() * 1000))
    else:
        theirs = read("public_key_file", public_key)
        if ours and theirs and is_pair(ours, theirs):
            found.append(
                ("public_key_file", "is our own public key; Alipay's is shown beside it on Alipay's site")
            )
    return [f"PAY__ALIPAY__{name.upper()}: {getattr(section, name)}: {problem}" for name, problem in found]


def _certificate_problems(
    files: Mapping[str, Sequence[Certificate]], ours: Any, now_ms: int
) -> Iterator[tuple[str, object]]:
    """Yield settings and what is wrong with their certificates; a file that can't be read is empty."""
    roots = files["root_cert_file"]
    if roots and not root_number(roots):
        yield "root_cert_file", "has no RSA-signed certificate"
    for name in ("app_cert_file", "alipay_cert_file"):
        if not (chain := files[name]):
            continue
        if not is_valid(chain[0], now_ms):
            yield name, "has expired, or is not valid yet"
        if roots and not is_issued(chain[0], chain[1:], roots) and name == "alipay_cert_file":
            yield name, "was not issued under the root certificate"
        try:
            is_ours = ours and is_pair(ours, certificate_key(chain[0]))
        except BadKeyFile as wrong:
            yield name, wrong
            continue
        if is_ours and name == "alipay_cert_file":
            yield name, "is the certificate of our own key; Alipay's is shown beside it on Alipay's site"
        if is_ours is False and name == "app_cert_file":
            yield name, "is not the certificate of our private key"


ENTRY = ChannelEntry(connect, problems, NOTICE_ROUTE, simulator="/alipay/gateway.do")
