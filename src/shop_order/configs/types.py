"""Types of settings: accepted notations, and validation."""

import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from ipaddress import ip_address, ip_network
from typing import Annotated, Any
from urllib.parse import urlsplit

import yaml
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from shop_order.pkg.address import join_host_port, split_host_port

MIN_KEY_CHARS = 32
_NAMES = """
北京 天津 河北 山西 内蒙古 辽宁 吉林 黑龙江 上海 江苏 浙江 安徽 福建 江西 山东 河南 湖北 湖南 广东 广西 海南
重庆 四川 贵州 云南 西藏 陕西 甘肃 青海 宁夏 新疆 台湾 香港 澳门
"""
PROVINCES = tuple(_NAMES.split())
MAX_FREIGHT_FEN = 10_000_000
MAX_TOTAL_FEN = 10**13  # of an order
_SERVICE_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}", re.ASCII)  # as in the subjects of tokens
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_NOT_A_LIST = "is not a list: write a,b or a JSON array"
_WRAPPED = re.compile(r"\[(?:[^\[\]]|\[[^\[\]]*\])*\]")  # brackets around the whole list

# ---- texts and addresses ----


def _empty_to_none(value: object) -> object:
    return None if value == "" else value


def _digits_as_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _strong(key: SecretStr) -> SecretStr:
    if len(key.get_secret_value()) < MIN_KEY_CHARS:
        raise ValueError(f"a key must have at least {MIN_KEY_CHARS} characters")
    return key


def _one_line(value: str | None) -> str | None:
    if value is not None and not (value.isprintable() and value.strip()):
        raise ValueError("must be one line of visible characters")
    return value


def _address(value: str) -> str:
    if not value:
        raise ValueError("must not be empty")
    if ":" not in value:
        if not _NAME.fullmatch(value):
            raise ValueError("must be host:port, or a name in the registry")
        return value
    return join_host_port(*split_host_port(value))


def _host(value: str) -> str:
    host = value[1:-1] if value.startswith("[") and value.endswith("]") else value
    if ":" in host:
        ip_address(host)  # raises ValueError with the reason
    elif not _NAME.fullmatch(host):
        raise ValueError("must be a host, without scheme and port")
    return host


def _network(value: str) -> str:
    ip_network(value, strict=False)  # raises ValueError with the reason
    return value


def _service_name(value: str) -> str:
    if not _SERVICE_NAME.fullmatch(value):
        raise ValueError("must be a service name, as in its token: a-z, 0-9, _ . and -")
    return value


def _web_url(value: str) -> str:
    try:
        url = urlsplit(value)
        whole = url.scheme in ("http", "https") and url.hostname and url.port != 0
    except ValueError:  # its text may contain a password
        whole = None
    if not whole or any(sign.isspace() for sign in value):
        raise ValueError("must be an http:// or https:// URL")
    return value.rstrip("/")


def _base_url(value: str) -> str:
    url = urlsplit(value)
    if url.query or url.fragment or "?" in value or "#" in value or "@" in url.netloc:
        raise ValueError("must be an http:// or https:// URL that a path can be added to")
    return value


# ---- lists: `a,b`, JSON or YAML; with IPv6 hosts in brackets ----


def split_list(value: object) -> object:
    """Split a text into items; return any other value unchanged. Raises ValueError for a bad list."""
    if value is None:
        raise ValueError("is null; write [] for none")
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.startswith("- "):
        try:
            return yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ValueError(_NOT_A_LIST) from error
    if text.startswith("["):
        with suppress(ValueError):
            return json.loads(text)
        if _WRAPPED.fullmatch(text) and not _is_ipv6(text[1:-1]):
            text = text[1:-1]
    items = (_unquoted(item.strip()) for item in re.split("[,\n]", text))
    return [item for item in items if item]


def _is_ipv6(text: str) -> bool:
    try:
        return ip_address(text).version == 6
    except ValueError:
        return False


def _unquoted(item: str) -> str:
    quoted = len(item) > 1 and item[0] == item[-1] and item[0] in "'\""
    if (not quoted and item[:1] in ("'", '"')) or item.count("[") != item.count("]"):
        raise ValueError(_NOT_A_LIST)
    return item[1:-1] if quoted else item


# ---- freight: whole fen, and amounts by province ----


def whole_fen(value: object) -> object:
    """Accept digits only: 8.00 may mean yuan, and YAML reads `yes` as true."""
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError("must be a whole number of fen, such as 800 for 8 yuan")


def _by_province(value: object) -> dict[str, object]:
    """Return amounts by short names of provinces, in the usual order."""
    found: dict[str, object] = {}
    for name, fen in _pairs(value):
        short = next((p for p in PROVINCES if str(name).strip().startswith(p)), None)
        if short is None:
            raise ValueError(f"{name} is not a province: write 新疆, or 新疆维吾尔自治区")
        if short in found:
            raise ValueError(f"{short} occurs twice")
        found[short] = fen
    return {name: found[name] for name in PROVINCES if name in found}


def _pairs(value: object) -> Iterable[tuple[Any, Any]]:
    """Parse a mapping, or a text such as 新疆=1500,西藏=2000, or JSON."""
    if isinstance(value, Mapping):
        return list(value.items())
    if not isinstance(value, str):
        raise ValueError("must map provinces to fen")
    if value.lstrip().startswith("{"):
        try:
            return list(json.loads(value, object_pairs_hook=list))
        except ValueError as error:
            raise ValueError("is not a mapping: write 新疆=1500,西藏=2000 or a JSON object") from error
    split = [part.partition("=") for part in value.split(",") if part.strip()]
    return [(name.strip(), fen.strip()) for name, _, fen in split]


# ---- the types ----

OptText = Annotated[str | None, BeforeValidator(_empty_to_none)]
OptId = Annotated[str | None, BeforeValidator(_digits_as_text), BeforeValidator(_empty_to_none)]
ShopName = Annotated[
    Annotated[str, Field(max_length=50)] | None, BeforeValidator(_empty_to_none), AfterValidator(_one_line)
]
Key = Annotated[SecretStr, AfterValidator(_strong)]
OptKey = Annotated[Key | None, BeforeValidator(_empty_to_none)]
Keys = Annotated[tuple[Key, ...], BeforeValidator(split_list)]
Endpoint = Annotated[str, AfterValidator(_address)]
Endpoints = Annotated[tuple[Endpoint, ...], BeforeValidator(split_list)]
Host = Annotated[str, AfterValidator(_host)]
OptHost = Annotated[Host | None, BeforeValidator(_empty_to_none)]
Networks = Annotated[tuple[Annotated[str, AfterValidator(_network)], ...], BeforeValidator(split_list)]
WebUrl = Annotated[str, AfterValidator(_web_url)]
OptWebUrl = Annotated[WebUrl | None, BeforeValidator(_empty_to_none)]
ServiceNames = Annotated[
    tuple[Annotated[str, AfterValidator(_service_name)], ...], BeforeValidator(split_list)
]
OptBaseUrl = Annotated[Annotated[WebUrl, AfterValidator(_base_url)] | None, BeforeValidator(_empty_to_none)]
WebUrls = Annotated[tuple[WebUrl, ...], BeforeValidator(split_list)]
Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Rate = Annotated[int, Field(ge=0, le=1_000_000)]
Freight = Annotated[int, BeforeValidator(whole_fen), Field(ge=0, le=MAX_FREIGHT_FEN)]
TotalFen = Annotated[int, BeforeValidator(whole_fen), Field(ge=0, le=MAX_TOTAL_FEN)]
ProvinceFreight = Annotated[Mapping[str, Freight], BeforeValidator(_by_province)]
