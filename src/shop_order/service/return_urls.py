"""Where a buyer may be sent from our pages and from a provider's: only to addresses the operator listed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from urllib.parse import SplitResult, unquote, urlsplit

from shop_order.domain.errors import InvalidArgument
from shop_order.domain.valueobject.text import plain_text

MOST = 512
_PORTS = {"http": 80, "https": 443}


class ReturnUrls:
    """The allow-list; an entry allows its own path and what lies below it, on its very host and port."""

    def __init__(self, listed: Callable[[], Sequence[str]]) -> None:
        """`listed` is asked at every call, since the setting may be reloaded."""
        self._listed = listed

    def check(self, field: str, url: str) -> None:
        """Raises InvalidArgument unless a buyer may be sent there; an empty one is none."""
        if not url:
            return
        plain_text(field, url, most=MOST)
        asked = _address(url)
        if asked is None:
            raise InvalidArgument(field, "not_a_url")
        if not any(_lies_below(asked, urlsplit(allowed)) for allowed in self._listed()):
            raise InvalidArgument(field, "not_allowed_url")

    def still(self, url: str) -> str:
        """A stored address, empty if it is not on the list any more."""
        try:
            self.check("url", url)
        except InvalidArgument:
            return ""
        return url


def _address(url: str) -> SplitResult | None:
    # urlsplit drops tabs and line ends in silence, and browsers read \ as /: what was checked would not be
    # what is opened.
    if not (url.isascii() and url.isprintable()) or " " in url or "\\" in url:
        return None
    try:
        asked = urlsplit(url)
        _ = asked.port  # raises for what is none
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
