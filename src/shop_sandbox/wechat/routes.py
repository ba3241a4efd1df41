"""The simulator's HTTP routes besides the gateway: the API for tests and the demo, and pages."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shop_sandbox.http import json_body
from shop_sandbox.payments.notices import Notices
from shop_sandbox.wechat.errors import Refused
from shop_sandbox.wechat.fields import format_time
from shop_sandbox.wechat.gateway import Gateway
from shop_sandbox.wechat.platform import Platform
from shop_sandbox.wechat.refunds import Refunds
from shop_sandbox.wechat.simulator import ACTIONS, Simulator
from shop_sandbox.wechat.trades import Trade, Trades


class WechatPages:
    """The routes below /wechat/sim, and the pages."""

    def __init__(
        self,
        trades: Trades,
        refunds: Refunds,
        notices: Notices,
        gateway: Gateway,
        platform: Platform,
        simulator: Simulator,
    ) -> None:
        self._trades = trades
        self._refunds = refunds
        self._notices = notices
        self._gateway = gateway
        self._platform = platform
        self._simulator = simulator

    def routes(self) -> list[Route]:
        """All routes, for the application."""
        return [
            Route("/wechat/sim", self.list_trades),
            Route("/wechat/sim/faults", self.plant_fault, methods=["POST"]),
            Route("/wechat/sim/platform", self.change_platform, methods=["GET", "POST"]),
            Route("/wechat/sim/{out_trade_no}", self.state),
            Route("/wechat/sim/{out_trade_no}/{action}", self.act, methods=["POST"]),
        ]

    async def list_trades(self, request: Request) -> Response:
        """The newest trades as JSON."""
        return JSONResponse([await self._state(one) for one in await self._trades.newest()])

    async def state(self, request: Request) -> Response:
        """The trade, its refunds and notices as JSON; 404 if there is none."""
        try:
            trade = await self._trades.trade(request.path_params["out_trade_no"])
        except Refused as refused:
            raise HTTPException(404, refused.code) from None
        return JSONResponse(await self._state(trade))

    async def act(self, request: Request) -> Response:
        """Carry out an action; the answer has the notices sent and the new state; 404, 409.

        `?notice=0` pays without a notice, `?openid=…` as this buyer. `status` and `body` are the merchant's
        answer to the last notice.
        """
        out_trade_no, action = request.path_params["out_trade_no"], request.path_params["action"]
        if action not in ACTIONS:
            raise HTTPException(404, f"actions: {', '.join(ACTIONS)}")
        query = request.query_params
        try:
            sent = await self._simulator.act(
                out_trade_no, action, notice=query.get("notice", "1") != "0", openid=query.get("openid", "")
            )
        except Refused as refused:
            status = 404 if refused.status == 404 else 409
            return JSONResponse({"error": refused.code, "message": refused.message}, status)
        state = await self._state(await self._trades.trade(out_trade_no))
        last: dict[str, object] = {"status": sent[-1].status, "body": sent[-1].answer} if sent else {}
        return JSONResponse({**state, **last, "sent": [self._notices.as_json(one) for one in sent]})

    async def plant_fault(self, request: Request) -> Response:
        """Plant a fault: `{"method": "refund", "fault": "lost", "times": 1}`; 400."""
        wanted = await json_body(request)
        try:
            self._gateway.faults.plant(
                str(wanted.get("method")), str(wanted.get("fault")), int(wanted.get("times", 1))
            )
        except (TypeError, ValueError) as error:
            raise HTTPException(400, str(error)) from None
        return JSONResponse({"planted": wanted})

    async def change_platform(self, request: Request) -> Response:
        """Keys: `{"certificates": "rotate"}`, `{"notices": "public_key"}`; the answer has the state; 400."""
        wanted = await json_body(request) if request.method == "POST" else {}
        try:
            if "certificates" in wanted:
                await self._platform.act(str(wanted["certificates"]))
            if "notices" in wanted:
                await self._platform.choose_notices(str(wanted["notices"]))
        except ValueError as error:
            raise HTTPException(400, str(error)) from None
        return JSONResponse(self._platform.as_json())

    async def _state(self, trade: Trade) -> dict[str, object]:
        notices = await self._notices.newest(trade.out_trade_no)
        return {
            "out_trade_no": trade.out_trade_no,
            "order_ref": trade.order_ref,
            "amount_fen": trade.amount_fen,
            "description": trade.description,
            "attach": trade.attach,
            "notify_url": trade.notify_url,
            "trade_type": trade.trade_type,
            "app_id": trade.app_id,
            "openid": trade.openid,
            "prepay_id": trade.prepay_id,
            "code_url": trade.code_url,
            "time_expire": format_time(trade.expire_ms),
            "transaction_id": trade.transaction_id or "",
            "trade_state": trade.shown_state,
            "refunds": [
                {
                    "out_refund_no": one.out_refund_no,
                    "refund_id": one.refund_id,
                    "amount_fen": one.amount_fen,
                    "status": one.status,
                }
                for one in await self._refunds.of(trade.out_trade_no)
            ],
            "notices": [self._notices.as_json(one) for one in notices],
        }
