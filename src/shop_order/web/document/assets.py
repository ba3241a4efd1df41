"""The scripts and styles of the documents' pages, from the files in fastapi-offline's wheel."""

from __future__ import annotations

import asyncio
import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Any

import fastapi_offline
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.types import Scope

ASSETS = "/api/v1/docs/assets"
REDOC = "redoc.standalone.js"
_FOLDER = Path(fastapi_offline.__file__).parent / "static"
_KEPT = "public, max-age=86400"
# ReDoc fetches the logo of its makers from their server; our policy refuses that, and browsers complain.
_LOGO = re.compile(rb'\w+\.createElement\("img",\{alt:"redocly logo"[^{}]*\}\)')


class Assets(StaticFiles):
    """The files of the pages; nothing else of the wheel, and nothing that leads outside."""

    def __init__(self) -> None:
        super().__init__(directory=_FOLDER)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """A file; ReDoc's script without the picture from outside."""
        if path != REDOC or scope["method"] not in ("GET", "HEAD"):
            return await super().get_response(path, scope)
        script, tag = await asyncio.to_thread(redoc_script)
        response = Response(
            script, media_type="text/javascript", headers={"ETag": tag, "Cache-Control": _KEPT}
        )
        if self.is_not_modified(response.headers, Headers(scope=scope)):
            return NotModifiedResponse(response.headers)
        return response

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """A file that browsers may keep for a day."""
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = _KEPT
        return response


@cache
def redoc_script() -> tuple[bytes, str]:
    """ReDoc and its ETag. Raises ValueError if its makers wrote the logo in another way."""
    script, found = _LOGO.subn(b"null", (_FOLDER / REDOC).read_bytes())
    if found != 1:
        raise ValueError(f"{REDOC} names its logo {found} times")
    return script, f'"{hashlib.sha256(script).hexdigest()[:32]}"'
