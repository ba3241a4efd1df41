"""Replays an order's chain of events into the state it implies, column by column.

`domain.comparison` compares it with what is stored. A column that the events don't tell, since an earlier
version recorded less, is left out and not compared.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from shop_order.domain.entity.money import Money
from shop_order.domain.entity.payment import GRACE_MS, MAX_PAID_MS, TOLD_OF_SHIPPING
from shop_order.domain.entity.refund import REFUSED, Refund, RefundLine
from shop_order.domain.event import order_events as events
from shop_order.domain.event.order_events import SURPLUS, Event
from shop_order.domain.implied import Columns, Counted, Hash, Implied, Scheduled, Texts
from shop_order.domain.status import (
    DUE_REFUND,
    OPEN_PAYMENT,
    SETTLED_REFUND,
    SHIPPED_ORDER,
    OrderStatus,
    PaymentState,
    PaymentType,
    RefundState,
    RefundType,
)

# What one hash of an event covers, in its sequence.
PERSONAL = (
    "signer_name", "signer_mobile", "address", "province", "city", "district", "post", "note",
)  # fmt: skip
PAGES = ("return_url", "cancel_url")
CANCEL_TEXTS = ("cancel_reason",)
REFUND_TEXTS = ("reason", "decision")
ITEM_TEXTS = ("goods_name", "goods_image")

_ENDED_REFUND = SETTLED_REFUND | {RefundState.FAILED}
_REFUND_STATES: Mapping[str, RefundState] = {
    events.REFUND_REQUESTED: RefundState.REQUESTED,
    events.REFUND_FIRST_APPROVED: RefundState.REQUESTED,
    events.REFUND_APPROVED: RefundState.APPROVED,
    events.REFUND_REJECTED: RefundState.REJECTED,
    events.REFUND_WITHDRAWN: RefundState.WITHDRAWN,
    events.REFUND_PARCEL_SENT: RefundState.AWAITING_RETURN,
    events.REFUND_RETURNED: RefundState.RETURNED,
    events.REFUND_SENT: RefundState.SENT,
    events.REFUND_SUCCEEDED: RefundState.SUCCEEDED,
    events.REFUND_FAILED: RefundState.FAILED,
    events.REFUND_SETTLED: RefundState.SETTLED,
}


class UnknownEvent(ValueError):
    """An event of a type that this version can't replay."""


def replay(chain: Sequence[Event]) -> Implied:
    """The state that the events imply. Raises UnknownEvent; ValueError, KeyError, TypeError if malformed."""
    implied = Implied()
    for event in chain:
        if (apply := _APPLY.get(event.type)) is None:
            raise UnknownEvent(event.type)
        data = json.loads(event.payload)
        apply(implied, event, data)
        implied.order |= {
            "user": data["user_id"],
            "status": OrderStatus(data["new_status"]),
            "version": event.version,
            "updated_at": event.created_ms,
        }
    _finish(implied)
    return implied


def _placed(implied: Implied, event: Event, data: Mapping[str, Any]) -> None:
    implied.order = {
        "order_sn": event.order_sn,
        "created_at": event.created_ms,
        "total_fen": data["total_fen"],
        "freight_fen": data.get("freight_fen", 0),  # the first events had none
        "pay_fen": data["pay_fen"],
        "expire_ms": data["expire_at_ms"],
        "due_ms": data["expire_at_ms"],
        "payment_sn": "",
        "trade_no": "",
        "pay_time": 0,
        "cancel_reason": "",
        "cancel_code": "",
        "logistics_company": "",
        "logistics_no": "",
        "shipped_ms": 0,
        "completed_ms": 0,
    }
    if "payment_type" in data:
        implied.order["pay_type"] = PaymentType(data["payment_type"]).code
    for line in data["lines"]:
        implied.items[line["goods_id"]] = {
            "goods": line["goods_id"],
            "nums": line["nums"],
            "price_fen": line["price_fen"],
        }
    if "order_id" in data:  # not told by earlier versions, like the hashes
        implied.order |= {"id": data["order_id"], "discount_fen": data["discount_fen"]}
        implied.goods_hash = data["goods_hash"]
        implied.pages_hash = data.get("pages_hash", "")
    _note_texts(implied, data, PERSONAL)


