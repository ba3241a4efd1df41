"""structlog's loggers with the keys of specification 6.6: time, level, logger, caller, msg, stacktrace."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Any

import orjson
import structlog
from structlog.contextvars import get_contextvars, merge_contextvars
from structlog.processors import CallsiteParameter, CallsiteParameterAdder, format_exc_info
from structlog.typing import EventDict, FilteringBoundLogger, Processor

from shop_order.pkg.log.masking import mask, mask_text

LEVELS = {"debug": 10, "info": 20, "warn": 30, "error": 40, "fatal": 50}
SPECIFIED_NAMES = {"warning": "warn", "critical": "fatal"}
FIXED_KEYS = frozenset({"time", "level", "logger", "caller", "msg", "stacktrace"})
MAX_STACK_CHARS = 16_384
_NOT_THE_CALLER = ("structlog", "shop_order.pkg.log")


class Outlet:
    """The destination of lines: while the log is not open, standard error for warnings and worse."""

    def __init__(self) -> None:
        self.threshold = LEVELS["info"]
        self.put: Callable[[str, int], None] = to_stderr
        self.is_failing: Callable[[], bool] = lambda: False

    def __getattr__(self, name: str) -> Callable[[str], None]:
        """Return the method that structlog calls for a level."""
        level = LEVELS[SPECIFIED_NAMES.get(name, name)]
        self.__dict__[name] = method = lambda line: self.put(line, level)
        return method


def to_stderr(line: str, level: int) -> None:
    """Write warnings and worse to standard error."""
    if level >= LEVELS["warn"]:
        sys.stderr.write(line)


def drop_below_threshold(_: object, name: str, event: EventDict) -> EventDict:
    """Drop events below the current level, which may change at any time."""
    if LEVELS[SPECIFIED_NAMES.get(name, name)] < outlet.threshold:
        raise structlog.DropEvent
    return event


def render(_: object, name: str, event: EventDict) -> str:
    """Render a masked line of JSON; a field named like a fixed key is prefixed with an underscore."""
    now_s = time.time()
    date_time, offset = _clock(int(now_s))
    line = {
        "time": f"{date_time}.{int(now_s % 1 * 1000):03d}{offset}",
        "level": SPECIFIED_NAMES.get(name, name),
        "logger": event.pop("logger"),
        "caller": short_place(event.pop("pathname"), event.pop("lineno")),
        "msg": mask_text(str(event.pop("event"))),
    }
    if "exception" in event:
        line["stacktrace"] = mask_text(event.pop("exception")[-MAX_STACK_CHARS:])
    for key, value in event.items():
        line[key if key not in FIXED_KEYS else f"_{key}"] = mask(key, value)
    try:
        return orjson.dumps(line, None, orjson.OPT_APPEND_NEWLINE).decode()
    except (TypeError, ValueError):  # a lone surrogate, an integer beyond 64 bits
        safe = {key: str(value).encode("ascii", "backslashreplace").decode() for key, value in line.items()}
        return orjson.dumps(safe, None, orjson.OPT_APPEND_NEWLINE).decode()


def add_place(_: object, __: str, event: EventDict) -> EventDict:
    """Add the file and line of the call. structlog's own processor takes 4 µs for that, at every line."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals["__name__"].startswith(_NOT_THE_CALLER):
        frame = frame.f_back
    event["pathname"], event["lineno"] = frame.f_code.co_filename, frame.f_lineno
    return event


PLACE_OF_RECORD: Processor = CallsiteParameterAdder({CallsiteParameter.PATHNAME, CallsiteParameter.LINENO})
"""The place of a line that another library logged."""
PROCESSORS: list[Processor] = [drop_below_threshold, merge_contextvars, add_place, format_exc_info, render]
_BoundLogger: Any = structlog.make_filtering_bound_logger(logging.DEBUG)
outlet = Outlet()  # one per process, as in the standard library: loggers are made before the log is open


def get_logger(name: str) -> FilteringBoundLogger:
    """Return the logger of a module; may be called before the log is open."""
    logger: FilteringBoundLogger = _BoundLogger(
        outlet, PROCESSORS, {"logger": name.removeprefix("shop_order.")}
    )
    return logger


def set_level(level: str) -> None:
    """Change the level of the running process: debug, info, warn or error. Raises KeyError."""
    outlet.threshold = LEVELS[level]
    logging.getLogger().setLevel(outlet.threshold)


def log_failing() -> bool:
    """Whether the last lines could not be written."""
    return outlet.is_failing()


def current_request_id() -> str:
    """Return the request id of this task, empty outside a request."""
    return str(get_contextvars().get("request_id", ""))


@lru_cache(4096)
def short_place(path: str, line: int) -> str:
    """Return folder, file and line, such as `dao/orders.py:12`."""
    return f"{'/'.join(path.replace(chr(92), '/').rsplit('/', 2)[-2:])}:{line}"


@lru_cache(2)
def _clock(second: int) -> tuple[str, str]:
    text = datetime.fromtimestamp(second).astimezone().isoformat()
    return text[:19], text[19:]


class RateLimitedLog:
    """Logs repeated messages once per `interval_s`, with the number of suppressed ones; thread-safe."""

    MAX_KINDS = 256

    def __init__(
        self,
        log: Callable[..., Any],
        *,
        interval_s: float = 5.0,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._interval_s = interval_s
        self._now_s = monotonic_s
        self._lock = threading.Lock()
        self._kinds: dict[str, tuple[float, int]] = {}  # when it may be logged again; suppressed lines

    def __call__(self, msg: str, /, *, kind: str, **fields: Any) -> None:
        """Log `msg` with these fields, unless one of its kind was logged within `interval_s`."""
        name, now_s = f"{msg} {kind}", self._now_s()
        with self._lock:
            again_s, suppressed = self._kinds.get(name, (0.0, 0))
            if now_s < again_s:
                self._kinds[name] = (again_s, suppressed + 1)
                return
            if len(self._kinds) >= self.MAX_KINDS:
                self._kinds.clear()
            self._kinds[name] = (now_s + self._interval_s, 0)
        self._log(msg, **fields, **({"not_logged": suppressed} if suppressed else {}))
