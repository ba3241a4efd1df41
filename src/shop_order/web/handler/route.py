"""The guard of every route: caller, role, rate and deadline are checked before the body is read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import orjson
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from shop_order.domain.errors import (
    DeadlineExceeded,
    InvalidArgument,
    OrderServiceError,
    UnsupportedMediaType,
)
from shop_order.web.auth.client_address import (
    Network,
    client_address,
    is_loopback,
    limit_key_of,
)
from shop_order.web.auth.limits import LISTS, RateLimits
from shop_order.web.auth.roles import Who, authorize, needs_token, role_of
from shop_order.web.auth.tokens import Authenticator
from shop_order.web.cashier import PATH as CASHIER
from shop_order.web.context import log_order_sn, remaining_s, validated_key
from shop_order.web.handler.answer import context

Endpoint = Callable[..., Coroutine[Any, Any, Response]]
Handler = Callable[[Request], Coroutine[Any, Any, Response]]
F = TypeVar("F", bound=Callable[..., Any])
_MARK = "rest_operation"
# Browsers, providers and probes append parameters of their own, and their bodies are not JSON.
_LENIENT = frozenset({"", "cashier", "notices", "operation"})
MAX_PARAMETERS = 50
_MAX_NAME = 128  # characters of a name the caller made up
_UTF_8 = ("utf-8", "utf8")


@dataclass(frozen=True, slots=True)
class Operation:
    """One method and path with what the document says of it."""

    method: str
    path: str
    id: str
    tag: str
    summary: str
    description: str
    data: Any = None  # the type of the answer's data; None: not JSON
    errors: tuple[type[OrderServiceError], ...] = ()  # beside those every route can give
    extra: Mapping[str, Any] = field(default_factory=dict)


def operation(
    method: str,
    path: str,
    *,
    id: str,
    tag: str,
    summary: str,
    description: str = "",
    data: Any = None,
    errors: tuple[type[OrderServiceError], ...] = (),
    extra: Mapping[str, Any] | None = None,
) -> Callable[[F], F]:
    """Mark a handler's method as the answer to a route; `errors` beside those every route can give."""

    def mark(endpoint: F) -> F:
        found = Operation(method, path, id, tag, summary, description, data, errors, extra or {})
        setattr(endpoint, _MARK, found)
        return endpoint

    return mark


def links(parameter: str, expression: str, *operations: str) -> Mapping[str, Any]:
    """What an answer leads to: `expression` of it is these operations' `parameter`."""
    found = {id: {"operationId": id, "parameters": {parameter: expression}} for id in operations}
    return {"responses": {"200": {"links": found}}}


@dataclass(frozen=True, slots=True)
class Guard:
    """What every request must pass."""

    authenticator: Authenticator
    limits: RateLimits
    trusted_proxies: tuple[Network, ...]

    def identify(self, request: Request, row: Who | None) -> None:
        """Settle who calls, and whether they may. Raises Unauthenticated, Forbidden, DependencyDown."""
        it = context()
        local = False
        if row is not None and Who.LOOPBACK in row:
            local = is_loopback(self._address(request))
        if needs_token(row) or (row is not None and Who.LOOPBACK in row and not local):
            sent = request.headers.getlist("authorization")
            it.actor = self.authenticator.actor(sent[0] if sent else None, repeated=len(sent) > 1)
        authorize(row, it.actor, loopback=local)

    async def admit(self, request: Request) -> None:
        """Settle whether they may now. Raises InvalidArgument (the key), RateLimited."""
        it = context()
        if it.actor is not None:
            it.key = _key(request.headers)
            await self.limits.check(it.actor)
        elif request.url.path.startswith(CASHIER):
            address = limit_key_of(request.scope, self.trusted_proxies)
            await self.limits.check(None, address=address)

    def _address(self, request: Request) -> str:
        return client_address(request.scope, self.trusted_proxies)


def _key(headers: Headers) -> str:
    """The Idempotency-Key; empty without one. Raises InvalidArgument if there are two."""
    sent = headers.getlist("Idempotency-Key")
    return validated_key(_as_utf8(sent[0]) if sent else "", repeated=len(sent) > 1)


def _as_utf8(key: str) -> str:
    # Headers arrive as Latin-1: a key in UTF-8 must be the key that gRPC's field would carry.
    try:
        return key.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return key


class StrictRequest(Request):
    """A request whose JSON has no NaN, no broken text and no second spelling."""

    async def json(self) -> Any:
        """Raises JSONDecodeError."""
        return orjson.loads(await self.body())


def guarded(guard: Guard) -> type[APIRoute]:
    """The class of our routes; each is wrapped once, when it is registered."""

    class GuardedRoute(APIRoute):
        def get_route_handler(self) -> Handler:
            inner = super().get_route_handler()
            method = "".join(self.methods or ())
            row = role_of(f"{method} {self.path}")
            found = operation_of(self)
            strict = found is not None and found.tag not in _LENIENT
            listed = f"{method} {self.path}" in LISTS
            takes_body = self.body_field is not None
            known = frozenset(field.alias for field in self.dependant.query_params)

            async def answer(request: Request) -> Response:
                await guard.admit(request)
                if strict:
                    has_body = check_media_type(request.scope)
                    if query := request.scope["query_string"]:
                        check_query(query, known)
                    if has_body and not takes_body:
                        check_no_fields(await request.body())
                response = await inner(StrictRequest(request.scope, request.receive))
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
    """Register the marked ones of `endpoints`; `document` gives FastAPI's words for an operation."""
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


# ---- what a JSON route takes: known parameters and fields, each once, and a body that says it is JSON ----


def check_query(query: bytes, known: frozenset[str]) -> None:
    """Every parameter is known, and given once: one that is ignored would not do what it says.

    Raises InvalidArgument, which names it.
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


def check_no_fields(body: bytes) -> None:
    """The body of a route that takes none is empty, or an object without fields.

    Raises InvalidArgument, which names the first field.
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
    """A body, if there is one, says that it is JSON in UTF-8, and is not compressed; whether there is one.

    Raises UnsupportedMediaType.
    """
    kinds = []
    has_body = False
    for name, value in scope["headers"]:
        if name == b"content-type":
            kinds.append(value)
        elif name == b"content-length":
            has_body = has_body or value.strip(b"0") != b""
        elif name == b"transfer-encoding":
            has_body = True
            if value.lower() != b"chunked":  # the parser only looks for chunks, whatever is in them
                raise UnsupportedMediaType
        elif name == b"content-encoding" and value.lower() not in (b"", b"identity"):
            raise UnsupportedMediaType
    if has_body and not (len(kinds) == 1 and _is_json(kinds[0])):
        raise UnsupportedMediaType
    return has_body


@lru_cache(maxsize=64)
def _is_json(kind: bytes) -> bool:
    named, *parameters = kind.decode("latin-1").lower().split(";")
    if named.strip() != "application/json":  # +json types mean documents of their own
        return False
    for parameter in parameters:
        name, _, value = parameter.strip().partition("=")
        if name == "charset" and value.strip('"') not in _UTF_8:
            return False
    return True
