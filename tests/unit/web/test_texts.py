"""The texts of errors and pages: the same keys in both languages, none missing, none unused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2 import UndefinedError, nodes

import shop_order.web
from shop_order.configs.tree import _NoRepeats
from shop_order.service.checkout import Stage
from shop_order.web import html, messages
from shop_order.web.html import Page, environment, qr_svg
from shop_order.web.messages import Language, texts

WEB = Path(str(shop_order.web.__file__)).parent
# Looked up by name: the stages, and the texts that handlers read.
STAGES = {stage.value for stage in Stage} - {"pending"}
BY_NAME = {"cashier": STAGES | {f"{stage}_text" for stage in STAGES} | {"no_answer"}}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the texts, which is read instead of them."""
    shutil.copytree(WEB / "texts", tmp_path / "texts")
    monkeypatch.setattr(messages, "files", lambda package: tmp_path)
    return tmp_path / "texts"


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text("utf-8")
    assert text.count(old) == 1
    file.write_text(text.replace(old, new), "utf-8")


@pytest.mark.parametrize("name", ["zh.yaml", "en.yaml"])
def test_no_key_is_given_twice(name: str) -> None:
    content = (WEB / "texts" / name).read_text("utf-8")
    assert yaml.load(content, _NoRepeats)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  EMPTY_ORDER:", "  EMPTY_ORDERS:"),
        ("pages beyond row {limit}", "pages beyond row {max}"),
        ("    in_app: Pay now\n", ""),
    ],
)
def test_languages_that_differ_are_refused(folder: Path, old: str, new: str) -> None:
    change(folder / "en.yaml", old, new)
    with pytest.raises(ValueError, match=r"zh\.yaml and en\.yaml differ"):
        texts.__wrapped__()


def test_an_error_without_a_text_is_refused(folder: Path) -> None:
    for file in (folder / "zh.yaml", folder / "en.yaml"):
        change(file, "  EMPTY_ORDER:", "  EMPTY_ORDERS:")
    with pytest.raises(ValueError, match=r"no texts for \['EMPTY_ORDER'\]"):
        texts.__wrapped__()


def test_a_page_without_one_of_its_texts_is_refused_at_the_start() -> None:
    with pytest.raises(ValueError, match="the texts lack landing"):
        Page("cashier", "landing")


def test_a_page_without_its_data_is_no_page() -> None:
    with pytest.raises(UndefinedError):
        Page("landing", "landing").html(Language.EN)


@pytest.mark.parametrize("section", ["cashier", "landing"])
def test_no_text_of_a_page_is_unused(section: str) -> None:
    template = environment().parse(html._source(f"{section}.html"))
    used = {node.attr for node in template.find_all(nodes.Getattr) if node.node == nodes.Name("t", "load")}
    known: Any = texts()[Language.EN].pages[section]
    assert used | BY_NAME.get(section, set()) == known.keys()


def test_a_page_escapes_what_it_is_given() -> None:
    places = {"grpc": "<b>", "sandbox": '"><script>'}
    page = Page("landing", "landing").html(Language.EN, places=places, local=False)
    assert "&lt;b&gt;" in page
    assert "<script>" not in page


def test_a_qr_code_is_drawn_unless_its_text_is_too_long_for_any() -> None:
    drawn = qr_svg('weixin://wxpay/bizpayurl?pr=1"><script>')
    assert drawn.startswith("<svg ")
    assert "script" not in drawn
    assert "style=" not in drawn, "the page's policy refuses it"
    assert qr_svg("x" * 5000) == ""
