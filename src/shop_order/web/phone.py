"""Whether a browser is a phone's: providers have a page of their own for those."""

from __future__ import annotations

import re
from collections.abc import Mapping

_MOST = 1024  # of a User-Agent: what it says of the device stands far before
_PHONE = re.compile(r"Mobi|iPhone|iPod|Windows Phone|Opera Mini|\(Phone;", re.IGNORECASE)
_LARGE = re.compile(r"iPad|Tablet|PlayBook|Kindle|Silk/", re.IGNORECASE)


def is_phone(headers: Mapping[str, str]) -> bool:
    """By the client hint where a browser sends it, otherwise by the name; tablets take the large page."""
    hint = headers.get("sec-ch-ua-mobile", "")
    if hint in ("?0", "?1"):
        return hint == "?1"
    agent = headers.get("user-agent", "")[:_MOST]
    return bool(_PHONE.search(agent)) and not _LARGE.search(agent)
