"""Settings of freight: amounts nobody can mistake for yuan, and amounts by province."""

import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

_NAMES = """
北京 天津 河北 山西 内蒙古 辽宁 吉林 黑龙江 上海 江苏 浙江 安徽 福建 江西 山东 河南 湖北 湖南 广东 广西 海南
重庆 四川 贵州 云南 西藏 陕西 甘肃 青海 宁夏 新疆 台湾 香港 澳门
"""
PROVINCES = tuple(_NAMES.split())
MOST_FREIGHT_FEN = 10_000_000
MOST_TOTAL_FEN = 10**13  # no order costs more


def whole_fen(value: object) -> object:
    """Digits only: 8.00 would be taken for 8 fen by who means yuan, and `yes` for 1."""
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError("must be a whole number of fen, such as 800 for 8 yuan")


def _by_province(value: object) -> dict[str, object]:
    """Amounts by the short names of provinces, in the usual order."""
    found: dict[str, object] = {}
    for name, fen in _pairs(value):
        short = next((p for p in PROVINCES if str(name).strip().startswith(p)), None)
        if short is None:
            raise ValueError(f"{name} is no province: write 新疆, or 新疆维吾尔自治区")
        if short in found:
            raise ValueError(f"{short} stands twice")
        found[short] = fen
    return {name: found[name] for name in PROVINCES if name in found}


def _pairs(value: object) -> Iterable[tuple[Any, Any]]:
    """A mapping, or a text of an environment variable or of Consul's KV: 新疆=1500,西藏=2000, or JSON."""
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


Freight = Annotated[int, BeforeValidator(whole_fen), Field(ge=0, le=MOST_FREIGHT_FEN)]
ProvinceFreight = Annotated[Mapping[str, Freight], BeforeValidator(_by_province)]
