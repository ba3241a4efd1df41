"""One line of JSON with the specification's keys: time, level, logger, caller, msg, stacktrace."""

import time
import traceback
from collections.abc import Callable, Mapping
from datetime import datetime
from types import CodeType, TracebackType
from typing import Any

import orjson

from shop_order.pkg.log.masking import Masking, mask_text

FIXED_KEYS = frozenset({"time", "level", "logger", "caller", "msg", "stacktrace"})
_MAX_CALLERS = 4096
_MAX_STACK_CHARS = 16_384

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


class Renderer:
    """Turns an event into bytes at the moment of the call, so that nothing changes afterwards."""

    def __init__(self, now_s: Callable[[], float] = time.time) -> None:
        self._now_s = now_s
        self._masking = Masking()
        self._second = (-1, "", "")
        self._callers: dict[tuple[CodeType, int], str] = {}

    def render(
        self, level: str, logger: str, caller: str, msg: str, fields: Mapping[str, Any], stack: str = ""
    ) -> bytes:
        """The line; a field that is named like a fixed key gets an underscore in front."""
        line: dict[str, Any] = {
            "time": self._time(),
            "level": level,
            "logger": logger,
            "caller": caller,
            "msg": mask_text(str(msg)),
        }
        if stack:
            line["stacktrace"] = mask_text(stack[-_MAX_STACK_CHARS:])
        masked = self._masking.value
        for name, value in fields.items():
            line[name if name not in FIXED_KEYS else f"_{name}"] = masked(name, value)
        try:
            return orjson.dumps(line, None, orjson.OPT_APPEND_NEWLINE)
        except (TypeError, ValueError):  # a lone surrogate, an int beyond 64 bits
            safe = {name: _ascii(value) for name, value in line.items()}
            return orjson.dumps(safe, None, orjson.OPT_APPEND_NEWLINE)

    def caller(self, code: CodeType, line: int) -> str:
        """The place in the code, short: room/file.py:line."""
        place = self._callers.get((code, line))
        if place is None:
            place = short_place(code.co_filename, line)
            if len(self._callers) >= _MAX_CALLERS:
                self._callers.clear()
            self._callers[code, line] = place
        return place

    def _time(self) -> str:
        now_s = self._now_s()
        second = int(now_s)
        cached = self._second
        if second != cached[0]:
            text = datetime.fromtimestamp(second).astimezone().isoformat(timespec="seconds")
            cached = self._second = (second, text[:19], text[19:])
        return f"{cached[1]}.{int((now_s - second) * 1000):03d}{cached[2]}"


def short_place(path: str, line: int) -> str:
    """The last folder, the file and the line."""
    return f"{'/'.join(path.replace(chr(92), '/').rsplit('/', 2)[-2:])}:{line}"


def stack_of(exc_info: ExcInfo) -> str:
    """The traceback as text."""
    return "".join(traceback.format_exception(*exc_info, limit=50)).rstrip()


def _ascii(value: Any) -> str:
    return str(value).encode("ascii", "backslashreplace").decode()
