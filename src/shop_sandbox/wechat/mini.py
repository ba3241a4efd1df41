"""The mini program's server API: stable tokens, and the shipping that frees the merchant's money.

It is not part of API v3: calls carry a token, no signature, and every answer is HTTP 200 with `errcode`.
"""

import json
import re
import secrets
import sqlite3
from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shop_sandbox.database import Database
from shop_sandbox.http import bounded_body
from shop_sandbox.payments.calls import Faults
from shop_sandbox.wechat import trades
from shop_sandbox.wechat.callers import MOUNT
from shop_sandbox.wechat.fields import parse_time
from shop_sandbox.wechat.keys import MCH_ID, MINI, Keys
from shop_sandbox.wechat.trades import Trade

TOKEN_S = 7_200
RENEW_BEFORE_S = 300  # both tokens are valid while the new one is spread
FORCE_GAP_S = 30
MAX_TEXT = 128
MAX_DESCRIPTION = 120
MAX_PARCELS = 15
CALLS = ("stable_token", "upload_shipping_info")
FAULTS = ("busy", "late")  # -1 system busy; 10060001, as just after a payment

SCHEMA = """
CREATE TABLE IF NOT EXISTS mini_token (
  token TEXT PRIMARY KEY,
  made_s INTEGER NOT NULL,
  until_s INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS shipping (
  out_trade_no TEXT PRIMARY KEY REFERENCES trade (out_trade_no),
  body TEXT NOT NULL,
  uploads INTEGER NOT NULL,
  finished INTEGER NOT NULL
);
"""


