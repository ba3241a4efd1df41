"""The document as JSON, YAML and Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import yaml


def as_json(document: dict[str, Any]) -> str:
    """JSON, indented for readable diffs."""
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def as_yaml(document: dict[str, Any]) -> str:
    """YAML without anchors, which some tools don't support."""
    return yaml.dump(document, Dumper=_Plain, allow_unicode=True, sort_keys=False, width=110)


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        """Repeat values instead of using anchors."""
        return True


def as_markdown(document: dict[str, Any]) -> str:
    """Markdown: a section per tag, a heading per operation, a table per schema."""
    return "\n".join(_document(document)).rstrip() + "\n"


def _document(document: dict[str, Any]) -> Iterator[str]:
    info = document["info"]
    yield f"# {info['title']}\n\n{info['version']} · OpenAPI {document['openapi']}\n"
    yield info["description"]
    operations = [
        (method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    for tag in document["tags"]:
        mine = [entry for entry in operations if tag["name"] in entry[2]["tags"]]
        if mine:
            yield f"## {tag['description']}\n"
        for method, path, operation in mine:
            yield from _operation(method, path, operation, document)
    yield "## 数据结构 / Schemas\n"
    for name, schema in document["components"]["schemas"].items():
        yield from _schema(name, schema)
    yield "## 错误 / Errors\n\n| | |\n|---|---|"
    for response in document["components"]["responses"].values():
        reason = next(iter(response["content"]["application/json"]["examples"]))
        status = document["components"]["examples"][reason]["value"]["code"]
        yield f"| {status} | {response['description']} |"


def _operation(method: str, path: str, operation: dict[str, Any], document: dict[str, Any]) -> Iterator[str]:
    yield f"### {operation['summary']}\n\n`{method} {path}`" + (" 🔒" if operation["security"] else "") + "\n"
    if text := operation.get("description"):
        yield f"{text}\n"
    if parameters := operation.get("parameters"):
        yield "| 参数 / Parameter | 位置 / In | 类型 / Type | 必填 / Required | |\n|---|---|---|---|---|"
        for each in parameters:
            required = "✓" if each.get("required") else ""
            text = each.get("description", "")
            kind = _type(each["schema"])
            yield f"| `{each['name']}` | {each['in']} | {kind} | {required} | {_cell(text)} |"
        yield ""
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"请求体 / Body (`{kind}`): {_type(content['schema'])}\n"
        if example := _example(content["schema"], document):
            yield f"```json\n{json.dumps(example, ensure_ascii=False, indent=2)}\n```\n"
    yield "| 状态 / Status | 应答 / Answer |\n|---|---|"
    for status, response in operation["responses"].items():
        yield f"| {status} | {_answer(response, document)} |"
    yield ""


def _answer(response: dict[str, Any], document: dict[str, Any]) -> str:
    if "$ref" in response:
        response = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
    types = [_type(content["schema"]) for content in response.get("content", {}).values()]
    return _cell(f"{response['description']} {' · '.join(types)}")


def _schema(name: str, schema: dict[str, Any]) -> Iterator[str]:
    yield f"### {name}\n"
    if text := schema.get("description"):
        yield f"{text}\n"
    yield "| 字段 / Field | 类型 / Type | 必有 / Required | |\n|---|---|---|---|"
    for field, kind in schema.get("properties", {}).items():
        required = "✓" if field in schema.get("required", ()) else ""
        yield f"| `{field}` | {_type(kind)} | {required} | {_cell(kind.get('description', ''))} |"
    yield ""


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    return str(schema.get("format") or schema.get("type") or "any")


def _example(schema: dict[str, Any], document: dict[str, Any]) -> Any:
    """The example of a body, or one built from the examples of its required fields."""
    if "anyOf" in schema:
        return _example(schema["anyOf"][0], document)
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if examples := schema.get("examples"):
        return examples[0]
    required = schema.get("required", ())
    fields = schema.get("properties", {})
    return {name: fields[name]["examples"][0] for name in required if fields[name].get("examples")}


def _cell(text: str) -> str:
    return text.replace("\n", " ").replace("|", "\\|").strip()
