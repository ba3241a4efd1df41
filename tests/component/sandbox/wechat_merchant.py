"""A merchant of WeChat Pay for tests: signs, verifies and decrypts with `cryptography` alone."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from shop_sandbox.http_server import HttpServer, listen
from shop_sandbox.server import Sandbox

ORDER_SN = "261121080000123456789012345"
PUBLIC_KEY_ID = "PUB_KEY_ID_0000000001"
NATIVE, JSAPI, H5, APP = (f"/v3/pay/transactions/{kind}" for kind in ("native", "jsapi", "h5", "app"))
REFUNDS = "/v3/refund/domestic/refunds"


@dataclass(frozen=True, slots=True)
class Told:
    """A notice as it arrived; `genuine` says whether its signature is right."""

    genuine: bool
    serial: str
    envelope: Mapping[str, Any]
    resource: Mapping[str, Any]
    headers: Mapping[str, str]


class WechatMerchant:
    """Calls the gateway and keeps every notice; `answers` (HTTP statuses) are used up first."""

    def __init__(self, base: str, keys_dir: Path, client: httpx.AsyncClient) -> None:
        def read(name: str) -> bytes:
            return (keys_dir / name).read_bytes()

        private = load_pem_private_key(
            read("wechat_merchant_private.pem"), None, unsafe_skip_rsa_key_validation=True
        )
        public = load_pem_public_key(read("wechat_public.pem"))
        assert isinstance(private, rsa.RSAPrivateKey)
        assert isinstance(public, rsa.RSAPublicKey)
        self.private = private
        self.serial = f"{x509.load_pem_x509_certificate(read('wechat_merchant_cert.pem')).serial_number:X}"
        self.keys: dict[str, rsa.RSAPublicKey] = {PUBLIC_KEY_ID: public}
        self.trust(read("wechat_platform_cert.pem"))
        self.api_v3_key = read("wechat_api_v3_key.txt")
        self.mini_secret = read("wechat_mini_secret.txt").decode()
        self.keys_dir = keys_dir
        self.base = base
        self.client = client
        self.told: list[Told] = []
        self.answers: list[int] = []
        self.notify_url = ""

    def trust(self, pem: bytes) -> str:
        """Know a platform certificate; returns its serial."""
        found = x509.load_pem_x509_certificate(pem)
        key, serial = found.public_key(), f"{found.serial_number:X}"
        assert isinstance(key, rsa.RSAPublicKey)
        self.keys[serial] = key
        return serial

    async def take(self, request: Request) -> Response:
        """The notify address."""
        body = await request.body()
        envelope = json.loads(body)
        self.told.append(
            Told(
                self.genuine(request.headers, body),
                request.headers["wechatpay-serial"],
                envelope,
                self.opened(envelope["resource"]),
                dict(request.headers),
            )
        )
        return Response(status_code=self.answers.pop(0) if self.answers else 204)

    def genuine(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Whether WeChat Pay signed this."""
        text = f"{headers['wechatpay-timestamp']}\n{headers['wechatpay-nonce']}\n".encode() + body + b"\n"
        try:
            signature = base64.b64decode(headers["wechatpay-signature"], validate=True)
            self.keys[headers["wechatpay-serial"]].verify(
                signature, text, padding.PKCS1v15(), hashes.SHA256()
            )
        except Exception:  # noqa: BLE001 - a wrong signature, in whatever way
            return False
        return True

    def opened(self, resource: Mapping[str, str]) -> dict[str, Any]:
        """The decrypted resource; {} if its tag is wrong."""
        try:
            found: dict[str, Any] = json.loads(self.decrypted(resource))
        except Exception:  # noqa: BLE001 - as above
            return {}
        return found

    def decrypted(self, resource: Mapping[str, str]) -> bytes:
        assert resource["algorithm"] == "AEAD_AES_256_GCM"
        associated = resource["associated_data"].encode()
        sealed = base64.b64decode(resource["ciphertext"])
        return AESGCM(self.api_v3_key).decrypt(resource["nonce"].encode(), sealed, associated)

    def sign(self, text: bytes) -> str:
        return base64.b64encode(self.private.sign(text, padding.PKCS1v15(), hashes.SHA256())).decode()

    def authorization(self, method: str, target: str, body: bytes, **spoilt: str) -> str:
        """The header of a call; `spoilt` replaces fields after signing."""
        fields = {
            "mchid": "1900000001",
            "nonce_str": spoilt.pop("nonce", secrets.token_hex(16)),
            "timestamp": spoilt.pop("at", str(int(time.time()))),
            "serial_no": self.serial,
        }
        text = f"{method}\n{target}\n{fields['timestamp']}\n{fields['nonce_str']}\n".encode() + body + b"\n"
        fields |= {"signature": self.sign(text), **spoilt}
        return "WECHATPAY2-SHA256-RSA2048 " + ",".join(f'{key}="{value}"' for key, value in fields.items())

    async def send(
        self, method: str, target: str, body: Any = None, *, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """A signed call; the answer is verified unless it is lost."""
        raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {
            "authorization": self.authorization(method, urlsplit(self.base).path + target, raw),
            "accept": "application/json",
            **({"content-type": "application/json"} if raw else {}),
            **(headers or {}),
        }
        return await self.client.request(method, self.base + target, content=raw, headers=sent)

    async def call(
        self, method: str, target: str, body: Any = None, **headers: str
    ) -> tuple[int, dict[str, Any]]:
        """Status and verified JSON of a signed call."""
        reply = await self.send(method, target, body, headers=headers)
        assert self.genuine(reply.headers, reply.content), reply.text
        return reply.status_code, reply.json() if reply.content else {}

    def order(self, out_trade_no: str = "P000001", **more: Any) -> dict[str, Any]:
        """The body of an order by QR code."""
        return {
            "appid": "wx0000000000000001",
            "mchid": "1900000001",
            "description": "商城订单",
            "out_trade_no": out_trade_no,
            "attach": ORDER_SN,
            "notify_url": self.notify_url,
            "amount": {"total": 1999, "currency": "CNY"},
            **more,
        }

    async def open(self, out_trade_no: str = "P000001", **more: Any) -> dict[str, Any]:
        """Place an order by QR code."""
        status, answer = await self.call("POST", NATIVE, self.order(out_trade_no, **more))
        assert status == 200, answer
        return answer

    async def query(self, out_trade_no: str = "P000001") -> dict[str, Any]:
        target = f"/v3/pay/transactions/out-trade-no/{out_trade_no}?mchid=1900000001"
        return (await self.call("GET", target))[1]

    async def close(self, out_trade_no: str = "P000001") -> tuple[int, dict[str, Any]]:
        target = f"/v3/pay/transactions/out-trade-no/{out_trade_no}/close"
        return await self.call("POST", target, {"mchid": "1900000001"})

    def refund_body(self, fen: int, number: str = "R1", out_trade_no: str = "P000001") -> dict[str, Any]:
        return {
            "out_trade_no": out_trade_no,
            "out_refund_no": number,
            "notify_url": self.notify_url,
            "amount": {"refund": fen, "total": 1999, "currency": "CNY"},
        }

    async def refund(
        self, fen: int, number: str = "R1", out_trade_no: str = "P000001"
    ) -> tuple[int, dict[str, Any]]:
        return await self.call("POST", REFUNDS, self.refund_body(fen, number, out_trade_no))

    async def refund_state(self, number: str = "R1") -> str:
        return str((await self.call("GET", f"{REFUNDS}/{number}"))[1]["status"])

    async def act(self, action: str, out_trade_no: str = "P000001", query: str = "") -> httpx.Response:
        return await self.client.post(f"{self.base}/sim/{out_trade_no}/{action}{query}")

    async def state(self, out_trade_no: str = "P000001") -> dict[str, Any]:
        found: dict[str, Any] = (await self.client.get(f"{self.base}/sim/{out_trade_no}")).json()
        return found

    async def plant(self, method: str, fault: str, times: int = 1) -> int:
        wanted = {"method": method, "fault": fault, "times": times}
        return (await self.client.post(f"{self.base}/sim/faults", json=wanted)).status_code

    async def platform(self, **wanted: str) -> dict[str, Any]:
        found: dict[str, Any] = (await self.client.post(f"{self.base}/sim/platform", json=wanted)).json()
        return found


@asynccontextmanager
async def wechat_merchant_of(sandbox: Sandbox) -> AsyncIterator[WechatMerchant]:
    """A merchant whose notify address is open."""
    listener = listen("127.0.0.1", 0)
    async with httpx.AsyncClient(trust_env=False, verify=False) as client:  # plain HTTP
        base = f"http://127.0.0.1:{sandbox.http_port}/wechat"
        merchant = WechatMerchant(base, sandbox.settings.keys_dir, client)
        merchant.notify_url = f"http://127.0.0.1:{listener.getsockname()[1]}/notify"
        server = HttpServer(Starlette(routes=[Route("/notify", merchant.take, methods=["POST"])]), listener)
        await server.start()
        try:
            yield merchant
        finally:
            await server.stop()
