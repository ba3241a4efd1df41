"""Routes: declaration, the checks of caller, role, rate and form before a handler runs, and the response."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from functools import lru_cache, partial
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import orjson
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Scope

from shop_order.domain.errors import (
    DeadlineExceeded,
    InvalidArgument,
    OrderServiceError,
    UnsupportedMediaType,
)
from shop_order.web.auth.cashier_links import PATH as CASHIER
from shop_order.web.auth.client_address import Network, client_address, is_loopback, limit_key_of
from shop_order.web.auth.limits import LIST_METHODS, RateLimits
from shop_order.web.auth.roles import Who, authorize, needs_token, role_of
from shop_order.web.auth.tokens import Authenticator
from shop_order.web.context import context, log_order_sn, remaining_s, validated_key
from shop_order.web.handler.errors import JSON
from shop_order.web.messages import Language
from shop_order.web.open_streams import OpenStreamResponse, OpenStreams

Endpoint = Callable[..., Coroutine[Any, Any, Response]]
Handler = Callable[[Request], Coroutine[Any, Any, Response]]
F = TypeVar("F", bound=Callable[..., Any])
_MARK = "rest_operation"
# Browsers, providers and probes append their own parameters, and their bodies are not JSON.
_LENIENT = frozenset({"", "cashier", "notices", "operation"})
MAX_PARAMETERS = 50
MAX_FIELDS = 3000  # of a JSON body: an order of 100 lines has 250, and each unknown one costs 15 µs
_MAX_NAME = 128  # characters of a name the caller made up
_UTF_8 = ("utf-8", "utf8")


@dataclass(frozen=True, slots=True)
class Operation:
    """A route and its documentation; a decorator of handler methods."""

    method: str
    path: str
    _: KW_ONLY
    id: str
    tag: str
    summary: str
    description: str = ""
    data: Any = None  # the type of the response data; None if it is not JSON
    errors: tuple[type[OrderServiceError], ...] = ()  # in addition to those of every route
    extra: Mapping[str, Any] = field(default_factory=dict)  # for OpenAPI

    def __call__(self, endpoint: F) -> F:
        """Declare the method as the handler of this route."""
        setattr(endpoint, _MARK, self)
        return endpoint


operation = Operation  # as a decorator


def links(parameter: str, expression: str, *operations: str) -> Mapping[str, Any]:
    """OpenAPI links: `expression` of the response is the `parameter` of these operations."""
    found = {id: {"operationId": id, "parameters": {parameter: expression}} for id in operations}
    return {"responses": {"200": {"links": found}}}


@dataclass(frozen=True, slots=True)
class Guard:
    """The checks of every request."""

    authenticator: Authenticator
    limits: RateLimits
    streams: OpenStreams
    trusted_proxies: tuple[Network, ...]

    def identify(self, request: Request, row: Who | None) -> None:
        """Authenticate and authorize the caller. Raises Unauthenticated, Forbidden, DependencyDown."""
        ctx = context()
        local = False
        if row is not None and Who.LOOPBACK in row:
            local = is_loopback(client_address(request.scope, self.trusted_proxies))
        if needs_token(row) or (row is not None and Who.LOOPBACK in row and not local):
            sent = request.headers.getlist("authorization")
            ctx.actor = self.authenticator.actor(sent[0] if sent else None, repeated=len(sent) > 1)
        authorize(row, ctx.actor, loopback=local)

    async def admit(self, request: Request) -> None:
        """Read the idempotency key and apply rate limits. Raises InvalidArgument, RateLimited."""
        ctx = context()
        ctx.client_ip = partial(client_address, request.scope, self.trusted_proxies)
        if ctx.actor is not None:
            ctx.key = _key(request.headers)
            await self.limits.check(ctx.actor)
        elif request.url.path.startswith(CASHIER):
            address = limit_key_of(request.scope, self.trusted_proxies)
            await self.limits.check(None, address=address)


def _key(headers: Headers) -> str:
    """The Idempotency-Key; empty without one. Raises InvalidArgument if there are two."""
    sent = headers.getlist("Idempotency-Key")
    return validated_key(_as_utf8(sent[0]) if sent else "", repeated=len(sent) > 1)


def _as_utf8(key: str) -> str:
    # Headers arrive as Latin-1, but a UTF-8 key must equal the same key in a gRPC field.
    try:
        return key.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return key


class StrictRequest(Request):
    """A request that parses JSON strictly: no NaN, no invalid UTF-8."""

    async def json(self) -> Any:
        """The parsed body. Raises JSONDecodeError."""
        return orjson.loads(await self.body())


def guarded_route_class(guard: Guard) -> type[APIRoute]:
    """A route class whose handlers are wrapped in the guard's checks at registration."""

    class GuardedRoute(APIRoute):
        def get_route_handler(self) -> Handler:
            inner = super().get_route_handler()
            method = "".join(self.methods or ())
            row = role_of(f"{method} {self.path}")
            found = operation_of(self)
            strict = found is not None and found.tag not in _LENIENT
            listed = f"{method} {self.path}" in LIST_METHODS
            takes_body = self.body_field is not None
            known = frozenset(field.alias for field in self.dependant.query_params)

            async def answer(request: Request) -> Response:
                await guard.admit(request)
                request = StrictRequest(request.scope, request.receive)
                if strict:
                    has_body = check_media_type(request.scope)
                    if query := request.scope["query_string"]:
                        check_query(query, known)
                    if has_body:
                        (check_fields if takes_body else check_no_fields)(await request.body())
                response = await inner(request)
                if isinstance(response, StreamingResponse):
                    return OpenStreamResponse(response, guard.streams)
                if (actor := context().actor) is not None:
                    await guard.limits.charge(actor, len(getattr(response, "body", b"")))
                return response

            async def handle(request: Request) -> Response:
                try:
                    async with asyncio.timeout(remaining_s()):
                        log_order_sn(request.path_params.get("order_sn"))
                        guard.identify(request, row)
                        if not listed:
                            return await answer(request)
                        async with guard.limits.list_slot(context().actor):
                            return await answer(request)
                except TimeoutError:
                    raise DeadlineExceeded from None

            return handle

    return GuardedRoute