class MiniRefused(Exception):
    """The call is refused with this errcode and errmsg."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message = code, message


class MiniProgram:
    """/cgi-bin/stable_token and /wxa/sec/order/upload_shipping_info, below the sandbox's prefix."""

    def __init__(
        self, database: Database, keys: Keys, clock_ms: Callable[[], int], now_s: Callable[[], float]
    ) -> None:
        self._database = database
        self._keys = keys
        self._clock_ms = clock_ms
        self._now_s = now_s
        self.faults = Faults(CALLS, FAULTS)

    def routes(self) -> list[Route]:
        """Both routes."""
        return [
            Route(f"{MOUNT}/cgi-bin/stable_token", self.stable_token, methods=["POST"]),
            Route(f"{MOUNT}/wxa/sec/order/upload_shipping_info", self.upload, methods=["POST"]),
        ]

    async def stable_token(self, request: Request) -> Response:
        """A token; the same one until five minutes before its end, unless a new one is forced."""
        try:
            call = _object(await bounded_body(request))
            self._fail("stable_token")
            self._check_account(call)
            force = call.get("force_refresh", False)
            if not isinstance(force, bool):
                raise MiniRefused(47001, "data format error")
            token, left_s = await self._database.run(lambda one: self._token(one, force=force))
        except MiniRefused as refused:
            return _refusal(refused)
        return JSONResponse({"access_token": token, "expires_in": left_s})

    async def upload(self, request: Request) -> Response:
        """Record the shipping of a paid order of the mini program; it may be changed once."""
        try:
            await self._check_token(request.query_params.get("access_token", ""))
            call = _object(await bounded_body(request))
            self._fail("upload_shipping_info")
            _check_shipping(call)
            await self._database.run(lambda one: self._store(one, call))
        except MiniRefused as refused:
            return _refusal(refused)
        return JSONResponse({"errcode": 0, "errmsg": "ok"})

    async def shipping(self, out_trade_no: str) -> dict[str, Any] | None:
        """What was uploaded for a trade, and how often; None if nothing was."""
        select = "SELECT body, uploads, finished FROM shipping WHERE out_trade_no = ?"
        row = await self._database.run(lambda one: one.execute(select, (out_trade_no,)).fetchone())
        return {**json.loads(row[0]), "uploads": row[1], "finished": bool(row[2])} if row else None

    async def shipping_text(self, out_trade_no: str) -> str:
        """What was uploaded, for the page; "" if nothing was."""
        found = await self.shipping(out_trade_no)
        return json.dumps(found, ensure_ascii=False, indent=1) if found else ""

    def _check_account(self, call: Mapping[str, Any]) -> None:
        if call.get("grant_type") != "client_credential":
            raise MiniRefused(40002, "invalid grant_type")
        if call.get("appid") != MINI:
            raise MiniRefused(40013, "invalid appid")
        if call.get("secret") != self._keys.mini_secret:
            raise MiniRefused(40125, "invalid appsecret")

    def _token(self, connection: sqlite3.Connection, *, force: bool) -> tuple[str, int]:
        now_s = int(self._now_s())
        connection.execute("DELETE FROM mini_token WHERE until_s <= ?", (now_s,))
        select = "SELECT token, made_s, until_s FROM mini_token ORDER BY made_s DESC, rowid DESC LIMIT 1"
        newest = connection.execute(select).fetchone()
        if newest and (
            newest[2] - now_s > RENEW_BEFORE_S and not (force and now_s - newest[1] >= FORCE_GAP_S)
        ):
            return newest[0], newest[2] - now_s
        if force:
            connection.execute("DELETE FROM mini_token")
        token = f"90_{secrets.token_urlsafe(96)}"
        connection.execute("INSERT INTO mini_token VALUES (?, ?, ?)", (token, now_s, now_s + TOKEN_S))
        return token, TOKEN_S

    async def _check_token(self, token: str) -> None:
        if not token:
            raise MiniRefused(41001, "access_token missing")
        select = "SELECT until_s FROM mini_token WHERE token = ?"
        row = await self._database.run(lambda one: one.execute(select, (token,)).fetchone())
        if row is None:
            raise MiniRefused(40001, "invalid credential, access_token is invalid or not latest")
        if row[0] <= self._now_s():
            raise MiniRefused(42001, "access_token expired")

    def _fail(self, name: str) -> None:
        fault = self.faults.next(name)
        if fault == "busy":
            raise MiniRefused(-1, "system error")
        if fault == "late":
            raise MiniRefused(10060001, "支付单不存在")

    def _store(self, connection: sqlite3.Connection, call: Mapping[str, Any]) -> None:
        trade = self._trade(connection, call["order_key"])
        if trade.openid != call["payer"]["openid"]:
            raise MiniRefused(10060031, "该笔支付单不属于 openid 所指定的用户")
        if trade.refunded_fen == trade.amount_fen:
            raise MiniRefused(10060004, "支付单处于不可发货的状态")
        select = "SELECT body, uploads, finished FROM shipping WHERE out_trade_no = ?"
        known = connection.execute(select, (trade.out_trade_no,)).fetchone()
        body = json.dumps(call, ensure_ascii=False, sort_keys=True)
        finished = call["delivery_mode"] == 1 or call["is_all_delivered"]
        if known and known[2]:  # complete: it may be replaced once
            old = {**json.loads(known[0]), "upload_time": call["upload_time"]}
            if old == call:
                raise MiniRefused(10060023, "发货信息未更新")
            if known[1] >= 2:
                raise MiniRefused(10060003, "支付单已使用重新发货机会")
        uploads = (known[1] if known else 0) + (1 if finished else 0)
        values = (trade.out_trade_no, body, uploads, int(finished))
        connection.execute("INSERT OR REPLACE INTO shipping VALUES (?, ?, ?, ?)", values)

    def _trade(self, connection: sqlite3.Connection, key: Mapping[str, Any]) -> Trade:
        name = "out_trade_no" if key["order_number_type"] == 1 else "transaction_id"
        trade = trades.find(connection, self._clock_ms(), **{name: key[name]})
        if trade is None or not trade.paid_ms or trade.app_id != MINI:
            raise MiniRefused(10060001, "支付单不存在")
        return trade


def _object(raw: bytes) -> dict[str, Any]:
    try:
        found = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise MiniRefused(47001, "data format error")
    return found


