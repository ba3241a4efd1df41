"""Answers that are the same for everybody: made once, kept as bytes, and not sent to who has them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response

from shop_order.pkg.sharing import Once


class Kept:
    """Bytes with their ETag; the first caller has them made in a thread, and others go on meanwhile."""

    def __init__(
        self,
        make: Callable[[], bytes],
        media_type: str,
        *,
        max_age_s: int,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._make = make
        self._media_type = media_type
        self._headers = {"Cache-Control": f"public, max-age={max_age_s}", **(headers or {})}
        self._made = Once(self._in_a_thread)

    async def answer(self, request: Request) -> Response:
        """200 with the bytes, or 304 for a caller that has them."""
        body, tag = await self._made()
        headers = {**self._headers, "ETag": tag}
        if has(request.headers.getlist("if-none-match"), tag):
            return Response(status_code=304, headers=headers)
        return Response(body, headers=headers, media_type=self._media_type)

    async def _in_a_thread(self) -> tuple[bytes, str]:
        body = await asyncio.to_thread(self._make)
        return body, f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def has(if_none_match: list[str], tag: str) -> bool:
    """Whether a caller says that it has the thing with this ETag (RFC 9110, 13.1.2: weak ones count)."""
    given = [each.strip() for value in if_none_match for each in value.split(",")]
    return "*" in given or any(each.removeprefix("W/") == tag for each in given)
