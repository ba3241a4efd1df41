"""The state that an order's history implies, column by column, and how a stored value is recognised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from shop_order.domain.status import SETTLED_REFUND, OrderStatus

Columns = dict[str, object]  # the value of each column, or how it is recognised
MAX_TRIES = 1_000_000  # that a job counts: at half an hour each they take decades

_FINISHED = frozenset({OrderStatus.COMPLETED, OrderStatus.CANCELLED})


@dataclass(frozen=True, slots=True)
class Hash:
    """A text is stored that has this hash."""

    value: str


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A time when a job acts: not later than `latest_ms`, or a short while from now.

    From `optional_from_ms` on it may be missing.
    """

    latest_ms: int = 0
    optional_from_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Counted:
    """How often a job has tried: a number from 0 to MAX_TRIES, since no event tells it."""


@dataclass(frozen=True, slots=True)
class Texts:
    """The hash of personal or free texts of the order's row, or of a refund's."""

    columns: Sequence[str]
    hash: str
    refund_sn: str = ""


@dataclass(slots=True)
class Implied:
    """The state that a chain implies: columns of the order, of its items by goods, payments and refunds.

    `goods_hash` and `pages_hash` are empty if they are not told; `texts` are compared with the order's salt.
    `told` are the payments whose provider took the shipping.
    """

    order: Columns = field(default_factory=dict)
    items: dict[int, Columns] = field(default_factory=dict)
    payments: dict[str, Columns] = field(default_factory=dict)
    refunds: dict[str, Columns] = field(default_factory=dict)
    goods_hash: str = ""
    pages_hash: str | None = None
    texts: dict[tuple[str, str], Texts] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)

    @property
    def is_finished(self) -> bool:
        """Whether the order allows no further transition."""
        return self.order["status"] in _FINISHED

    @property
    def is_settled(self) -> bool:
        """Whether it is finished, and no attempt and no refund is under way: it may be archived."""
        return (
            self.is_finished
            and not any(payment["open_order_sn"] for payment in self.payments.values())
            and all(refund["state"] in SETTLED_REFUND for refund in self.refunds.values())
        )
