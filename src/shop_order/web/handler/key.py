"""The Idempotency-Key header."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header
from starlette.datastructures import Headers

from shop_order.web.context import sent_key

NAME = "Idempotency-Key"

# For the document: the guard in front of all routes has read the header by then.
KeyHeader = Annotated[
    str,
    Header(
        alias=NAME,
        description="幂等键，不超过 255 个字符，不含逗号；或提交令牌。同键同请求返回同一结果 / "
        "At most 255 characters without a comma, or a submit token. Same key and request: the same result",
    ),
]


def key_of(headers: Headers) -> str:
    """The request's key, empty if it has none. Raises InvalidArgument: it has two."""
    sent = headers.getlist(NAME)
    return sent_key(_as_sent(sent[0]) if sent else "", repeated=len(sent) > 1)


def _as_sent(key: str) -> str:
    # Headers arrive as Latin-1: a key in UTF-8 must be the key that gRPC's field would carry.
    try:
        return key.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return key
