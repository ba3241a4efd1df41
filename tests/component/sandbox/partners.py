"""Stand-ins for the order service: a merchant that signs calls and takes notices, and a desk about leases."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qsl

import grpc
import httpx
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from shop_order.api.proto.shop import neighbours_pb2 as pb
from shop_order.api.proto.shop import neighbours_pb2_grpc as stubs
from shop_sandbox.alipay import signing
from shop_sandbox.http_server import HttpServer, listen
from shop_sandbox.server import Sandbox

ORDER_SN = "261121080000123456789012345"


class Merchant:
    """Speaks to the gateway with the merchant's keys and keeps every notice; `answers` are used up first."""

    def __init__(self, sandbox: Sandbox, keys_dir: Path, client: httpx.AsyncClient) -> None:
        private = load_pem_private_key(
            (keys_dir / "alipay_app_private.pem").read_bytes(), None, unsafe_skip_rsa_key_validation=True
        )
        public = load_pem_public_key((keys_dir / "alipay_public.pem").read_bytes())
        assert isinstance(private, rsa.RSAPrivateKey)
        assert isinstance(public, rsa.RSAPublicKey)
        self.private, self.public = private, public
        self.base = f"http://127.0.0.1:{sandbox.http_port}/alipay"
        self.client = client
        self.notices: list[dict[str, str]] = []
        self.answers: list[tuple[int, str]] = []
        self.notify_url = ""

    async def take(self, request: Request) -> Response:
        body = (await request.body()).decode("ascii")
        charset = dict(parse_qsl(body))["charset"]
        self.notices.append(dict(parse_qsl(body, keep_blank_values=True, encoding=charset, errors="strict")))
        status, body = self.answers.pop(0) if self.answers else (200, "success")
        return PlainTextResponse(body, status)

    def parameters(self, method: str, biz: dict[str, object], **more: str) -> dict[str, str]:
        wanted = {
            "app_id": "2021000000000001",
            "method": method,
            "format": "JSON",
            "charset": "utf-8",
            "sign_type": "RSA2",
            "timestamp": "2026-11-21 08:00:00",
            "version": "1.0",
            "biz_content": json.dumps(biz, ensure_ascii=False),
            **more,
        }
        return {**wanted, "sign": signing.sign(self.private, signing.request_text(wanted))}

    async def call(self, method: str, **biz: object) -> dict[str, object]:
        """The verified answer node of a JSON method."""
        parameters = self.parameters(method, biz)
        address = f"{self.base}/gateway.do?charset={parameters.pop('charset')}"
        return self.verified(await self.client.post(address, data=parameters))

    def verified(self, reply: httpx.Response) -> dict[str, object]:
        text, charset = reply.text, reply.charset_encoding or ""
        start, end = text.index(":") + 1, text.rindex(',"sign":')
        assert signing.verify(self.public, text[start:end], json.loads(text)["sign"], charset)
        node: dict[str, object] = json.loads(text[start:end])
        return node

    def pay_parameters(self, out_trade_no: str = "P1", **more: object) -> dict[str, str]:
        biz = {
            "out_trade_no": out_trade_no,
            "total_amount": "19.99",
            "subject": "订单",
            "product_code": "FAST_INSTANT_TRADE_PAY",
            "passback_params": ORDER_SN,
            **more,
        }
        return self.parameters(
            "alipay.trade.page.pay", biz, notify_url=self.notify_url, return_url="http://127.0.0.1:1/back?x=1"
        )

    async def open(self, out_trade_no: str = "P1", **more: object) -> httpx.Response:
        return await self.client.get(
            f"{self.base}/gateway.do", params=self.pay_parameters(out_trade_no, **more)
        )

    async def act(self, action: str, out_trade_no: str = "P1", query: str = "") -> httpx.Response:
        return await self.client.post(f"{self.base}/sim/{out_trade_no}/{action}{query}")

    async def state(self, out_trade_no: str = "P1") -> dict[str, object]:
        found: dict[str, object] = (await self.client.get(f"{self.base}/sim/{out_trade_no}")).json()
        return found


@asynccontextmanager
async def merchant_of(sandbox: Sandbox) -> AsyncIterator[Merchant]:
    """A merchant whose notify address is open."""
    listener = listen("127.0.0.1", 0)
    async with httpx.AsyncClient(trust_env=False, verify=False) as client:
        merchant = Merchant(sandbox, sandbox.settings.keys_dir, client)
        merchant.notify_url = f"http://127.0.0.1:{listener.getsockname()[1]}/notify"
        server = HttpServer(Starlette(routes=[Route("/notify", merchant.take, methods=["POST"])]), listener)
        await server.start()
        try:
            yield merchant
        finally:
            await server.stop()


class OrderDesk(stubs.ReservationCheckServicer):
    """An order service that answers about leases what the test tells it to."""

    def __init__(self, answer: Callable[[list[str]], list[pb.Verdict]]) -> None:
        self.answer = answer
        self.asked: list[list[str]] = []
        self.tokens: list[str] = []

    async def CheckReservations(
        self, request: pb.OrderSns, context: grpc.aio.ServicerContext[pb.OrderSns, pb.Verdicts]
    ) -> pb.Verdicts:
        self.asked.append(list(request.order_sns))
        metadata = dict(context.invocation_metadata() or ())
        self.tokens.append(str(metadata.get("authorization", "")))
        return pb.Verdicts(verdicts=self.answer(list(request.order_sns)))


@asynccontextmanager
async def order_desk(answer: Callable[[list[str]], list[pb.Verdict]]) -> AsyncIterator[tuple[OrderDesk, str]]:
    """The desk and its address."""
    desk = OrderDesk(answer)
    server = grpc.aio.server()
    stubs.add_ReservationCheckServicer_to_server(desk, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield desk, f"127.0.0.1:{port}"
    finally:
        await server.stop(0)
