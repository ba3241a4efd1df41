"""Swagger UI and ReDoc: our own frames around their scripts, so that no request leaves the machine."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Callable
from importlib.resources import files
from string import Template
from typing import Any

from starlette.responses import HTMLResponse, PlainTextResponse, Response

from shop_order.web.document.assets import ASSETS
from shop_order.web.document.markdown import as_markdown
from shop_order.web.document.texts import as_json, as_yaml
from shop_order.web.handler.answer import context
from shop_order.web.handler.route import operation

_TITLE = "Shop 订单服务 / Order service"


class DocumentPage:
    """The frame of one of them, read once: `{name}.html`, `.css`, `.js`."""

    def __init__(self, name: str) -> None:
        room = files("shop_order.web") / "pages"
        self._page = Template((room / f"{name}.html").read_text("utf-8"))
        self._style = "".join((room / each).read_text("utf-8") for each in ("palette.css", f"{name}.css"))
        self._script = (room / f"{name}.js").read_text("utf-8")
        start = b64encode(hashlib.sha256(self._script.encode()).digest()).decode()
        # Both write their own styles, and fetch the document from us; nothing may come from outside.
        self._policy = (
            f"default-src 'none'; script-src 'self' 'sha256-{start}'; style-src 'self' 'unsafe-inline'; "
            "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; worker-src blob:; "
            "base-uri 'none'; frame-ancestors 'none'"
        )

    def answer(self) -> Response:
        """The page in the caller's language."""
        page = self._page.substitute(
            lang=str(context().language),
            title=_TITLE,
            assets=ASSETS,
            style=self._style,
            script=self._script,
        )
        return HTMLResponse(page, headers={"Content-Security-Policy": self._policy})


class DocumentHandler:
    """Routes of the documents."""

    def __init__(self, document: Callable[[], dict[str, Any]]) -> None:
        self._document = document
        self._swagger, self._redoc = DocumentPage("swagger"), DocumentPage("redoc")

    @operation("GET", "/api/v1/docs", id="docs", tag="", summary="Swagger UI")
    async def swagger(self) -> Response:
        """The page for trying things out."""
        return self._swagger.answer()

    @operation("GET", "/api/v1/redoc", id="redoc", tag="", summary="ReDoc")
    async def redoc(self) -> Response:
        """The page for reading."""
        return self._redoc.answer()

    @operation("GET", "/api/v1/openapi.json", id="openapiJson", tag="", summary="OpenAPI")
    async def json(self) -> Response:
        """The document for programs."""
        return Response(as_json(self._document()), media_type="application/json; charset=utf-8")

    @operation("GET", "/api/v1/openapi.yaml", id="openapiYaml", tag="", summary="OpenAPI")
    async def yaml(self) -> Response:
        """The document as YAML."""
        return Response(as_yaml(self._document()), media_type="application/yaml; charset=utf-8")

    @operation("GET", "/api/v1/openapi.md", id="openapiMarkdown", tag="", summary="OpenAPI")
    async def markdown(self) -> Response:
        """The document for reading."""
        return PlainTextResponse(as_markdown(self._document()), media_type="text/markdown; charset=utf-8")
