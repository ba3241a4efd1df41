"""OpenAPI 3.1 of the registered routes: FastAPI's document with our errors, security and descriptions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter

from shop_order import version
from shop_order.domain.errors import KeyReused
from shop_order.web.auth.roles import Who, needs_token, role_of
from shop_order.web.document.errors import examples, responses_of, shared_responses
from shop_order.web.dto.answers import Envelope, Failure
from shop_order.web.handler.route import Operation, operation_of
from shop_order.web.status import http_status

_TITLE = "Shop 订单服务 / Order service"
_INTRO = """\
购物车、订单与支付。除收银台、支付通知、健康检查与文档外，所有接口都需要令牌，放在请求头 \
`Authorization: Bearer …` 中；`shop-order token --user 7` 会打印一个开发用的令牌。要在浏览器中试用，请打开 \
[/api/v1/docs](/api/v1/docs)，点击页首的 **Authorize**，粘贴令牌。

- 成功：`{"code": 200, "message": "…", "data": …}`；失败：`{"code": 409, "message": "…", "error": \
"OUT_OF_STOCK", "details": {…}, "request_id": "…"}`，HTTP 状态码相同。
- `message` 跟随 `Accept-Language`（默认 zh-CN，可选 en）；程序请判断 `error`。
- 金额同时给出元（字符串）与分（整数）；编号为字符串；时间为带时区的 RFC 3339。
- 创建与支付建议带 `Idempotency-Key`；重放的应答带 `Idempotency-Replayed: true`。
- 未知的查询参数与字段返回 400 并指明名称；请求体须为 `application/json`（UTF-8）；支持 \
GET 的地址也支持 HEAD。

Cart, orders and payments. Every route needs a token in the header `Authorization: Bearer …`, except the \
cashier, payment notices, health and documentation; `shop-order token --user 7` prints one for development. \
To try the API in a browser, open [/api/v1/docs](/api/v1/docs), click **Authorize** at the top and paste the \
token. The language of `message` follows `Accept-Language` (zh-CN or en); programs should use `error`. \
Amounts are in yuan (string) and fen (integer), ids are strings, times are RFC 3339 with an offset. Send an \
`Idempotency-Key` when you create or pay an order. Unknown parameters and fields are refused with 400, by \
name; bodies must be `application/json` in UTF-8; HEAD works wherever GET does.
"""
_TAGS = {
    "cart": "购物车 / Cart",
    "orders": "订单 / Orders",
    "payments": "支付 / Payments",
    "cashier": "收银台：凭链接签名访问 / Cashier: access by signed link",
    "notices": "支付机构的通知 / Payment notices",
    "admin": "运营 / Administration",
    "operation": "运维 / Operations",
}
_COMMON_STATUSES = (400, 401, 403, 429, 431, 500, 503, 504)
_UNGUARDED_TAGS = ("notices", "operation")
_BOUNDS = ("minimum", "maximum")


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
        title=_TITLE,
        version=version(),
        openapi_version="3.1.0",
        description=_INTRO,
        routes=app.routes,
        tags=[{"name": name, "description": text} for name, text in _TAGS.items()],
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
    return document


def _complete(
    operation: Operation, row: Who | None, described: dict[str, Any], schemas: dict[str, Any]
) -> None:
    secured = needs_token(row)
    described["security"] = [{"bearer": []}] if secured else []
    described["responses"] = _responses(operation, described, secured, schemas)
    extra = {name: value for name, value in operation.extra.items() if name != "responses"}
    described |= extra


def _responses(
    operation: Operation, described: dict[str, Any], secured: bool, schemas: dict[str, Any]
) -> dict[str, Any]:
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
    answer: dict[str, Any] = {
        "description": "成功 / Success",
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}},
        "headers": {"X-Request-ID": _header("请求编号 / Request id", {"type": "string"})},
    }
    if KeyReused in operation.errors:
        answer["headers"]["Idempotency-Replayed"] = _header(
            "重放之前的结果 / A replay of an earlier result", {"type": "string", "enum": ["true"]}
        )
    return answer


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

    Bounds become integers, fields have no titles, and parameters are not nullable.
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
    _make_bounds_integers(document)


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    return dict(kinds[0]) if len(kinds) == 1 else schema


def _make_bounds_integers(node: Any) -> None:
    if isinstance(node, dict):
        for name in _BOUNDS:
            if isinstance(node.get(name), float) and node[name].is_integer():
                node[name] = int(node[name])
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        _make_bounds_integers(child)
