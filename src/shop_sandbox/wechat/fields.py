"""Reads the JSON of a call as strictly as the provider: types, lengths, required and unknown fields."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from shop_sandbox.payments.formats import CHINA
from shop_sandbox.wechat.errors import Refused, invalid_request, param_error

MAX_INT = 2**63 - 1
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)", re.ASCII)


class Fields:
    """An object of the body. Each method reads one field; at the end `nothing_else` names what is unknown.

    All raise Refused PARAM_ERROR.
    """

    def __init__(self, found: Mapping[str, Any], path: str = "") -> None:
        self._found = found
        self._path = path
        self._read: set[str] = set()

    def text(
        self,
        name: str,
        most: int,
        *,
        least: int = 1,
        required: bool = False,
        pattern: str = "",
        one_of: Sequence[str] = (),
    ) -> str:
        """A text of `least` to `most` characters; "" if it is missing and not required."""
        found = self._value(name, required)
        if found is None:
            return ""
        path = f"{self._path}/{name}"
        if not isinstance(found, str):
            raise param_error(path, "映射失败，此字段需要一个合法的字符串", found)
        if not least <= len(found) <= most:
            issue = f"长度规则校验失败，字符数 {len(found)}，须为 {least} 至 {most}"
            raise param_error(path, issue, found[:64])
        if any(ord(sign) > 0xFFFF or 0xD800 <= ord(sign) <= 0xDFFF for sign in found):
            raise param_error(path, "含有四字节字符；仅支持 UTF-8 中一至三字节编码的字符")
        if (pattern and re.fullmatch(pattern, found, re.ASCII) is None) or (one_of and found not in one_of):
            raise param_error(path, "字符串规则校验失败", found[:64])
        return found

    def number(self, name: str, *, least: int = 0, most: int = MAX_INT, required: bool = False) -> int | None:
        """A whole number; None if it is missing and not required."""
        found = self._value(name, required)
        if found is None:
            return None
        path = f"{self._path}/{name}"
        if isinstance(found, bool) or not isinstance(found, int) or abs(found) > MAX_INT:
            raise param_error(path, "映射失败，此字段需要一个合法的 64 位有符号整数", found)
        if not least <= found <= most:
            raise param_error(path, f"数值规则校验失败，须为 {least} 至 {most}", found)
        return found

    def flag(self, name: str) -> bool | None:
        """A boolean; None if it is missing."""
        found = self._value(name, False)
        if found is not None and not isinstance(found, bool):
            raise param_error(f"{self._path}/{name}", "映射失败，此字段需要一个合法的布尔值", found)
        return found

    def inner(self, name: str, *, required: bool = False) -> Fields | None:
        """An object; None if it is missing and not required."""
        found = self._value(name, required)
        if found is None:
            return None
        if not isinstance(found, dict):
            raise param_error(f"{self._path}/{name}", "映射失败，此字段需要一个合法的对象")
        return Fields(found, f"{self._path}/{name}")

    def list_of(self, name: str, most: int, *, required: bool = False) -> list[Fields]:
        """Objects in a list of 1 to `most`; empty if it is missing and not required."""
        found = self._value(name, required)
        if found is None:
            return []
        path = f"{self._path}/{name}"
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise param_error(path, "映射失败，此字段需要一个合法的数组")
        if not 1 <= len(found) <= most:
            raise param_error(path, f"多重性校验失败，须为 1 至 {most}")
        return [Fields(one, f"{path}/{number}") for number, one in enumerate(found)]

    def nothing_else(self) -> None:
        """Refuse what was not read."""
        for name in self._found:
            if name not in self._read:
                raise param_error(f"{self._path}/{name}", "是接口没有定义的字段")

    def _value(self, name: str, required: bool) -> Any:
        self._read.add(name)
        found = self._found.get(name)
        if found is None and (required or name in self._found):
            issue = "必填性规则校验失败，此字段为必填项" if required else "不能为 null"
            raise param_error(f"{self._path}/{name}", issue)
        return found


def body_fields(body: bytes) -> Fields:
    """The object of a body. Raises Refused."""
    try:
        found = json.loads(body.decode("utf-8"), object_pairs_hook=_without_repeats)
    except Refused:
        raise
    except (ValueError, RecursionError):
        raise param_error("", "请求报文不是合法的 UTF-8 JSON") from None
    if not isinstance(found, dict):
        raise param_error("", "请求报文须为 JSON 对象")
    return Fields(found)


def query_fields(pairs: Sequence[tuple[str, str]]) -> Mapping[str, str]:
    """The query's parameters. Raises Refused for a repeated one."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise invalid_request("请求参数重复")
    return found


def parse_time(text: str) -> int:
    """Epoch milliseconds of an RFC 3339 time. Raises ValueError."""
    if _TIME.fullmatch(text) is None:
        raise ValueError("a time must be RFC 3339")
    return int(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000)


def format_time(time_ms: int) -> str:
    """A time such as `2026-11-21T08:00:00+08:00`."""
    return datetime.fromtimestamp(time_ms // 1000, CHINA).isoformat()


def _without_repeats(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise param_error("", "请求报文中有重复的字段")
    return found
