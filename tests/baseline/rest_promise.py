"""What the REST document promises to callers, as flat facts that can be compared.

`make openapi` runs this module: it writes docs/api and docs/errors.md again, adds what is new to the
promise, and refuses what breaks it.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

from shop_order.cmd.cli.token import Format, text
from shop_order.web.document import errors_page
from shop_order.web.messages import Language

ROOT = Path(__file__).resolve().parents[2]
COMMITTED = ROOT / "docs" / "api"
ERROR_PAGES = {
    Language.EN: ROOT / "docs" / "errors.md",
    Language.ZH: ROOT / "docs" / "errors.zh-CN.md",
}
PROMISED = Path(__file__).with_name("openapi.json")

Facts: TypeAlias = dict[str, str]
Document: TypeAlias = dict[str, Any]


def committed(format: Format) -> Path:
    """Where the document of this format is kept."""
    return COMMITTED / f"openapi.{format.value}"


def broken(before: Document, after: Document) -> list[str]:
    """The promises of `before` that `after` does not keep: gone, of another kind, or newly required."""
    was, now = facts(before), facts(after)
    changed = [
        f"{what}: was {fact}, is {now.get(what, 'gone')}"
        for what, fact in was.items()
        if now.get(what) != fact
    ]
    known = {what.partition(": ")[2] for what in was if what.startswith("operation: ")}
    new = [
        f"{what}: is newly required"
        for what in sorted(required(after) - required(before))
        if what.partition(" <- ")[0] in known
    ]
    return changed + new


def facts(document: Document) -> Facts:
    """Everything a caller may rely on, but for what requests must have."""
    found: Facts = {}
    for name, operation in operations(document):
        found[f"operation: {name}"] = operation["operationId"]
        found[f"security: {name}"] = json.dumps(operation["security"])
        for parameter in operation.get("parameters", ()):
            place = f"{name} <- {parameter['in']} {parameter['name']}"
            found |= dict(_accepted(place, parameter["schema"], document))
        for kind, content in operation.get("requestBody", {}).get("content", {}).items():
            found |= dict(_accepted(f"{name} <- {kind} ", content["schema"], document))
        for status, response in operation["responses"].items():
            if status[0] not in "23":
                continue
            found[f"answer: {name} -> {status}"] = "promised"
            for kind, content in response.get("content", {}).items():
                found |= dict(_given(f"{name} -> {status} {kind} ", content["schema"], document))
    return found


def required(document: Document) -> set[str]:
    """What requests must have."""
    found: set[str] = set()
    for name, operation in operations(document):
        for parameter in operation.get("parameters", ()):
            if parameter.get("required"):
                found.add(f"{name} <- {parameter['in']} {parameter['name']}")
        body = operation.get("requestBody", {})
        if body.get("required"):
            found.add(f"{name} <- body")
        for kind, content in body.get("content", {}).items():
            found |= set(_required(f"{name} <- {kind} ", content["schema"], document))
    return found


def operations(document: Document) -> Iterator[tuple[str, Document]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def reasons_of(response: Document, document: Document) -> set[str]:
    """The reasons that a response of an operation may have; none where it is no refusal of ours."""
    if "$ref" in response:
        response = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
    return set(response.get("content", {}).get("application/json", {}).get("examples", ()))


def _given(place: str, schema: Document, document: Document) -> Iterator[tuple[str, str]]:
    yield place, _kind(schema, document)
    for name, field in _fields(schema, document):
        yield from _given(f"{place}.{name}", field, document)


def _accepted(place: str, schema: Document, document: Document) -> Iterator[tuple[str, str]]:
    for kind in _kind(schema, document).split(" or "):
        yield f"{place}: {kind}", "accepted"
    for option in _options(schema, document):
        for value in option.get("enum", ()):
            yield f"{place}: value {value}", "accepted"
    for name, field in _fields(schema, document):
        yield from _accepted(f"{place}.{name}", field, document)


def _required(place: str, schema: Document, document: Document) -> Iterator[str]:
    for option in _options(schema, document):
        yield from (f"{place}.{name}" for name in option.get("required", ()))
    for name, field in _fields(schema, document):
        yield from _required(f"{place}.{name}", field, document)


def _fields(schema: Document, document: Document) -> Iterator[tuple[str, Document]]:
    for option in _options(schema, document):
        yield from option.get("properties", {}).items()
        if "items" in option:
            yield "[]", option["items"]


def _options(schema: Document, document: Document) -> Iterator[Document]:
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    for option in schema.get("anyOf", [schema]):
        if option is schema:
            yield option
        else:
            yield from _options(option, document)


def _kind(schema: Document, document: Document) -> str:
    return " or ".join(sorted({str(option.get("type", "any")) for option in _options(schema, document)}))


def main() -> int:
    after = json.loads(text(Format.JSON))
    breaks = broken(json.loads(PROMISED.read_text("utf-8")), after) if PROMISED.exists() else []
    if breaks:
        sys.stderr.write("these changes break callers, so nothing was written:\n")
        sys.stderr.writelines(f"  {line}\n" for line in breaks)
        return 1
    COMMITTED.mkdir(parents=True, exist_ok=True)
    for format in Format:
        committed(format).write_text(text(format), "utf-8")
    PROMISED.write_text(text(Format.JSON), "utf-8")
    for language, page in ERROR_PAGES.items():
        page.write_text(errors_page(language), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
