"""HTML pages from the templates in `pages/`: texts in the caller's language, styles and scripts inline."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from functools import cache, lru_cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined, nodes, select_autoescape

from shop_order.pkg.money import yuan_of_fen
from shop_order.web.messages import Language, texts

_FOLDER = files("shop_order.web") / "pages"


@cache
def environment() -> Environment:
    """The templates. HTML is escaped; Markdown (`*.md.jinja`) is not."""
    found = Environment(
        loader=PackageLoader("shop_order.web", "pages"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )
    found.filters["yuan"] = yuan_of_fen
    found.filters["qr"] = qr_svg
    return found


@lru_cache(maxsize=256)  # a page that waits is shown again and again
def qr_svg(text: str) -> str:
    """The QR code of the text as an SVG element; empty if the text is longer than any code."""
    import segno

    try:
        code = segno.make_qr(text, error="m")
    except segno.DataOverflowError:
        return ""
    return str(code.svg_inline(omitsize=True))


class Page:
    """The page of `{name}.html`, with `palette.css`, `{name}.css` and `{name}.js`.

    `t` in the template is a section of the texts. Raises ValueError if that lacks a text of the template.
    """

    def __init__(self, name: str, section: str) -> None:
        self._section = section
        self._style = _source("palette.css") + _source(f"{name}.css")
        self._script = _source(f"{name}.js") if (_FOLDER / f"{name}.js").is_file() else ""
        self._template = environment().get_template(f"{name}.html")
        self.script_hash = _hash(self._script)
        _check_texts(_source(f"{name}.html"), section)

    def html(self, language: Language, **data: object) -> str:
        """The page with this data."""
        return self._template.render(
            lang=language,
            t=texts()[language].pages[self._section],
            style=self._style,
            script=self._script,
            **data,
        )

    def policy(self, *more: str) -> str:
        """The Content-Security-Policy that allows the page's own style and script, and `more`."""
        own = [f"style-src '{_hash(self._style)}'"]
        if self._script:
            own.append(f"script-src '{self.script_hash}'")
        rest = ("img-src data:", *more, "base-uri 'none'", "frame-ancestors 'none'")
        return "; ".join(("default-src 'none'", *own, *rest))


def _source(name: str) -> str:
    return (_FOLDER / name).read_text("utf-8")


def _hash(text: str) -> str:
    return "sha256-" + b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _check_texts(template: str, section: str) -> None:
    known = texts()[Language.EN].pages[section]
    for node in environment().parse(template).find_all(nodes.Getattr):
        if node.node == nodes.Name("t", "load") and node.attr not in known:
            raise ValueError(f"the texts lack {section}.{node.attr}")
