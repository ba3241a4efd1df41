"""WeChat Pay's side of the wire in small: it verifies requests, signs its answers, encrypts its notices."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shop_order.gateway.payment.wechat import WechatPay, WechatSettings

NOW_MS = 1_796_000_000_000
MCH_ID, APP_IDS = "1900000109", {"official": "wx1", "mini": "wx2", "app": "wx3"}
KEY_ID = "PUB_KEY_ID_0119000001092024"
API_V3_KEY = b"0123456789abcdef0123456789ABCDEF"
TIMEOUT_S = 2.0
_AUTHORIZATION = re.compile(
    'WECHATPAY2-SHA256-RSA2048 mchid="1900000109",nonce_str="([^"]+)",signature="([^"]+)",'
    'timestamp="([0-9]+)",serial_no="5A5A5A"'
)


@cache
def key(whose: str) -> rsa.RSAPrivateKey:
    """The private key of us, of WeChat's public key, of a platform certificate, or of a stranger."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def signature(signer: rsa.RSAPrivateKey, text: bytes) -> str:
    return base64.b64encode(signer.sign(text, padding.PKCS1v15(), hashes.SHA256())).decode()


def signed_headers(
    body: bytes, *, by: str = "wechat", serial: str = KEY_ID, at_ms: int = NOW_MS
) -> dict[str, str]:
    """The headers that WeChat signs an answer or a notice with."""
    timestamp, nonce = str(at_ms // 1000), "c5ac7061fccab6bf3e254dcf98995b8c"
    return {
        "wechatpay-serial": serial,
        "wechatpay-timestamp": timestamp,
        "wechatpay-nonce": nonce,
        "wechatpay-signature": signature(key(by), f"{timestamp}\n{nonce}\n".encode() + body + b"\n"),
    }


def sealed(plain: bytes, about: str = "transaction", api_v3_key: bytes = API_V3_KEY) -> dict[str, str]:
    """An encrypted `resource`."""
    nonce = "fdasflkja484"
    ciphertext = AESGCM(api_v3_key).encrypt(nonce.encode(), plain, about.encode())
    return {
        "original_type": "transaction",
        "algorithm": "AEAD_AES_256_GCM",
        "ciphertext": base64.b64encode(ciphertext).decode(),
        "associated_data": about,
        "nonce": nonce,
    }


def notice(plain: bytes | Mapping[str, Any], event: str = "TRANSACTION.SUCCESS", **sealing: Any) -> bytes:
    """The body of a notice."""
    content = plain if isinstance(plain, bytes) else json.dumps(plain).encode()
    head = {"id": "EV-2018022511223320873", "create_time": "2026-11-21T20:00:01+08:00", "event_type": event}
    return json.dumps(
        head | {"resource_type": "encrypt-resource", "resource": sealed(content, **sealing)}
    ).encode()


def a_trade(payment_sn: str, **changed: Any) -> dict[str, Any]:
    """A paid trade of 19.99 yuan, as queries and notices show it."""
    trade = {
        "appid": "wx1",
        "mchid": MCH_ID,
        "out_trade_no": payment_sn,
        "transaction_id": f"T{payment_sn}",
        "trade_type": "NATIVE",
        "trade_state": "SUCCESS",
        "trade_state_desc": "支付成功",
        "bank_type": "CMC",
        "attach": "",
        "success_time": "2026-11-21T20:00:00+08:00",
        "payer": {"openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"},
        "amount": {"total": 1999, "payer_total": 1999, "currency": "CNY", "payer_currency": "CNY"},
    }
    return trade | changed


def a_certificate(whose: str, serial: int, *, days: int = 1800) -> bytes:
    """A platform certificate, PEM; it expires after so many days."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Tenpay.com sign")])
    now = datetime.fromtimestamp(NOW_MS // 1000, UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key(whose).public_key())
        .serial_number(serial)
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now + timedelta(days=days))
        .sign(key(whose), hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )


def certificates(**by_serial: bytes) -> dict[str, Any]:
    """The answer of `/v3/certificates`; a serial's name begins with `S`, which is left out."""
    return {
        "data": [
            {"serial_no": serial[1:], "encrypt_certificate": sealed(pem, "certificate")}
            for serial, pem in by_serial.items()
        ]
    }


Asked = tuple[str, str, dict[str, Any]]  # method, target and JSON
Given = tuple[int, object]  # status and JSON; bytes are sent as they are


@dataclass
class WechatWorld:
    """The channel before a server that gives `answers` by the end of the path; the rest is 404."""

    answers: dict[str, Given] = field(default_factory=dict)
    signs: Callable[[bytes], Mapping[str, str]] = signed_headers
    asked: list[Asked] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    log: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    now_ms: int = NOW_MS
    pause_s: float = 0.0  # before each answer
    channel: WechatPay = field(init=False)

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        """Verify the request as WeChat does; find its answer."""
        found = _AUTHORIZATION.fullmatch(headers["authorization"])
        assert found, headers["authorization"]
        text = f"{method}\n{target}\n{found[3]}\n{found[1]}\n".encode() + body + b"\n"
        key("us").public_key().verify(base64.b64decode(found[2]), text, padding.PKCS1v15(), hashes.SHA256())
        assert headers["accept"] == "application/json"
        self.asked.append((method, target, json.loads(body or b"{}")))
        self.headers.append(headers)
        path = target.split("?", maxsplit=1)[0]
        for end, (status, content) in self.answers.items():
            if path.endswith(end):
                plain = (
                    content
                    if isinstance(content, bytes)
                    else json.dumps(content, ensure_ascii=False).encode()
                )
                return status, plain
        return 404, b'{"code":"RESOURCE_NOT_EXISTS","message":"none"}'

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, target, _ = head[0].split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-2])}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        try:
            status, content = self.answer(method, target, headers, body)
        except Exception as wrong:  # noqa: BLE001 - the test sees it in the answer
            status, content = 500, repr(wrong).encode()
        await asyncio.sleep(self.pause_s)
        about = {"connection": "close", "content-length": str(len(content)), **self.signs(content)}
        lines = [f"HTTP/1.1 {status} -", *(f"{name}: {value}" for name, value in about.items())]
        writer.write("\r\n".join([*lines, "", ""]).encode() + content)
        await writer.drain()
        writer.close()


