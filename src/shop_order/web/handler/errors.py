"""Every error becomes an envelope here, and nothing of our inside gets out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from shop_order.domain.errors import BodyTooLarge, InvalidArgument, OrderServiceError
from shop_order.web.handler.answer import context, failure, refusal
from shop_order.web.messages import Language

_HTTP_WORDS = {
    404: ("NOT_FOUND", "没有这个地址", "no such address"),
    405: ("METHOD_NOT_ALLOWED", "该地址不支持此方法", "this address does not take this method"),
}
_LONGEST_FIELD = 128  # of a name the caller made up
_REASONS = {
    "missing": "is required",
    "extra_forbidden": "is not known here",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "string_type": "must be a text",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "dict_type": "must be an object",
    "json_invalid": "is not valid JSON",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "string_too_long": "is longer than {max_length} characters",
    "too_long": "has more than {max_length} entries",
    "literal_error": "must be {expected}",
    "value_error": "{error}",
}


def install(app: FastAPI, page_of: Callable[[Request, OrderServiceError], Response | None]) -> None:
    """Let `app` answer all its errors in our envelope, or with the page that `page_of` has for them."""

    async def refused(request: Request, error: Exception) -> Response:
        found = _refusal_of(error)
        if found is None:
            return _http(request, error)
        return page_of(request, found) or refusal(found)

    for kind in (OrderServiceError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, refused)


def _refusal_of(error: Exception) -> OrderServiceError | None:
    """What it means to a caller; None for an address or a method that there is not."""
    if isinstance(error, RequestValidationError):
        return invalid_argument(error.errors())
    if not isinstance(error, HTTPException):
        assert isinstance(error, OrderServiceError)
        return error
    if error.status_code in _HTTP_WORDS:
        return None
    return BodyTooLarge() if error.status_code == 413 else InvalidArgument("body", "can't be read")


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    reason, zh, en = _HTTP_WORDS[error.status_code]
    response = failure(error.status_code, reason, en if context().language is Language.EN else zh)
    if error.status_code == 405:
        response.headers["Allow"] = ", ".join(sorted(_methods(request)))
    return response


def _methods(request: Request) -> set[str]:
    """Every method that the path takes: Starlette names those of its first route only."""
    found: set[str] = set()
    for route in request.app.routes:
        if route.matches(request.scope)[0] is not Match.NONE:
            found |= getattr(route, "methods", None) or {"GET"}
    return found | {"HEAD"} if "GET" in found else found


def invalid_argument(errors: Sequence[Any]) -> InvalidArgument:
    """The first thing that is wrong with a request, in words that name the field and no class of ours."""
    first = errors[0]
    place = [
        str(part) for part in first["loc"][1:] if not isinstance(part, int) or first["type"] != "json_invalid"
    ]
    field = (".".join(place) or str(first["loc"][0]))[:_LONGEST_FIELD]
    reason = _REASONS.get(first["type"], "is not valid").format_map(first.get("ctx") or {})
    return InvalidArgument(field, reason)
