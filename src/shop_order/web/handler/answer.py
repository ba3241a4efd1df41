"""The envelope of every answer, as bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.responses import Response

from shop_order.domain.errors import OrderServiceError, Unauthenticated
from shop_order.web.context import RequestContext, current
from shop_order.web.messages import Language, error_text
from shop_order.web.status import http_status

JSON = "application/json; charset=utf-8"
_NO_REQUEST = RequestContext(request_id="")


def context() -> RequestContext:
    """The request being answered."""
    return current() or _NO_REQUEST


def success(data: object, zh: str, en: str) -> Response:
    """200 with the data; a header marks a replay."""
    request = context()
    message = en if request.language is Language.EN else zh
    response = Response(orjson.dumps({"code": 200, "message": message, "data": data}), media_type=JSON)
    if request.replayed:
        response.headers["Idempotency-Replayed"] = "true"
    return response


def refusal(error: OrderServiceError) -> Response:
    """The answer to a refused request."""
    context().trouble = repr(error) if error.where else ""
    response = failure(http_status(error), error.code, error_text(error, context().language), error.details)
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    if isinstance(error, Unauthenticated):
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def failure(status: int, error: str, message: str, details: Mapping[str, Any] | None = None) -> Response:
    """An error's envelope; `error` is the reason for programs."""
    body = {
        "code": status,
        "message": message,
        "error": error,
        "details": details or {},
        "request_id": context().request_id,
    }
    return Response(orjson.dumps(body), status, media_type=JSON)
