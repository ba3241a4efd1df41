"""Error reasons in the documents: those of each route in OpenAPI, all of them in docs/errors.md."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from string import Formatter
from typing import Any

from shop_order.domain.errors import (
    BodyTooLarge,
    DeadlineExceeded,
    DependencyDown,
    Forbidden,
    HeadersTooLarge,
    InvalidArgument,
    OrderServiceError,
    Overloaded,
    RateLimited,
    Unauthenticated,
    UnsupportedMediaType,
)
from shop_order.web.messages import TEXTS, Language, Texts
from shop_order.web.status import INTERNAL, INTERNAL_CODE, ROUTING_CODES, grpc_code, http_status

# Status -> name of the shared response, description, reasons that any route can return.
SHARED: Mapping[int, tuple[str, str, tuple[str, ...]]] = {
    400: ("Invalid", "请求有误 / The request is invalid", (InvalidArgument.code,)),
    401: ("Unauthenticated", "缺少有效令牌或签名 / No valid token or signature", (Unauthenticated.code,)),
    403: ("Forbidden", "没有权限 / The role is not permitted", (Forbidden.code,)),
    404: ("NotFound", "不存在，或属于他人 / Does not exist, or belongs to another user", ()),
    409: ("Conflict", "当前状态不允许 / Not possible in the current state", ()),
    413: ("TooLarge", "请求过大 / The body is too large", (BodyTooLarge.code,)),
    415: (
        "UnsupportedMediaType",
        "请求体必须是 UTF-8 编码的 application/json / The body must be application/json in UTF-8",
        (UnsupportedMediaType.code,),
    ),
    422: ("KeyReused", "幂等键已用于其他请求 / The idempotency key was used with another request", ()),
    429: ("TooMany", "请求过于频繁 / Too many requests", (RateLimited.code, Overloaded.code)),
    431: ("HeadersTooLarge", "请求头过大 / The headers are too large", (HeadersTooLarge.code,)),
    500: ("Internal", "服务器内部错误 / Internal error", (INTERNAL_CODE,)),
    503: ("Unavailable", "暂不可用，可重试 / Unavailable; retry", (DependencyDown.code,)),
    504: ("Deadline", "处理超时 / The request took too long", (DeadlineExceeded.code,)),
}
_EXAMPLES: Mapping[str, str | int] = {
    "actual_fen": 2099,
    "channel": "alipay",
    "coupon_id": "7",
    "dependency": "inventory_service",
    "expected_fen": 1999,
    "freight_fen": 800,
    "goods_ids": "101",
    "largest_amount": "100000000.00",
    "limit": 20,
    "smallest_amount": "0.01",
    "state": "PAID",
    "what": "amount",
}


# ---- OpenAPI ----


def shared_responses() -> dict[str, Any]:
    """The shared responses, by name."""
    return {name: _response(status, usual) for status, (name, _, usual) in SHARED.items() if usual}


def examples() -> dict[str, Any]:
    """An example for each reason."""
    statuses = {leaf.code: http_status(leaf) for leaf in OrderServiceError.__subclasses__()}
    statuses[INTERNAL_CODE] = INTERNAL.http
    return {reason: {"value": _example(status, reason)} for reason, status in statuses.items()}


def responses_of(statuses: Iterable[int], own: Iterable[type[OrderServiceError]]) -> dict[str, Any]:
    """The error responses of a route: for each status the common reasons and the route's own."""
    own = list(own)
    found = {}
    for status in statuses:
        name, _, usual = SHARED[status]
        added = tuple(error.code for error in own if http_status(error) == status and error.code not in usual)
        if not added:
            found[str(status)] = {"$ref": f"#/components/responses/{name}"}
        elif status == 401:  # authenticated by a signature instead of a token
            found[str(status)] = _response(status, added)
        else:
            found[str(status)] = _response(status, usual + added)
    return found


def _response(status: int, reasons: tuple[str, ...]) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "description": f"{SHARED[status][1]}: {', '.join(f'`{reason}`' for reason in reasons)}",
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/Failure"},
                "examples": {reason: {"$ref": f"#/components/examples/{reason}"} for reason in reasons},
            }
        },
    }
    if status in (429, 503):
        schema = {"type": "integer", "minimum": 1}
        answer["headers"] = {"Retry-After": {"description": "秒 / Seconds", "schema": schema}}
    return answer


def _example(status: int, reason: str) -> dict[str, Any]:
    texts = TEXTS[Language.ZH]
    details: dict[str, str | int]
    if reason == InvalidArgument.code:
        details = {"field": "items[0].nums", "problem": "out_of_range", "min": 1, "max": 999}
        problem = texts.problems["out_of_range"].format_map(details)
        message = texts.field.format(field=details["field"], problem=problem)
    else:
        text = texts.join.join(texts.fact_and_advice(reason))
        details = {name: _EXAMPLES[name] for name in _names_in(text)}
        message = text.format_map(texts.shown(details))
    return {
        "code": status,
        "message": message,
        "error": reason,
        "details": details,
        "request_id": "5f0c1e5f8a9b4c0e",
    }


