"""The gateway of API v3: /v3/pay, /v3/refund, /v3/bill and /v3/certificates.

Faults can be planted for the next calls of a name in CALLS: `lost` (carried out, but the answer is lost: HTTP
502), `unknown` (not carried out, HTTP 500 SYSTEM_ERROR), `busy` (not carried out, HTTP 429), `down` (not
carried out, HTTP 503 without JSON), `forged` and `probe` (carried out, but the answer's signature is wrong).
"""

import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from shop_sandbox.http import bounded_body
from shop_sandbox.payments.calls import Faults, GatewayDown
from shop_sandbox.wechat import content, requests
from shop_sandbox.wechat.bills import Bills
from shop_sandbox.wechat.callers import MOUNT, Callers
from shop_sandbox.wechat.errors import Refused, not_found, param_error
from shop_sandbox.wechat.fields import query_fields
from shop_sandbox.wechat.keys import PlatformKey
from shop_sandbox.wechat.openid import OpenIdPage
from shop_sandbox.wechat.platform import Platform
from shop_sandbox.wechat.refunds import Refunds
from shop_sandbox.wechat.signing import signed_headers
from shop_sandbox.wechat.trades import Trade, Trades

CALLS = ("pay", "query", "close", "refund", "refund_query", "bill", "download", "certificates")
FAULTS = ("lost", "unknown", "busy", "down", "forged", "probe")

Answer = dict[str, Any] | bytes | None  # bytes: a file, without a signature; None: 204


