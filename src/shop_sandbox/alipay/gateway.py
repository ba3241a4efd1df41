"""The gateway's JSON methods: QR code, query, close, refund, refund query, bills and certificates, signed.

Faults can be planted for the next calls of a method: `lost` (carried out, but the answer is lost: HTTP 502),
`unknown` (not carried out, code 20000), `down` (not carried out, HTTP 503).
"""

import base64
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from shop_sandbox.alipay import content, fields, signing
from shop_sandbox.alipay.bills import Bills
from shop_sandbox.alipay.certificates import DOWNLOAD, number_of, pem
from shop_sandbox.alipay.keys import Keys
from shop_sandbox.alipay.late import LateBuyers
from shop_sandbox.alipay.requests import (
    BILL,
    CLOSE,
    PRECREATE,
    QUERY,
    REFUND,
    REFUND_QUERY,
    Refused,
    biz_content,
    merchant_number,
    pay_request,
)
from shop_sandbox.alipay.trades import Refund, Trade, Trades, trade_not_found
from shop_sandbox.payments.calls import Faults, GatewayDown
from shop_sandbox.payments.notices import Notices

FAULTS = ("lost", "unknown", "down")

Answer = dict[str, object]


class Gateway:
    """Carries out calls whose signature was verified."""

    def __init__(
        self,
        trades: Trades,
        notices: Notices,
        late: LateBuyers,
        bills: Bills,
        keys: Keys,
        clock_ms: Callable[[], int],
    ) -> None:
        self._trades = trades
        self._clock_ms = clock_ms
        self._late = late
        self._notices = notices
        self._bills = bills
        self._keys = keys
        self.charset = ""  # of the answers; empty: the charset named in the call's URL
        self._methods: dict[str, Callable[[Mapping[str, Any]], Awaitable[Answer]]] = {
            QUERY: self._query,
            CLOSE: self._close,
            REFUND: self._refund,
            REFUND_QUERY: self._refund_query,
            DOWNLOAD: self._download_certificate,
        }
        self._known = {*self._methods, BILL, PRECREATE}
        self.faults = Faults(sorted(self._known), FAULTS)

    async def call(self, method: str, call: Mapping[str, str], site: str) -> Answer:
        """Carry out a call and return its answer; `site` is our base URL. Raises Refused, GatewayDown."""
        biz = biz_content(call)
        fault = self.faults.next(method)
        if fault == "down":
            raise GatewayDown(503)
        if fault == "unknown":
            raise Refused("isp.unknow-error", "系统繁忙", code="20000", msg="Service Currently Unavailable")
        answer: Answer
        if method == PRECREATE:
            answer = await self._precreate(call, site)
        elif method == BILL:
            answer = await self._bills.download_address(biz, site)
        else:
            answer = await self._methods[method](biz)
        if fault == "lost":
            raise GatewayDown(502)
        return {"code": "10000", "msg": "Success", **answer}

    def error_answer(self, refused: Refused) -> Answer:
        """The answer to a call that was refused."""
        return {
            "code": refused.code,
            "msg": refused.msg,
            "sub_code": refused.sub_code,
            "sub_msg": refused.sub_msg,
        }

    def sign_answer(self, method: str, node: Answer, charset: str, *, certificate: bool = False) -> bytes:
        """The signed answer as bytes; an `error_response` if the method is unknown.

        The signature covers the node's bytes exactly as they appear in the answer. `certificate`: name it.
        """
        name = f"{method.replace('.', '_')}_response" if method in self._known else "error_response"
        text = json.dumps(node, ensure_ascii=False, separators=(",", ":"))
        sign = signing.sign(self._keys.provider, text, charset)
        number = number_of(self._keys.certificates.provider)
        named = f'"alipay_cert_sn":"{number}",' if certificate else ""
        return signing.written(f'{{"{name}":{text},{named}"sign":"{sign}"}}', charset)

    async def _precreate(self, call: Mapping[str, str], site: str) -> Answer:
        session = pay_request(PRECREATE, call, self._clock_ms())
        await self._trades.open(session)
        code = f"{site.rstrip('/')}/alipay/qr/{session.out_trade_no}"
        return {"out_trade_no": session.out_trade_no, "qr_code": code}

    async def _download_certificate(self, biz: Mapping[str, Any]) -> Answer:
        issued = self._keys.certificates
        if biz.get("alipay_cert_sn") != number_of(issued.provider):
            raise Refused("isv.invalid-cert-sn", "证书不存在")
        content = base64.b64encode(pem(issued.provider, issued.authority)).decode()
        return {"alipay_cert_content": content}

    async def _trade(self, biz: Mapping[str, Any]) -> Trade | None:
        out_trade_no = merchant_number(biz, "out_trade_no", required=False)
        trade_no = merchant_number(biz, "trade_no", required=False)
        if not out_trade_no and not trade_no:
            raise Refused("ACQ.INVALID_PARAMETER", "参数无效：out_trade_no 与 trade_no 不能同时为空")
        return await self._trades.trade(out_trade_no, trade_no)

    async def _query(self, biz: Mapping[str, Any]) -> Answer:
        trade = await self._trade(biz)
        if trade is None:
            raise trade_not_found()
        return content.query_answer(await self._trades.session(trade.out_trade_no), trade)

    async def _close(self, biz: Mapping[str, Any]) -> Answer:
        trade = await self._trade(biz)
        if trade is None:
            await self._late.close_requested(merchant_number(biz, "out_trade_no", required=False))
            raise trade_not_found()
        closed = await self._trades.close(trade.out_trade_no, "")
        return {"trade_no": closed.trade_no, "out_trade_no": closed.out_trade_no}

    async def _refund(self, biz: Mapping[str, Any]) -> Answer:
        trade = await self._trade(biz)
        if trade is None:
            raise trade_not_found()
        try:
            amount_fen = fields.parse_yuan(biz.get("refund_amount"))
        except ValueError as error:
            raise Refused("ACQ.INVALID_PARAMETER", f"参数无效：refund_amount：{error}") from None
        out_request_no = merchant_number(biz, "out_request_no", required=False) or trade.out_trade_no
        refund = await self._trades.refund(trade, out_request_no, amount_fen)
        session = await self._trades.session(trade.out_trade_no)
        if refund.fresh and session.notify_url:
            notice = content.refund_notice(session, trade, refund)
            await self._notices.post(trade.out_trade_no, "refund", session.notify_url, notice)
        return content.refund_answer(trade, refund)

    async def _refund_query(self, biz: Mapping[str, Any]) -> Answer:
        trade = await self._trade(biz)
        if trade is None:
            raise trade_not_found()
        out_request_no = merchant_number(biz, "out_request_no")
        found: list[Refund] = [
            one
            for one in await self._trades.refunds(trade.out_trade_no)
            if one.out_request_no == out_request_no
        ]
        # For an unknown refund the provider answers with success and no further fields.
        if not found:
            return {}
        return content.refund_query_answer(await self._trades.session(trade.out_trade_no), trade, found[0])
