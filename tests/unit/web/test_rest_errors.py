"""What is wrong with a request is told by field, in the caller's language, without a class name of ours."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from shop_order.web.dto.requests import PlaceOrderBody
from shop_order.web.handler.errors import invalid_argument
from shop_order.web.messages import Language, error_text

PLACE: dict[str, Any] = {
    "items": [{"goods_id": 1, "nums": 1}],
    "address": {"name": "王", "phone": "13800138000", "detail": "路"},
}


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"items": [{"goods_id": 1}]}, "items.0.nums", "is required"),
        ({"items": [{"goods_id": 1, "nums": "1"}]}, "items.0.nums", "must be a whole number"),
        ({"items": [{"goods_id": 1, "nums": 1.5}]}, "items.0.nums", "must be a whole number"),
        ({"items": [{"goods_id": 1, "nums": 0}]}, "items.0.nums", "must be at least 1"),
        ({"items": [{"goods_id": 1, "nums": 1000}]}, "items.0.nums", "must be at most 999"),
        ({"items": [{"goods_id": "x", "nums": 1}]}, "items.0.goods_id", "must be a positive id"),
        ({"items": {}}, "items", "must be a list"),
        ({"items": [7]}, "items.0", "must be an object"),
        ({"address": "here"}, "address", "must be an object"),
        ({"note": 7}, "note", "must be a text"),
        ({"note": "x" * 256}, "note", "is longer than 255 characters"),
        ({"from": "heaven"}, "from", "must be 'cart'"),
        ({"pay_type": "gold"}, "pay_type", "is not a known value"),
    ],
)
def test_the_field_and_the_reason_are_named_in_both_languages(
    change: dict[str, Any], field: str, reason: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(PlaceOrderBody).validate_python(PLACE | change)
    # FastAPI puts "body" before the place.
    errors = [{**error, "loc": ("body", *error["loc"])} for error in caught.value.errors()]
    told = invalid_argument(errors)
    assert told.details == {"field": field}
    assert error_text(told, Language.EN) == f"{field}: {reason}"
    assert not re.search("[a-z]{3}", error_text(told, Language.ZH).replace(field, "").replace("cart", ""))