class Gateway:
    """Verifies, carries out and signs."""

    def __init__(
        self,
        callers: Callers,
        platform: Platform,
        trades: Trades,
        refunds: Refunds,
        bills: Bills,
        openids: OpenIdPage,
        *,
        clock_ms: Callable[[], int],
        now_s: Callable[[], float],
    ) -> None:
        self._callers = callers
        self._platform = platform
        self._trades = trades
        self._refunds = refunds
        self._bills = bills
        self._openids = openids
        self._clock_ms = clock_ms
        self._now_s = now_s
        self.faults = Faults(CALLS, FAULTS)

    def routes(self) -> list[Route]:
        """All routes of the gateway."""
        pay, refund = f"{MOUNT}/v3/pay/transactions", f"{MOUNT}/v3/refund/domestic/refunds"
        number = f"{pay}/out-trade-no/{{number}}"
        return [
            Route(number, self._served("query", self._query)),
            Route(f"{number}/close", self._served("close", self._close), methods=["POST"]),
            Route(f"{pay}/id/{{number}}", self._served("query", self._query_by_id)),
            Route(f"{pay}/{{kind}}", self._served("pay", self._pay), methods=["POST"]),
            Route(refund, self._served("refund", self._refund), methods=["POST"]),
            Route(f"{refund}/{{number}}", self._served("refund_query", self._refund_query)),
            Route(f"{MOUNT}/v3/bill/tradebill", self._served("bill", self._bill)),
            Route(f"{MOUNT}/v3/billdownload/file", self._served("download", self._download)),
            Route(f"{MOUNT}/v3/certificates", self._served("certificates", self._certificates)),
        ]

    def _served(
        self, name: str, act: Callable[[Request, bytes], Awaitable[Answer]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def serve(request: Request) -> Response:
            body = await bounded_body(request)
            forgery = ""
            try:
                signer = self._platform.signer(request.headers.get("wechatpay-serial", ""))
            except Refused as refused:
                return self._signed(self._platform.signer(""), refused.status, refused.body())
            try:
                await self._callers.verify(request, body)
                answer, forgery = await self._carried_out(name, lambda: act(request, body))
                status = 200 if answer is not None else 204
            except Refused as refused:
                status, answer = refused.status, refused.body()
            except GatewayDown as down:
                return Response(status_code=down.status)
            if isinstance(answer, bytes):
                return Response(answer, media_type="text/plain")
            return self._signed(signer, status, answer, forgery)

        return serve

    async def _carried_out(self, name: str, act: Callable[[], Awaitable[Answer]]) -> tuple[Answer, str]:
        """The answer, and what is wrong with its signature. Raises Refused, GatewayDown."""
        fault = self.faults.next(name)
        if fault == "down":
            raise GatewayDown(503)
        if fault == "unknown":
            raise Refused(500, "SYSTEM_ERROR", "系统异常，请稍后重试")
        if fault == "busy":
            raise Refused(429, "FREQUENCY_LIMITED", "频率超限，请降低请求接口频率")
        answer = await act()
        if fault == "lost":
            raise GatewayDown(502)
        return answer, {"forged": "sign", "probe": "probe"}.get(fault, "")

    def _signed(
        self, signer: PlatformKey, status: int, answer: dict[str, Any] | None, forgery: str = ""
    ) -> Response:
        body = b"" if answer is None else json.dumps(answer, ensure_ascii=False).encode()
        headers = {"content-language": "zh-CN", "cache-control": "no-cache, must-revalidate"}
        if body:
            headers["content-type"] = "application/json; charset=utf-8"
        response = Response(body, status, headers)
        signed = signed_headers(signer, body, int(self._now_s()), forgery)
        # Spelled as the provider spells them: its Java library knows no other case.
        response.raw_headers += [(name.encode(), value.encode()) for name, value in signed.items()]
        return response

    async def _pay(self, request: Request, body: bytes) -> Answer:
        kind = request.path_params["kind"]
        if kind not in requests.TRADE_TYPES:
            raise not_found("请求的资源不存在")
        order = requests.order(kind, body, self._clock_ms())
        await self._openids.check(order.openid, order.app_id)
        trade = await self._trades.open(order, request.headers.get("wechatpay-serial", ""))
        match kind:
            case "native":
                return {"code_url": trade.code_url}
            case "h5":
                return {"h5_url": h5_url(str(request.base_url), trade)}
        return {"prepay_id": trade.prepay_id}

    async def _query(self, request: Request, body: bytes) -> Answer:
        _check_query(request, "mchid")
        return content.trade_answer(await self._trades.trade(request.path_params["number"]))

    async def _query_by_id(self, request: Request, body: bytes) -> Answer:
        _check_query(request, "mchid")
        return content.trade_answer(await self._trades.trade(transaction_id=request.path_params["number"]))

    async def _close(self, request: Request, body: bytes) -> Answer:
        requests.closing(body)
        await self._trades.close(request.path_params["number"])
        return None

    async def _refund(self, request: Request, body: bytes) -> Answer:
        trade, refund = await self._refunds.request(requests.refund(body))
        return content.refund_answer(trade, refund)

    async def _refund_query(self, request: Request, body: bytes) -> Answer:
        _check_query(request, "")
        trade, refund = await self._refunds.refund(request.path_params["number"])
        return content.refund_answer(trade, refund)

    async def _bill(self, request: Request, body: bytes) -> Answer:
        return await self._bills.address(request)

    async def _download(self, request: Request, body: bytes) -> Answer:
        return await self._bills.download(request.query_params.get("token", ""))

    async def _certificates(self, request: Request, body: bytes) -> Answer:
        return self._platform.listing()


def h5_url(base_url: str, trade: Trade) -> str:
    """The page for a buyer on a phone, for five minutes."""
    return f"{base_url.rstrip('/')}{MOUNT}/h5?prepay_id={trade.prepay_id}&package={trade.prepay_id[-10:]}"


def _check_query(request: Request, *names: str) -> None:
    found = query_fields(parse_qsl(request.url.query, keep_blank_values=True))
    wanted = {name for name in names if name}
    if "mchid" in wanted:
        requests.check_mch_id(found.get("mchid", ""), "query")
    for name in found:
        if name not in wanted:
            raise param_error(f"/{name}", "是接口没有定义的参数", location="query")