def _paid(implied: Implied, event: Event, data: Mapping[str, Any]) -> None:
    payment_sn = data["payment_sn"]
    implied.order |= {
        "pay_type": PaymentType(data["payment_type"]).code,
        "payment_sn": payment_sn,
        "trade_no": data["trade_no"],
        "due_ms": None,
    }
    _tell(implied.order, "pay_time", data, "paid_at_ms")
    _arrived(implied.payments[payment_sn], data)


def _shipped(implied: Implied, event: Event, data: Mapping[str, Any]) -> None:
    implied.order |= {
        "logistics_company": data["logistics_company"],
        "logistics_no": data["logistics_no"],
        "shipped_ms": event.created_ms,
        "due_ms": data.get("due_at_ms", Scheduled(MAX_PAID_MS)),
    }


def _completed(implied: Implied, event: Event, data: Mapping[str, Any]) -> None:
    implied.order |= {"completed_ms": event.created_ms, "due_ms": None}


def _cancelled(implied: Implied, event: Event, data: Mapping[str, Any]) -> None:
    del implied.order["cancel_reason"]
    implied.order |= {"cancel_code": data["reason"], "due_ms": None}
    if "id" not in implied.order:  # an earlier version stored none
        implied.order["cancel_code"] = frozenset({"", data["reason"]})
    _note_texts(implied, data, CANCEL_TEXTS)


def _opened(implied: Implied, event: Event, data: Mapping[str, Any]) -> None:
    payment_type = PaymentType(data["payment_type"])
    implied.order["pay_type"] = payment_type.code
    implied.payments[data["payment_sn"]] = payment = {
        "payment_sn": data["payment_sn"],
        "order_sn": event.order_sn,
        "user": data["user_id"],
        "payment_type": payment_type,
        "amount_fen": data["amount_fen"],
        "state": PaymentState(data["state"]) if "state" in data else OPEN_PAYMENT,
        "trade_no": "",
        "paid_ms": 0,
        "refunded_fen": 0,
        "open_order_sn": event.order_sn,
        "ask_ms": Scheduled(),
        "ask_tries": Counted(),
        "close_reason": "",
    }
    for column, name in (
        ("trade_type", "trade_type"), ("created_ms", "created_at_ms"), ("expire_ms", "expire_at_ms"),
    ):  # fmt: skip
        _tell(payment, column, data, name)
    if "url_hash" in data:
        payment["payment_url"] = Hash(data["url_hash"])


def _closed(implied: Implied, event: Event, data: Mapping[str, Any]) -> None:
    payment = implied.payments[data["payment_sn"]]
    over_ms = payment.get("expire_ms", implied.order["expire_ms"]) + GRACE_MS  # type: ignore[operator]
    # Its provider may still take the money until then, and is asked once more at the end, unless it refused.
    asked = None if data["reason"] else Scheduled(over_ms, optional_from_ms=over_ms)
    payment |= {
        "state": PaymentState.CLOSED,
        "open_order_sn": None,
        "ask_ms": asked,
        "close_reason": data["reason"],
    }


def _told_of_shipping(implied: Implied, event: Event, data: Mapping[str, Any]) -> None:
    implied.told.add(data["payment_sn"])


def _refund(implied: Implied, event: Event, data: Mapping[str, Any]) -> None:
    sn, payment_sn, code = data["refund_sn"], data["payment_sn"], data["reason"]
    state = RefundState(data.get("state", _REFUND_STATES[event.type]))
    old, surplus = "state" not in data, code in SURPLUS
    refund = implied.refunds.setdefault(sn, {"created_ms": event.created_ms})
    lines = [(line["goods_id"], line["nums"], line["share_fen"]) for line in data.get("lines", ())]
    refund |= {
        "refund_sn": sn,
        "payment_sn": payment_sn,
        "order_sn": event.order_sn,
        "user": data["user_id"],
        "amount_fen": data["amount_fen"],
        "state": state,
        "surplus": surplus,
        "surplus_of": payment_sn if surplus else None,
        "requested_by": "SYSTEM" if surplus else code,
        "finished_ms": event.created_ms if state in _ENDED_REFUND else 0,
        "type": RefundType(data.get("type", RefundType.REFUND_ONLY)),
        "items": tuple([RefundLine(*line) for line in lines]),
        "freight_fen": data.get("freight_fen", 0),
        "approvals": data.get("approvals", 0),
        "approver": data.get("approver_id", 0),
        "parcel_company": data.get("parcel_company", ""),
        "parcel_no": data.get("parcel_no", ""),
        "failure": data.get("failure", REFUSED if old and state is RefundState.FAILED else ""),
        "out_refund_no": data.get("out_refund_no", sn),
        "try_ms": _try_ms(state),
        "tries": Counted(),
    }
    if surplus:
        refund["reason"] = code
        if event.type == events.REFUND_REQUESTED:  # the only event of such money
            _arrived(implied.payments[payment_sn], data)
    _note_texts(implied, data, REFUND_TEXTS, sn)
    if event.type in (events.REFUND_SUCCEEDED, events.REFUND_SETTLED):
        _returned(implied.payments[payment_sn], data["amount_fen"])


