"""Plays the shop's page that gets an openid from WeChat and takes it, signed, back to the cashier.

The key is that of the cashier's links, as the development keys have it: 64 hex digits, used as text.
"""

import hashlib
import hmac
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from shop_sandbox.database import Database
from shop_sandbox.payments.calls import is_local_url
from shop_sandbox.wechat.errors import param_error
from shop_sandbox.wechat.keys import APP_IDS, OFFICIAL

SCHEMA = """
CREATE TABLE IF NOT EXISTS openid (
  openid TEXT PRIMARY KEY,
  app_id TEXT NOT NULL
);
"""
LIFETIME_S = 600
PARAMETERS = ("openid", "openid_expires", "openid_sign")


def openid_of(app_id: str, buyer: str) -> str:
    """A buyer's openid: another one for each app."""
    digest = hashlib.sha256(f"{app_id}/{buyer}".encode()).hexdigest()
    return f"o{digest[:27]}"


class OpenIdPage:
    """GET /wechat/openid?order_sn=…&return_url=…&app_id=…; `buyer` plays another buyer."""

    def __init__(self, database: Database, link_key: Path, now_s: Callable[[], float]) -> None:
        self._database = database
        self._link_key = link_key
        self._now_s = now_s

    async def page(self, request: Request) -> Response:
        """Redirect to the cashier; 400 for a call that the cashier would not make, 503 without a key."""
        query = request.query_params
        order_sn, return_url = query.get("order_sn", ""), query.get("return_url", "")
        app_id, buyer = query.get("app_id", OFFICIAL), query.get("buyer", "1")
        if not re.fullmatch(r"[0-9]{27}", order_sn) or app_id not in APP_IDS or len(buyer) > 64:
            raise HTTPException(400, "order_sn, app_id or buyer is wrong")
        # Links of the cashier are longer than notify addresses may be.
        if len(return_url) > 2_048 or not is_local_url(return_url.partition("?")[0]):
            raise HTTPException(400, "return_url must be a page on this machine")
        openid = openid_of(app_id, buyer)
        target = self._signed(order_sn, return_url, openid)
        insert = "INSERT OR IGNORE INTO openid VALUES (?, ?)"
        await self._database.run(lambda one: one.execute(insert, (openid, app_id)))
        return RedirectResponse(target, 303, {"cache-control": "no-store"})

    async def check(self, openid: str, app_id: str) -> None:
        """Refuse an openid that was made for another app. Raises Refused."""
        select = "SELECT app_id FROM openid WHERE openid = ?"
        row = await self._database.run(lambda one: one.execute(select, (openid,)).fetchone())
        if row is not None and row[0] != app_id:
            raise param_error("/payer/openid", "appid 和 openid 不匹配", openid)

    def _signed(self, order_sn: str, return_url: str, openid: str) -> str:
        try:
            key = self._link_key.read_text(encoding="ascii").strip().encode()
        except FileNotFoundError:
            raise HTTPException(503, f"no {self._link_key.name}: start the order service first") from None
        expires = int(self._now_s()) + LIFETIME_S
        text = f"openid={openid}&order_sn={order_sn}&expires={expires}"
        sign = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        parts = urlsplit(return_url)
        kept = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] not in PARAMETERS]
        added = list(zip(PARAMETERS, (openid, str(expires), sign), strict=True))
        return urlunsplit(parts._replace(query=urlencode([*kept, *added])))
