"""The kinds of fields that requests share: strict, bounded, and documented."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from shop_order.domain.status import OrderStatus, PaymentType
from shop_order.domain.valueobject.item import MOST_ID
from shop_order.pkg.util.order_sn import is_order_sn

EXAMPLE_SN = "261123134500123456789012349"
_DIGITS = re.compile(r"[0-9]{1,19}", re.ASCII)
# A plus sign in a query arrives as a blank when the caller forgot to write %2B.
_LOST_PLUS = re.compile(r"(?<=:[0-9]{2}) (?=[0-9]{2}:[0-9]{2}$)|(?<=\.[0-9]{3}) (?=[0-9]{2}:[0-9]{2}$)")

PAY_TYPES = {"alipay": PaymentType.ALIPAY, "wechat": PaymentType.WECHAT, "balance": PaymentType.BALANCE}


class Body(BaseModel):
    """A request body: types are strict, unknown fields are ignored."""

    model_config = ConfigDict(strict=True, extra="ignore", hide_input_in_errors=True)


def _id(value: object) -> object:
    if isinstance(value, str):
        if not _DIGITS.fullmatch(value):
            raise ValueError("must be an id: a whole number, or its decimal text")
        return int(value)
    return value


def _order_sn(value: str) -> str:
    if not is_order_sn(value):
        raise ValueError("is not an order number")
    return value


def _status(value: int) -> OrderStatus:
    try:
        return OrderStatus(value)
    except ValueError:
        raise ValueError("must be 1 (pending) to 5 (cancelled)") from None


def _pay_type(value: str) -> PaymentType:
    try:
        return PAY_TYPES[value]
    except KeyError:
        raise ValueError("must be alipay, wechat or balance") from None


def _time_ms(value: object) -> object:
    if not isinstance(value, str) or len(value) > 40:
        raise ValueError("must be an RFC 3339 time with an offset")
    try:
        at = datetime.fromisoformat(_LOST_PLUS.sub("+", value.strip()))
        if at.tzinfo is None or "T" not in value.upper():
            raise ValueError("no offset")
        return int(at.timestamp() * 1000)
    except (ValueError, OverflowError):
        raise ValueError("must be an RFC 3339 time with an offset") from None


def _id_schema(example: str) -> dict[str, Any]:
    return {
        "anyOf": [
            {"type": "integer", "minimum": 1, "maximum": MOST_ID},
            {"type": "string", "pattern": "^[1-9][0-9]{0,17}$"},
        ],
        "examples": [example],
    }


def _sn_schema() -> dict[str, Any]:
    return {"type": "string", "pattern": "^[0-9]{27}$", "format": "order-sn", "examples": [EXAMPLE_SN]}


_Id = Annotated[int, BeforeValidator(_id), Field(ge=1, le=MOST_ID)]
GoodsId = Annotated[_Id, WithJsonSchema(_id_schema("101"))]
UserId = Annotated[_Id, WithJsonSchema(_id_schema("7"))]
AddressId = Annotated[_Id, WithJsonSchema(_id_schema("71"))]
OrderSn = Annotated[str, AfterValidator(_order_sn), WithJsonSchema(_sn_schema())]
Status = Annotated[
    int,
    AfterValidator(_status),
    WithJsonSchema({"type": "integer", "enum": [int(s) for s in OrderStatus]}),
]
PayType = Annotated[
    str, AfterValidator(_pay_type), WithJsonSchema({"type": "string", "enum": list(PAY_TYPES)})
]
TimeMs = Annotated[
    int,
    BeforeValidator(_time_ms),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-11-01T00:00:00+08:00"]}),
]
