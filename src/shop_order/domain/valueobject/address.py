"""Postal addresses."""

from __future__ import annotations

import re
from dataclasses import dataclass

from shop_order.domain.errors import InvalidArgument
from shop_order.domain.valueobject.text import person_name, plain_text

_MOBILE = re.compile(r"1[0-9]{10}|\+[0-9]{6,15}")


@dataclass(frozen=True, slots=True)
class PostalAddress:
    """The receiver of an order; province, city and district may be empty.

    Raises InvalidArgument for a missing, too long or malformed text, and for a phone number that is neither
    `1` and 10 digits nor `+` and 6 to 15 digits.
    """

    name: str
    phone: str
    detail: str
    province: str = ""
    city: str = ""
    district: str = ""
    post: str = ""

    def __post_init__(self) -> None:
        person_name("name", self.name)
        plain_text("phone", self.phone, max_length=16, required=True)
        if not _MOBILE.fullmatch(self.phone):
            raise InvalidArgument("phone", "not_a_phone")
        plain_text("detail", self.detail, max_length=255, required=True)
        for field in ("province", "city", "district"):
            plain_text(field, getattr(self, field), max_length=50)
        plain_text("post", self.post, max_length=20)
