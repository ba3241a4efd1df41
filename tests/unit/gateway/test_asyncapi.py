"""The document of our messages: it is valid, complete, and says what the code says."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator, ValidationError, meta

from shop_order.domain.errors import InvalidArgument
from shop_order.domain.event.wallet_events import (
    ANSWERS,
    DEBIT_REQUESTED,
    MAX_REASON,
    REFUND_REQUESTED,
    REJECTED,
)
from shop_order.domain.replay import _APPLY
from shop_order.domain.status import OrderStatus, PaymentType, RefundState, RefundType
from shop_order.domain.valueobject.item import MAX_ID, MAX_LINES, MAX_NUMS
from shop_order.domain.valueobject.parties import Actor, Role
from shop_order.pkg.message import ORDER_EVENTS, ORDER_TIMEOUTS, TOPICS, WALLET_COMMANDS, WALLET_EVENTS
from shop_order.service.pay import MAX_TRADE_TYPE
from shop_order.web.dto.wallet_events import answer_of
from tests.world.messages import at, check, document, messages, strict, validator

ROOT = Path(__file__).resolve().parents[3]
TYPES = {
    ORDER_EVENTS: set(_APPLY),  # `test_replay` compares it with what the entities record
    ORDER_TIMEOUTS: {"order.timeout"},
    WALLET_COMMANDS: {DEBIT_REQUESTED, REFUND_REQUESTED},
    WALLET_EVENTS: ANSWERS,
}
DRAFTS = ("https://json-schema.org/draft/2020-12/schema", "http://json-schema.org/draft-07/schema#")
SCHEMAS = document()["components"]["schemas"]
EXAMPLES = [
    (channel, type, example["payload"])
    for channel in TYPES
    for type, message in messages(channel).items()
    for example in message.get("examples", ())
]
CLOUD_EVENTS = [pytest.param(*one, id=one[1]) for one in EXAMPLES if one[0] != ORDER_TIMEOUTS]


def references(node: Any) -> Iterator[str]:
    """Each `$ref` below a node."""
    for name, value in node.items() if isinstance(node, Mapping) else enumerate(node):
        if name == "$ref":
            yield value
        elif isinstance(value, Mapping | list):
            yield from references(value)


def as_published(type: str) -> Draft202012Validator:
    """The validator of somebody who takes the document as it is."""
    return Draft202012Validator({**document(), "$ref": f"#/components/schemas/{type}"})


# ---- the document ----


@pytest.mark.parametrize("draft", DRAFTS)
@pytest.mark.parametrize("name", SCHEMAS)
def test_every_schema_is_one(name: str, draft: str) -> None:
    meta.validate({"$schema": draft, **SCHEMAS[name]})


@pytest.mark.parametrize("draft", DRAFTS)
def test_a_malformed_schema_is_noticed(draft: str) -> None:
    with pytest.raises(ValidationError, match="objekt"):
        meta.validate({"$schema": draft, "properties": {"id": {"type": "objekt"}}})


def test_every_reference_leads_to_something_and_everything_is_referred_to() -> None:
    found = set(references(document()))
    for ref in found:
        at(ref)
    used = {tuple(ref.split("/")[2:]) for ref in found if ref.startswith("#/components/")}
    assert used == {(kind, name) for kind, named in document()["components"].items() for name in named}


def test_its_version_is_that_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert (document()["asyncapi"], document()["info"]["version"]) == ("3.0.0", project["version"])


# ---- is it what the code says? ----

# What a message may lack. All else is recorded always, and consumers may rely on it.
OPTIONAL = {
    "traceparent", "requestid", "x-request-id", "texts_hash", "pages_hash",
    "parcel_company", "parcel_no", "failure", "restock",
}  # fmt: skip
OF_THE_WALLET = {"subject", "time", "datacontenttype", "refund_sn", "reason"}  # in its answers


def optional(schema: Mapping[str, Any]) -> set[str]:
    """The fields that a strict schema does not require, at every depth."""
    found = set(schema.get("properties", {})) - set(schema.get("required", ()))
    inner = [*schema.get("properties", {}).values(), schema.get("items", {})]
    return found.union(*(optional(one) for one in inner if one))


@pytest.mark.parametrize("channel", sorted(TYPES.keys() - {ORDER_TIMEOUTS}))
def test_what_is_always_there_is_required(channel: str) -> None:
    found: set[str] = set()
    for message in messages(channel).values():
        found |= optional(strict([message["payload"]]))
    assert found <= (OF_THE_WALLET if channel == WALLET_EVENTS else OPTIONAL)


def test_the_channels_are_the_topics() -> None:
    kinds = {one["address"]: one["x-topic"]["kind"] for one in document()["channels"].values()}
    assert kinds == {topic.name: topic.kind for topic in TOPICS}
    assert list(document()["channels"]) == list(kinds)


@pytest.mark.parametrize("channel", TYPES)
def test_every_type_has_a_message_and_every_message_a_type(channel: str) -> None:
    assert set(messages(channel)) == TYPES[channel]


@pytest.mark.parametrize("channel", sorted(TYPES.keys() - {ORDER_TIMEOUTS}))
def test_a_message_has_the_schema_of_its_type(channel: str) -> None:
    for type, message in messages(channel).items():
        assert message["payload"]["$ref"] == f"#/components/schemas/{type}"
        assert SCHEMAS[type]["properties"]["type"] == {"const": type}


def test_the_values_are_those_of_the_code() -> None:
    data, refund = SCHEMAS["order_data"]["properties"], SCHEMAS["refund_data"]["properties"]
    created = SCHEMAS["order.created"]["properties"]["data"]["properties"]
    opened = SCHEMAS["payment.opened"]["properties"]["data"]["properties"]
    assert SCHEMAS["status"]["enum"] == list(OrderStatus)
    assert data["old_status"]["enum"] == [0, *OrderStatus]
    assert SCHEMAS["payment_type"]["enum"] == [kind for kind in PaymentType if kind]
    assert created["payment_type"]["enum"] == list(PaymentType)
    assert set(data["operator"]["enum"]) == {Actor(role).operator for role in Role}
    # No event says that a result is unknown.
    assert set(refund["state"]["enum"]) == set(RefundState) - {RefundState.UNKNOWN}
    assert refund["type"]["enum"] == list(RefundType)
    assert (SCHEMAS["nums"]["maximum"], SCHEMAS["id"]["maximum"]) == (MAX_NUMS, MAX_ID)
    assert (created["lines"]["maxItems"], opened["trade_type"]["maxLength"]) == (MAX_LINES, MAX_TRADE_TYPE)


@pytest.mark.parametrize("reason", ["A", "a_1", "R" * MAX_REASON])
def test_our_inbox_takes_what_a_wallet_may_send(reason: str) -> None:
    for channel, type, event in EXAMPLES:
        if channel == WALLET_EVENTS:
            more = {"data": event["data"] | ({"reason": reason} if type == REJECTED else {})}
            validator(channel, type).validate(event | more)
            assert answer_of(json.dumps(event | more).encode())[0] == event["id"]


@pytest.mark.parametrize("reason", ["_", "no money", "R" * (MAX_REASON + 1), "余额不足", 1])
def test_our_inbox_and_the_document_refuse_the_same_reasons(reason: object) -> None:
    (event,) = [event for _, type, event in EXAMPLES if type == REJECTED]
    wrong = event | {"data": event["data"] | {"reason": reason}}
    with pytest.raises(ValidationError):
        validator(WALLET_EVENTS, REJECTED).validate(wrong)
    with pytest.raises(InvalidArgument):
        answer_of(json.dumps(wrong).encode())


# ---- examples, and whether the schemas can fail ----


def test_the_examples_are_right() -> None:
    assert {channel for channel, _, _ in EXAMPLES} == set(TYPES)
    for channel, type, example in EXAMPLES:
        validator(channel, type).validate(example)


@pytest.mark.parametrize(("channel", "type", "event"), CLOUD_EVENTS)
def test_consumers_ignore_new_fields_and_our_tests_do_not(channel: str, type: str, event: Any) -> None:
    for place in ("data", ""):
        more = deepcopy(event)
        (more[place] if place else more)["news"] = 1
        as_published(type).validate(more)
        with pytest.raises(ValidationError, match="news"):
            check(channel, [json.dumps(more).encode()])


def test_a_type_that_the_channel_does_not_have_is_noticed() -> None:
    with pytest.raises(AssertionError, match=r"no order\.teleported in order-events"):
        check(ORDER_EVENTS, [b'{"type": "order.teleported"}'])
