"""WeChat Pay's notices: encrypted, then signed; sent at once and up to 15 times again until 200 or 204."""

import json
from collections.abc import Callable, Mapping
from typing import Any
from zlib import crc32

from shop_sandbox.payments.notices import Notice
from shop_sandbox.wechat import content
from shop_sandbox.wechat.fields import format_time
from shop_sandbox.wechat.platform import Platform
from shop_sandbox.wechat.signing import encrypted, signed_headers

RETRY_AFTER_S = (
    15, 15, 30, 180, 600, 1_200, 1_800, 1_800, 1_800, 3_600, 10_800, 10_800, 10_800, 21_600, 21_600,
)  # fmt: skip
# What can be wrong with a notice on purpose: its signature, as a probe's, its tag, or its time by 10 minutes.
FORGERIES = ("sign", "probe", "tag", "time")
STALE_S = 600


class SealedNotices:
    """See `shop_sandbox.payments.notices.Wire`."""

    name = "wechat"
    retry_after_s = RETRY_AFTER_S

    def __init__(self, platform: Platform, api_v3_key: bytes, now_s: Callable[[], float]) -> None:
        self._platform = platform
        self._api_v3_key = api_v3_key
        self._now_s = now_s

    def number(self, now_ms: int) -> str:
        return content.day_number(now_ms)

    def stored(self, content: Mapping[str, Any]) -> str:
        return json.dumps(content, ensure_ascii=False)

    def request(self, notice: Notice, now_ms: int, forgery: str) -> tuple[bytes, Mapping[str, str]]:
        known = json.loads(notice.fields)
        plain = json.dumps(known["resource"], ensure_ascii=False, separators=(",", ":")).encode()
        # One in four has no associated data: the official documents allow that.
        associated = "" if crc32(notice.notify_id.encode()) % 4 == 0 else known["original_type"]
        sealed = encrypted(self._api_v3_key, plain, associated)
        if forgery == "tag":
            sealed["ciphertext"] = encrypted(bytes(32), plain, associated)["ciphertext"]
        told = {
            "id": notice.notify_id,
            "create_time": format_time(now_ms),
            "resource_type": "encrypt-resource",
            "event_type": known["event_type"],
            "summary": known["summary"],
            "resource": {"original_type": known["original_type"], **sealed},
        }
        body = json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()
        signer = self._platform.notice_signer(known["signer"], notice.id + notice.attempts)
        now_s = int(self._now_s()) - (STALE_S if forgery == "time" else 0)
        headers = signed_headers(signer, body, now_s, forgery if forgery in ("sign", "probe") else "")
        return body, {**headers, "content-type": "application/json", "user-agent": "Mozilla/4.0"}

    def accepted(self, status: int, answer: str) -> bool:
        return status in (200, 204)
