"""The allow-list of URLs to which a buyer may be sent from our pages and from a provider's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from urllib.parse import SplitResult, unquote, urlsplit

from shop_order.domain.errors import InvalidArgument
from shop_order.domain.valueobject.text import plain_text

MAX_LENGTH = 512
_PORTS = {"http": 80, "https": 443}


class ReturnUrls:
    """An entry allows its own path and everything below it, on exactly its host and port."""

    def __init__(self, listed: Callable[[], Sequence[str]]) -> None:
        """`listed` is called every time, since the setting may be reloaded."""
        self._listed = listed

    def check(self, field: str, url: str) -> None:
        """Check that a buyer may be sent there; an empty URL passes. Raises InvalidArgument."""
        if not url:
            return
        plain_text(field, url, most=MAX_LENGTH)
        asked = _address(url)
        if asked is None:
            raise InvalidArgument(field, "not_a_url")
        if not any(_lies_below(asked, urlsplit(allowed)) for allowed in self._listed()):
            raise InvalidArgument(field, "not_allowed_url")

    def still(self, url: str) -> str:
        """A stored URL, empty if it is no longer allowed."""
        try:
            self.check("url", url)
        except InvalidArgument:
            return ""
        return url


def _address(url: str) -> SplitResult | None:
    # urlsplit silently drops tabs and line ends, and browsers read \ as /: they would open another URL than
    # the one that was checked.
    if not (url.isascii() and url.isprintable()) or " " in url or "\\" in url:
        return None
    try:
        asked = urlsplit(url)
        _ = asked.port  # raises ValueError if it is invalid
    except ValueError:
        return None
    whole = asked.scheme in _PORTS and asked.hostname and "@" not in asked.netloc
    steps = unquote(asked.path).replace("\\", "/").split("/")
    return asked if whole and "." not in steps and ".." not in steps else None


def _lies_below(asked: SplitResult, allowed: SplitResult) -> bool:
    if _site(asked) != _site(allowed):
        return False
    folder = allowed.path.rstrip("/")
    return asked.path == folder or asked.path.startswith(folder + "/")


def _site(url: SplitResult) -> tuple[str, str | None, int | None]:
    return url.scheme, url.hostname, url.port or _PORTS.get(url.scheme)
