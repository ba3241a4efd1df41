"""The caller of a use case."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from shop_order.domain.errors import Forbidden


class Role(StrEnum):
    """Roles of a token (contract, chapter 5); SYSTEM stands for background jobs and verified providers."""

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
