"""The layout of the sandbox's pages: plain HTML in the reader's language, without external resources."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from enum import IntEnum
from html import escape
from importlib.resources import files

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from shop_sandbox.providers import PROVIDERS, Words


class Language(IntEnum):
    """The index of a language in `Words`."""

    ZH = 0
    EN = 1


_STYLE = "".join(
    (files("shop_sandbox") / "styles" / name).read_text("utf-8") for name in ("palette.css", "sandbox.css")
)
_DIGEST = b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
HEADERS = {
    "content-security-policy": (
        f"default-src 'none'; style-src 'sha256-{_DIGEST}'; img-src 'self' data:; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "vary": "Accept, Accept-Language",
}
_PAGE = """<!doctype html>
<html lang="{lang}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header><strong>{site}</strong><nav>{nav}</nav></header>
<main{wide}>
<h1>{title}</h1>
{content}
</main>
</body>
</html>
"""
_SITE: Words = ("沙箱：模拟环境，不涉及真实资金", "Sandbox: no real money is moved")
_NAVIGATION: tuple[tuple[str, Words], ...] = (
    ("/", ("首页", "Home")),
    ("/shop", ("商品", "Goods")),
    *((one.page, one.name) for one in PROVIDERS),
)
_ERRORS: dict[int, Words] = {
    404: ("页面不存在", "Page not found"),
    405: ("不支持的请求方法", "Method not allowed"),
}
_REFUSED: Words = ("请求被拒绝", "The request was refused")
_GO_ON: Words = ("请从上方的链接继续。", "Follow one of the links above.")


def page(
    title: str, content: str, language: Language, *, status: int = 200, wide: bool = False
) -> HTMLResponse:
    """A page; `title` is plain text, `content` is HTML."""
    nav = "".join(f'<a href="{address}">{words[language]}</a>' for address, words in _NAVIGATION)
    text = _PAGE.format(
        lang=("zh-CN", "en")[language],
        title=escape(title),
        style=_STYLE,
        site=_SITE[language],
        nav=nav,
        wide=' class="wide"' if wide else "",
        content=content,
    )
    return HTMLResponse(text, status, HEADERS)


def wants_page(request: Request) -> bool:
    """Whether a browser is asking, not a program."""
    return "text/html" in request.headers.get("accept", "")


def language_of(request: Request) -> Language:
    """Chinese, unless the browser prefers English."""
    best, best_quality = Language.ZH, 0.0
    for part in request.headers.get("accept-language", "")[:256].split(","):
        match = re.fullmatch(r"\s*(zh|en)\b[\w-]*\s*(?:;\s*q=([01](?:\.\d{0,3})?))?\s*", part, re.IGNORECASE)
        quality = float(match[2] or 1) if match else 0.0
        if match and quality > best_quality:
            best, best_quality = Language[match[1].upper()], quality
    return best


async def error_page(request: Request, error: Exception) -> Response:
    """The answer to a failed request: a page with links for browsers, one line for programs."""
    assert isinstance(error, HTTPException)
    if not wants_page(request):
        return PlainTextResponse(error.detail, error.status_code, error.headers)
    language = language_of(request)
    title = _ERRORS.get(error.status_code, _REFUSED)[language]
    content = f'<section class="trouble" role="alert"><p>{_GO_ON[language]}</p></section>'
    answer = page(title, content, language, status=error.status_code)
    answer.headers.update(error.headers or {})
    return answer
