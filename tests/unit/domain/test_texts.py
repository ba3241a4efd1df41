"""Which characters a text may hold, by what Unicode says of them."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shop_order.domain.errors import InvalidArgument
from shop_order.domain.valueobject.text import is_visible, person_name, plain_text

# DerivedCoreProperties.txt, Default_Ignorable_Code_Point: what is not of category Cf as well.
IGNORABLE = frozenset(
    chr(code)
    for first, last in (
        (0x034F, 0x034F),  # combining grapheme joiner
        (0x115F, 0x1160),  # Hangul fillers
        (0x17B4, 0x17B5),  # Khmer vowels that are not written
        (0x180B, 0x180F),  # Mongolian variation selectors and vowel separator
        (0x2065, 0x2065),
        (0x3164, 0x3164),  # Hangul filler
        (0xFE00, 0xFE0F),  # variation selectors
        (0xFFA0, 0xFFA0),  # halfwidth Hangul filler
        (0xFFF0, 0xFFF8),
        (0xE0000, 0xE0FFF),  # tags, variation selectors, and what is reserved for more
    )
    for code in range(first, last + 1)
)
EMOJI = (
    "😀",
    "👨‍👩‍👧",
    "👩🏽‍🚀",
    "🧑🏻‍🤝‍🧑🏿",
    "🏳️‍🌈",
    "🏴‍☠️",
    "❤️",
    "❤️‍🔥",
    "👁️‍🗨️",
    "🕵🏾‍♀️",
    "🐻‍❄️",
    "1️⃣",
    "#️⃣",
    "🇨🇳",
    "👍🏿",
    "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
    "🧑‍🧑‍🧒‍🧒",
    "\U0001fae9",  # newer than some Pythons
)
HIDDEN = (
    "a\u200db",
    "张\u200d三",
    "\u200d😀",
    "😀\u200d",
    "😀\u200d\u200d😀",
    "a\ufe0f",
    "1\ufe0f",
    "1\ufe0fa",
    "😀\ufe0e",
    "😀\ufe0f\ufe0f",
    "🇨🇳\ufe0f",
    "🏴\U000e0068\U000e0065\U000e006c\U000e006c\U000e006f\U000e007f",  # a flag that says hello
    "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067",  # a flag without its end
    "😀\U000e0061\U000e007f",
    "张\U000e0100",
    "می\u200cخواهم",
    "soft\u00adhyphen",
    "a\u2028b",
    "a\u2029b",
    "\ufeff张三",
    "张\u3164三",
    "a\u115fb",
    "a\uffa0b",
    "a\u180eb",
    "a\u034fb",
    "a\u2065b",
    "a\ufff3b",
    "a\U0001d173b",
    "a\ufdd0b",
    "a\uffffb",
)
NOTHING = (
    "",
    " ",
    "\t",
    "\n",
    "\u00a0",
    "\u3000",
    "\u1680",
    "\u2003",
    "\u2800",
    "\u0301",
    "\u0301\u0489 \u20dd",
    "\u0903",
    "\ufffc",
    "\U0001d159",
    "\U00013441",
    "\u3164",
    "\uffa0\u115f",
    "\ufeff",
    "\u200b",
    "\u00ad",
    "\u2028",
    "\ufe0f",
    "\U000e0061\U000e0062",
    "\u2800\u3164",
)


def is_refused_by_unicode(char: str) -> bool:
    category = unicodedata.category(char)
    noncharacter = 0xFDD0 <= ord(char) <= 0xFDEF or ord(char) & 0xFFFE == 0xFFFE
    ends = category == "Cc" and char not in "\t\r\n"
    return ends or category in ("Cf", "Cs", "Zl", "Zp") or char in IGNORABLE or noncharacter


def accepted(text: str, *, required: bool = False) -> bool:
    try:
        return plain_text("note", text, max_length=255, required=required) == text
    except InvalidArgument as refused:
        assert refused.field == "note"
        return False


def test_every_character_is_accepted_or_refused_as_unicode_says() -> None:
    wrong = [
        f"U+{code:04X}"
        for code in range(0x110000)
        # What is not assigned may be a format character of a Unicode that is newer than this Python's.
        if accepted(chr(code)) == is_refused_by_unicode(chr(code)) and unicodedata.category(chr(code)) != "Cn"
    ]
    assert wrong == []


def test_what_is_not_assigned_yet_is_accepted_unless_it_is_known_to_be_invisible() -> None:
    unassigned = [chr(c) for c in range(0x110000) if unicodedata.category(chr(c)) == "Cn"]
    refused = {char for char in unassigned if not accepted(char)}
    assert {char for char in unassigned if is_refused_by_unicode(char)} <= refused
    assert len(refused) < 4096 + 64 + 100


@given(st.text(max_size=5), st.characters(), st.text(max_size=5))
def test_a_refused_character_is_refused_wherever_it_stands(before: str, char: str, after: str) -> None:
    text = before + char + after
    joins = "\u200d\ufe0f" in text or any(c in "\u200d\ufe0f\u20e3" or c > "\U000e0000" for c in text)
    if any(map(is_refused_by_unicode, text)) and not joins:
        assert not accepted(text)


@pytest.mark.parametrize("text", EMOJI, ids=ascii)
def test_real_emoji_are_kept_as_sent(text: str) -> None:
    for around in (text, f"张{text}三", text * 3, f"{text} {text}"):
        assert accepted(around, required=True)
        assert person_name("name", around) == around


@pytest.mark.parametrize("text", HIDDEN, ids=ascii)
def test_what_nobody_sees_is_refused(text: str) -> None:
    for required in (True, False):
        with pytest.raises(InvalidArgument, match="invisible_characters"):
            plain_text(
                "note", f"ok {text} ok" if not required else f"x{text}", max_length=255, required=required
            )


@pytest.mark.parametrize("text", NOTHING, ids=ascii)
def test_required_means_that_something_is_visible(text: str) -> None:
    assert not is_visible(text)
    with pytest.raises(InvalidArgument, match="required"):
        plain_text("detail", text, max_length=255, required=True)
    with pytest.raises(InvalidArgument, match="required"):
        person_name("name", text)


@pytest.mark.parametrize("text", ["张三", "a", "１", "…", "☎", "e\u0301", "\ue000", "O'Brien-Ünal", "\ufffd"])
def test_what_is_visible(text: str) -> None:
    assert accepted(text, required=True)
