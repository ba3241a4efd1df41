"""No JSON route ignores a field that it does not know, wherever it stands: its full path is named."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from shop_order.domain.valueobject.parties import Role
from shop_order.gateway.payment import notice_routes
from shop_order.web.dto.fields import EXAMPLE_SN
from shop_order.web.handler.route import MAX_FIELDS
from shop_order.web.http import describe
from tests.baseline.rest_promise import Document, operations
from tests.component.rest.front import Rest, admin, refused, token

DOCUMENT = describe(notice_routes())
LENIENT = {"cashier", "notices", "operation"}  # browsers, providers and probes append parameters of their own
JSON_ROUTES = [
    (name, operation) for name, operation in operations(DOCUMENT) if not LENIENT & {*operation["tags"]}
]


def body_of(operation: Document) -> Document | None:
    """The schema of its body."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    return None if content is None else resolved(content["schema"])


def resolved(schema: Document) -> Document:
    """The object behind references, and beside null."""
    while "anyOf" in schema or "$ref" in schema:
        if "anyOf" in schema:
            schema = next(kind for kind in schema["anyOf"] if kind.get("type") != "null")
        else:
            schema = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def with_surprises(schema: Document, example: Any) -> Iterator[tuple[str, Any]]:
    """Each object of a body with a field too many: the path of that field, and the body."""
    yield "surprise", {**example, "surprise": [1, {"a": 2}]}
    for name, field in schema.get("properties", {}).items():
        inner = resolved(field)
        if name not in example or inner.get("type") not in ("object", "array"):
            continue
        if inner["type"] == "object":
            for path, value in with_surprises(inner, example[name]):
                yield f"{name}.{path}", {**example, name: value}
        else:
            last = len(example[name]) - 1
            for path, value in with_surprises(resolved(inner["items"]), example[name][last]):
                yield f"{name}[{last}].{path}", {**example, name: [*example[name][:last], value]}


def cases() -> Iterator[tuple[str, str, Any]]:
    """Every JSON route, the path of what is too much, and its body."""
    for name, operation in JSON_ROUTES:
        schema = body_of(operation)
        if schema is None:
            yield name, "surprise", {"surprise": 1}
            continue
        for example in schema["examples"] if "examples" in schema else [examples_of(schema)]:
            for path, body in with_surprises(schema, copy.deepcopy(example)):
                yield name, path, body


def examples_of(schema: Document) -> dict[str, Any]:
    """A body out of its fields' examples."""
    return {name: schema["properties"][name]["examples"][0] for name in schema.get("required", ())}


async def ask(rest: Rest, name: str, body: Any = None) -> Any:
    """Call it as who may."""
    method, _, path = name.partition(" ")
    path = path.replace("{order_sn}", EXAMPLE_SN).replace("{goods_id}", "1")
    path = path.replace("{refund_sn}", f"R{EXAMPLE_SN}")
    bearer = admin() if "/admin/" in path else token(7, Role.USER)
    return await rest.call(
        method, path.removeprefix("/api/v1"), body, as_=bearer, headers={"Accept-Language": "en"}
    )


@pytest.mark.parametrize(("name", "path", "body"), list(cases()), ids=str)
async def test_an_unknown_field_is_named(rest: Rest, name: str, path: str, body: Any) -> None:
    answer = await ask(rest, name, body)
    assert refused(answer, 400, "INVALID_ARGUMENT") == {"field": path, "problem": "unknown_field"}
    assert answer.json()["message"] == f"{path} is not a known parameter or field"


@pytest.mark.parametrize("name", [name for name, operation in JSON_ROUTES if body_of(operation) is None])
async def test_a_route_without_a_body_takes_an_empty_object_and_nothing_else(rest: Rest, name: str) -> None:
    method = name.partition(" ")[0]
    assert (await ask(rest, name, {})).status_code == (await ask(rest, name)).status_code, method
    for body in ([1], "x", 7):
        details = refused(await ask(rest, name, body), 400, "INVALID_ARGUMENT")
        assert details == {"field": "body", "problem": "must_be_empty"}


def test_the_walk_goes_into_what_is_nested() -> None:
    paths = {path for name, path, _ in cases() if name == "POST /api/v1/orders"}
    assert {"surprise", "address.surprise", "items[1].surprise"} <= paths


async def test_what_is_wrong_inside_is_named_by_its_path_in_both_protocols_alike(rest: Rest) -> None:
    address = {"name": "王", "phone": "13800138000", "detail": "路"}
    for change, field in (
        ({"items": [{"goods_id": 1, "nums": 1}, {"goods_id": 1, "nums": 0}]}, "items[1].nums"),
        ({"address": {**address, "phone": "12"}}, "address.phone"),
        ({"address": {**address, "city": "a\u202eb"}}, "address.city"),
    ):
        body = {"items": [{"goods_id": 1, "nums": 1}], "address": address} | change
        answer = await rest.call("POST", "/orders", body)
        assert refused(answer, 400, "INVALID_ARGUMENT")["field"] == field


@pytest.mark.parametrize("name", [name for name, operation in JSON_ROUTES if body_of(operation) is not None])
async def test_thousands_of_fields_are_refused_before_each_is_looked_at(rest: Rest, name: str) -> None:
    """A megabyte of unknown ones would keep everybody waiting for a second."""
    body = {"items": [{f"a{n}": 1 for n in range(MAX_FIELDS)}]}
    details = refused(await ask(rest, name, body), 400, "INVALID_ARGUMENT")
    assert details == {"field": "body", "problem": "too_many", "max": MAX_FIELDS}
