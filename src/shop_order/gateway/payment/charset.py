"""Charsets that a provider writes in: bytes are verified as they came, and read afterwards."""

from __future__ import annotations

import re
from collections.abc import Mapping

# GB18030 has every character of GBK and GB2312, and those they have no room for.
_CODECS = {"utf-8": "utf-8", "utf8": "utf-8", "gbk": "gb18030", "gb2312": "gb18030", "gb18030": "gb18030"}
_IN_HEADER = re.compile(r';\s*charset\s*=\s*"?([^";\s]+)', re.IGNORECASE)
# Its second and fourth bytes may look like a quote's neighbours: backslash, letters, braces and digits.
_GB18030 = re.compile(rb"[\x81-\xfe](?:[\x40-\x7e\x80-\xfe]|[\x30-\x39][\x81-\xfe][\x30-\x39])")
_NOT_ASCII = re.compile(rb"[\x80-\xff]")


def codec_of(name: str) -> str:
    """Python's codec for what a provider calls its charset. Raises ValueError for one it does not use."""
    if codec := _CODECS.get(name.lower()):
        return codec
    raise ValueError(f"{name[:20]!r} is no charset that is read here")


def header_charset(headers: Mapping[str, str]) -> str:
    """What `content-type` names; empty if it names none."""
    found = next((value for name, value in headers.items() if name.lower() == "content-type"), "")
    named = _IN_HEADER.search(found)
    return named[1] if named else ""


def outline(content: bytes, codec: str) -> str:
    """The same in ASCII, byte for byte: where something begins and ends in it, it does in `content`."""
    if codec == "utf-8":  # none of its longer characters has an ASCII byte in it
        return _NOT_ASCII.sub(b"x", content).decode("ascii")
    plain = _GB18030.sub(lambda found: b"x" * len(found[0]), content)
    return _NOT_ASCII.sub(b"x", plain).decode("ascii")
