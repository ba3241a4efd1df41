"""Messages compared with `asyncapi.yaml`, strictly: a field that it does not name is a fault."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import yaml
from jsonschema_rs import Draft202012Validator

Schema = Mapping[str, Any]
OF_OBJECTS = {"type", "description", "required", "properties"}


@cache
def document() -> Mapping[str, Any]:
    """The document that the package ships."""
    text = (files("shop_order.api") / "messages" / "asyncapi.yaml").read_text("utf-8")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found: Mapping[str, Any] = yaml.load(text, loader)
    return found


def at(ref: str) -> Any:
    """What a reference inside the document leads to. Raises KeyError."""
    node: Any = document()
    for name in ref.removeprefix("#/").split("/"):
        node = node[name]
    return node


def messages(channel: str) -> Mapping[str, Any]:
    """The messages of a channel by their types."""
    return {name: at(one["$ref"]) for name, one in document()["channels"][channel]["messages"].items()}


def strict(schemas: Iterable[Schema]) -> dict[str, Any]:
    """One schema for all of these together that also refuses the fields that none of them names."""
    parts = [part for schema in schemas for part in _parts(schema)]
    if any(part.get("type") == "object" or "properties" in part for part in parts):
        lost = {keyword for part in parts for keyword in part} - OF_OBJECTS
        assert not lost, f"{lost} would not be checked"
        fields: dict[str, list[Schema]] = {}
        for part in parts:
            for name, field in part.get("properties", {}).items():
                fields.setdefault(name, []).append(field)
        return {
            "type": "object",
            "required": sorted({name for part in parts for name in part.get("required", ())}),
            "properties": {name: strict(found) for name, found in fields.items()},
            "additionalProperties": False,
        }
    if items := [part.pop("items") for part in parts if "items" in part]:
        return {"allOf": parts, "items": strict(items)}
    return {"allOf": parts}


def _parts(schema: Schema) -> Iterator[dict[str, Any]]:
    """The schemas that a value must satisfy, without references and `allOf`."""
    if "$ref" in schema:
        yield from _parts(at(schema["$ref"]))
        return
    for part in schema.get("allOf", ()):
        yield from _parts(part)
    yield {name: value for name, value in schema.items() if name != "allOf"}


@cache
def validator(channel: str, type: str) -> Draft202012Validator:
    """Of the bodies of one type."""
    known = messages(channel)
    assert type in known, f"asyncapi.yaml has no {type} in {channel}"
    return Draft202012Validator(strict([known[type]["payload"]]))


def check(channel: str, bodies: Iterable[bytes]) -> None:
    """Raise ValidationError or AssertionError unless the channel's consumers were told to expect these."""
    for body in bodies:
        event = json.loads(body)
        validator(channel, event["type"]).validate(event)
