"""The landing page, the REST document, and Swagger UI and ReDoc, whose scripts we serve ourselves."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from mimetypes import guess_type
from pathlib import Path
from typing import Any

import fastapi_offline
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from shop_order.pkg.batching import SingleFlight
from shop_order.web.auth.client_address import Network, client_address, is_loopback
from shop_order.web.context import context
from shop_order.web.document.render import as_json, as_markdown, as_yaml
from shop_order.web.handler.route import operation
from shop_order.web.html import Page
from shop_order.web.messages import Language

_DOCUMENT_S = 300
ASSETS = "/api/v1/docs/assets"
REDOC = "redoc.standalone.js"
_FOLDER = Path(fastapi_offline.__file__).parent / "static"
_DAY_S = 86_400
# ReDoc loads its logo from another server, which our policy blocks and browsers report.
_LOGO = re.compile(rb'\w+\.createElement\("img",\{alt:"redocly logo"[^{}]*\}\)')


@dataclass(frozen=True, slots=True)
class Places:
    """Addresses for developers: `host:port` of gRPC, base URL of the sandbox; hidden if empty."""

    grpc: str = ""
    sandbox: str = ""


class LandingHandler:
    """The route `/`, which is not in the REST document."""

    def __init__(self, places: Callable[[], Places], trusted_proxies: tuple[Network, ...]) -> None:
        self._page = Page("landing", "landing")
        self._policy = self._page.policy("form-action 'none'")
        self._places = places
        self._trusted = trusted_proxies

    @operation("GET", "/", id="landing", tag="", summary="入口 / Landing page")
    async def landing(self, request: Request) -> Response:
        """The page for this caller."""
        local = is_loopback(client_address(request.scope, self._trusted))
        page = self._page.html(context().language, places=self._places(), local=local)
        return HTMLResponse(page, headers={"Content-Security-Policy": self._policy})


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


class DocumentHandler:
    """Routes of the documents; each is built once, on first use."""

    def __init__(self, document: Callable[[], dict[str, Any]]) -> None:
        document = cache(document)
        self._json = _cached(lambda: as_json(document()), "application/json; charset=utf-8")
        self._yaml = _cached(lambda: as_yaml(document()), "application/yaml; charset=utf-8")
        self._markdown = _cached(lambda: as_markdown(document()), "text/markdown; charset=utf-8")
        self._swagger, self._redoc = _page("swagger"), _page("redoc")
        self._assets = assets()

    @operation("GET", "/api/v1/docs", id="docs", tag="", summary="Swagger UI")
    async def swagger(self, request: Request) -> Response:
        """Swagger UI."""
        return await self._swagger[context().language].answer(request)

    @operation("GET", "/api/v1/redoc", id="redoc", tag="", summary="ReDoc")
    async def redoc(self, request: Request) -> Response:
        """ReDoc."""
        return await self._redoc[context().language].answer(request)

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


def _cached(text: Callable[[], str], kind: str, headers: Mapping[str, str] | None = None) -> CachedResponse:
    return CachedResponse(lambda: text().encode(), kind, max_age_s=_DOCUMENT_S, headers=headers)


def _page(name: str) -> Mapping[Language, CachedResponse]:
    """The page of Swagger UI or ReDoc in each language."""
    page = Page(name, "document_page")
    # Both use inline styles and fetch the document from us; nothing else may be loaded.
    policy = (
        f"default-src 'none'; script-src 'self' '{page.script_hash}'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; worker-src blob:; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
    headers = {"Content-Security-Policy": policy, "Vary": "Accept-Language"}

    def response(language: Language) -> CachedResponse:
        kind = "text/html; charset=utf-8"
        return _cached(lambda: page.html(language, assets=ASSETS), kind, headers)

    return {language: response(language) for language in Language}


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
