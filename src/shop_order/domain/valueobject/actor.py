"""Who does something."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from shop_order.domain.errors import Forbidden


class Role(StrEnum):
    """Roles of a token (contract, chapter 5); SYSTEM is our own jobs and verified providers."""

    USER = "user"
    ADMIN = "admin"
    SERVICE = "service"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Actor:
    """The caller of a use case: `user_id` is the user acted for, 0 for a service or the system alone."""

    role: Role
    user_id: int = 0
    service: str = ""

    @property
    def is_admin(self) -> bool:
        """May look at and ship anybody's orders."""
        return self.role is Role.ADMIN

    @property
    def operator(self) -> str:
        """The word of the order log (specification 6.4): user, system or admin."""
        return {Role.USER: "user", Role.SERVICE: "user", Role.ADMIN: "admin", Role.SYSTEM: "system"}[
            self.role
        ]

    def buyer_id(self) -> int:
        """The user who buys. Raises Forbidden unless the actor is a user or acts for one."""
        if self.role not in (Role.USER, Role.SERVICE) or self.user_id <= 0:
            raise Forbidden("user_only")
        return self.user_id


SYSTEM = Actor(Role.SYSTEM)
