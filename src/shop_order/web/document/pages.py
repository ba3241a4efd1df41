"""Swagger UI and ReDoc, served from this machine: their scripts in our own pages."""

from __future__ import annotations

import asyncio
import hashlib
import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from mimetypes import guess_type
from pathlib import Path
from string import Template
from threading import Lock
from typing import Any

import fastapi_offline
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from shop_order.pkg.batching import SingleFlight
from shop_order.web.context import context
from shop_order.web.document.render import as_json, as_markdown, as_yaml
from shop_order.web.handler.route import operation
from shop_order.web.messages import Language

_TITLE = "Shop 订单服务 / Order service"
_HTML = "text/html; charset=utf-8"
_DOCUMENT_S = 300
ASSETS = "/api/v1/docs/assets"
REDOC = "redoc.standalone.js"
_FOLDER = Path(fastapi_offline.__file__).parent / "static"
_DAY_S = 86_400
# ReDoc loads its logo from another server, which our policy blocks and browsers report.
_LOGO = re.compile(rb'\w+\.createElement\("img",\{alt:"redocly logo"[^{}]*\}\)')


class CachedResponse:
    """Bytes with an ETag, created in a thread on first use; 304 if the caller has them already."""

    def __init__(
        self,
        make: Callable[[], bytes],
        media_type: str,
        *,
        max_age_s: int,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._make = make
        self._media_type = media_type
        self._headers = {"Cache-Control": f"public, max-age={max_age_s}", **(headers or {})}
        self._made = SingleFlight(self._in_thread)

    async def answer(self, request: Request) -> Response:
        """200 with the bytes, or 304."""
        body, tag = await self._made()
        headers = {**self._headers, "ETag": tag}
        if matches(request.headers.getlist("if-none-match"), tag):
            return Response(status_code=304, headers=headers)
        return Response(body, headers=headers, media_type=self._media_type)

    async def _in_thread(self) -> tuple[bytes, str]:
        body = await asyncio.to_thread(self._make)
        return body, f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def matches(if_none_match: list[str], tag: str) -> bool:
    """Whether If-None-Match contains this ETag, by weak comparison (RFC 9110, 13.1.2)."""
    given = [each.strip() for value in if_none_match for each in value.split(",")]
    return "*" in given or any(each.removeprefix("W/") == tag for each in given)


class DocumentPage:
    """The page of Swagger UI or ReDoc, from `{name}.html`, `.css` and `.js`."""

    def __init__(self, name: str) -> None:
        folder = files("shop_order.web") / "pages"
        self._page = Template((folder / f"{name}.html").read_text("utf-8"))
        self._style = "".join((folder / each).read_text("utf-8") for each in ("palette.css", f"{name}.css"))
        self._script = (folder / f"{name}.js").read_text("utf-8")
        start = b64encode(hashlib.sha256(self._script.encode()).digest()).decode()
        # Both use inline styles and fetch the document from us; nothing else may be loaded.
        policy = (
            f"default-src 'none'; script-src 'self' 'sha256-{start}'; style-src 'self' 'unsafe-inline'; "
            "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; worker-src blob:; "
            "base-uri 'none'; frame-ancestors 'none'"
        )
        headers = {"Content-Security-Policy": policy, "Vary": "Accept-Language"}
        self._responses = {language: self._response(language, headers) for language in Language}

    def _response(self, language: Language, headers: Mapping[str, str]) -> CachedResponse:
        return CachedResponse(lambda: self._html(language), _HTML, max_age_s=_DOCUMENT_S, headers=headers)

    async def answer(self, request: Request) -> Response:
        """The page in the caller's language."""
        return await self._responses[context().language].answer(request)

    def _html(self, language: Language) -> bytes:
        page = self._page.substitute(
            lang=str(language), title=_TITLE, assets=ASSETS, style=self._style, script=self._script
        )
        return page.encode()


class DocumentHandler:
    """Routes of the documents; each is built once, on first use."""

    def __init__(self, document: Callable[[], dict[str, Any]]) -> None:
        document = _once(document)
        self._json = _cached(lambda: as_json(document()), "application/json; charset=utf-8")
        self._yaml = _cached(lambda: as_yaml(document()), "application/yaml; charset=utf-8")
        self._markdown = _cached(lambda: as_markdown(document()), "text/markdown; charset=utf-8")
        self._swagger, self._redoc = DocumentPage("swagger"), DocumentPage("redoc")
        self._assets = assets()

    @operation("GET", "/api/v1/docs", id="docs", tag="", summary="Swagger UI")
    async def swagger(self, request: Request) -> Response:
        """Swagger UI."""
        return await self._swagger.answer(request)

    @operation("GET", "/api/v1/redoc", id="redoc", tag="", summary="ReDoc")
    async def redoc(self, request: Request) -> Response:
        """ReDoc."""
        return await self._redoc.answer(request)

    @operation("GET", f"{ASSETS}/{{name}}", id="docsAsset", tag="", summary="Scripts and styles")
    async def asset(self, request: Request, name: str) -> Response:
        """A script or style of these pages."""
        if name not in self._assets:
            raise HTTPException(404)
        return await self._assets[name].answer(request)

    @operation("GET", "/api/v1/openapi.json", id="openapiJson", tag="", summary="OpenAPI")
    async def json(self, request: Request) -> Response:
        """The document as JSON."""
        return await self._json.answer(request)

    @operation("GET", "/api/v1/openapi.yaml", id="openapiYaml", tag="", summary="OpenAPI")
    async def yaml(self, request: Request) -> Response:
        """The document as YAML."""
        return await self._yaml.answer(request)

    @operation("GET", "/api/v1/openapi.md", id="openapiMarkdown", tag="", summary="OpenAPI")
    async def markdown(self, request: Request) -> Response:
        """The document as Markdown."""
        return await self._markdown.answer(request)


def _once(document: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    """The same function, which builds the document only once even if several threads call it."""
    building = Lock()
    built = cache(document)

    def locked() -> dict[str, Any]:
        with building:
            return built()

    return locked


def _cached(text: Callable[[], str], kind: str) -> CachedResponse:
    return CachedResponse(lambda: text().encode(), kind, max_age_s=_DOCUMENT_S)


def assets() -> Mapping[str, CachedResponse]:
    """The files by name; no other file of the package is served."""
    found = {
        file.name: CachedResponse(file.read_bytes, _kind(file), max_age_s=_DAY_S)
        for file in _FOLDER.iterdir()
        if file.is_file()
    }
    return found | {REDOC: CachedResponse(redoc_script, "text/javascript", max_age_s=_DAY_S)}


def redoc_script() -> bytes:
    """ReDoc without its logo. Raises ValueError if the script does not contain it exactly once."""
    script, found = _LOGO.subn(b"null", (_FOLDER / REDOC).read_bytes())
    if found != 1:
        raise ValueError(f"{REDOC} contains its logo {found} times")
    return script


def _kind(file: Path) -> str:
    return guess_type(file.name)[0] or "application/octet-stream"
