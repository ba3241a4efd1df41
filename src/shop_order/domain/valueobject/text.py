"""Rules for texts from outside: length, and no invisible characters."""

from __future__ import annotations

import re
import unicodedata

from shop_order.domain.errors import InvalidArgument

# Properties of Unicode 18.0 that Python does not know, or knows of an older Unicode: ranges in hexadecimal.
# `tests/unit/domain/test_texts.py` compares them with Python's own tables.

# General_Category Cf, Zl and Zp (UnicodeData.txt), Default_Ignorable_Code_Point (DerivedCoreProperties.txt)
# and Noncharacter_Code_Point (PropList.txt).
INVISIBLE = """
    AD 34F 600-605 61C 6DD 70F 890-891 8E2 115F-1160 17B4-17B5 180B-180F 200B-200F 2028-202E 2060-206F
    3164 FDD0-FDEF FE00-FE0F FEFF FFA0 FFF0-FFFB FFFE-FFFF 110BD 110CD 13430-1343F 1BCA0-1BCA3 1D173-1D17A
    1FFFE-1FFFF 2FFFE-2FFFF 3FFFE-3FFFF 4FFFE-4FFFF 5FFFE-5FFFF 6FFFE-6FFFF 7FFFE-7FFFF 8FFFE-8FFFF
    9FFFE-9FFFF AFFFE-AFFFF BFFFE-BFFFF CFFFE-CFFFF DFFFE-E0FFF EFFFE-EFFFF FFFFE-FFFFF 10FFFE-10FFFF
"""

# Emoji (emoji-data.txt) except digits, # and *, which are emoji in keycaps only, and flag letters, which need
# no invisible characters.
EMOJI = """
    A9 AE 203C 2049 2122 2139 2194-2199 21A9-21AA 231A-231B 2328 23CF 23E9-23F3 23F8-23FA 24C2 25AA-25AB
    25B6 25C0 25FB-25FE 2600-2604 260E 2611 2614-2615 2618 261D 2620 2622-2623 2626 262A 262E-262F
    2638-263A 2640 2642 2648-2653 265F-2660 2663 2665-2666 2668 267B 267E-267F 2692-2697 2699 269B-269C
    26A0-26A1 26A7 26AA-26AB 26B0-26B1 26BD-26BE 26C4-26C5 26C8 26CE-26CF 26D1 26D3-26D4 26E9-26EA
    26F0-26F5 26F7-26FA 26FD 2702 2705 2708-270D 270F 2712 2714 2716 271D 2721 2728 2733-2734 2744 2747
    274C 274E 2753-2755 2757 2763-2764 2795-2797 27A1 27B0 27BF 2934-2935 2B05-2B07 2B1B-2B1C 2B50 2B55
    3030 303D 3297 3299 1F004 1F0CF 1F170-1F171 1F17E-1F17F 1F18E 1F191-1F19A 1F201-1F202 1F21A 1F22F
    1F232-1F23A 1F250-1F251 1F300-1F321 1F324-1F393 1F396-1F397 1F399-1F39B 1F39E-1F3F0 1F3F3-1F3F5
    1F3F7-1F4FD 1F4FF-1F53D 1F549-1F54E 1F550-1F567 1F56F-1F570 1F573-1F57A 1F587 1F58A-1F58D 1F590
    1F595-1F596 1F5A4-1F5A5 1F5A8 1F5B1-1F5B2 1F5BC 1F5C2-1F5C4 1F5D1-1F5D3 1F5DC-1F5DE 1F5E1 1F5E3 1F5E8
    1F5EF 1F5F3 1F5FA-1F64F 1F680-1F6C5 1F6CB-1F6D2 1F6D5-1F6D9 1F6DC-1F6E5 1F6E9 1F6EB-1F6EC 1F6F0
    1F6F3-1F6FC 1F7E0-1F7EB 1F7F0 1F90C-1F93A 1F93C-1F945 1F947-1F9FF 1FA70-1FA7C 1FA80-1FAC6 1FAC8
    1FACC-1FADD 1FADF-1FAEB 1FAEF-1FAFA
"""


def character_class(ranges: str) -> str:
    """The inside of a regular expression's brackets for such a table."""
    pairs = [pair.partition("-") for pair in ranges.split()]
    return "".join(f"{chr(int(a, 16))}-{chr(int(b or a, 16))}" for a, _, b in pairs)


_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")  # except tab and line ends
_INVISIBLE = re.compile(f"[{character_class(INVISIBLE)}]")
_PRINTABLE = re.compile(  # invisible characters that Python counts as printable
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)

# Emoji contain invisible characters too (Unicode Technical Standard 51): keycaps, three subdivision flags,
# pictures with a skin tone or a presentation selector, alone or joined. Any other tag sequence is shown as a
# black flag, whatever its tags say: that could hide a text.
_PICTURE = f"[{character_class(EMOJI)}][\U0001f3fb-\U0001f3ff]?\ufe0f?"
_TAGS = "|".join("".join(chr(0xE0000 + ord(c)) for c in place) for place in ("gbeng", "gbsct", "gbwls"))
_EMOJI = re.compile(
    f"[0-9#*]\ufe0f\u20e3|\U0001f3f4(?:{_TAGS})\U000e007f|{_PICTURE}(?:\u200d{_PICTURE})*",
)

# Blank although their category says otherwise: the empty Braille pattern, the object replacement character,
# the null notehead, and blank hieroglyphs.
_BLANK = frozenset("\u2800\ufffc\U0001d159\U00013441\U00013442")
_SEEN = frozenset("LNPSC")  # C: after removal of the invisible, only private use and newer code points


def plain_text(field: str, value: str, *, max_length: int, required: bool = False) -> str:
    """Return `value` if it has at most `max_length` code points, and no control or invisible characters.

    Invisible are format characters, line and paragraph separators, and what Unicode calls ignorable, except
    in emoji. `required`: something must be visible. Raises InvalidArgument.
    """
    if len(value) > max_length:
        raise InvalidArgument(field, "too_long", max=max_length)
    printable = value.isprintable()  # the fast path: most texts are
    hidden = not (printable and value.isascii()) and (_PRINTABLE if printable else _INVISIBLE).search(value)
    if required and (hidden or not value[:1].isalnum() or value[0] in _BLANK) and not is_visible(value):
        raise InvalidArgument(field, "required")
    if not printable and _CONTROL.search(value):
        raise InvalidArgument(field, "control_characters")
    if hidden and _INVISIBLE.search(_EMOJI.sub("", value)):
        raise InvalidArgument(field, "invisible_characters")
    return value


def person_name(field: str, value: str, *, max_length: int = 50) -> str:
    """Return a required single-line name. Raises InvalidArgument."""
    plain_text(field, value, max_length=max_length, required=True)
    if not value.isprintable() and any(char in "\t\r\n" for char in value):
        raise InvalidArgument(field, "control_characters")
    return value


def is_visible(value: str) -> bool:
    """Whether the text shows anything: blanks, and marks without a base character, do not."""
    shown = without_invisible(value)
    return any(unicodedata.category(char)[0] in _SEEN and char not in _BLANK for char in shown if char > " ")


def without_invisible(value: str) -> str:
    """The text without its invisible characters."""
    return _INVISIBLE.sub("", value)


def one_line(text: str) -> str:
    """The text on one line: without invisible characters, each run of white space as one space."""
    kept = (char if char.isprintable() else " " if char.isspace() else "" for char in text)
    return " ".join(without_invisible("".join(kept)).split())
