"""The scripts and styles of the documents' pages, from the files in fastapi-offline's wheel."""

from __future__ import annotations

import re
from collections.abc import Mapping
from mimetypes import guess_type
from pathlib import Path

import fastapi_offline

from shop_order.web.handler.kept import Kept

ASSETS = "/api/v1/docs/assets"
REDOC = "redoc.standalone.js"
_FOLDER = Path(fastapi_offline.__file__).parent / "static"
_DAY_S = 86_400
# ReDoc fetches the logo of its makers from their server; our policy refuses that, and browsers complain.
_LOGO = re.compile(rb'\w+\.createElement\("img",\{alt:"redocly logo"[^{}]*\}\)')


def assets() -> Mapping[str, Kept]:
    """The files by name; nothing else of the wheel, and nothing that leads outside."""
    kept = {
        file.name: Kept(file.read_bytes, _kind(file), max_age_s=_DAY_S)
        for file in _FOLDER.iterdir()
        if file.is_file()
    }
    return kept | {REDOC: Kept(redoc_script, "text/javascript", max_age_s=_DAY_S)}


def redoc_script() -> bytes:
    """ReDoc without the picture. Raises ValueError if its makers wrote it in another way."""
    script, found = _LOGO.subn(b"null", (_FOLDER / REDOC).read_bytes())
    if found != 1:
        raise ValueError(f"{REDOC} names its logo {found} times")
    return script


def _kind(file: Path) -> str:
    return guess_type(file.name)[0] or "application/octet-stream"