def _try_ms(state: RefundState) -> Scheduled | None:
    """When the refund is sent or asked about; a failed one only if a notice or a bill says that it did not
    fail."""
    if state in DUE_REFUND:
        return Scheduled()
    return Scheduled(optional_from_ms=0) if state is RefundState.FAILED else None


def _arrived(payment: Columns, data: Mapping[str, Any]) -> None:
    payment |= {"state": PaymentState.PAID, "open_order_sn": None, "ask_ms": None}
    _tell(payment, "trade_no", data, "trade_no")
    _tell(payment, "paid_ms", data, "paid_at_ms")


def _returned(payment: Columns, amount_fen: int) -> None:
    refunded_fen: int = payment["refunded_fen"] + amount_fen  # type: ignore[operator]
    whole = refunded_fen >= payment["amount_fen"]  # type: ignore[operator]
    state = PaymentState.REFUNDED if whole else PaymentState.PART_REFUNDED
    payment |= {"refunded_fen": refunded_fen, "state": state}


def _tell(columns: Columns, column: str, data: Mapping[str, Any], name: str) -> None:
    """Set a column to what the event says; it is not compared if the event does not say it."""
    if name in data:
        columns[column] = data[name]
    else:
        columns.pop(column, None)


def _note_texts(
    implied: Implied, data: Mapping[str, Any], columns: Sequence[str], refund_sn: str = ""
) -> None:
    """Note the hash; an event of an order without a salt, from before or erased, tells none."""
    if "texts_hash" in data:
        implied.texts[refund_sn, columns[0]] = Texts(columns, data["texts_hash"], refund_sn)
    else:
        implied.texts.pop((refund_sn, columns[0]), None)


def _finish(implied: Implied) -> None:
    """Set what follows from the whole chain."""
    money = Money()
    for sn, told in implied.refunds.items():
        values: Any = told
        refund = Refund(
            sn, values["payment_sn"], values["order_sn"], values["amount_fen"], values["state"],
            values.get("reason", ""), values["surplus"], values["created_ms"],
        )  # fmt: skip
        money.add(refund)
    pay_fen: Any = implied.order["pay_fen"]
    implied.order["refund_status"] = money.refund_status(pay_fen)
    for sn, payment in implied.payments.items() if implied.order["status"] in SHIPPED_ORDER else ():
        is_kept = payment["state"] in (PaymentState.PAID, PaymentState.PART_REFUNDED)
        if is_kept and (payment["payment_type"], payment.get("trade_type")) in TOLD_OF_SHIPPING:
            payment["ask_ms"] = Scheduled(optional_from_ms=0 if sn in implied.told else None)


_Apply = Callable[[Implied, Event, Mapping[str, Any]], None]
_APPLY: Mapping[str, _Apply] = {
    events.ORDER_CREATED: _placed,
    events.ORDER_PAID: _paid,
    events.ORDER_SHIPPED: _shipped,
    events.ORDER_COMPLETED: _completed,
    events.ORDER_CANCELLED: _cancelled,
    events.PAYMENT_OPENED: _opened,
    events.PAYMENT_CLOSED: _closed,
    events.PAYMENT_SHIPPING_TOLD: _told_of_shipping,
    **dict.fromkeys(_REFUND_STATES, _refund),
}