def written_keys(folder: Path) -> None:
    """Write the files that the settings name."""
    pem = serialization.Encoding.PEM
    (folder / "ours.pem").write_bytes(
        key("us").private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    (folder / "theirs.pem").write_bytes(
        key("wechat").public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    (folder / "v3.txt").write_bytes(API_V3_KEY + b"\n")


@asynccontextmanager
async def wechat(folder: Path, **changed: Any) -> AsyncIterator[WechatWorld]:
    """The channel and its provider; `changed` settings, such as those of certificate mode."""
    world = WechatWorld()
    server = await asyncio.start_server(world.serve, "127.0.0.1", 0)
    written_keys(folder)
    settings = WechatSettings(
        gateway=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/base",
        mch_id=MCH_ID,
        app_ids=APP_IDS,
        merchant_serial_no="5A5A5A",
        merchant_certificate=None,
        merchant_private_key=folder / "ours.pem",
        api_v3_key=folder / "v3.txt",
        public_key=folder / "theirs.pem",
        public_key_id=KEY_ID,
        notify_url="https://shop.example/notify",
        mini_gateway="http://127.0.0.1:9",
        mini_secret=None,
        timeout_s=lambda: TIMEOUT_S,
    )
    log = lambda event, **about: world.log.append((event, about))  # noqa: E731 - as short as it is
    world.channel = WechatPay(replace(settings, **changed), lambda: world.now_ms, lambda: "593BEC0C930B", log)
    try:
        yield world
    finally:
        await world.channel.aclose()
        server.close()
