"""The simulator's HTTP routes: the gateway, the cashier's pages, and the API for tests and the demo."""

from contextlib import suppress
from urllib.parse import parse_qsl, urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from shop_sandbox.alipay import content, fields, pages, requests, signing
from shop_sandbox.alipay.bills import Bills
from shop_sandbox.alipay.certificates import number_of
from shop_sandbox.alipay.gateway import Gateway
from shop_sandbox.alipay.keys import Keys
from shop_sandbox.alipay.notices import SignedForms
from shop_sandbox.alipay.pages import View
from shop_sandbox.alipay.requests import PAGES, PayRequest, Refused
from shop_sandbox.alipay.simulator import ACTIONS, Simulator
from shop_sandbox.alipay.trades import Trade, Trades
from shop_sandbox.http import bounded_body, json_body
from shop_sandbox.page import language_of, wants_page
from shop_sandbox.payments import operating
from shop_sandbox.payments.calls import GatewayDown
from shop_sandbox.payments.notices import Notice, Notices

MAX_PARAMETERS = 100


class AlipayPages:
    """The routes below /alipay."""

    def __init__(
        self,
        trades: Trades,
        notices: Notices,
        forms: SignedForms,
        bills: Bills,
        gateway: Gateway,
        simulator: Simulator,
        keys: Keys,
    ) -> None:
        self._trades = trades
        self._notices = notices
        self._forms = forms
        self._bills = bills
        self._gateway = gateway
        self._simulator = simulator
        self._keys = keys

    def routes(self) -> list[Route]:
        """All routes, for the application."""
        cashier = "/alipay/cashier/{out_trade_no}"
        return [
            Route("/alipay/gateway.do", self.gateway, methods=["GET", "POST"]),
            Route("/alipay/qr/{out_trade_no}", self.scan),
            Route(cashier, self.cashier),
            Route(cashier + "/{action}", self.press, methods=["POST"]),
            Route(cashier + "/{action}", operating.pressed),
            Route("/alipay/sim", self.list_sessions),
            Route("/alipay/sim/faults", self.plant_fault, methods=["POST"]),
            Route("/alipay/sim/certificate", self.renew_certificate, methods=["POST"]),
            Route("/alipay/sim/charset", self.set_charset, methods=["POST"]),
            Route("/alipay/bill", self.bill),
            Route("/alipay/sim/bills/{day}", self.show_bill),
            Route("/alipay/sim/bills/{day}", self.plant_bill, methods=["POST"]),
            Route("/alipay/sim/{out_trade_no}", self.state),
            Route("/alipay/sim/{out_trade_no}/{action}", self.act, methods=["POST"]),
        ]

    async def gateway(self, request: Request) -> Response:
        """`gateway.do`: a page for page, wap and app payments, otherwise signed JSON.

        Parameters come from the query, the form or both. The charset of call and answer is the one named in
        the URL; GBK if none is.
        """
        method = request.query_params.get("method", "")
        charset, by_certificates = signing.GBK, False
        try:
            charset = _charset(request)
            call = requests.unique_parameters(await _pairs(request, signing.codec(charset)))
            method = call.get("method", "")
            by_certificates = requests.by_certificates(call)
            requests.verify(call, self._keys)
            if method in PAGES:
                session = requests.pay_request(method, call, self._simulator.now_ms())
                await self._trades.open(session)
                return await self._page(request, session)
            answer = await self._gateway.call(method, call, str(request.base_url))
        except Refused as refused:
            if method in PAGES:
                page = pages.error(refused, language_of(request), 400)
                page.headers["x-alipay-sub-code"] = refused.sub_code
                return page
            answer = self._gateway.error_answer(refused)
        except GatewayDown as down:
            return Response(status_code=down.status)
        charset = self._gateway.charset or charset
        signed = self._gateway.sign_answer(method, answer, charset, certificate=by_certificates)
        return Response(signed, headers={"content-type": f"text/html;charset={charset}"})

    async def cashier(self, request: Request) -> Response:
        """The cashier page of a session; 404 if there is none."""
        try:
            session = await self._trades.session(request.path_params["out_trade_no"])
        except Refused as refused:
            return pages.error(refused, language_of(request), 404)
        return await self._page(request, session)

    async def scan(self, request: Request) -> Response:
        """The address in a QR code: the buyer scans it, and gets the cashier page."""
        out_trade_no = request.path_params["out_trade_no"]
        with suppress(Refused):  # unknown, or over: the cashier page says so
            await self._trades.begin(out_trade_no)
        return RedirectResponse(f"/alipay/cashier/{out_trade_no}", 303, {"cache-control": "no-store"})

    async def press(self, request: Request) -> Response:
        """A button was pressed: redirect to the merchant after a payment, otherwise to the cashier."""
        out_trade_no, action = request.path_params["out_trade_no"], request.path_params["action"]
        try:
            session = await self._trades.session(out_trade_no)
        except Refused as refused:
            return pages.error(refused, language_of(request), 404)
        try:
            await self._simulator.press(out_trade_no, action)
        except Refused as refused:
            return await self._page(request, session, refused)
        target = f"/alipay/cashier/{out_trade_no}"
        if action in ("pay", "pay_late"):
            target = self._return_to(session, await self._trades.trade(out_trade_no)) or target
        return RedirectResponse(target, 303, {"cache-control": "no-store"})

    async def list_sessions(self, request: Request) -> Response:
        """The newest trades: a page for browsers, JSON for programs."""
        if wants_page(request):
            return pages.listing(await self._trades.sessions_with_trades(), language_of(request))
        return operating.listing(await self._trades.sessions())

    async def state(self, request: Request) -> Response:
        """The session, trade, refunds and notices of a payment as JSON; 404 if there is none."""
        try:
            session = await self._trades.session(request.path_params["out_trade_no"])
        except Refused as refused:
            raise HTTPException(404, refused.sub_code) from None
        return JSONResponse(await self._state(session))

    async def act(self, request: Request) -> Response:
        """Carry out an action; the answer has the notices sent and the new state; 404, 409.

        `?notice=0` pays without a notice. `status` and `body` are the merchant's answer to the last notice.
        """
        out_trade_no, action = operating.wanted_action(request, ACTIONS)
        notice = request.query_params.get("notice", "1") != "0"
        try:
            sent = await self._simulator.act(out_trade_no, action, notice=notice)
        except Refused as refused:
            status = 404 if refused.sub_code == "ACQ.TRADE_NOT_EXIST" else 409
            return JSONResponse({"error": refused.sub_code, "message": refused.sub_msg}, status)
        state = await self._state(await self._trades.session(out_trade_no))
        return operating.acted(state, sent, self._notices)

    async def plant_fault(self, request: Request) -> Response:
        """Plant a fault: `{"method": "alipay.trade.refund", "fault": "lost", "times": 1}`; 400."""
        return await operating.plant_fault(request, lambda _: self._gateway.faults)

    async def renew_certificate(self, request: Request) -> Response:
        """Take a new key with a new certificate, as the provider does before the old one expires."""
        return JSONResponse({"alipay_cert_sn": number_of(self._keys.renew())})

    async def set_charset(self, request: Request) -> Response:
        """Set charsets: `{"notices": "GBK", "answers": "GBK"}`; `""` for answers is the caller's; 400."""
        wanted = await json_body(request)
        notices, answers = wanted.get("notices", self._forms.charset), wanted.get("answers", "")
        try:
            signing.codec(str(notices))
            signing.codec(str(answers) or signing.UTF8)
        except ValueError as error:
            raise HTTPException(400, str(error)) from None
        self._forms.charset, self._gateway.charset = str(notices), str(answers)
        return JSONResponse({"notices": self._forms.charset, "answers": self._gateway.charset})

    async def bill(self, request: Request) -> Response:
        """The file behind a download URL of a bill; 404 once it has expired."""
        found = await self._bills.file(request.query_params.get("fileId", ""))
        if found is None:
            raise HTTPException(404, "no such bill, or the URL has expired")
        return Response(found, media_type="application/zip")

    async def show_bill(self, request: Request) -> Response:
        """The bill of a day, as a merchant would download it by hand; 400."""
        return Response(await self._bills.archive(operating.bill_day(request)), media_type="application/zip")

    async def plant_bill(self, request: Request) -> Response:
        """Change a bill: `{"out": true}`, `{"missing": "P…"}` or others of `PublishedBills.plant`; 400."""
        return await operating.plant_bill(request, self._bills.published)

    async def _page(self, request: Request, session: PayRequest, refused: Refused | None = None) -> Response:
        trade = await self._trades.trade(session.out_trade_no)
        view = View(
            session,
            trade,
            await self._trades.refunds(session.out_trade_no),
            await self._notices.newest(session.out_trade_no),
            await self._simulator.choices(session),
            return_to=self._return_to(session, trade),
            now_ms=self._simulator.now_ms(),
        )
        return pages.cashier(view, language_of(request), refused)

    def _return_to(self, session: PayRequest, trade: Trade | None) -> str:
        if not session.return_url or trade is None or not trade.paid_ms:
            return ""
        signed = content.signed_return_parameters(self._keys, session, trade, self._simulator.now_ms())
        separator = "&" if "?" in session.return_url else "?"
        return f"{session.return_url}{separator}{urlencode(signed)}"

    async def _state(self, session: PayRequest) -> dict[str, object]:
        trade = await self._trades.trade(session.out_trade_no)
        notices: list[Notice] = await self._notices.newest(session.out_trade_no)
        return {
            "out_trade_no": session.out_trade_no,
            "order_ref": session.order_ref,
            "amount_fen": session.amount_fen,
            "total_amount": fields.format_yuan(session.amount_fen),
            "subject": session.subject,
            "notify_url": session.notify_url,
            "return_url": session.return_url,
            "quit_url": session.quit_url,
            "method": session.method,
            "time_expire": fields.format_time(session.expire_ms),
            "trade_no": trade.trade_no if trade else "",
            "trade_status": trade.status if trade else "",
            "refunds": [
                {"out_request_no": one.out_request_no, "amount_fen": one.amount_fen}
                for one in await self._trades.refunds(session.out_trade_no)
            ],
            "notices": [self._notices.as_json(one) for one in notices],
        }


def _charset(request: Request) -> str:
    charset: str = request.query_params.get("charset", signing.GBK)
    try:
        signing.codec(charset)
    except ValueError:
        raise requests.invalid("isv.invalid-charset", "字符集错误") from None
    return charset


async def _pairs(request: Request, codec: str) -> list[tuple[str, str]]:
    body = await bounded_body(request) if request.method == "POST" else b""
    pairs: list[tuple[str, str]] = []
    try:
        for text in (request.url.query, body.decode("ascii")):
            pairs += parse_qsl(
                text, keep_blank_values=True, encoding=codec, errors="strict", max_num_fields=MAX_PARAMETERS
            )
    except ValueError:
        raise requests.invalid("isv.invalid-encoding", "字符集错误") from None
    return pairs
