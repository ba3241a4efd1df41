"""Whether a browser is a phone's: providers have a page of their own for those."""

from __future__ import annotations

import re
from collections.abc import Mapping

_MOST = 1024  # of a User-Agent: what it says of the device stands far before
_PHONE = re.compile(r"Mobi|iPhone|iPod|Windows Phone|Opera Mini|\(Phone;", re.IGNORECASE)
_LARGE = re.compile(r"iPad|Tablet|PlayBook|Kindle|Silk/", re.IGNORECASE)


def is_phone(headers: Mapping[str, str]) -> bool:
    """By the browser's hint, or by its name; tablets take the large page."""
    if headers.get("sec-ch-ua-mobile") == "?1":
        return True  # a hint of ?0 says less: it is also sent beside a name that was set by hand
    agent = headers.get("user-agent", "")[:_MOST]
    return bool(_PHONE.search(agent)) and not _LARGE.search(agent)
