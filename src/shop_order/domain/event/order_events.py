"""Events of an order: recorded by the aggregate, chained by hash when stored.

They hold references and hashes, no personal data, so that names can be erased without breaking the chain:
`doctor` and `audit` replay the chain (`domain.replay`) and compare every column with what it implies.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field

ORDER_CREATED = "order.created"
ORDER_PAID = "order.paid"
ORDER_SHIPPED = "order.shipped"
ORDER_COMPLETED = "order.completed"
ORDER_CANCELLED = "order.cancelled"
PAYMENT_OPENED = "payment.opened"
PAYMENT_CLOSED = "payment.closed"
PAYMENT_SHIPPING_TOLD = "payment.shipping_told"  # its provider knows that the goods are on their way
REFUND_REQUESTED = "refund.requested"
REFUND_FIRST_APPROVED = "refund.first_approved"  # another admin has to approve it too
REFUND_APPROVED = "refund.approved"
REFUND_REJECTED = "refund.rejected"
REFUND_WITHDRAWN = "refund.withdrawn"
REFUND_PARCEL_SENT = "refund.parcel_sent"  # by the buyer, with the goods
REFUND_RETURNED = "refund.returned"  # the goods arrived
REFUND_SENT = "refund.sent"  # to the provider
REFUND_SUCCEEDED = "refund.succeeded"
REFUND_FAILED = "refund.failed"
REFUND_SETTLED = "refund.settled"  # by hand

# Reasons of surplus refunds: such a `refund.requested` also records that the money arrived.
LATE_PAYMENT = "LATE_PAYMENT"
DUPLICATE_PAYMENT = "DUPLICATE_PAYMENT"
SURPLUS = frozenset({LATE_PAYMENT, DUPLICATE_PAYMENT})

GENESIS = bytes(32)
_CANONICAL = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event that is not stored yet, so without id and hash."""

    version: int
    type: str
    payload: bytes
    created_ms: int


@dataclass(frozen=True, slots=True)
class Event:
    """One stored event; `payload` is the exact bytes that were hashed.

    `request_id` and `traceparent` identify the request that caused it until it is published; they are not
    hashed.
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
    """The canonical JSON of an event's data: sorted keys, no white space, UTF-8."""
    return _CANONICAL.encode(data).encode()


def text_hash(texts: Iterable[str], salt: str = "") -> str:
    """A hash by which stored texts can be compared; with a secret salt they can't be guessed from it.

    None of the texts contains NUL, which separates them.
    """
    return hashlib.sha256("\0".join((salt, *texts)).encode()).hexdigest()


def event_hash(
    prev_hash: bytes, *, id: int, order_sn: str, version: int, type: str, payload: bytes, created_ms: int
) -> bytes:
    """The hash of an event: SHA-256 over the previous hash, its columns and its payload."""
    head = f"{id}\n{order_sn}\n{version}\n{type}\n{created_ms}\n".encode()
    return hashlib.sha256(prev_hash + head + payload).digest()


def seal(new: NewEvent | Event, *, id: int, order_sn: str, prev_hash: bytes) -> Event:
    """Chain an event to `prev_hash`; sealing a stored one again shows whether it was altered."""
    digest = event_hash(
        prev_hash,
        id=id,
        order_sn=order_sn,
        version=new.version,
        type=new.type,
        payload=new.payload,
        created_ms=new.created_ms,
    )
    return Event(id, order_sn, new.version, new.type, new.payload, prev_hash, digest, new.created_ms)
