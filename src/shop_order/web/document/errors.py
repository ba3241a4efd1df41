"""Error reasons in the documents: those of each route in OpenAPI, all of them in docs/errors.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce
from operator import getitem
from string import Formatter
from typing import Any

from shop_order.domain.errors import (
    BodyTooLarge,
    DeadlineExceeded,
    DependencyDown,
    Forbidden,
    HeadersTooLarge,
    InvalidArgument,
    OrderServiceError,
    Overloaded,
    RateLimited,
    Unauthenticated,
    UnsupportedMediaType,
)
from shop_order.web.html import environment
from shop_order.web.messages import (
    INTERNAL,
    INTERNAL_CODE,
    ROUTING_CODES,
    Language,
    grpc_code,
    http_status,
    texts,
)

# Status -> name of the shared response, reasons that any route can return.
SHARED: Mapping[int, tuple[str, tuple[str, ...]]] = {
    400: ("Invalid", (InvalidArgument.code,)),
    401: ("Unauthenticated", (Unauthenticated.code,)),
    403: ("Forbidden", (Forbidden.code,)),
    404: ("NotFound", ()),
    409: ("Conflict", ()),
    413: ("TooLarge", (BodyTooLarge.code,)),
    415: ("UnsupportedMediaType", (UnsupportedMediaType.code,)),
    422: ("KeyReused", ()),
    429: ("TooMany", (RateLimited.code, Overloaded.code)),
    431: ("HeadersTooLarge", (HeadersTooLarge.code,)),
    500: ("Internal", (INTERNAL_CODE,)),
    503: ("Unavailable", (DependencyDown.code,)),
    504: ("Deadline", (DeadlineExceeded.code,)),
}
_EXAMPLES: Mapping[str, str | int] = {
    "actual_amount": "20.99",
    "channel": "alipay",
    "coupon_id": "7",
    "dependency": "inventory_service",
    "expected_amount": "19.99",
    "freight_amount": "8.00",
    "goods_ids": "101",
    "largest_amount": "100000000.00",
    "limit": 20,
    "smallest_amount": "0.01",
    "state": "PAID",
    "what": "amount",
}


# ---- OpenAPI ----


def both_languages(*path: str, joined_by: str = " / ") -> str:
    """A text of the REST document, in Chinese and in English."""
    known: list[Any] = [texts()[language].pages["rest_document"] for language in Language]
    return joined_by.join(reduce(getitem, path, section) for section in known)


def shared_responses() -> dict[str, Any]:
    """The shared responses, by name."""
    return {name: _response(status, usual) for status, (name, usual) in SHARED.items() if usual}


def examples() -> dict[str, Any]:
    """An example for each reason."""
    statuses = {leaf.code: http_status(leaf) for leaf in OrderServiceError.__subclasses__()}
    statuses[INTERNAL_CODE] = INTERNAL.http
    return {reason: {"value": _example(status, reason)} for reason, status in statuses.items()}


def responses_of(statuses: Iterable[int], own: Iterable[type[OrderServiceError]]) -> dict[str, Any]:
    """The error responses of a route: for each status the common reasons and the route's own."""
    own = list(own)
    found = {}
    for status in statuses:
        name, usual = SHARED[status]
        added = tuple(error.code for error in own if http_status(error) == status and error.code not in usual)
        if not added:
            found[str(status)] = {"$ref": f"#/components/responses/{name}"}
        elif status == 401:  # authenticated by a signature instead of a token
            found[str(status)] = _response(status, added)
        else:
            found[str(status)] = _response(status, usual + added)
    return found


def _response(status: int, reasons: tuple[str, ...]) -> dict[str, Any]:
    text = both_languages("responses", SHARED[status][0])
    response: dict[str, Any] = {
        "description": f"{text}: {', '.join(f'`{reason}`' for reason in reasons)}",
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/Failure"},
                "examples": {reason: {"$ref": f"#/components/examples/{reason}"} for reason in reasons},
            }
        },
    }
    if status in (429, 503):
        schema = {"type": "integer", "minimum": 1}
        response["headers"] = {"Retry-After": {"description": "秒 / Seconds", "schema": schema}}
    return response


def _example(status: int, reason: str) -> dict[str, Any]:
    chinese = texts()[Language.ZH]
    details: dict[str, str | int]
    problem = ""
    if reason == InvalidArgument.code:
        problem = "out_of_range"
        details = {"field": "items[0].nums", "problem": problem, "min": 1, "max": 999}
    else:
        details = {name: _EXAMPLES[name] for text in chinese.errors[reason] for name in _names_in(text)}
    return {
        "code": status,
        "message": chinese.message(reason, problem, details),
        "error": reason,
        "details": details,
        "request_id": "5f0c1e5f8a9b4c0e",
    }


# ---- docs/errors.md ----


def errors_page(language: Language) -> str:
    """All reasons with kind, statuses, meaning and advice, as Markdown."""
    known = texts()[language]
    rows = [
        (leaf.code, str(leaf.kind), grpc_code(leaf).name, http_status(leaf))
        for leaf in OrderServiceError.__subclasses__()
    ]
    rows += [(code, "–", "–", status) for status, code in ROUTING_CODES.items()]
    rows.append((INTERNAL_CODE, "–", INTERNAL.grpc.name, INTERNAL.http))
    template = environment().get_template("errors.md.jinja")
    return template.render(
        t=known.pages["errors_page"],
        reasons=[(*row, known.errors[row[0]]) for row in rows],
        cases=[(*key.split("."), text) for key, text in known.errors.items() if "." in key],
        problems=[(problem, text, _names_in(text)) for problem, text in known.problems.items()],
    )


def _names_in(text: str) -> list[str]:
    return [name for _, name, _, _ in Formatter().parse(text) if name]
