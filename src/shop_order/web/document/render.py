"""The document as JSON, YAML and Markdown."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import yaml

from shop_order.web.html import environment


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
    """Markdown: a section for each tag, a heading for each operation, a table for each schema."""
    components = document["components"]
    template = environment().get_template("openapi.md.jinja")
    return template.render(
        document,
        type=_type,
        cell=_cell,
        example=partial(_example_json, components),
        answer=partial(_answer, components),
    )


def _answer(components: dict[str, Any], response: dict[str, Any]) -> str:
    if "$ref" in response:
        response = components["responses"][_name(response)]
    types = [_type(content["schema"]) for content in response.get("content", {}).values()]
    return _cell(f"{response['description']} {' · '.join(types)}")


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return f"[{_name(schema)}](#{_name(schema).lower()})"
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    return str(schema.get("format") or schema.get("type") or "any")


def _example_json(components: dict[str, Any], schema: dict[str, Any]) -> str:
    """The example of a body; empty if it has no required fields."""
    example = _example(components, schema)
    return json.dumps(example, ensure_ascii=False, indent=2) if example else ""


def _example(components: dict[str, Any], schema: dict[str, Any]) -> Any:
    """The example of a body, or one built from the examples of its required fields."""
    if "anyOf" in schema:
        return _example(components, schema["anyOf"][0])
    if "$ref" in schema:
        schema = components["schemas"][_name(schema)]
    if examples := schema.get("examples"):
        return examples[0]
    required = schema.get("required", ())
    fields = schema.get("properties", {})
    return {name: fields[name]["examples"][0] for name in required if fields[name].get("examples")}


def _name(reference: dict[str, Any]) -> str:
    name: str = reference["$ref"].rpartition("/")[2]
    return name


def _cell(text: str) -> str:
    return text.replace("\n", " ").replace("|", "\\|").strip()
