"""WeChat's server API of mini-programs, for the shipment that WeChat waits for before it pays us.

It is not part of WeChat Pay's API v3: calls carry a token that the app's secret buys, and nothing is signed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shop_order.domain.entity.payment import Payment
from shop_order.domain.ports import Clock, Shipment
from shop_order.gateway.payment.http import NoAnswer, ProviderHttp, reason
from shop_order.gateway.payment.wechat.reading import Fields, fields_of, rfc3339, shown, text
from shop_order.pkg.key_files import BadKeyFile, read

TOKEN, UPLOAD = "/cgi-bin/stable_token", "/wxa/sec/order/upload_shipping_info"
RENEW_BEFORE_MS = 300_000
MAX_DESCRIPTION = 120  # bytes
BY_OUT_TRADE_NO, EXPRESS, IN_ONE = 1, 1, 1  # order_number_type, logistics_type, delivery_mode
# Shipped already, told already, told twice already, refunded meanwhile: nothing is left to do.
DONE = frozenset({0, 10060002, 10060003, 10060004, 10060023})
STALE_TOKEN = frozenset({40001, 40014, 41001, 42001})
NEEDS_CONTACT = "SF"
# WeChat's codes of couriers, by how operators call them.
COURIERS = {
    "顺丰": "SF", "中通": "ZTO", "圆通": "YTO", "申通": "STO", "韵达": "YD", "极兔": "JTSD", "京东": "JD",
    "德邦": "DBL", "邮政": "YZPY",
}  # fmt: skip
_CODE = re.compile(r"[A-Za-z0-9_]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class MiniSettings:
    """Our mini-program; times in seconds."""

    gateway: str
    app_id: str
    mch_id: str
    secret: Path
    timeout_s: Callable[[], float]


def courier_of(company: str) -> str:
    """Return WeChat's code of a courier; an unknown name unchanged, which WeChat refuses."""
    if _CODE.fullmatch(company):
        return company.upper()
    return next((code for name, code in COURIERS.items() if name in company), company)


def upload_of(payment: Payment, shipment: Shipment, mch_id: str, openid: str) -> dict[str, Any]:
    """Return what is told of a parcel: of the receiver no more than the phone's last digits."""
    courier = courier_of(shipment.company)
    parcel: dict[str, Any] = {
        "tracking_no": shipment.number,
        "express_company": courier,
        "item_desc": shown(shipment.subject, MAX_DESCRIPTION) or payment.order_sn,
    }
    if courier == NEEDS_CONTACT:
        parcel["contact"] = {"receiver_contact": f"****{shipment.phone[-4:]}"}
    return {
        "order_key": {
            "order_number_type": BY_OUT_TRADE_NO,
            "mchid": mch_id,
            "out_trade_no": payment.payment_sn,
        },
        "logistics_type": EXPRESS,
        "delivery_mode": IN_ONE,
        "shipping_list": [parcel],
        "upload_time": rfc3339(shipment.shipped_ms),
        "payer": {"openid": openid},
    }


class MiniProgram:
    """Calls with a token, which is kept until shortly before its end."""

    def __init__(
        self, settings: MiniSettings, http: ProviderHttp, real_clock: Clock, log: Callable[..., None]
    ) -> None:
        self._settings = settings
        self._http = http
        self._now = real_clock
        self._log = log
        self._token = ""
        self._until_ms = 0

    async def upload(self, content: Mapping[str, Any]) -> bool:
        """Upload a shipment; return whether nothing is left to do."""
        for _ in range(2):  # the token may have been replaced by somebody else's
            try:
                token = await self._valid_token()
                answer = await self._post(f"{UPLOAD}?access_token={token}", content)
            except (NoAnswer, ValueError) as failed:
                self._log("wechat_mini_no_answer", path=UPLOAD, error=reason(failed))
                return False
            code = answer.get("errcode")
            if type(code) is int and code in DONE:
                return True
            self._log("wechat_mini_refused", path=UPLOAD, code=code, message=text(answer, "errmsg"))
            if type(code) is not int or code not in STALE_TOKEN:
                return False
            self._token = ""
        return False

    async def _valid_token(self) -> str:
        """Return a token. Raises NoAnswer, ValueError."""
        if not self._token or self._now() >= self._until_ms:
            ours = self._settings
            secret = mini_secret(ours.secret)
            wanted = {"grant_type": "client_credential", "appid": ours.app_id, "secret": secret}
            answer = await self._post(TOKEN, wanted)
            lasts_s = answer.get("expires_in")
            if not (text(answer, "access_token") and isinstance(lasts_s, int)):
                raise NoAnswer(f"no token: {answer.get('errcode')} {text(answer, 'errmsg')}")
            self._token = text(answer, "access_token")
            self._until_ms = self._now() + lasts_s * 1000 - RENEW_BEFORE_MS
        return self._token

    async def _post(self, path: str, content: Mapping[str, Any]) -> Fields:
        """Raises NoAnswer, ValueError. What they say has neither token nor secret."""
        body = json.dumps(content, ensure_ascii=False).encode()
        answer = await self._http.call(
            "POST",
            self._settings.gateway + path,
            headers={"content-type": "application/json"},
            timeout_s=self._settings.timeout_s(),
            content=body,
        )
        if answer.status != 200:
            raise NoAnswer(f"HTTP {answer.status}")
        return fields_of(answer.body)


def mini_secret(path: Path) -> str:
    """Return the secret in a file. Raises BadKeyFile."""
    secret = read(path).strip()
    if not _CODE.fullmatch(secret.decode("latin-1")):
        raise BadKeyFile("contains no AppSecret")
    return secret.decode("ascii")
