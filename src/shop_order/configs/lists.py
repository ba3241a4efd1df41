"""Lists of settings as people write them: `a,b`, JSON or YAML; an IPv6 host in them stands in brackets."""

import json
import re
from ipaddress import ip_address

import yaml

_ITEM = re.compile(r"\s*((?:\[[^\[\]]*\]|[^,\[\]\n])*)(?:[,\n]|$)")


def split_list(value: object) -> object:
    """The items of a text; what is no text stays. Raises ValueError for what is neither."""
    if value is None:
        raise ValueError("is null; write [] for none")
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.startswith("- "):
        return _loaded(text)
    if not text.startswith("["):
        return _items(text)
    try:
        return json.loads(text)
    except ValueError:
        return _items(text[1:-1] if _is_wrapped(text) else text)


def _is_wrapped(text: str) -> bool:
    """Whether the first bracket closes at the end, around items: [a,b], but not [::1] or [::1]:1,[::2]:1."""
    depth = 0
    for at, sign in enumerate(text):
        depth += (sign == "[") - (sign == "]")
        if not depth:
            return at == len(text) - 1 and not _is_ipv6(text[1:-1])
    return False


def _is_ipv6(text: str) -> bool:
    try:
        return ip_address(text).version == 6
    except ValueError:
        return False


def _items(text: str) -> list[str]:
    items, at = [], 0
    while at < len(text):
        found = _ITEM.match(text, at)
        if found is None:
            raise ValueError("is not a list: write a,b or a JSON array")
        items.append(_unquoted(found[1].strip()))
        at = found.end()
    return [item for item in items if item]


def _unquoted(item: str) -> str:
    quoted = len(item) > 1 and item[0] == item[-1] and item[0] in "'\""
    if not quoted and item[:1] in ("'", '"'):
        raise ValueError("is not a list: write a,b or a JSON array")
    return item[1:-1] if quoted else item


def _loaded(text: str) -> object:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError("is not a list: write a,b or a JSON array") from error
