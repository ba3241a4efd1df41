"""What a text from outside must be before it is kept."""

from __future__ import annotations

import unicodedata

from shop_order.domain.errors import InvalidArgument

# Bidirectional overrides and zero-width characters make one name look like another.
# ZWJ and variation selectors stay: emoji are made of them.
_DECEPTIVE = frozenset(
    "\u200b\u200c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff\u061c"
)


def plain_text(field: str, value: str, *, most: int, required: bool = False) -> str:
    """Return `value` if it can be kept: length in code points, no NUL, no other control characters.

    Raises InvalidArgument.
    """
    if required and not value.strip():
        raise InvalidArgument(field, "is required")
    if len(value) > most:
        raise InvalidArgument(field, f"is longer than {most} characters")
    if value.isprintable():  # most texts are, and this looks at them faster than the loop
        return value
    for char in value:
        if unicodedata.category(char) in ("Cc", "Cs") and char not in "\t\r\n":
            raise InvalidArgument(field, "contains control characters")
    return value


def person_name(field: str, value: str, *, most: int = 50) -> str:
    """Return a required one-line name without characters that deceive the eye.

    Raises InvalidArgument.
    """
    plain_text(field, value, most=most, required=True)
    if any(char in _DECEPTIVE or char in "\t\r\n" or char == "\u200d" for char in value):
        raise InvalidArgument(field, "contains invisible or direction-changing characters")
    return value
