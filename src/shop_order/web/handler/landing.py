"""The landing page at `/`, with the addresses that the caller may open."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from string import Template

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from shop_order.web.auth.client_address import Network, client_address, is_loopback
from shop_order.web.context import context
from shop_order.web.handler.route import operation
from shop_order.web.messages import Language

Words = tuple[str, str]
# An address and its description.
Entry = tuple[str, Words]

_TITLE: Words = ("订单服务", "Order service")
_ABOUT: Words = (
    "网上商城的购物车、订单与支付。以下是各个入口。",
    "Cart, orders and payments of an online shop.",
)
_DOCUMENTS: Sequence[Entry] = (
    ("/api/v1/docs", ("接口文档，可直接试用", "REST API, interactive")),
    ("/api/v1/redoc", ("接口文档，便于阅读", "REST API, for reading")),
    ("/api/v1/openapi.md", ("同样的内容，纯文本", "the same as plain text")),
    ("/api/v1/openapi.json", ("OpenAPI 3.1，供程序使用", "OpenAPI 3.1, for programs")),
    ("/api/v1/openapi.yaml", ("OpenAPI 3.1，YAML 格式", "OpenAPI 3.1 as YAML")),
)
_HEALTH: Sequence[Entry] = (
    ("/healthz", ("进程是否存活", "whether the process is alive")),
    ("/readyz", ("能否接受请求，缺少什么", "whether it accepts requests, and what is missing")),
)
_METRICS: Entry = (
    "/metrics",
    ("Prometheus 指标，仅限本机", "Prometheus metrics; from this machine only"),
)
_REST: Entry = ("/api/v1", ("REST 接口的根路径，需要令牌", "base path of the REST API; requires a token"))
_GRPC: Words = (
    "gRPC：order.OrderService 与 shop.order.Order",
    "gRPC: order.OrderService and shop.order.Order",
)
_SANDBOX: Words = (
    "沙箱（若已启动）：商品、支付宝模拟器",
    "the sandbox, if running: goods and the Alipay simulator",
)


@dataclass(frozen=True, slots=True)
class Places:
    """Addresses for developers: `host:port` of gRPC, base URL of the sandbox; hidden if empty."""

    grpc: str = ""
    sandbox: str = ""


class LandingHandler:
    """The route `/`, which is not in the REST document."""

    def __init__(
        self, page: LandingPage, places: Callable[[], Places], trusted_proxies: tuple[Network, ...]
    ) -> None:
        self._page = page
        self._places = places
        self._trusted = trusted_proxies

    @operation("GET", "/", id="landing", tag="", summary="入口 / Landing page")
    async def landing(self, request: Request) -> Response:
        """The page for this caller."""
        local = is_loopback(client_address(request.scope, self._trusted))
        page = self._page.html(self._places(), context().language, local=local)
        return HTMLResponse(page, headers={"Content-Security-Policy": self._page.policy})


class LandingPage:
    """Renders the page; its template is read once."""

    def __init__(self) -> None:
        room = files("shop_order.web") / "pages"
        self._style = "".join((room / name).read_text("utf-8") for name in ("palette.css", "landing.css"))
        self._page = Template((room / "landing.html").read_text("utf-8"))
        digest = b64encode(hashlib.sha256(self._style.encode()).digest()).decode()
        self.policy = (
            f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )

    def html(self, places: Places, language: Language, *, local: bool) -> str:
        """The page; `local`: the caller is on this machine and may see the metrics."""
        index = int(language is Language.EN)
        return self._page.substitute(
            lang=str(language),
            style=self._style,
            title=_TITLE[index],
            about=_ABOUT[index],
            sections="\n".join(_sections(places, index, local)),
        )


def _sections(places: Places, index: int, local: bool) -> Iterator[str]:
    called = [_REST, *([(places.grpc, _GRPC)] if places.grpc else [])]
    yield _section(("接口", "Interfaces")[index], [_called(entry, index) for entry in called])
    yield _section(("文档", "Documents")[index], [_opened(entry, index) for entry in _DOCUMENTS])
    watching = [*_HEALTH, *([_METRICS] if local else [])]
    yield _section(("运行状态", "Health")[index], [_opened(entry, index) for entry in watching])
    if places.sandbox:
        yield _section(("开发", "Development")[index], [_opened((places.sandbox, _SANDBOX), index)])


def _section(heading: str, rows: Sequence[str]) -> str:
    return f"<section><h2>{heading}</h2><dl>{''.join(rows)}</dl></section>"


def _opened(entry: Entry, index: int) -> str:
    address = escape(entry[0])
    return f'<dt><a href="{address}">{address}</a></dt><dd>{escape(entry[1][index])}</dd>'


def _called(entry: Entry, index: int) -> str:
    return f"<dt><code>{escape(entry[0])}</code></dt><dd>{escape(entry[1][index])}</dd>"
