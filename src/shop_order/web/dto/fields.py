"""Fields of REST bodies, parameters and responses, and the conversions that gRPC shares: times, payments.

Types of requests are strict, bounded and documented. A field of a response has one declaration, which
defines both its schema and its value: by default, it shows the attribute of the same name. Empty text becomes
null where null is allowed. Responses are plain dicts; no model instances are created
(docs/decisions/rest-shapes.md).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import Annotated, Any, ClassVar, get_args, get_origin

from fastapi import Header, Query
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic.fields import FieldInfo

from shop_order.domain.entity.order import Order
from shop_order.domain.entity.payment import BridgeParameters, Payment, QrCode, Redirect
from shop_order.domain.errors import InvalidArgument
from shop_order.domain.problems import Problem
from shop_order.domain.status import OrderStatus, PaymentType
from shop_order.domain.valueobject.item import MAX_ID
from shop_order.pkg.ids import is_order_sn
from shop_order.pkg.money import yuan_of_fen
from shop_order.web.messages import Language

GMT8 = timezone(timedelta(hours=8))
MAX_MS = 253_402_300_799_999  # the end of the year 9999
EXAMPLE_SN = "261123134500123456789012349"
STATUSES = [int(status) for status in OrderStatus]
PAY_TYPES = {kind.code: kind for kind in PaymentType if kind.code}
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_DIGITS = re.compile(r"[0-9]{1,19}", re.ASCII)
# An unescaped plus sign in a query arrives as a space.
_LOST_PLUS = re.compile(r"(T[0-9:.]+) (?=[0-9]{2}:[0-9]{2}$)")
_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})",
    re.ASCII,
)

Read = Callable[[Any], Any]
Compute = Callable[[Any, Language], Any]
Write = Callable[[Any, Language, Mapping[str, Any]], dict[str, Any]]


# ---- conversions ----


def rfc3339(ms: int) -> str:
    """RFC 3339 with milliseconds and China's offset; empty for 0, which means not yet."""
    if not ms:
        return ""
    minute, rest_ms = divmod(ms, 60_000)
    return f"{_minute(minute)}:{rest_ms // 1000:02d}.{rest_ms % 1000:03d}+08:00"


@lru_cache(maxsize=1024)  # an order has up to six times, and a list has hundreds
def _minute(number: int) -> str:
    return f"{datetime.fromtimestamp(number * 60, GMT8):%Y-%m-%dT%H:%M}"


def time_ms(field: str, text: str) -> int | None:
    """Epoch milliseconds of an RFC 3339 time with offset; None for empty text. Raises InvalidArgument."""
    if not text:
        return None
    if len(text) > 40 or not _RFC3339.fullmatch(text):
        raise InvalidArgument(field, "not_a_time")
    try:
        return bounded_ms(field, int(datetime.fromisoformat(text).timestamp() * 1000))
    except (ValueError, OverflowError) as error:
        raise InvalidArgument(field, "not_a_time") from error


def bounded_ms(field: str, ms: int) -> int:
    """The time, if it is in the years 1970 to 9999. Raises InvalidArgument."""
    if not 0 <= ms <= MAX_MS:
        raise InvalidArgument(field, "year_out_of_range")
    return ms


def attempts(order: Order) -> list[Payment]:
    """The order's payments, oldest first."""
    return sorted(order.payments.values(), key=lambda payment: (payment.created_ms, payment.payment_sn))


def payment_url(payment: Payment) -> str:
    """The URL or QR code text for paying an open attempt; empty if there is none."""
    match payment.action if payment.is_open else None:
        case Redirect(text) | QrCode(text):
            return text
    return ""


def jsapi_params(payment: Payment) -> dict[str, str] | None:
    """The parameters for paying an open attempt in the provider's app, if there are any."""
    action = payment.action if payment.is_open else None
    return dict(action.values) if isinstance(action, BridgeParameters) else None


# ---- requests ----


class Body(BaseModel):
    """A request body: types are strict, and unknown fields are refused."""

    model_config = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True)


class FieldRefused(ValueError):
    """Raised by our validators; `web.handler.errors` adds the path of the field."""

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


_Id = Annotated[int, BeforeValidator(_id), Field(ge=1, le=MAX_ID)]
GoodsId = Annotated[_Id, WithJsonSchema(_id_schema("101"))]
UserId = Annotated[_Id, WithJsonSchema(_id_schema("7"))]
AddressId = Annotated[_Id, WithJsonSchema(_id_schema("71"))]
OrderSn = Annotated[
    str,
    AfterValidator(_order_sn),
    WithJsonSchema(
        {"type": "string", "pattern": "^[0-9]{27}$", "format": "order-sn", "examples": [EXAMPLE_SN]}
    ),
]
Status = Annotated[int, AfterValidator(_status), WithJsonSchema({"type": "integer", "enum": STATUSES})]
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


