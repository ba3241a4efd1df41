"""Keeps secrets and phone numbers out of the logs."""

import re
from dataclasses import is_dataclass
from typing import Any

from shop_order.pkg.url import MASK, mask_urls

_MAX_DEPTH = 4
_MAX_NAMES = 4096
# It begins with a plain 1, so that the search skips most texts; the looks back follow it.
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
    """The number with its middle hidden: 13812345678 -> 138****5678; a short one wholly."""
    return f"{phone[:3]}****{phone[-4:]}" if len(phone) >= 8 else "****"


def mask_text(text: str) -> str:
    """The text with every mobile number in it masked, and every password in a URL."""
    if len(text) < 11 or (text.isdigit() and len(text) != 11):  # an order number is no phone
        return text
    return _MOBILE.sub(r"\1****\2", mask_urls(text) if "://" in text else text)


def _text_of(value: object) -> str:
    if is_dataclass(value) and not isinstance(value, type):
        return f"<{type(value).__name__}>"  # a command may hold a buyer's name and address
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"<{len(value)} bytes>"
    return mask_text(str(value))


class Masking:
    """Decides by a field's name, and remembers the decision."""

    def __init__(self) -> None:
        self._kinds: dict[str, int] = {}

    def value(self, name: str, value: Any, depth: int = 0) -> Any:
        """What may be written for the field: secrets as ***, phone numbers masked."""
        kind = self._kinds.get(name)
        if kind is None:
            kind = self._remember(name)
        if kind and value:
            return MASK if kind == _IS_SECRET else mask_phone(str(value))
        if type(value) in _SCALARS:
            return value
        if isinstance(value, str):
            return mask_text(value)
        if isinstance(value, dict):
            if depth >= _MAX_DEPTH:
                return "..."
            return {str(k): self.value(str(k), v, depth + 1) for k, v in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self.value(name, item, depth + 1) for item in value] if depth < _MAX_DEPTH else "..."
        return _text_of(value)

    def _remember(self, name: str) -> int:
        words = {word.lower() for word in _WORDS.findall(name)}
        kind = _IS_SECRET if words & _SECRET else _IS_PHONE if words & _PHONE else _PLAIN
        if len(self._kinds) >= _MAX_NAMES:
            self._kinds.clear()
        self._kinds[name] = kind
        return kind
