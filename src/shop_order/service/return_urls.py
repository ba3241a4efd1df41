"""The allow-list of URLs that our pages and providers may send a buyer to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from urllib.parse import SplitResult, unquote, urlsplit

from shop_order.domain.errors import InvalidArgument
from shop_order.domain.valueobject.text import plain_text

MAX_LENGTH = 512
_PORTS = {"http": 80, "https": 443}


class ReturnUrls:
    """The allow-list: an entry allows its path and everything below it, on exactly its host and port."""

    def __init__(self, allowed_urls: Callable[[], Sequence[str]]) -> None:
        """`allowed_urls` is called for every check, since the setting may be reloaded."""
        self._allowed = allowed_urls

    def check(self, field: str, url: str) -> None:
        """Check that the URL is allowed or empty. Raises InvalidArgument."""
        if not url:
            return
        plain_text(field, url, max_length=MAX_LENGTH)
        parts = _split(url)
        if parts is None:
            raise InvalidArgument(field, "not_a_url")
        if not any(_is_below(parts, urlsplit(allowed)) for allowed in self._allowed()):
            raise InvalidArgument(field, "not_allowed_url")

    def allowed_or_empty(self, url: str) -> str:
        """Return a stored URL, or an empty one if it is no longer allowed."""
        try:
            self.check("url", url)
        except InvalidArgument:
            return ""
        return url


def _split(url: str) -> SplitResult | None:
    # urlsplit silently drops tabs and line ends, and browsers read \ as /, so they would open another URL
    # than the one that was checked.
    if not (url.isascii() and url.isprintable()) or " " in url or "\\" in url:
        return None
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises ValueError if it is invalid
    except ValueError:
        return None
    complete = parts.scheme in _PORTS and parts.hostname and "@" not in parts.netloc
    segments = unquote(parts.path).replace("\\", "/").split("/")
    return parts if complete and "." not in segments and ".." not in segments else None


def _is_below(parts: SplitResult, allowed: SplitResult) -> bool:
    if _origin(parts) != _origin(allowed):
        return False
    folder = allowed.path.rstrip("/")
    return parts.path == folder or parts.path.startswith(folder + "/")


def _origin(url: SplitResult) -> tuple[str, str | None, int | None]:
    return url.scheme, url.hostname, url.port or _PORTS.get(url.scheme)
