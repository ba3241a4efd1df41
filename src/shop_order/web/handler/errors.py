"""Error responses; exceptions of FastAPI and Starlette become our errors."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from shop_order.domain.errors import BodyTooLarge, InvalidArgument, OrderServiceError, Unauthenticated
from shop_order.domain.problems import Problem
from shop_order.web.context import context
from shop_order.web.dto.fields import FieldRefused
from shop_order.web.messages import ROUTING_CODES, error_text, http_status, plain_error_text

JSON = "application/json; charset=utf-8"
_MAX_FIELD = 128  # characters of a field name that the caller chose
# Pydantic's error type -> our problem, and its parameters by name in pydantic's context.
_PROBLEMS: Mapping[str, tuple[Problem, Mapping[str, str]]] = {
    "missing": ("required", {}),
    "extra_forbidden": ("unknown_field", {}),
    "int_type": ("not_an_integer", {}),
    "int_parsing": ("not_an_integer", {}),
    "int_parsing_size": ("not_an_integer", {}),
    "int_from_float": ("not_an_integer", {}),
    "string_type": ("not_a_string", {}),
    "bool_type": ("not_a_boolean", {}),
    "list_type": ("not_an_array", {}),
    "model_type": ("not_an_object", {}),
    "model_attributes_type": ("not_an_object", {}),
    "dict_type": ("not_an_object", {}),
    "json_invalid": ("invalid_json", {}),
    "greater_than_equal": ("too_small", {"min": "ge"}),
    "less_than_equal": ("too_large", {"max": "le"}),
    "string_too_long": ("too_long", {"max": "max_length"}),
    "too_long": ("too_many", {"max": "max_length"}),
    "too_short": ("required", {}),
}


def refusal(error: OrderServiceError) -> Response:
    """The response for an error."""
    context().failure = repr(error) if error.where else ""
    response = failure(http_status(error), error.code, error_text(error, context().language), error.details)
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    if isinstance(error, Unauthenticated):
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def failure(status: int, error: str, message: str, details: Mapping[str, Any] | None = None) -> Response:
    """An error response; `error` is the reason code."""
    body = {
        "code": status,
        "message": message,
        "error": error,
        "details": details or {},
        "request_id": context().request_id,
    }
    return Response(orjson.dumps(body), status, media_type=JSON)


def install(app: FastAPI, page_of: Callable[[Request, OrderServiceError], Response | None]) -> None:
    """Make `app` return errors in our envelope, or with the page that `page_of` returns."""

    async def refused(request: Request, error: Exception) -> Response:
        found = _refusal_of(error)
        if found is None:
            return _http(request, error)
        return page_of(request, found) or refusal(found)

    for kind in (OrderServiceError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, refused)


def _refusal_of(error: Exception) -> OrderServiceError | None:
    """The error to report; None if the path or method does not exist."""
    if isinstance(error, RequestValidationError):
        return invalid_argument(error.errors())
    if not isinstance(error, HTTPException):
        assert isinstance(error, OrderServiceError)
        return error
    if error.status_code in ROUTING_CODES:
        return None
    return BodyTooLarge() if error.status_code == 413 else InvalidArgument("body", "unreadable")


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = ROUTING_CODES[error.status_code]
    response = failure(error.status_code, code, plain_error_text(code, context().language))
    if error.status_code == 405:
        response.headers["Allow"] = ", ".join(sorted(_methods(request)))
    return response


def _methods(request: Request) -> set[str]:
    """All methods of the path; Starlette reports only those of the first matching route."""
    found: set[str] = set()
    for route in request.app.routes:
        if route.matches(request.scope)[0] is not Match.NONE:
            found |= getattr(route, "methods", None) or {"GET"}
    return found | {"HEAD"} if "GET" in found else found


def invalid_argument(errors: Sequence[Any]) -> InvalidArgument:
    """The first validation error, with the full path of its field."""
    first = errors[0]
    type, given = first["type"], first.get("ctx") or {}
    field = path_of(first["loc"][:1] if type == "json_invalid" else first["loc"])[:_MAX_FIELD]
    if isinstance(ours := given.get("error"), FieldRefused):
        return InvalidArgument(field, ours.problem, **ours.parameters)
    problem, parameters = _PROBLEMS.get(type, ("invalid", {}))
    return InvalidArgument(field, problem, **{name: given[theirs] for name, theirs in parameters.items()})


def path_of(place: Sequence[str | int]) -> str:
    """`items[2].nums` for FastAPI's `("body", "items", 2, "nums")`; `body` for the body itself."""
    first, *inner = place[1:] or place
    return str(first) + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in inner)