# ---- responses ----


@dataclass(frozen=True, slots=True)
class _Source:
    """The source of a field's value; `suffixes` map the field's name to the attribute's name."""

    read: str | Read = ""  # an attribute path such as `line.id`, or a function of the object
    convert: Read | None = None
    suffixes: tuple[str, str] = ("", "")
    compute: Compute | None = None
    given: bool = False


def attribute(description: str = "", example: Any = None, *, source: str | Read = "") -> Any:
    """An attribute, unchanged."""
    return _field(_Source(source), description, example)


def id_text(example: str | None = None, *, description: str = "", source: str = "") -> Any:
    """An id as a string, because JavaScript numbers are exact only up to 2**53."""
    return _field(_Source(source, str), description, example)


def yuan(description: str, example: str = "19.99", *, source: str | Read = "") -> Any:
    """An amount in yuan as a string; field `x_amount` shows attribute `x_fen`."""
    found = _Source(source, yuan_of_fen, ("_amount", "_fen"))
    pattern = r"^-?[0-9]+\.[0-9]{2}$"
    return _field(found, f"{description}，元 / yuan, two decimals", example, pattern=pattern)


def fen(description: str, example: int = 1999, *, source: str | Read = "") -> Any:
    """An amount in fen."""
    return _field(_Source(source), f"{description}，分 / fen", example)


def timestamp(description: str, *, source: str | Read = "") -> Any:
    """A time; field `x_at` shows attribute `x_ms`."""
    found = _Source(source, rfc3339, ("_at", "_ms"))
    return _field(
        found, description, "2026-11-23T13:45:00.000+08:00", json_schema_extra={"format": "date-time"}
    )


def computed(compute: Compute, description: str = "", example: Any = None) -> Any:
    """A value computed from the object and the caller's language."""
    return _field(_Source(compute=compute), description, example)


def argument(description: str = "", example: Any = None) -> Any:
    """A value that is passed to `Answer.of` as a keyword argument."""
    return _field(_Source(given=True), description, example)


def _field(source: _Source, description: str, example: Any, **more: Any) -> FieldInfo:
    examples = None if example is None else [example]
    field: FieldInfo = Field(description=description or None, examples=examples, **more)
    field.metadata.append(source)
    return field


class Answer(BaseModel):
    """A response with exactly the declared fields."""

    model_config = ConfigDict(extra="forbid")

    _write: ClassVar[Write]

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Compile the fields to one function, which is as fast as a handwritten dict."""
        names: dict[str, Any] = {}
        fields = [f"{name!r}: {_expression(name, field, names)}" for name, field in cls.model_fields.items()]
        # The code consists only of declarations in this package.
        cls._write = eval(f"lambda it, language, given: {{{', '.join(fields)}}}", names)  # noqa: S307

    @classmethod
    def of(cls, it: Any, language: Language = Language.ZH, /, **given: Any) -> dict[str, Any]:
        """The response that shows `it`; `given` has the values of argument fields, and overrides others.

        Raises KeyError if an argument field is missing.
        """
        data = cls._write(it, language, given)
        data.update(given)
        return data


def _expression(name: str, field: FieldInfo, names: dict[str, Any]) -> str:
    """The code of a field's value; functions that it calls are added to `names`."""
    source = next((each for each in field.metadata if isinstance(each, _Source)), _Source())
    if source.given:
        return f"given[{name!r}]"
    if source.compute:
        names[f"compute_{name}"] = source.compute
        return f"compute_{name}(it, language)"
    if callable(source.read):
        names[f"read_{name}"] = source.read
        value = f"read_{name}(it)"
    else:
        value = f"it.{source.read or name.removesuffix(source.suffixes[0]) + source.suffixes[1]}"
    kinds = (field.annotation, *get_args(field.annotation))
    if shape := next((each for each in kinds if isinstance(each, type) and issubclass(each, Answer)), None):
        names[f"write_{name}"] = shape._write
        if get_origin(field.annotation) is list:
            return f"[write_{name}(each, language, {{}}) for each in {value}]"
        return f"None if (found := {value}) is None else write_{name}(found, language, {{}})"
    if source.convert:
        names[source.convert.__name__] = source.convert
        value = f"{source.convert.__name__}({value})"
    return f"{value} or None" if {str, type(None)} <= set(kinds) else value
