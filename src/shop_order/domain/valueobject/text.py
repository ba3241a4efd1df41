"""What a text from outside must be before it is kept."""

from __future__ import annotations

import re
import unicodedata

from shop_order.domain.errors import InvalidArgument
from shop_order.domain.valueobject.unicode_ranges import EMOJI, INVISIBLE, character_class

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")  # but tab and the ends of lines
_INVISIBLE = re.compile(f"[{character_class(INVISIBLE)}]")
_PRINTABLE = re.compile(  # those of them that Python takes for letters and marks
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)

# Real emoji are made of invisible characters too (Unicode Technical Standard 51): keycaps, the three flags of
# countries within a country, and pictures with a colour of skin or a presentation selector, alone or joined.
# Any other flag of tags looks like a black one, whatever is written in it: that would be a hidden text.
_PICTURE = f"[{character_class(EMOJI)}][\U0001f3fb-\U0001f3ff]?\ufe0f?"
_TAGS = "|".join("".join(chr(0xE0000 + ord(c)) for c in place) for place in ("gbeng", "gbsct", "gbwls"))
_EMOJI = re.compile(
    f"[0-9#*]\ufe0f\u20e3|\U0001f3f4(?:{_TAGS})\U000e007f|{_PICTURE}(?:\u200d{_PICTURE})*",
)

# Characters by their category that show nothing all the same: the empty Braille pattern, the place of an
# object, the note without a head, and blank hieroglyphs.
_BLANK = frozenset("\u2800\ufffc\U0001d159\U00013441\U00013442")
_SEEN = frozenset("LNPSC")  # C: only what is private or newer than our tables is left of it by then


def plain_text(field: str, value: str, *, most: int, required: bool = False) -> str:
    """Return `value` if it can be kept: length in code points, nothing in it that nobody sees.

    Invisible is what Unicode calls format characters, separators of lines and paragraphs, or ignorable, but
    for those of real emoji. `required`: something can be seen. Raises InvalidArgument.
    """
    if len(value) > most:
        raise InvalidArgument(field, "too_long", max=most)
    printable = value.isprintable()  # most texts are: then it is quickly seen that nothing hides in them
    hidden = not (printable and value.isascii()) and (_PRINTABLE if printable else _INVISIBLE).search(value)
    if required and (hidden or not value[:1].isalnum() or value[0] in _BLANK) and not is_visible(value):
        raise InvalidArgument(field, "required")
    if not printable and _CONTROL.search(value):
        raise InvalidArgument(field, "control_characters")
    if hidden and _INVISIBLE.search(_EMOJI.sub("", value)):
        raise InvalidArgument(field, "invisible_characters")
    return value


def person_name(field: str, value: str, *, most: int = 50) -> str:
    """Return a required name of one line. Raises InvalidArgument."""
    plain_text(field, value, most=most, required=True)
    if any(char in "\t\r\n" for char in value):
        raise InvalidArgument(field, "control_characters")
    return value


def is_visible(value: str) -> bool:
    """Whether there is something to be seen: blanks and marks with nothing to stand on are not."""
    shown = without_invisible(value)
    return any(unicodedata.category(char)[0] in _SEEN and char not in _BLANK for char in shown if char > " ")


def without_invisible(value: str) -> str:
    """The text without format characters, separators of lines and paragraphs, and what is ignorable."""
    return _INVISIBLE.sub("", value)
