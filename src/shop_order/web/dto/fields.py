"""Types of request fields and parameters: strict, bounded, documented."""

from __future__ import annotations

import re
from typing import Annotated, Any

from fastapi import Header, Query
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from shop_order.domain.errors import InvalidArgument
from shop_order.domain.problems import Problem
from shop_order.domain.status import OrderStatus, PaymentType
from shop_order.domain.valueobject.item import MAX_ID
from shop_order.pkg.ids import is_order_sn
from shop_order.web.dto.wire import time_ms

EXAMPLE_SN = "261123134500123456789012349"
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_DIGITS = re.compile(r"[0-9]{1,19}", re.ASCII)
# An unescaped plus sign in a query arrives as a space.
_LOST_PLUS = re.compile(r"(T[0-9:.]+) (?=[0-9]{2}:[0-9]{2}$)")

STATUSES = [int(status) for status in OrderStatus]
PAY_TYPES = {kind.code: kind for kind in PaymentType if kind.code}


class Body(BaseModel):
    """A request body: types are strict, and unknown fields are refused."""

    model_config = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True)


class FieldRefused(ValueError):
    """Raised by our validators; `web.handler.answer` adds the path of the field."""

    def __init__(self, problem: Problem, **parameters: str | int) -> None:
        super().__init__(problem)
        self.problem: Problem = problem
        self.parameters = parameters


def _id(value: object) -> object:
    if isinstance(value, str):
        if not _DIGITS.fullmatch(value):
            raise FieldRefused("not_an_id")
        return int(value)
    return value


def _order_sn(value: str) -> str:
    if not is_order_sn(value):
        raise FieldRefused("not_an_order_sn")
    return value


def _status(value: int) -> OrderStatus:
    if value not in STATUSES:
        raise FieldRefused("not_one_of", allowed=",".join(map(str, STATUSES)))
    return OrderStatus(value)


def _pay_type(value: object) -> object:
    if not isinstance(value, str) or value not in PAY_TYPES:
        raise FieldRefused("not_one_of", allowed=",".join(PAY_TYPES))
    return PAY_TYPES[value]


def _time_ms(value: object) -> object:
    try:
        return time_ms("time", _LOST_PLUS.sub(r"\1+", value) if isinstance(value, str) else "?")
    except InvalidArgument as error:
        raise FieldRefused(error.problem) from None


def _day(value: str) -> str:
    if not _DAY.fullmatch(value):
        raise FieldRefused("not_a_date")
    return value


def _from(value: str) -> str:
    if value != "cart":
        raise FieldRefused("not_one_of", allowed="cart")
    return value


def _id_schema(example: str) -> dict[str, Any]:
    return {
        "anyOf": [
            {"type": "integer", "format": "int64", "minimum": 1},
            {"type": "string", "pattern": "^[1-9][0-9]{0,18}$"},
        ],
        "examples": [example],
    }


def _sn_schema() -> dict[str, Any]:
    return {"type": "string", "pattern": "^[0-9]{27}$", "format": "order-sn", "examples": [EXAMPLE_SN]}


_Id = Annotated[int, BeforeValidator(_id), Field(ge=1, le=MAX_ID)]
GoodsId = Annotated[_Id, WithJsonSchema(_id_schema("101"))]
UserId = Annotated[_Id, WithJsonSchema(_id_schema("7"))]
AddressId = Annotated[_Id, WithJsonSchema(_id_schema("71"))]
OrderSn = Annotated[str, AfterValidator(_order_sn), WithJsonSchema(_sn_schema())]
Status = Annotated[
    int,
    AfterValidator(_status),
    WithJsonSchema({"type": "integer", "enum": STATUSES}),
]
PayType = Annotated[
    PaymentType, BeforeValidator(_pay_type), WithJsonSchema({"type": "string", "enum": list(PAY_TYPES)})
]
Day = Annotated[
    str,
    AfterValidator(_day),
    WithJsonSchema({"type": "string", "format": "date", "examples": ["2026-11-23"]}),
]
Source = Annotated[str, AfterValidator(_from), WithJsonSchema({"type": "string", "const": "cart"})]
TimeMs = Annotated[
    int,
    BeforeValidator(_time_ms),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-11-01T00:00:00+08:00"]}),
]
Owner = Annotated[UserId | None, Query(description="仅管理员：订单所属用户 / Admin: the owner")]
# Only for the document: the guard of all routes reads the header itself.
IdempotencyKey = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        description="幂等键，不超过 255 个字符，不含逗号；或提交令牌。相同的键与请求返回相同的结果 / "
        "At most 255 characters without commas, or a submit token. Retries with the same key and request "
        "return the same result",
    ),
]
