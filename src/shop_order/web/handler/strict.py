"""What a JSON route takes: parameters it knows, each once, and a body that says it is JSON."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import parse_qsl

from starlette.types import Scope

from shop_order.domain.errors import InvalidArgument, UnsupportedMediaType

MOST_PARAMETERS = 50
_LONGEST_NAME = 128  # of a name the caller made up
_UTF_8 = ("utf-8", "utf8")


def check_query(query: bytes, known: frozenset[str]) -> None:
    """Every parameter is known, and given once: one that is ignored would not do what it says.

    Raises InvalidArgument, which names it.
    """
    if query.count(b"&") >= MOST_PARAMETERS:
        raise InvalidArgument("query", f"has more than {MOST_PARAMETERS} parameters")
    seen: set[str] = set()
    for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name not in known:
            raise InvalidArgument(name[:_LONGEST_NAME], "is not known here")
        if name in seen:
            raise InvalidArgument(name, "is given twice")
        seen.add(name)


def check_media_type(scope: Scope) -> None:
    """A body, if there is one, says that it is JSON in UTF-8, and is not compressed.

    Raises UnsupportedMediaType.
    """
    kinds = []
    has_body = False
    for name, value in scope["headers"]:
        if name == b"content-type":
            kinds.append(value)
        elif name == b"content-length":
            has_body = has_body or value.strip(b"0") != b""
        elif name == b"transfer-encoding":
            has_body = True
            if value.lower() != b"chunked":  # the parser only looks for chunks, whatever is in them
                raise UnsupportedMediaType
        elif name == b"content-encoding" and value.lower() not in (b"", b"identity"):
            raise UnsupportedMediaType
    if has_body and not (len(kinds) == 1 and _is_json(kinds[0])):
        raise UnsupportedMediaType


@lru_cache(maxsize=64)
def _is_json(kind: bytes) -> bool:
    named, *parameters = kind.decode("latin-1").lower().split(";")
    if named.strip() != "application/json":  # +json types mean documents of their own
        return False
    for parameter in parameters:
        name, _, value = parameter.strip().partition("=")
        if name == "charset" and value.strip('"') not in _UTF_8:
            return False
    return True
