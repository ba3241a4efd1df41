"""Alipay's notices: signed forms, sent at once, then after 4m 10m 10m 1h 2h 6h 15h, until `success`."""

import json
from collections.abc import Mapping
from typing import Any

from shop_sandbox.alipay import fields, signing
from shop_sandbox.alipay.keys import Keys
from shop_sandbox.payments.notices import Notice

RETRY_AFTER_S = (240, 600, 600, 3_600, 7_200, 21_600, 54_000)


class SignedForms:
    """See `shop_sandbox.payments.notices.Wire`."""

    name = "alipay"
    retry_after_s = RETRY_AFTER_S

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self.charset = signing.UTF8  # of the notices sent from now on

    def number(self, now_ms: int) -> str:
        return fields.random_number("00222", now_ms, 21)

    def stored(self, content: Mapping[str, Any]) -> str:
        return json.dumps({**content, "charset": self.charset}, ensure_ascii=False)

    def request(self, notice: Notice, now_ms: int, forgery: str) -> tuple[bytes, Mapping[str, str]]:
        form = {
            **json.loads(notice.fields),
            "notify_id": notice.notify_id,
            "notify_time": fields.format_time(now_ms),
        }
        text, charset = signing.notice_text(form), form["charset"]
        if forgery == "sign":
            text += "&forged=1"
        form["sign"] = signing.sign(self._keys.provider, text, charset)
        form["sign_type"] = "RSA2"
        return signing.form(form, charset), {
            "content-type": f"application/x-www-form-urlencoded; charset={charset}"
        }

    def accepted(self, status: int, answer: str) -> bool:
        return status == 200 and answer == "success"
