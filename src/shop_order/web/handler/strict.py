"""What a JSON route takes: known parameters and fields, each once, and a body that says it is JSON."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import parse_qsl

import orjson
from starlette.types import Scope

from shop_order.domain.errors import InvalidArgument, UnsupportedMediaType

MAX_PARAMETERS = 50
_MAX_NAME = 128  # characters of a name the caller made up
_UTF_8 = ("utf-8", "utf8")


def check_query(query: bytes, known: frozenset[str]) -> None:
    """Every parameter is known, and given once: one that is ignored would not do what it says.

    Raises InvalidArgument, which names it.
    """
    if query.count(b"&") >= MAX_PARAMETERS:
        raise InvalidArgument("query", "too_many_parameters", max=MAX_PARAMETERS)
    seen: set[str] = set()
    for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name not in known:
            raise InvalidArgument(name[:_MAX_NAME] or "query", "unknown_field")
        if name in seen:
            raise InvalidArgument(name, "duplicate")
        seen.add(name)


def check_no_fields(body: bytes) -> None:
    """The body of a route that takes none is empty, or an object without fields.

    Raises InvalidArgument, which names the first field.
    """
    try:
        found = orjson.loads(body) if body else None
    except orjson.JSONDecodeError:
        raise InvalidArgument("body", "invalid_json") from None
    if isinstance(found, dict) and found:
        raise InvalidArgument(next(iter(found))[:_MAX_NAME] or "body", "unknown_field")
    if found:
        raise InvalidArgument("body", "must_be_empty")


def check_media_type(scope: Scope) -> bool:
    """A body, if there is one, says that it is JSON in UTF-8, and is not compressed; whether there is one.

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
    return has_body


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
