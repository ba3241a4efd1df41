"""The simulator's HTTP routes besides the gateway: the buyer's pages, and the API for tests and the demo."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from shop_sandbox.http import json_body
from shop_sandbox.page import language_of, wants_page
from shop_sandbox.payments import operating
from shop_sandbox.payments.formats import format_yuan
from shop_sandbox.payments.notices import Notices
from shop_sandbox.wechat import browser, pages
from shop_sandbox.wechat.bills import Bills
from shop_sandbox.wechat.buyers import Buyers
from shop_sandbox.wechat.errors import Refused
from shop_sandbox.wechat.fields import format_time
from shop_sandbox.wechat.gateway import CALLS, Gateway
from shop_sandbox.wechat.mini import MiniProgram
from shop_sandbox.wechat.openid import OpenIdPage
from shop_sandbox.wechat.pages import View
from shop_sandbox.wechat.platform import Platform
from shop_sandbox.wechat.refunds import Refunds
from shop_sandbox.wechat.simulator import ACTIONS, Simulator
from shop_sandbox.wechat.trades import Trade, Trades


class WechatPages:
    """The routes below /wechat, without /wechat/v3."""

    def __init__(
        self,
        trades: Trades,
        refunds: Refunds,
        notices: Notices,
        bills: Bills,
        gateway: Gateway,
        platform: Platform,
        simulator: Simulator,
        *,
        buyers: Buyers,
        mini: MiniProgram,
        openid: OpenIdPage,
    ) -> None:
        self._trades = trades
        self._refunds = refunds
        self._notices = notices
        self._bills = bills
        self._gateway = gateway
        self._platform = platform
        self._simulator = simulator
        self._buyers = buyers
        self._mini = mini
        self._openid = openid

    def routes(self) -> list[Route]:
        """All routes, for the application."""
        cashier, sim, both = "/wechat/cashier/{out_trade_no}", "/wechat/sim", ["GET", "POST"]
        return [
            Route(cashier, self.cashier),
            Route(cashier + "/{action}", self.press, methods=["POST"]),
            Route(cashier + "/{action}", operating.pressed),
            Route("/wechat/h5", self.h5),
            Route("/wechat/scan", self.scan),
            Route("/wechat/openid", self._openid.page),
            Route("/wechat/jsapi", self._asked(self._buyers.bridge_call, pay=False), methods=["POST"]),
            Route("/wechat/jsapi/pay", self._asked(self._buyers.bridge_call, pay=True), methods=["POST"]),
            Route("/wechat/app", self._asked(self._buyers.app_call, pay=False), methods=["POST"]),
            Route("/wechat/app/pay", self._asked(self._buyers.app_call, pay=True), methods=["POST"]),
            Route("/wechat/bridge.js", self.bridge),
            Route(browser.PREFIX, self.start_browser),
            Route(browser.PREFIX + "/{host}/{path:path}", browser.show, methods=both),
            Route(browser.PREFIX + "s/{host}/{path:path}", browser.show, methods=both),
            Route(sim, self.list_trades),
            Route(f"{sim}/faults", self.plant_fault, methods=["POST"]),
            Route(f"{sim}/platform", self.change_platform, methods=both),
            Route(f"{sim}/bills/{{day}}", self.show_bill),
            Route(f"{sim}/bills/{{day}}", self.plant_bill, methods=["POST"]),
            Route(f"{sim}/{{out_trade_no}}", self.state),
            Route(f"{sim}/{{out_trade_no}}/{{action}}", self.act, methods=["POST"]),
        ]

    async def cashier(self, request: Request) -> Response:
        """The page of a trade; 404 if there is none."""
        try:
            trade = await self._trades.trade(request.path_params["out_trade_no"])
        except Refused as refused:
            return pages.error(refused, language_of(request), 404)
        return await self._page(request, trade)

    async def press(self, request: Request) -> Response:
        """A button was pressed: redirect to the merchant after an H5 payment, otherwise to the page."""
        out_trade_no, action = request.path_params["out_trade_no"], request.path_params["action"]
        try:
            trade = await self._trades.trade(out_trade_no)
        except Refused as refused:
            return pages.error(refused, language_of(request), 404)
        try:
            await self._simulator.press(out_trade_no, action)
        except Refused as refused:
            return await self._page(request, await self._trades.trade(out_trade_no), refused)
        paid = action in ("pay", "pay_late") and (await self._trades.trade(out_trade_no)).paid_ms
        target = trade.return_url if paid and trade.return_url else pages.address(trade)
        return RedirectResponse(target, 303, {"cache-control": "no-store"})

    async def h5(self, request: Request) -> Response:
        """The link of an H5 order: only from the merchant's own page, for five minutes."""
        try:
            trade, return_url = await self._buyers.h5_link(
                request.query_params, request.headers.get("referer", "")
            )
        except Refused as refused:
            page = pages.error(refused, language_of(request), refused.status)
            page.headers["x-wechat-code"] = refused.code
            return page
        await self._trades.set_return(trade.out_trade_no, return_url)
        return RedirectResponse(pages.address(trade), 303, {"cache-control": "no-store"})

    async def scan(self, request: Request) -> Response:
        """A QR code was scanned: its content leads to the trade's page; 404, 400."""
        try:
            trade = await self._trades.by_code(request.query_params.get("code_url", ""))
        except Refused as refused:
            return pages.error(refused, language_of(request), refused.status)
        return RedirectResponse(pages.address(trade), 303)

    async def bridge(self, request: Request) -> Response:
        """The script that provides WeixinJSBridge."""
        return Response(browser.BRIDGE, media_type="text/javascript")

    async def start_browser(self, request: Request) -> Response:
        """Open a page in WeChat's browser, or ask which; 400."""
        url = request.query_params.get("url", "")
        if url:
            return RedirectResponse(browser.inside(url), 303)
        return pages.browser(language_of(request))

    async def list_trades(self, request: Request) -> Response:
        """The newest trades: a page for browsers, JSON for programs."""
        found = await self._trades.newest()
        if wants_page(request):
            return pages.listing(found, language_of(request))
        return operating.listing(found)

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
        out_trade_no, action = operating.wanted_action(request, ACTIONS)
        query = request.query_params
        try:
            sent = await self._simulator.act(
                out_trade_no, action, notice=query.get("notice", "1") != "0", openid=query.get("openid", "")
            )
        except Refused as refused:
            status = 404 if refused.status == 404 else 409
            return JSONResponse({"error": refused.code, "message": refused.message}, status)
        state = await self._state(await self._trades.trade(out_trade_no))
        return operating.acted(state, sent, self._notices)

    async def plant_fault(self, request: Request) -> Response:
        """Plant a fault: `{"method": "refund", "fault": "lost", "times": 1}`; 400."""
        return await operating.plant_fault(
            request, lambda name: self._gateway.faults if name in CALLS else self._mini.faults
        )

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

    async def show_bill(self, request: Request) -> Response:
        """The bill of a day, as a merchant would download it by hand; 400."""
        return Response(await self._bills.file(operating.bill_day(request)), media_type="text/csv")

    async def plant_bill(self, request: Request) -> Response:
        """Change a bill: `{"out": true}`, `{"missing": "P…"}` or others of `PublishedBills.plant`; 400."""
        return await operating.plant_bill(request, self._bills.published)

    def _asked(
        self, check: Callable[[Mapping[str, Any]], Awaitable[Trade]], *, pay: bool
    ) -> Callable[[Request], Awaitable[Response]]:
        """A call of the buyer's device: what is to be paid, or with `pay` the payment."""

        async def serve(request: Request) -> Response:
            try:
                trade = await check(await json_body(request))
                if pay:
                    await self._simulator.act(trade.out_trade_no, "pay")
                    return JSONResponse({"err_msg": "get_brand_wcpay_request:ok"})
            except Refused as refused:
                told = {"err_msg": "get_brand_wcpay_request:fail", "err_desc": refused.message}
                return JSONResponse({**told, "code": refused.code}, 400)
            return JSONResponse(
                {
                    "out_trade_no": trade.out_trade_no,
                    "description": trade.description,
                    "amount": format_yuan(trade.amount_fen),
                }
            )

        return serve

    async def _page(self, request: Request, trade: Trade, refused: Refused | None = None) -> Response:
        number = trade.out_trade_no
        view = View(
            trade,
            await self._refunds.of(number),
            await self._notices.newest(number),
            await self._simulator.choices(trade),
            await self._mini.shipping_text(number),
            now_ms=self._simulator.now_ms(),
        )
        return pages.cashier(view, language_of(request), refused)

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
            "shipping": await self._mini.shipping(trade.out_trade_no),
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