def mount(
    app: FastAPI,
    endpoints: Iterable[Endpoint],
    route_class: type[APIRoute],
    document: Callable[[Operation], Any],
) -> None:
    """Register the endpoints that are operations; `document` returns FastAPI's options for one."""
    for method in endpoints:
        found: Operation | None = getattr(method, _MARK, None)
        if found is not None:
            app.router.add_api_route(
                found.path,
                method,
                methods=[found.method],
                operation_id=found.id,
                route_class_override=route_class,
                **document(found),
            )


def operation_of(route: object) -> Operation | None:
    """The operation of a registered route; None if the route is not one of ours."""
    found: Operation | None = getattr(getattr(route, "endpoint", None), _MARK, None)
    return found


def success(data: object, zh: str, en: str) -> Response:
    """A 200 response; a header marks replays."""
    request = context()
    message = en if request.language is Language.EN else zh
    response = Response(orjson.dumps({"code": 200, "message": message, "data": data}), media_type=JSON)
    if request.replayed:
        response.headers["Idempotency-Replayed"] = "true"
    return response


# ---- strict requests: known parameters and fields only, each once; JSON bodies only ----


def check_query(query: bytes, known: frozenset[str]) -> None:
    """Check that every parameter is known and given once.

    Raises InvalidArgument for the first that is not.
    """
    if query.count(b"&") >= MAX_PARAMETERS:
        raise InvalidArgument("query", "too_many_parameters", max=MAX_PARAMETERS)
    seen: set[str] = set()
    for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name not in known:
            raise InvalidArgument(name[:_MAX_NAME] or "query", "unknown_field")
        if name in seen:
            raise InvalidArgument(name, "duplicate")
        seen.add(name)


def check_fields(body: bytes) -> None:
    """Check that there are not too many, without parsing them: each colon may end a name.

    Raises InvalidArgument.
    """
    if body.count(b":") > MAX_FIELDS:
        raise InvalidArgument("body", "too_many", max=MAX_FIELDS)


def check_no_fields(body: bytes) -> None:
    """Check that the body is empty or an empty object, for routes without a body.

    Raises InvalidArgument for the first field.
    """
    try:
        found = orjson.loads(body) if body else None
    except orjson.JSONDecodeError:
        raise InvalidArgument("body", "invalid_json") from None
    if isinstance(found, dict) and found:
        raise InvalidArgument(next(iter(found))[:_MAX_NAME] or "body", "unknown_field")
    if found:
        raise InvalidArgument("body", "must_be_empty")


def check_media_type(scope: Scope) -> bool:
    """Whether there is a body. Raises UnsupportedMediaType unless it is uncompressed JSON in UTF-8."""
    kinds = []
    has_body = False
    for name, value in scope["headers"]:
        if name == b"content-type":
            kinds.append(value)
        elif name == b"content-length":
            has_body = has_body or value.strip(b"0") != b""
        elif name == b"transfer-encoding":
            has_body = True
            if value.lower() != b"chunked":  # the parser decodes chunks only
                raise UnsupportedMediaType
        elif name == b"content-encoding" and value.lower() not in (b"", b"identity"):
            raise UnsupportedMediaType
    if has_body and not (len(kinds) == 1 and _is_json(kinds[0])):
        raise UnsupportedMediaType
    return has_body


@lru_cache(maxsize=64)
def _is_json(kind: bytes) -> bool:
    named, *parameters = kind.decode("latin-1").lower().split(";")
    if named.strip() != "application/json":  # +json types are other formats
        return False
    for parameter in parameters:
        name, _, value = parameter.strip().partition("=")
        if name == "charset" and value.strip('"') not in _UTF_8:
            return False
    return True
