"""The Idempotency-Key header; a submit token in it is checked before it is used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import Header

from shop_order.domain.errors import InvalidArgument
from shop_order.pkg.idempotence.token import PREFIX, BadToken, SubmitTokens
from shop_order.web.context import RequestContext

KeyHeader = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        description="幂等键，不超过 255 个字符；或提交令牌。同键同请求返回同一结果 / "
        "At most 255 characters, or a submit token. Same key and request: the same result",
    ),
]


class Keys:
    """Takes keys from requests."""

    def __init__(self, tokens: SubmitTokens, real_now_s: Callable[[], float]) -> None:
        self._tokens = tokens
        self._real_now_s = real_now_s

    def accept(self, it: RequestContext, key: str) -> None:
        """Make `key` the request's.

        Raises InvalidArgument: a submit token that is not the caller's, or too old.
        """
        if key.startswith(PREFIX):
            try:
                self._tokens.verify(key, it.caller.user_id, self._real_now_s())
            except BadToken:
                raise InvalidArgument(
                    "Idempotency-Key", "is a submit token of somebody else, or too old"
                ) from None
        it.key = _as_sent(key)


def _as_sent(key: str) -> str:
    # Headers arrive as Latin-1: a key in UTF-8 must be the key that gRPC's field would carry.
    try:
        return key.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return key