# ---- docs/errors.md ----

_PAGE: Mapping[Language, str] = {
    Language.EN: """\
# Errors

Generated from the code by `make openapi`. [中文](errors.zh-CN.md)

An error has a *reason* for programs and a message for people, in the language of `Accept-Language` (zh-CN or
en). REST answers `{"code": 409, "message": "…", "error": "OUT_OF_STOCK", "details": {"goods_ids": "101"}, \
"request_id": "…"}`; gRPC answers a status with `google.rpc.ErrorInfo`: `reason`, domain `order.shop`, and the
details as strings in `metadata`. Reasons and the names of details are stable; messages may change.

- Values in `{braces}` come from `details`. Numbers are numbers, lists are joined by commas.
- `details.problem` tells the cases of a reason apart; `details.field` is the full path of a field, such as
  `address.phone` or `items[2].nums`, the same in both protocols.
- If a retry makes sense, `Retry-After` (REST) or `google.rpc.RetryInfo` (gRPC) says when.
- [The REST document](api/openapi.md) lists the reasons of each route.
""",
    Language.ZH: """\
# 错误

由 `make openapi` 从代码生成。[English](errors.md)

每个错误都有供程序判断的*原因*和供人阅读的文字，文字的语言取决于 `Accept-Language`（zh-CN 或 en）。\
REST 返回 `{"code": 409, "message": "…", "error": "OUT_OF_STOCK", "details": {"goods_ids": "101"}, \
"request_id": "…"}`；gRPC 返回状态码与 `google.rpc.ErrorInfo`，其中有 `reason`、域 `order.shop`，\
以及 `metadata` 中文本形式的 details。原因与 details 的名称保持不变，文字可能调整。

- `{花括号}` 中的内容在 `details` 中；数字为数字，多个值以逗号相连。
- 同一原因有多种情形时，由 `details.problem` 指明；`details.field` 是参数的完整路径，例如 `address.phone`、\
`items[2].nums`，两种协议相同。
- 适合重试时，`Retry-After`（REST）或 `google.rpc.RetryInfo`（gRPC）给出等待时间。
- 每个接口的原因见 [REST 文档](api/openapi.md)。
""",
}
_HEADINGS: Mapping[Language, tuple[str, ...]] = {
    Language.EN: (
        "Reasons",
        "| Reason | Kind | gRPC | HTTP | Meaning | What to do |",
        "Cases",
        "| Reason | `problem` | Meaning | What to do |",
        "Problems of a field (`INVALID_ARGUMENT`)",
        "| `problem` | The field … | Details |",
    ),
    Language.ZH: (
        "原因",
        "| 原因 | 类别 | gRPC | HTTP | 含义 | 处理办法 |",
        "情形",
        "| 原因 | `problem` | 含义 | 处理办法 |",
        "参数的问题（`INVALID_ARGUMENT`）",
        "| `problem` | 该参数…… | details |",
    ),
}


def errors_page(language: Language) -> str:
    """All reasons with kind, statuses, meaning and advice, as Markdown."""
    texts, (reasons, reason_row, cases, case_row, problems, problem_row) = (
        TEXTS[language],
        _HEADINGS[language],
    )
    parts = [
        _PAGE[language],
        _table(reasons, reason_row, _reasons(texts)),
        _table(cases, case_row, _cases(texts)),
        _table(problems, problem_row, _problems(texts)),
    ]
    return "\n".join(parts)


def _reasons(texts: Texts) -> Iterator[tuple[str, ...]]:
    rows = [
        (leaf.code, str(leaf.kind), grpc_code(leaf).name, str(http_status(leaf)))
        for leaf in OrderServiceError.__subclasses__()
    ]
    rows += [(code, "–", "–", str(status)) for status, code in ROUTING_CODES.items()]
    rows.append((INTERNAL_CODE, "–", INTERNAL.grpc.name, str(INTERNAL.http)))
    for code, *statuses in rows:
        yield (f"`{code}`", *statuses, *map(_with_code, texts.fact_and_advice(code)))


def _cases(texts: Texts) -> Iterator[tuple[str, ...]]:
    for name, fact_and_advice in texts.errors.items():
        code, _, problem = name.partition(".")
        if problem:
            yield (f"`{code}`", f"`{problem}`", *map(_with_code, fact_and_advice))


def _problems(texts: Texts) -> Iterator[tuple[str, ...]]:
    for problem, text in texts.problems.items():
        yield f"`{problem}`", _with_code(text), ", ".join(f"`{name}`" for name in _names_in(text))


def _table(title: str, head: str, rows: Iterable[tuple[str, ...]]) -> str:
    line = "|" + "---|" * head.count(" |")
    return "\n".join([f"## {title}\n", head, line, *(f"| {' | '.join(row)} |" for row in rows), ""])


def _with_code(text: str) -> str:
    """The text with its placeholders as code."""
    return text.replace("{", "`{").replace("}", "}`")


def _names_in(text: str) -> list[str]:
    return [name for _, name, _, _ in Formatter().parse(text) if name]
