"""Whatever a test is about: a route refuses with no reason that the document does not name for it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import httpx
import pytest

from shop_order.gateway.payment import notice_routes
from shop_order.web.http import describe
from tests.baseline.rest_promise import Document, operations, reasons_of

UNGUARDED = {"notices", "operation"}  # answered by a word, or by us alone


@pytest.fixture(autouse=True)
def only_named_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at every answer that an asynchronous client of a test is given."""
    send = httpx.AsyncClient.send

    async def checked(self: httpx.AsyncClient, request: httpx.Request, **more: Any) -> httpx.Response:
        answer = await send(self, request, **more)
        if answer.is_error and not more.get("stream"):
            must_be_named(answer)
        return answer

    monkeypatch.setattr(httpx.AsyncClient, "send", checked)


def must_be_named(answer: httpx.Response) -> None:
    """The document has the reason at this status of this route, if the answer is a refusal of ours."""
    if not answer.headers.get("content-type", "").startswith("application/json"):
        return
    method = answer.request.method
    body = {} if method == "HEAD" else answer.json()
    if not {"error", "details", "request_id"} <= body.keys() or body["error"] == "NOT_FOUND":
        return
    for pattern, operation in routes():
        matches = pattern.fullmatch(f"{method} {answer.request.url.path}")
        if matches and not UNGUARDED & {*operation["tags"]}:
            response = operation["responses"].get(str(answer.status_code), {})
            assert body["error"] in reasons_of(response, document()), (pattern.pattern, body)


@cache
def document() -> Document:
    return describe(notice_routes())


@cache
def routes() -> list[tuple[re.Pattern[str], Document]]:
    """Each operation, and what its method and path look like."""
    return list(_routes())


def _routes() -> Iterator[tuple[re.Pattern[str], Document]]:
    for name, operation in operations(document()):
        yield re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(name))), operation
