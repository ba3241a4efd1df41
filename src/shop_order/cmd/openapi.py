"""`shop-order openapi`: the REST document on standard output."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class Format(StrEnum):
    """How the document is written."""

    JSON = "json"
    YAML = "yaml"
    MD = "md"


def openapi(
    format: Annotated[Format, typer.Option(help="json, yaml or md.")] = Format.JSON,
) -> None:
    """Print the REST document (OpenAPI 3.1), the test clock's route included."""
    typer.echo(text(format), nl=False)


def text(format: Format) -> str:
    """The document in one of its formats."""
    from shop_order.gateway.payment import notice_routes
    from shop_order.web.document import as_json, as_markdown, as_yaml
    from shop_order.web.http import describe

    write = {Format.JSON: as_json, Format.YAML: as_yaml, Format.MD: as_markdown}[format]
    return write(describe(notice_routes()))
