"""The parties of an order: the caller of a use case, and the receiver's postal address."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from shop_order.domain.errors import Forbidden, InvalidArgument
from shop_order.domain.valueobject.text import person_name, plain_text

_MOBILE = re.compile(r"1[0-9]{10}|\+[0-9]{6,15}")


class Role(StrEnum):
    """Roles of a token (docs/roles.md); SYSTEM stands for background jobs and verified providers."""

    USER = "user"
    ADMIN = "admin"
    SERVICE = "service"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Actor:
    """The caller: `user_id` is the user it acts for, 0 for the system, or a service on its own behalf."""

    role: Role
    user_id: int = 0
    service: str = ""

    @property
    def is_admin(self) -> bool:
        """Whether the caller may read and ship all orders."""
        return self.role is Role.ADMIN

    @property
    def operator(self) -> str:
        """The operator in the order log (specification 6.4): user, system or admin."""
        return {Role.USER: "user", Role.SERVICE: "user", Role.ADMIN: "admin", Role.SYSTEM: "system"}[
            self.role
        ]

    def buyer_id(self) -> int:
        """The user who buys. Raises Forbidden unless the actor is a user or acts for one."""
        if self.role not in (Role.USER, Role.SERVICE) or self.user_id <= 0:
            raise Forbidden("user_only")
        return self.user_id


SYSTEM = Actor(Role.SYSTEM)


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

    @property
    def texts(self) -> tuple[str, ...]:
        """All fields, in the sequence in which the order's history hashes them."""
        return self.name, self.phone, self.detail, self.province, self.city, self.district, self.post

    def __post_init__(self) -> None:
        person_name("name", self.name)
        plain_text("phone", self.phone, max_length=16, required=True)
        if not _MOBILE.fullmatch(self.phone):
            raise InvalidArgument("phone", "not_a_phone")
        plain_text("detail", self.detail, max_length=255, required=True)
        for field in ("province", "city", "district"):
            plain_text(field, getattr(self, field), max_length=50)
        plain_text("post", self.post, max_length=20)
