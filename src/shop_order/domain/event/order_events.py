"""Events of an order: recorded by the aggregate, sealed into its hash chain when stored.

No personal data: references only (architecture, chapter 5), so that names can be erased
while the chain stays whole.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field

ORDER_CREATED = "order.created"
ORDER_PAID = "order.paid"
ORDER_SHIPPED = "order.shipped"
ORDER_COMPLETED = "order.completed"
ORDER_CANCELLED = "order.cancelled"
PAYMENT_OPENED = "payment.opened"
PAYMENT_CLOSED = "payment.closed"
REFUND_REQUESTED = "refund.requested"
REFUND_APPROVED = "refund.approved"
REFUND_REJECTED = "refund.rejected"
REFUND_SENT = "refund.sent"
REFUND_SUCCEEDED = "refund.succeeded"
REFUND_FAILED = "refund.failed"

# Reasons of refunds of money the order never took; `refund.requested` with one of them says that it came.
LATE_PAYMENT = "LATE_PAYMENT"
DUPLICATE_PAYMENT = "DUPLICATE_PAYMENT"
SURPLUS = frozenset({LATE_PAYMENT, DUPLICATE_PAYMENT})

GENESIS = bytes(32)
_CANONICAL = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class NewEvent:
    """A change the aggregate made: not stored yet, so it has neither id nor hash."""

    version: int
    type: str
    payload: bytes
    created_ms: int


@dataclass(frozen=True, slots=True)
class Event:
    """One event_hash of an order's chain; `payload` is the exact bytes that were hashed.

    `request_id` and `traceparent` tell whose request made it while it waits to be published: no part of the
    chain.
    """

    id: int
    order_sn: str
    version: int
    type: str
    payload: bytes
    prev_hash: bytes
    hash: bytes
    created_ms: int
    request_id: str = field(default="", compare=False)
    traceparent: str = field(default="", compare=False)


def payload(data: dict[str, object]) -> bytes:
    """The canonical bytes of an event's data: sorted keys, no blanks, UTF-8."""
    return _CANONICAL.encode(data).encode()


def event_hash(
    prev_hash: bytes, *, id: int, order_sn: str, version: int, type: str, payload: bytes, created_ms: int
) -> bytes:
    """The hash of one event_hash: SHA-256 over the previous hash, every column, and the payload."""
    head = f"{id}\n{order_sn}\n{version}\n{type}\n{created_ms}\n".encode()
    return hashlib.sha256(prev_hash + head + payload).digest()


def seal(happened: NewEvent, *, id: int, order_sn: str, prev_hash: bytes) -> Event:
    """Chain what happened to what happened before."""
    digest = event_hash(
        prev_hash,
        id=id,
        order_sn=order_sn,
        version=happened.version,
        type=happened.type,
        payload=happened.payload,
        created_ms=happened.created_ms,
    )
    return Event(
        id,
        order_sn,
        happened.version,
        happened.type,
        happened.payload,
        prev_hash,
        digest,
        happened.created_ms,
    )
