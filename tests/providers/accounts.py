"""A merchant's account at each provider, for the library and for our channel; the keys are the sandbox's."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from cryptography.x509 import load_pem_x509_certificate

from shop_order.configs import load
from shop_order.gateway.payment import alipay, wechat
from shop_order.gateway.payment.alipay import Alipay
from shop_order.gateway.payment.base import ChannelContext
from shop_order.gateway.payment.wechat import WechatPay
from shop_sandbox.alipay.keys import APP_ID
from shop_sandbox.wechat.keys import MCH_ID, PUBLIC_KEY_ID


def private_key(pem: Path) -> str:
    """The private key as Alipay's library takes it: PKCS#8 in base64, without a frame."""
    key = load_pem_private_key(pem.read_bytes(), None, unsafe_skip_rsa_key_validation=True)
    raw = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return base64.b64encode(raw).decode()


def public_key(pem: Path) -> str:
    """The public key in the same form."""
    key = load_pem_public_key(pem.read_bytes())
    return base64.b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


@dataclass(frozen=True, slots=True)
class AlipayAccount:
    """The merchant's and Alipay's keys."""

    keys_dir: Path

    @property
    def app_private(self) -> str:
        return private_key(self.keys_dir / "alipay_app_private.pem")

    @property
    def alipay_private(self) -> str:
        return private_key(self.keys_dir / "alipay_private.pem")

    @property
    def alipay_public(self) -> str:
        return public_key(self.keys_dir / "alipay_public.pem")

    @property
    def certificates(self) -> dict[str, str]:
        """The files of certificate mode."""
        files = {"app_cert": "app_cert", "alipay_cert": "cert", "root_cert": "root_cert"}
        return {name: str(self.keys_dir / f"alipay_{file}.pem") for name, file in files.items()}

    def of_library(self, gateway: str, charset: str = "utf-8", mode: str = "keys") -> dict[str, str]:
        """`account` of the driver's commands; `mode` is keys or certificates."""
        known = {
            "gateway": gateway,
            "app_id": APP_ID,
            "private_key": self.app_private,
            "charset": charset,
        }
        return known | (self.certificates if mode == "certificates" else {"public_key": self.alipay_public})

    def signer(self, mode: str, who: str = "alipay") -> dict[str, str]:
        """With what the library checks signatures of `alipay` or of the `app`."""
        if mode == "certificates":
            return {"cert": self.certificates[f"{who}_cert"]}
        return {"public_key": public_key(self.keys_dir / f"alipay_{'app_' * (who == 'app')}public.pem")}

    def channel(self, gateway: str, mode: str = "keys") -> Alipay:
        """Our channel with the same keys, as a service with these settings has it."""
        settings = {"GATEWAY": gateway}
        if mode == "certificates":
            files = {f"{name.upper()}_FILE": path for name, path in self.certificates.items()}
            settings |= {**files, "PUBLIC_KEY_FILE": ""}
        section = pay_settings(self.keys_dir, "ALIPAY", settings).alipay
        channel = alipay.ENTRY.connect(section, CONTEXT)
        assert isinstance(channel, Alipay)
        return channel


@dataclass(frozen=True, slots=True)
class WechatAccount:
    """The merchant's keys, and those with which WeChat Pay signs."""

    keys_dir: Path

    def pem(self, name: str) -> str:
        """The file `wechat_<name>.pem`."""
        return (self.keys_dir / f"wechat_{name}.pem").read_text()

    def serial(self, name: str) -> str:
        """The serial number of a certificate, as WeChat writes it."""
        return f"{load_pem_x509_certificate(self.pem(name).encode()).serial_number:X}"

    @property
    def api_v3_key(self) -> str:
        return (self.keys_dir / "wechat_api_v3_key.txt").read_text().strip()

    @property
    def merchant_public(self) -> str:
        return _public_pem(self.pem("merchant_private"))

    def of_library(self, gateway: str, mode: str) -> dict[str, str]:
        """`account` of the driver's commands; `mode` is public_key or certificates."""
        known = {
            "gateway": gateway,
            "mch_id": MCH_ID,
            "private_key": self.pem("merchant_private"),
            "serial": self.serial("merchant_cert"),
            "api_v3_key": self.api_v3_key,
        }
        if mode == "public_key":
            known |= {"public_key": self.pem("public"), "public_key_id": PUBLIC_KEY_ID}
        return known

    def signer(self, mode: str) -> dict[str, str]:
        """What the driver needs to sign as WeChat Pay."""
        private = self.pem("private" if mode == "public_key" else "platform_private")
        serial = PUBLIC_KEY_ID if mode == "public_key" else self.serial("platform_cert")
        return {"private_key": private, "public_key": _public_pem(private), "serial": serial}

    def channel(self, gateway: str, mode: str) -> WechatPay:
        """Our channel with the same keys, as a service with these settings has it."""
        settings = {"GATEWAY": gateway}
        if mode == "certificates":
            settings |= {"PUBLIC_KEY_FILE": "", "PUBLIC_KEY_ID": ""}
        section = pay_settings(self.keys_dir, "WECHAT", settings).wechat
        channel = wechat.ENTRY.connect(section, CONTEXT)
        assert isinstance(channel, WechatPay)
        return channel


def pay_settings(keys_dir: Path, code: str, settings: Mapping[str, str]) -> Any:
    """The settings of payment in `test`; the keys are in the folder for development."""
    environ = {f"SHOP_ORDER_PAY__{code}__{name}": value for name, value in settings.items()}
    known = {"SHOP_ORDER_APP__ENV": "test", "SHOP_ORDER_DATA_DIR": str(keys_dir.parent)}
    return load(known | environ).settings.pay


def _public_pem(private: str) -> str:
    key = load_pem_private_key(private.encode(), None, unsafe_skip_rsa_key_validation=True)
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _silent(*_: Any, **__: Any) -> None:
    """Log nothing: the assertions say what failed."""


CONTEXT = ChannelContext("http://127.0.0.1:1/notify", lambda: 10.0, _now_ms, _silent)
