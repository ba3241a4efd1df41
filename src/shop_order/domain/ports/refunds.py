"""Port to the store: refunds to show, and those that wait for a decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from shop_order.domain.entity.refund import Refund
from shop_order.domain.errors import UnreadableRow
from shop_order.domain.status import RefundState


@dataclass(frozen=True, slots=True)
class RefundFilter:
    """Which refunds to list; None matches all."""

    user: int | None = None
    state: RefundState | None = None
    order_sn: str | None = None


@dataclass(frozen=True, slots=True)
class RefundPosition:
    """The position in a list: after this refund."""

    created_ms: int
    refund_sn: str


@dataclass(frozen=True, slots=True)
class RefundPage:
    """A page of refunds; `unreadable` rows are not in `refunds`."""

    refunds: Sequence[Refund]
    next: RefundPosition | None
    unreadable: Sequence[UnreadableRow] = ()


class Refunds(Protocol):
    """Refunds of live and archived orders. They change with their order (`Orders.change`)."""

    async def find(self, refund_sn: str) -> Refund:
        """The refund with this number. Raises RefundNotFound, UnreadableRow."""

    async def list(self, where: RefundFilter, *, limit: int, after: RefundPosition | None) -> RefundPage:
        """A page of refunds, newest first."""

    async def undecided(
        self, before_ms: int, limit: int, after: RefundPosition | None
    ) -> Sequence[RefundPosition]:
        """Requested refunds that nobody has approved yet, created before `before_ms`; oldest first."""
