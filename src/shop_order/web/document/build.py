"""OpenAPI 3.1 of the registered routes: FastAPI's document with our errors, security and descriptions."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter

from shop_order import version
from shop_order.domain.errors import KeyReused
from shop_order.web.auth.roles import Who, needs_token, role_of
from shop_order.web.document.errors import both_languages, examples, responses_of, shared_responses
from shop_order.web.dto.responses import Envelope, Failure
from shop_order.web.handler.route import Operation, operation_of
from shop_order.web.messages import http_status

_TAGS = ("cart", "orders", "payments", "refunds", "cashier", "notices", "admin", "operation")
_COMMON_STATUSES = (400, 401, 403, 429, 431, 500, 503, 504)
_UNGUARDED_TAGS = ("notices", "operation")


def route_options(operation: Operation) -> dict[str, Any]:
    """Options of FastAPI's `add_api_route` for an operation."""
    return {
        "summary": operation.summary,
        "description": operation.description,
        "tags": [operation.tag],
        "include_in_schema": bool(operation.tag),
        "response_model": None,
    }


def build_document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of the registered routes."""
    document = get_openapi(
        title=f"Shop {both_languages('title')}",
        version=version(),
        openapi_version="3.1.0",
        description=both_languages("intro", joined_by="\n\n") + "\n",
        routes=app.routes,
        tags=[{"name": name, "description": both_languages("tags", name)} for name in _TAGS],
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError", "PaymentType"):
        schemas.pop(name, None)
    schemas |= _schema(Failure)
    operations = {found.id: found for route in app.routes if (found := operation_of(route))}
    for path, methods in document["paths"].items():
        for method, described in methods.items():
            operation = operations[described["operationId"]]
            _complete(operation, role_of(f"{method.upper()} {path}"), described, schemas)
    document["components"] = {
        "schemas": dict(sorted(schemas.items())),
        "responses": shared_responses(),
        "examples": examples(),
        "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
    }
    _tidy(document)
    return _with_integers(document)


def _complete(
    operation: Operation, row: Who | None, described: dict[str, Any], schemas: dict[str, Any]
) -> None:
    secured = needs_token(row)
    described["security"] = [{"bearer": []}] if secured else []
    described["responses"] = _responses(operation, secured, schemas)
    extra = {name: value for name, value in operation.extra.items() if name != "responses"}
    described |= extra


def _responses(operation: Operation, secured: bool, schemas: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if operation.data is not None:
        found["200"] = _success(operation, schemas)
    statuses = _statuses(operation, secured=secured)
    found |= responses_of(statuses, operation.errors)
    for status, own in operation.extra.get("responses", {}).items():
        content = {**found.get(status, {}).get("content", {}), **own.get("content", {})}
        found[status] = {**found.get(status, {}), **own} | ({"content": content} if content else {})
    return dict(sorted(found.items()))


def _statuses(operation: Operation, *, secured: bool) -> Iterable[int]:
    own = {http_status(error) for error in operation.errors}
    if operation.tag in _UNGUARDED_TAGS:
        return sorted(own)
    usual = [status for status in _COMMON_STATUSES if secured or status not in (401, 403)]
    is_json = operation.tag != "cashier"  # JSON routes refuse unexpected bodies
    bodies = (413, 415) if is_json else (413,) if "requestBody" in operation.extra else ()
    return sorted({*usual, *own, *bodies})


def _success(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    model: Any = Envelope.__class_getitem__(operation.data)
    made = _schema(model)
    name = f"{operation.data.__name__.removesuffix('Data')}Answer"
    schemas |= {key: value for key, value in made.items() if key != model.__name__}
    schemas[name] = made[model.__name__] | {"title": name}
    response: dict[str, Any] = {
        "description": "成功 / Success",
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}},
        "headers": {"X-Request-ID": _header("请求编号 / Request id", {"type": "string"})},
    }
    if KeyReused in operation.errors:
        response["headers"]["Idempotency-Replayed"] = _header(
            "重放之前的结果 / A replay of an earlier result", {"type": "string", "enum": ["true"]}
        )
    return response


def _header(text: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": text, "schema": schema}


def _schema(model: Any) -> dict[str, Any]:
    made: dict[str, Any] = TypeAdapter(model).json_schema(
        mode="serialization", ref_template="#/components/schemas/{model}"
    )
    inner: dict[str, Any] = made.pop("$defs", {})
    return inner | {model.__name__: made}


def _tidy(document: dict[str, Any]) -> None:
    """Adapt the output of FastAPI and pydantic for client generators.

    Fields have no titles, and parameters are not nullable.
    """
    for methods in document["paths"].values():
        for operation in methods.values():
            for parameter in operation.get("parameters", ()):
                parameter["schema"] = _without_null(parameter["schema"])
                parameter["schema"].pop("description", None)
                parameter["schema"].pop("title", None)
                if parameter["in"] == "path" and (examples := parameter["schema"].get("examples")):
                    # Swagger UI fills in only a parameter's own example.
                    parameter["example"] = examples[0]
    for schema in document["components"]["schemas"].values():
        for field in schema.get("properties", {}).values():
            field.pop("title", None)


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    return dict(kinds[0]) if len(kinds) == 1 else schema


def _with_integers(document: dict[str, Any]) -> dict[str, Any]:
    """The document with whole numbers as integers; FastAPI's models make every bound a float."""

    def number(text: str) -> int | float:
        value = float(text)
        return int(value) if value.is_integer() else value

    found: dict[str, Any] = json.loads(json.dumps(document), parse_float=number)
    return found
