"""Masks secrets and phone numbers in logs."""

import re
from dataclasses import is_dataclass
from functools import lru_cache
from typing import Any

from shop_order.pkg.url import MASK, mask_urls

_MAX_DEPTH = 4
# Starts with a literal 1, so that the search is fast; hence the lookbehinds after it.
_MOBILE = re.compile(r"(1(?:(?<=\+86.)|(?<![0-9A-Za-z].))[3-9][0-9])[0-9]{4}([0-9]{4})(?![0-9A-Za-z])", re.S)
_WORDS = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")
_SECRET = frozenset(
    {"apikey", "auth", "authorization", "cookie", "credential", "credentials", "jwt", "key", "keys"}
    | {"passwd", "password", "pem", "pw", "pwd", "secret", "secrets", "sign", "signature", "token", "tokens"}
)
_PHONE = frozenset({"mobile", "phone", "tel", "telephone"})

_SCALARS = frozenset({int, float, bool, type(None)})
_PLAIN, _IS_SECRET, _IS_PHONE = 0, 1, 2


def mask_phone(phone: str) -> str:
    """Mask the middle: 13812345678 -> 138****5678; a short number completely."""
    return f"{phone[:3]}****{phone[-4:]}" if len(phone) >= 8 else "****"


def mask_text(text: str) -> str:
    """Mask every mobile number, and every password in a URL."""
    if len(text) < 11 or (text.isdigit() and len(text) != 11):  # an order number is no phone
        return text
    if "://" in text:
        text = mask_urls(text)
    return _MOBILE.sub(r"\1****\2", text) if _MOBILE.search(text) else text  # a search costs an eighth


def mask(name: str, value: Any, depth: int = 0) -> Any:
    """Mask the value of a field: secrets as ***, phone numbers partly."""
    kind = _kind(name)
    if kind and value:
        return MASK if kind == _IS_SECRET else mask_phone(str(value))
    if type(value) in _SCALARS:
        return value
    if isinstance(value, str):
        return mask_text(value)
    if isinstance(value, (dict, list, tuple, set, frozenset)):
        if depth >= _MAX_DEPTH:
            return "..."
        if isinstance(value, dict):
            return {str(k): mask(str(k), v, depth + 1) for k, v in value.items()}
        return [mask(name, item, depth + 1) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return f"<{type(value).__name__}>"  # a command may contain a buyer's name and address
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"<{len(value)} bytes>"
    return mask_text(str(value))


@lru_cache(4096)
def _kind(name: str) -> int:
    words = {word.lower() for word in _WORDS.findall(name)}
    return _IS_SECRET if words & _SECRET else _IS_PHONE if words & _PHONE else _PLAIN
