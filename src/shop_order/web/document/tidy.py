"""Small repairs of what FastAPI and pydantic write, so that clients can be generated from it."""

from __future__ import annotations

from typing import Any

_BOUNDS = ("minimum", "maximum")


def tidy(document: dict[str, Any]) -> None:
    """Whole bounds as whole numbers, no titles of fields, and no null where a query can't say it."""
    for methods in document["paths"].values():
        for operation in methods.values():
            for parameter in operation.get("parameters", ()):
                parameter["schema"] = _without_null(parameter["schema"])
                parameter["schema"].pop("description", None)
                parameter["schema"].pop("title", None)
                if parameter["in"] == "path" and (examples := parameter["schema"].get("examples")):
                    # Swagger UI fills in a parameter's own example only.
                    parameter["example"] = examples[0]
    for schema in document["components"]["schemas"].values():
        for field in schema.get("properties", {}).values():
            field.pop("title", None)
    _whole(document)


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    return dict(kinds[0]) if len(kinds) == 1 else schema


def _whole(node: Any) -> None:
    if isinstance(node, dict):
        for name in _BOUNDS:
            if isinstance(node.get(name), float) and node[name].is_integer():
                node[name] = int(node[name])
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        _whole(child)