def _check_shipping(call: Mapping[str, Any]) -> None:
    """Check the fields of an upload. Raises MiniRefused."""
    _keys(call, {"order_key", "logistics_type", "delivery_mode", "shipping_list", "upload_time", "payer"},
          {"is_all_delivered"})  # fmt: skip
    _check_order_key(call["order_key"])
    logistics, mode, parcels = call["logistics_type"], call["delivery_mode"], call["shipping_list"]
    if isinstance(logistics, bool) or logistics not in (1, 2, 3, 4):
        raise MiniRefused(10060005, "物流类型有误")
    if isinstance(mode, bool) or mode not in (1, 2):
        raise MiniRefused(268485224, "发货模式非法，请检查")
    if mode == 2 and logistics != 1:
        raise MiniRefused(10060006, "非快递发货时不允许分拆发货")
    if mode == 2 and not isinstance(call.get("is_all_delivered"), bool):
        raise MiniRefused(10060007, "分拆发货模式下必须填写 is_all_delivered")
    if not isinstance(parcels, list) or not parcels or (mode == 1 and len(parcels) != 1):
        raise MiniRefused(10060014, "参数错误：shipping_list")
    if len(parcels) > MAX_PARCELS:
        raise MiniRefused(10060024, "物流信息列表太长，不可多于 15 个")
    for parcel in parcels:
        _check_parcel(parcel, by_courier=logistics == 1)
    try:
        parse_time(call["upload_time"])
    except (TypeError, ValueError):
        raise MiniRefused(268485216, "上传时间非法，请检查是否符合 rfc3339 格式") from None
    payer = call["payer"]
    _keys(payer, {"openid"}, set())
    if not isinstance(payer["openid"], str) or not 1 <= len(payer["openid"]) <= MAX_TEXT:
        raise MiniRefused(40003, "invalid openid")


def _check_order_key(key: Any) -> None:
    _keys(key, {"order_number_type"}, {"transaction_id", "mchid", "out_trade_no"})
    kind = key["order_number_type"]
    if isinstance(kind, bool) or kind not in (1, 2):
        raise MiniRefused(268485194, "订单单号类型非法，请检查")
    if kind == 2 and not (isinstance(key.get("transaction_id"), str) and key["transaction_id"]):
        raise MiniRefused(268485195, "微信支付单号形式下，transaction_id 不能为空")
    if kind == 1 and key.get("mchid") != MCH_ID:
        raise MiniRefused(268485196, "商户侧单号形式下，mchid 不能为空且须与支付单一致")
    if kind == 1 and not (isinstance(key.get("out_trade_no"), str) and key["out_trade_no"]):
        raise MiniRefused(268485197, "商户侧单号形式下，out_trade_no 不能为空")


def _check_parcel(parcel: Any, *, by_courier: bool) -> None:
    _keys(parcel, {"item_desc"}, {"tracking_no", "express_company", "contact"})
    description = parcel["item_desc"]
    if not isinstance(description, str) or not description:
        raise MiniRefused(10060008, "商品描述 item_desc 字段不能为空")
    if len(description) > MAX_DESCRIPTION:
        raise MiniRefused(10060009, "商品描述 item_desc 字段太长")
    number, company = parcel.get("tracking_no", ""), parcel.get("express_company", "")
    if (
        not isinstance(number, str)
        or not isinstance(company, str)
        or (by_courier and not (number and company))
    ):
        raise MiniRefused(10060014, "参数错误：物流快递发货时，tracking_no 与 express_company 必填")
    if len(company) > MAX_TEXT or (company and not re.fullmatch(r"[A-Za-z0-9_]+", company)):
        raise MiniRefused(10060025, "物流公司编码太长或无效")
    if len(number) > MAX_TEXT:
        raise MiniRefused(10060026, "物流单号太长")
    contact = parcel.get("contact", {})
    _keys(contact, set(), {"consignor_contact", "receiver_contact"})
    phones = [contact.get("consignor_contact", ""), contact.get("receiver_contact", "")]
    if not all(isinstance(one, str) and len(one) <= 1024 for one in phones):
        raise MiniRefused(47001, "data format error")
    # The provider asks for a masked number: four digits stay, the rest may be stars.
    if company == "SF" and not any(re.fullmatch(r"\+?[\d-]*\*{0,8}\d{4}", one) for one in phones):
        raise MiniRefused(10060014, "参数错误：顺丰快递须填写寄件人或收件人的联系方式")


def _keys(found: Any, required: set[str], optional: set[str]) -> None:
    if not isinstance(found, dict) or not required <= found.keys() <= required | optional:
        raise MiniRefused(47001, "data format error")


def _refusal(refused: MiniRefused) -> Response:
    return JSONResponse({"errcode": refused.code, "errmsg": f"{refused.message} rid: {secrets.token_hex(4)}"})
