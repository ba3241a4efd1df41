"""Shapes: one declaration a field makes the schema and the value."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from shop_order.web.dto.fields import (
    ResponseData,
    argument,
    attribute,
    computed,
    fen,
    id_text,
    timestamp,
    yuan,
)
from shop_order.web.messages import Language


class ParcelData(ResponseData):
    no: str


class ThingData(ResponseData):
    id: str = id_text("7")
    owner: str = attribute(source="user.name")
    size: int = attribute(source=lambda it: len(it.parts))
    word: str = computed(lambda it, language: f"{it.id} {language}")
    pay_amount: str = yuan("应付")
    pay_fen: int = fen("应付")
    paid_at: str | None = timestamp("支付时间 / Paid")
    note: str | None
    link: str | None = argument("链接 / The link")
    parcel: ParcelData | None
    parts: list[ParcelData]


def thing(**other: object) -> SimpleNamespace:
    parts = [SimpleNamespace(no="1"), SimpleNamespace(no="2")]
    fields = {
        "id": 2**60,
        "user": SimpleNamespace(name="张三"),
        "pay_fen": 1999,
        "paid_ms": 0,
        "note": "",
        "parcel": None,
    }
    return SimpleNamespace(**fields | {"parts": parts} | other)


def test_every_kind_of_field_in_the_order_of_the_declarations() -> None:
    data = ThingData.of(thing(), Language.EN, link=None)
    assert list(data.items()) == [
        ("id", "1152921504606846976"),
        ("owner", "张三"),
        ("size", 2),
        ("word", "1152921504606846976 en"),
        ("pay_amount", "19.99"),
        ("pay_fen", 1999),
        ("paid_at", None),
        ("note", None),
        ("link", None),
        ("parcel", None),
        ("parts", [{"no": "1"}, {"no": "2"}]),
    ]
    ThingData.model_validate(data)


def test_what_is_there_is_shown() -> None:
    data = ThingData.of(thing(note="n", paid_ms=1795412700000, parcel=SimpleNamespace(no="3")), link="/p")
    assert data["paid_at"] == "2026-11-23T13:45:00.000+08:00"
    assert (data["note"], data["parcel"], data["link"]) == ("n", {"no": "3"}, "/p")


def test_a_given_field_must_be_given_and_may_replace_another() -> None:
    with pytest.raises(KeyError, match="link"):
        ThingData.of(thing())
    assert ThingData.of(thing(), link=None, size=9)["size"] == 9


def test_the_schema_has_the_words_and_none_of_the_sources() -> None:
    schema = ThingData.model_json_schema(mode="serialization")
    assert schema["required"] == list(ThingData.model_fields)
    assert schema["properties"]["pay_amount"] == {
        "title": "Pay Amount",
        "type": "string",
        "description": "应付，元 / yuan, two decimals",
        "examples": ["19.99"],
        "pattern": r"^-?[0-9]+\.[0-9]{2}$",
    }
    assert schema["properties"]["owner"] == {"title": "Owner", "type": "string"}
