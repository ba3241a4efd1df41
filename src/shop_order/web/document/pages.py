"""Swagger UI and ReDoc from the files in fastapi-offline's wheel: no request leaves the machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastapi_offline
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.staticfiles import StaticFiles

from shop_order.web.document.markdown import as_markdown
from shop_order.web.document.texts import as_json, as_yaml
from shop_order.web.handler.route import operation

ASSETS = "/api/v1/docs/assets"
_TITLE = "Shop 订单服务 / Order service"
# Swagger UI and ReDoc write their own styles and start by an inline script; nothing may come from outside.
_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; worker-src blob:; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_SWAGGER = {"persistAuthorization": True, "displayRequestDuration": True, "docExpansion": "list"}


class Assets(StaticFiles):
    """The scripts and styles of both pages."""

    def __init__(self) -> None:
        super().__init__(directory=Path(fastapi_offline.__file__).parent / "static")

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """A file that browsers may keep for a day."""
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "public, max-age=86400"
        return response


class DocumentHandler:
    """Routes of the documents."""

    def __init__(self, document: Callable[[], dict[str, Any]]) -> None:
        self._document = document

    @operation("GET", "/api/v1/docs", id="docs", tag="", summary="Swagger UI")
    async def swagger(self) -> Response:
        """The page for trying things out."""
        page = get_swagger_ui_html(
            openapi_url="openapi.json",
            title=_TITLE,
            swagger_js_url=f"{ASSETS}/swagger-ui-bundle.js",
            swagger_css_url=f"{ASSETS}/swagger-ui.css",
            swagger_favicon_url=f"{ASSETS}/favicon.png",
            swagger_ui_parameters=_SWAGGER,
        )
        return _page(bytes(page.body))

    @operation("GET", "/api/v1/redoc", id="redoc", tag="", summary="ReDoc")
    async def redoc(self) -> Response:
        """The page for reading."""
        page = get_redoc_html(
            openapi_url="openapi.json",
            title=_TITLE,
            redoc_js_url=f"{ASSETS}/redoc.standalone.js",
            redoc_favicon_url=f"{ASSETS}/favicon.png",
            with_google_fonts=False,
        )
        return _page(bytes(page.body))

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


def _page(body: bytes) -> Response:
    return HTMLResponse(body, headers={"Content-Security-Policy": _POLICY})
