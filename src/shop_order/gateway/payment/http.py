"""HTTP to a provider: each answer is bounded in time and size."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

MAX_ANSWER = 256 * 1024  # bytes
UNCOMPRESSED = {"accept-encoding": "identity"}  # the size of decompressed content is unbounded


class NoAnswer(Exception):
    """The provider did not answer, too slowly, or too much."""


def reason(failed: Exception) -> str:
    """Return what to log of a failure: nothing of what was read, which may name a buyer or be a token."""
    if isinstance(failed, UnicodeError):  # its repr has all that could not be decoded
        return f"{type(failed).__name__}({str(failed)!r})"
    return repr(failed)


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An answer; the names of its headers are found in any case."""

    status: int
    headers: httpx.Headers
    body: bytes


class ProviderHttp:
    """The connections to one provider; opened at their first use."""

    def __init__(self) -> None:
        self._client: httpx.AsyncClient | None = None

    async def aclose(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()

    def client(self) -> httpx.AsyncClient:
        """Return the client, which has no timeout, and follows neither redirects nor the environment."""
        import httpx  # slow to import

        if self._client is None:
            self._client = httpx.AsyncClient(timeout=None, trust_env=False)  # noqa: S113 - each call sets one
        return self._client

    async def call(
        self, method: str, url: str, *, headers: dict[str, str], timeout_s: float, **sent: Any
    ) -> HttpAnswer:
        """Return the answer, byte for byte. `sent` is httpx's `content` or `data`. Raises NoAnswer."""
        import httpx

        body = bytearray()
        try:
            async with (
                asyncio.timeout(timeout_s),  # httpx's restarts with each chunk
                self.client().stream(method, url, headers=headers | UNCOMPRESSED, **sent) as answer,
            ):
                async for chunk in answer.aiter_raw():
                    body += chunk
                    if len(body) > MAX_ANSWER:
                        raise NoAnswer(f"the answer is larger than {MAX_ANSWER} bytes")
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as failed:
            raise NoAnswer(repr(failed)) from failed
        return HttpAnswer(answer.status_code, answer.headers, bytes(body))
