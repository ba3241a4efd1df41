"""The REST application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from shop_order.domain.ports import Clock, NoticeRoute
from shop_order.pkg.signing import SubmitTokens
from shop_order.service.use_cases import UseCases
from shop_order.web.auth.cashier_links import CashierLinks
from shop_order.web.auth.client_address import networks
from shop_order.web.auth.limits import RateLimits
from shop_order.web.auth.tokens import Authenticator
from shop_order.web.context import Observe, RequestLog
from shop_order.web.document import build_document, route_options
from shop_order.web.document.pages import DocumentHandler, LandingHandler, Places
from shop_order.web.dto.cursors import Cursors
from shop_order.web.handler import errors
from shop_order.web.handler.admin import AdminHandler, AdvanceClock, ClockHandler
from shop_order.web.handler.cart import CartHandler
from shop_order.web.handler.cashier import CashierHandler
from shop_order.web.handler.health import HealthHandler, Readiness
from shop_order.web.handler.notice import NoticeHandler
from shop_order.web.handler.order import OrderHandler
from shop_order.web.handler.payment import PaymentHandler
from shop_order.web.handler.refund import AdminRefundHandler, RefundHandler
from shop_order.web.handler.route import Guard, guarded_route_class, mount
from shop_order.web.middleware.edge import BodyLimit, CurrentSpan, Edge, Recovery
from shop_order.web.open_streams import OpenStreams

if TYPE_CHECKING:
    from shop_order.pkg.tracing.otlp import Tracing

MAX_BODY = 1024 * 1024
_ALLOWED_HEADERS = ("Authorization", "Content-Type", "Accept-Language", "Idempotency-Key", "X-Request-ID")
_EXPOSED_HEADERS = ("X-Request-ID", "Idempotency-Replayed", "Retry-After")


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """Settings of the REST application; networks are addresses or CIDR blocks.

    Callables are called for every request, because settings can be reloaded.
    """

    deadline_s: Callable[[], float]
    trusted_proxies: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    callback_allow: Callable[[], tuple[str, ...]] = tuple


@dataclass(frozen=True, slots=True)
class HttpParts:
    """Dependencies of the routes. `advance_clock` is None where there is no test clock (production).

    `places` are the links on the page at `/`; none in production.
    """

    use_cases: UseCases
    notice_routes: Sequence[NoticeRoute]
    authenticator: Authenticator
    limits: RateLimits
    streams: OpenStreams
    tokens: SubmitTokens
    cursors: Cursors
    links: CashierLinks
    clock: Clock
    real_now_s: Callable[[], float]
    readiness: Callable[[], Awaitable[Readiness]]
    metrics: Callable[[], bytes]
    advance_clock: AdvanceClock | None
    log: RequestLog
    observe: Observe
    tracing: Tracing | None = None
    places: Callable[[], Places] = Places
    shop_name: Callable[[], str] = str


def build_http(parts: HttpParts, settings: HttpSettings) -> FastAPI:
    """The application with all routes. Raises ValueError for an invalid network."""
    middleware = [
        Middleware(Edge, log=parts.log, observe=parts.observe, deadline_s=settings.deadline_s),
        Middleware(Recovery, log=parts.log),
        Middleware(BodyLimit, max_bytes=MAX_BODY),
    ]
    if settings.cors_origins:
        cors = Middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"),
            allow_headers=_ALLOWED_HEADERS,
            expose_headers=_EXPOSED_HEADERS,
        )
        middleware.insert(1, cors)
    if parts.tracing:
        middleware.insert(0, Middleware(CurrentSpan, tracing=parts.tracing))
    app = FastAPI(
        docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False, middleware=middleware
    )
    _register(app, parts, settings)
    return app


def describe(notice_routes: Sequence[NoticeRoute]) -> dict[str, Any]:
    """The OpenAPI document of all routes, including the test clock."""
    # Handlers are registered but never called, so they need no services.
    nothing = cast(Any, None)
    given = {
        "use_cases": UseCases(**dict.fromkeys(UseCases.__dataclass_fields__, nothing)),
        "advance_clock": cast(Any, describe),
        "notice_routes": notice_routes,
    }
    parts = HttpParts(**dict.fromkeys(HttpParts.__dataclass_fields__, nothing) | given)
    return build_document(build_http(parts, HttpSettings(deadline_s=float)))


def _register(app: FastAPI, parts: HttpParts, settings: HttpSettings) -> None:
    use_cases, trusted = parts.use_cases, networks(settings.trusted_proxies)
    route_class = guarded_route_class(Guard(parts.authenticator, parts.limits, parts.streams, trusted))
    cashier = CashierHandler(
        checkout=use_cases.checkout,
        channels=use_cases.channels,
        links=parts.links,
        clock=parts.clock,
        real_now_s=parts.real_now_s,
        shop_name=parts.shop_name,
    )
    errors.install(app, cashier.page_of)
    handlers: list[object] = [
        CartHandler(use_cases),
        OrderHandler(
            use_cases=use_cases,
            tokens=parts.tokens,
            cursors=parts.cursors,
            cashier_links=parts.links,
            real_now_s=parts.real_now_s,
        ),
        PaymentHandler(use_cases),
        cashier,
        AdminHandler(use_cases),
        RefundHandler(use_cases, parts.cursors),
        AdminRefundHandler(use_cases, parts.cursors),
        HealthHandler(readiness=parts.readiness, metrics=parts.metrics),
        DocumentHandler(lambda: build_document(app)),
        LandingHandler(parts.places, trusted),
    ]
    if parts.advance_clock is not None:
        handlers.append(ClockHandler(parts.advance_clock))
    notices = NoticeHandler(
        payments=use_cases.payments,
        log=parts.log,
        allowed=settings.callback_allow,
        trusted_proxies=trusted,
    )
    endpoints = [getattr(handler, name) for handler in handlers for name in vars(type(handler))]
    endpoints += [notices.endpoint(route) for route in parts.notice_routes]
    mount(app, endpoints, route_class, route_options)
