"""Texts that break careless code; every direction between the libraries and us takes all of them."""

from __future__ import annotations

from _pytest.mark import ParameterSet
from pytest import mark, param

TEXTS = {
    "plain": "order 1",
    "chinese": "蓝牙耳机（白色）、充电线",
    "emoji": "耳机🎧👨‍👩‍👧",
    "marks": "a+b % c&d = e?f#g;h@i:j$k,l/m",
    "looks-encoded": "%E4%B8%AD%2B%26+100%25",
    "quotes": '"it\'s" `so` \\ \\\\ \\u4e2d \\n',
    "html": "</script><b>&lt;&amp;&#39;",
    "lines": "one\r\ntwo\nthree\ttab",
    "separators": "a\u2028b\u2029c\u00a0d\u3000e",
    "blanks": "  in front and behind  ",
    "only-blanks": " \t\r\n\u3000",
    "no-break-space": "\u00a0",
    "like-json": '{"code":"10000","sign":"x"}',
    "empty": "",
    "null": "null",
    "accents": "e\u0301 é ß İ ı",
    # In GBK the second byte of these is a letter, a bracket, a backslash, a brace or a bar.
    "backslash-in-gbk": "誠昞乗侰俓僜擻薩瀄",
    "only-in-gb18030": "㐀㿿𠮷𪚥€ÿ",
}

OF_AUTHORITIES = (
    "A, B", "a+b;c", '"quoted"', "<x>", "back\\slash", " in front", "behind ", "a  b", "二、三", "🎧", "é",
)  # fmt: skip


def long(characters: int) -> str:
    """A text of this length of which hardly a character needs one byte."""
    return ("订单名称很长、+%&=" * (characters // 10 + 1))[:characters]


def fits(text: str, charset: str) -> bool:
    """Whether the charset has all of its characters."""
    try:
        text.encode(charset)
    except UnicodeEncodeError:
        return False
    return True


def _case(name: str, *values: str, of: str = "") -> ParameterSet:
    """A case of a matrix, `long` if it is not a typical one."""
    marks = () if name in ("chinese", "marks", "empty") else (mark.long,)
    return param(*values, id=f"{of}{name}", marks=marks)


awkward_name = mark.parametrize("name", [_case(name, name) for name in TEXTS])
awkward_text = mark.parametrize(
    "text", [_case(name, text) for name, text in {**TEXTS, "long": long(400)}.items()]
)
# What a charset does not have, nobody can send in it.
awkward_in_each_charset = mark.parametrize(
    ("charset", "name"),
    [
        _case(name, charset, name, of=f"{charset}-")
        for charset in ("utf-8", "GBK")
        for name, text in TEXTS.items()
        if fits(text, charset)
    ],
)
