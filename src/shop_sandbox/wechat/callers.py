"""Who calls: the Authorization header, its signature, its time, and nonces that were used before."""

import sqlite3
from collections.abc import Callable

from starlette.requests import Request

from shop_sandbox.database import Database
from shop_sandbox.payments import rsa_signing
from shop_sandbox.wechat.errors import Refused, invalid_request, sign_error
from shop_sandbox.wechat.keys import MCH_ID, Keys
from shop_sandbox.wechat.signing import authorization_fields, request_text

WINDOW_S = 300
MOUNT = "/wechat"  # the sandbox's prefix, which the real provider does not have
MAX_NONCE = 64

SCHEMA = """
CREATE TABLE IF NOT EXISTS nonce (
  nonce TEXT PRIMARY KEY,
  until_s INTEGER NOT NULL
);
"""


class Callers:
    """Verifies calls of the merchant. Windows are in real time: no test clock moves them."""

    def __init__(self, database: Database, keys: Keys, now_s: Callable[[], float]) -> None:
        self._database = database
        self._keys = keys
        self._now_s = now_s

    async def verify(self, request: Request, body: bytes) -> None:
        """Check headers and signature of a call, which may come once. Raises Refused."""
        _check_headers(request)
        header = request.headers.get("authorization", "")
        if not header:
            raise sign_error("Http头缺少Authorization，请检查后再试")
        try:
            found = authorization_fields(header)
            sent_s = int(found["timestamp"])
        except ValueError:
            raise sign_error("Http头Authorization值格式错误，请参考签名规则") from None
        if found["mchid"] != MCH_ID:
            raise sign_error("商户号不存在，或与证书不匹配")
        if found["serial_no"] != self._keys.merchant_serial:
            raise sign_error("商户证书序列号有误。请使用签名私钥匹配的证书序列号")
        now_s = self._now_s()
        if abs(now_s - sent_s) > WINDOW_S:
            raise sign_error("Http头Authorization中的timestamp与发起请求的时间不得超过5分钟")
        if not 1 <= len(found["nonce_str"]) <= MAX_NONCE:
            raise sign_error("Http头Authorization中的nonce_str长度不正确")
        self._check_signature(request, found, body)
        if not await self._is_new(found["nonce_str"], int(now_s)):
            raise sign_error("Http头Authorization中的nonce_str已使用过，请勿重放请求")

    def _check_signature(self, request: Request, found: dict[str, str], body: bytes) -> None:
        target = _target(request)
        # Who signs for api.mch.weixin.qq.com and is only sent here signs the path without our prefix.
        for path in (target, target.removeprefix(MOUNT)):
            text = request_text(request.method, path, found["timestamp"], found["nonce_str"], body)
            if rsa_signing.verify(self._keys.merchant, text, found["signature"]):
                return
        detail = {
            "field": "signature",
            "issue": "sign not match",
            "location": "authorization",
            "sign_information": {
                "method": request.method,
                "url": target,
                "truncated_sign_message": f"{request.method}\n{target}\n{found['timestamp']}\n",
                "sign_message_length": len(text),
            },
        }
        raise sign_error("错误的签名，验签失败", detail)

    async def _is_new(self, nonce: str, now_s: int) -> bool:
        def insert(connection: sqlite3.Connection) -> bool:
            connection.execute("DELETE FROM nonce WHERE until_s < ?", (now_s,))
            values = (nonce, now_s + 2 * WINDOW_S)
            return connection.execute("INSERT OR IGNORE INTO nonce VALUES (?, ?)", values).rowcount == 1

        return await self._database.run(insert)


def _check_headers(request: Request) -> None:
    headers = request.headers
    if not headers.get("user-agent"):
        raise invalid_request("Http头缺少User-Agent")
    accepted = headers.get("accept", "")
    if not any(kind in accepted for kind in ("application/json", "application/*", "*/*")):
        raise invalid_request("Http头Accept须为application/json")
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.method == "POST" and kind != "application/json":
        raise Refused(400, "INVALID_REQUEST", "Http头Content-Type须为application/json")


def _target(request: Request) -> str:
    raw: bytes = request.scope["raw_path"]
    query: bytes = request.scope["query_string"]
    return (raw + b"?" * bool(query) + query).decode("latin-1")
