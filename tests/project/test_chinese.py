"""Every Chinese text that somebody reads is written with Chinese punctuation and half-width digits."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from shop_order.gateway.payment import notice_routes
from shop_order.web.http import describe

ROOT = Path(__file__).resolve().parents[2]
GENERATED = re.compile(r"_pb2(_grpc)?\.pyi?$|^sync_order_client\.py$")
WRITTEN = (".html", ".jinja", ".css", ".js", ".yaml")
# Files whose lines and columns are laid down by the provider; a mark of ours would change what is read.
FOREIGN = {"bill_file.py", "bills.py"}

HAN = r"[\u3400-\u4dbf\u4e00-\u9fff]"
CHINESE = rf"(?:{HAN}|[，。；：？！（）“”‘’、…《》〇¤])"
# Stands for a value or a piece of code: in a Chinese sentence it is a word like any other.
WORD = "¤"
CODE = re.compile(r"`[^`]+`|\[[^\]]+\]\([^)]+\)|\{[^{}]*\}|<[^<>]+>|%[sd]|https?://\S+|\$\w+")
# Two languages on one line: `中文 / English`, `中文 · English`, and what stands in different lines or cells.
PARTS = re.compile(r" / | · |\n|\||<[^<>]+>| {2,}")
# A sentence in English that names something by its Chinese word keeps its own marks.
ENGLISH = re.compile(r"(?:[A-Za-z']+ ){2}[A-Za-z']+")
ASCII_MARK = re.compile(rf"{CHINESE}[\s*]*[,;:!?()]|[,;:!?()][\s*]*{CHINESE}")
SENTENCE_END = re.compile(rf"{HAN}\.(?:\s|$)")
FULL_WIDTH = re.compile("[\uff10-\uff19\uff21-\uff3a\uff41-\uff5a]")


def faults(text: str) -> list[str]:
    """What is wrong with the Chinese parts of a text."""
    found = []
    for whole in PARTS.split(text):
        part = CODE.sub(WORD, whole)
        if re.search(HAN, part) and not ENGLISH.search(part):
            found += [f"{match[0]!r} in {whole.strip()!r}" for match in ASCII_MARK.finditer(part)]
            found += [f"{match[0]!r} ends {whole.strip()!r}" for match in SENTENCE_END.finditer(part)]
    return found + [f"full width: {text!r}" for _ in FULL_WIDTH.finditer(text)]


def texts_of(tree: ast.AST) -> Iterator[str]:
    """The texts in code but docstrings, which are English; values put into a text stand as a word."""
    skipped = {
        id(part)
        for node in ast.walk(tree)
        for part in (node.values if isinstance(node, ast.JoinedStr) else docstring(node))
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else WORD for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            yield node.value


def docstring(node: ast.AST) -> list[ast.expr]:
    """The text that only readers of the code see."""
    body = getattr(node, "body", None)
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    if isinstance(node, documented) and body and isinstance(body[0], ast.Expr):
        return [body[0].value]
    return []


def sources() -> Iterator[Path]:
    """Our code, and the files that pages are made from."""
    for path in sorted((ROOT / "src").rglob("*")):
        if path.name in FOREIGN:
            continue
        if (path.suffix == ".py" and not GENERATED.search(path.name)) or path.suffix in WRITTEN:
            yield path


def strings(node: object) -> Iterator[str]:
    """Every text in a document."""
    if isinstance(node, str):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from strings(child)


@pytest.mark.parametrize("path", [*sources()], ids=lambda path: str(path.relative_to(ROOT / "src")))
def test_chinese_texts_have_chinese_punctuation(path: Path) -> None:
    text = path.read_text("utf-8")
    if path.suffix == ".py":
        texts = texts_of(ast.parse(text))
    else:
        texts = strings([*yaml.safe_load_all(text)]) if path.suffix == ".yaml" else iter([text])
    assert [fault for one in texts for fault in faults(one)] == []


def test_so_has_the_document_of_the_rest_interface() -> None:
    document = json.loads(json.dumps(describe(notice_routes())))
    assert [fault for one in strings(document) for fault in faults(one)] == []


@pytest.mark.parametrize(
    "wrong",
    [
        "已取消,请重试",
        "编号: 12",
        "金额(分)",
        "`message` 跟随语言(默认中文)",
        "点击 **登录**,粘贴",
        "好 !",
        "已完成.",
        "１２ 个",
    ],
)
def test_what_is_wrong_is_found(wrong: str) -> None:
    assert faults(wrong)


@pytest.mark.parametrize(
    "right",
    [
        "已取消，请重试",
        "成功 / Done, at last: (yes)",
        "在 12:30 之前",
        "金额（分）",
        "共 1,000 件",
        "it is no province: write 新疆, or 西藏",
        "a, b; `c`, d",
        "页 1 到 2",
    ],
)
def test_what_is_right_is_let_through(right: str) -> None:
    assert faults(right) == []
