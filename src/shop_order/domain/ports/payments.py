"""Attempts and refunds: looking them up, and the bookkeeping of asking the provider."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from shop_order.domain.entity.payment import Payment
from shop_order.domain.entity.refund import Refund
from shop_order.domain.errors import UnreadableRow


class Payments(Protocol):
    """Looking attempts and refunds up, and the bookkeeping of asking the provider."""

    async def find(self, payment_sn: str) -> Payment | None:
        """The attempt with this number."""

    async def to_ask(self, now_ms: int, limit: int) -> Sequence[tuple[Payment | UnreadableRow, int]]:
        """Attempts whose provider should be asked now, with how often it was asked: open ones, and those that
        were closed before their links ended."""

    async def to_refund(self, now_ms: int, limit: int) -> Sequence[tuple[Refund, int]]:
        """Refunds to be sent (again) now, with how often they were."""

    async def ask_later(self, payment_sn: str, at_ms: int) -> None:
        """Count one more question, and ask again then."""

    async def ask_again(self, payment_sn: str, at_ms: int) -> None:
        """An unpaid attempt's provider is to be asked at that time, also when its order was archived."""

    async def ask_no_more(self, payment_sn: str) -> None:
        """The provider will not tell anything new of this closed attempt."""

    async def refund_later(self, refund_sn: str, at_ms: int) -> None:
        """Count one more try, and try again then."""
