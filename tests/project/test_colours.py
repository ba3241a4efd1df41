"""Every text on every page of ours can be read: WCAG contrast of at least 4.5:1, in light and in dark.

No stylesheet names a colour but in its palette (`:root`). There a colour is text (it may stand on any
surface), a surface, a line without text, or a fill `--x`, on which only `--on-x` stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from colorsys import hls_to_rgb
from itertools import product
from pathlib import Path

import pytest

from shop_sandbox.http import PICTURE

SRC = Path(__file__).resolve().parents[2] / "src"
FOLDERS = sorted({path.parent for path in SRC.rglob("*.css")})
LEAST = 4.5
TEXTS = ("--ink", "--soft", "--urgent", "--link")
SURFACES = ("--page", "--card", "--chosen")
LINES = ("--line", "--ring")
ROOT = re.compile(r":root\s*\{([^}]*)\}")
DARK = re.compile(r"@media \(prefers-color-scheme: dark\)\s*\{\s*:root\s*\{([^}]*)\}\s*\}")
RULE = re.compile(r"([^{}]+)\{([^{}]*)\}")
LITERAL = re.compile(
    r"#[0-9a-f]{3,8}\b|\b(?:rgb|hsl|hwb|lab|lch|oklab|oklch|color|color-mix)a?\(", re.IGNORECASE
)
# Properties that change how a colour looks, after it was chosen.
TINTS = re.compile(
    r"\b(?:opacity|filter|backdrop-filter|mix-blend-mode|background-image|text-shadow)\s*:(?!\s*none)"
)
PAINTED = re.compile(r"(?<![\w-])(color|background|background-color)\s*:\s*([^;]+)")
VARIABLE = re.compile(r"var\((--[\w-]+)\)")

Palette = Mapping[str, str]


def stylesheets(folder: Path) -> str:
    """All styles of a folder, without comments."""
    sheets = (path.read_text("utf-8") for path in sorted(folder.glob("*.css")))
    return re.sub(r"/\*.*?\*/", "", "\n".join(sheets), flags=re.DOTALL)


def palettes(css: str) -> tuple[Palette, Palette]:
    """The colours of a folder in light and in dark."""
    dark = dict(declared(DARK, css))
    light = dict(declared(ROOT, DARK.sub("", css)))
    assert dark.keys() <= light.keys(), "a colour that only the dark has"
    return light, light | dark


def declared(block: re.Pattern[str], css: str) -> Iterator[tuple[str, str]]:
    """Names and values of the custom properties."""
    for found in block.finditer(css):
        for line in filter(None, map(str.strip, found[1].split(";"))):
            name, _, value = line.partition(":")
            yield name.strip(), value.strip()


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance; `#rgb` or `#rrggbb`, never half-transparent."""
    digits = colour.removeprefix("#")
    digits = "".join(digit * 2 for digit in digits) if len(digits) == 3 else digits
    assert re.fullmatch("[0-9a-f]{6}", digits), colour
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, contrast ratio."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def pairs(palette: Palette) -> Iterator[tuple[str, str]]:
    """Every text with everything it may stand on. Fails on a colour of no known kind."""
    yield from product(TEXTS, SURFACES)
    for name in palette.keys() - {*TEXTS, *SURFACES, *LINES}:
        fill = "--" + name.removeprefix("--on-") if name.startswith("--on-") else name
        text = f"--on-{fill.removeprefix('--')}"
        assert {fill, text} <= palette.keys(), f"{name} has no partner"
        yield text, fill


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(SRC)))
@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_every_text_stands_out_from_what_it_stands_on(folder: Path, scheme: int) -> None:
    palette = palettes(stylesheets(folder))[scheme]
    weak = {
        f"{text} on {under}: {ratio:.2f}"
        for text, under in pairs(palette)
        if (ratio := contrast(palette[text], palette[under])) < LEAST
    }
    assert weak == set()


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(SRC)))
def test_a_stylesheet_paints_only_with_its_palette(folder: Path) -> None:
    css = stylesheets(folder)
    names = palettes(css)[0].keys()
    rest = ROOT.sub("", css)
    assert LITERAL.findall(rest) == []
    assert TINTS.findall(rest) == []
    assert set(VARIABLE.findall(rest)) <= names
    assert [fault for rule in RULE.finditer(rest) if (fault := badly_painted(rule))] == []


def named(value: str | None) -> str | None:
    """The palette's name in a value, else the value."""
    found = VARIABLE.fullmatch(value or "")
    return found[1] if found else value


def badly_painted(rule: re.Match[str]) -> str:
    """What is wrong with a rule: it puts a colour where it was not made for."""
    painted = {
        prop.removesuffix("-color"): value.replace("!important", "").strip()
        for prop, value in PAINTED.findall(rule[2])
    }
    writes, fills = (named(painted.get(prop)) for prop in ("color", "background"))
    if fills in (None, "none", *SURFACES):
        fine = writes in (None, "inherit", *TEXTS)
    else:
        fine = str(fills).startswith("--") and writes == f"--on-{str(fills).removeprefix('--')}"
    return "" if fine else f"{rule[1].strip()}: {writes} on {fills}"


def test_no_colour_is_written_outside_the_stylesheets() -> None:
    pages = (path for path in SRC.rglob("*") if path.suffix in (".py", ".html", ".js", ".template"))
    written = re.compile(r"\b(?:color|background)\s*:\s*(?:#|rgb|hsl)|\bstyle=[\"']|\"#[0-9a-fA-F]{3,8}\"")
    found = {
        f"{path.relative_to(SRC)}: {match[0]}"
        for path in pages
        for match in written.finditer(path.read_text("utf-8"))
    }
    # The pictures of goods are drawn; the next test measures them.
    assert found == {'shop_sandbox/http.py: "#fff"'}


def test_the_pictures_of_goods_can_be_read() -> None:
    (hue_at,) = re.findall(r'<circle [^>]*fill="hsl\(\{hue\} (\d+)% (\d+)%\)"', PICTURE)
    saturation, lightness = (int(part) / 100 for part in hue_at)
    colours = (hls_to_rgb(hue / 360, lightness, saturation) for hue in range(360))
    circles = ("#" + "".join(f"{round(part * 255):02x}" for part in colour) for colour in colours)
    assert min(contrast("#fff", circle) for circle in circles) >= LEAST


@pytest.mark.parametrize("page", sorted(SRC.rglob("*.html")), ids=lambda page: page.name)
def test_the_frame_of_a_page_has_a_language_and_fits_a_phone_and_the_dark(page: Path) -> None:
    text = page.read_text("utf-8")
    if text.startswith('{% extends "base.html" %}'):
        text = (page.parent / "base.html").read_text("utf-8") + text
    viewport = 'name="viewport" content="width=device-width'
    for part in ('<html lang="{{ lang }}">', viewport, 'content="light dark"'):
        assert part in text, part
    assert not re.search(r"https?://", text)


@pytest.mark.parametrize(
    ("one", "other", "ratio"), [("#000", "#ffffff", 21), ("#d9480f", "#fff", 4.29), ("#4c8dff", "#fff", 3.21)]
)
def test_contrast_is_measured_as_the_guidelines_say(one: str, other: str, ratio: float) -> None:
    assert contrast(one, other) == pytest.approx(ratio, abs=0.05)


@pytest.mark.parametrize(
    "css",
    ["a { color: #777 }", "a { opacity: .5 }", "a { background: var(--brand); color: var(--soft) }"],
)
def test_what_would_be_hard_to_read_is_found(css: str) -> None:
    assert LITERAL.search(css) or TINTS.search(css) or any(map(badly_painted, RULE.finditer(css)))
