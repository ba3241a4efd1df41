"""The REST document: committed as generated, whole, and never breaking callers."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from shop_order.cmd.cli.token import Format, text
from shop_order.domain.errors import OrderServiceError
from shop_order.web.document import errors_page
from shop_order.web.messages import Language
from tests.baseline.rest_promise import (
    ERROR_PAGES,
    PROMISED,
    Document,
    broken,
    committed,
    operations,
    reasons_of,
)
from tests.project.test_chinese import faults

WRITTEN = json.loads(text(Format.JSON))


@pytest.mark.parametrize("format", list(Format))
def test_the_committed_document_is_the_generated_one(format: Format) -> None:
    assert committed(format).read_text("utf-8") == text(format), "run `make openapi`"


@pytest.mark.parametrize("language", list(Language))
def test_the_committed_page_of_errors_is_the_generated_one(language: Language) -> None:
    page = errors_page(language)
    assert ERROR_PAGES[language].read_text("utf-8") == page, "run `make openapi`"
    leaves = {leaf.code for leaf in OrderServiceError.__subclasses__()}
    for code in leaves | {"INTERNAL", "NOT_FOUND", "METHOD_NOT_ALLOWED"}:
        assert f"| `{code}` |" in page
    assert not faults(page)


def test_every_reason_is_of_a_route_or_of_grpc_alone() -> None:
    listed = {
        reason
        for _, operation in operations(WRITTEN)
        for response in operation["responses"].values()
        for reason in reasons_of(response, WRITTEN)
    }
    leaves = {leaf.code for leaf in OrderServiceError.__subclasses__()}
    assert listed - {"INTERNAL"} == leaves - {"UNIMPLEMENTED", "AMOUNT_INEXACT", "AMOUNT_MISMATCH"}


def test_the_document_keeps_what_was_promised() -> None:
    assert broken(json.loads(PROMISED.read_text("utf-8")), WRITTEN) == []


def test_yaml_says_the_same_as_json() -> None:
    assert yaml.safe_load(text(Format.YAML)) == WRITTEN


def test_markdown_has_every_operation_and_schema() -> None:
    page = text(Format.MD)
    for name, _ in operations(WRITTEN):
        assert f"`{name}`" in page
    for schema in WRITTEN["components"]["schemas"]:
        assert f"### {schema}" in page


def test_every_operation_is_named_explained_and_says_how_it_fails() -> None:
    assert WRITTEN["openapi"].startswith("3.1.")
    ids = [operation["operationId"] for _, operation in operations(WRITTEN)]
    assert len(set(ids)) == len(ids)
    for name, operation in operations(WRITTEN):
        assert " / " in operation["summary"], name
        assert operation["tags"], name
        if operation["security"] and "/metrics" not in name:
            assert {"400", "401", "403", "429", "500", "503", "504"} <= operation["responses"].keys(), name
        if operation.get("requestBody") and "/api/" in name:
            assert "413" in operation["responses"], name


def test_every_reference_leads_somewhere() -> None:
    for reference in references(WRITTEN):
        found: Any = WRITTEN
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
        assert found


def test_every_link_leads_to_an_operation_and_fills_one_of_its_parameters() -> None:
    known = {operation["operationId"]: operation for _, operation in operations(WRITTEN)}
    links = [
        link
        for _, operation in operations(WRITTEN)
        for response in operation["responses"].values()
        for link in response.get("links", {}).values()
    ]
    assert links
    for link in links:
        names = {parameter["name"] for parameter in known[link["operationId"]]["parameters"]}
        assert link["parameters"].keys() <= names


def test_every_body_has_an_example_that_is_complete() -> None:
    for name, operation in operations(WRITTEN):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            schema = content["schema"]
            reference = (schema.get("anyOf") or [schema])[0].get("$ref")
            if reference is None:
                continue
            body = WRITTEN["components"]["schemas"][reference.rpartition("/")[2]]
            fields = body["properties"]
            whole = body.get("examples") or all(
                fields[field].get("examples") or fields[field].get("type") == "boolean"
                for field in body.get("required", ())
            )
            assert whole, name


def test_an_amount_is_never_a_float() -> None:
    assert '"number"' not in json.dumps(WRITTEN)
    for schema in WRITTEN["components"]["schemas"].values():
        for field, kind in schema.get("properties", {}).items():
            if re.search(r"_fen$", field):
                assert "integer" in json.dumps(kind)


# ---- the checker itself, on planted changes ----


def schema(document: Document, name: str) -> Any:
    return document["components"]["schemas"][name]


def drop_path(document: Document) -> None:
    del document["paths"]["/api/v1/cart"]


def drop_operation(document: Document) -> None:
    del document["paths"]["/api/v1/orders"]["get"]


def rename_operation(document: Document) -> None:
    document["paths"]["/api/v1/orders"]["get"]["operationId"] = "orders"


def drop_answered_field(document: Document) -> None:
    del schema(document, "OrderData")["properties"]["pay_fen"]


def change_answered_type(document: Document) -> None:
    schema(document, "OrderItemData")["properties"]["goods_id"]["type"] = "integer"


def let_answered_field_be_null(document: Document) -> None:
    schema(document, "OrderData")["properties"]["note"] = {"anyOf": [{"type": "string"}, {"type": "null"}]}


def require_a_field(document: Document) -> None:
    schema(document, "PlaceOrderBody").setdefault("required", []).append("note")


def require_a_nested_field(document: Document) -> None:
    schema(document, "AddressBody")["required"].append("city")


def require_a_parameter(document: Document) -> None:
    document["paths"]["/api/v1/orders"]["get"]["parameters"][0]["required"] = True


def drop_parameter(document: Document) -> None:
    document["paths"]["/api/v1/orders"]["get"]["parameters"].pop()


def accept_fewer_kinds(document: Document) -> None:
    schema(document, "OrderLine")["properties"]["goods_id"]["anyOf"].pop()


def accept_fewer_values(document: Document) -> None:
    schema(document, "PayBody")["properties"]["payment_type"]["enum"].remove("wechat")


def require_a_token(document: Document) -> None:
    document["paths"]["/healthz"]["get"]["security"] = [{"bearer": []}]


def drop_success(document: Document) -> None:
    responses = document["paths"]["/api/v1/cart"]["get"]["responses"]
    responses["201"] = responses.pop("200")


def add_route(document: Document) -> None:
    found = copy.deepcopy(document["paths"]["/api/v1/orders"]["post"])
    document["paths"]["/api/v1/new"] = {"post": found | {"operationId": "new"}}


def add_fields(document: Document) -> None:
    schema(document, "OrderData")["properties"]["colour"] = {"type": "string"}
    schema(document, "PlaceOrderBody")["properties"]["colour"] = {"type": "string"}
    schema(document, "PayBody")["properties"]["payment_type"]["enum"].append("gold")


@pytest.mark.parametrize(
    "change",
    [
        drop_path,
        drop_operation,
        rename_operation,
        drop_answered_field,
        change_answered_type,
        let_answered_field_be_null,
        require_a_field,
        require_a_nested_field,
        require_a_parameter,
        drop_parameter,
        accept_fewer_kinds,
        accept_fewer_values,
        require_a_token,
        drop_success,
    ],
)
def test_a_change_that_breaks_callers_is_found(change: Callable[[Document], None]) -> None:
    changed = copy.deepcopy(WRITTEN)
    change(changed)
    assert broken(WRITTEN, changed)


@pytest.mark.parametrize("change", [add_route, add_fields])
def test_an_addition_is_no_break(change: Callable[[Document], None]) -> None:
    changed = copy.deepcopy(WRITTEN)
    change(changed)
    assert changed != WRITTEN
    assert broken(WRITTEN, changed) == []


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for child in node.values():
            yield from references(child)
    elif isinstance(node, list):
        for child in node:
            yield from references(child)
