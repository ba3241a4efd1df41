"""What is wrong with a request is told by the path of its field, in the caller's language."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from shop_order.web.dto.fields import Day, OrderSn, Status, TimeMs
from shop_order.web.dto.requests import PlaceOrderBody
from shop_order.web.handler.errors import invalid_argument
from shop_order.web.messages import Language, error_text

PLACE: dict[str, Any] = {
    "items": [{"goods_id": 1, "nums": 1}],
    "address": {"name": "王", "phone": "13800138000", "detail": "路"},
}
UNKNOWN = "is not a known parameter or field"


def must_be(model: Any, value: object, place: tuple[str, ...], field: str, text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(model).validate_python(value)
    # FastAPI puts where the value came from before the place.
    told = invalid_argument([{**error, "loc": (*place, *error["loc"])} for error in caught.value.errors()])
    assert told.field == told.details["field"] == field
    assert error_text(told, Language.EN) == f"{field} {text}"
    chinese = error_text(told, Language.ZH)
    for name in (field, *str(told.details.get("allowed", "")).split(",")):
        chinese = chinese.replace(name, "")
    assert not re.search("[a-z]{3}", chinese)


@pytest.mark.parametrize(
    ("change", "field", "text"),
    [
        ({"items": [{"goods_id": 1}]}, "items[0].nums", "is required"),
        ({"items": [{"goods_id": 1, "nums": "1"}]}, "items[0].nums", "must be an integer"),
        ({"items": [{"goods_id": 1, "nums": 1.5}]}, "items[0].nums", "must be an integer"),
        ({"items": [{"goods_id": 1, "nums": 0}]}, "items[0].nums", "must be at least 1"),
        ({"items": [{"goods_id": 1, "nums": 1000}]}, "items[0].nums", "must be at most 999"),
        (
            {"items": [*PLACE["items"], {"goods_id": "x", "nums": 1}]},
            "items[1].goods_id",
            "must be a positive integer",
        ),
        ({"items": {}}, "items", "must be an array"),
        ({"items": [7]}, "items[0]", "must be an object"),
        ({"address": "here"}, "address", "must be an object"),
        ({"address": {**PLACE["address"], "city": 7}}, "address.city", "must be a string"),
        ({"note": 7}, "note", "must be a string"),
        ({"note": "x" * 256}, "note", "must be at most 255 characters long"),
        ({"from": "heaven"}, "from", "must be one of: cart"),
        ({"pay_type": "gold"}, "pay_type", "must be one of: alipay, wechat, balance"),
        ({"items": [{"goods_id": 1, "nums": 1, "size": 3}]}, "items[0].size", UNKNOWN),
    ],
)
def test_the_field_and_the_problem_are_named_in_both_languages(
    change: dict[str, Any], field: str, text: str
) -> None:
    must_be(PlaceOrderBody, PLACE | change, ("body",), field, text)


@pytest.mark.parametrize(
    ("model", "value", "text"),
    [
        (OrderSn, "7", "is not a valid order number"),
        (Status, 9, "must be one of: 1, 2, 3, 4, 5"),
        (Day, "23.11.2026", "must be YYYY-MM-DD"),
        (TimeMs, "2026-11-23", "must be a time with an offset, such as 2026-11-21T08:00:00+08:00"),
        (TimeMs, "1931-11-21T08:00:00+08:00", "must be in the years 1970 to 9999"),
    ],
)
def test_so_are_parameters(model: Any, value: object, text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(model).validate_python(value)
    told = invalid_argument([{**error, "loc": ("query", "it")} for error in caught.value.errors()])
    assert error_text(told, Language.EN) == f"it {text}"


def test_a_body_that_is_no_json_is_named_as_a_whole() -> None:
    told = invalid_argument(
        [{"type": "json_invalid", "loc": ("body", 7), "ctx": {"error": "Expecting value"}}]
    )
    assert error_text(told, Language.EN) == "body is not valid JSON"


def test_what_nobody_has_translated_is_told_without_its_own_words() -> None:
    told = invalid_argument([{"type": "new_in_pydantic", "loc": ("body", "note"), "msg": "class Foo"}])
    assert error_text(told, Language.EN) == "note is not valid"
