"""Swagger UI and ReDoc from the files in fastapi-offline's wheel: no request leaves the machine."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from mimetypes import guess_type
from pathlib import Path
from threading import Lock
from typing import Any

import fastapi_offline
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from shop_order.web.document.markdown import as_markdown
from shop_order.web.document.texts import as_json, as_yaml
from shop_order.web.handler.kept import Kept
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


_PAGE_HEADERS = {"Content-Security-Policy": _POLICY}
_HTML = "text/html; charset=utf-8"
_DOCUMENT_S = 300
_ASSET_S = 86_400


class DocumentHandler:
    """Routes of the documents. They are the same for everybody: made once, at the first call, in a thread."""

    def __init__(self, document: Callable[[], dict[str, Any]]) -> None:
        document = _once(document)
        self._json = _kept(lambda: as_json(document()), "application/json; charset=utf-8")
        self._yaml = _kept(lambda: as_yaml(document()), "application/yaml; charset=utf-8")
        self._markdown = _kept(lambda: as_markdown(document()), "text/markdown; charset=utf-8")
        self._swagger = Kept(_swagger, _HTML, max_age_s=_DOCUMENT_S, headers=_PAGE_HEADERS)
        self._redoc = Kept(_redoc, _HTML, max_age_s=_DOCUMENT_S, headers=_PAGE_HEADERS)
        self._assets = {
            file.name: Kept(file.read_bytes, _kind(file), max_age_s=_ASSET_S)
            for file in (Path(fastapi_offline.__file__).parent / "static").iterdir()
            if file.is_file()
        }

    @operation("GET", "/api/v1/docs", id="docs", tag="", summary="Swagger UI")
    async def swagger(self, request: Request) -> Response:
        """The page for trying things out."""
        return await self._swagger.answer(request)

    @operation("GET", "/api/v1/redoc", id="redoc", tag="", summary="ReDoc")
    async def redoc(self, request: Request) -> Response:
        """The page for reading."""
        return await self._redoc.answer(request)

    @operation("GET", f"{ASSETS}/{{name}}", id="docsAsset", tag="", summary="Scripts and styles")
    async def asset(self, request: Request, name: str) -> Response:
        """A script or style of both pages."""
        if name not in self._assets:
            raise HTTPException(404)
        return await self._assets[name].answer(request)

    @operation("GET", "/api/v1/openapi.json", id="openapiJson", tag="", summary="OpenAPI")
    async def json(self, request: Request) -> Response:
        """The document for programs."""
        return await self._json.answer(request)

    @operation("GET", "/api/v1/openapi.yaml", id="openapiYaml", tag="", summary="OpenAPI")
    async def yaml(self, request: Request) -> Response:
        """The document as YAML."""
        return await self._yaml.answer(request)

    @operation("GET", "/api/v1/openapi.md", id="openapiMarkdown", tag="", summary="OpenAPI")
    async def markdown(self, request: Request) -> Response:
        """The document for reading."""
        return await self._markdown.answer(request)


def _once(document: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    """The same, asked by several threads and built by one."""
    building = Lock()
    built = cache(document)

    def locked() -> dict[str, Any]:
        with building:
            return built()

    return locked


def _kept(text: Callable[[], str], kind: str) -> Kept:
    return Kept(lambda: text().encode(), kind, max_age_s=_DOCUMENT_S)


def _kind(file: Path) -> str:
    return guess_type(file.name)[0] or "application/octet-stream"


def _swagger() -> bytes:
    page = get_swagger_ui_html(
        openapi_url="openapi.json",
        title=_TITLE,
        swagger_js_url=f"{ASSETS}/swagger-ui-bundle.js",
        swagger_css_url=f"{ASSETS}/swagger-ui.css",
        swagger_favicon_url=f"{ASSETS}/favicon.png",
        swagger_ui_parameters=_SWAGGER,
    )
    return bytes(page.body)


def _redoc() -> bytes:
    page = get_redoc_html(
        openapi_url="openapi.json",
        title=_TITLE,
        redoc_js_url=f"{ASSETS}/redoc.standalone.js",
        redoc_favicon_url=f"{ASSETS}/favicon.png",
        with_google_fonts=False,
    )
    return bytes(page.body)
